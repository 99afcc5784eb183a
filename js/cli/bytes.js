// Problem: formats want "the next 44 bytes", files and pipes give pieces of any size.
// Answer: `Bytes` takes pieces from a stream only as somebody asks, and gives them out in the sizes asked for. A signal ends it like the end
// of the stream, with whatever was not asked for yet left out.

const fs = require('node:fs')
const { fileError } = require('./problems.js')

const EMPTY = Buffer.alloc(0)

class Bytes {
  #stream
  #pieces
  #stopping
  #held = EMPTY
  #ended = false
  /** Bytes that came from the stream so far. */
  received = 0

  constructor(stream, stopping) {
    this.#stream = stream
    this.#pieces = stream[Symbol.asyncIterator]()
    this.#stopping = stopping
  }

  /** Whether a signal ended it. */
  get stopped() {
    return this.#stopping.stopped
  }

  /** Another piece; false at the end. */
  async #more() {
    if (this.#ended) return false
    const step = await this.#stopping.unless(this.#pieces.next())
    if (step === undefined || step.done) {
      this.#ended = true
      if (step === undefined) this.#held = EMPTY
      return false
    }
    const piece = typeof step.value === 'string' ? Buffer.from(step.value) : step.value
    this.received += piece.length
    this.#held = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece])
    return true
  }

  async #fill(count) {
    while (this.#held.length < count && (await this.#more()));
  }

  /** The next bytes, left where they are; fewer at the end. */
  async peek(count) {
    await this.#fill(count)
    return this.#held.subarray(0, count)
  }

  /** What has come, at least one byte, left where it is; nothing at the end. */
  async glance() {
    await this.#fill(1)
    return this.#held
  }

  /** The next bytes; fewer at the end. */
  async take(count) {
    // Pieces of a large request are kept aside: each of them would be copied again with every further one.
    if (count > this.#held.length + (1 << 20)) return this.#takeMany(count)
    await this.#fill(count)
    const taken = this.#held.subarray(0, count)
    this.#held = this.#held.subarray(taken.length)
    return taken
  }

  async #takeMany(count) {
    const pieces = []
    let length = 0
    while (length < count) {
      const piece = await this.some(count - length)
      if (!piece) break
      pieces.push(piece)
      length += piece.length
    }
    return Buffer.concat(pieces, length)
  }

  /** What has come, at least one byte and at most `limit`; nothing at the end. */
  async some(limit = Number.POSITIVE_INFINITY) {
    await this.#fill(1)
    if (this.#held.length === 0) return undefined
    const taken = this.#held.subarray(0, limit)
    this.#held = this.#held.subarray(taken.length)
    return taken
  }

  async skip(count) {
    for (let left = count; left > 0; ) {
      const piece = await this.some(left)
      if (!piece) return
      left -= piece.length
    }
  }

  close() {
    this.#stream.destroy()
  }
}

/** Opens a file, or standard input for `-`: `{ bytes, size }`, the size only of a file. */
async function openBytes(file, stopping) {
  if (file === '-') return { bytes: new Bytes(process.stdin, stopping), size: undefined }
  let handle
  try {
    handle = await fs.promises.open(file, 'r')
    const about = await handle.stat()
    if (about.isDirectory()) throw Object.assign(new Error('it is a folder'), { code: 'EISDIR' })
    const stream = handle.createReadStream({ highWaterMark: 1 << 18 })
    return { bytes: new Bytes(stream, stopping), size: about.isFile() ? about.size : undefined }
  } catch (error) {
    await handle?.close()
    throw fileError(`cannot read ${file}`, error)
  }
}

module.exports = { Bytes, openBytes }
