// Hand-written part of the types: shapes that JavaScript makes. The rest of this file is generated from Rust.

/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
/** Kind of a payload. */
export type Kind = 'binary' | 'text' | 'json' | 'audio' | 'tensor' | 'video'
/** Audio: interleaved samples, -1 to 1 as floats or 16-bit; comes out as `Float32Array`. */
export interface AudioFrame {
  samples: Float32Array | Int16Array
  /** Samples per second of one channel. */
  sampleRate: number
  /** Default 1. */
  channels?: number
}
/** A tensor: row-major, little-endian. */
export interface Tensor {
  data: Uint8Array
  /** Such as `float32`. */
  dtype: string
  shape: number[]
}
/** A video frame. */
export interface VideoFrame {
  pixels: Uint8Array
  width: number
  height: number
  /** Such as `rgb24`. */
  format: string
}
/** What a node works on. */
export type Payload = Uint8Array | string | AudioFrame | Tensor | VideoFrame | Json
/** What the last router that a packet went through did with it. */
export interface RouteInfo {
  /** Where the answer was made; `hybrid` when both sides had a part in it. */
  target: 'edge' | 'cloud' | 'hybrid'
  /** Why it was to run there, for people. */
  reason: string
  /** Whether another side than the one decided for answered. */
  fallback: boolean
  /** Requests made for it, on both sides. */
  attempts: number
  /** Milliseconds spent at the edge, waiting included. */
  edgeMs?: number
  /** Milliseconds spent on the cloud, waiting included. */
  cloudMs?: number
  /** Whether a second request was sent because the first took long. */
  hedged?: boolean
}
/** What comes out of a node. */
export interface Packet<P = any> {
  data: P
  kind: Kind
  sessionId: string
  /** Index in its stream of the input that this answers; for what a flush put out, the number of inputs. */
  sequence: number
  /** The input's own time stamp, carried along. */
  timestampMs?: number
  metadata: Record<string, Json>
  route?: RouteInfo
}
/** What goes into a node: a bare payload or a packet. */
export type Item = Payload | (Partial<Packet> & { data: Payload })
/** A source of items; Node's Readables are async iterables. */
export type Source = Iterable<Item> | AsyncIterable<Item> | ReadableStream<Item>
/** The iterator that `process` returns. `break`, `return()` and `await using` stop the work and close the source. */
export interface PacketIterator extends AsyncIterableIterator<Packet> {
  return(value?: any): Promise<IteratorResult<Packet>>
  throw(error?: any): Promise<IteratorResult<Packet>>
  [Symbol.asyncIterator](): PacketIterator
  [Symbol.asyncDispose](): Promise<any>
}
/** Options of one stream. */
export interface ProcessOptions {
  /** 1 to 256 bytes. Default: a session of the stream's own, which ends with it. */
  sessionId?: string
  /** Stops the stream; it rejects with the signal's reason. */
  signal?: AbortSignal
  /** Milliseconds per item. Default: the node's. */
  timeoutMs?: number
  /** Entries that every item gets beneath its own. */
  metadata?: Record<string, Json>
  /** W3C trace context, carried in every item's metadata. */
  traceparent?: string
}
/** The shape of every node. */
export interface MediaNode {
  readonly name: string
  initialize(): Promise<void>
  process(source: Source, options?: ProcessOptions): AsyncIterableIterator<Packet>
  closeSession(sessionId: string): Promise<void>
  metrics(): Record<string, any>
  cleanup(): Promise<void>
}
/** What a pipeline or a router takes as a node: a node, an object that has at least `process`, or a function from a stream to a stream. */
export type PipelineNode =
  | MediaNode
  | { process(source: AsyncIterable<Packet>, options: NodeStreamInfo): AsyncIterable<Item> | Promise<AsyncIterable<Item>> }
  | ((source: AsyncIterableIterator<Packet>, info: NodeStreamInfo) => AsyncIterable<Item>)
