// What goes into a WasmEdgeNode and what comes out, in every run mode.

import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { api, bytesOf, collect, count, expectError, fixture, guest, MODES, node, rejection, until } from './support/index.mjs'

const { WasmEdgeNode } = api
const echo = (options) => node(guest('echo'), options)
const one = async (made, item, options) => {
  const packets = await made.call(item, options)
  expect(packets).toHaveLength(1)
  return packets[0]
}

describe('module sources', () => {
  const bytes = bytesOf(guest('echo'))
  const sources = {
    path: guest('echo'),
    'file URL': pathToFileURL(guest('echo')),
    'text of a file URL': pathToFileURL(guest('echo')).href,
    Uint8Array: bytes,
    Buffer: Buffer.from(bytes),
    ArrayBuffer: bytes.slice().buffer,
    'view of a larger buffer': Buffer.concat([Buffer.alloc(7), bytes, Buffer.alloc(9)]).subarray(7, 7 + bytes.length),
  }
  test.each(Object.entries(sources))('%s', async (_, source) => {
    const packet = await one(node(source, { mode: 'interpreter' }), Uint8Array.of(1, 2, 3))
    expect([...packet.data]).toEqual([1, 2, 3])
  })

  test('bytes are taken at the call, not later', async () => {
    const mine = bytes.slice()
    const made = node(mine, { mode: 'interpreter' })
    mine.fill(0)
    expect((await one(made, 'x')).data.toString()).toBe('x')
  })
})

describe('names', () => {
  test('the file name, `wasm` for bytes, or as given', () => {
    expect(echo().name).toBe('echo')
    expect(node(pathToFileURL(guest('gain-c'))).name).toBe('gain-c')
    expect(node(bytesOf(guest('echo'))).name).toBe('wasm')
    expect(echo({ name: 'ears' }).name).toBe('ears')
    expect(echo({ name: 'ä'.repeat(64) }).name).toBe('ä'.repeat(64))
  })
})

