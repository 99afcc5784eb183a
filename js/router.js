// `IntelligentRouter`: nodes and functions of the application in the shape that native code drives, and events.

const { EventEmitter } = require('node:events')
const native = require('./native.js')
const { SPEC, refused, stage } = require('./node.js')
const { handlers } = require('./service.js')

const EVENTS = ['decision', 'fallback', 'breaker']

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

/** A function of the application that looks at a packet, as native code calls it. */
const judge = (fn) => handlers((packet, _info) => fn(packet))

/** The options with nodes and functions in native shape; whatever is not one is left for native code to refuse. */
function dressed(options) {
  if (!isObject(options)) throw refused('options', 'must be an object with edge and cloud')
  const own = { ...options }
  for (const side of ['edge', 'cloud']) if (own[side] !== undefined) own[side] = stage(own[side], side)
  if (typeof own.complexity === 'function') own.complexity = judge(own.complexity)
  if (isObject(own.hybrid)) {
    own.hybrid = { ...own.hybrid }
    for (const part of ['preprocess', 'postprocess']) {
      if (own.hybrid[part] !== undefined) own.hybrid[part] = stage(own.hybrid[part], `hybrid.${part}`)
    }
    if (typeof own.hybrid.escalate === 'function') own.hybrid.escalate = judge(own.hybrid.escalate)
  }
  return own
}

class IntelligentRouter extends native.IntelligentRouter {
  #emitter = new EventEmitter()
  #complexity
  #nodes

  constructor(options) {
    super(dressed(options))
    this.#complexity = options.complexity
    this.#nodes = { edge: options.edge, cloud: options.cloud }
    this[SPEC] = { nodeType: 'IntelligentRouter', params: options }
  }

  /** What would happen to the item now; changes nothing. */
  decide(item) {
    const complexity = this.#complexity
    if (typeof complexity !== 'function') return this.decideFor(item, complexity)
    const isPacket = isObject(item) && item.data !== undefined && item.dtype === undefined
    return this.decideFor(item, complexity(isPacket ? item : { data: item, metadata: {} }))
  }

  metrics() {
    const figures = super.metrics()
    // Nodes of the application know their own figures.
    for (const [side, node] of Object.entries(this.#nodes)) if (typeof node.metrics === 'function') figures[side] = node.metrics()
    return figures
  }

  on(event, listener) {
    if (!EVENTS.includes(event)) throw refused('event', `must be one of ${EVENTS.map((name) => `'${name}'`).join(', ')}, got '${event}'`)
    if (typeof listener !== 'function') throw refused('listener', `must be a function, got ${typeof listener}`)
    this.#emitter.on(event, listener)
    this.#listen()
    return this
  }

  off(event, listener) {
    this.#emitter.off(event, listener)
    this.#listen()
    return this
  }

  /** Native code makes events only while somebody wants them. */
  #listen() {
    const wanted = EVENTS.some((event) => this.#emitter.listenerCount(event) > 0)
    this.listen(wanted ? (event, about) => this.#emitter.emit(event, about) : undefined)
  }
}

if (Symbol.asyncDispose) {
  IntelligentRouter.prototype[Symbol.asyncDispose] = function () {
    return this.cleanup()
  }
}

module.exports = { IntelligentRouter }
