// One trace for each item, as a collector gets it: the whole way of an item through nodes, router, network and service, and what becomes of it
// when the collector is slow, wrong or away.

import grpc from '@grpc/grpc-js'
import { context, trace } from '@opentelemetry/api'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { start } from './support/child.mjs'
import { api, collect, deferred, fixture, guest, node, rejection, thrown, until } from './support/index.mjs'
import { collectGrpc, collectHttp } from './support/otlp.mjs'

const { configureTracing, flushTracing, HybridWasmNode, IntelligentRouter, Pipeline, prometheusMetrics, RemoteExecutionClient } = api
const { RemoteObjectNode, RemoteProcessingService, shutdownTracing } = api

const CLIENT = 'remotemedia.execution.RemoteExecutionService'
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const TRACE_ID = TRACEPARENT.split('-')[1]

let collector
beforeEach(async () => {
  collector = await collectHttp()
})
afterEach(async () => {
  await shutdownTracing().catch(() => {})
  await collector.close()
})

const configure = (options) => configureTracing({ otlpEndpoint: collector.url, metricsIntervalMs: 0, maxTracesPerSecond: 1e6, ...options })

/**
 * Waits until so many spans are there, among them one of a service that was asked what it speaks: a service is done with a call a moment after
 * its client is.
 */
const recorded = (count) =>
  until(async () => {
    await flushTracing()
    return collector.spans.length >= count
  })

/** A service with these nodes. */
async function serve(nodes) {
  const service = new RemoteProcessingService({ port: 0 })
  for (const [name, entry] of Object.entries(nodes)) service.register(name, entry)
  onTestFinished(() => service.close({ graceMs: 1 }))
  return { host: '127.0.0.1', port: (await service.listen()).port }
}

function cleaned(made) {
  onTestFinished(() => made.cleanup())
  return made
}

const upper = (packet) => packet.data.toUpperCase()

