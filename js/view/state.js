// What is shown and reported: the recorder's figures next to those of the pipeline's nodes, as plain data.

const { round } = require('./buckets.js')

const SIDES = ['edge', 'cloud']
const number = (value) => (Number.isFinite(value) ? value : null)

/** Figures that are drawn at a node, out of whatever the node tells. */
function nodeFigures(metrics) {
  if (typeof metrics !== 'object' || metrics === null) return {}
  const times = metrics.execMs ?? metrics.latencyMs
  const errors = metrics.errors
  return {
    items: number(metrics.itemsSent ?? metrics.items),
    outputs: number(metrics.itemsReceived ?? metrics.outputs),
    errors: typeof errors === 'object' && errors !== null ? sum(Object.values(errors)) : number(errors),
    meanMs: round(number(times?.mean)),
    p99Ms: round(number(times?.p99)),
    mode: typeof metrics.mode === 'string' ? metrics.mode.slice(0, 20) : undefined,
    bytesSent: number(metrics.bytesSent),
    bytesReceived: number(metrics.bytesReceived),
  }
}

const sum = (values) => values.reduce((total, value) => total + (Number.isFinite(value) ? value : 0), 0)

/** A router's figures, with what was counted from its events. */
function routerFigures({ index, id, name, sides }, metrics, recorder) {
  const counted = recorder.router(index)
  const policy = metrics?.policy ?? {}
  const side = (target) => {
    const own = policy[target] ?? {}
    return {
      node: sides[target],
      breaker: typeof own.breaker === 'string' ? own.breaker : null,
      failureShare: number(own.failureShare),
      unreachable: Boolean(own.unreachable),
      roundTripMs: round(number(own.roundTripMs)),
      p50Ms: round(number(own.p50Ms)),
      p95Ms: round(number(own.p95Ms)),
      samples: number(own.samples),
      failures: number(metrics?.failures?.[target]),
      bytes: number(metrics?.bytes?.[target]),
      inFlight: number(metrics?.inFlight?.[target]),
      bySize: (own.bySize ?? []).slice(0, 40).map(({ bytes, meanMs }) => ({ bytes: number(bytes), meanMs: round(number(meanMs)) })),
    }
  }
  const thresholds = policy.thresholds ?? {}
  return {
    index,
    id,
    name,
    strategy: String(metrics?.strategy ?? '').slice(0, 20),
    items: number(metrics?.items),
    byTarget: metrics?.byTarget ?? { edge: 0, cloud: 0, hybrid: 0 },
    byReason: metrics?.byReason ?? {},
    fallbacks: number(metrics?.fallbacks),
    hedges: number(metrics?.hedges),
    hedgesWon: number(metrics?.hedgesWon),
    escalations: number(metrics?.escalations),
    shed: number(metrics?.shed),
    batches: number(metrics?.batches),
    explored: number(metrics?.explored ?? counted.explored),
    edgeMaxBytes: number(thresholds.edgeMaxBytes),
    cloudMinBytes: number(thresholds.cloudMinBytes),
    learnedBytes: number(thresholds.learnedBytes),
    exploration: { share: number(policy.exploration?.share), limit: number(policy.exploration?.limit) },
    regret: { cost: round(number(policy.regret?.cost)), share: number(policy.regret?.share) },
    arrivalsPerSecond: round(number(policy.arrivalsPerSecond)),
    sides: Object.fromEntries(SIDES.map((target) => [target, side(target)])),
    fallbacksTo: { ...counted.fallbacksTo },
    sizes: counted.sizes,
  }
}

