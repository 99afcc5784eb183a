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
/** How a router decided for a packet. */
export interface RouteInfo {
  target: 'edge' | 'cloud' | 'hybrid'
  reason: string
  fallback: boolean
  attempts: number
  edgeMs?: number
  cloudMs?: number
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
