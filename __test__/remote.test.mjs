// The client against services that nobody here wrote: Python with grpcio, pickle and numpy, and @grpc/grpc-js.

import net from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startGrpcJsServer } from './peers/grpc-js.mjs'
import { api, collect, expectError, rejection, thrown } from './support/index.mjs'
import { pythonExchanges, pythonMissing, startPythonServer } from './support/python.mjs'

const { RemoteExecutionClient, RemoteObjectNode } = api
const missing = await pythonMissing()
const opened = []
const keep = (one) => {
  opened.push(one)
  return one
}
afterEach(async () => {
  for (const one of opened.splice(0)) await (one.cleanup ?? one.close).call(one)
})
const client = async (server, options) => keep(await RemoteExecutionClient.connect({ host: server.host, port: server.port, ...options }))
const remote = (server, options) => keep(new RemoteObjectNode({ host: server.host, port: server.port, ...options }))
const samples = Float32Array.from({ length: 1600 }, (_, i) => (i % 2 ? 0.5 : -0.5))
const loud = { samples, sampleRate: 16_000 }
/** One item, and then nothing until the stream is over. */
const endless = async function* () {
  yield 1
  await new Promise(() => {})
}
const quiet = { samples: new Float32Array(1600), sampleRate: 16_000 }

const COUNTER = `
class Counter:
    def __init__(self, start):
        self.value = start
    def add(self, n, times=1):
        self.value += n * times
        return self.value
    def fail(self):
        raise ValueError("invalid wish")
    def count(self, n):
        yield from range(n)
    async def process(self, stream):
        async for item in stream:
            yield item + self.value
    def flush(self):
        return "flushed"
`