describe('one trace for each item', () => {
  test('a module: the item, and its time in the guest', async () => {
    configure({ serviceName: 'tests' })
    await collect(node(guest('echo'), { name: 'the-echo' }).process(['a', 'bc'], { sessionId: 'talk' }))
    await flushTracing()
    const items = collector.named('item')
    expect(items).toHaveLength(2)
    expect(new Set(items.map(({ traceId }) => traceId)).size).toBe(2)
    for (const [index, item] of items.sort((one, other) => Number(one.start - other.start)).entries()) {
      expect(collector.tree(item.traceId)).toEqual([{ item: ['edge'] }])
      expect(item).toMatchObject({ kind: 'internal', parentId: '', status: undefined })
      expect(item.attributes).toEqual({
        'session.id': 'talk',
        'remotemedia.sequence': index,
        'remotemedia.kind': 'text',
        'remotemedia.bytes': index + 1,
      })
    }
    for (const edge of collector.named('edge')) {
      expect(edge.attributes).toMatchObject({
        'remotemedia.node': 'the-echo',
        'session.id': 'talk',
        'remotemedia.mode': expect.any(String),
      })
      const item = items.find(({ spanId }) => spanId === edge.parentId)
      expect(item.start <= edge.start && edge.start <= edge.end && edge.end <= item.end).toBe(true)
    }
    expect(collector.resources[0]).toMatchObject({ 'service.name': 'tests', 'process.pid': process.pid })
  })

  test('a pipeline with a router, at the edge and in the cloud: request, route, gRPC, the service and its node', async () => {
    const where = await serve({ Echo: node(guest('echo'), { name: 'far', outputKind: 'text' }) })
    configure()
    const router = new IntelligentRouter({
      name: 'which',
      edge: node(guest('echo'), { name: 'near' }),
      cloud: new RemoteObjectNode({ ...where, nodeType: 'Echo', format: 'pickle' }),
      edgeMaxBytes: 10,
      cloudMinBytes: 20,
    })
    const pipeline = cleaned(new Pipeline([node(guest('echo'), { name: 'first' }), router]))
    const packets = await pipeline.run(['small', 'x'.repeat(40)])
    expect(packets.map(({ route }) => route.target)).toEqual(['edge', 'cloud'])
    await recorded(12)
    const [small, large] = [5, 40].map((bytes) =>
      collector.spans.find((span) => span.attributes['remotemedia.bytes'] === bytes && !span.parentId),
    )
    expect(collector.tree(small.traceId)).toEqual([{ item: ['edge', { route: ['edge'] }] }])
    const execute = `${CLIENT}/ExecuteNode`
    // The client's span, and the service's in it, which runs the node.
    expect(collector.tree(large.traceId)).toEqual([{ item: ['edge', { route: [{ [execute]: [{ [execute]: [{ item: ['edge'] }] }] }] }] }])
    const [client, server] = collector.spans.filter((span) => span.name === execute).sort((one, other) => Number(one.start - other.start))
    expect([client.kind, server.kind]).toEqual(['client', 'server'])
    expect(client.attributes).toMatchObject({
      'rpc.system': 'grpc',
      'rpc.method': 'ExecuteNode',
      'server.address': `127.0.0.1:${where.port}`,
    })
    expect(server.attributes).toMatchObject({ 'remotemedia.node': 'Echo' })
    const route = collector.named('route').find(({ traceId }) => traceId === large.traceId)
    expect(route.attributes).toMatchObject({
      'remotemedia.node': 'which',
      'remotemedia.route.target': 'cloud',
      'remotemedia.route.reason': expect.any(String),
      'remotemedia.route.explanation': packets[1].route.reason,
      'remotemedia.route.attempts': 1,
      'remotemedia.route.fallback': false,
    })
  })

  test("a guest's own calls are parts of its item", async () => {
    const where = await serve({ Up: upper })
    configure()
    const made = node(fixture('remote'), { remote: where, services: { up: 'Up' } }, HybridWasmNode)
    // Its language: call, the length of the service's name, the name, data.
    await collect(made.process([Buffer.from('c\u0002up"hello"')]))
    await recorded(5)
    const execute = `${CLIENT}/ExecuteNode`
    expect(collector.tree(collector.named('item')[0].traceId)).toEqual([{ item: [{ edge: [{ [execute]: [execute] }] }] }])
  })

  test('nodes of the application behind a module keep the trace', async () => {
    configure()
    const shout = async function* (source) {
      for await (const packet of source) yield String(packet.data).toUpperCase()
    }
    const pipeline = cleaned(new Pipeline([node(guest('echo'), { name: 'one' }), shout, node(guest('echo'), { name: 'two' })]))
    await pipeline.run(['a'])
    await recorded(3)
    expect(collector.tree(collector.named('item')[0].traceId)).toEqual([{ item: ['edge', 'edge'] }])
    expect(
      collector
        .named('edge')
        .map(({ attributes }) => attributes['remotemedia.node'])
        .sort(),
    ).toEqual(['one', 'two'])
  })

  test('an item is over when its answer is handed out, whatever a node keeps', async () => {
    configure()
    const pass = async function* (source) {
      for await (const packet of source) yield packet
    }
    const pipeline = cleaned(new Pipeline([pass]))
    const handed = deferred()
    async function* source() {
      yield 'first'
      await handed.promise
      yield 'second'
    }
    for await (const { sequence } of pipeline.process(source())) if (sequence === 0) handed.resolve()
    await recorded(2)
    const [first, second] = [0, 1].map((sequence) =>
      collector.named('item').find(({ attributes }) => attributes['remotemedia.sequence'] === sequence),
    )
    expect(first.end <= second.start).toBe(true)
  })

  test('a stream to a service is one span there, and one here', async () => {
    const where = await serve({ Up: upper })
    configure()
    const streaming = cleaned(new RemoteObjectNode({ ...where, nodeType: 'Up', streaming: true }))
    await collect(streaming.process(['a', 'b'], { traceparent: TRACEPARENT }))
    await recorded(3)
    expect(collector.tree(TRACE_ID, TRACEPARENT.split('-')[2])).toEqual([{ [`${CLIENT}/StreamNode`]: [`${CLIENT}/StreamNode`] }])
  })

  test('an item that fails says with what, and a fallback that it was one', async () => {
    configure()
    const error = await rejection(node(fixture('unreachable'), { name: 'bad' }).call('x'))
    const router = new IntelligentRouter({
      edge: node(guest('echo')),
      cloud: new RemoteObjectNode({ host: '127.0.0.1', port: 1, nodeType: 'Gone', maxRetries: 0 }),
      strategy: 'cloud-first',
    })
    await cleaned(new Pipeline([router])).run(['x'])
    await recorded(6)
    const bad = collector.named('edge').find(({ attributes }) => attributes['remotemedia.node'] === 'bad')
    const item = collector.spans.find(({ spanId }) => spanId === bad.parentId)
    for (const span of [bad, item]) {
      expect(span.attributes['error.type']).toBe(error.code)
      expect(span.status).toMatchObject({ code: 2, message: expect.stringContaining('unreachable') })
    }
    const route = collector.named('route')[0]
    expect(route.attributes).toMatchObject({
      'remotemedia.route.target': 'cloud',
      'remotemedia.route.fallback': true,
      'remotemedia.route.attempts': 2,
    })
    expect(route.status).toBeUndefined()
    expect(collector.tree(route.traceId)).toEqual([{ item: [{ route: ['connect', 'edge'] }] }])
    expect(collector.named('connect')[0].attributes['error.type']).toBe('ERR_UNAVAILABLE')
  })
})

