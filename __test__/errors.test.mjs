// Every way to be wrong has one typed error: the table of codes, the classes, and all options, modules, payloads and sources that are bad.

import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createRequire } from 'node:module'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  api,
  bytesOf,
  CLASS_OF,
  collect,
  expectError,
  fixture,
  guest,
  node,
  rejection,
  RETRYABLE,
  ROOT,
  thrown,
  until,
} from './support/index.mjs'

const { WasmEdgeNode } = api
const show = (value) =>
  typeof value === 'symbol' ? value.toString() : (JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}n` : v)) ?? String(value))

describe('classes', () => {
  const names = ['NodeError', 'PipelineError', 'RemoteExecutionError', 'SerializationError', 'ConfigurationError']

  test('all are below RemoteMediaError and Error, each with its own name', () => {
    expect(Object.getPrototypeOf(api.RemoteMediaError)).toBe(Error)
    for (const name of names) {
      const Class = api[name]
      expect(Object.getPrototypeOf(Class)).toBe(api.RemoteMediaError)
      expect(Class.name).toBe(name)
      expect(new Class('x')).toMatchObject({ name, message: 'x' })
      expect(String(new Class('x'))).toBe(`${name}: x`)
    }
  })

  test('every code of the native table has the class and the retryable flag that this suite expects', () => {
    const table = readFileSync(path.join(ROOT, 'src/error.rs'), 'utf8')
    const rows = [...table.matchAll(/^\s+\w+ = "(ERR_\w+)", (\w+), (true|false);$/gm)]
    expect(rows.length).toBeGreaterThan(20)
    for (const [, code, family, retryable] of rows) {
      expect(`${family}Error`, code).toBe(CLASS_OF[code] ?? 'NodeError')
      expect(retryable === 'true', code).toBe(RETRYABLE.has(code))
    }
  })

  test('an error is a whole Error: stack, cause, JSON of its fields', async () => {
    const error = expectError(await rejection(node('/no/such/module.wasm').initialize()), 'ERR_MODULE_NOT_FOUND')
    expect(error.stack).toContain('NodeError')
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({ code: 'ERR_MODULE_NOT_FOUND', retryable: false, nodeName: 'module' })
    expect(error.cause).toBeInstanceOf(Error)
    expect(structuredClone(error)).toBeInstanceOf(Error)
  })

  test('message never ends up empty and names no path twice', async () => {
    const { message } = await rejection(node('/no/such/module.wasm').initialize())
    expect(message.split('/no/such/module.wasm')).toHaveLength(2)
  })
})

// --- Options ------------------------------------------------------------------------------------------------------------------

const notNumbers = ['5', true, null, {}, [], () => {}, 5n, Symbol('x')]
const notStrings = [5, true, null, {}, [], () => {}, 5n, Symbol('x')]
const notBooleans = [1, 0, 'true', null, {}, []]
const notObjects = [5, 'x', true, null, [], () => {}, new Uint8Array(2), 5n]
const notNames = ['', ...notStrings]
const number = (low, high, whole = true) => ({
  bad: [...notNumbers, NaN, Infinity, -Infinity, -1, low - 1, low / 2 - 0.25, high * 2 + 1, ...(whole ? [low + 0.5] : [])],
  good: [low, high, undefined],
})
const millis = { bad: [...notNumbers, NaN, Infinity, -Infinity, -1, 0, 0.25, 4e10] }
const DAY = 86_400_000

/** Every option of WasmEdgeNode by its path. */
const OPTIONS = {
  name: { bad: [...notNames, 'x'.repeat(129)], good: ['x', 'x'.repeat(128), undefined] },
  outputKind: { bad: [...notNames, 'Binary', 'bytes'], good: ['binary', 'text', 'json', 'audio', 'tensor', 'video', undefined] },
  exports: { bad: notObjects, good: [{}, undefined] },
  'exports.process': { bad: notNames, good: ['process', undefined] },
  'exports.initialize': { bad: notNames, good: ['init', undefined] },
  'exports.flush': { bad: notNames, good: ['end', undefined] },
  'exports.cleanup': { bad: notNames, good: ['bye', undefined] },
  memoryLimit: number(65_536, 2 ** 32),
  timeoutMs: { bad: [...millis.bad, DAY + 1], good: [1, 1.5, DAY, undefined] },
  maxOutputBytes: number(1, 4e9),
  fuel: number(1, 9e15),
  mode: { bad: [...notNames, 'AOT', 'fast'], good: ['auto', 'aot', 'jit', 'interpreter', undefined] },
  pool: { bad: notObjects, good: [{}, undefined] },
  'pool.min': number(0, 4096),
  'pool.max': number(1, 8192),
  'pool.idleTtlMs': { bad: millis.bad, good: [1, 0.5e9, undefined] },
  'pool.maxQueue': number(0, 1e6),
  sessions: { bad: notObjects, good: [{}, undefined] },
  'sessions.max': number(1, 1e6),
  'sessions.ttlMs': { bad: millis.bad, good: [1, 0.5e9, undefined] },
  stateless: { bad: notBooleans, good: [true, false, undefined] },
  hostFunctions: { bad: notObjects.filter((value) => !(value instanceof Uint8Array)), good: [{}, { f() {} }, undefined] },
  'hostFunctions.double': { bad: [5, 'x', null, {}, undefined], good: [() => {}] },
  wasi: { bad: notObjects, good: [{}, undefined] },
  'wasi.env': { bad: notObjects.filter((value) => !(value instanceof Uint8Array)), good: [{}, { A: 'b' }, undefined] },
  'wasi.env.A': { bad: [5, null, {}, undefined, 'nul\0'], good: ['', 'x'] },
  'wasi.args': { bad: [5, 'x', {}, null, true], good: [[], ['a'], undefined] },
  'wasi.args.0': { bad: [5, null, {}, 'nul\0'], good: ['', 'x'] },
  'wasi.preopens': { bad: notObjects.filter((value) => !(value instanceof Uint8Array)), good: [{}, undefined] },
  'wasi.preopens./in': { bad: [5, null, {}, ''], good: ['/tmp'] },
  'wasi.clock': { bad: notBooleans, good: [true, false, undefined] },
  'wasi.random': { bad: notBooleans, good: [true, false, undefined] },
}

/** An options object that has only this value, at this path. */
function at(dotted, value) {
  const keys = dotted.split('.')
  const options = {}
  let inner = options
  for (const [index, key] of keys.entries()) {
    const last = index === keys.length - 1
    inner[key] = last ? value : keys[index + 1] === '0' ? [] : {}
    inner = inner[key]
  }
  return options
}

describe('options of WasmEdgeNode', () => {
  const build = (options) => new WasmEdgeNode(guest('echo'), options)

  test.each(Object.keys(OPTIONS))('%s', (dotted) => {
    const { bad, good } = OPTIONS[dotted]
    for (const value of bad) {
      const what = `${dotted} = ${show(value)}`
      const error = thrown(() => build(at(dotted, value)))
      expect(error, what).toBeInstanceOf(api.ConfigurationError)
      expectError(error, 'ERR_CONFIG')
      expect(error.path, what).toBe(dotted)
      expect(error.message, what).toContain(dotted)
      expect(error.message.split(dotted).length, `${what}: the path stands in the message once`).toBe(2)
    }
    for (const value of good) expect(() => build(at(dotted, value)), `${dotted} = ${show(value)}`).not.toThrow()
  })

  test('this table has every option that the types declare', () => {
    const declared = readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8')
    const body = declared.match(/interface WasmEdgeNodeOptions \{([\s\S]*?)\n\}/)[1]
    const names = [...body.matchAll(/^ {2}(\w+)\?:/gm)].map(([, name]) => name)
    const tested = new Set([...Object.keys(OPTIONS).map((dotted) => dotted.split('.')[0]), 'config'])
    expect(names.length).toBeGreaterThan(10)
    expect(new Set(names)).toEqual(tested)
    for (const [, parent, inner] of body.matchAll(/^ {2}(\w+)\?: \{(.*)\}$/gm)) {
      for (const [, key] of inner.matchAll(/(\w+)\?:/g)) expect(OPTIONS, `${parent}.${key}`).toHaveProperty([`${parent}.${key}`])
    }
  })

  test.each(['nmae', 'pool.mni', 'sessions.maxx', 'wasi.clocks', 'exports.proces', 'timeout', 'pool.', 'toString', '__proto__x'])(
    'unknown: %s',
    (dotted) => {
      expectError(
        thrown(() => build(at(dotted, 1))),
        'ERR_CONFIG',
        { path: dotted },
      )
    },
  )

  test('an unknown option whose value is undefined is still unknown', () => {
    expectError(
      thrown(() => build({ nmae: undefined })),
      'ERR_CONFIG',
      { path: 'nmae' },
    )
  })

  test('the options themselves', () => {
    for (const value of [5, 'x', true, null, [], new Uint8Array(1), 5n, () => {}, Symbol('x')]) {
      expectError(
        thrown(() => build(value)),
        'ERR_CONFIG',
        { path: 'options' },
      )
    }
    expect(() => build(undefined)).not.toThrow()
    expect(() => build(Object.create(null))).not.toThrow()
  })

  test('pool.min above pool.max', () => {
    expectError(
      thrown(() => build({ pool: { min: 3, max: 2 } })),
      'ERR_CONFIG',
      { path: 'pool.min' },
    )
  })

  test('config: any JSON value, and nothing else', () => {
    const cycle = {}
    cycle.self = cycle
    for (const value of [cycle, { big: 5n }, () => {}, Symbol('x')]) {
      expectError(
        thrown(() => build({ config: value })),
        'ERR_CONFIG',
        { path: 'config' },
      )
    }
    for (const value of [null, 5, 'x', true, [], {}, { deep: [{ er: null }] }]) expect(() => build({ config: value })).not.toThrow()
  })

  test('an exception of a getter or proxy is the caller’s own', () => {
    const mine = new Error('mine')
    const getter = {
      get name() {
        throw mine
      },
    }
    expect(thrown(() => build(getter))).toBe(mine)
    const proxy = new Proxy(
      { name: 'x' },
      {
        get: () => {
          throw mine
        },
      },
    )
    expect(thrown(() => build(proxy))).toBe(mine)
    const keys = new Proxy(
      {},
      {
        ownKeys: () => {
          throw mine
        },
      },
    )
    expect(thrown(() => build(keys))).toBe(mine)
  })

  test('a preopened folder that does not exist', async () => {
    const error = await rejection(
      (async () => node(fixture('wasi_probe'), { wasi: { preopens: { '/in': '/no/such/folder' } } }).call('x'))(),
    )
    expectError(error, 'ERR_CONFIG')
    expect(error.path).toMatch(/^wasi\.preopens/)
  })

  test('a constructor without new, or with a foreign this, does not crash', async () => {
    expect(() => WasmEdgeNode(guest('echo'))).toThrow(TypeError)
    for (const method of ['initialize', 'call', 'process', 'metrics', 'cleanup', 'closeSession']) {
      for (const self of [{}, undefined, Object.create(WasmEdgeNode.prototype)]) {
        const answer = (async () => {
          const given = WasmEdgeNode.prototype[method].call(self, ['x'])
          // A stream looks at its node only when it opens.
          return given?.next ? given.next() : given
        })()
        expect(await rejection(answer), `${method} of ${show(self)}`).toBeInstanceOf(Error)
      }
    }
  })

  test('a subclass is a node', async () => {
    class Mine extends WasmEdgeNode {
      shout(item) {
        return this.call(item).then(([packet]) => packet.data.toString().toUpperCase())
      }
    }
    const mine = new Mine(guest('echo'))
    expect(await mine.shout('hi')).toBe('HI')
    await mine.cleanup()
  })
})

describe('options of process and call', () => {
  const PROCESS = {
    sessionId: { bad: [...notNames, 'x'.repeat(257)], good: ['x', undefined] },
    timeoutMs: { bad: [...millis.bad, DAY + 1], good: [1000, undefined] },
    metadata: { bad: [5, 'x', [], null, () => {}, { n: 5n }], good: [{}, { a: [1] }, undefined] },
    traceparent: {
      bad: [...notNames, 'x', `00-${'a'.repeat(32)}-${'b'.repeat(16)}`, `00-${'g'.repeat(32)}-${'b'.repeat(16)}-01`],
      good: [`00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, undefined],
    },
    signal: { bad: [5, 'x', {}, [], null, { aborted: 'no' }], good: [new AbortController().signal, undefined] },
  }
  test.each(Object.keys(PROCESS))('%s', async (name) => {
    const made = node(guest('echo'))
    for (const value of PROCESS[name].bad) {
      for (const ask of [() => collect(made.process(['x'], { [name]: value })), async () => made.call('x', { [name]: value })]) {
        const error = await rejection(ask())
        expect(error, show(value)).toBeInstanceOf(api.ConfigurationError)
        expectError(error, 'ERR_CONFIG')
        expect(error.path, show(value)).toBe(name)
      }
    }
    for (const value of PROCESS[name].good) {
      expect(await collect(made.process(['x'], { [name]: value }))).toHaveLength(1)
    }
    await until(() => made.metrics().sessionsOpen <= 1)
  })

  test('a signal given to call counts for something', async () => {
    const error = await rejection((async () => node(guest('echo')).call('x', { signal: AbortSignal.abort('mine') }))())
    if (error !== 'mine') expectError(error, 'ERR_CONFIG', { path: 'signal' })
  })

  test('unknown ones, and options that are none', async () => {
    const made = node(guest('echo'))
    for (const [options, wrong] of [
      [{ sessionID: 'x' }, 'sessionID'],
      [5, 'options'],
      [null, 'options'],
      ['x', 'options'],
    ]) {
      expectError(await rejection(collect(made.process(['x'], options))), 'ERR_CONFIG', { path: wrong })
      expectError(await rejection((async () => made.call('x', options))()), 'ERR_CONFIG', { path: wrong })
    }
  })

  test('compileModule and inspectModule', async () => {
    for (const tool of [api.compileModule, api.inspectModule]) {
      for (const module of [undefined, null, 5, {}, [], '', Symbol('x')]) {
        expectError(await rejection((async () => tool(module))()), 'ERR_CONFIG', { path: 'module' })
      }
      expectError(await rejection((async () => tool('/no/such.wasm'))()), 'ERR_MODULE_NOT_FOUND')
    }
    expectError(await rejection((async () => api.compileModule(guest('echo'), { fuel: 1 }))()), 'ERR_CONFIG', { path: 'fuel' })
    expectError(await rejection((async () => api.compileModule(guest('echo'), { feul: true }))()), 'ERR_CONFIG', { path: 'feul' })
  })
})

