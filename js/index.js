// Loads the native addon and lends it what only JavaScript makes well: error classes, packets, the pull loop of a stream.

const path = require('node:path')
const { isMainThread } = require('node:worker_threads')
const native = require('./native.js')
const errors = require('./errors.js')
const packets = require('./packets.js')
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
  callHost,
  later: () => void setImmediate(native.drain),
  execPath: process.execPath,
  compileScript: path.join(__dirname, 'compile-child.js'),
  electron: process.versions.electron ?? '',
})

if (isMainThread && !slots.endsWithProcess) {
  slots.endsWithProcess = true
  process.on('exit', () => native.endProcess())
}

const { compileModule, inspectModule, runtimeInfo } = native

/** The native class with what is JavaScript's to add. Being a class of JavaScript, it also refuses to be called without `new`. */
class WasmEdgeNode extends native.WasmEdgeNode {
  call(item, options) {
    return new Promise((resolve, reject) => {
      const slot = { sessionId: options?.sessionId, answer: resolve, fail: reject }
      const ticket = slots.open(slot)
      try {
        const own = this.submit(ticket, item, options)
        slot.sessionId ??= own
      } catch (error) {
        slots.withdraw(ticket)
        reject(error)
      }
    })
  }
}
if (Symbol.asyncDispose) {
  WasmEdgeNode.prototype[Symbol.asyncDispose] = function () {
    return this.cleanup()
  }
}

const { createError: _, ...classes } = errors
module.exports = { WasmEdgeNode, compileModule, inspectModule, runtimeInfo, ...classes }
