// Our service, used by clients that nobody here wrote (Python with grpcio, pickle and numpy; @grpc/grpc-js) and by our own.

import { describe, expect, onTestFinished, test } from 'vitest'
import { connectGrpcJs } from './peers/grpc-js.mjs'
import { api, collect, expectError, guest, node, rejection, thrown, until } from './support/index.mjs'
import { pythonExchanges, pythonMissing } from './support/python.mjs'

const { RemoteExecutionClient, RemoteProcessingService } = api
const missing = await pythonMissing()
const audio = (samples, more = {}) => ({ $audio: { samples, rate: 16_000, ...more } })

/** A service on a free port, with the nodes that the tests ask for. */
async function serving(options, nodes = {}) {
  const service = new RemoteProcessingService({ port: 0, ...options })
  service
    .register('Echo', ({ data }) => data)
    .register('Upper', async ({ data }) => data.toUpperCase())
    .register('Config', (_, { config }) => config)
    .register('Session', (_, { sessionId }) => ({ sessionId: sessionId ?? null }))
    .register('Nothing', () => undefined)
    .register('Twice', ({ data }) => [data, data])
    .register('Failing', () => {
      throw new TypeError('no such luck')
    })
    .register('Counter', async function* (source) {
      let count = 0
      for await (const _ of source) yield { count: ++count }
    })
  for (const [name, entry] of Object.entries(nodes)) service.register(name, entry)
  const { port } = await service.listen()
  onTestFinished(() => service.close({ graceMs: 1 }))
  return { service, port, address: `127.0.0.1:${port}` }
}

async function client(port, options) {
  const made = await RemoteExecutionClient.connect({ host: '127.0.0.1', port, ...options })
  onTestFinished(() => made.close())
  return made
}

describe.skipIf(missing)('for Python', () => {
  test('json and pickle, single items and streams', async () => {
    const { address } = await serving()
    const [json, pickle, sound, stream] = await pythonExchanges(address, [
      { op: 'execute', node: 'Echo', format: 'json', input: { a: [1, 2.5, null, true], b: 'é' } },
      { op: 'execute', node: 'Echo', input: { a: [1, 2.5, null, true], b: 'é' } },
      { op: 'execute', node: 'Echo', input: audio([0.25, -0.5], { metadata: { session_id: 's1' } }) },
      { op: 'stream', node: 'Counter', inputs: [{ i: 0 }, { i: 1 }, { i: 2 }] },
    ])
    for (const one of [json, pickle]) expect(one).toMatchObject({ ok: true, status: 'SUCCESS', value: { a: [1, 2.5, null, true], b: 'é' } })
    expect(json.metrics.start_timestamp).toBeGreaterThan(1_600_000_000_000)
    expect(sound).toMatchObject({ ok: true, status: 'SUCCESS' })
    expect(JSON.stringify(sound.value)).toContain('0.25')
    expect(stream).toMatchObject({ ok: true, values: [{ count: 1 }, { count: 2 }, { count: 3 }] })
  })

  test('parameters as Python’s client writes them', async () => {
    const { address } = await serving()
    const config = { yes: true, no: false, none: null, int: 42, real: 1.5, text: 'plain', list: [1, 2], dict: { a: 1 } }
    const [executed] = await pythonExchanges(address, [{ op: 'execute', node: 'Config', format: 'json', config, input: null }])
    expect(executed.value).toEqual(config)
  })

  test('failures are told within the protocol', async () => {
    const { address } = await serving()
    const [failed, unknown, stream, format] = await pythonExchanges(address, [
      { op: 'execute', node: 'Failing', input: 1 },
      { op: 'execute', node: 'Nobody', input: 1 },
      { op: 'stream', node: 'Failing', inputs: [1] },
      { op: 'execute', node: 'Echo', format: 'json', raw: Buffer.from('{broken').toString('base64') },
    ])
    expect(failed).toMatchObject({ ok: true, status: 'ERROR' })
    expect(failed.error).toContain('no such luck')
    expect(unknown.error).toContain('Nobody')
    expect(stream.error).toContain('no such luck')
    expect(format.status).toBe('ERROR')
  })

  test('what the service says about itself', async () => {
    const { address } = await serving({}, { Described: { execute: ({ data }) => data, category: 'audio', description: 'does little' } })
    const [nodes, status, health] = await pythonExchanges(address, [{ op: 'list_nodes' }, { op: 'status' }, { op: 'health' }])
    expect(JSON.stringify(nodes)).toContain('does little')
    expect(JSON.stringify(status)).toMatch(/HEALTHY|"status":1/)
    expect(JSON.stringify(health)).toMatch(/SERVING|1/)
  })
})

