// Lends native code what only JavaScript makes well: error classes, packets, the pull loop of a stream.

const path = require('node:path')
const { isMainThread } = require('node:worker_threads')
const native = require('./native.js')
const context = require('./context.js')
const errors = require('./errors.js')
const packets = require('./packets.js')
const { DuplexIterator } = require('./duplex.js')
const { serve } = require('./service.js')
const { createStream } = require('./stream.js')

/** Hook: calls a host function of the application and answers through `reply(error, value)`, now or later. */
function callHost(fn, data, info, reply) {
  let answer
  try {
    answer = fn(data, info)
  } catch (error) {
    return reply(error ?? new Error('it threw nothing'))
  }
  if (typeof answer?.then !== 'function') return reply(undefined, answer)
  answer.then(
    (value) => reply(undefined, value),
    (error) => reply(error ?? new Error('it rejected with nothing')),
  )
}

// Loaded once more in the same environment, as test runners do, the slots of the first load stay in use.
const slots = native.install({
  createError: errors.createError,
  slots: packets,
  createStream: (node, source, options) => createStream(slots, node, source, options),
  createDuplex: (stream, failure, source, options) => {
    const open = () => {
      if (failure !== undefined) throw failure
      return stream
    }
    return new DuplexIterator(slots, open, source, options?.signal)
  },
  callHost,
  serve: (handler, call) => void serve(slots, handler, call),
  later: () => void setImmediate(native.drain),
  activeTrace: context.activeTrace,
  traceApi: context.API,
  execPath: process.execPath,
  compileScript: path.join(__dirname, 'compile-child.js'),
  electron: process.versions.electron ?? '',
})

if (isMainThread && !slots.endsWithProcess) {
  slots.endsWithProcess = true
  process.on('exit', () => native.endProcess())
}

module.exports = { slots }
