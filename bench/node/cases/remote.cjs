'use strict'
// A gRPC client against an echo in another process: bytes out, the same bytes back. Parameters: variant (ours, grpc-js, nice-grpc), rpc
// (unary, stream), size, inFlight, port, warmMs, measureMs.
//
// Protocol v0 on both ends, flow-control windows of 8 MiB on all sides, no TLS, one connection. The peers use their usual codec for the same
// `.proto` files (@grpc/proto-loader). In a stream, "in flight N" is N items sent and not yet answered.

const path = require('node:path')
const paths = require('../lib/paths.cjs')
const { params, report, run, Latencies, Window, sleep } = require('../lib/measure.cjs')

const { variant, rpc, size, inFlight, port, warmMs, measureMs } = params
const WINDOW_BYTES = 8 << 20
const LIMIT_BYTES = 16 << 20

const data = Buffer.alloc(size)
for (let i = 0; i < size; i++) data[i] = (i * 7 + 3) & 0xff

function check(bytes) {
  if (bytes.length !== size || bytes[size - 1] !== data[size - 1]) throw new Error(`wrong answer: ${bytes.length} bytes`)
}

const proto = () => {
  const { loadSync } = require('@grpc/proto-loader')
  const root = path.join(paths.root, 'proto')
  const file = path.join(root, 'remotemedia', 'execution', 'execution.proto')
  return loadSync(file, { includeDirs: [root], keepCase: true, longs: Number, enums: Number, defaults: false, oneofs: true })
}
const channelOptions = {
  'grpc-node.flow_control_window': WINDOW_BYTES,
  'grpc.max_receive_message_length': LIMIT_BYTES,
  'grpc.max_send_message_length': LIMIT_BYTES,
}
const request = { node_type: 'Echo', config: {}, input_data: data, serialization_format: 'raw' }
const init = { init: { node_type: 'Echo', config: {}, serialization_format: 'raw' } }

/** A function that asks once and resolves to the answer's bytes. */
const UNARY = {
  ours() {
    const { RemoteObjectNode } = require(paths.root)
    const node = new RemoteObjectNode({ ...where(), nodeType: 'Echo', format: 'raw' })
    return async () => (await node.call(data)).at(0).data
  },
  'grpc-js'() {
    const client = grpcClient()
    return () =>
      new Promise((resolve, reject) => {
        const deadline = Date.now() + 30_000
        client.ExecuteNode(request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer.output_data)))
      })
  },
  'nice-grpc'() {
    const client = niceClient()
    return async () => (await client.ExecuteNode(request)).output_data
  },
}

/** A function that streams what `source` yields and returns an async iterable of answers' bytes. */
const STREAM = {
  ours() {
    const { RemoteObjectNode } = require(paths.root)
    const node = new RemoteObjectNode({ ...where(), nodeType: 'Echo', format: 'raw', streaming: true })
    return async function* (source) {
      for await (const packet of node.process(source)) yield packet.data
    }
  },
  'grpc-js'() {
    const client = grpcClient()
    return async function* (source) {
      const call = client.StreamNode()
      call.write(init)
      const send = async () => {
        for await (const one of source) if (!call.write({ data: one })) await new Promise((resolve) => call.once('drain', resolve))
        call.end()
      }
      send().catch((error) => call.destroy(error))
      for await (const answer of call) yield answer.data
    }
  },
  'nice-grpc'() {
    const client = niceClient()
    return async function* (source) {
      const requests = async function* () {
        yield init
        for await (const one of source) yield { data: one }
      }
      for await (const answer of client.StreamNode(requests())) yield answer.data
    }
  },
}

function where() {
  return {
    host: '127.0.0.1',
    port,
    api: 'v0',
    maxMessageSize: LIMIT_BYTES,
    windows: { streamBytes: WINDOW_BYTES, connectionBytes: WINDOW_BYTES },
  }
}

function grpcClient() {
  const grpc = require('@grpc/grpc-js')
  const { RemoteExecutionService } = grpc.loadPackageDefinition(proto()).remotemedia.execution
  return new RemoteExecutionService(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), channelOptions)
}

function niceClient() {
  const { createChannel, createClient, ChannelCredentials } = require('nice-grpc')
  const service = proto()['remotemedia.execution.RemoteExecutionService']
  const channel = createChannel(`127.0.0.1:${port}`, ChannelCredentials.createInsecure(), channelOptions)
  return createClient(service, channel)
}

async function unary(state) {
  const call = UNARY[variant]()
  check(await call())
  const lane = async () => {
    while (!state.stop) {
      const asked = performance.now()
      await call()
      if (state.measuring) state.latencies.add(performance.now() - asked)
    }
  }
  return Promise.all(Array.from({ length: inFlight }, lane))
}

async function stream(state) {
  const asked = []
  let head = 0
  let answered = 0
  let sent = 0
  let resume
  const source = async function* () {
    while (!state.stop) {
      if (sent - answered >= inFlight) await new Promise((resolve) => (resume = resolve))
      asked.push(performance.now())
      sent++
      yield data
    }
  }
  for await (const bytes of STREAM[variant]()(source())) {
    if (answered === 0) check(bytes)
    answered++
    if (state.measuring) state.latencies.add(performance.now() - asked[head])
    head++
    if (head === 4096) head = asked.splice(0, head).length - 4096
    if (resume) {
      const go = resume
      resume = undefined
      go()
    }
  }
}

run(async () => {
  const state = { stop: false, measuring: false, latencies: new Latencies() }
  const driving = rpc === 'unary' ? unary(state) : stream(state)
  driving.catch((error) => {
    console.error(error)
    process.exit(1)
  })
  await sleep(warmMs)
  const window = new Window()
  window.start()
  state.measuring = true
  await sleep(measureMs)
  state.measuring = false
  const { seconds, cpuSeconds, loopP99Ms } = window.stop()
  const { count } = state.latencies
  state.stop = true
  report({ callsPerSecond: count / seconds, ...state.latencies.summary(), cpuSecondsPer10k: (cpuSeconds / count) * 10_000, loopP99Ms })
})
