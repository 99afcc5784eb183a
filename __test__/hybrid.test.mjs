// Guests that use remote services: the fixture `remote` asks what its input says (see wasm-modules/fixtures/remote.wat).

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { api, collect, expectError, fixture, node, rejection, thrown, until } from './support/index.mjs'
import { pythonMissing, startPythonServer } from './support/python.mjs'

const missing = await pythonMissing()
/** An input of the fixture: an operation, the name of a service, and data. */
const ask = (op, name, data = '') => Buffer.concat([Buffer.from(op), Buffer.of(name.length), Buffer.from(name), Buffer.from(data)])
const SERVICES = {
  pass: 'PassThroughNode',
  stream: 'AudioTransform',
  types: { nodeType: 'EchoType', format: 'pickle' },
  slow: { nodeType: 'Slow', config: { delay_ms: 5000 }, timeoutMs: 100 },
  failing: { nodeType: 'Failing', config: { message: 'no such luck' } },
  nowhere: { nodeType: 'PassThroughNode', endpoint: '127.0.0.1:9' },
}

describe.skipIf(missing)('a guest with remote services', () => {
  let server
  let remote
  beforeAll(async () => {
    server = await startPythonServer()
    remote = { host: server.host, port: server.port }
  })
  afterAll(() => server?.stop())
  const hybrid = (options) => node(fixture('remote'), { remote, services: SERVICES, ...options }, api.HybridWasmNode)

  test('a call comes back through Python', async () => {
    const made = hybrid()
    const [packet] = await made.call(ask('c', 'pass', '{"hello":"world"}'))
    expect(packet.data).toEqual({ hello: 'world' })
  })

  test('audio reaches the service as audio', async () => {
    const made = hybrid()
    const data = new Float32Array([0.5, -0.5, 0.25, 0]).buffer
    const [packet] = await made.call(ask('a', 'types', Buffer.from(data)), { sessionId: 'one' })
    expect(packet.data.type).toBe('tuple')
    expect(packet.data.items[0]).toMatchObject({ type: 'ndarray', dtype: '<f4', shape: [1, 4] })
  })

  test('streams answer as outputs of the node, at the latest with the flush', async () => {
    const made = hybrid()
    const packets = await collect(made.process([ask('s', 'stream', '{"i":0}'), ask('s', 'stream', '{"i":1}')]))
    const answers = packets.map(({ data }) => data).filter((data) => data?.i !== undefined)
    // Each item is also returned by the fixture itself.
    expect(answers.filter(({ i }) => i === 0)).toHaveLength(2)
    expect(answers.filter(({ i }) => i === 1)).toHaveLength(2)
    expect(packets.some(({ data }) => String(data) === 'flushed')).toBe(true)
  })

  test('the remote session is the guest session’s own, for as long as that lasts', async () => {
    const made = hybrid()
    const id = async (sessionId) => String((await made.call(ask('i', ''), { sessionId }))[0].data)
    const first = await id('a')
    expect(first).toMatch(/^rm-[0-9a-f]{32}$/)
    expect(await id('a')).toBe(first)
    expect(await id('b')).not.toBe(first)
    await made.closeSession('a')
    expect(await id('a')).not.toBe(first)
  })

  test('only services of the node can be reached', async () => {
    const made = hybrid()
    const error = await rejection(made.call(ask('c', 'other', '1')))
    expectError(error, 'ERR_SERVICE_UNKNOWN')
    expect(error.message).toContain("'other'")
    expect(error).toBeInstanceOf(api.RemoteExecutionError)
  })

  test.each([
    ['failing', 'ERR_REMOTE', 'no such luck'],
    ['slow', 'ERR_DEADLINE', ''],
    ['nowhere', 'ERR_UNAVAILABLE', '127.0.0.1:9'],
  ])('a failure of the service %s reaches the application as %s', async (name, code, text) => {
    const error = await rejection(hybrid().call(ask('c', name, '1')))
    expectError(error, code)
    expect(error.message).toContain(text)
  })

  test('the guest’s own deadline covers the call', async () => {
    const made = hybrid({ services: { slow: { nodeType: 'Slow', config: { delay_ms: 5000 } } }, timeoutMs: 150 })
    expectError(await rejection(made.call(ask('c', 'slow', '1'))), 'ERR_WASM_TIMEOUT')
  })

  test('guests that wait for the network do not keep others from their processor', async () => {
    const made = hybrid({ services: { slow: { nodeType: 'Slow', config: { delay_ms: 1000 } }, pass: 'PassThroughNode' } })
    const waiting = Array.from({ length: 16 }, (_, i) => made.call(ask('c', 'slow', '1'), { sessionId: `w${i}` }))
    const order = []
    for (const one of waiting) one.then(() => order.push('waited'))
    await made.call(ask('i', ''), { sessionId: 'free' })
    order.push('free')
    await Promise.all(waiting)
    expect(order[0]).toBe('free')
  })

  test('a client that is there already serves as well', async () => {
    const client = await api.RemoteExecutionClient.connect(remote)
    const made = node(fixture('remote'), { remote: client, services: { pass: 'PassThroughNode' } }, api.HybridWasmNode)
    expect((await made.call(ask('c', 'pass', '[1]')))[0].data).toEqual([1])
    await made.cleanup()
    await client.close()
  })

  test('cleanup ends what waits', async () => {
    const made = hybrid({ services: { slow: { nodeType: 'Slow', config: { delay_ms: 5000 } } } })
    const waiting = rejection(made.call(ask('c', 'slow', '1')))
    await until(() => made.metrics().items === 1)
    await made.cleanup()
    expectError(await waiting, 'ERR_CLOSED')
  })
})

describe('options', () => {
  const remote = { host: '127.0.0.1', port: 1 }
  test.each([
    [undefined, 'remote'],
    [{ services: {} }, 'remote'],
    [{ remote }, 'services'],
    [{ remote: { host: 5 }, services: {} }, 'remote.host'],
    [{ remote: { ...remote, nope: 1 }, services: {} }, 'remote.nope'],
    [{ remote, services: [] }, 'services'],
    [{ remote, services: { vad: 5 } }, 'services.vad'],
    [{ remote, services: { vad: {} } }, 'services.vad.nodeType'],
    [{ remote, services: { vad: { nodeType: 'A', nope: 1 } } }, 'services.vad.nope'],
    [{ remote, services: { vad: { nodeType: 'A', timeoutMs: -1 } } }, 'services.vad.timeoutMs'],
    [{ remote, services: { vad: { nodeType: 'A', endpoint: 'a b' } } }, 'services.vad.endpoint'],
    [{ remote, services: {}, nope: 1 }, 'nope'],
    [{ remote, services: {}, stateless: true }, 'stateless'],
  ])('%j is refused at %s', (options, path) => {
    const error = expectError(
      thrown(() => new api.HybridWasmNode(fixture('remote'), options)),
      'ERR_CONFIG',
    )
    expect(error.path).toBe(path)
  })

  test('a node without a remote cannot load such a guest, and a plain node has no such option', async () => {
    expectError(await rejection(node(fixture('remote')).initialize()), 'ERR_IMPORT_DENIED')
    expect(() => new api.WasmEdgeNode(fixture('remote'), { remote, services: {} })).toThrowError(/remote/)
  })
})