/** What a node of the application is told about its stream. */
export interface NodeStreamInfo {
  sessionId: string
  /** Aborts when nobody wants the stream's packets any more. */
  signal?: AbortSignal
  timeoutMs?: number
  traceparent?: string
}
/** Base class for nodes of the application. Behind a router a node answers an item before it asks for the next one. */
export declare class Node {
  constructor(options?: { name?: string; config?: Json })
  /** Name in errors, metrics and logs. Default: the class's. */
  readonly name: string
  readonly config: any
  /** Kinds that it takes in and puts out, where it says so: a pipeline refuses neighbours that have none in common. */
  readonly accepts?: Kind[]
  readonly produces?: Kind[]
  /** Called once, before the first stream. */
  initialize(): Promise<void>
  /** Called for each stream; what it yields goes to the next node. */
  process?(source: AsyncIterable<Packet>, options?: NodeStreamInfo): AsyncIterable<Item>
  /** Called when a session ends. */
  closeSession(sessionId: string): Promise<void>
  metrics(): Record<string, unknown>
  cleanup(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
/** Options of a pipeline. */
export interface PipelineOptions {
  /** Name in errors and metrics. Default `pipeline`. */
  name?: string
  /** Items that each node may have under way, and that may wait between two nodes. 1 to 65536, default 8. */
  bufferSize?: number
  /**
   * What becomes of a stream when one of its items fails. `throw` (default): it rejects with the error, after what was answered before.
   * `skip`: the item is left out. `emit`: a packet of kind `json`, `{ error: { code, name, message, retryable, nodeName, sessionId } }`, with
   * the code in `metadata.error`, takes its place; no further node gets it.
   */
  onError?: 'throw' | 'skip' | 'emit'
}
/** Figures of a pipeline's nodes. */
export interface PipelineMetrics {
  name: string
  nodes: { name: string; metrics: Record<string, any> }[]
}
/**
 * Nodes of every kind, one after the other or as the graph of a manifest. Native nodes hand packets to each other without JavaScript.
 *
 * Order is kept within a session, sessions run side by side; nothing is read from the source before a consumer asks and buffers allow. Break,
 * abort and errors stop every node's work and close the source. The end of the source flushes node after node.
 */
export declare class Pipeline implements MediaNode {
  /**
   * @throws `ConfigurationError` (`ERR_CONFIG`) with the `path` of what is no node (`nodes.1`) or of a wrong option.
   */
  constructor(nodes?: PipelineNode[], options?: PipelineOptions)
  /**
   * The pipeline of a RemoteMedia manifest, version v1: text in YAML or JSON, a path, or an object.
   *
   * @throws `ConfigurationError` (`ERR_CONFIG`) whose `path` leads into the manifest, such as `nodes.2.node_type`.
   */
  static fromManifest(manifest: string | URL | object, options?: ManifestOptions): Pipeline
  readonly name: string
  readonly nodes: PipelineNode[]
  /** Adds a node at the end. Until the pipeline is first used: `PipelineError` (`ERR_PIPELINE`) afterwards. */
  addNode(node: PipelineNode): this
  /** Removes the first node of this name; whether there was one. */
  removeNode(name: string): boolean
  /** The first node of this name. */
  getNode(name: string): PipelineNode | undefined
  /** Makes all nodes ready. Idempotent; `process` does it if nobody did. */
  initialize(): Promise<void>
  /** A packet's `sequence` is the index of the pipeline's input that it answers; with several output nodes, `metadata.node` names the node. */
  process(source: Source, options?: ProcessOptions): PacketIterator
  /** All packets at once. */
  run(source: Source, options?: ProcessOptions): Promise<Packet[]>
  /** Initializes, runs `work` and cleans up, whatever happens. */
  managedExecution<T>(work: (pipeline: this) => T | Promise<T>): Promise<T>
  /**
   * The pipeline as a manifest, version v1: an object, or its text. Secrets (`authToken`, `tls`), functions and clients are left out.
   *
   * @throws `ConfigurationError` (`ERR_CONFIG`) for a module that was given as bytes.
   */
  toManifest(options?: { format?: 'object' }): Record<string, Json>
  toManifest(options: { format: 'json' | 'yaml' }): string
  closeSession(sessionId: string): Promise<void>
  metrics(): PipelineMetrics & Record<string, unknown>
  /** Stops all streams (they reject with `ERR_CLOSED`) and cleans all nodes up. Idempotent. */
  cleanup(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
/** How the nodes of a manifest are made. */
export interface ManifestOptions extends PipelineOptions {
  /** Makes the node of a type: beside the built-in types, before them where the names are the same. */
  nodes?: Record<string, (params: any, about: { id: string; nodeType: string; manifestNode: any }) => PipelineNode>
  /** The remote for nodes that are to run, or may run, on one and name no `host`. */
  remote?: RemoteExecutorConfig
  /** Folder that module paths in the manifest are relative to. Default: the manifest's own, or the working directory. */
  baseDir?: string
}
/** When a circuit breaker opens, and how it closes again. */
export interface CircuitBreakerOptions {
  /** Failures in a row that open it. Default 5. */
  failureThreshold?: number
  /** Share of failures among the last `windowItems` calls that opens it as well. Default: none. */
  failureRate?: number
  /** Calls in the window before `failureRate` counts. Default 20. */
  minimumCalls?: number
  /** Calls in the window. Default 100. */
  windowItems?: number
  /** Successful probes that close it. Default 2. */
  successThreshold?: number
  /** Milliseconds before an open breaker lets a probe through. Default 10000. */
  resetTimeoutMs?: number
  /** Probes at the same time. Default 1. */
  probes?: number
}
/** Options of a router. */
export interface IntelligentRouterOptions {
  /** Runs here, such as a `WasmEdgeNode`. */
  edge: PipelineNode
  /** Runs elsewhere, such as a `RemoteObjectNode`; asked item by item. */
  cloud: PipelineNode
  /** Default `router`. */
  name?: string
  /**
   * `auto` (default): by rules and by what was learned. `edge-first`, `cloud-first`: that side, the other as fallback. `hybrid`: both have a
   * part in each item, see `hybrid`.
   */
  strategy?: 'edge-first' | 'cloud-first' | 'auto' | 'hybrid'
  /** Items up to this many bytes run at the edge. Given: a rule. Default: 100 KiB until more is learned. */
  edgeMaxBytes?: number
  /** Items from this many bytes on run in the cloud. Given: a rule. Default: 10 MiB until more is learned. */
  cloudMinBytes?: number
  /** How complex items are, 0 to 1: below 0.3 edge, above 0.8 cloud. */
  complexity?: number | ((item: Packet) => number | undefined | Promise<number | undefined>)
  /** Prefers the side that answers in time to the cheaper one. */
  realtime?: boolean
  /** Milliseconds that an item's answer should take at most. */
  latencyBudgetMs?: number
  /** For the strategy `hybrid`. */
  hybrid?: {
    /** Before the cloud. With neither this nor `postprocess` nor `escalate`, the edge prepares items for the cloud. */
    preprocess?: PipelineNode
    /** After the cloud. */
    postprocess?: PipelineNode
    /**
     * The edge answers, and the cloud is asked where that answer is unsure: when the function says so, or when the number at the dotted path
     * `confidence`, in the answer's metadata or JSON, lies between `low` and `high` or is missing.
     */
    escalate?: ((edgeResult: Packet) => boolean | Promise<boolean>) | { confidence: string; low: number; high: number }
  }
  /** What "better" means: one cost, the sum of these weights times what an item took. */
  cost?: {
    /** Per millisecond of latency. Default 1. */
    latencyMs?: number
    /** Per call to the cloud. Default 0. */
    cloudCall?: number
    /** Per byte sent to the cloud. Default 0. */
    cloudByte?: number
    /** Per millisecond of work at the edge. Default 0. */
    edgeMs?: number
    /** Per failure. Default 1000. */
    error?: number
  }
  /** Learning; `false`: rules and thresholds only. */
  adaptive?:
    | boolean
    | {
        enabled?: boolean
        /** Share of the running cost that may go into trying the side that seems worse. Default 0.01. */
        exploration?: number
        /** Items after which an observation counts half. */
        halfLifeItems?: number
        /** Share by which the other side must be better before items move. Default 0.05. */
        hysteresis?: number
      }
  /** Of each side. */
  circuitBreaker?: CircuitBreakerOptions
  /** Whether the other side is tried when one fails (default), and when it takes longer than `afterMs`. */
  fallback?:
    | boolean
    | {
        enabled?: boolean
        /** Milliseconds after which a side is given up for the other. Default: what the item's `timeoutMs` leaves. */
        afterMs?: number
        /** Most fallbacks to the cloud, in percent of the items. Default: no limit. */
        budgetPercent?: number
      }
  /** A second request to the cloud when the first takes long. Default: none. */
  hedge?: {
    /** Send it after this percentile of the latency. Default: 100 - `maxPercent`, so 98. */
    percentile?: number
    /** Most second requests, in percent. Default 2. */
    maxPercent?: number
    /** Never sooner than this many milliseconds. */
    minDelayMs?: number
    /** After this many milliseconds, instead of a percentile. */
    delayMs?: number
  }
  /** Items of a session that travel to the cloud together. Default: each by itself. */
  batch?: { maxItems: number; maxDelayMs: number }
  /** Items that each side may have at once, and that may wait for it; more are tried on the other side. Default: no limit. */
  bulkhead?: { edge?: number; cloud?: number; maxQueue?: number }
  /** Milliseconds between measurements of the way to the cloud (`grpc.health.v1`); 0: none. Default 1000. */
  probeIntervalMs?: number
  /** What another router had learned: its `exportState()`. */
  warmStart?: Record<string, any>
  /** Makes decisions repeatable. */
  seed?: number
}
/** A decision: where an item would run, why, and what each side is expected to take. */
export interface RouterDecision {
  target: 'edge' | 'cloud' | 'hybrid'
  /** For people. */
  reason: string
  /** The same for programs, such as `learned`; the keys of `metrics().byReason`. */
  rule: string
  /** Whether it was made to learn about the side that seems worse. */
  explored: boolean
  predicted: { edge: RouterEstimate; cloud: RouterEstimate }
}
/** What a side is expected to take. */
export interface RouterEstimate {
  latencyMs: number
  cost: number
  /** Observations behind it, older ones counting less; 0: a guess. */
  samples: number
}
/** Figures of a router; docs/metrics.md has the table. */
export interface RouterMetrics extends Record<string, any> {
  items: number
  byTarget: Record<'edge' | 'cloud' | 'hybrid', number>
  byReason: Record<string, number>
  /** Attempts of which it can be said whether their side was the right one, and those of them where it was. */
  judged: number
  right: number
  fallbacks: number
  hedges: number
}
export interface IntelligentRouter {
  /** Where an item would run now, by the same rule as `process`; changes nothing. */
  decide(item: Item): RouterDecision
  /** Tells of each decision, fallback or change of a circuit breaker. */
  on(event: 'decision', listener: (about: RouterDecision & { sessionId: string; sequence: number; bytes: number }) => void): this
  on(
    event: 'fallback',
    listener: (about: {
      from: 'edge' | 'cloud'
      to: 'edge' | 'cloud'
      error: { code: string; message: string } | null
      sessionId: string
      sequence: number
    }) => void,
  ): this
  on(event: 'breaker', listener: (about: { target: 'edge' | 'cloud'; from: string; to: string }) => void): this
  /** Stops telling. */
  off(event: 'decision' | 'fallback' | 'breaker', listener: (...args: any[]) => void): this
  [Symbol.asyncDispose](): Promise<void>
}
/** A function of the application that guests may call by its name through `rm.call_host`. */
export type HostFunction = (data: Buffer, info: { sessionId: string }) => Uint8Array | string | Promise<Uint8Array | string>
/** Options of a {@link WasmEdgeNode}. */
export interface WasmEdgeNodeOptions {
  /** Name in errors, metrics and logs. Default: the file's name without extension. */
  name?: string
  /** What the guest reads as its configuration. Default `{}`. */
  config?: Json
  /** Kind of the guest's result buffer. Default: `json` if it parses as JSON, else `binary`. */
  outputKind?: Kind
  /** Other names for the guest's exports. */
  exports?: { process?: string; initialize?: string; flush?: string; cleanup?: string }
  /** Bytes of linear memory of one guest. Default 134217728 (128 MiB). */
  memoryLimit?: number
  /** Milliseconds of guest time per item, host functions included, waiting for a thread not. Default 30000. */
  timeoutMs?: number
  /** Bytes of all outputs of one item. Default 67108864 (64 MiB). */
  maxOutputBytes?: number
  /** WasmEdge cost units per item; about one per instruction. Default: not counted. */
  fuel?: number
  /** How to run. Default `auto`: interpret at once, compile in the background, move running sessions over. */
  mode?: 'auto' | 'aot' | 'jit' | 'interpreter'
  /** Guest instances: kept ready (0), at most (4096), milliseconds until an unused one goes (60000), sessions that may wait (1024). */
  pool?: { min?: number; max?: number; idleTtlMs?: number; maxQueue?: number }
  /** Sessions: at most (4096; the least recently used idle one makes room), milliseconds of disuse until one ends (600000). */
  sessions?: { max?: number; ttlMs?: number }
  /** The guest keeps nothing between items, so instances may serve any session and items of one stream run side by side. */
  stateless?: boolean
  /** Functions that the guest may call. */
  hostFunctions?: Record<string, HostFunction>
  /** What the guest gets of WASI. Default: nothing. */
  wasi?: { env?: Record<string, string>; args?: string[]; preopens?: Record<string, string>; clock?: boolean; random?: boolean }
}
/** Figures of a node; docs/metrics.md has the table. */
export interface NodeMetrics extends Record<string, any> {
  items: number
  outputs: number
  inputBytes: number
  outputBytes: number
  errors: Record<string, number>
  callsByMode: { aot: number; jit: number; interpreter: number }
  execMs: { total: number; mean: number; max: number; p50: number; p99: number }
  instancesLive: number
  memoryBytes: number
  instancesCreated: number
  instancesLost: number
  instancesMoved: number
  instancesIdleEvicted: number
  sessionsOpen: number
  sessionsOpened: number
  sessionsClosed: Record<'closed' | 'stream-end' | 'least-recently-used' | 'expired' | 'cleanup', number>
  queued: number
  waiting: number
  compileMs: number
  mode: 'aot' | 'jit' | 'interpreter'
}
export interface WasmEdgeNode {
  /**
   * Processes one item and resolves to its outputs, without a stream around it. Calls in one session are done in order, and many may
   * be in flight. Without `sessionId` the item has a session of its own; on a `stateless` node any guest serves it, and its packets
   * carry the session id `stateless`.
   */
  call(item: Item, options?: Omit<ProcessOptions, 'signal'>): Promise<Packet[]>
  [Symbol.asyncDispose](): Promise<void>
}
/** How to reach a RemoteMedia service. */
export interface RemoteExecutorConfig {
  /** Host name or address. One of `host`, `endpoints` and `service` must be given. */
  host?: string
  /** Default 50052, the port of protocol v0; 50051 where `api` is `v1`. */
  port?: number
  /** gRPC is all there is. */
  protocol?: 'grpc'
  /** Which protocol the service speaks. Default `auto`: found out at the first call. */
  api?: 'v0' | 'v1' | 'auto'
  /** Several endpoints that calls are spread over: `host:port`, URLs, or `dns:name:port` for every address of a name. */
  endpoints?: string[]
  /** Where `service` is looked up. */
  registry?: ServiceRegistry
  /** Name in the registry, in place of `host` and `endpoints`. */
  service?: string
  /** Default false, as RemoteMedia's own server has no TLS. */
  sslEnabled?: boolean
  /** PEM. `ca` replaces the system's certificates; `cert` and `key` are the client's own. */
  tls?: { ca?: string | Uint8Array; cert?: string | Uint8Array; key?: string | Uint8Array; serverName?: string }
  /** Sent with every call as `authorization: Bearer`; a function supplies a fresh one for each. */
  authToken?: string | (() => string | Promise<string>)
  /** Sent with every call. */
  metadata?: Record<string, string>
  /** Seconds per call, or of silence in a stream, as in RemoteMedia. Default 30. */
  timeout?: number
  /** Times that a call is tried again where that is safe: it was never sent, or only asks. Default 3. */
  maxRetries?: number
  /** Running a node twice does no harm: calls may be tried again after they were sent, and hedged. Default false. */
  idempotent?: boolean
  /** Bytes of one message in either direction. Default 67108864 (64 MiB). */
  maxMessageSize?: number
  /** Milliseconds to connect, TLS included. Default 5000. */
  connectTimeoutMs?: number
  /** Milliseconds of silence until an HTTP/2 ping (310000) and until an unanswered one ends the connection (20000). */
  keepalive?: { intervalMs?: number; timeoutMs?: number; whileIdle?: boolean }
  /** A second attempt when the first takes longer than this, for calls that may be repeated; at most this share of calls (2). */
  hedge?: { delayMs: number; maxPercent?: number }
  /** Of requests. Default `none`; compressed answers are always understood. */
  compression?: 'none' | 'gzip' | 'zstd'
  /** How calls are spread over endpoints. Default `round-robin`. */
  balance?: 'round-robin' | 'least-requests'
  /** Failures in a row (5; 0 never) that leave an endpoint alone for `ejectMs` (30000), longer each time up to `maxEjectMs` (300000). */
  /** A circuit breaker for each endpoint. Default: none. */
  circuitBreaker?: CircuitBreakerOptions
  outlier?: { failures?: number; ejectMs?: number; maxEjectMs?: number }
  /** Follow `grpc.health.v1` of the endpoints. Default: not. */
  healthWatch?: { service?: string; intervalMs?: number }
  /** HTTP/2 flow control, bytes under way: per stream (2097152) and per connection (5242880). */
  windows?: { streamBytes?: number; connectionBytes?: number }
  /** Streams of protocol v0 share the connection. Default false: RemoteMedia's own server ends everything of a connection with one. */
  sharedStreams?: boolean
  /** An answer such as `{ error, processed_by }` is an answer like any other. Default false: it is an error. */
  keepErrorResults?: boolean
}
/** Code that a service makes an object of: a zip with `serialized_object.pkl`, and packages for pip. */
export interface CodePackage {
  codePackage: Uint8Array
  dependencies?: string[]
}
/** Options of a method call: arguments by name. */
export type MethodOptions = CallOptions & { kwargs?: Record<string, Json> }
/** A node type that a service offers. */
export interface RemoteNodeInfo {
  nodeType: string
  category: string
  description: string
  parameters: { name: string; type: string; description: string; required: boolean; defaultValue: string }[]
}
/** Figures of a client or a remote node; docs/metrics.md has the table. */
export interface RemoteMetrics extends Record<string, any> {}
/** What the handler of a service's node is told about a call. */
export interface ServiceCallInfo {
  nodeType: string
  /** The parameters that the client gave. */
  config: Record<string, Json>
  /** The session that the client named. */
  sessionId?: string
  /** The request's metadata, names in lower case. */
  metadata: Record<string, string>
  traceparent?: string
  /** Milliseconds that the client still waits, when the call began. */
  timeoutMs?: number
  /** Address of the client. */
  peer?: string
  /** Aborts when nobody waits for the call any more. */
  signal: AbortSignal
}
type ServiceAnswer = Item | Item[] | null | undefined | Iterator<Item> | AsyncIterable<Item>
/** What a service's function gets: a packet, or for a generator function the stream of them. */
export type ServiceInput = Packet & AsyncIterable<Packet>
/** A node of a {@link RemoteProcessingService}; what it puts out answers the client. */
export type ServiceNode =
  /** Called once for each item. A generator function is called once for each stream; one without parameters may make a node for each call. */
  | ((
      input: ServiceInput,
      info: ServiceCallInfo,
    ) => ServiceAnswer | Pick<MediaNode, 'process'> | Promise<ServiceAnswer | Pick<MediaNode, 'process'>>)
  /** One node for all calls; each client's session is a session of the node. */
  | Pick<MediaNode, 'process'>
  /** A class that makes a node for each call, given the call's `config`. */
  | (new (
      config: Record<string, Json>,
    ) => Pick<MediaNode, 'process'>)
  | ServiceEntry
/** A node of a service with what clients are told about it. */
export interface ServiceEntry {
  /** Once for each item; of a stream too, where there is no `stream`. */
  execute?(packet: Packet, info: ServiceCallInfo): ServiceAnswer | Promise<ServiceAnswer>
  /** Once for each stream; for single items too, where there is no `execute`. */
  stream?(source: AsyncIterable<Packet>, info: ServiceCallInfo): AsyncIterable<Item>
  /** Makes a node for each call. */
  create?(info: ServiceCallInfo): Pick<MediaNode, 'process'> | Promise<Pick<MediaNode, 'process'>>
  /** Clients filter by it. Default `base`. */
  category?: string
  description?: string
  parameters?: { name: string; type?: string; description?: string; required?: boolean; default?: Json }[]
}
/** Options of a {@link RemoteProcessingService}. */
export interface RemoteProcessingServiceOptions {
  /** Default `127.0.0.1`: this machine only. */
  host?: string
  /** Default 50052; 0 takes a free one. */
  port?: number
  /** PEM. With `clientCa` only clients with a certificate of it are let in. */
  tls?: { cert: string | Uint8Array; key: string | Uint8Array; clientCa?: string | Uint8Array }
  /** Bearer tokens that let a client in, or a function that says whether one does. Default: everybody. */
  authToken?: string | string[] | ((token: string) => boolean | Promise<boolean>)
  limits?: { maxConcurrentCalls?: number; maxConnections?: number; maxStreams?: number; maxMessageSize?: number; maxBufferedBytes?: number }
  /** Milliseconds of silence until an HTTP/2 ping, and until an unanswered one ends the connection. */
  keepalive?: { intervalMs?: number; timeoutMs?: number }
  /** Sessions that are kept, and milliseconds of disuse until one ends. */
  sessions?: { max?: number; ttlMs?: number }
}
export interface RemoteProcessingService {
  /** Offers a node under this name, also while listening. */
  register(nodeType: string, node: ServiceNode): this
  [Symbol.asyncDispose](): Promise<void>
}
export interface RemoteExecutionClient {
  /** Asks a node type for one item. Protocol v0 makes a new node for each call. */
  executeNode(nodeType: string, config: Record<string, Json> | undefined, input: Item, options?: CallOptions): Promise<Packet>
  /** Runs a pipeline that the service keeps for one item. */
  executePipeline(pipelineId: string, input: Item, options?: CallOptions): Promise<Packet>
  /** Runs a pipeline that the manifest describes for one item (protocol v1). */
  executeManifest(manifest: Record<string, Json>, input: Item, options?: CallOptions): Promise<Packet>
  /** Runs code on the service. RemoteMedia's own server refuses it. */
  executeCustomTask(task: CodePackage & { entryPoint: string }, input: Item, options?: CallOptions): Promise<Packet>
  /**
   * Calls a method of an object on the service, by its session, or makes the object of a code package first. `generatorId` is there when the
   * result stands for a generator.
   */
  executeObjectMethod(
    object: string | CodePackage,
    method: string,
    args?: Item[],
    options?: MethodOptions,
  ): Promise<{ result: Packet; sessionId: string; generatorId?: string }>
  [Symbol.asyncDispose](): Promise<void>
}
export declare namespace RemoteExecutionClient {
  /** Makes a client and connects it. */
  function connect(config: RemoteExecutorConfig): Promise<RemoteExecutionClient>
}
export interface RemoteObjectNode {
  /** Processes one item, without a stream around it. */
  call(item: Item, options?: ProcessOptions): Promise<Packet[]>
  [Symbol.asyncDispose](): Promise<void>
}
/** What a call on a remote service may be given. */
export type CallOptions = ProcessOptions & {
  /** How payloads travel. Default `auto`: text and JSON as `json`, all else as `pickle`. */
  format?: PayloadFormat
}
/** How payloads travel to a service of protocol v0. */
export type PayloadFormat = 'json' | 'pickle' | 'raw' | 'auto'
/** Options of a {@link RemoteObjectNode}. */
export interface RemoteObjectNodeOptions extends RemoteExecutorConfig {
  /** Name in errors, metrics and logs. Default: the node type. */
  name?: string
  /** The node type on the service. Required unless `object` or `manifest` is given. */
  nodeType?: string
  /** A whole pipeline in place of a node type, by protocol v1. Always streamed, except by `call` and behind a router. */
  manifest?: Record<string, any>
  /** An object on the service in place of a node type: its session, or the code that each stream makes one of. Always streamed. */
  object?: string | CodePackage
  /** The node's parameters there. */
  config?: Record<string, Json>
  /** How payloads travel. Default `auto`. */
  format?: PayloadFormat
  /** One stream for all items, which keeps the node's state there, instead of a call for each. Default false. */
  streaming?: boolean
}
/**
 * A pipeline that runs on a remote, with the parameters that RemoteMedia's manifests have for it: `endpoint` or `endpoints`, `manifest`,
 * `timeout_ms` (30000), `retry`, `circuit_breaker`, `load_balance_strategy`, `health_check`, `auth_token` (`${NAME}`: an environment
 * variable), `metadata`. `manifest_url` and `pipeline_name` are refused: nothing is fetched over HTTP.
 */
export declare class RemotePipelineNode extends RemoteObjectNode {
  constructor(params: Record<string, any> & { name?: string })
}
/** A service that guests of a {@link HybridWasmNode} may call: a node type, or more about it. */
export type RemoteServiceOptions =
  | string
  | {
      nodeType: string
      config?: Record<string, Json>
      /** Where it is, as `host:port` or URL, if not where the node's `remote` is. */
      endpoint?: string
      format?: PayloadFormat
      /** Milliseconds per call. The guest's own deadline counts as well. */
      timeoutMs?: number
    }
/** Options of a {@link HybridWasmNode}. */
export interface HybridWasmNodeOptions extends WasmEdgeNodeOptions {
  /** How to reach the services. */
  remote: RemoteExecutorConfig | RemoteExecutionClient
  /** What the guest may call, by the name that it uses. Nothing else can be reached. */
  services: Record<string, RemoteServiceOptions>
}
/** A {@link WasmEdgeNode} whose guest may call remote services. */
export declare class HybridWasmNode extends WasmEdgeNode {
  constructor(module: string | URL | Uint8Array, options: HybridWasmNodeOptions)
}
/** Options of {@link compileModule}. */
export interface CompileOptions {
  /** Compile for nodes with the option `fuel`. Default false. */
  fuel?: boolean
}
/** What {@link compileModule} did. */
export interface CompiledModule {
  /** SHA-256 of the module in hexadecimal. */
  sha256: string
  /** Whether it was compiled already. */
  cached: boolean
  durationMs: number
  artifactBytes: number
}
/** What {@link inspectModule} found. */
export interface ModuleInfo {
  sha256: string
  bytes: number
  functions: number
  memory: { minBytes: number; maxBytes: number | null }
  /** `grant` says what a node needs for it: `none`, an option's name, or null where nothing provides it. */
  imports: { module: string; name: string; kind: string; signature: string | null; grant: string | null }[]
  exports: { name: string; kind: string; signature: string | null }[]
  /** Whether it exports a `process` function. */
  abi: boolean
}
/** What {@link runtimeInfo} tells. */
export interface RuntimeInfo {
  version: string
  engine: string
  wasmedgeVersion: string
  /** Whether compiled guest code may run on this system. */
  nativeCode: boolean
  /** Whether no other addon replaced our signal handlers; null before compiled code ran. */
  signalHandlersIntact: boolean | null
  cpuFeatures: string[]
  /** Guests that run at once. */
  parallelism: number
  guestThreads: number
  /** Folder of compiled modules; null when none can be used. */
  cacheFolder: string | null
  cache: { memoryHits: number; diskHits: number; compiled: number; failed: number }
  platform: string
  arch: string
}
/** Base of all errors of this package. */
/** Figures of every node, client and router of this process. */
export interface ProcessMetrics {
  /** WebAssembly nodes, each with its name. */
  edge: (NodeMetrics & { name: string })[]
  /** Clients of remote services, each named by its service or first endpoint. */
  cloud: (RemoteMetrics & { name: string })[]
  /** Routers, each with its name. */
  routing: (RouterMetrics & { name: string })[]
  system: {
    /** Shares of what this process may use, 0 to 1; processors as of a quarter of a second ago, 0 in the first reading. */
    cpuShare: number
    memoryShare: number
    /** Through this machine's network interfaces since it started, without what never left it. */
    networkReceivedBytes: number
    networkSentBytes: number
    residentBytes: number
    heapUsedBytes: number
    /** How late the event loop was since the last reading, in milliseconds; 0 in the first. */
    eventLoopDelayMs: { mean: number; p99: number; max: number }
  }
}
/** A snapshot of all figures of this process; docs/metrics.md has the names and units. */
export declare function getMetrics(): ProcessMetrics
/** Options of `serveMetrics`. */
export interface MetricsServerOptions {
  /** Address to listen on. Default `127.0.0.1`: whoever can reach it can read all figures. */
  host?: string
  /** Default 9464, where Prometheus's exporters for OpenTelemetry listen; 0 takes a free one. */
  port?: number
}
/** A server that `serveMetrics` started. */
export interface MetricsServer {
  /** Where Prometheus finds the figures. */
  url: string
  port: number
  /** Stops it. */
  close(): Promise<void>
}
/**
 * Serves `prometheusMetrics()` over HTTP, at `/metrics`. It does not keep the process from ending.
 *
 * @throws `ConfigurationError` (`ERR_CONFIG`) with the `path` of a wrong option, a port in use among them.
 */
export declare function serveMetrics(options?: MetricsServerOptions): Promise<MetricsServer>
/** Options of `configureTracing`; what is left out is as OpenTelemetry's environment variables say, or else the default. */
export interface TracingOptions {
  /** URL of an OTLP collector. Default: `OTEL_EXPORTER_OTLP_ENDPOINT`, or `http://localhost:4318`. */
  otlpEndpoint?: string
  /** Default: `OTEL_EXPORTER_OTLP_PROTOCOL`, or whichever of the two the collector takes. */
  protocol?: 'http/protobuf' | 'grpc'
  /** Sent with every request, for collectors that want a key. Beside those of `OTEL_EXPORTER_OTLP_HEADERS`. */
  headers?: Record<string, string>
  /** Default: `OTEL_SERVICE_NAME`, or `remotemedia-wasmedge`. */
  serviceName?: string
  /** Share of the traces that begin here and are recorded, 0 to 1. Default 1. A trace that others began is recorded if they say so. */
  sampleRatio?: number
  /**
   * Traces that begin here and are recorded in a second; more are passed over, as their `traceparent` says. Default 1000: for what more
   * would cost, see bench/README.md. 1 to 1000000.
   */
  maxTracesPerSecond?: number
  /** Milliseconds between two times that metrics are sent; 0 sends none. Default 60000. */
  metricsIntervalMs?: number
  /** Milliseconds that one request to the collector may take. Default 10000. */
  timeoutMs?: number
  /** What is logged to standard error: a level (`debug`) or `target=level` pairs (`engine=debug,guest=info`). Default: `RM_LOG`, or nothing. */
  logLevel?: string
}
/**
 * Begins to record what is done for each item, and to send it, with the metrics, to an OTLP collector; in place of what was configured before.
 * With `logLevel` alone, only the log changes. A collector that is away costs nothing but its spans. See docs/tracing.md.
 *
 * @throws `ConfigurationError` (`ERR_CONFIG`) with the `path` of a wrong option, or the name of the environment variable.
 */
export declare function configureTracing(options?: TracingOptions): void
/**
 * Sends what was recorded until now, and the metrics; resolves when the collector has taken it. A process that ends by itself does so anyway;
 * one that calls `process.exit` has to wait for this.
 *
 * @throws `RemoteExecutionError` `ERR_UNAVAILABLE`, `ERR_DEADLINE`, `ERR_REMOTE` when something did not arrive.
 */
export declare function flushTracing(): Promise<void>
/** Stops recording, and sends what was recorded until then. */
export declare function shutdownTracing(): Promise<void>
/**
 * The same figures for Prometheus, as OpenMetrics' text (`application/openmetrics-text; version=1.0.0; charset=utf-8`). Nodes, remotes and
 * routers of one name are summed; beyond 200 names of each, the rest is `other`.
 */
export declare function prometheusMetrics(): string
export declare class RemoteMediaError extends Error {
  /** Stable, such as `ERR_WASM_TIMEOUT`. */
  readonly code: string
  /** Whether the same call may well succeed when tried again. */
  readonly retryable: boolean
  readonly nodeName?: string
  readonly sessionId?: string
  readonly cause?: unknown
}
/** A node or its guest failed. */
export declare class NodeError extends RemoteMediaError {
  /** How the guest trapped, with `ERR_WASM_TRAP`. */
  readonly trap?:
    | 'out-of-bounds'
    | 'divide-by-zero'
    | 'integer-overflow'
    | 'invalid-conversion'
    | 'unreachable'
    | 'table-out-of-bounds'
    | 'indirect-call'
    | 'stack-overflow'
    | 'bad-pointer'
    | 'exit'
    | 'other'
  /** Whether the session's guest, and with it the session's state, was lost. */
  readonly stateLost?: true
}
/** A pipeline failed. */
export declare class PipelineError extends RemoteMediaError {}
/** The remote side failed or cannot be reached. */
export declare class RemoteExecutionError extends RemoteMediaError {
  readonly grpcCode?: number
  readonly grpcStatus?: string
  readonly details?: unknown
  readonly remoteTraceback?: string
}
/** A payload cannot be converted. */
export declare class SerializationError extends RemoteMediaError {}
/** An option or argument is wrong. */
export declare class ConfigurationError extends RemoteMediaError {
  /** Dotted path of the option, such as `pool.max`. */
  readonly path: string
}
/** Options of {@link openView}. */
export interface ViewOptions {
  /** Shown in the page and in the report. Default: the pipeline's. */
  name?: string
  /** Opens the live page on this machine. Port 0, the default, takes a free one. Left out: no page. */
  ui?: { port?: number }
  /** Path of the report, an HTML file that `close` writes. Left out: no report. */
  report?: string
}
/** What watches a run: it has to be shown the items that go in and the packets that come out; of routers it hears by itself. */
export interface View {
  /** The page's address, with the token that lets people in. */
  readonly url?: string
  /** An item is given to the pipeline, in this session. */
  input(item: Item, sessionId?: string): void
  /** A packet came out. */
  output(packet: Packet): void
  /** A stream failed. */
  error(error: unknown): void
  /** Writes the report and closes the page, which stays as it is in the browser. Idempotent. */
  close(): Promise<void>
}
/**
 * Watches a pipeline, or a node, in bounded memory: as a live page, as a report, or both. Does not end the pipeline.
 *
 * @throws `ConfigurationError` (`ERR_CONFIG`) with the `path` `ui.port` for a port that is in use, `report` for one that cannot be written.
 */
export declare function openView(pipeline: MediaNode, options?: ViewOptions): Promise<View>
