// Problem: what one implementation of gRPC accepts from another is seen only when both are there.
// Answer: a server and a client of protocol v0 on @grpc/grpc-js and @grpc/proto-loader, from the project's own .proto files. Payloads are
// JSON, as with RemoteMedia's JavaScript client; `raw` ones pass as bytes. Names stay as they are in the .proto files.
//
// It is a peer for tests and does what they need: nodes, streams, the list of nodes and the status. RM_PROTO_DIR names another folder.

import { once } from 'node:events'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import grpc from '@grpc/grpc-js'
import loader from '@grpc/proto-loader'

const ROOT = process.env.RM_PROTO_DIR || fileURLToPath(new URL('../../proto', import.meta.url))
const PROTO = 'remotemedia/execution/execution.proto'
// Neither side is to refuse what the other may send.
const SIZES = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 }

const definition = loader.loadSync(path.join(ROOT, PROTO), {
  includeDirs: [ROOT],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
})
const { RemoteExecutionService } = grpc.loadPackageDefinition(definition).remotemedia.execution

// --- Payloads and configuration ----------------------------------------------------------------------------------------------

const encode = (value, format) => (format === 'raw' ? Buffer.from(value) : Buffer.from(JSON.stringify(value ?? null)))
const decode = (bytes, format) => (format === 'raw' ? bytes : JSON.parse(bytes.toString()))

function checkFormat(format) {
  if (format !== 'json' && format !== 'raw') throw new Error(`Unsupported serialization format: ${format}`)
}

/** As RemoteMedia's JavaScript client writes it. */
const configStrings = (config) =>
  Object.fromEntries(Object.entries(config).map(([key, value]) => [key, typeof value === 'object' ? JSON.stringify(value) : String(value)]))

function configValues(strings) {
  const read = (text) => {
    try {
      return JSON.parse(text)
    } catch {
      return text
    }
  }
  return Object.fromEntries(Object.entries(strings).map(([key, text]) => [key, read(text)]))
}

/** Writes, and waits where the other side reads slower than this one writes, or everything would pile up here. */
async function written(call, message) {
  if (call.write(message)) return
  // The call may end without ever having room again.
  const settled = new AbortController()
  const events = ['drain', 'cancelled', 'close'].map((event) => once(call, event, { signal: settled.signal }).catch(() => {}))
  await Promise.race(events)
  settled.abort()
}

// --- Server ------------------------------------------------------------------------------------------------------------------

/** What a node is called with, and how: `(item, { config, metadata })`; undefined answers nothing in a stream. */
const NODES = {
  PassThroughNode: (item) => item,
  CalculatorNode({ operation, args: [a, b] }) {
    const operations = { add: a + b, subtract: a - b, multiply: a * b, divide: a / b }
    return { operation, args: [a, b], result: operations[operation] }
  },
  Echo: (item, { config, metadata }) => ({ item, config, metadata }),
  Silent: () => undefined,
  Failing(_, { config }) {
    throw new Error(config.message ?? 'it was told to fail')
  },
  Slow: (item, { config }) => new Promise((resolve) => setTimeout(resolve, config.delay_ms ?? 200, item)),
  BigAnswer: (_, { config }) => 'x'.repeat(config.n ?? 1024),
}