describe('traces that others began', () => {
  const provider = new NodeTracerProvider()
  beforeAll(() => provider.register())
  afterAll(async () => {
    await provider.shutdown()
    for (const part of [trace, context]) part.disable()
  })

  test('what is active in JavaScript is what an item is a part of', async () => {
    configure()
    const where = await serve({ Up: upper })
    const client = await RemoteExecutionClient.connect(where)
    onTestFinished(() => client.close())
    const pipeline = cleaned(new Pipeline([node(guest('echo'))]))
    const tracer = trace.getTracer('tests')
    const outer = await tracer.startActiveSpan('outer', async (span) => {
      await node(guest('echo')).call('a')
      await pipeline.run(['b'])
      await client.executeNode('Up', {}, 'c')
      span.end()
      return span.spanContext()
    })
    await recorded(8)
    const execute = `${CLIENT}/ExecuteNode`
    expect(collector.tree(outer.traceId, outer.spanId)).toEqual([
      { item: ['edge'] },
      { item: ['edge'] },
      { item: [{ [execute]: [execute] }] },
    ])
  })

  test('what runs in a service is a part of what the client was doing, for the application too', async () => {
    configure()
    let active
    const where = await serve({
      Look: async (packet, info) => {
        await null
        active = { ...trace.getActiveSpan()?.spanContext(), told: info.traceparent }
        return packet.data
      },
    })
    const remote = cleaned(new RemoteObjectNode({ ...where, nodeType: 'Look' }))
    await remote.call('x', { traceparent: TRACEPARENT })
    await recorded(4)
    const server = collector.spans.find(({ kind, traceId }) => kind === 'server' && traceId === TRACE_ID)
    expect(active).toMatchObject({ traceId: TRACE_ID, spanId: server.spanId, told: `00-${TRACE_ID}-${server.spanId}-01` })
  })

  test('a header that is no traceparent is none, and fails nothing', async () => {
    configure()
    let told = 'nothing yet'
    const where = await serve({
      Echo: node(guest('echo'), { outputKind: 'text' }),
      Told: (packet, info) => {
        told = info.traceparent
        return packet.data
      },
    })
    for (const traceparent of ['00-abc', TRACEPARENT.toUpperCase(), 'x'.repeat(500)]) {
      const client = await RemoteExecutionClient.connect({ ...where, metadata: { traceparent } })
      onTestFinished(() => client.close())
      // Recorded, the client's own context replaces it; so not recorded.
      await shutdownTracing()
      expect((await client.executeNode('Echo', {}, 'x', { format: 'pickle' })).data).toBe('x')
      await client.executeNode('Told', {}, 'x')
      expect(told).toBeUndefined()
    }
  })

  test('clients cannot make up names of spans', async () => {
    configure()
    const where = await serve({ Up: upper })
    const client = new grpc.Client(`${where.host}:${where.port}`, grpc.credentials.createInsecure())
    onTestFinished(() => client.close())
    const ask = (path) =>
      new Promise((resolve) =>
        client.makeUnaryRequest(
          path,
          (x) => x,
          (x) => x,
          Buffer.alloc(0),
          (error) => resolve(error?.code ?? 0),
        ),
      )
    expect(await ask('/remotemedia.execution.Invented/GetStatus')).toBe(grpc.status.UNIMPLEMENTED)
    expect(await ask(`/${CLIENT}/Invented`)).toBe(grpc.status.UNIMPLEMENTED)
    expect(await ask(`/${CLIENT}/GetStatus`)).toBe(grpc.status.OK)
    await recorded(1)
    expect(collector.spans.map(({ name }) => name)).toEqual([`${CLIENT}/GetStatus`])
  })

  test('a traceparent outranks what is active, and one that is none is refused', async () => {
    configure()
    const echo = node(guest('echo'))
    await trace.getTracer('tests').startActiveSpan('outer', async (span) => {
      await echo.call('a', { traceparent: TRACEPARENT })
      span.end()
    })
    await flushTracing()
    expect(collector.named('item')[0]).toMatchObject({ traceId: TRACE_ID, parentId: TRACEPARENT.split('-')[2] })
    for (const traceparent of ['', 'x', TRACEPARENT.toUpperCase(), `00-${'0'.repeat(32)}-b7ad6b7169203331-01`]) {
      expect(await rejection(echo.call('a', { traceparent }))).toMatchObject({ code: 'ERR_CONFIG', path: 'traceparent' })
    }
  })
})

