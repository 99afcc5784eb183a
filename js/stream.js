// The pull loop of a stream: source items go to the native stream, its packets come out of an async iterator.
//
// A pump runs only while somebody wants packets or the read-ahead has room, so a slow consumer holds the source back. Answers are
// handed out in the order of the items. Whatever ends the stream early (break, abort, an error on either side) stops the native work,
// closes the source and answers everybody who waits. It validates nothing: native code does, when the stream opens.

/** Items read ahead of the consumer: enough to hide the way to the guest and back, few enough to stay close to it. */
const READ_AHEAD = 8

class PacketIterator {
  #tickets
  #open
  #source
  #signal
  #onAbort
  #native
  #sessionId
  #iterator
  #reading = false
  #slots = []
  #ready = []
  #waiting = []
  #pumping = false
  #sourceDone = false
  /** The source or an item failed: nothing more is read, and the error comes in its turn. */
  #broken = false
  #flushed = false
  #over = false
  #failure

  constructor(tickets, open, source, signal) {
    this.#tickets = tickets
    this.#open = open
    this.#source = source
    this.#signal = signal
  }

  /** The next packet. May be called again before the last call is answered; answers keep the order. */
  next() {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#deliver()
      this.#pump()
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

  async #start() {
    const signal = this.#signal
    if (signal instanceof AbortSignal && signal.aborted) throw signal.reason
    this.#native = await this.#open()
    this.#sessionId = this.#native.sessionId
    if (this.#over) return this.#native.end()
    if (signal) {
      // Native code has just checked that it is a signal.
      if (signal.aborted) throw signal.reason
      this.#onAbort = () => this.#fail(signal.reason, true)
      signal.addEventListener('abort', this.#onAbort, { once: true })
    }
    const source = this.#source
    this.#iterator = (source[Symbol.asyncIterator] ?? source[Symbol.iterator]).call(source)
  }

  async #pump() {
    if (this.#pumping || this.#over) return
    this.#pumping = true
    try {
      if (!this.#native) await this.#start()
      while (!this.#over && !this.#sourceDone && !this.#broken && this.#slots.length + this.#ready.length < READ_AHEAD) {
        this.#reading = true
        let step = this.#iterator.next()
        if (typeof step?.then === 'function') step = await step
        this.#reading = false
        if (this.#over) return
        if (step.done) this.#sourceDone = true
        else {
          const value = typeof step.value?.then === 'function' ? await step.value : step.value
          if (this.#over) return
          this.#give(value)
        }
      }
      if (this.#sourceDone && !this.#broken && !this.#flushed && !this.#over) {
        this.#flushed = true
        this.#native.flush(this.#expect())
      }
    } catch (error) {
      // After what was accepted before: those items are answered first.
      this.#reading = false
      this.#broken = true
      if (!this.#over) this.#line().fail(error)
    } finally {
      this.#pumping = false
    }
  }

  /** Gives an item to the guest. What native code refuses fails in its place in line, like what the guest refuses. */
  #give(value) {
    const ticket = this.#expect()
    try {
      this.#native.submit(ticket, value)
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
      sessionId: this.#sessionId,
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
    if (this.#over) return
    while (this.#slots.length > 0) {
      const first = this.#slots[0]
      if (first.failed) return this.#fail(first.error)
      if (first.packets === undefined) break
      this.#slots.shift()
      for (const packet of first.packets) this.#ready.push(packet)
    }
    this.#deliver()
    this.#pump()
  }

  #deliver() {
    while (this.#waiting.length > 0 && this.#ready.length > 0) {
      this.#waiting.shift().resolve({ value: this.#ready.shift(), done: false })
    }
    if (this.#waiting.length === 0) return
    const complete = this.#flushed && this.#slots.length === 0
    if (complete && !this.#over) this.#end(false)
    if (this.#over && this.#ready.length === 0) {
      const failure = this.#failure
      this.#failure = undefined
      if (failure) this.#waiting.shift().reject(failure.error)
      for (const one of this.#waiting.splice(0)) one.resolve({ value: undefined, done: true })
    }
  }

  /** Ends with an error, after the packets of the items before it unless `drop` says that nobody wants them. */
  #fail(error, drop = false) {
    if (this.#over) return
    this.#failure = { error }
    this.#end(drop)
    this.#deliver()
  }

  /** Stops everything, once. Resolves when the source has closed. */
  async #end(drop) {
    if (this.#over) return
    this.#over = true
    const finished = this.#flushed && this.#slots.length === 0
    this.#slots = []
    if (drop) this.#ready = []
    if (this.#onAbort) this.#signal.removeEventListener('abort', this.#onAbort)
    if (!finished) this.#native?.cancel()
    this.#native?.end()
    if (!this.#failure) this.#deliver()
    if (this.#sourceDone || !this.#iterator?.return) return
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

/** Hook: the iterator that `node.process(source, options)` returns. */
function createStream(tickets, node, source, options) {
  return new PacketIterator(tickets, () => node.openStream(source, options), source, options?.signal)
}

module.exports = { createStream }
