// Problem: Ctrl-C must not lose what was already read, and must not be ignored either.
// Answer: one `Stopping` per process. The first signal resolves `requested`: whoever reads stops reading and what is under way is finished;
// the second ends the process at once. Until a command says that it `handles` signals, the first one ends the process.

const EXIT = { SIGINT: 130, SIGTERM: 143 }

class Stopping {
  #handled = false
  #resolve
  /** The signal, once there was one. */
  signal
  requested = new Promise((resolve) => {
    this.#resolve = resolve
  })

  constructor() {
    for (const name of Object.keys(EXIT)) process.on(name, () => this.#hear(name))
  }

  #hear(name) {
    if (!this.#handled || this.signal) process.exit(EXIT[name])
    this.signal = name
    this.#resolve(name)
  }

  /** From now on the first signal is only noted. */
  handles() {
    this.#handled = true
    return this
  }

  /** Stops as a signal would. */
  get stopped() {
    return this.signal !== undefined
  }

  /** The exit code, given that of a run that nobody stopped. */
  exitCode(otherwise) {
    return this.signal ? EXIT[this.signal] : otherwise
  }

  /** What the promise gives, or nothing once a signal came. */
  async unless(promise) {
    if (this.stopped) return undefined
    return Promise.race([promise, this.requested.then(() => undefined)])
  }
}

module.exports = { Stopping }
