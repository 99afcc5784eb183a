// The peers that the remote side is tested against, against each other: what they are said to do, they do. Python with grpcio, pickle and
// numpy on both sides, then each side against @grpc/grpc-js.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectGrpcJs, startGrpcJsServer } from './peers/grpc-js.mjs'
import { pythonExchanges, pythonMissing, startPythonServer } from './support/python.mjs'

const missing = await pythonMissing()
const audio = (samples, more = {}) => ({ $audio: { samples, rate: 16_000, ...more } })
const loud = Array.from({ length: 1_600 }, (_, index) => (index % 2 ? 0.5 : -0.5))

const COUNTER = `
class Counter:
    def __init__(self, start):
        self.value, self.inited, self.label = start, 0, "a value"
    async def initialize(self):
        self.inited += 1
    def add(self, n, times=1):
        self.value += n * times
        return self.value
    def initialised(self):
        return self.inited
    def fail(self):
        raise ValueError("invalid wish")
    def count(self, n):
        yield from range(n)
    async def acount(self, n):
        for i in range(n):
            yield i
    async def process(self, stream):
        async for item in stream:
            yield item + self.value
    def flush(self):
        return "flushed"
`

describe.skipIf(missing)('the Python peers', () => {
  let server
  const exchange = (...steps) => pythonExchanges(server.address, steps)
  const one = async (step) => (await exchange(step))[0]
  beforeAll(async () => {
    server = await startPythonServer()
  })
  afterAll(() => server?.stop())

  describe('ExecuteNode', () => {
    it('carries json and pickle, with metrics in milliseconds', async () => {
      const [json, pickle] = await exchange(
        { op: 'execute', node: 'EchoType', format: 'json', input: { a: [1, 2.5, null], b: 'é' } },
        { op: 'execute', node: 'EchoType', input: audio([0.25, 0.5], { metadata: { session_id: 's1' } }) },
      )
      expect(json.value.entries[0][1]).toEqual({
        type: 'list',
        items: [
          { type: 'int', repr: '1' },
          { type: 'float', repr: '2.5' },
          { type: 'NoneType', repr: 'None' },
        ],
      })
      expect(pickle.value.type).toBe('tuple')
      expect(pickle.value.items[0]).toMatchObject({ type: 'ndarray', dtype: '<f4', shape: [1, 2], sum: 0.75 })
      expect(pickle.value.items[1]).toEqual({ type: 'int', repr: '16000' })
      expect(pickle.value.items[2].type).toBe('dict')
      expect(pickle.metrics.start_timestamp).toBeGreaterThan(1_600_000_000_000)
      expect(pickle.metrics).toMatchObject({ exit_code: 0, sandbox_id: '', memory_peak_mb: 0 })
    })

    it('reads configuration as JSON, then as Python, then as it is', async () => {
      const { value } = await one({
        op: 'execute',
        node: 'EchoConfig',
        config: {
          int: 42,
          real: 1.5,
          yes: true,
          none: null,
          list: [1, 2],
          json: '{"a": true}',
          quoted: '"8000"',
          text: 'plain',
          empty: '',
        },
      })
      const reprs = Object.fromEntries(Object.entries(value).map(([key, { type, repr }]) => [key, repr ?? type]))
      expect(reprs).toEqual({
        int: '42',
        real: '1.5',
        yes: 'True',
        none: 'None',
        list: 'list',
        json: 'dict',
        quoted: "'8000'",
        text: "'plain'",
        empty: "''",
      })
    })

    it('puts failures inside the answer, with category, context, traceback and exit code', async () => {
      const [unknown, failing, memory, initialising, named, format, empty, generator, bytes] = await exchange(
        { op: 'execute', node: 'Nobody' },
        { op: 'execute', node: 'Failing', config: { message: 'invalid rate' } },
        { op: 'execute', node: 'Failing', config: { message: 'CUDA out of memory' } },
        { op: 'execute', node: 'Failing', config: { when: 'initialize' } },
        { op: 'execute', node: 'PassThroughNode', config: { name: 'mine' } },
        { op: 'execute', node: 'PassThroughNode', format: 'yaml', raw: '' },
        { op: 'execute', node: 'PassThroughNode', format: 'json', raw: '' },
        { op: 'execute', node: 'VoiceActivityDetector', input: audio(loud) },
        { op: 'execute', node: 'BigAnswer', format: 'json', input: 4 },
      )
      expect(unknown.error).toMatch(/^\[\w+\] NodeExecutionError: Node execution failed: Unknown node type: Nobody.*CalculatorNode/)
      expect(failing).toMatchObject({ ok: true, status: 'ERROR', metrics: { exit_code: -1 } })
      expect(failing.error).toMatch(/^\[VALIDATION\] NodeExecutionError: Node processing failed: invalid rate\n\nContext: \{'operation'/)
      expect(failing.traceback).toMatch(/^Traceback[\s\S]*ValueError: invalid rate/)
      expect(memory.status).toBe('RESOURCE_LIMIT')
      expect(initialising.error).toContain('Node initialization failed')
      expect(named.error).toContain("multiple values for keyword argument 'name'")
      expect(format.error).toContain('[SERIALIZATION] ValueError: Unsupported serialization format: yaml')
      expect(empty.status).toBe('ERROR')
      expect(generator.error).toContain('Unknown node type')
      expect(bytes.error).toContain('Output serialization failed: Object of type bytes is not JSON serializable')
    })

    it('answers bad input of a stock node with SUCCESS and an error inside', async () => {
      const { status, value } = await one({
        op: 'execute',
        node: 'CalculatorNode',
        format: 'json',
        input: { operation: 'cube', args: [2] },
      })
      expect(status).toBe('SUCCESS')
      expect(value).toEqual({ error: expect.stringContaining('cube'), processed_by: 'CalculatorNode[remote_CalculatorNode]' })
    })

    it('emits NaN bare in json and leaves audio that came as json alone', async () => {
      const [nan, list, tuple] = await exchange(
        { op: 'execute', node: 'NaN', format: 'json' },
        { op: 'execute', node: 'AudioTransform', config: { output_channels: 1 }, format: 'json', input: [[[1, 2]], 16_000] },
        { op: 'execute', node: 'AudioTransform', config: { output_channels: 2 }, input: audio([1, 2]) },
      )
      expect(nan.value.nan).toEqual({ $float: 'nan' })
      expect(list.value).toEqual([[[1, 2]], 16_000])
      expect(tuple.value.$tuple[0].$ndarray).toMatchObject({ shape: [2, 2], data: [1, 2, 1, 2] })
    })

    it('gives arrays of every sort, and refuses what is larger than its client takes', async () => {
      const [arrays, big] = await exchange(
        { op: 'execute', node: 'Arrays' },
        { op: 'execute', node: 'BigAnswer', config: { n: 5_000_000 } },
      )
      expect(arrays.value.f_order.$ndarray).toMatchObject({ order: 'F', data: [0, 1, 2, 3, 4, 5] })
      // Numpy itself turns the bytes around when it reads.
      expect(arrays.value.big_endian.$ndarray).toMatchObject({ dtype: '<i4', data: [0, 1, 2, 3, 4, 5] })
      expect(arrays.value.scalar).toEqual({ $scalar: { dtype: '<f4', value: 1.5 } })
      expect(big).toMatchObject({ ok: false, grpc: 'RESOURCE_EXHAUSTED' })
    })

    it('keeps no deadline of its own, and answers several at once, blocking or not', async () => {
      const late = await one({ op: 'execute', node: 'Slow', config: { delay_ms: 5_000 }, timeout: 0.2 })
      expect(late).toMatchObject({ ok: false, grpc: 'DEADLINE_EXCEEDED' })
      const [{ results }] = await exchange({
        op: 'parallel',
        steps: [1, 2, 3].map((input) => ({ op: 'execute', node: 'Slow', config: { delay_ms: 20, blocking: true }, input })),
      })
      expect(results.map(({ value }) => value)).toEqual([1, 2, 3])
    })

    it('hands metadata to EchoMetadata', async () => {
      const { value } = await one({ op: 'execute', node: 'EchoMetadata', metadata: { traceparent: '00-abc', authorization: 'Bearer t' } })
      expect(value).toMatchObject({ traceparent: '00-abc', authorization: 'Bearer t' })
    })
  })

  describe('StreamNode', () => {
    it('keeps order, drops None and lets a generator answer as it likes', async () => {
      const [echo, silent, counter] = await exchange(
        { op: 'stream', node: 'TextProcessor', format: 'json', inputs: ['a', 'b', 'c'].map((text) => ({ text })) },
        { op: 'stream', node: 'Silent', inputs: [1, 2] },
        { op: 'stream', node: 'StatefulCounter', config: { initial_value: 5 }, inputs: ['x', 'y'] },
      )
      expect(echo.values.map(({ results }) => results.uppercase)).toEqual(['A', 'B', 'C'])
      expect(silent).toMatchObject({ ok: true, values: [], error: '' })
      expect(counter.values).toEqual([{ $tuple: [6] }, { $tuple: [7] }])
    })

    it('takes 2000 items without waiting', async () => {
      const { values } = await one({ op: 'stream', node: 'StatefulCounter', inputs: Array.from({ length: 2_000 }, (_, index) => index) })
      expect(values.map(({ $tuple: [count] }) => count)).toEqual(Array.from({ length: 2_000 }, (_, index) => index + 1))
    })

    it('reads configuration as Python only', async () => {
      const { values } = await one({
        op: 'stream',
        node: 'EchoConfig',
        config: { yes: true, json: 'true', object: '{"a": null}' },
        inputs: [0],
      })
      expect(values[0]).toEqual({
        yes: { type: 'bool', repr: 'True' },
        json: { type: 'str', repr: "'true'" },
        object: { type: 'str', repr: `'{"a": null}'` },
      })
    })

    it('finds speech by energy, and skips what is no audio', async () => {
      const quiet = loud.map((sample) => sample / 1000)
      const [plain, filtered, bare, json] = await exchange(
        { op: 'stream', node: 'VoiceActivityDetector', inputs: [audio(quiet), 'no audio', audio(loud, { metadata: { session_id: 's' } })] },
        { op: 'stream', node: 'VoiceActivityDetector', config: { filter_mode: true }, inputs: [audio(quiet), audio(loud)] },
        { op: 'stream', node: 'VoiceActivityDetector', config: { include_metadata: false }, inputs: [audio(loud)] },
        { op: 'stream', node: 'VoiceActivityDetector', format: 'json', inputs: [[[1, 2], 16_000]] },
      )
      const [, found] = plain.values[1].$tuple
      expect(plain.values).toHaveLength(2)
      expect(plain.values[0].$tuple[1].is_speech).toBe(false)
      expect(found).toEqual({ session_id: 's', is_speech: true, speech_ratio: 1, avg_energy: 0.5, frame_duration_ms: 30 })
      expect(filtered.values).toHaveLength(1)
      expect(filtered.values[0].$tuple[0].$ndarray.data[1]).toBe(0.5)
      expect(bare.values[0].$tuple).toHaveLength(2)
      expect(json.values).toEqual([])
    })

    it('fails inside the stream with a doubled category, after what worked', async () => {
      const [midway, refused, nothing] = await exchange(
        { op: 'stream', node: 'Failing', config: { after: 2, message: 'invalid item' }, inputs: [1, 2, 3, 4] },
        { op: 'stream', node: 'PassThroughNode', inputs: [1] },
        { op: 'stream', node: 'StatefulCounter', first: 'data', inputs: [1] },
      )
      expect(midway.values).toEqual([1, 2])
      expect(midway.error).toMatch(/^\[VALIDATION\] \[VALIDATION\] ValueError: invalid item\n\nContext: /)
      expect(refused.error).toContain('is not supported for remote execution')
      expect(nothing).toMatchObject({ ok: false, grpc: 'INVALID_ARGUMENT' })
    })
  })

  describe('objects', () => {
    const source = { op: 'package', module: 'counter_peer', source: COUNTER, object: 'Counter(10)' }
    const package_ = { $from: [0, 'package'] }
    const session = { $from: [1, 'session'] }
    const method = (name, more) => ({ op: 'object_method', session, method: name, ...more })

    it('keep their state in a session, from any connection', async () => {
      const results = await exchange(
        source,
        { op: 'object_method', package: package_, method: '__init__', format: 'json' },
        method('add', { args: [2], kwargs: { times: 3 } }),
        { op: 'reconnect' },
        method('add', { args: [1], format: 'json' }),
        method('label'),
        method('initialised'),
        method('fail'),
        method('add', { args: [1] }),
        method('add', { no_args: true }),
        { op: 'object_method', session: 'nobody', method: 'add' },
      )
      expect(results[1]).toMatchObject({ status: 'SUCCESS', value: null })
      expect(results[1].session).toMatch(/^[0-9a-f-]{36}$/)
      expect([results[2], results[4], results[5], results[6]].map(({ value }) => value)).toEqual([16, 17, 'a value', 1])
      expect(results[7]).toMatchObject({ status: 'ERROR', session: '' })
      expect(results[8].value).toBe(18)
      expect(results[9].status).toBe('ERROR')
      expect(results[10].error).toContain('Session ID nobody not found')
    })

    it('give generators in batches, whose end is noticed only beyond it', async () => {
      const results = await exchange(
        source,
        { op: 'object_method', package: package_, method: '__init__' },
        method('count', { args: [3], format: 'json' }),
        { op: 'generator', session, method: 'count', args: [5], batch: 2 },
        { op: 'generator', session, method: 'acount', args: [4], batch: 2, format: 'json' },
        { op: 'generator', session, method: 'add', args: [1] },
      )
      expect(results[2].value).toMatchObject({ __generator__: true, is_async: false })
      expect(results[3].batches.map(({ items, has_more }) => [items, has_more])).toEqual([
        [[0, 1], true],
        [[2, 3], true],
        [[4], false],
      ])
      expect(results[4].batches.at(-1)).toEqual({ items: [], has_more: false })
      expect(results[4]).toMatchObject({ closed: ['SUCCESS', 'SUCCESS'], after: expect.stringContaining('Generator session not found') })
      expect(results[5].status).toBe('ERROR')
    })

    it('are lost when a stream on their connection ends', async () => {
      const results = await exchange(
        source,
        { op: 'object_method', package: package_, method: '__init__' },
        { op: 'stream_object', session, inputs: [1, 2] },
        { op: 'stream_object', session, inputs: [1] },
        method('add', { args: [1] }),
        { op: 'stream_object', package: package_, inputs: [5], format: 'json' },
      )
      expect(results[2]).toMatchObject({ values: [11, 12, 'flushed'], error: '' })
      expect(results[3].error).toMatch(/Session ID .* not found/)
      expect(results[4].error).toMatch(/Session ID .* not found/)
      expect(results[5].values).toEqual([15, 'flushed'])
    })
  })

  describe('pipelines', () => {
    const pipeline = { $from: [0, 'pipeline'] }
    const register = (name, ...nodes) => ({ op: 'register_pipeline', name, nodes, metadata_map: { category: 'test', description: 'd' } })

    it('are registered, listed, described, executed and removed', async () => {
      const results = await exchange(
        register('text', { type: 'PassThroughNode' }, { type: 'EchoConfig', config: { n: 1 } }),
        { op: 'execute_pipeline', pipeline, input: 'hello', format: 'json' },
        { op: 'list_pipelines', category: 'test', include_definitions: true },
        { op: 'pipeline_info', pipeline },
        { op: 'unregister_pipeline', pipeline },
        { op: 'execute_pipeline', pipeline, input: 1 },
        { op: 'register_pipeline', name: 'bad', nodes: [{ type: 'Nobody' }] },
      )
      expect(results[0].pipeline).toMatch(/^pipeline_text_\d+$/)
      // Never converted: the number arrived as a string.
      expect(results[1].value).toEqual({ n: { type: 'str', repr: "'1'" } })
      expect(results[1].execution).toMatch(/^exec_pipeline_text_\d+_\d+$/)
      expect(results[2].pipelines[0]).toMatchObject({ name: 'text', category: 'test', usage_count: 1, has_definition: true })
      expect(results[3].info.has_definition).toBe(false)
      expect(results[3].metrics.total_executions).toBe(1)
      expect(results[4].status).toBe('SUCCESS')
      expect(results[5].status).toBe('ERROR')
      expect(results[6].status).toBe('ERROR')
    })

    it('swallow failures, and answer with a list where a node streams', async () => {
      const [, failing] = await exchange(register('failing', { type: 'Failing' }), {
        op: 'execute_pipeline',
        pipeline,
        input: 1,
        format: 'json',
      })
      const [, counting] = await exchange(register('counting', { type: 'StatefulCounter' }), { op: 'execute_pipeline', pipeline, input: 1 })
      expect(failing).toMatchObject({ status: 'SUCCESS', value: null })
      expect(counting.value).toEqual([{ $tuple: [1] }])
    })

    it('stream with a source that knows audio in JSON, and lose what takes longer than 100 ms', async () => {
      const [, stream] = await exchange(register('stream', { type: 'EchoType' }), {
        op: 'stream_pipeline',
        pipeline,
        format: 'json',
        inputs: [[[0.5, 0.25], 8_000], { audio_data: [1], sample_rate: 16_000 }, 'plain'],
        controls: ['FLUSH', 'PAUSE', 'CLOSE'],
      })
      const [ack, first, second, third, ...rest] = stream.events
      expect(ack.ack).toMatchObject({ ready: true, session_id: expect.stringMatching(/^stream_pipeline_stream_/) })
      expect(first.data.items[0]).toMatchObject({ dtype: '<f4', shape: [1, 2] })
      expect(second.data.items[2].type).toBe('dict')
      expect(third.data).toEqual({ type: 'str', repr: "'plain'" })
      expect(rest.map(({ status }) => status.items_processed)).toEqual([3, 3, 3])
      const [, slow] = await exchange(register('slow', { type: 'Slow', config: { delay_ms: 300 } }), {
        op: 'stream_pipeline',
        pipeline,
        inputs: [1, 2],
      })
      expect(slow.events.filter(({ data }) => data !== undefined)).toEqual([])
      const [, array] = await exchange(register('array', { type: 'PassThroughNode' }), {
        op: 'stream_pipeline',
        pipeline,
        format: 'json',
        inputs: [[[1], 8_000]],
      })
      expect(array.events[1].error).toBe('Object of type ndarray is not JSON serializable')
    })
  })

  it('answer about the service', async () => {
    const [status, bare, nodes, math, typescript, task, health, watch] = await exchange(
      { op: 'status', include_metrics: true },
      { op: 'status' },
      { op: 'list_nodes' },
      { op: 'list_nodes', category: 'math' },
      { op: 'typescript' },
      { op: 'custom_task' },
      { op: 'health', service: 'any name' },
      { op: 'watch' },
    )
    expect(status).toMatchObject({ status: 1, version: '0.1.0' })
    expect(status.metrics.total_requests).toBeGreaterThan(0)
    expect(bare.metrics).toBeNull()
    expect(nodes.nodes.map(({ type }) => type)).toContain('EchoType')
    expect(nodes.nodes.map(({ type }) => type)).not.toContain('VoiceActivityDetector')
    expect(math.nodes.map(({ type }) => type)).toEqual(['CalculatorNode'])
    expect(JSON.parse(typescript.text).nodes.length).toBe(nodes.nodes.length)
    expect(task).toMatchObject({ status: 'ERROR', error: expect.stringContaining('Phase 3') })
    expect(health.status).toBe('SERVING')
    expect(watch).toMatchObject({ ok: false, grpc: 'UNIMPLEMENTED' })
  })

  it('have no handlers for stored pipelines and nodes, and answer UNKNOWN to bytes that are no message', async () => {
    const stored = ['SavePipeline', 'LoadPipeline', 'ListStoredPipelines', 'ClonePipeline', 'SaveNode', 'LoadNode', 'ListStoredNodes']
    const results = await exchange(...stored.map((method) => ({ op: 'raw', method })), {
      op: 'raw',
      method: 'ExecuteNode',
      message: '////',
    })
    expect(results.slice(0, -1).map(({ grpc }) => grpc)).toEqual(stored.map(() => 'UNIMPLEMENTED'))
    expect(results.at(-1).grpc).toBe('UNKNOWN')
  })

  it('can spell numpy as version 1 did', async () => {
    const old = await startPythonServer({ args: ['--numpy1'] })
    try {
      const raw = Buffer.from('\x80\x04N.', 'latin1').toString('base64')
      const response = await connectAndRead(old.address, raw)
      expect(response.toString('latin1')).toContain('numpy.core.multiarray')
      expect(response.toString('latin1')).not.toContain('numpy._core')
      const [arrays] = await pythonExchanges(old.address, [{ op: 'execute', node: 'Arrays' }])
      expect(arrays.value.f_order.$ndarray.data).toEqual([0, 1, 2, 3, 4, 5])
    } finally {
      await old.stop()
    }
  })
})

/** What Arrays answers, as bytes. */
async function connectAndRead(address, input) {
  const client = connectGrpcJs(address)
  const request = { node_type: 'Arrays', input_data: Buffer.from(input, 'base64'), serialization_format: 'pickle' }
  const { output_data: bytes } = await client.unary('ExecuteNode', request)
  client.close()
  return bytes
}

describe('the grpc-js peers', () => {
  let server
  let client
  beforeAll(async () => {
    server = await startGrpcJsServer({ nodes: { Twice: (item) => item * 2 } })
    client = connectGrpcJs(server.address)
  })
  afterAll(() => {
    client?.close()
    server?.stop()
  })

  it('execute, stream and describe themselves to each other', async () => {
    expect(await client.executeNode('Twice', {}, 21)).toMatchObject({ status: 'EXECUTION_STATUS_SUCCESS', value: 42 })
    const { values, error } = await client.streamNode(
      'Twice',
      {},
      Array.from({ length: 5_000 }, (_, index) => index),
    )
    expect(values).toEqual(Array.from({ length: 5_000 }, (_, index) => index * 2))
    expect(error).toBe('')
    const bytes = Buffer.from([0, 255, 1])
    expect((await client.executeNode('PassThroughNode', {}, bytes, { format: 'raw' })).value).toEqual(bytes)
    expect((await client.listNodes()).available_nodes.map(({ node_type: type }) => type)).toContain('Twice')
    expect(await client.getStatus()).toMatchObject({ status: 'SERVICE_STATUS_HEALTHY' })
  })

  it('tell their failures as the stock server does', async () => {
    const failed = await client.executeNode('Failing', { message: 'no' }, null)
    expect(failed).toMatchObject({ status: 'EXECUTION_STATUS_ERROR', metrics: { exit_code: -1 } })
    expect(failed.error_message).toMatch(/^\[UNKNOWN\] Error: no\n\nContext: /)
    expect((await client.streamNode('Failing', {}, [1])).error).toContain('it was told to fail')
    await expect(client.executeNode('Slow', { delay_ms: 5_000 }, 1, { timeoutMs: 100 })).rejects.toMatchObject({ code: 4 })
    await expect(client.unary('SavePipeline', {})).rejects.toMatchObject({ code: 12 })
  })

  it.skipIf(missing)('answer the Python client', async () => {
    const [sum, echo, stream, nodes, status, misuse, pickle] = await pythonExchanges(server.address, [
      { op: 'execute', node: 'CalculatorNode', format: 'json', input: { operation: 'add', args: [1, 2] } },
      { op: 'execute', node: 'Echo', format: 'json', config: { n: 3 }, metadata: { 'x-who': 'me' } },
      { op: 'stream', node: 'Twice', format: 'json', inputs: [1, 2, 3] },
      { op: 'list_nodes' },
      { op: 'status' },
      { op: 'stream', node: 'Twice', format: 'json', first: 'data', inputs: [1] },
      { op: 'execute', node: 'Twice', input: 1 },
    ])
    expect(sum).toMatchObject({ status: 'SUCCESS', value: { result: 3 } })
    expect(echo.value).toMatchObject({ config: { n: 3 }, metadata: { 'x-who': 'me' } })
    expect(stream.values).toEqual([2, 4, 6])
    expect(nodes.nodes.length).toBeGreaterThan(0)
    expect(status.status).toBe(1)
    expect(misuse).toMatchObject({ ok: false, grpc: 'INVALID_ARGUMENT' })
    expect(pickle.error).toContain('Unsupported serialization format: pickle')
  })

  it.skipIf(missing)('ask the Python server', async () => {
    const python = await startPythonServer()
    const remote = connectGrpcJs(python.address)
    try {
      const config = { text: 'plain', list: [1, null], flag: true }
      const { value } = await remote.executeNode('EchoConfig', config, null)
      expect(value).toMatchObject({ text: { type: 'str' }, list: { type: 'list' }, flag: { type: 'bool', repr: 'True' } })
      const { values } = await remote.streamNode('EchoConfig', config, [0])
      expect(values[0]).toMatchObject({ flag: { type: 'str' }, list: { type: 'str' } })
      expect((await remote.streamNode('Failing', { after: 1 }, [1, 2])).error).toMatch(/^\[\w+\] \[\w+\] ValueError/)
      // NaN stands bare in the JSON, which JavaScript cannot read.
      await expect(remote.executeNode('NaN', {}, null)).rejects.toThrow(SyntaxError)
    } finally {
      remote.close()
      await python.stop()
    }
  })
})