describe.skipIf(missing)('against Python', () => {
  let server
  beforeAll(async () => {
    server = await startPythonServer()
  })
  afterAll(() => server?.stop())

  test('finds out which protocol is spoken', async () => {
    const made = await client(server)
    expect(await made.ready()).toBe('v0')
    expect(await made.health()).toBe(true)
  })

  test.each([
    ['json', { a: [1, 2.5, null, true], b: 'é' }],
    ['pickle', { a: [1, 2.5, null, true], b: 'é' }],
    ['json', 'some text'],
    ['pickle', 'some text'],
    ['pickle', Buffer.from([0, 1, 255])],
    ['auto', [1, 2, 3]],
  ])('a payload comes back as it went (%s, %j)', async (format, item) => {
    const made = await client(server)
    const packet = await made.executeNode('PassThroughNode', {}, item, { format })
    expect(packet.data).toEqual(item)
  })

  test('audio goes as a tuple of an array with channels first, and comes back as audio', async () => {
    const made = await client(server)
    const stereo = { samples: Float32Array.of(1, -1, 0.5, -0.5, 0.25, -0.25), sampleRate: 48_000, channels: 2 }
    const back = await made.executeNode('PassThroughNode', {}, { data: stereo, metadata: { speaker: 'a' } }, { sessionId: 's1' })
    expect(back).toMatchObject({ kind: 'audio', metadata: { speaker: 'a' }, data: { sampleRate: 48_000, channels: 2 } })
    expect(back.data.samples).toEqual(stereo.samples)
    const { data } = await made.executeNode('EchoType', {}, stereo, { sessionId: 's1' })
    expect(data.type).toBe('tuple')
    expect(data.items[0]).toMatchObject({ type: 'ndarray', dtype: '<f4', shape: [2, 3] })
  })

  test.each([
    ['float32', new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer), [2, 2]],
    ['int16', new Uint8Array(new Int16Array([1, -2, 3]).buffer), [3]],
    ['uint8', Uint8Array.of(1, 2, 3, 4, 5, 6), [1, 2, 3]],
    ['float64', new Uint8Array(new Float64Array([Math.PI]).buffer), [1]],
    ['bool', Uint8Array.of(1, 0), [2]],
  ])('a %s tensor comes back as it went', async (dtype, data, shape) => {
    const made = await client(server)
    const packet = await made.executeNode('PassThroughNode', {}, { data, dtype, shape })
    expect(packet).toMatchObject({ kind: 'tensor', data: { dtype, shape } })
    expect(new Uint8Array(packet.data.data)).toEqual(data)
  })

  test('parameters keep their types on both of the service’s ways of reading them', async () => {
    const made = await client(server)
    const cases = {
      yes: [true, 'bool', 'True'],
      no: [false, 'bool', 'False'],
      int: [42, 'int', '42'],
      real: [1.5, 'float', '1.5'],
      none: [null, 'NoneType', 'None'],
      digits: ['8000', 'str', "'8000'"],
      word: ['False', 'str', "'False'"],
      text: ['plain', 'str', "'plain'"],
    }
    const config = { list: [1, true], ...Object.fromEntries(Object.entries(cases).map(([key, [value]]) => [key, value])) }
    const executed = await made.executeNode('EchoConfig', config, null)
    const [streamed] = await collect(made.streamNode('EchoConfig', config, [{ any: 1 }]))
    for (const { data } of [executed, streamed]) {
      for (const [key, [, type, repr]] of Object.entries(cases)) expect(data[key], key).toEqual({ type, repr })
      expect(data.list).toEqual({
        type: 'list',
        items: [
          { type: 'int', repr: '1' },
          { type: 'bool', repr: 'True' },
        ],
      })
    }
  })

  test('a stream keeps its order and its node’s state, and filters what the node drops', async () => {
    const made = await client(server)
    const packets = await collect(made.streamNode('VoiceActivityDetector', {}, [quiet, loud, loud], { sessionId: 'vad' }))
    expect(packets.map(({ metadata }) => metadata.is_speech)).toEqual([false, true, true])
    expect(packets.map(({ sequence }) => sequence)).toEqual([0, 1, 2])
    expect(packets[0]).toMatchObject({ kind: 'audio', sessionId: 'vad', metadata: { session_id: 'vad' } })
    const speech = await collect(made.streamNode('VoiceActivityDetector', { filter_mode: true }, [quiet, loud, quiet]))
    expect(speech).toHaveLength(1)
  })

  test('a thousand items in one stream arrive whole and in order', async () => {
    const made = await client(server)
    const items = Array.from({ length: 1000 }, (_, i) => ({ i }))
    const packets = await collect(made.streamNode('AudioTransform', {}, items))
    expect(packets.map(({ data }) => data.i)).toEqual(items.map(({ i }) => i))
  })

  test('a node: single calls, side by side, in order', async () => {
    const node = remote(server, { nodeType: 'PassThroughNode' })
    await node.initialize()
    const packets = await collect(node.process(Array.from({ length: 50 }, (_, i) => `item ${i}`)))
    expect(packets.map(({ data, sequence }) => [data, sequence])).toEqual(Array.from({ length: 50 }, (_, i) => [`item ${i}`, i]))
    expect((await node.call({ x: 1 }))[0].data).toEqual({ x: 1 })
    expect(node.name).toBe('PassThroughNode')
  })

  test('a node that streams', async () => {
    const node = remote(server, { nodeType: 'VoiceActivityDetector', streaming: true, name: 'cloud vad' })
    const packets = await collect(node.process([quiet, loud]))
    expect(packets.map(({ metadata }) => metadata.is_speech)).toEqual([false, true])
    expect(node.name).toBe('cloud vad')
  })

  describe('objects', () => {
    /** A zip with a counter that starts at 10, as Python's own client packs it. */
    const codePackage = async () => {
      const [{ package: base64 }] = await pythonExchanges(server.address, [
        { op: 'package', module: 'counter_ours', source: COUNTER, object: 'Counter(10)' },
      ])
      return Buffer.from(base64, 'base64')
    }

    test('keep their state between methods, streams notwithstanding', async () => {
      const made = await client(server)
      const { sessionId, result } = await made.executeObjectMethod({ codePackage: await codePackage() }, '__init__')
      expect(result.data).toBe(null)
      expect((await made.executeObjectMethod(sessionId, 'add', [2], { kwargs: { times: 3 } })).result.data).toBe(16)
      // The stock server drops all objects of a connection on which a stream ends: ours have one to themselves.
      const streamed = await collect(made.streamObject(sessionId, [1, 2]))
      expect(streamed.map(({ data }) => data)).toEqual([17, 18, 'flushed'])
      await collect(made.streamNode('AudioTransform', {}, [{ any: 1 }]))
      expect((await made.executeObjectMethod(sessionId, 'add', [1])).result.data).toBe(17)
      const error = await rejection(made.executeObjectMethod(sessionId, 'fail'))
      expectError(error, 'ERR_REMOTE')
      expect(error.message).toContain('invalid wish')
      await made.releaseObject(sessionId)
    })

    test('are nodes as well: by session, or made for each stream', async () => {
      const made = await client(server)
      const code = await codePackage()
      const { sessionId } = await made.executeObjectMethod({ codePackage: code }, '__init__')
      await made.executeObjectMethod(sessionId, 'add', [5])
      const live = remote(server, { object: sessionId })
      expect((await collect(live.process([1, 2]))).map(({ data }) => data)).toEqual([16, 17, 'flushed'])
      expectError(await rejection(live.call(1)), 'ERR_CONFIG')
      const fresh = remote(server, { object: { codePackage: code }, format: 'json', name: 'counter' })
      for (const _ of [1, 2]) expect((await collect(fresh.process([1]))).map(({ data }) => data)).toEqual([11, 'flushed'])
      expect(fresh.name).toBe('counter')
    })

    test('generators come as one stream, whatever their batches', async () => {
      const made = await client(server)
      const { sessionId } = await made.executeObjectMethod({ codePackage: await codePackage() }, '__init__')
      const values = await collect(made.generator(sessionId, 'count', [7], { batchSize: 3 }))
      expect(values.map(({ data, sequence }) => [data, sequence])).toEqual([0, 1, 2, 3, 4, 5, 6].map((i) => [i, i]))
      for await (const { data } of made.generator(sessionId, 'count', [1000])) if (data === 5) break
      const { generatorId, result } = await made.executeObjectMethod(sessionId, 'count', [3], { format: 'json' })
      expect(result.data.generator_id).toBe(generatorId)
    })
  })

  test('pipelines: registered, listed, run, forgotten', async () => {
    const made = await client(server)
    const nodes = [{ nodeId: 'calc', nodeType: 'CalculatorNode' }]
    const { pipelineId } = await made.registerPipeline({ name: 'sums', nodes, metadata: { category: 'math', description: 'adds' } })
    expect((await made.listPipelines('math')).map(({ pipelineId }) => pipelineId)).toContain(pipelineId)
    expect(JSON.stringify(await made.getPipelineInfo(pipelineId))).toContain('sums')
    const sum = await made.executePipeline(pipelineId, { operation: 'add', args: [2, 3] })
    expect(sum.data.result).toBe(5)
    const packets = await collect(made.streamPipeline(pipelineId, [{ operation: 'multiply', args: [4, 5] }]))
    expect(packets[0].data.result).toBe(20)
    await made.unregisterPipeline(pipelineId)
    expectError(await rejection(made.getPipelineInfo(pipelineId)), 'ERR_REMOTE')
  })

  test('what the service says about itself', async () => {
    const made = await client(server)
    expect((await made.listNodes('math')).map(({ nodeType }) => nodeType)).toContain('CalculatorNode')
    expect(await made.getStatus({ includeMetrics: true })).toMatchObject({ version: expect.any(String), metrics: {} })
    expect(JSON.stringify(await made.exportTypeScriptDefinitions())).toContain('CalculatorNode')
    expectError(await rejection(made.executeCustomTask({ codePackage: Buffer.of(1), entryPoint: 'main' }, null)), 'ERR_REMOTE')
    // This service speaks v0 only.
    expectError(await rejection(made.executeManifest({ version: 'v1', nodes: [], connections: [] }, 'x')), 'ERR_CONFIG')
  })

  describe('failures', () => {
    test('a node that raises: the text, the traceback and the category', async () => {
      const made = await client(server)
      const error = await rejection(made.executeNode('Failing', { message: 'no such luck' }, 'x'))
      expectError(error, 'ERR_REMOTE')
      expect(error).toBeInstanceOf(api.RemoteExecutionError)
      expect(error.message).toContain('no such luck')
      expect(error.message).not.toContain('Context:')
      expect(error.remoteTraceback).toContain('Traceback')
    })

    test('a node that answers with an error inside of success', async () => {
      const made = await client(server)
      const error = await rejection(made.executeNode('CalculatorNode', {}, { operation: 'divide', args: [1, 0] }))
      expectError(error, 'ERR_REMOTE')
      const kept = await client(server, { keepErrorResults: true })
      const packet = await kept.executeNode('CalculatorNode', {}, { operation: 'divide', args: [1, 0] })
      expect(packet.data.error).toBeTypeOf('string')
    })

    test('an unknown node', async () => {
      const made = await client(server)
      expect((await rejection(made.executeNode('NoSuchNode', {}, 1))).message).toContain('NoSuchNode')
      expect((await rejection(collect(made.streamNode('NoSuchNode', {}, [1])))).code).toBe('ERR_REMOTE')
    })

    test('a stream that answers nothing ends in time', async () => {
      const made = await client(server)
      const error = await rejection(collect(made.streamNode('Silent', {}, endless(), { timeoutMs: 300 })))
      expectError(error, 'ERR_DEADLINE')
    })

    test('an item that cannot be written fails in its place, after what came before', async () => {
      const made = await client(server)
      const seen = []
      const stream = made.streamNode('AudioTransform', {}, [{ a: 1 }, Symbol('no')])
      const error = await rejection(
        (async () => {
          for await (const { data } of stream) seen.push(data)
        })(),
      )
      expectError(error, 'ERR_SERIALIZATION')
      expect(seen).toEqual([{ a: 1 }])
    })

    test('time per call', async () => {
      const made = await client(server)
      expectError(await rejection(made.executeNode('Slow', { delay_ms: 5000 }, 1, { timeoutMs: 100 })), 'ERR_DEADLINE')
    })

    test('an abort rejects with the signal’s own reason', async () => {
      const made = await client(server)
      const reason = new Error('enough')
      const controller = new AbortController()
      const call = made.executeNode('Slow', { delay_ms: 5000 }, 1, { signal: controller.signal })
      controller.abort(reason)
      expect(await rejection(call)).toBe(reason)
      expect(await rejection(made.executeNode('Slow', {}, 1, { signal: AbortSignal.abort(reason) }))).toBe(reason)
      const stopping = new AbortController()
      const stream = made.streamNode('Slow', { delay_ms: 5000 }, [1, 2], { signal: stopping.signal })
      const next = stream.next()
      stopping.abort(reason)
      expect(await rejection(next)).toBe(reason)
    })

    test('breaking out of a stream closes its source', async () => {
      const made = await client(server)
      let closed = false
      const source = (async function* () {
        try {
          for (let i = 0; ; i++) yield { i }
        } finally {
          closed = true
        }
      })()
      for await (const { data } of made.streamNode('AudioTransform', {}, source)) if (data.i === 3) break
      expect(closed).toBe(true)
    })

    test('after close everything says so', async () => {
      const made = await client(server)
      await made.close()
      expectError(await rejection(made.executeNode('PassThroughNode', {}, 1)), 'ERR_CLOSED')
      expectError(await rejection(collect(made.streamNode('AudioTransform', {}, [1]))), 'ERR_CLOSED')
    })
  })
})

