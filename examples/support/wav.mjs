// Problem: the examples read recordings, and WAV comes in a dozen forms.
// Answer: `readWav` takes PCM of 8, 16, 24 and 32 bits, floats of 32 and 64 bits, plain or as WAVE_FORMAT_EXTENSIBLE, at any rate and
// with any number of channels, and refuses everything else with one sentence. It neither resamples nor mixes down: guests do.

import { readFileSync } from 'node:fs'

const PCM = 1
const FLOAT = 3
const EXTENSIBLE = 0xfffe
// All subformats end with these bytes; the first two hold the plain format's number.
const SUBFORMAT_TAIL = '000000001000800000aa00389b71'

/** A file that cannot be used; the message is for people. */
export class WavError extends Error {}

/** Samples of one number format as floats from -1 to 1. */
const DECODERS = {
  [`${PCM}/8`]: (view, at) => (view.getUint8(at) - 128) / 128,
  [`${PCM}/16`]: (view, at) => view.getInt16(at, true) / 32_768,
  [`${PCM}/24`]: (view, at) => (view.getUint8(at) | (view.getInt16(at + 1, true) << 8)) / 8_388_608,
  [`${PCM}/32`]: (view, at) => view.getInt32(at, true) / 2_147_483_648,
  [`${FLOAT}/32`]: (view, at) => view.getFloat32(at, true),
  [`${FLOAT}/64`]: (view, at) => view.getFloat64(at, true),
}

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

/** The same for bytes in memory. */
export function parseWav(file) {
  if (file.length === 0) throw new WavError('is empty')
  const word = (at) => file.toString('latin1', at, at + 4)
  if (file.length < 12 || word(0) !== 'RIFF' || word(8) !== 'WAVE') throw new WavError('is not a WAV file: it has no RIFF/WAVE header')
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  let format
  let data
  for (let at = 12; at + 8 <= file.length && !data; ) {
    const [name, size, body] = [word(at), view.getUint32(at + 4, true), at + 8]
    if (name === 'fmt ') format = parseFormat(file, view, body, size)
    else if (name === 'data') data = { body, size }
    // Chunks start at even positions.
    at = body + size + (size & 1)
  }
  if (!format) throw new WavError('is not a usable WAV file: it does not say its sample format')
  if (!data) throw new WavError('is not a usable WAV file: it ends before its samples')
  return decode(file, view, format, data)
}

function parseFormat(file, view, at, size) {
  if (size < 16 || at + size > file.length) throw new WavError('is not a usable WAV file: its format header is cut off')
  let tag = view.getUint16(at, true)
  const channels = view.getUint16(at + 2, true)
  const sampleRate = view.getUint32(at + 4, true)
  const block = view.getUint16(at + 12, true)
  const bits = view.getUint16(at + 14, true)
  if (tag === EXTENSIBLE && size >= 40 && file.toString('hex', at + 26, at + 40) === SUBFORMAT_TAIL) tag = view.getUint16(at + 24, true)
  const decoder = DECODERS[`${tag}/${bits}`]
  if (!decoder) {
    const name = { [PCM]: 'PCM', 2: 'ADPCM', [FLOAT]: 'float', 6: 'A-law', 7: 'mu-law', 85: 'MP3' }[tag] ?? `format ${tag}`
    throw new WavError(`holds ${name} of ${bits} bits; PCM of 8, 16, 24 and 32 bits and floats of 32 and 64 bits can be read`)
  }
  if (channels === 0 || sampleRate === 0 || block !== (channels * bits) / 8) {
    throw new WavError(`is not a usable WAV file: ${channels} channels at ${sampleRate} Hz in blocks of ${block} bytes cannot be`)
  }
  return { decoder, channels, sampleRate, block, bits }
}

function decode(file, view, format, { body, size }) {
  const { decoder, channels, sampleRate, block, bits } = format
  // A writer to a pipe does not know the size beforehand and leaves 0 or the largest number.
  const open = size === 0 || size >= 0xffff_ff00
  const there = file.length - body
  if (!open && there < size) {
    throw new WavError(`is cut off: it should hold ${size} bytes of samples and holds ${there}`)
  }
  const frames = Math.floor((open ? there : size) / block)
  if (frames === 0) throw new WavError('holds no samples')
  const samples = new Float32Array(frames * channels)
  const step = bits / 8
  for (let index = 0, at = body; index < samples.length; index += 1, at += step) samples[index] = decoder(view, at)
  return { samples, sampleRate, channels, bits, seconds: frames / sampleRate }
}

/** The audio as frames of `ms` milliseconds, the last one shorter, for a node's source. */
export function* chunks({ samples, sampleRate, channels }, ms) {
  const step = Math.max(1, Math.round((sampleRate * ms) / 1000)) * channels
  for (let at = 0; at < samples.length; at += step) {
    yield { samples: samples.subarray(at, at + step), sampleRate, channels }
  }
}
