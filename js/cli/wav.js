// Problem: WAV comes in a dozen forms, in files larger than memory, and from pipes whose writer did not know how long it would get.
// Answer: a reader that takes the header and then frame after frame as floats (PCM of 8, 16, 24 and 32 bits, floats of 32 and 64 bits, plain
// or extensible, RF64), and the header of what is written: floats of 32 bits. It neither resamples nor mixes.

const { Refused } = require('./problems.js')

const PCM = 1
const FLOAT = 3
const EXTENSIBLE = 0xfffe
// All subformats end with these bytes; the first two hold the plain format's number.
const SUBFORMAT_TAIL = '000000001000800000aa00389b71'
// A header of a format has 16 to 40 bytes; a larger one is no header.
const MOST_FORMAT_BYTES = 4_096
/** Sizes from here on mean "until the end". */
const OPEN = 0xffff_ff00

const DECODERS = {
  [`${PCM}/8`]: (view, at) => (view.getUint8(at) - 128) / 128,
  [`${PCM}/16`]: (view, at) => view.getInt16(at, true) / 32_768,
  [`${PCM}/24`]: (view, at) => (view.getUint8(at) | (view.getInt16(at + 1, true) << 8)) / 8_388_608,
  [`${PCM}/32`]: (view, at) => view.getInt32(at, true) / 2_147_483_648,
  [`${FLOAT}/32`]: (view, at) => view.getFloat32(at, true),
  [`${FLOAT}/64`]: (view, at) => view.getFloat64(at, true),
}

const NAMES = { [PCM]: 'PCM', 2: 'ADPCM', [FLOAT]: 'float', 6: 'A-law', 7: 'mu-law', 85: 'MP3' }

const isWav = (head) => /^(RIFF|RF64|BW64)....WAVE/s.test(head.toString('latin1', 0, 12))

function parseFormat(body) {
  if (body.length < 16) throw new Refused('is not a usable WAV file: its format header is cut off')
  let tag = body.readUInt16LE(0)
  const [channels, sampleRate, block, bits] = [body.readUInt16LE(2), body.readUInt32LE(4), body.readUInt16LE(12), body.readUInt16LE(14)]
  if (tag === EXTENSIBLE && body.length >= 40 && body.toString('hex', 26, 40) === SUBFORMAT_TAIL) tag = body.readUInt16LE(24)
  const decoder = DECODERS[`${tag}/${bits}`]
  if (!decoder) {
    const name = NAMES[tag] ?? `format ${tag}`
    throw new Refused(`holds ${name} of ${bits} bits; PCM of 8, 16, 24 and 32 bits and floats of 32 and 64 bits can be read`)
  }
  if (channels === 0 || sampleRate === 0 || block !== (channels * bits) / 8) {
    throw new Refused(`is not a usable WAV file: ${channels} channels at ${sampleRate} Hz in blocks of ${block} bytes cannot be`)
  }
  return { decoder, channels, sampleRate, block, bits, float: tag === FLOAT }
}

/** Reads up to the samples: their format, and how many bytes of them there should be (nothing: until the end). */
async function readHeader(bytes) {
  const head = await bytes.take(12)
  if (head.length === 0) throw new Refused('is empty')
  if (!isWav(head)) throw new Refused('is not a WAV file: it has no RIFF/WAVE header')
  let format
  for (;;) {
    const chunk = await bytes.take(8)
    if (chunk.length < 8) throw new Refused('is not a usable WAV file: it ends before its samples')
    const [name, size] = [chunk.toString('latin1', 0, 4), chunk.readUInt32LE(4)]
    if (name === 'data') {
      if (!format) throw new Refused('is not a usable WAV file: it does not say its sample format')
      // A writer to a pipe does not know the size beforehand and leaves 0 or the largest number.
      return { ...format, size: size === 0 || size >= OPEN ? undefined : size }
    }
    // Chunks start at even positions.
    const padded = size + (size & 1)
    if (name === 'fmt ' && size <= MOST_FORMAT_BYTES) format = parseFormat((await bytes.take(padded)).subarray(0, size))
    else await bytes.skip(padded)
  }
}

function decode(piece, { decoder, channels, sampleRate, bits }) {
  const view = new DataView(piece.buffer, piece.byteOffset, piece.length)
  const step = bits / 8
  const samples = new Float32Array(piece.length / step)
  for (let index = 0, at = 0; index < samples.length; index += 1, at += step) samples[index] = decoder(view, at)
  return { samples, sampleRate, channels }
}

/**
 * Audio in frames of `frames` samples per channel, the last one shorter; each with the time at which it starts. `size` is how many bytes
 * there should be; `onShort(missing)` is told when there are fewer.
 */
async function* frames(bytes, format, count, onShort) {
  const { block, sampleRate } = format
  let left = format.size ?? Number.POSITIVE_INFINITY
  let position = 0
  while (left >= block) {
    const piece = await bytes.take(Math.min(left === Number.POSITIVE_INFINITY ? left : left - (left % block), count * block))
    const whole = piece.subarray(0, piece.length - (piece.length % block))
    if (whole.length === 0) break
    yield { data: decode(whole, format), timestampMs: (position * 1_000) / sampleRate }
    position += whole.length / block
    left -= whole.length
    if (whole.length < piece.length) break
  }
  if (left !== Number.POSITIVE_INFINITY && left >= block) onShort?.(left)
}

const RAW = {
  s16le: { decoder: DECODERS[`${PCM}/16`], bits: 16 },
  f32le: { decoder: DECODERS[`${FLOAT}/32`], bits: 32 },
}

/** The format of samples without a header. */
function rawFormat(encoding, sampleRate, channels) {
  const { decoder, bits } = RAW[encoding]
  return { decoder, bits, sampleRate, channels, block: (channels * bits) / 8 }
}

/** A header for floats of 32 bits. Without a size it says "until the end". */
function header({ sampleRate, channels }, size) {
  const out = Buffer.alloc(44)
  out.write('RIFF', 0, 'latin1')
  out.writeUInt32LE(size === undefined || size > OPEN ? 0xffff_ffff : size + 36, 4)
  out.write('WAVEfmt ', 8, 'latin1')
  out.writeUInt32LE(16, 16)
  out.writeUInt16LE(FLOAT, 20)
  out.writeUInt16LE(channels, 22)
  out.writeUInt32LE(sampleRate, 24)
  out.writeUInt32LE(sampleRate * channels * 4, 28)
  out.writeUInt16LE(channels * 4, 32)
  out.writeUInt16LE(32, 34)
  out.write('data', 36, 'latin1')
  out.writeUInt32LE(size === undefined || size > OPEN ? 0xffff_ffff : size, 40)
  return out
}

module.exports = { isWav, parseFormat, decode, readHeader, frames, rawFormat, header, OPEN }
