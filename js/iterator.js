// What every stream of packets has in common, whatever stands behind it: who waits for packets, which are ready, and how it ends.
//
// A pump runs only while somebody wants packets or the read-ahead has room, so a slow consumer holds the source back. Whatever ends the
// stream early (break, abort, an error on either side) stops the native work, closes the source and answers everybody who waits. How items
// become packets is the business of the subclasses: `stream.js` (each item is answered), `duplex.js` (two independent directions).

/** Items read ahead of the consumer: enough to hide the way to the guest and back, few enough to stay close to it. */
const READ_AHEAD = 8

/**
 * Subclasses give `_pump()` (reads the source and hands items on while `_over` is false), `_complete` (all packets have come) and
 * `_release(finished)` (stops the native half).
 */
class PacketIterator {
  #open
  #source
  #signal
  #onAbort
  #iterator
  #reading = false
  #waiting = []
  #failure
  _native
  _sessionId
  _value
  _ready = []
  _sourceDone = false
  _over = false

  constructor(open, source, signal) {
    this.#open = open
    this.#source = source
    this.#signal = signal
  }

  /** The next packet. May be called again before the last call is answered; answers keep the order. */
  next() {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this._deliver()
      this._pump()
    })
  }

  /** Ends the stream: `break` in a `for await` loop comes here. */
  async return(value) {
    await this.#end(true)
    return { value, done: true }
  }

  /** Ends the stream and rejects with `error`. */
  async throw(error) {
    await this.#end(true)
    throw error
  }

  [Symbol.asyncIterator]() {
    return this
  }

  /** How many `next()` calls wait. */
  get _wanted() {
    return this.#waiting.length
  }

  /** Opens the native half and the source, once. */
  async _start() {
    const signal = this.#signal
    if (signal instanceof AbortSignal && signal.aborted) throw signal.reason
    this._native = await this.#open()
    this._sessionId = this._native.sessionId
    if (this._over) return this._native.end()
    if (signal) {
      // Native code has just checked that it is a signal.
      if (signal.aborted) throw signal.reason
      this.#onAbort = () => this._fail(signal.reason, true)
      signal.addEventListener('abort', this.#onAbort, { once: true })
    }
    const source = this.#source
    this.#iterator = (source[Symbol.asyncIterator] ?? source[Symbol.iterator]).call(source)
  }

  /**
   * One step of the source: true with the value in `_value`; false when the source or the stream is over. A promise of that only where the
   * source itself makes one wait: an array's items cost no turn of the microtask queue each.
   */
  _read() {
    this.#reading = true
    try {
      const step = this.#iterator.next()
      if (typeof step?.then === 'function') return this.#readLater(step)
      this.#reading = false
      return this.#take(step)
    } catch (error) {
      this.#reading = false
      throw error
    }
  }

  async #readLater(pending) {
    try {
      const step = await pending
      this.#reading = false
      return await this.#take(step)
    } finally {
      this.#reading = false
    }
  }

  #take(step) {
    if (this._over) return false
    if (step.done) {
      this._sourceDone = true
      return false
    }
    if (typeof step.value?.then === 'function') return this.#takeLater(step.value)
    this._value = step.value
    return true
  }

  async #takeLater(pending) {
    this._value = await pending
    return !this._over
  }

  /** Answers those who wait with what is ready, and with the end once it has come. */
  _deliver() {
    while (this.#waiting.length > 0 && this._ready.length > 0) {
      this.#waiting.shift().resolve({ value: this._ready.shift(), done: false })
    }
    if (this.#waiting.length === 0) return
    if (this._complete && !this._over) this.#end(false)
    if (this._over && this._ready.length === 0) {
      const failure = this.#failure
      this.#failure = undefined
      if (failure) this.#waiting.shift().reject(failure.error)
      for (const one of this.#waiting.splice(0)) one.resolve({ value: undefined, done: true })
    }
  }

  /** Ends with an error, after the packets that came before it unless `drop` says that nobody wants them. */
  _fail(error, drop = false) {
    if (this._over) return
    this.#failure = { error }
    this.#end(drop)
    this._deliver()
  }

  /** Stops everything, once. Resolves when the source has closed. */
  async #end(drop) {
    if (this._over) return
    this._over = true
    const finished = this._complete
    if (drop) this._ready = []
    if (this.#onAbort) this.#signal.removeEventListener('abort', this.#onAbort)
    this._release(finished)
    if (!this.#failure) this._deliver()
    if (this._sourceDone || !this.#iterator?.return) return
    const closed = this.#iterator.return()
    // A source that is still waiting for its next item may never answer; it is told to close, but not waited for.
    if (this.#reading) Promise.resolve(closed).catch(() => {})
    else await closed
  }
}

if (Symbol.asyncDispose) {
  PacketIterator.prototype[Symbol.asyncDispose] = function () {
    return this.return()
  }
}

module.exports = { PacketIterator, READ_AHEAD }
