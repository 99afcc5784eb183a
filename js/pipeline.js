// `Pipeline`: which nodes there are, until the first of them is needed; the rest is native code's (`src/binding/pipeline.rs`).

const native = require('./native.js')
const { createError } = require('./errors.js')
const { NATIVE, SPEC, refused, stage } = require('./node.js')

class Pipeline {
  #nodes = []
  #options
  /** How nodes are connected, where they are no chain: `{ successors, outputs, names }` by index. */
  #graph
  #manifest
  #native
  #closed = false

  constructor(nodes = [], options = undefined) {
    if (!Array.isArray(nodes)) throw refused('nodes', 'must be an array of nodes')
    // Checks the options, whether or not a node ever runs.
    new native.NativePipeline([], options, undefined)
    this.#options = { ...options }
    for (const node of nodes) this.addNode(node)
  }

  static fromManifest(source, { nodes, baseDir, remote, ...options } = {}) {
    const { read } = require('./manifest.js')
    const { made, graph, manifest } = read(source, { nodes, baseDir, remote })
    const pipeline = new Pipeline(made, { name: manifest.metadata.name ?? 'pipeline', ...options })
    for (const [index, entry] of pipeline.#nodes.entries()) entry.name = graph.names[index]
    pipeline.#graph = graph
    pipeline.#manifest = manifest
    pipeline.#joined().check()
    return pipeline
  }

  toManifest({ format = 'object' } = {}) {
    if (!['object', 'json', 'yaml'].includes(format)) throw refused('format', `must be 'object', 'json' or 'yaml', got '${format}'`)
    const manifest = this.#manifest ?? require('./manifest.js').write(this.name, this.#nodes)
    const written = native.writeManifest(manifest, format === 'yaml')
    return format === 'json' ? JSON.stringify(written, null, 2) : written
  }

  get name() {
    return this.#options.name ?? 'pipeline'
  }

  /** The nodes, in order. */
  get nodes() {
    return this.#nodes.map(({ node }) => node)
  }

  addNode(node) {
    this.#mayChange('addNode')
    const path = `nodes.${this.#nodes.length}`
    if (node === this) throw refused(path, 'a pipeline cannot be a node of itself')
    const made = stage(node, path)
    this.#nodes.push({ node, stage: made, name: made.name })
    return this
  }

  removeNode(name) {
    this.#mayChange('removeNode')
    const index = this.#nodes.findIndex((entry) => entry.name === name)
    if (index >= 0) this.#nodes.splice(index, 1)
    return index >= 0
  }

  getNode(name) {
    return this.#nodes.find((entry) => entry.name === name)?.node
  }

  async initialize() {
    await this.#joined().initialize()
  }

  process(source, options) {
    return this.#joined().process(source, options)
  }

  async run(source, options) {
    const packets = []
    for await (const packet of this.process(source, options)) packets.push(packet)
    return packets
  }

  async managedExecution(work) {
    try {
      await this.initialize()
      return await work(this)
    } finally {
      await this.cleanup()
    }
  }

  async closeSession(sessionId) {
    await this.#joined().closeSession(sessionId)
  }

  metrics() {
    const { name, nodes } = this.#joined().metrics()
    return { name, nodes: nodes.map((entry, index) => this.#figures(entry, this.#nodes[index].node)) }
  }

  async cleanup() {
    this.#closed = true
    await this.#joined().cleanup()
  }

  /** As a node of a manifest. */
  get [SPEC]() {
    return { nodeType: 'Pipeline', params: { manifest: this.toManifest() } }
  }

  /** The native half, for a pipeline or a router that this one is a node of. */
  [NATIVE]() {
    return this.#joined()
  }

  /** Nodes of the application know their own figures. */
  #figures(entry, node) {
    const theirs = typeof node.metrics === 'function' ? node.metrics() : entry.metrics
    return { name: entry.name, metrics: theirs }
  }

  #joined() {
    this.#native ??= new native.NativePipeline(
      this.#nodes.map((entry) => entry.stage),
      this.#options,
      this.#graph,
    )
    return this.#native
  }

  #mayChange(what) {
    if (!this.#native) return
    const state = this.#closed ? 'was cleaned up' : 'is in use'
    throw createError('PipelineError', 'ERR_PIPELINE', `${what}: the pipeline ${state}; its nodes are fixed`, false, this.name)
  }
}

if (Symbol.asyncDispose) {
  Pipeline.prototype[Symbol.asyncDispose] = function () {
    return this.cleanup()
  }
}

module.exports = { Pipeline }
