// The same objects as the CommonJS entry: one addon, one set of classes.
import api from './index.js'

export const {
  WasmEdgeNode,
  HybridWasmNode,
  RemoteObjectNode,
  RemotePipelineNode,
  IntelligentRouter,
  Node,
  Pipeline,
  RemoteExecutionClient,
  RemoteProcessingService,
  ServiceRegistry,
  compileModule,
  inspectModule,
  runtimeInfo,
  getMetrics,
  prometheusMetrics,
  serveMetrics,
  configureTracing,
  flushTracing,
  shutdownTracing,
  openView,
  RemoteMediaError,
  NodeError,
  PipelineError,
  RemoteExecutionError,
  SerializationError,
  ConfigurationError,
} = api
export default api
