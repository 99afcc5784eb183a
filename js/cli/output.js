// Problem: packets are to become a file or a stream that others can read, no faster than they take it.
// Answer: sinks by format: JSON lines (everything), WAV (audio), text (text and JSON), bytes (payloads one after the other). Each `write`
// resolves when there is room again; `close` completes the file. What a format cannot hold is counted and told at the end.

const fs = require('node:fs')
const path = require('node:path')
const { finished } = require('node:stream/promises')
const { BrokenPipe, Refused, UsageError, fileError } = require('./problems.js')
const { toJson } = require('./jsonl.js')
const { header } = require('./wav.js')
const { plural, warn } = require('./terminal.js')

const EXTENSIONS = { '.wav': 'wav', '.wave': 'wav', '.txt': 'text', '.bin': 'binary', '.raw': 'binary', '.pcm': 'binary', '.f32': 'binary' }
const FORMATS = ['jsonl', 'wav', 'text', 'binary']

/** A stream that is written to one thing after the other, and whose error comes to whoever writes. */
class Out {
  #stream
  #error
  #wake
  written = 0

  constructor(stream) {
    this.#stream = stream
    stream.on('error', (error) => {
      this.#error ??= error
      this.#wake?.()
    })
    stream.on('drain', () => this.#wake?.())
  }

  async write(data) {
    this.#check()
    this.written += data.length
    if (!this.#stream.write(data)) {
      await new Promise((resolve) => {
        this.#wake = resolve
        if (this.#error) resolve()
      })
    }
    this.#check()
  }

  /** Resolves when everything is out. Standard output stays open. */
  async end() {
    this.#check()
    if (this.#stream === process.stdout) {
      await new Promise((resolve) => this.#stream.write('', resolve))
    } else {
      this.#stream.end()
      await finished(this.#stream)
    }
    this.#check()
  }

  #check() {
    if (!this.#error) return
    if (this.#error.code === 'EPIPE') throw new BrokenPipe('nobody reads the output any more')
    throw fileError('cannot write the output', this.#error)
  }
}

const bytesOf = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength)

const SINKS = {
  jsonl: (out) => ({ write: (packet) => out.write(`${JSON.stringify(toJson(packet))}\n`) }),

  text: (out) => ({
    takes: ['text', 'json'],
    write: ({ kind, data }) => out.write(`${kind === 'text' ? data : JSON.stringify(data)}\n`),
  }),

  binary: (out) => ({
    write: ({ kind, data }) => {
      if (kind === 'text') return out.write(Buffer.from(data))
      if (kind === 'json') return out.write(Buffer.from(JSON.stringify(data)))
      return out.write(bytesOf(kind === 'binary' ? data : (data.samples ?? data.pixels ?? data.data)))
    },
  }),

  wav: (out, file) => {
    let format
    return {
      takes: ['audio'],
      write: async ({ data: { samples, sampleRate, channels } }) => {
        if (!format) await out.write(header((format = { sampleRate, channels })))
        else if (format.sampleRate !== sampleRate || format.channels !== channels) {
          throw new Refused(
            `a WAV file has one format: it began with ${format.sampleRate} Hz and ${plural(format.channels, 'channel')}, ` +
              `now there are ${sampleRate} Hz and ${plural(channels, 'channel')}`,
            'ERR_OUTPUT',
          )
        }
        await out.write(bytesOf(samples))
      },
      finish: async () => {
        if (!format) await out.write(header((format = { sampleRate: 16_000, channels: 1 })))
        return () => complete(file, header(format, out.written - 44))
      },
    }
  },
}

/** Writes the size into a header, where the file is one that can be written twice. */
async function complete(file, head) {
  if (file === '-') return
  const handle = await fs.promises.open(file, 'r+')
  try {
    if ((await handle.stat()).isFile()) await handle.write(head, 0, head.length, 0)
  } finally {
    await handle.close()
  }
}

/** The format by what was said, else by the extension; JSON lines where neither says anything. */
function formatOf(file, said = 'auto') {
  if (said !== 'auto') return said
  return (file !== '-' && EXTENSIONS[path.extname(file).toLowerCase()]) || 'jsonl'
}

/** Whether both are the same file: opening it to write would empty what is to be read. */
function sameFile(input, output) {
  if (input === undefined || input === '-' || output === '-') return false
  const about = (file) => fs.statSync(file, { throwIfNoEntry: false })
  const [a, b] = [about(input), about(output)]
  return Boolean(a && b && a.isFile() && a.ino === b.ino && a.dev === b.dev)
}

async function stream(file) {
  if (file === '-') return process.stdout
  const made = fs.createWriteStream(file)
  await new Promise((resolve, reject) => {
    made.once('open', resolve)
    made.once('error', (error) => reject(fileError(`cannot write ${file}`, error)))
  })
  return made
}

const isError = ({ kind, metadata, data }) => kind === 'json' && metadata?.error !== undefined && data?.error !== undefined

/** Opens an output: `{ format, counts, write(packet), close() }`. */
async function open(file, said, input) {
  if (sameFile(input, file)) throw new UsageError(`the output would overwrite the input ${file}`)
  const format = formatOf(file, said)
  const out = new Out(await stream(file))
  const sink = SINKS[format](out, file)
  const counts = { packets: 0, errors: 0, leftOut: 0 }
  let closing
  return {
    format,
    counts,
    bytes: () => out.written,
    async write(packet) {
      counts.packets += 1
      const failed = isError(packet)
      if (failed) counts.errors += 1
      if (failed && format !== 'jsonl') return warn(`item ${packet.sequence}: ${packet.data.error.message} (${packet.data.error.code})`)
      if (sink.takes && !sink.takes.includes(packet.kind)) {
        counts.leftOut += 1
        return
      }
      await sink.write(packet)
    },
    close: () => {
      closing ??= (async () => {
        const after = await sink.finish?.()
        await out.end()
        await after?.()
        if (counts.leftOut > 0) warn(`${plural(counts.leftOut, 'packet')} left out: the output holds ${sink.takes.join(' and ')} only`)
      })()
      return closing
    },
  }
}

module.exports = { FORMATS, open, formatOf, Out }