describe('payloads through the result buffer', () => {
  test('bytes of any length', async () => {
    const made = echo()
    for (const size of [1, 2, 1023, 1024, 1025, 65_536, 65_537, 3_000_000]) {
      const data = new Uint8Array(size).map((_, i) => (i * 31 + size) & 255)
      data[0] = 0
      const packet = await one(made, data)
      expect(packet.kind).toBe('binary')
      expect(Buffer.compare(packet.data, data)).toBe(0)
    }
  })

  test('nothing in, nothing out', async () => {
    expect(await echo().call(new Uint8Array(0))).toEqual([])
    expect(await echo().call('')).toEqual([])
  })

  test('every way to say bytes', async () => {
    const made = echo()
    const buffer = Uint8Array.of(9, 0, 1, 2, 3, 9).buffer
    for (const item of [
      Buffer.from([0, 1, 2, 3]),
      new Uint8Array(buffer, 1, 4),
      new Uint8ClampedArray(buffer, 1, 4),
      buffer.slice(1, 5),
      { data: new Uint8Array(buffer, 1, 4) },
    ]) {
      expect([...(await one(made, item)).data]).toEqual([0, 1, 2, 3])
    }
  })

  test('the input is copied at the call and the output is the caller’s own', async () => {
    const made = echo()
    const data = Uint8Array.of(1, 2, 3)
    const answer = made.call(data)
    data.fill(99)
    const [packet] = await answer
    expect([...packet.data]).toEqual([1, 2, 3])
    const [again] = await made.call(Uint8Array.of(4, 5, 6))
    expect([...packet.data]).toEqual([1, 2, 3])
    expect([...again.data]).toEqual([4, 5, 6])
  })

  test('json when it parses as JSON, else binary', async () => {
    const made = echo()
    expect(await one(made, { a: [1, 'ü', null] })).toMatchObject({ kind: 'json', data: { a: [1, 'ü', null] } })
    expect(await one(made, '[1, 2]')).toMatchObject({ kind: 'json', data: [1, 2] })
    expect(await one(made, 'no json')).toMatchObject({ kind: 'binary' })
  })

  test('outputKind decides instead', async () => {
    expect(await one(echo({ outputKind: 'text' }), 'grüße 😀 \0 end')).toMatchObject({ kind: 'text', data: 'grüße 😀 \0 end' })
    expect(await one(echo({ outputKind: 'binary' }), '1')).toMatchObject({ kind: 'binary', data: Buffer.from('1') })
    expect(await one(echo({ outputKind: 'json' }), '{"a":1}')).toMatchObject({ kind: 'json', data: { a: 1 } })
  })

  test('outputKind json refuses what is no JSON, and the node lives on', async () => {
    const made = echo({ outputKind: 'json' })
    const error = await rejection(made.call('{"a":'))
    expect(error).toBeInstanceOf(api.RemoteMediaError)
    expect(error.code).toMatch(/^ERR_(SERIALIZATION|ABI)$/)
    expect(await one(made, '7')).toMatchObject({ kind: 'json', data: 7 })
  })

  test('every JSON value', async () => {
    const made = echo({ outputKind: 'json' })
    for (const value of [null, true, false, 0, -1.5, 1e300, [], {}, [[]], { deep: { er: [null] } }, { '': 'empty key', __proto: 1 }]) {
      expect((await one(made, value)).data).toEqual(value)
    }
    expect((await one(made, { data: 'text as json', kind: 'json' })).data).toBe('text as json')
    expect((await one(made, new Date(0))).data).toBe('1970-01-01T00:00:00.000Z')
  })

  test('audio, as floats or 16-bit samples, comes out as floats', async () => {
    const made = echo({ outputKind: 'audio' })
    const samples = Float32Array.of(0, 0.5, -1, 1)
    const packet = await one(made, { samples, sampleRate: 48_000, channels: 2 })
    expect(packet.kind).toBe('audio')
    expect(packet.data).toEqual({ samples, sampleRate: 48_000, channels: 2 })
    expect(packet.data.samples).toBeInstanceOf(Float32Array)
    const short = await one(made, { samples: Int16Array.of(-32_768, 0, 16_384, 32_767), sampleRate: 8000 })
    expect(short.data).toEqual({ samples: Float32Array.of(-1, 0, 0.5, 32_767 / 32_768), sampleRate: 8000, channels: 1 })
  })

  test('audio that starts at an odd place in its buffer', async () => {
    const buffer = new ArrayBuffer(40)
    const samples = new Int16Array(buffer, 6, 4)
    samples.set([1, 2, 3, -4])
    const packet = await one(echo({ outputKind: 'audio' }), { samples, sampleRate: 16_000 })
    expect([...packet.data.samples]).toEqual([1, 2, 3, -4].map((value) => value / 32_768))
  })

  test('a tensor keeps dtype and shape', async () => {
    const data = new Uint8Array(new Float32Array([1, 2, 3, 4, 5, 6]).buffer)
    const packet = await one(echo({ outputKind: 'tensor' }), { data, dtype: 'float32', shape: [2, 3] })
    expect(packet).toMatchObject({ kind: 'tensor', data: { dtype: 'float32', shape: [2, 3] } })
    expect(Buffer.compare(packet.data.data, data)).toBe(0)
  })

  test('a video frame keeps its size and format', async () => {
    const pixels = new Uint8Array(2 * 3 * 3).map((_, i) => i)
    const packet = await one(echo({ outputKind: 'video' }), { pixels, width: 2, height: 3, format: 'rgb24' })
    expect(packet).toMatchObject({ kind: 'video', data: { width: 2, height: 3, format: 'rgb24' } })
    expect(Buffer.compare(packet.data.pixels, pixels)).toBe(0)
  })

  test('a packet that holds each of them', async () => {
    const pixels = new Uint8Array(4)
    const data = new Uint8Array(4)
    const samples = new Float32Array(1)
    for (const [kind, payload] of [
      ['video', { pixels, width: 2, height: 2, format: 'gray8' }],
      ['tensor', { data, dtype: 'uint8', shape: [4] }],
      ['audio', { samples, sampleRate: 16_000, channels: 1 }],
    ]) {
      const packet = await one(echo({ outputKind: kind }), { data: payload, kind, metadata: { kind } })
      expect(packet).toMatchObject({ kind, metadata: { kind } })
      expect(Object.keys(packet.data).sort()).toEqual(Object.keys(payload).sort())
    }
  })

  test('a result of 200,000 bytes that needs a second call arrives once and whole', async () => {
    for (const mode of MODES) {
      const packet = await one(node(fixture('keep_result'), { mode }), 'x')
      expect(packet.data).toHaveLength(200_000)
      expect(packet.data.every((byte) => byte === 42)).toBe(true)
    }
  })
})

