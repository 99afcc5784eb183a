// Problem: packets hold samples and bytes, JSON lines do not; and what one run writes, another should be able to read.
// Answer: a packet as one line of JSON, bytes as base64 (samples as floats of 32 bits, little-endian), and back; and the values in a stream of
// text, one a line or, for documents that people wrote, wherever one ends. It holds one value at a time.

const { StringDecoder } = require('node:string_decoder')
const { Refused } = require('./problems.js')

const KINDS = ['binary', 'text', 'json', 'audio', 'tensor', 'video']
/** Bytes of one value: as much as one item may hold elsewhere. */
const MOST = 64 << 20

const base64 = (data) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')

function writtenPayload(kind, data) {
  switch (kind) {
    case 'binary':
      return base64(data)
    case 'audio':
      return { samples: base64(data.samples), sampleRate: data.sampleRate, channels: data.channels }
    case 'tensor':
      return { ...data, data: base64(data.data) }
    case 'video':
      return { ...data, pixels: base64(data.pixels) }
    default:
      return data
  }
}

/** A packet as what JSON can hold. */
function toJson({ kind, sessionId, sequence, timestampMs, data, metadata, route }) {
  const written = { kind, sessionId, sequence, timestampMs, data: writtenPayload(kind, data) }
  if (metadata && Object.keys(metadata).length > 0) written.metadata = metadata
  if (route) written.route = route
  return written
}

function samples(value) {
  if (Array.isArray(value)) return Float32Array.from(value)
  const read = Buffer.from(String(value), 'base64')
  if (read.length % 4 !== 0) throw new Refused('samples are floats of 32 bits in base64, or a list of numbers')
  const out = new Float32Array(read.length / 4)
  Buffer.from(out.buffer).set(read)
  return out
}

function readPayload(kind, data) {
  if (kind === 'binary') return Buffer.from(String(data), 'base64')
  if (kind === 'audio') return { ...data, samples: samples(data.samples) }
  if (kind === 'tensor') return { ...data, data: Buffer.from(String(data.data), 'base64') }
  if (kind === 'video') return { ...data, pixels: Buffer.from(String(data.pixels), 'base64') }
  return data
}

/** An item of a value: a packet as `toJson` writes it, or else the value itself as JSON. */
function toItem(value) {
  const isPacket = typeof value === 'object' && value !== null && KINDS.includes(value.kind) && value.data !== undefined
  if (!isPacket) return { kind: 'json', data: value }
  const { kind, data, timestampMs, metadata } = value
  return { kind, data: readPayload(kind, data), ...(timestampMs !== undefined && { timestampMs }), ...(metadata && { metadata }) }
}

/** Lines of text without their ends, as soon as each is there. */
async function* lines(bytes) {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  for (;;) {
    const piece = await bytes.some()
    if (!piece) break
    const parts = (rest + decoder.write(piece)).split('\n')
    rest = parts.pop()
    if (rest.length > MOST) throw new Refused(`a line is longer than ${MOST} characters`)
    for (const line of parts) yield line.endsWith('\r') ? line.slice(0, -1) : line
  }
  rest += decoder.end()
  if (rest !== '') yield rest
}

/** How far brackets are open after this line, in and outside of strings. */
function scan(line, state) {
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at]
    if (state.inString) {
      if (char === '\\') at += 1
      else if (char === '"') state.inString = false
    } else if (char === '"') state.inString = true
    else if (char === '{' || char === '[') state.depth += 1
    else if (char === '}' || char === ']') state.depth -= 1
  }
}

/** Values, each on lines of its own: one line each, or with `spread` as many as its brackets take. Bad ones go to `onBad`, which may throw. */
async function* values(bytes, { spread, onBad }) {
  let number = 0
  let begun = 0
  let text = ''
  let state = { depth: 0, inString: false }
  const parsed = (source, line) => {
    try {
      return { item: toItem(JSON.parse(source)) }
    } catch (error) {
      onBad(new Refused(`line ${line}: not JSON that can be used: ${error.message}`, 'ERR_INPUT', { line }))
      return {}
    }
  }
  for await (const line of lines(bytes)) {
    number += 1
    if (text === '' && line.trim() === '') continue
    if (text === '') begun = number
    text = text === '' ? line : `${text}\n${line}`
    if (spread) scan(line, state)
    if (text.length > MOST) throw new Refused(`line ${begun}: a value is longer than ${MOST} characters`)
    if (spread && state.depth > 0) continue
    const { item } = parsed(text, begun)
    text = ''
    state = { depth: 0, inString: false }
    if (item) yield item
  }
  // Its brackets are still open.
  if (text !== '' && text.trim() !== '') parsed(text, begun)
}

module.exports = { toJson, toItem, lines, values }
