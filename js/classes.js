// The classes that native code makes, with what is JavaScript's to add: promises for single items, `await using`, and what a manifest says.

const native = require('./native.js')
const { ask } = require('./calls.js')
const { SPEC } = require('./node.js')
const { handlers } = require('./service.js')
const { slots } = require('./install.js')

/** Gives a native class what is JavaScript's to add; being a class of JavaScript, it also refuses to be called without `new`. */
function disposable(Class, end) {
  if (!Symbol.asyncDispose) return
  Class.prototype[Symbol.asyncDispose] = function () {
    return this[end]()
  }
}

/** A node whose native half takes single items by ticket. */
const callable = (Native) =>
  class extends Native {
    call(item, options) {
      return ask(slots, options, (ticket) => this.submit(ticket, item, options))
    }
  }

class WasmEdgeNode extends callable(native.WasmEdgeNode) {
  constructor(module, options) {
    super(module, options)
    this[SPEC] = { nodeType: 'WasmEdgeNode', params: { module, ...options } }
  }
}

class HybridWasmNode extends callable(native.WasmEdgeNode) {
  constructor(module, options) {
    super(module, options, true)
    this[SPEC] = { nodeType: 'HybridWasmNode', params: { module, ...options } }
  }
}

class RemoteObjectNode extends native.RemoteObjectNode {
  constructor(options) {
    super(options)
    this[SPEC] = { nodeType: 'RemoteObjectNode', params: options }
  }

  call(item, options) {
    return ask(
      slots,
      options,
      (ticket) => this.submit(ticket, item, options),
      (ticket) => this.stop(ticket),
    )
  }
}

/** A pipeline that runs on a remote, with the parameters that it has in RemoteMedia's manifests. */
class RemotePipelineNode extends RemoteObjectNode {
  constructor(params, path = 'params') {
    const { name, ...rest } = params ?? {}
    super({ name: name ?? rest.manifest?.metadata?.name ?? 'remote pipeline', ...native.remotePipelineOptions(rest, path) })
    this[SPEC] = { nodeType: 'RemotePipelineNode', params: rest }
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

/** Services that listen: nobody need hold them otherwise, and one that is collected would stop listening. */
const listening = new Set()

class RemoteProcessingService extends native.RemoteProcessingService {
  async listen() {
    const bound = await super.listen()
    listening.add(this)
    return bound
  }

  close(options) {
    listening.delete(this)
    return super.close(options)
  }

  register(nodeType, entry) {
    this.add(nodeType, handlers(entry), entry)
    return this
  }
}

for (const Class of [WasmEdgeNode, HybridWasmNode, RemoteObjectNode]) disposable(Class, 'cleanup')
for (const Class of [RemoteExecutionClient, RemoteProcessingService]) disposable(Class, 'close')

module.exports = { WasmEdgeNode, HybridWasmNode, RemoteObjectNode, RemotePipelineNode, RemoteExecutionClient, RemoteProcessingService }