describe('packets', () => {
  test('what came in is carried along', async () => {
    const made = echo()
    const packet = await one(made, { data: 'x', timestampMs: 12.5, metadata: { speaker: { id: 7 }, ok: true } }, { sessionId: 'call-1' })
    expect(packet).toMatchObject({ sessionId: 'call-1', sequence: 0, timestampMs: 12.5, metadata: { speaker: { id: 7 }, ok: true } })
    const bare = await one(made, 'x', { sessionId: 'call-1' })
    expect(bare.metadata).toEqual({})
    expect(bare.timestampMs).toBeUndefined()
  })

  test('a packet out of one node goes into the next', async () => {
    const first = echo()
    const second = echo()
    const stream = second.process(first.process([{ data: 'hop', metadata: { hops: 1 }, timestampMs: 3 }], { sessionId: 'a' }), {
      sessionId: 'b',
    })
    expect(await collect(stream)).toMatchObject([{ data: Buffer.from('hop'), sessionId: 'b', metadata: { hops: 1 }, timestampMs: 3 }])
  })

  test('the stream’s metadata lies beneath the item’s own', async () => {
    const made = echo()
    const options = { metadata: { room: 'r', own: 'stream' }, traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` }
    const packets = await collect(made.process([{ data: '-', metadata: { own: 'item' } }, '-'], options))
    const traceparent = options.traceparent
    expect(packets.map((packet) => packet.metadata)).toEqual([
      { room: 'r', own: 'item', traceparent },
      { room: 'r', own: 'stream', traceparent },
    ])
    expect((await one(made, '-', options)).metadata).toEqual({ room: 'r', own: 'stream', traceparent })
  })

  test('several outputs per input keep their order, each with the metadata that the guest gave', async () => {
    for (const mode of MODES) {
      const packets = await collect(
        node(fixture('many_emits'), { mode }).process([{ data: Uint8Array.of(1), metadata: { in: 1 } }, Uint8Array.of(2)]),
      )
      expect(packets.map(({ data, sequence, metadata }) => [...data, sequence, metadata.n, metadata.in])).toEqual([
        [1, 0, 1, 1],
        [1, 0, 2, 1],
        [1, 0, 3, 1],
        [2, 1, 1, undefined],
        [2, 1, 2, undefined],
        [2, 1, 3, undefined],
      ])
      expect(packets.every((packet) => packet.kind === 'binary')).toBe(true)
    }
  })

  test('sequence counts a stream’s inputs from 0, and a flush has their number', async () => {
    const made = node(fixture('flush_output'))
    for (const inputs of [1, 3]) {
      const packets = await collect(made.process(Array(inputs).fill('x')))
      expect(packets).toMatchObject([{ data: Buffer.from(`flushed:${inputs}`), sequence: inputs }])
    }
    expect(await collect(made.process([]))).toEqual([])
  })

  test('the end of a stream flushes a session that has a name, and keeps its state', async () => {
    const made = node(fixture('flush_output'))
    const first = await collect(made.process(['a', 'b'], { sessionId: 's' }))
    const second = await collect(made.process(['c'], { sessionId: 's' }))
    expect([...first, ...second].map((packet) => [packet.data.toString(), packet.sequence])).toEqual([
      ['flushed:2', 2],
      ['flushed:3', 1],
    ])
  })
})

describe('call', () => {
  test('calls of one session are done in order, many in flight', async () => {
    const made = node(fixture('leaky_state'))
    const answers = await Promise.all(Array.from({ length: 500 }, () => one(made, 'x', { sessionId: 's' })))
    expect(answers.map(count)).toEqual(Array.from({ length: 500 }, (_, i) => i + 1))
  })

  test('without a session every call has its own', async () => {
    const made = node(fixture('leaky_state'))
    const answers = await Promise.all(Array.from({ length: 50 }, () => one(made, 'x')))
    expect(answers.map(count)).toEqual(Array(50).fill(1))
    expect(new Set(answers.map((packet) => packet.sessionId)).size).toBe(50)
  })

  test('an error of one call leaves the others of the session alone', async () => {
    const made = node(fixture('fail_text'))
    const errors = await Promise.all(Array.from({ length: 5 }, () => rejection(made.call('x', { sessionId: 's' }))))
    for (const error of errors)
      expectError(error, 'ERR_GUEST', { message: 'no thanks', nodeName: 'fail_text', sessionId: 's', stateLost: undefined })
    expect(made.metrics()).toMatchObject({ instancesCreated: 1, instancesLost: 0, errors: { ERR_GUEST: 5 } })
  })
})

describe('options that the guest sees', () => {
  test('config', async () => {
    const samples = Float32Array.of(0.25, -0.25)
    const packet = await one(node(guest('gain'), { config: { gain: 2 } }), { samples, sampleRate: 16_000 })
    expect([...packet.data.samples]).toEqual([0.5, -0.5])
  })

  test('export names', async () => {
    // The same module with its exports renamed: the names have the same length, so only they change.
    const renamed = Buffer.from(readFileSync(fixture('flush_output')))
    renamed.write('prozess', renamed.indexOf('process'))
    renamed.write('flash', renamed.indexOf('flush\0') < 0 ? renamed.lastIndexOf('flush') : renamed.indexOf('flush\0'))
    const error = await rejection(new WasmEdgeNode(renamed).initialize())
    expect(expectError(error, 'ERR_ABI').message).toContain("'process'")
    const made = node(renamed, { exports: { process: 'prozess', flush: 'flash' } })
    expect(await collect(made.process(['a']))).toHaveLength(1)
  })

  test('WASI gives nothing unless granted', async () => {
    const errnos = async (wasi) => [...(await one(node(fixture('wasi_probe'), { wasi, outputKind: 'binary' }), 'x')).data]
    const [NONE, NOT_CAPABLE, BAD_FD] = [0, 76, 8]
    expect(await errnos(undefined)).toEqual([NOT_CAPABLE, NOT_CAPABLE, NONE, NONE, BAD_FD, NONE])
    expect(await errnos({ clock: true })).toEqual([NONE, NOT_CAPABLE, NONE, NONE, BAD_FD, NONE])
    expect(await errnos({ random: true })).toEqual([NOT_CAPABLE, NONE, NONE, NONE, BAD_FD, NONE])
    expect(await errnos({ preopens: { '/in': DIRECTORY } })).toEqual([NOT_CAPABLE, NOT_CAPABLE, NONE, NONE, NONE, NONE])
    expect(await errnos({ clock: true, random: true, args: ['a'], env: { A: 'b' } })).toEqual([NONE, NONE, NONE, NONE, BAD_FD, NONE])
  })
  const DIRECTORY = new URL('.', import.meta.url).pathname

  test('SIMD runs in every mode', async () => {
    for (const mode of MODES) {
      const input = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer)
      const { data } = await one(node(fixture('uses_simd'), { mode }), input)
      expect([...new Float32Array(new Uint8Array(data).buffer)]).toEqual([2, 3, 4, 5, 6, 7, 8, 9])
    }
  })
})

describe('run modes', () => {
  test.each(MODES)('%s is what really runs', async (mode) => {
    const made = node(fixture('leaky_state'), { mode })
    await collect(made.process(['a', 'b', 'c'], { sessionId: 's' }))
    const calls = { aot: 0, jit: 0, interpreter: 0, [mode]: 3 }
    expect(made.metrics()).toMatchObject({ mode, callsByMode: calls, items: 3, outputs: 3, errors: {} })
  })

  test('compiled code is very much faster than interpreted', async () => {
    // Not a benchmark: if `aot` or `jit` silently interpreted, they would take as long as the interpreter, which takes 50 times as long.
    const samples = new Float32Array(160_000).map((_, i) => Math.sin(i / 20) / 2)
    const took = {}
    for (const mode of MODES) {
      const made = node(guest('vad'), { mode, config: { output: 'scores' } })
      await made.call({ samples: samples.slice(0, 1600), sampleRate: 16_000 }, { sessionId: 's' })
      const before = made.metrics().execMs.total
      await made.call({ samples, sampleRate: 16_000 }, { sessionId: 's' })
      took[mode] = made.metrics().execMs.total - before
    }
    expect(took.aot * 3).toBeLessThan(took.interpreter)
    expect(took.jit * 3).toBeLessThan(took.interpreter)
  })

  /** A module that nobody compiled yet: the same code with a custom section of its own. */
  const fresh = (name) =>
    Buffer.concat([
      bytesOf(fixture(name)),
      Buffer.of(0, 26, 1),
      Buffer.from('n'),
      Buffer.from(crypto.randomUUID().replaceAll('-', '').slice(0, 24)),
    ])

  test('auto answers at once, then moves the running session to compiled code with its state', async () => {
    const made = node(fresh('leaky_state'))
    let calls = 0
    const next = async () => expect(count(await one(made, 'x', { sessionId: 's' }))).toBe(++calls)
    await next()
    expect(made.metrics()).toMatchObject({ callsByMode: { interpreter: 1, aot: 0 } })
    await until(async () => {
      await next()
      return made.metrics().callsByMode.aot >= 3
    }, 'calls in compiled code')
    const metrics = made.metrics()
    expect(metrics).toMatchObject({ mode: 'aot', instancesMoved: 1, instancesLost: 0, sessionsOpened: 1 })
    expect(metrics.callsByMode.interpreter + metrics.callsByMode.aot).toBe(calls)
    expect(metrics.compileMs).toBeGreaterThan(0)
    expect(count(await one(made, 'x', { sessionId: 'later' }))).toBe(1)
  })

  test('auto starts compiled when the code is in the cache', async () => {
    const bytes = fresh('leaky_state')
    expect(await api.compileModule(bytes)).toMatchObject({ cached: false })
    expect(await api.compileModule(bytes)).toMatchObject({ cached: true })
    const made = node(bytes)
    await made.call('x')
    expect(made.metrics()).toMatchObject({ callsByMode: { interpreter: 0, aot: 1 }, compileMs: 0 })
  })

  test('many nodes of one module compile it once', async () => {
    const bytes = fresh('leaky_state')
    const before = api.runtimeInfo().cache
    await Promise.all(Array.from({ length: 8 }, () => node(bytes, { mode: 'aot' }).call('x')))
    expect(api.runtimeInfo().cache.compiled - before.compiled).toBe(1)
  })
})

describe('tools', () => {
  test('runtimeInfo', () => {
    const info = api.runtimeInfo()
    expect(info).toMatchObject({ engine: 'WasmEdge', wasmedgeVersion: '0.17.1', platform: process.platform, nativeCode: true })
    expect(info.version).toBe(JSON.parse(readFileSync(new URL('../package.json', import.meta.url))).version)
    expect(info.cacheFolder).toBe(process.env.RM_WASMEDGE_CACHE_DIR)
    expect(info.parallelism).toBeGreaterThanOrEqual(1)
    expect(info.cpuFeatures.length).toBeGreaterThan(0)
  })

  test('signal handlers stay ours once compiled code ran', async () => {
    await node(fixture('leaky_state'), { mode: 'aot' }).call('x')
    expect(api.runtimeInfo().signalHandlersIntact).toBe(true)
  })

  test('inspectModule tells what a module is, without running it', async () => {
    const info = await api.inspectModule(fixture('wasi_probe'))
    expect(info).toMatchObject({
      abi: true,
      bytes: bytesOf(fixture('wasi_probe')).length,
      functions: 1,
      memory: { minBytes: 65_536, maxBytes: null },
    })
    expect(info.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect(info.imports.map(({ name, grant }) => [name, grant])).toContainEqual(['clock_time_get', 'wasi.clock'])
    expect(info.imports).toContainEqual({
      module: 'wasi_snapshot_preview1',
      name: 'random_get',
      kind: 'function',
      signature: '(i32, i32) -> i32',
      grant: 'wasi.random',
    })
    expect(info.exports).toContainEqual({ name: 'process', kind: 'function', signature: '(i32, i32, i32, i32) -> i32' })
    expect(await api.inspectModule(fixture('unknown_import'))).toMatchObject({ imports: [{ module: 'foo', name: 'bar', grant: null }] })
    expect(await api.inspectModule(fixture('start_spin'))).toMatchObject({ abi: true })
    expect(await api.inspectModule(fixture('no_process'))).toMatchObject({ abi: false })
  })

  test('compileModule reports what it made, with and without fuel apart', async () => {
    const plain = await api.compileModule(fixture('many_emits'))
    const fuel = await api.compileModule(fixture('many_emits'), { fuel: true })
    expect(plain.sha256).toBe(fuel.sha256)
    expect(plain.artifactBytes).toBeGreaterThan(0)
    expect(fuel.artifactBytes).toBeGreaterThan(0)
    expect((await api.compileModule(fixture('many_emits'))).cached).toBe(true)
  })
})

test('metrics count items, bytes and time', async () => {
  const made = echo()
  await collect(made.process(['ab', 'cde']))
  const metrics = made.metrics()
  expect(metrics).toMatchObject({
    items: 2,
    outputs: 2,
    inputBytes: 5,
    outputBytes: 5,
    errors: {},
    sessionsOpened: 1,
    queued: 0,
    waiting: 0,
  })
  expect(metrics.execMs.total).toBeGreaterThan(0)
  expect(metrics.execMs.max).toBeLessThanOrEqual(metrics.execMs.total)
})