describe('against grpc-js', () => {
  let server
  beforeAll(async () => {
    server = await startGrpcJsServer()
  })
  afterAll(() => server?.stop())

  test('calls and streams', async () => {
    const made = await client({ host: '127.0.0.1', port: server.port }, { api: 'v0' })
    expect((await made.executeNode('PassThroughNode', {}, { a: 1 })).data).toEqual({ a: 1 })
    const packets = await collect(made.streamNode('PassThroughNode', {}, [{ i: 0 }, { i: 1 }, { i: 2 }]))
    expect(packets.map(({ data }) => data.i)).toEqual([0, 1, 2])
  })
})

describe('where there is no service', () => {
  test('a closed port', async () => {
    const port = await new Promise((resolve) => {
      const listener = net.createServer().listen(0, '127.0.0.1', () => {
        const { port } = listener.address()
        listener.close(() => resolve(port))
      })
    })
    const error = await rejection(RemoteExecutionClient.connect({ host: '127.0.0.1', port, timeout: 5 }))
    expectError(error, 'ERR_UNAVAILABLE')
    expect(error.message).toContain(`127.0.0.1:${port}`)
    expect(error.retryable).toBe(true)
  })

  test('a server that never answers', async () => {
    const sockets = new Set()
    const listener = net.createServer((socket) => sockets.add(socket)).listen(0, '127.0.0.1')
    await new Promise((resolve) => listener.once('listening', resolve))
    const error = await rejection(RemoteExecutionClient.connect({ host: '127.0.0.1', port: listener.address().port, timeout: 0.5 }))
    expect(['ERR_DEADLINE', 'ERR_UNAVAILABLE']).toContain(error.code)
    for (const socket of sockets) socket.destroy()
    listener.close()
  })

  test('something else than gRPC', async () => {
    const listener = net.createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1')
    await new Promise((resolve) => listener.once('listening', resolve))
    const error = await rejection(RemoteExecutionClient.connect({ host: '127.0.0.1', port: listener.address().port, timeout: 5 }))
    expect(error).toBeInstanceOf(api.RemoteExecutionError)
    listener.close()
  })
})

