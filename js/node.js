// Nodes of the application: the base class for them, and the one shape in which native code drives any of them.

const native = require('./native.js')
const { createError } = require('./errors.js')
const { handlers } = require('./service.js')
const { NATIVE, SPEC } = require('./symbols.js')

/** Base class for nodes of the application; a plain object or an async generator function will do as well. */
class Node {
  constructor(options = {}) {
    this.name = options.name ?? this.constructor.name
    this.config = options.config ?? {}
  }

  async initialize() {}
  async closeSession(_sessionId) {}
  async cleanup() {}

  metrics() {
    return {}
  }
}

if (Symbol.asyncDispose) {
  Node.prototype[Symbol.asyncDispose] = function () {
    return this.cleanup()
  }
}

/** A function of the node's, bound, that native code may call whether or not the node has it. */
const method = (node, name) => (argument) => (typeof node[name] === 'function' ? node[name](argument) : undefined)

/** The node as functions; nothing for what is no node. */
function face(node, fallback) {
  const isFunction = typeof node === 'function'
  const isNode = isFunction || typeof node?.process === 'function'
  if (!isNode) return undefined
  const { stream } = isFunction ? handlers(node) : { stream: run(node) }
  const target = isFunction ? {} : node
  return {
    name: String(node.name || fallback),
    accepts: node.accepts,
    produces: node.produces,
    stream,
    initialize: method(target, 'initialize'),
    closeSession: method(target, 'closeSession'),
    cleanup: method(target, 'cleanup'),
  }
}

/** A node object's stream. What `process` returns may be awaited first, as of an async function that makes an iterator. */
const run =
  (node) =>
  (source, { sessionId, signal, timeoutMs, traceparent }) =>
    node.process(source, { sessionId, signal, timeoutMs, traceparent })

const OURS = [native.WasmEdgeNode, native.RemoteObjectNode, native.IntelligentRouter].filter(Boolean)

/**
 * The node as a native part of a pipeline or a router; `path` is where the caller gave it.
 *
 * @throws `ConfigurationError` (`ERR_CONFIG`) for what is no node.
 */
function stage(node, path) {
  if (OURS.some((Class) => node instanceof Class)) return new native.NativeStage(node, path)
  const inner = node?.[NATIVE]
  if (inner) return new native.NativeStage(inner.call(node), path)
  return new native.NativeStage(face(node, path.replace('nodes.', 'node-')) ?? node, path)
}

/** A `ConfigurationError` for what only JavaScript can see. */
const refused = (path, problem) => createError('ConfigurationError', 'ERR_CONFIG', `${path}: ${problem}`, false, undefined, undefined, path)

module.exports = { Node, NATIVE, SPEC, refused, stage }
