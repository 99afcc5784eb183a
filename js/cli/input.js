// Problem: what a file holds must be found out, and it must go into a pipeline piece by piece, whatever its size.
// Answer: the format by what was said, else by the file's extension, else by how it starts; then a generator of items that reads only as far
// as the pipeline asks. It decodes nothing but WAV: MP3, images and videos go in as bytes.

const path = require('node:path')
const { openBytes } = require('./bytes.js')
const jsonl = require('./jsonl.js')
const wav = require('./wav.js')
const { Refused, UsageError } = require('./problems.js')
const { integer } = require('./options.js')
const { warn } = require('./terminal.js')

const EXTENSIONS = {
  wav: ['.wav', '.wave'],
  raw: ['.raw', '.pcm', '.s16', '.s16le', '.f32', '.f32le'],
  json: ['.json', '.jsonl', '.ndjson'],
  text: ['.txt', '.md', '.log', '.csv'],
  binary: ['.bin', '.dat'],
}
const FORMATS = Object.keys(EXTENSIONS)
/** Enough of the beginning to tell text from bytes. */
const LOOK = 4_096
const PIECE = 1 << 16

const OPTIONS = {
  'input-format': { type: 'string', value: 'FORMAT', choices: ['auto', ...FORMATS], about: 'what the input holds (auto)' },
  rate: { type: 'string', value: 'HZ', about: 'sample rate of raw input (16000)' },
  channels: { type: 'string', value: 'N', about: 'channels of raw input (1)' },
  encoding: { type: 'string', value: 'NAME', choices: ['s16le', 'f32le'], about: 'samples of raw input (s16le)' },
  chunk: {
    type: 'string',
    value: 'N',
    about: 'samples per channel of an item of audio (20 ms), bytes of binary (65536), or all: one item',
  },
}

function byExtension(file) {
  const extension = path.extname(file).toLowerCase()
  return FORMATS.find((format) => EXTENSIONS[format].includes(extension))
}

/** By the first bytes: WAV, JSON, text, or anything. */
function byContent(head) {
  if (wav.isWav(head)) return 'wav'
  let text
  try {
    // The last character may be cut off.
    text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true })
  } catch {
    return 'binary'
  }
  if (/[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text)) return 'binary'
  return /^\s*[{[]/.test(text) ? 'json' : 'text'
}

/** What the options say, checked before anything is opened. */
function read(values) {
  const chunk = values.chunk === 'all' ? 'all' : values.chunk && integer(values.chunk, 'chunk', 1, 1 << 28)
  return {
    format: values['input-format'] ?? 'auto',
    rate: integer(values.rate ?? '16000', 'rate', 1, 10_000_000),
    channels: integer(values.channels ?? '1', 'channels', 1, 1024),
    encoding: values.encoding,
    chunk,
  }
}

const named = (file) => (file === '-' ? 'standard input' : file)

/** Puts the file's name before what is wrong with it. */
async function* from(file, items) {
  try {
    yield* items
  } catch (error) {
    if (error instanceof Refused)
      throw new Refused(`${named(file)}${/^(is|holds) /.test(error.message) ? '' : ':'} ${error.message}`, error.code)
    if (error?.syscall) throw new Refused(`cannot read ${named(file)}: ${error.message}`, error.code)
    throw error
  }
}

const audioStep = (chunk, rate) => (chunk === 'all' ? Number.MAX_SAFE_INTEGER : (chunk ?? Math.max(1, Math.round(rate / 50))))

async function* wavItems(bytes, file, { chunk }) {
  const format = await wav.readHeader(bytes)
  const short = (missing) => {
    if (bytes.stopped) return
    warn(`${named(file)} is cut off: its header says ${format.size} bytes of samples, the last ${missing} are not there; the rest is used`)
  }
  yield* wav.frames(bytes, format, audioStep(chunk, format.sampleRate), short)
}

async function* binaryItems(bytes, { chunk = PIECE }) {
  for (;;) {
    const piece = await bytes.take(chunk === 'all' ? Number.MAX_SAFE_INTEGER : chunk)
    if (piece.length === 0) return
    yield piece
  }
}

async function* textItems(bytes, { chunk }) {
  if (chunk !== 'all') return yield* jsonl.lines(bytes)
  const all = await bytes.take(Number.MAX_SAFE_INTEGER)
  if (all.length > 0) yield all.toString('utf8')
}

function itemsOf(format, bytes, file, options, onBad) {
  switch (format) {
    case 'wav':
      return wavItems(bytes, file, options)
    case 'raw': {
      const encoding = options.encoding ?? (/\.f32(le)?$/i.test(file) ? 'f32le' : 's16le')
      const about = wav.rawFormat(encoding, options.rate, options.channels)
      return wav.frames(bytes, about, audioStep(options.chunk, options.rate))
    }
    case 'json':
      return jsonl.values(bytes, { spread: !options.linewise, onBad })
    case 'text':
      return textItems(bytes, options)
    default:
      return binaryItems(bytes, options)
  }
}

/**
 * Opens an input: `{ format, size, items, received(), close() }`. With `linewise` each line of JSON is a value; `onBad(error)` is told of
 * one that is none and may throw.
 */
async function open(file, options, stopping, { linewise = false, onBad } = {}) {
  if (file === '-' && process.stdin.isTTY && !linewise) throw new UsageError('there is no input: give a file with -i, or pipe something in')
  const { bytes, size: total } = await openBytes(file, stopping)
  try {
    const known = options.format === 'auto' ? file !== '-' && byExtension(file) : options.format
    // What comes live may be less than a block for a long time: the first piece has to do.
    const format = known || byContent(linewise ? (await bytes.glance()).subarray(0, LOOK) : await bytes.peek(LOOK))
    const fail = (error) => {
      throw error
    }
    const bad = onBad ? (error) => onBad(new Refused(`${named(file)}: ${error.message}`, error.code)) : fail
    const items = from(file, itemsOf(format, bytes, file, { ...options, linewise }, bad))
    return { format, size: total, items, received: () => bytes.received, close: () => bytes.close() }
  } catch (error) {
    bytes.close()
    throw error
  }
}

module.exports = { OPTIONS, FORMATS, read, open, byContent, byExtension }
