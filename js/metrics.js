// All figures of this process: native code's, and what only JavaScript knows of its thread.

const http = require('node:http')
const { monitorEventLoopDelay } = require('node:perf_hooks')
const native = require('./native.js')
const { refused } = require('./node.js')

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

/** What native code cannot tell. */
function figuresOfThread() {
  const { rss, heapUsed } = process.memoryUsage()
  return { residentBytes: rss, heapUsedBytes: heapUsed, eventLoopDelayMs: eventLoopDelay() }
}

function getMetrics() {
  const figures = native.processMetrics()
  return { ...figures, system: { ...figures.system, ...figuresOfThread() } }
}

function prometheusMetrics() {
  return native.prometheusText(process.memoryUsage.rss(), eventLoopDelay().p99)
}

/** The figures at `/metrics`, for Prometheus. */
async function serveMetrics(options = {}) {
  const { host = '127.0.0.1', port = 9464, ...unknown } = options
  for (const key of Object.keys(unknown)) throw refused(key, 'is no option')
  if (typeof host !== 'string' || host === '') throw refused('host', 'must be a name or an address')
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw refused('port', `must be a whole number from 0 to 65535, got ${port}`)
  const server = http.createServer((request, response) => {
    if (request.url.split('?')[0] !== '/metrics') return response.writeHead(404).end()
    if (!['GET', 'HEAD'].includes(request.method)) return response.writeHead(405, { allow: 'GET, HEAD' }).end()
    response.setHeader('content-type', 'application/openmetrics-text; version=1.0.0; charset=utf-8')
    response.end(request.method === 'GET' ? prometheusMetrics() : undefined)
  })
  await new Promise((resolve, reject) => {
    const failed = (error) => {
      const place = ['EADDRINUSE', 'EACCES'].includes(error.code) ? 'port' : 'host'
      reject(refused(place, `cannot listen on ${host}:${port}: ${error.message}`))
    }
    server.once('error', failed).listen(port, host, () => resolve(server.off('error', failed)))
  })
  server.unref()
  const { address, family, port: bound } = server.address()
  const close = () => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(() => resolve()))
  }
  return { url: `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}/metrics`, port: bound, close }
}

module.exports = { getMetrics, prometheusMetrics, serveMetrics, figuresOfThread }
