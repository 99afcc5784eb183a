// Problem: the examples read recordings, and WAV comes in a dozen forms.
// Answer: `readWav` takes a whole file at once, in the sample formats that the command line reads piece by piece (js/cli/wav.js), and refuses
// everything else with one sentence. It neither resamples nor mixes down: guests do.

import { readFileSync } from 'node:fs'
import { Refused as WavError } from '../../js/cli/problems.js'
import { OPEN, decode, parseFormat } from '../../js/cli/wav.js'

/** A file that cannot be used; the message is for people. */
export { WavError }

/**
 * Reads a WAV file: `{ samples, sampleRate, channels, bits, seconds }`, with `samples` interleaved floats.
 *
 * @throws WavError with one sentence that says what is wrong.
 */
export function readWav(path) {
  let file
  try {
    file = readFileSync(path)
  } catch (error) {
    const why = { ENOENT: 'there is no such file', EISDIR: 'it is a folder', EACCES: 'permission denied' }[error.code]
    throw new WavError(`cannot read ${path}: ${why ?? error.message}`)
  }
  try {
    return parseWav(file)
  } catch (error) {
    if (error instanceof WavError) throw new WavError(`${path} ${error.message}`)
    throw error
  }
}

/** The header of the format; one that is cut off is too short for `parseFormat`. */
const cut = (file, at, size) => (at + size > file.length ? Buffer.alloc(0) : file.subarray(at, at + size))

/** The same for bytes in memory. */
export function parseWav(file) {
  if (file.length === 0) throw new WavError('is empty')
  const word = (at) => file.toString('latin1', at, at + 4)
  if (file.length < 12 || word(0) !== 'RIFF' || word(8) !== 'WAVE') throw new WavError('is not a WAV file: it has no RIFF/WAVE header')
  let format
  let data
  for (let at = 12; at + 8 <= file.length && !data; ) {
    const [name, size, body] = [word(at), file.readUInt32LE(at + 4), at + 8]
    if (name === 'fmt ') format = parseFormat(cut(file, body, size))
    else if (name === 'data') data = { body, size }
    // Chunks start at even positions.
    at = body + size + (size & 1)
  }
  if (!format) throw new WavError('is not a usable WAV file: it does not say its sample format')
  if (!data) throw new WavError('is not a usable WAV file: it ends before its samples')
  return whole(file, format, data)
}

function whole(file, format, { body, size }) {
  const { channels, sampleRate, block, bits } = format
  // A writer to a pipe does not know the size beforehand and leaves 0 or the largest number.
  const open = size === 0 || size >= OPEN
  const there = file.length - body
  if (!open && there < size) {
    throw new WavError(`is cut off: it should hold ${size} bytes of samples and holds ${there}`)
  }
  const frames = Math.floor((open ? there : size) / block)
  if (frames === 0) throw new WavError('holds no samples')
  const { samples } = decode(file.subarray(body, body + frames * block), format)
  return { samples, sampleRate, channels, bits, seconds: frames / sampleRate }
}

/** The audio as frames of `ms` milliseconds, the last one shorter, for a node's source. */
export function* chunks({ samples, sampleRate, channels }, ms) {
  const step = Math.max(1, Math.round((sampleRate * ms) / 1000)) * channels
  for (let at = 0; at < samples.length; at += step) {
    yield { samples: samples.subarray(at, at + step), sampleRate, channels }
  }
}
