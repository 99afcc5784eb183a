// Problem: Ctrl-C must not lose what was already read, and must not be ignored either.
// Answer: one `Stopping` per process. At the first signal whoever reads stops reading, and what is under way is finished;
// the second ends the process at once. Until a command says that it `handles` signals, the first one ends the process.

const EXIT = { SIGINT: 130, SIGTERM: 143 }

class Stopping {
  #handled = false
  #waiting = new Set()
  /** The signal, once there was one. */
  signal

  constructor() {
    for (const name of Object.keys(EXIT)) process.on(name, () => this.#hear(name))
  }

  #hear(name) {
    if (!this.#handled || this.signal) process.exit(EXIT[name])
    this.signal = name
    process.stderr.write(`${process.stderr.isTTY ? '\r\x1b[K' : ''}${name}: finishing what is under way; once more ends at once\n`)
    for (const stop of this.#waiting) stop()
    this.#waiting.clear()
  }

  /** From now on the first signal is only noted. */
  handles() {
    this.#handled = true
    return this
  }

  get stopped() {
    return this.signal !== undefined
  }

  /** The exit code, given that of a run that nobody stopped. */
  exitCode(otherwise) {
    return this.signal ? EXIT[this.signal] : otherwise
  }

  /** What the promise gives, or nothing once a signal came. Leaves nothing behind, however often it is called. */
  unless(promise) {
    if (this.stopped) {
      promise.catch(() => {})
      return Promise.resolve(undefined)
    }
    return new Promise((resolve, reject) => {
      const stop = () => resolve(undefined)
      this.#waiting.add(stop)
      const settle = (done) => (value) => {
        this.#waiting.delete(stop)
        done(value)
      }
      promise.then(settle(resolve), settle(reject))
    })
  }

  /** Resolves at the first signal. */
  requested() {
    return this.unless(new Promise(() => {}))
  }
}

module.exports = { Stopping }
