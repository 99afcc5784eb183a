// The process's own figures: processor time, memory and how late the event loop is.

const { monitorEventLoopDelay } = require('node:perf_hooks')

/** Figures since the last time that they were asked for. */
class System {
  #delay = monitorEventLoopDelay({ resolution: 10 })
  #cpu = process.cpuUsage()
  #at = performance.now()

  constructor() {
    this.#delay.enable()
  }

  sample() {
    const now = performance.now()
    const { user, system } = process.cpuUsage(this.#cpu)
    const elapsed = Math.max(now - this.#at, 1)
    this.#cpu = process.cpuUsage()
    this.#at = now
    // The histogram counts the whole wait, of which 10 ms were asked for; without an entry there is nothing to tell.
    const late = this.#delay.count > 0 ? Math.max(0, this.#delay.percentile(99) / 1e6 - 10) : 0
    this.#delay.reset()
    const { rss, heapUsed } = process.memoryUsage()
    return { cpu: (user + system) / 1e3 / elapsed, rss, heap: heapUsed, loop: late }
  }

  close() {
    this.#delay.disable()
  }
}

module.exports = { System }
