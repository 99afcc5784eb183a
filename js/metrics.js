// All figures of this process: native code's, and what only JavaScript knows of its thread.

const { monitorEventLoopDelay } = require('node:perf_hooks')
const native = require('./native.js')

/** Measures from the first reading on: whoever never reads pays nothing. */
let delay

/** How late the event loop was since the last reading, in milliseconds; zeros in the first. */
function eventLoopDelay() {
  if (!delay) {
    delay = monitorEventLoopDelay({ resolution: 10 })
    delay.enable()
    return { mean: 0, p99: 0, max: 0 }
  }
  const ms = (nanoseconds) => (Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e6) : 0)
  const figures = { mean: ms(delay.mean), p99: ms(delay.percentile(99)), max: ms(delay.max) }
  delay.reset()
  return figures
}

function getMetrics() {
  const figures = native.processMetrics()
  const { rss, heapUsed } = process.memoryUsage()
  return { ...figures, system: { ...figures.system, residentBytes: rss, heapUsedBytes: heapUsed, eventLoopDelayMs: eventLoopDelay() } }
}

function prometheusMetrics() {
  return native.prometheusText(process.memoryUsage.rss(), eventLoopDelay().p99)
}

module.exports = { getMetrics, prometheusMetrics }