describe('which items', () => {
  test('none of those that begin here, all of those that others record, and no others', async () => {
    const seen = []
    const where = await serve({
      See: (packet, info) => {
        seen.push(info.traceparent)
        return packet.data
      },
    })
    configure({ sampleRatio: 0 })
    const echo = node(guest('echo'))
    const remote = cleaned(new RemoteObjectNode({ ...where, nodeType: 'See' }))
    await echo.call('not recorded')
    await remote.call('not recorded')
    await echo.call('not recorded', { traceparent: TRACEPARENT.replace(/1$/, '0') })
    await echo.call('recorded', { traceparent: TRACEPARENT })
    await flushTracing()
    expect(collector.spans.map(({ traceId, name }) => [traceId, name]).sort()).toEqual([
      [TRACE_ID, 'edge'],
      [TRACE_ID, 'item'],
    ])
    // The service is told not to record it either.
    expect(seen).toEqual([expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)])
  })

  test('a share of them, by the id of the trace', async () => {
    configure({ sampleRatio: 0.25 })
    const echo = node(guest('echo'), { stateless: true })
    await Promise.all(Array.from({ length: 2_000 }, () => echo.call('x')))
    await flushTracing()
    const items = collector.named('item')
    // Five standard deviations around 500.
    expect(items.length).toBeGreaterThan(400)
    expect(items.length).toBeLessThan(600)
    expect(collector.named('edge')).toHaveLength(items.length)
    const limit = (1n << 63n) / 4n
    for (const { traceId } of items) expect(BigInt(`0x${traceId.slice(16)}`) >> 1n < limit).toBe(true)
  })

  test('no more than a second may have, as many as may begin at once first', async () => {
    configure({ maxTracesPerSecond: 50 })
    const echo = node(guest('echo'), { stateless: true })
    const began = performance.now()
    await Promise.all(Array.from({ length: 1_000 }, () => echo.call('x')))
    // One that others began is recorded nevertheless.
    await echo.call('x', { traceparent: TRACEPARENT })
    const seconds = (performance.now() - began) / 1_000
    await flushTracing()
    const items = collector.named('item').filter(({ traceId }) => traceId !== TRACE_ID)
    expect(items.length).toBeGreaterThanOrEqual(50)
    expect(items.length).toBeLessThanOrEqual(51 + seconds * 50)
    expect(collector.named('item')).toHaveLength(items.length + 1)
  })

  test('none, and no traceparent of our own, when nobody asked', async () => {
    const seen = []
    const where = await serve({ See: (packet, info) => (seen.push(info.traceparent), packet.data) })
    const remote = cleaned(new RemoteObjectNode({ ...where, nodeType: 'See' }))
    await remote.call('x')
    await remote.call('x', { traceparent: TRACEPARENT })
    expect(seen).toEqual([undefined, TRACEPARENT])
  })
})

