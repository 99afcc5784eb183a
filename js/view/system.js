// The process's own figures: processor time, memory and how late the event loop is.

const { monitorEventLoopDelay } = require('node:perf_hooks')

const SHORTEST_MS = 100

/** Figures since the last time that they were asked for. */
class System {
  #delay = monitorEventLoopDelay({ resolution: 10 })
  #cpu = process.cpuUsage()
  #at = performance.now()
  #last

  constructor() {
    this.#delay.enable()
  }

  sample() {
    const now = performance.now()
    // Of a moment there is nothing to tell.
    if (this.#last && now - this.#at < SHORTEST_MS) return this.#last
    const { user, system } = process.cpuUsage(this.#cpu)
    const elapsed = Math.max(now - this.#at, 1)
    this.#cpu = process.cpuUsage()
    this.#at = now
    // The histogram counts the whole wait, of which 10 ms were asked for; without an entry there is nothing to tell.
    const late = this.#delay.count > 0 ? Math.max(0, this.#delay.percentile(99) / 1e6 - 10) : 0
    this.#delay.reset()
    const { rss, heapUsed } = process.memoryUsage()
    this.#last = { cpu: (user + system) / 1e3 / elapsed, rss, heap: heapUsed, loop: late }
    return this.#last
  }

  close() {
    this.#delay.disable()
  }
}

module.exports = { System }
