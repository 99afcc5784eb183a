// The pull loop of a stream whose two directions are independent: a remote node may answer an item with nothing, or with more than one
// packet, and does not say which item it answers.
//
// Sending follows the native half: `send` says whether there is room for more, `room` tells when there is again, so HTTP/2's flow control
// reaches the source. Receiving follows the consumer: packets are asked for only while somebody waits for them or the read-ahead has room.

const { ticketed } = require('./calls.js')
const { PacketIterator, READ_AHEAD } = require('./iterator.js')

class DuplexIterator extends PacketIterator {
  #tickets
  #starting
  #sending = false
  #receiving = false
  #ended = false
  /** The source failed, or an item was refused: nothing more is sent, and the error comes after what was accepted before. */
  #broken
  /** Items sent since a consumer last waited. */
  #ahead = 0

  constructor(tickets, open, source, signal) {
    super(open, source, signal)
    this.#tickets = tickets
  }

  get _complete() {
    return this.#ended
  }

  _pump() {
    if (this._over) return
    this.#starting ??= this._start()
    this.#send()
    this.#receive()
  }

  _release(finished) {
    if (!finished) this._native?.cancel()
    this._native?.end()
  }

  /** Whether the consumer is close enough for one more item. */
  get #wantsItem() {
    if (this._wanted > 0) this.#ahead = 0
    return this._ready.length < READ_AHEAD && this.#ahead < READ_AHEAD
  }

  async #send() {
    if (this.#sending || this._sourceDone || this.#broken) return
    this.#sending = true
    try {
      await this.#starting
      while (!this._over && !this._sourceDone && !this.#broken && this.#wantsItem) {
        if (!(await this.#give())) await this.#ticket((ticket) => this._native.room(ticket))
      }
      if ((this._sourceDone || this.#broken) && !this._over) this._native.finish()
    } catch (error) {
      this._fail(error)
    } finally {
      this.#sending = false
    }
  }

  /** Sends the next item; false when there is no room for another. */
  async #give() {
    try {
      const got = this._read()
      if (got === false || (got !== true && !(await got)) || this._over) return true
      this.#ahead++
      return this._native.send(this._value)
    } catch (error) {
      this.#broken = { error }
      return true
    }
  }

  async #receive() {
    if (this.#receiving || this.#ended) return
    this.#receiving = true
    try {
      await this.#starting
      while (!this._over && !this.#ended && this._ready.length < READ_AHEAD) {
        const packets = await this.#ticket((ticket) => this._native.receive(ticket))
        if (this._over) return
        // Nothing at all is the end: whoever asks is answered when there is something.
        if (packets.length === 0) {
          if (this.#broken) return this._fail(this.#broken.error)
          this.#ended = true
        }
        for (const packet of packets) this._ready.push(packet)
        this._deliver()
        this.#send()
      }
    } catch (error) {
      this._fail(error)
    } finally {
      this.#receiving = false
    }
  }

  #ticket(use) {
    return ticketed(this.#tickets, this._sessionId, use)
  }
}

module.exports = { DuplexIterator }