describe('the way to the collector', () => {
  test.each(['auto', 'grpc'])('gRPC, %s', async (protocol) => {
    const grpc = await collectGrpc()
    onTestFinished(() => grpc.close())
    configureTracing({
      otlpEndpoint: grpc.url,
      headers: { 'x-key': 'secret' },
      metricsIntervalMs: 60_000,
      ...(protocol === 'auto' ? {} : { protocol }),
    })
    await node(guest('echo')).call('a')
    await flushTracing()
    expect(grpc.spans.map(({ name }) => name).sort()).toEqual(['edge', 'item'])
    expect(grpc.requests[0].headers).toMatchObject({ 'x-key': 'secret' })
    expect(grpc.metrics.has('remotemedia_edge_items')).toBe(true)
  })

  test('HTTP, with headers and below a path', async () => {
    configureTracing({ otlpEndpoint: `${collector.url}/below/v1/traces`, headers: { 'x-key': 'secret' }, metricsIntervalMs: 0 })
    await node(guest('echo')).call('a')
    await flushTracing()
    expect(collector.requests).toEqual([{ path: '/below/v1/traces', headers: expect.objectContaining({ 'x-key': 'secret' }) }])
  })

  test('thousands of spans arrive, each once', async () => {
    configure()
    const echo = node(guest('echo'), { stateless: true })
    await collect(echo.process(Array.from({ length: 6_000 }, (_, index) => `item ${index}`)))
    await flushTracing()
    expect(collector.spans).toHaveLength(12_000)
    expect(new Set(collector.spans.map(({ spanId }) => spanId)).size).toBe(12_000)
    expect(new Set(collector.named('item').map(({ attributes }) => attributes['remotemedia.sequence'])).size).toBe(6_000)
  })

  test('a collector that has a bad moment gets them nevertheless', async () => {
    collector.refusals.push(503, 429)
    configure({ protocol: 'http/protobuf' })
    await node(guest('echo')).call('a')
    await flushTracing()
    expect(collector.spans).toHaveLength(2)
    expect(collector.refusals).toEqual([])
  })

  test('one that refuses them is not asked again, and the items never notice', async () => {
    collector.refusals.push(400)
    configure({ protocol: 'http/protobuf' })
    const lost = () => Number(/^remotemedia_trace_spans_lost_total\S* (\d+)$/m.exec(prometheusMetrics())[1])
    const before = lost()
    await node(guest('echo')).call('a')
    expect(await rejection(flushTracing())).toMatchObject({ code: 'ERR_REMOTE', message: expect.stringContaining('400') })
    expect(lost()).toBe(before + 2)
    expect(collector.spans).toEqual([])
  })

  test('one that is not there', async () => {
    const { port } = collector
    await collector.close()
    configureTracing({ otlpEndpoint: `http://127.0.0.1:${port}`, metricsIntervalMs: 0 })
    expect(await node(guest('echo')).call('a')).toHaveLength(1)
    expect(await rejection(flushTracing())).toMatchObject({ code: 'ERR_UNAVAILABLE' })
  })

  test('a process that ends by itself has sent what it recorded', async () => {
    const program = `
      rm.configureTracing({ serviceName: 'child' })
      const node = new WasmEdgeNode(guest('echo'))
      await node.call('x')
      await node.cleanup()`
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_HEADERS: 'x-key=from-env' }
    expect(await start(program, { env }).exit).toMatchObject({ code: 0, stderr: '' })
    expect(collector.tree(collector.named('item')[0].traceId)).toEqual([{ item: ['edge'] }])
    expect(collector.resources[0]['service.name']).toBe('child')
    expect(collector.requests[0].headers['x-key']).toBe('from-env')
    expect(collector.metrics.get('remotemedia_edge_items').sum.dataPoints[0]).toMatchObject({ asInt: '1' })
  })
})