/** How many items went over each edge of the graph, where that is known. */
function edgeCounts(graph, nodes, routers, totals) {
  const counts = {}
  const arrived = (id) => {
    if (id === 'out') return totals.out
    const router = routers.find((one) => one.id === id)
    return router ? router.items : nodes[id]?.items
  }
  const requests = ({ router, target }) => {
    const own = routers[router]
    if (own?.items === null || own === undefined) return null
    const { byTarget, escalations, fallbacksTo, hedges } = own
    const hybrid = target === 'cloud' && escalations > 0 ? escalations : byTarget.hybrid
    return byTarget[target] + hybrid + fallbacksTo[target] + (target === 'cloud' ? (hedges ?? 0) : 0)
  }
  for (const edge of graph.edges) {
    if (edge.label) counts[edge.id] = requests(edge.label)
  }
  // What left a node came in over the edges that lead to it; a router's sides count what they were asked for.
  for (const edge of graph.edges) {
    if (edge.label) continue
    if (edge.from === 'in') {
      counts[edge.id] = totals.in
      continue
    }
    const asked = graph.edges.filter((one) => one.to === edge.from && one.label)
    const fromSide = asked.length > 0 ? sum(asked.map((one) => counts[one.id])) : null
    const single = graph.edges.filter((one) => one.to === edge.to).length === 1
    const left = nodes[edge.from]?.outputs
    counts[edge.id] = fromSide ?? left ?? (single ? (arrived(edge.to) ?? null) : (nodes[edge.from]?.items ?? null))
  }
  return counts
}

class State {
  #graph
  #pipeline
  #recorder
  #metrics = {}

  constructor(pipeline, graph, recorder) {
    this.#pipeline = pipeline
    this.#graph = graph
    this.#recorder = recorder
    this.system = { cpu: 0, rss: 0, heap: 0, loop: 0 }
    this.refresh()
  }

  /** Asks the pipeline; once nobody used it yet, it is left alone, for asking would fix its nodes. */
  refresh() {
    if (this.#recorder.firstItem !== undefined || this.#recorder.decisions.count > 0) {
      try {
        this.#metrics = this.#pipeline.metrics?.() ?? {}
      } catch {
        // A node of the application may fail to tell its figures: those that are known stay.
      }
    }
    const nodes = {}
    for (const { id, read } of this.#graph.nodes) {
      try {
        nodes[id] = nodeFigures(read?.(this.#metrics))
      } catch {
        nodes[id] = {}
      }
    }
    this.nodes = nodes
    this.routers = this.#graph.routers.map((router) => routerFigures(router, router.read(this.#metrics), this.#recorder))
    this.edges = edgeCounts(this.#graph, nodes, this.routers, this.#recorder.totals)
  }

  /** Notes the process's figures and the routers' thresholds at this instant. */
  note(system) {
    this.system = system
    const bucket = this.#recorder.timeline.at(this.#recorder.now())
    bucket.process(system)
    if (this.routers.length > 0) {
      bucket.routers = this.routers.slice(0, 8).map(({ learnedBytes, sides }) => [learnedBytes, sides.edge.breaker, sides.cloud.breaker])
    }
  }

  /** Everything that changes, but what happened over time. */
  figures() {
    const recorder = this.#recorder
    return {
      now: Math.round(recorder.now()),
      started: recorder.firstItem !== undefined,
      lastItem: recorder.lastItem === undefined ? null : Math.round(recorder.lastItem),
      totals: { ...recorder.totals },
      percentiles: recorder.percentiles(),
      nodes: this.nodes,
      edges: this.edges,
      routers: this.routers,
      sessions: { rows: recorder.sessions.rows(100), kept: recorder.sessions.size, dropped: recorder.sessions.dropped },
      errors: { rows: recorder.errors.all().slice(-30), count: recorder.errors.count, byCode: Object.fromEntries(recorder.errorCodes) },
      changes: recorder.changes.all().slice(-30),
      decisionCount: recorder.decisions.count,
      system: { ...this.system, cpu: round(this.system.cpu), loop: round(this.system.loop) },
    }
  }

  /** The graph as data. */
  graph() {
    const nodes = this.#graph.nodes.map(({ id, name, kind, type, role }) => ({ id, name, kind, type, role }))
    return { nodes, edges: this.#graph.edges, more: this.#graph.more }
  }
}

module.exports = { State }
