// The pipeline as a picture needs it: its nodes, with routers' sides and pipelines inside pipelines taken apart, what leads where, and which
// part of `pipeline.metrics()` belongs to which node.

const { SPEC } = require('../node.js')

/** Nodes that are drawn. */
const MOST = 60
const DEEPEST = 6

const KINDS = {
  WasmEdgeNode: 'wasm',
  HybridWasmNode: 'wasm',
  RemoteObjectNode: 'remote',
  RemotePipelineNode: 'remote',
  IntelligentRouter: 'router',
}
const typeName = (node) => (typeof node === 'function' ? 'function' : (node?.constructor?.name ?? 'node'))
const kindOf = (node) => KINDS[typeName(node)] ?? 'application'
const isPipeline = (node) => Array.isArray(node?.nodes) && typeof node.metrics === 'function'
const cut = (text) => (text.length > 120 ? `${text.slice(0, 119)}…` : text)
const nameOf = (node, fallback) => cut(String(node?.name || fallback))

/** The options that a router was made with; its sides are among them. */
function routerOptions(node) {
  const spec = kindOf(node) === 'router' ? node[SPEC] : undefined
  return spec?.params
}

/** How the nodes of a pipeline are joined: pairs of indexes, names by index. A chain, unless its manifest says otherwise. */
function joints(pipeline) {
  const { nodes } = pipeline
  const chain = { pairs: nodes.slice(1).map((_, index) => [index, index + 1]), names: nodes.map(() => undefined) }
  try {
    const manifest = pipeline.toManifest()
    const index = new Map(manifest.nodes.map(({ id }) => [id, nodes.indexOf(pipeline.getNode(id))]))
    if (new Set(index.values()).size !== nodes.length || [...index.values()].includes(-1)) return chain
    const names = []
    for (const [id, at] of index) names[at] = id
    return { pairs: manifest.connections.map(({ from, to }) => [index.get(from), index.get(to)]), names }
  } catch {
    // A module that was given as bytes has no manifest; such a pipeline is a chain.
    return chain
  }
}

class Builder {
  nodes = []
  edges = []
  routers = []
  more = 0

  /** Adds one box; `read` finds its figures in those of the whole. */
  box(name, kind, type, read, role) {
    if (this.nodes.length >= MOST) {
      this.more++
      return undefined
    }
    const id = `n${this.nodes.length}`
    this.nodes.push({ id, name, kind, type, read, role })
    return id
  }

  join(froms, tos, label) {
    for (const from of froms) for (const to of tos) this.edges.push({ from, to, label })
  }

  /** Adds a node with all that is in it: where items enter and leave. */
  add(node, name, read, role, depth) {
    if (isPipeline(node) && depth < DEEPEST) return this.pipeline(node, read, role, depth)
    const options = depth < DEEPEST ? routerOptions(node) : undefined
    if (options) return this.router(node, name, options, read, role, depth)
    const id = this.box(name, kindOf(node), typeName(node), read, role)
    return id === undefined ? { entries: [], exits: [] } : { entries: [id], exits: [id] }
  }

  pipeline(pipeline, read, role, depth) {
    const { pairs, names } = joints(pipeline)
    const parts = pipeline.nodes.map((node, index) => {
      const own = (all) => read(all)?.nodes?.[index]?.metrics
      return this.add(node, cut(names[index] ?? nameOf(node, `node-${index}`)), own, role, depth + 1)
    })
    for (const [from, to] of pairs) this.join(parts[from].exits, parts[to].entries)
    const entered = new Set(pairs.map(([, to]) => to))
    const left = new Set(pairs.map(([from]) => from))
    const ends = (without, side) => parts.flatMap((part, index) => (without.has(index) ? [] : part[side]))
    return { entries: ends(entered, 'entries'), exits: ends(left, 'exits') }
  }

  router(node, name, options, read, role, depth) {
    const id = this.box(name, 'router', 'IntelligentRouter', read, role)
    if (id === undefined) return { entries: [], exits: [] }
    const index = this.routers.length
    const entry = { index, id, name, node, read }
    this.routers.push(entry)
    const edge = this.add(options.edge, nameOf(options.edge, 'edge'), (all) => read(all)?.edge, 'edge', depth + 1)
    this.join([id], edge.entries, { router: index, target: 'edge' })
    // Nodes before and after the cloud are not among the router's figures; they know their own.
    const own = (part) => () => (typeof part?.metrics === 'function' ? part.metrics() : undefined)
    const around = (part) => options.hybrid?.[part]
    const beside = (part) => around(part) && this.add(around(part), nameOf(around(part), part), own(around(part)), 'edge', depth + 1)
    const before = beside('preprocess')
    const cloud = this.add(options.cloud, nameOf(options.cloud, 'cloud'), (all) => read(all)?.cloud, 'cloud', depth + 1)
    const after = beside('postprocess')
    const way = [before, cloud, after].filter(Boolean)
    this.join([id], way[0].entries, { router: index, target: 'cloud' })
    for (let step = 1; step < way.length; step++) this.join(way[step - 1].exits, way[step].entries)
    entry.sides = { edge: edge.entries[0], cloud: cloud.entries[0] }
    return { entries: [id], exits: [...edge.exits, ...way.at(-1).exits] }
  }
}

/** The graph of a pipeline, or of a node that stands alone: `{ nodes, edges, routers, more }`, with a source and a sink. */
function graphOf(pipeline) {
  const builder = new Builder()
  builder.nodes.push({ id: 'in', name: 'source', kind: 'end', type: 'input' })
  const { entries, exits } = builder.add(pipeline, nameOf(pipeline, 'node'), (all) => all, undefined, 0)
  builder.nodes.push({ id: 'out', name: 'output', kind: 'end', type: 'output' })
  builder.join(['in'], entries)
  builder.join(exits.length > 0 ? exits : ['in'], ['out'])
  const { nodes, edges, routers, more } = builder
  return { nodes, edges: edges.map((edge, index) => ({ id: `e${index}`, ...edge })), routers, more }
}

module.exports = { graphOf }