describe('options', () => {
  test.each([
    [undefined, ''],
    [{}, 'host'],
    [{ host: 1 }, 'host'],
    [{ host: '' }, 'host'],
    [{ host: 'a b' }, 'host'],
    [{ host: 'x', port: 70_000 }, 'port'],
    [{ host: 'x', port: 1.5 }, 'port'],
    [{ host: 'x', protocol: 'http' }, 'protocol'],
    [{ host: 'x', api: 'v2' }, 'api'],
    [{ endpoints: 'x' }, 'endpoints'],
    [{ endpoints: ['x', 3] }, 'endpoints.1'],
    [{ endpoints: ['ftp://x'] }, 'endpoints.0'],
    [{ host: 'x', timeout: 0 }, 'timeout'],
    [{ host: 'x', maxRetries: -1 }, 'maxRetries'],
    [{ host: 'x', maxMessageSize: 0 }, 'maxMessageSize'],
    [{ host: 'x', metadata: { 'grpc-x': '1' } }, 'metadata.grpc-x'],
    [{ host: 'x', metadata: { a: 1 } }, 'metadata.a'],
    [{ host: 'x', authToken: 5 }, 'authToken'],
    [{ host: 'x', hedge: {} }, 'hedge.delayMs'],
    [{ host: 'x', keepalive: { intervalMs: 'a' } }, 'keepalive.intervalMs'],
    [{ host: 'x', tls: { ca: 5 } }, 'tls.ca'],
    [{ host: 'x', windows: { streamBytes: 1 } }, 'windows.streamBytes'],
    [{ host: 'x', nope: 1 }, 'nope'],
    [{ host: 'x', tls: { nope: 1 } }, 'tls.nope'],
  ])('%j is refused at %s', (config, path) => {
    const error = expectError(
      thrown(() => new RemoteExecutionClient(config)),
      'ERR_CONFIG',
    )
    if (path) expect(error.path).toBe(path)
  })

  test.each([
    [{ host: 'x' }, 'nodeType'],
    [{ host: 'x', nodeType: '' }, 'nodeType'],
    [{ host: 'x', object: 5 }, 'object'],
    [{ host: 'x', object: { codePackage: 'text' } }, 'object.codePackage'],
    [{ host: 'x', object: 'id', nodeType: 'A' }, 'nodeType'],
    [{ host: 'x', nodeType: 'A', config: [] }, 'config'],
    [{ host: 'x', nodeType: 'A', format: 'xml' }, 'format'],
    [{ host: 'x', nodeType: 'A', streaming: 'yes' }, 'streaming'],
  ])('a node with %j is refused at %s', (options, path) => {
    const error = expectError(
      thrown(() => new RemoteObjectNode(options)),
      'ERR_CONFIG',
    )
    expect(error.path).toBe(path)
  })
})