/** Starts a server on a free port: `{ host, port, address, stop }`. `nodes` adds to the ones it has. */
export async function startGrpcJsServer({ nodes = {}, host = '127.0.0.1', port = 0 } = {}) {
  const known = { ...NODES, ...nodes }
  const started = Date.now()

  async function execute(request, metadata) {
    const { node_type: type, config, input_data: data, serialization_format: format } = request
    if (!Object.hasOwn(known, type)) throw new Error(`Node execution failed: Unknown node type: ${type}`)
    checkFormat(format)
    return encode(await known[type](decode(data, format), { config: configValues(config), metadata: metadata.getMap() }), format)
  }

  const handlers = {
    async ExecuteNode({ request, metadata }, answer) {
      const metrics = { start_timestamp: Date.now(), input_size_bytes: request.input_data.length }
      try {
        const output = await execute(request, metadata)
        const end = { end_timestamp: Date.now(), output_size_bytes: output.length }
        answer(null, { status: 'EXECUTION_STATUS_SUCCESS', output_data: output, metrics: { ...metrics, ...end } })
      } catch (error) {
        const text = `[UNKNOWN] ${error.name}: ${error.message}\n\nContext: {'operation': 'execute_node'}`
        const fields = { error_message: text, error_traceback: error.stack, metrics: { ...metrics, exit_code: -1 } }
        answer(null, { status: 'EXECUTION_STATUS_ERROR', ...fields })
      }
    },

    async StreamNode(call) {
      let init
      try {
        // The end of what comes in must not take the way out with it.
        for await (const message of call.iterator({ destroyOnReturn: false })) {
          if (message.payload === 'init') init ??= message.init
          if (message.payload !== 'data') continue
          if (!init) return call.emit('error', { code: grpc.status.INVALID_ARGUMENT, details: 'First message must be init' })
          checkFormat(init.serialization_format)
          const value = decode(message.data, init.serialization_format)
          if (!Object.hasOwn(known, init.node_type)) throw new Error(`Node type '${init.node_type}' is not supported`)
          const result = await known[init.node_type](value, { config: configValues(init.config), metadata: call.metadata.getMap() })
          if (result === undefined) continue
          await written(call, { data: encode(result, init.serialization_format) })
        }
      } catch (error) {
        if (call.cancelled) return
        call.write({ error_message: `[UNKNOWN] [UNKNOWN] ${error.name}: ${error.message}\n\nContext: {'operation': 'stream_node'}` })
      }
      call.end()
    },

    GetStatus({ request }, answer) {
      const metrics = request.include_metrics ? { total_requests: 0 } : null
      const uptime = Math.floor((Date.now() - started) / 1000)
      answer(null, { status: 'SERVICE_STATUS_HEALTHY', version: '0.1.0', uptime_seconds: uptime, metrics })
    },

    ListNodes({ request }, answer) {
      const types = request.category && request.category !== 'base' ? [] : Object.keys(known)
      answer(null, { available_nodes: types.map((type) => ({ node_type: type, category: 'base' })) })
    },
  }

  const server = new grpc.Server(SIZES)
  server.addService(RemoteExecutionService.service, handlers)
  const bound = await new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, grpc.ServerCredentials.createInsecure(), (error, at) => (error ? reject(error) : resolve(at)))
  })
  return { host, port: bound, address: `${host}:${bound}`, stop: () => server.forceShutdown() }
}

// --- Client ------------------------------------------------------------------------------------------------------------------

/** A client of the service at `address`. Every call takes `{ format, metadata, timeoutMs }`; failures of gRPC itself reject. */
export function connectGrpcJs(address, { credentials = grpc.credentials.createInsecure(), options = {} } = {}) {
  const stub = new RemoteExecutionService(address, credentials, { ...SIZES, ...options })

  function scope({ metadata = {}, timeoutMs = 10_000 }) {
    const sent = new grpc.Metadata()
    for (const [key, value] of Object.entries(metadata)) sent.set(key, value)
    return [sent, { deadline: Date.now() + timeoutMs }]
  }

  /** Any unary rpc by its name, with the message as it is in the .proto file. */
  const unary = (method, request, options = {}) =>
    new Promise((resolve, reject) => {
      stub[method](request, ...scope(options), (error, response) => (error ? reject(error) : resolve(response)))
    })

  return {
    unary,
    close: () => stub.close(),
    listNodes: (category = '', options) => unary('ListNodes', { category }, options),
    getStatus: (include_metrics = false, options) => unary('GetStatus', { include_metrics }, options),

    /** The response, with `value` where there is one. */
    async executeNode(nodeType, config, input, { format = 'json', ...options } = {}) {
      const request = {
        node_type: nodeType,
        config: configStrings(config),
        input_data: encode(input, format),
        serialization_format: format,
      }
      const response = await unary('ExecuteNode', request, options)
      if (response.status !== 'EXECUTION_STATUS_SUCCESS') return response
      return { ...response, value: decode(response.output_data, format) }
    },

    /** Everything that comes back: `{ values, error }`. */
    async streamNode(nodeType, config, inputs, { format = 'json', ...options } = {}) {
      const call = stub.StreamNode(...scope(options))
      const sending = (async () => {
        call.write({ init: { node_type: nodeType, config: configStrings(config), serialization_format: format } })
        for await (const input of inputs) {
          await written(call, { data: encode(input, format) })
          if (call.destroyed) return
        }
        call.end()
      })()
      const found = { values: [], error: '' }
      for await (const message of call) {
        if (message.error_message) found.error = message.error_message
        else found.values.push(decode(message.data, format))
      }
      await sending
      return found
    },
  }
}
