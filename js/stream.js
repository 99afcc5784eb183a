// The pull loop of a stream whose items are answered one by one: source items go to the native stream, each has a slot for its packets,
// and they come out in the order of the items. It validates nothing: native code does, when the stream opens.

const { PacketIterator, READ_AHEAD } = require('./iterator.js')

class ItemIterator extends PacketIterator {
  #tickets
  #slots = []
  #pumping = false
  /** The source or an item failed: nothing more is read, and the error comes in its turn. */
  #broken = false
  #flushed = false

  constructor(tickets, open, source, signal) {
    super(open, source, signal)
    this.#tickets = tickets
  }

  get _complete() {
    return this.#flushed && this.#slots.length === 0
  }

  async _pump() {
    if (this.#pumping || this._over) return
    this.#pumping = true
    try {
      if (!this._native) await this._start()
      while (!this._over && !this._sourceDone && !this.#broken && this.#slots.length + this._ready.length < READ_AHEAD) {
        const got = this._read()
        // Waiting leaves time for the stream to end: what is given then would open its session anew.
        if (got === true || (got !== false && (await got) && !this._over)) this.#give(this._value)
      }
      if (this._sourceDone && !this.#broken && !this.#flushed && !this._over) {
        this.#flushed = true
        this._native.flush(this.#expect())
      }
    } catch (error) {
      // After what was accepted before: those items are answered first.
      this.#broken = true
      if (!this._over) this.#line().fail(error)
    } finally {
      this.#pumping = false
    }
  }

  _release(finished) {
    this.#slots = []
    if (!finished) this._native?.cancel()
    this._native?.end()
  }

  /** Gives an item to the native stream. What it refuses fails in its place in line, like what the guest refuses. */
  #give(value) {
    const ticket = this.#expect()
    try {
      this._native.submit(ticket, value)
    } catch (error) {
      const slot = this.#slots[this.#slots.length - 1]
      this.#tickets.withdraw(ticket)
      this.#broken = true
      slot.fail(error)
    }
  }

  /** Takes a place in line for an answer; its ticket. */
  #expect() {
    return this.#tickets.open(this.#line())
  }

  #line() {
    const slot = {
      sessionId: this._sessionId,
      packets: undefined,
      error: undefined,
      failed: false,
      answer: (packets) => {
        slot.packets = packets
        this.#advance()
      },
      fail: (error) => {
        slot.failed = true
        slot.error = error
        this.#advance()
      },
    }
    this.#slots.push(slot)
    return slot
  }

  /** Hands out what has been answered, up to the first place in line that has not. */
  #advance() {
    if (this._over) return
    while (this.#slots.length > 0) {
      const first = this.#slots[0]
      if (first.failed) return this._fail(first.error)
      if (first.packets === undefined) break
      this.#slots.shift()
      for (const packet of first.packets) this._ready.push(packet)
    }
    this._deliver()
    this._pump()
  }
}

/** Hook: the iterator that `node.process(source, options)` returns. */
function createStream(tickets, node, source, options) {
  return new ItemIterator(tickets, () => node.openStream(source, options), source, options?.signal)
}

module.exports = { createStream }