// --- Modules ------------------------------------------------------------------------------------------------------------------

describe('bad modules', () => {
  let dir
  const file = (name, contents) => {
    const place = path.join(dir, name)
    writeFileSync(place, contents)
    return place
  }
  beforeAll(() => {
    dir = mkdtempSync(path.join(os.tmpdir(), 'rm-errors-'))
  })
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  const addon = createRequire(import.meta.url).resolve(
    `../js/remotemedia-wasmedge.${process.platform}-${process.arch}${process.platform === 'linux' ? '-gnu' : ''}.node`,
  )
  const header = Buffer.of(0, 0x61, 0x73, 0x6d)
  const cases = {
    'a file that is missing': [() => path.join(dir, 'missing.wasm'), 'ERR_MODULE_NOT_FOUND'],
    'a file in a folder that is missing': [() => '/no/such/folder/x.wasm', 'ERR_MODULE_NOT_FOUND'],
    'a folder': [() => dir, 'ERR_MODULE_NOT_FOUND'],
    'a path through a file': [() => path.join(file('f', 'x'), 'x.wasm'), 'ERR_MODULE_NOT_FOUND'],
    'a path with a NUL': [() => 'a\0b.wasm', /^ERR_(MODULE_NOT_FOUND|MODULE_INVALID|CONFIG)$/],
    'a path that is too long': [() => `/${'x'.repeat(5000)}`, 'ERR_MODULE_NOT_FOUND'],
    'a device': [() => '/dev/zero', 'ERR_MODULE_NOT_FOUND'],
    'a broken link': [
      () => {
        symlinkSync(path.join(dir, 'nowhere'), path.join(dir, 'link.wasm'))
        return path.join(dir, 'link.wasm')
      },
      'ERR_MODULE_NOT_FOUND',
    ],
    'an empty file': [() => file('empty.wasm', ''), 'ERR_MODULE_INVALID'],
    'no bytes': [() => new Uint8Array(0), 'ERR_MODULE_INVALID'],
    'a text file': [() => path.join(ROOT, 'package.json'), 'ERR_MODULE_INVALID'],
    'WebAssembly text': [() => path.join(ROOT, 'wasm-modules/fixtures/spin.wat'), 'ERR_MODULE_INVALID'],
    'WebAssembly text in bytes': [() => Buffer.from('(module)'), 'ERR_MODULE_INVALID'],
    'an executable': [() => process.execPath, 'ERR_MODULE_INVALID'],
    'a shared library': [() => addon, 'ERR_MODULE_INVALID'],
    'a component': [() => Buffer.concat([header, Buffer.of(0x0d, 0, 1, 0)]), 'ERR_MODULE_INVALID'],
    'a future version': [() => Buffer.concat([header, Buffer.of(2, 0, 0, 0)]), 'ERR_MODULE_INVALID'],
    'half a header': [() => header, 'ERR_MODULE_INVALID'],
    'a module with nothing in it': [() => Buffer.concat([header, Buffer.of(1, 0, 0, 0)]), 'ERR_ABI'],
    'a module and then rubbish': [() => Buffer.concat([bytesOf(guest('echo')), Buffer.from('rubbish')]), 'ERR_MODULE_INVALID'],
    'two modules': [() => Buffer.concat([bytesOf(guest('echo')), bytesOf(guest('echo'))]), 'ERR_MODULE_INVALID'],
    'a module with a compiled artifact inside': [
      () => Buffer.concat([bytesOf(guest('echo')), Buffer.of(0, 14, 8), Buffer.from('wasmedge'), Buffer.from('nasty')]),
      'ERR_MODULE_INVALID',
    ],
    noise: [() => Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 2_654_435_761) >>> 24)), 'ERR_MODULE_INVALID'],
  }
  test.each(Object.entries(cases))('%s', async (_, [source, code]) => {
    const error = await rejection(
      (async () => {
        const made = node(source(), { name: 'mine' })
        return made.initialize()
      })(),
    )
    if (typeof code === 'string') expectError(error, code, { nodeName: 'mine', sessionId: undefined })
    else expect(error.code).toMatch(code)
  })

  test('values that are no module throw at once', () => {
    for (const value of [undefined, null, 5, true, {}, [], '', () => {}, Symbol('x'), 5n, new Float32Array(2), { href: 5 }]) {
      expectError(
        thrown(() => new WasmEdgeNode(value)),
        'ERR_CONFIG',
        { path: 'module' },
      )
    }
    for (const url of ['https://example.org/a.wasm', 'data:application/wasm;base64,AA==']) {
      expectError(
        thrown(() => new WasmEdgeNode(new URL(url))),
        'ERR_CONFIG',
        { path: 'module' },
      )
    }
    expectError(
      thrown(() => new WasmEdgeNode('file:///%zz.wasm')),
      'ERR_CONFIG',
      { path: 'module' },
    )
  })

  test('the sentence names the file', async () => {
    const error = await rejection(node(fixture('locals_bomb')).initialize())
    expect(error.message).toContain('locals_bomb.wasm')
  })

  test('a node that failed keeps failing the same way, also in its streams', async () => {
    const made = node('/no/such.wasm')
    const errors = await Promise.all([made.initialize(), made.call('x'), collect(made.process(['x']))].map(rejection))
    for (const error of errors) expectError(error, 'ERR_MODULE_NOT_FOUND', { nodeName: 'such' })
    await made.closeSession('s')
    await made.cleanup()
    expectError(await rejection(made.initialize()), 'ERR_CLOSED')
  })
})

