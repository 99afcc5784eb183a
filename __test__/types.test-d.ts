// Typical use, checked by the compiler against index.d.ts (package.test.mjs runs it). Nothing here is executed.

import {
  compileModule,
  ConfigurationError,
  HybridWasmNode,
  inspectModule,
  NodeError,
  RemoteExecutionClient,
  RemoteMediaError,
  RemoteObjectNode,
  RemoteProcessingService,
  ServiceRegistry,
  runtimeInfo,
  openView,
  WasmEdgeNode,
  type AudioFrame,
  type Item,
  type Json,
  type Kind,
  type MediaNode,
  type NodeMetrics,
  type Packet,
  type PacketIterator,
  type ProcessOptions,
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
