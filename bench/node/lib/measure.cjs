'use strict'
// What every case does the same way: warm up, measure for a while, say what it saw as one line of JSON.

const { monitorEventLoopDelay } = require('node:perf_hooks')

const params = JSON.parse(process.argv[2] ?? '{}')

function report(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`)
}

/** Any failure ends the case with a message and a status; the run says which case it was. */
function run(main) {
  main().then(
    () => process.exit(0),
    (error) => {
      console.error(error)
      process.exit(1)
    },
  )
}

function percentile(sorted, share) {
  return sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

/** Latencies in microseconds; room for five million, then it stops recording and only counts. */
class Latencies {
  #values = new Float64Array(1 << 16)
  count = 0

  add(milliseconds) {
    if (this.count === this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.count++] = milliseconds
  }

  clear() {
    this.count = 0
  }

  summary() {
    const sorted = this.#values.slice(0, this.count).sort()
    return { p50Us: percentile(sorted, 0.5) * 1000, p99Us: percentile(sorted, 0.99) * 1000 }
  }
}

/** Marks the measured time: CPU of all threads, delay of the event loop, wall clock. */
class Window {
  constructor() {
    this.delay = monitorEventLoopDelay({ resolution: 1 })
  }

  start() {
    this.delay.enable()
    this.cpu = process.cpuUsage()
    this.started = performance.now()
  }

  stop() {
    const seconds = (performance.now() - this.started) / 1000
    const { user, system } = process.cpuUsage(this.cpu)
    this.delay.disable()
    // A loop that never turned has no figure, not a good one.
    const loopP99Ms = this.delay.count > 0 ? this.delay.percentile(99) / 1e6 : null
    return { seconds, cpuSeconds: (user + system) / 1e6, loopP99Ms, loopMaxMs: this.delay.count > 0 ? this.delay.max / 1e6 : null }
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

module.exports = { params, report, run, Latencies, Window, sleep, percentile }