test('metrics: the same figures as Prometheus has, with their units', async () => {
  configure({ metricsIntervalMs: 60_000 })
  const echo = node(guest('echo'), { name: 'measured' })
  for (let count = 0; count < 5; count++) await echo.call('abc', { sessionId: 's' })
  await flushTracing()
  const figure = (name, kind) => {
    const metric = collector.metrics.get(name)
    const points = metric[kind].dataPoints.map((point) => ({
      ...point,
      labels: Object.fromEntries(point.attributes.map(({ key, value }) => [key, value.stringValue])),
    }))
    return {
      unit: metric.unit,
      description: metric.description,
      ...points.find(({ labels }) => !labels.node || labels.node === 'measured'),
    }
  }
  expect(figure('remotemedia_edge_input_bytes', 'sum')).toMatchObject({
    unit: 'By',
    asInt: '15',
    description: 'payload bytes given to guests',
  })
  expect(figure('remotemedia_edge_sessions', 'gauge')).toMatchObject({ unit: '1', asDouble: 1 })
  const times = figure('remotemedia_edge_exec_milliseconds', 'histogram')
  expect(times).toMatchObject({ unit: 'ms', count: '5' })
  expect(times.bucketCounts).toHaveLength(times.explicitBounds.length + 1)
  expect(times.bucketCounts.reduce((sum, count) => sum + Number(count), 0)).toBe(5)
  expect(figure('remotemedia_system_resident_bytes', 'gauge').asDouble).toBeGreaterThan(1e6)
  const names = [...prometheusMetrics().matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name)
  expect([...collector.metrics.keys()].filter((name) => !names.includes(name))).toEqual([])
})

describe('options', () => {
  test.each([
    ['otlpEndpoint', { otlpEndpoint: 'localhost' }],
    ['otlpEndpoint', { otlpEndpoint: 'ftp://localhost' }],
    ['otlpEndpoint', { otlpEndpoint: 'http://user:secret@localhost' }],
    ['otlpEndpoint', { otlpEndpoint: 7 }],
    ['protocol', { protocol: 'json' }],
    ['headers', { headers: 'x' }],
    ['headers.bad name', { headers: { 'bad name': 'x' } }],
    ['serviceName', { serviceName: '' }],
    ['sampleRatio', { sampleRatio: 1.5 }],
    ['sampleRatio', { sampleRatio: Number.NaN }],
    ['maxTracesPerSecond', { maxTracesPerSecond: 0 }],
    ['metricsIntervalMs', { metricsIntervalMs: -1 }],
    ['timeoutMs', { timeoutMs: 0 }],
    ['logLevel', { logLevel: 'loud' }],
    ['sampleRate', { sampleRate: 1 }],
  ])('%s: %j', (path, options) => {
    expect(thrown(() => configureTracing(options))).toMatchObject({ name: 'ConfigurationError', code: 'ERR_CONFIG', path })
  })

  test('the log shows what it is told to, from then on', async () => {
    const program = `
      const node = new WasmEdgeNode(fixture('spin_log'), { timeoutMs: 20 })
      const run = () => codeOf(node.call('x'))
      await run()
      process.stderr.write('first\\n')
      rm.configureTracing({ logLevel: 'guest=info' })
      await run()
      rm.configureTracing({ logLevel: 'off' })
      process.stderr.write('second\\n')
      await run()
      await node.cleanup()`
    const { code, stderr } = await start(program).exit
    expect(code).toBe(0)
    const [before, shown, after] = stderr.split(/^first$|^second$/m)
    expect([before.trim(), after.trim()]).toEqual(['', ''])
    expect(shown).toMatch(/INFO guest/)
  })
})