test('for grpc-js', async () => {
  const { address } = await serving()
  const peer = connectGrpcJs(address)
  onTestFinished(() => peer.close())
  expect((await peer.executeNode('Echo', {}, { a: 1 })).value).toEqual({ a: 1 })
  expect(await peer.streamNode('Counter', {}, [1, 2])).toEqual({ values: [{ count: 1 }, { count: 2 }], error: '' })
})

describe('for our own client', () => {
  test.each([
    ['text', 'hello'],
    ['json', { a: [1, null, 'x'] }],
    ['binary', Buffer.from([0, 1, 255])],
  ])('%s comes back as it went, in every format that carries it', async (kind, item) => {
    const { port } = await serving()
    const made = await client(port)
    for (const format of ['auto', 'pickle', ...(kind === 'binary' ? ['raw'] : ['json'])]) {
      expect((await made.executeNode('Echo', {}, item, { format })).data, format).toEqual(item)
    }
  })

  test('audio keeps its rate, channels and metadata', async () => {
    const { port } = await serving()
    const made = await client(port)
    const data = { samples: Float32Array.of(1, -1, 0.5, -0.5), sampleRate: 48_000, channels: 2 }
    const packet = await made.executeNode('Echo', {}, { data, metadata: { speaker: 'a' } })
    expect(packet).toMatchObject({ kind: 'audio', data: { sampleRate: 48_000, channels: 2 } })
    expect(packet.data.samples).toEqual(data.samples)
  })

  test('what nodes answer: nothing, several, a generator’s items', async () => {
    const { port } = await serving()
    const made = await client(port)
    expect((await made.executeNode('Nothing', {}, 1)).data).toBe(null)
    expect((await made.executeNode('Twice', {}, { a: 1 })).data).toEqual([{ a: 1 }, { a: 1 }])
    const twice = await collect(made.streamNode('Twice', {}, [{ i: 0 }, { i: 1 }]))
    expect(twice.map(({ data }) => data.i)).toEqual([0, 0, 1, 1])
    expect(await collect(made.streamNode('Nothing', {}, [1, 2]))).toEqual([])
  })

  test('the session, the parameters and the metadata of a call reach its node', async () => {
    const { port } = await serving({}, { About: (_, { metadata, config, nodeType }) => ({ metadata, config, nodeType }) })
    const made = await client(port, { metadata: { 'x-tenant': 'blue' } })
    expect((await made.executeNode('Session', {}, { any: 1 }, { sessionId: 'alice' })).data).toEqual({ sessionId: 'alice' })
    const { data } = await made.executeNode('About', { deep: { list: [1, true, null] } }, 'x')
    expect(data).toMatchObject({ nodeType: 'About', config: { deep: { list: [1, true, null] } }, metadata: { 'x-tenant': 'blue' } })
  })

  test('a WebAssembly node serves, each session with its own memory', async () => {
    const gain = node(guest('gain'), { config: { gain: 2 } })
    const { port } = await serving({}, { Gain: gain, Vad: () => new api.WasmEdgeNode(guest('vad'), { config: { output: 'scores' } }) })
    const made = await client(port)
    const packet = await made.executeNode('Gain', {}, { samples: Float32Array.of(0.25, -0.25), sampleRate: 16_000 })
    expect([...packet.data.samples]).toEqual([0.5, -0.5])
    const scores = await collect(made.streamNode('Vad', {}, [{ samples: new Float32Array(512), sampleRate: 16_000 }]))
    expect(scores).toHaveLength(2)
  })

  test('backpressure: a slow reader holds the node back', async () => {
    let made = 0
    const endless = async function* () {
      for (;;) {
        made++
        yield Buffer.alloc(64 << 10)
      }
    }
    const { port } = await serving({}, { Endless: endless })
    const reader = await client(port)
    const stream = reader.streamNode('Endless', {}, [1], { format: 'raw' })
    await stream.next()
    let before = -1
    // The node stops when all buffers between are full.
    await until(() => {
      const still = made === before
      before = made
      return new Promise((resolve) => setTimeout(resolve, 100, still))
    })
    expect(made).toBeLessThan(4000)
    await stream.return()
  })

  test('a client that gives up stops its node', async () => {
    let aborted
    const stopped = new Promise((resolve) => (aborted = resolve))
    const waits = (_, { signal }) => new Promise(() => signal.addEventListener('abort', aborted))
    const { port } = await serving({}, { Waits: waits })
    const made = await client(port)
    expectError(await rejection(made.executeNode('Waits', {}, 1, { timeoutMs: 100 })), 'ERR_DEADLINE')
    await stopped
  })

  test('a node that fails in the middle of a stream: what it put out before arrives first', async () => {
    const { port } = await serving(
      {},
      {
        Breaks: async function* (source) {
          for await (const { data } of source) {
            if (data.i === 2) throw new Error('enough')
            yield data
          }
        },
      },
    )
    const made = await client(port)
    const seen = []
    const error = await rejection(
      (async () => {
        for await (const { data } of made.streamNode('Breaks', {}, [{ i: 0 }, { i: 1 }, { i: 2 }])) seen.push(data.i)
      })(),
    )
    expectError(error, 'ERR_REMOTE')
    expect(error.message).toContain('enough')
    expect(seen).toEqual([0, 1])
  })

  test('a thousand calls at once are all answered, each its own', async () => {
    const { port } = await serving()
    const made = await client(port)
    const answers = await Promise.all(Array.from({ length: 1000 }, (_, i) => made.executeNode('Echo', {}, { i })))
    expect(answers.map(({ data }) => data.i)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
  })

  test('lists its nodes', async () => {
    const { port } = await serving()
    const made = await client(port)
    expect((await made.listNodes()).map(({ nodeType }) => nodeType)).toContain('Upper')
    expect(await made.getStatus({ includeMetrics: true })).toMatchObject({ metrics: {} })
  })
})

describe('who may call', () => {
  test('a token', async () => {
    const { port } = await serving({ authToken: ['one', 'two'] })
    expect((await (await client(port, { authToken: async () => 'two' })).executeNode('Echo', {}, 'x')).data).toBe('x')
    for (const authToken of ['three', undefined]) {
      const error = await rejection(client(port, { authToken }))
      expectError(error, 'ERR_REMOTE')
      expect(error).toMatchObject({ grpcCode: 16, grpcStatus: 'UNAUTHENTICATED' })
    }
  })

  test('a check of the application', async () => {
    const { port } = await serving({ authToken: async (token) => token.startsWith('good') })
    expect((await (await client(port, { authToken: 'good one'.replace(' ', '-') })).executeNode('Echo', {}, 'x')).data).toBe('x')
    expectError(await rejection(client(port, { authToken: 'bad' })), 'ERR_REMOTE')
  })

  test('too many at once are turned away at once', async () => {
    let release
    const gate = new Promise((resolve) => (release = resolve))
    let entered = 0
    const wait = () => {
      entered++
      return gate
    }
    const { port } = await serving({ limits: { maxConcurrentCalls: 2 } }, { Gate: wait })
    const made = await client(port)
    const held = [made.executeNode('Gate', {}, 1), made.executeNode('Gate', {}, 2)]
    await until(() => entered === 2)
    const error = await rejection(made.executeNode('Echo', {}, 3))
    expect(error).toMatchObject({ grpcStatus: 'RESOURCE_EXHAUSTED' })
    release('done')
    for (const one of await Promise.all(held)) expect(one.data).toBe('done')
  })
})

describe('its life', () => {
  test('close lets calls under way finish, and turns new ones away', async () => {
    let release
    const gate = new Promise((resolve) => (release = resolve))
    const { service, port } = await serving({}, { Gate: () => gate })
    const made = await client(port, { maxRetries: 0 })
    const held = made.executeNode('Gate', {}, 1)
    await until(async () => (await made.getStatus()) && service.metrics())
    const closing = service.close({ graceMs: 10_000 })
    release('done')
    expect((await held).data).toBe('done')
    await closing
    expectError(await rejection(made.executeNode('Echo', {}, 1)), 'ERR_UNAVAILABLE')
  })

  test('a port that is taken', async () => {
    const { port } = await serving()
    const second = new RemoteProcessingService({ port })
    const error = await rejection(second.listen())
    expect(error).toBeInstanceOf(api.RemoteMediaError)
    expect(error.message).toContain(String(port))
  })
})

describe('options', () => {
  test.each([
    [{ port: -1 }, 'port'],
    [{ port: 'a' }, 'port'],
    [{ host: 5 }, 'host'],
    [{ tls: {} }, 'tls.cert'],
    [{ authToken: 5 }, 'authToken'],
    [{ limits: { maxConcurrentCalls: 0 } }, 'limits.maxConcurrentCalls'],
    [{ limits: { nope: 1 } }, 'limits.nope'],
    [{ nope: 1 }, 'nope'],
  ])('%j is refused at %s', (options, path) => {
    expect(
      expectError(
        thrown(() => new RemoteProcessingService(options)),
        'ERR_CONFIG',
      ).path,
    ).toBe(path)
  })

  test.each([undefined, 5, 'text', {}, { execute: 5 }])('%j is no node', (entry) => {
    const service = new RemoteProcessingService({ port: 0 })
    expectError(
      thrown(() => service.register('A', entry)),
      'ERR_CONFIG',
    )
  })

  test('a name is taken once, and is a name', () => {
    const service = new RemoteProcessingService({ port: 0 }).register('A', (x) => x)
    expectError(
      thrown(() => service.register('A', (x) => x)),
      'ERR_CONFIG',
    )
    expectError(
      thrown(() => service.register('', (x) => x)),
      'ERR_CONFIG',
    )
    expectError(
      thrown(() => service.register(5, (x) => x)),
      'ERR_CONFIG',
    )
  })
})
