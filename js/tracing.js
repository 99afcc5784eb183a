// Where spans and figures go. What is measured, kept and sent is native code's; JavaScript adds what only it knows of its own thread, and sees
// to it that a process that ends by itself has sent what it recorded.

const { figuresOfThread } = require('./metrics.js')
const native = require('./native.js')

let timer
let flushesAtExit = false

function note() {
  const { residentBytes, eventLoopDelayMs } = figuresOfThread()
  native.noteProcess(residentBytes, eventLoopDelayMs.p99)
}

function configureTracing(options = {}) {
  const intervalMs = native.configureTelemetry(options)
  if (Object.keys(options).join() === 'logLevel') return
  clearInterval(timer)
  if (intervalMs > 0) {
    note()
    // Twice as often as they are sent, so that they are fresh; never the reason that a process goes on.
    timer = setInterval(note, intervalMs / 2).unref()
  }
  if (!flushesAtExit) {
    flushesAtExit = true
    // A collector that is away is no reason to fail at the very end.
    process.once('beforeExit', () => void native.flushTelemetry().catch(() => {}))
  }
}

async function flushTracing() {
  await native.flushTelemetry()
}

async function shutdownTracing() {
  clearInterval(timer)
  await native.shutdownTelemetry()
}

module.exports = { configureTracing, flushTracing, shutdownTracing }
