// RemoteMedia's manifests and nodes: which node a part of a manifest is, and what a node is in a manifest. Native code reads, checks and
// sorts (`src/binding/manifest.rs`).

const path = require('node:path')
const { fileURLToPath } = require('node:url')
const native = require('./native.js')
const classes = require('./classes.js')
const { SPEC, refused } = require('./node.js')

/** Modules that come with the package, by the name under which it exports them. */
const OWN_MODULES = '@remotemedia/wasmedge/modules/'

function modulePath(module, folder, at) {
  if (typeof module !== 'string' || module === '') throw refused(`${at}.module`, 'must be the path of a WebAssembly module')
  if (module.startsWith(OWN_MODULES)) return path.join(__dirname, '../wasm-modules/dist', path.basename(module))
  return path.resolve(folder, module)
}

/** Node types of this package: `(params, at, context) => node`. */
const BUILT_IN = {
  WasmEdgeNode: ({ module, ...options }, at, { folder }) => new classes.WasmEdgeNode(modulePath(module, folder, at), options),
  HybridWasmNode: ({ module, ...options }, at, { folder }) => new classes.HybridWasmNode(modulePath(module, folder, at), options),
  RemoteObjectNode: (params) => new classes.RemoteObjectNode(params),
  RemotePipelineNode: (params, at) => new classes.RemotePipelineNode(params, at),
  IntelligentRouter: router,
  Pipeline: ({ manifest }, _at, { folder, nodes, remote }) => {
    const { Pipeline } = require('./pipeline.js')
    return Pipeline.fromManifest(manifest, { nodes, remote, baseDir: folder })
  },
}

/** A router's sides are nodes of a manifest themselves. */
function router(params, at, context) {
  const { IntelligentRouter } = require('./router.js')
  const own = { ...params }
  const inner = (node, where) => {
    if (typeof node?.node_type !== 'string') throw refused(`${where}.node_type`, 'must be the type of a node')
    return nodeOf({ id: where, params: {}, ...node }, where, context)
  }
  for (const side of ['edge', 'cloud']) if (own[side] !== undefined) own[side] = inner(own[side], `${at}.${side}`)
  if (own.hybrid) {
    own.hybrid = { ...own.hybrid }
    for (const part of ['preprocess', 'postprocess']) {
      if (own.hybrid[part] !== undefined) own.hybrid[part] = inner(own.hybrid[part], `${at}.hybrid.${part}`)
    }
  }
  return new IntelligentRouter(own)
}

/** Runs `make`; an option that it refuses gets the place of the options before its path. */
function placed(at, make) {
  try {
    return make()
  } catch (error) {
    if (error.code !== 'ERR_CONFIG' || error.path === undefined || error.path.startsWith(at)) throw error
    throw refused(`${at}.${error.path}`, error.message.replace(`${error.path}: `, ''))
  }
}

/** The implementation here, if there is one. */
function local(node, at, context) {
  const own = context.nodes[node.node_type]
  const params = node.params ?? {}
  if (own !== undefined) {
    if (typeof own !== 'function') throw refused(`nodes.${node.node_type}`, 'must be a function that makes a node')
    return () => own(params, { id: node.id, nodeType: node.node_type, manifestNode: node })
  }
  const builtIn = Object.hasOwn(BUILT_IN, node.node_type) ? BUILT_IN[node.node_type] : undefined
  return builtIn && (() => placed(`${at}.params`, () => builtIn(params, `${at}.params`, context)))
}

/** The implementation on a remote, if it is known which: `host`, or the caller's default. */
function remote(node, at, { remote: options }) {
  if (node.host === undefined && options === undefined) return undefined
  const where = node.host === undefined ? options : { ...options, host: undefined, port: undefined, endpoints: [node.host] }
  const given = Object.fromEntries(Object.entries(where).filter(([, value]) => value !== undefined))
  const streaming = node.is_streaming === true
  return () => placed(at, () => new classes.RemoteObjectNode({ ...given, nodeType: node.node_type, config: node.params ?? {}, streaming }))
}

const STRATEGIES = { prefer_local: 'edge-first', prefer_remote: 'cloud-first', auto: 'auto' }

/** The node of a manifest's node: here, on a remote, or a router over both, as its `execution.placement` says. */
function nodeOf(node, at, context) {
  const [here, there] = [local(node, at, context), remote(node, at, context)]
  const placement = node.execution?.placement
  const names = () => [...new Set([...Object.keys(context.nodes), ...Object.keys(BUILT_IN)])].join(', ')
  const unknown = (problem) => refused(`${at}.node_type`, `${problem}; known here: ${names()}`)
  if (placement === 'local' && !here) throw unknown(`'${node.node_type}' is to run here, and is not known here`)
  if (placement === 'remote' && !there)
    throw refused(`${at}.host`, `'${node.node_type}' is to run on a remote: give its host, or options.remote`)
  if (placement === 'remote') return there()
  if (here && there && STRATEGIES[placement]) {
    const { IntelligentRouter } = require('./router.js')
    return new IntelligentRouter({ edge: here(), cloud: there(), strategy: STRATEGIES[placement], name: node.id })
  }
  const make = here ?? there
  if (!make) throw unknown(`there is no node type '${node.node_type}' here, and no remote for it`)
  return make()
}

/** Everything that a pipeline needs of a manifest. */
function read(source, { nodes = {}, baseDir, remote: remoteOptions } = {}) {
  const input = source instanceof URL ? fileURLToPath(source) : source
  const { manifest, order, graph, folder } = native.readManifest(input)
  const context = { nodes, remote: remoteOptions, folder: path.resolve(baseDir ?? folder ?? '.') }
  const made = order.map((index) => nodeOf(manifest.nodes[index], `nodes.${index}`, context))
  return { made, graph, manifest }
}

/** Options that are a secret, or that JSON cannot hold, are not written. */
const UNWRITTEN = new Set(['authToken', 'auth_token', 'tls', 'hostFunctions', 'remote', 'registry'])

function writable(params, at) {
  const own = {}
  for (const [key, value] of Object.entries(params ?? {})) {
    if (UNWRITTEN.has(key) || typeof value === 'function' || value === undefined) continue
    if (key === 'module' && value instanceof URL) own.module = fileURLToPath(value)
    else if (key === 'module' && typeof value !== 'string')
      throw refused(`${at}.module`, 'a module given as bytes cannot be written in a manifest')
    else if (value?.[SPEC]) own[key] = inManifest(value, at)
    else own[key] = value
  }
  return own
}

function inManifest(node, at) {
  const spec = node[SPEC] ?? { nodeType: node.constructor === Object ? (node.name ?? 'Node') : nameOf(node), params: node.config }
  return { node_type: spec.nodeType, params: writable(spec.params, `${at}.params`) }
}

const nameOf = (node) => (typeof node === 'function' ? node.name || 'anonymous' : (node.constructor?.name ?? 'Node'))

/** A chain of nodes as a manifest. */
function write(name, entries) {
  const taken = new Map()
  const nodes = entries.map(({ node, name: own }, index) => {
    const count = (taken.get(own) ?? 0) + 1
    taken.set(own, count)
    return { id: count > 1 ? `${own}-${count}` : own, ...inManifest(node, `nodes.${index}`) }
  })
  const connections = nodes.slice(1).map((node, index) => ({ from: nodes[index].id, to: node.id }))
  return { version: 'v1', metadata: { name }, nodes, connections }
}

module.exports = { read, write }