// --- Payloads and sources -----------------------------------------------------------------------------------------------------

describe('bad payloads', () => {
  const cycle = {}
  cycle.self = cycle
  const samples = new Float32Array(4)
  const pixels = new Uint8Array(4)
  const data = new Uint8Array(4)
  const cases = {
    undefined: undefined,
    symbol: Symbol('x'),
    function: () => {},
    bigint: 5n,
    'bigint inside': { a: 5n },
    cycle,
    'bare samples': samples,
    'bare 16-bit samples': new Int16Array(4),
    Float64Array: new Float64Array(4),
    DataView: { data: new BigInt64Array(1) },
    'audio: samples of a wrong type': { samples: [1, 2], sampleRate: 8000 },
    'audio: Float64Array': { samples: new Float64Array(2), sampleRate: 8000 },
    'audio: no rate': { samples, sampleRate: 'x' },
    'audio: rate 0': { samples, sampleRate: 0 },
    'audio: rate NaN': { samples, sampleRate: NaN },
    'audio: channels 0': { samples, sampleRate: 8000, channels: 0 },
    'audio: channels 1.5': { samples, sampleRate: 8000, channels: 1.5 },
    'audio: samples that do not divide': { samples, sampleRate: 8000, channels: 3 },
    'tensor: data of a wrong type': { data: [1], dtype: 'float32', shape: [1] },
    'tensor: dtype empty': { data, dtype: '', shape: [1] },
    'tensor: dtype no text': { data, dtype: 5, shape: [1] },
    'tensor: shape no array': { data, dtype: 'float32', shape: 5 },
    'tensor: shape with a fraction': { data, dtype: 'float32', shape: [1.5] },
    'tensor: shape below 0': { data, dtype: 'float32', shape: [-1] },
    'video: pixels of a wrong type': { pixels: [1], width: 1, height: 1, format: 'gray8' },
    'video: width 0': { pixels, width: 0, height: 1, format: 'gray8' },
    'video: width no number': { pixels, width: 'x', height: 1, format: 'gray8' },
    'video: no format': { pixels, width: 2, height: 2 },
    'packet: an unknown kind': { data: 'x', kind: 'sound' },
    'packet: kind no text': { data: 'x', kind: 5 },
    'packet: kind and data disagree': { data: 'x', kind: 'audio' },
    'packet: timestamp no number': { data: 'x', timestampMs: 'now' },
    'packet: timestamp NaN': { data: 'x', timestampMs: NaN },
    'packet: metadata no object': { data: 'x', metadata: [1] },
    'packet: metadata no JSON': { data: 'x', metadata: { a: 5n } },
    'packet: bad data': { data: Symbol('x') },
  }
  test.each(Object.entries(cases))('%s', async (_, item) => {
    const made = node(guest('echo'))
    expectError(await rejection((async () => made.call(item))()), 'ERR_SERIALIZATION')
    expectError(await rejection(collect(made.process([item]))), 'ERR_SERIALIZATION')
    expect(made.metrics().items).toBe(0)
    expect((await made.call('still fine'))[0].data.toString()).toBe('still fine')
  })

  test('an exception of a getter in an item is the caller’s own', async () => {
    const mine = new Error('mine')
    const item = {
      get data() {
        throw mine
      },
    }
    const made = node(guest('echo'))
    expect(await rejection((async () => made.call(item))())).toBe(mine)
    expect(await rejection(collect(made.process([item])))).toBe(mine)
    const json = {
      toJSON() {
        throw mine
      },
    }
    const error = await rejection((async () => made.call({ a: json }))())
    expect([mine, 'ERR_SERIALIZATION']).toContain(error === mine ? mine : error.code)
  })

  test('a detached buffer has no bytes', async () => {
    const bytes = new Uint8Array(8)
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    expect(await node(guest('echo')).call(bytes)).toEqual([])
  })

  test('lone surrogates become U+FFFD', async () => {
    const [packet] = await node(guest('echo'), { outputKind: 'text' }).call('a\ud800b')
    expect(packet.data).toBe('a\ufffdb')
  })
})

describe('bad sources', () => {
  test.each(
    [undefined, null, 5, true, 'text', Buffer.from('x'), new Float32Array(2), new ArrayBuffer(2), {}, { next() {} }, () => {}, 5n].map(
      (value) => [value],
    ),
  )('%o', async (source) => {
    const made = node(guest('echo'))
    const error = await rejection((async () => collect(made.process(source)))())
    expectError(error, 'ERR_CONFIG', { path: 'source' })
    expect(made.metrics().sessionsOpened).toBe(0)
  })

  test('wrong results of an iterator', async () => {
    const made = node(guest('echo'))
    for (const step of [undefined, null, 5]) {
      const error = await rejection(collect(made.process({ [Symbol.iterator]: () => ({ next: () => step }) })))
      expect(error).toBeInstanceOf(Error)
    }
    for (const iterator of [null, 5, {}]) {
      expect(await rejection(collect(made.process({ [Symbol.iterator]: () => iterator })))).toBeInstanceOf(Error)
    }
    await until(() => made.metrics().sessionsOpen === 0)
  })
})
