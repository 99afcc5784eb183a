// Typical use, checked by the compiler against index.d.ts (package.test.mjs runs it). Nothing here is executed.

import {
  compileModule,
  ConfigurationError,
  HybridWasmNode,
  inspectModule,
  IntelligentRouter,
  Node,
  NodeError,
  Pipeline,
  PipelineError,
  RemoteExecutionClient,
  RemoteMediaError,
  RemoteObjectNode,
  RemotePipelineNode,
  RemoteProcessingService,
  ServiceRegistry,
  runtimeInfo,
  openView,
  WasmEdgeNode,
  type AudioFrame,
  type IntelligentRouterOptions,
  type Item,
  type Json,
  type Kind,
  type MediaNode,
  type NodeMetrics,
  type NodeStreamInfo,
  type Packet,
  type PacketIterator,
  type PipelineMetrics,
  type PipelineNode,
  type ProcessOptions,
  type RouteInfo,
  type RouterDecision,
  type RouterMetrics,
  type Source,
  type Tensor,
  type VideoFrame,
  type WasmEdgeNodeOptions,
} from '@remotemedia/wasmedge'
import { Readable } from 'node:stream'

/** Compiles only if both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
declare function same<A, B>(is: Same<A, B>): void

// --- Making a node
const node = new WasmEdgeNode('vad.wasm')
new WasmEdgeNode(new URL('file:///vad.wasm'), {})
new WasmEdgeNode(new Uint8Array(8), { mode: 'aot' })
const options: WasmEdgeNodeOptions = {
  name: 'ears',
  config: { output: 'events', deep: [1, null, { a: 'b' }] },
  outputKind: 'json',
  exports: { process: 'process_with_remote' },
  memoryLimit: 64 << 20,
  timeoutMs: 100,
  maxOutputBytes: 1 << 20,
  fuel: 1e9,
  mode: 'auto',
  pool: { min: 1, max: 8, idleTtlMs: 1000, maxQueue: 10 },
  sessions: { max: 100, ttlMs: 60_000 },
  stateless: false,
  hostFunctions: {
    sync: (data, info) => `${info.sessionId}${data.toString('hex')}`,
    async async(data) {
      return new Uint8Array(data)
    },
  },
  wasi: { env: { A: 'b' }, args: ['a'], preopens: { '/in': '/tmp' }, clock: true, random: true },
}
new WasmEdgeNode('vad.wasm', options)
// @ts-expect-error an unknown option
new WasmEdgeNode('vad.wasm', { nmae: 'x' })
// @ts-expect-error no such mode
new WasmEdgeNode('vad.wasm', { mode: 'fast' })
// @ts-expect-error no such kind
new WasmEdgeNode('vad.wasm', { outputKind: 'sound' })
// @ts-expect-error a host function must answer
new WasmEdgeNode('vad.wasm', { hostFunctions: { f: () => 5 } })
// @ts-expect-error a module is needed
new WasmEdgeNode()

// --- It is a MediaNode
const media: MediaNode = node
same<typeof node.name, string>(true)
// @ts-expect-error read only
node.name = 'x'
same<ReturnType<typeof node.initialize>, Promise<void>>(true)
same<ReturnType<typeof node.metrics>, NodeMetrics>(true)
const aot: number = node.metrics().callsByMode.aot

// --- Sources
const audio: AudioFrame = { samples: new Float32Array(256), sampleRate: 16_000 }
const tensor: Tensor = { data: new Uint8Array(4), dtype: 'float32', shape: [1] }
const video: VideoFrame = { pixels: new Uint8Array(12), width: 2, height: 2, format: 'rgb24' }
const items: Item[] = [
  audio,
  tensor,
  video,
  'text',
  new Uint8Array(1),
  Buffer.alloc(1),
  { any: ['json'] },
  5,
  null,
  { data: 'x', metadata: { a: 1 }, timestampMs: 5 },
]
async function* generate(): AsyncGenerator<AudioFrame> {
  yield audio
}
const sources: Source[] = [items, new Set(['a']), generate(), new ReadableStream<Item>(), Readable.from(['a'])]
// @ts-expect-error a number is no source
node.process(5)

// --- Streams
async function streams(signal: AbortSignal): Promise<void> {
  const given: ProcessOptions = { sessionId: 's', signal, timeoutMs: 5, metadata: { a: 1 }, traceparent: '00-...' }
  const stream: PacketIterator = node.process(generate(), given)
  for await (const packet of stream) {
    same<typeof packet.kind, Kind>(true)
    same<typeof packet.sequence, number>(true)
    same<typeof packet.metadata, Record<string, Json>>(true)
    const id: string = packet.sessionId
    void id
  }
  const step = await stream.next()
  if (!step.done) same<typeof step.value, Packet>(true)
  await stream.return()
  await stream[Symbol.asyncDispose]()
  // The packets of one node are the source of the next.
  node.process(node.process(items))
  media.process(media.process([]))
  const packets: Packet[] = await node.call(audio, { sessionId: 's' })
  void packets
  // @ts-expect-error unknown
  node.process([], { session: 's' })
  await node.closeSession('s')
  await node.cleanup()
}

// --- Errors
function handle(error: unknown): void {
  if (error instanceof NodeError && error.trap === 'stack-overflow') console.log(error.code, error.nodeName, error.stateLost)
  if (error instanceof ConfigurationError) console.log(error.path.length)
  if (error instanceof RemoteMediaError) {
    same<typeof error.code, string>(true)
    same<typeof error.retryable, boolean>(true)
    const asError: Error = error
    void asError
  }
}

// --- Tools
async function tools(): Promise<void> {
  const { cached, sha256 } = await compileModule('vad.wasm', { fuel: true })
  const info = await inspectModule(new Uint8Array(8))
  const grants: (string | null)[] = info.imports.map((one) => one.grant)
  const features: string[] = runtimeInfo().cpuFeatures
  void [aot, cached, sha256, grants, features, items]
}
void [streams, handle, tools, sources]

// --- The remote side ---------------------------------------------------------------------------------------------------------

async function remote() {
  const registry = new ServiceRegistry({ vad: ['127.0.0.1:50052', 'dns:vad.internal:50052'] })
  const client = await RemoteExecutionClient.connect({ host: '127.0.0.1', port: 50052, api: 'auto', authToken: async () => 'token' })
  const packet: Packet = await client.executeNode('EchoNode', { a: [1, null] }, 'text', { format: 'json', timeoutMs: 5 })
  for await (const one of client.streamNode('EchoNode', undefined, ['a', 'b'])) one.data satisfies unknown
  const { result, sessionId } = await client.executeObjectMethod({ codePackage: new Uint8Array() }, 'add', [1, 2], { kwargs: { times: 2 } })
  for await (const value of client.generator(sessionId, 'count', [3], { batchSize: 2 })) value.sequence satisfies number
  const nodes: { nodeType: string }[] = await client.listNodes('audio')

  const node: MediaNode = new RemoteObjectNode({ registry, service: 'vad', nodeType: 'VoiceActivityDetector', streaming: true })
  const hybrid: MediaNode = new HybridWasmNode('guest.wasm', {
    remote: client,
    services: { vad: 'VoiceActivityDetector', asr: { nodeType: 'Whisper', timeoutMs: 500, format: 'pickle' } },
  })
  // @ts-expect-error: a hybrid node needs its services
  new HybridWasmNode('guest.wasm', { remote: client })

  const service = new RemoteProcessingService({ port: 0, authToken: (token) => token === 'x', limits: { maxConcurrentCalls: 5 } })
    .register('Upper', ({ data }, { config, signal }) => (signal.aborted ? null : `${data}${config.suffix}`))
    .register('Count', async function* (source) {
      for await (const item of source) yield { n: item.sequence }
    })
    .register('Gain', hybrid)
    .register('Each', { create: () => node, category: 'audio', parameters: [{ name: 'gain', required: true }] })
  const { port }: { port: number } = await service.listen()
  await service.close({ graceMs: port })
  return [packet, result, nodes]
}
void remote

// --- Pipelines and routers ---------------------------------------------------------------------------------------------------

class Peak extends Node {
  override accepts: Kind[] = ['audio']
  override produces: Kind[] = ['json']
  override async *process(source: AsyncIterable<Packet>, { sessionId, signal }: NodeStreamInfo): AsyncIterable<Item> {
    for await (const { data } of source) if (!signal?.aborted) yield { data: { sessionId, peak: Math.max(...data.samples) }, kind: 'json' }
  }
  override metrics() {
    return { peaks: 1 }
  }
}
async function* pass(source: AsyncIterable<Packet>): AsyncIterable<Item> {
  yield* source
}

async function pipelines() {
  const peak = new Peak({ name: 'peak', config: { a: [1, null] } })
  const inner: MediaNode = new Pipeline([pass], { name: 'inner' })
  const pipeline = new Pipeline([node, peak, pass, inner, { process: pass }], { name: 'all', bufferSize: 4, onError: 'emit' })
  same<ReturnType<typeof pipeline.addNode>, typeof pipeline>(true)
  pipeline.addNode(pass).addNode(new RemoteObjectNode({ host: 'gpu', nodeType: 'Whisper' }))
  const removed: boolean = pipeline.removeNode('peak')
  // @ts-expect-error: no such way to fail
  new Pipeline([], { onError: 'ignore' })
  // @ts-expect-error: no node
  new Pipeline([{ name: 'nothing' }])
  const stream: PacketIterator = pipeline.process(generate(), { sessionId: 's', timeoutMs: 100 })
  for await (const { data, route } of stream) same<typeof route, RouteInfo | undefined>(true), void data
  const packets: Packet[] = await pipeline.run([audio])
  const count: number = await pipeline.managedExecution(async (made) => (await made.run([audio])).length)
  const { nodes }: PipelineMetrics = pipeline.metrics()
  try {
    pipeline.addNode(pass)
  } catch (error) {
    if (error instanceof PipelineError) console.log(error.code)
  }
  return [removed, packets, count, nodes[0]?.name]
}

async function manifests() {
  const pipeline: Pipeline = Pipeline.fromManifest(new URL('file:///vad.yaml'), {
    nodes: {
      Pass: ({ mark }, { id, nodeType }) => Object.assign(pass, { mark, id, nodeType }),
      Peak: (params) => new Peak({ config: params }),
    },
    remote: { host: 'gpu', port: 50052 },
    baseDir: '/models',
    onError: 'skip',
  })
  same<ReturnType<typeof pipeline.getNode>, PipelineNode | undefined>(true)
  const object: Record<string, Json> = pipeline.toManifest()
  const text: string = pipeline.toManifest({ format: 'yaml' })
  // @ts-expect-error: no such format
  pipeline.toManifest({ format: 'xml' })
  const remote: MediaNode = new RemotePipelineNode({ endpoint: 'gpu:50051', manifest: object, circuit_breaker: { failure_threshold: 3 } })
  return [text, remote]
}

async function routers(cloud: MediaNode) {
  const options: IntelligentRouterOptions = {
    edge: node,
    cloud,
    strategy: 'auto',
    edgeMaxBytes: 1024,
    cloudMinBytes: 1 << 20,
    complexity: ({ metadata }) => Number(metadata.complexity ?? 0.5),
    realtime: true,
    latencyBudgetMs: 100,
    hybrid: { preprocess: pass, escalate: { confidence: 'score', low: 0.3, high: 0.7 } },
    cost: { latencyMs: 1, cloudCall: 2, cloudByte: 0.001, edgeMs: 0.1, error: 500 },
    adaptive: { exploration: 0.02, halfLifeItems: 100, hysteresis: 0.1 },
    circuitBreaker: { failureThreshold: 3, failureRate: 0.5, minimumCalls: 10, windowItems: 50, resetTimeoutMs: 1000, probes: 2 },
    fallback: { afterMs: 200, budgetPercent: 20 },
    hedge: { percentile: 95, maxPercent: 5, minDelayMs: 2 },
    batch: { maxItems: 8, maxDelayMs: 5 },
    bulkhead: { edge: 4, cloud: 64, maxQueue: 16 },
    probeIntervalMs: 500,
    seed: 1,
  }
  const router = new IntelligentRouter(options)
  const routed: MediaNode = router
  new IntelligentRouter({ edge: pass, cloud: new Peak(), adaptive: false, fallback: false, warmStart: router.exportState() })
  new IntelligentRouter({ edge: node, cloud, hybrid: { escalate: async ({ metadata }) => metadata.sure !== true } })
  // @ts-expect-error: a router has two sides
  new IntelligentRouter({ edge: node })
  // @ts-expect-error: no such strategy
  new IntelligentRouter({ edge: node, cloud, strategy: 'fastest' })
  router
    .on('decision', ({ target, rule, sessionId, bytes }) => console.log(target, rule, sessionId, bytes))
    .on('fallback', ({ from, to, error }) => console.log(from, to, error?.code))
    .on('breaker', ({ target, from, to }) => console.log(target, from, to))
  // @ts-expect-error: no such event
  router.on('hedge', () => {})
  const decision: RouterDecision = router.decide(audio)
  const figures: RouterMetrics = router.metrics()
  for await (const { route } of router.process(items, { timeoutMs: 500 })) {
    if (route) same<typeof route.target, 'edge' | 'cloud' | 'hybrid'>(true)
  }
  return [routed, decision.predicted.edge.latencyMs, figures.byTarget.cloud, figures.byReason.learned]
}
void [pipelines, manifests, routers]
// --- The live view
async function watched() {
  const view = await openView(node, { name: 'vad', ui: {}, report: 'report.html' })
  view.input(new Uint8Array(1), 'alice')
  view.output((await node.call('x'))[0] as Packet)
  view.error(new Error('x'))
  same<string | undefined, typeof view.url>(true)
  // @ts-expect-error: the port is a number
  await openView(node, { ui: { port: '80' } })
  await view.close()
}
void watched
