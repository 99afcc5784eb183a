// Loads the native addon and lends it what only JavaScript makes well: error classes, packets, the pull loop of a stream.

const path = require('node:path')
const { isMainThread } = require('node:worker_threads')
const native = require('./native.js')
const errors = require('./errors.js')
const packets = require('./packets.js')
const { ask } = require('./calls.js')
const { DuplexIterator } = require('./duplex.js')
const { handlers, serve } = require('./service.js')
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
  execPath: process.execPath,
  compileScript: path.join(__dirname, 'compile-child.js'),
  electron: process.versions.electron ?? '',
})

if (isMainThread && !slots.endsWithProcess) {
  slots.endsWithProcess = true
  process.on('exit', () => native.endProcess())
}

const { compileModule, inspectModule, runtimeInfo } = native

/** Gives a native class what is JavaScript's to add; being a class of JavaScript, it also refuses to be called without `new`. */
function disposable(Class, end) {
  if (!Symbol.asyncDispose) return Class
  Class.prototype[Symbol.asyncDispose] = function () {
    return this[end]()
  }
  return Class
}

/** A node whose native half takes single items by ticket. */
const callable = (Native) =>
  class extends Native {
    call(item, options) {
      return ask(slots, options, (ticket) => this.submit(ticket, item, options))
    }
  }

class WasmEdgeNode extends callable(native.WasmEdgeNode) {}
class HybridWasmNode extends callable(native.WasmEdgeNode) {
  constructor(module, options) {
    super(module, options, true)
  }
}
class RemoteObjectNode extends native.RemoteObjectNode {
  call(item, options) {
    return ask(
      slots,
      options,
      (ticket) => this.submit(ticket, item, options),
      (ticket) => this.stop(ticket),
    )
  }
}

class RemoteExecutionClient extends native.RemoteExecutionClient {
  static async connect(config) {
    const client = new RemoteExecutionClient(config)
    await client.ready()
    return client
  }

  executeNode(nodeType, config, input, options) {
    return this.#one(options, (ticket) => this.submitNode(ticket, nodeType, config, input, options))
  }

  executePipeline(pipelineId, input, options) {
    return this.#one(options, (ticket) => this.submitPipeline(ticket, pipelineId, input, options))
  }

  executeManifest(manifest, input, options) {
    return this.#one(options, (ticket) => this.submitManifest(ticket, manifest, input, options))
  }

  executeCustomTask(task, input, options) {
    return this.#one(options, (ticket) => this.submitTask(ticket, task, input, options))
  }

  async executeObjectMethod(object, method, args, options) {
    const result = await this.#one(options, (ticket) => this.submitMethod(ticket, object, method, args, options))
    const { 'rm.session': sessionId, 'rm.generator': generatorId, ...metadata } = result.metadata
    return { result: Object.assign(result, { metadata }), sessionId, generatorId }
  }

  async #one(options, start) {
    const [packet] = await ask(slots, options, start, (ticket) => this.stop(ticket))
    return packet
  }
}

class RemoteProcessingService extends native.RemoteProcessingService {
  register(nodeType, entry) {
    this.add(nodeType, handlers(entry), entry)
    return this
  }
}

disposable(WasmEdgeNode, 'cleanup')
disposable(HybridWasmNode, 'cleanup')
disposable(RemoteObjectNode, 'cleanup')
disposable(RemoteExecutionClient, 'close')
disposable(RemoteProcessingService, 'close')

const { createError: _, ...classes } = errors
const { ServiceRegistry } = native
module.exports = {
  WasmEdgeNode,
  HybridWasmNode,
  RemoteObjectNode,
  RemoteExecutionClient,
  RemoteProcessingService,
  ServiceRegistry,
  compileModule,
  inspectModule,
  runtimeInfo,
  ...classes,
}
