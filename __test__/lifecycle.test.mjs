// The life of a node: initialize, cleanup, use at the wrong moment, and what the garbage collector does for the forgetful.

import { describe, expect, test } from 'vitest'
import { run } from './support/child.mjs'
import { api, collect, count, deferred, expectError, fixture, guest, MODES, node, rejection, until, within } from './support/index.mjs'

const { WasmEdgeNode } = api

describe('initialize', () => {
  test('is idempotent, and concurrent calls share the work', async () => {
    const made = node(fixture('leaky_state'), { pool: { min: 1 } })
    expect(await Promise.all(Array.from({ length: 20 }, () => made.initialize()))).toEqual(Array(20).fill(undefined))
    await made.initialize()
    await until(() => made.metrics().instancesLive === 1)
    expect(made.metrics().instancesCreated).toBe(1)
  })

  test('happens by itself', async () => {
    expect(await node(guest('echo')).call('x')).toHaveLength(1)
    expect(await collect(node(guest('echo')).process(['x']))).toHaveLength(1)
  })

  test('the constructor does not touch the module', () => {
    const made = new WasmEdgeNode('/no/such/module.wasm')
    expect(made.metrics()).toMatchObject({ items: 0, instancesLive: 0, sessionsOpen: 0 })
    return made.cleanup()
  })

  test('while others call and clean up, every promise settles', async () => {
    for (let round = 0; round < 20; round += 1) {
      const made = new WasmEdgeNode(fixture('leaky_state'))
      const work = [made.initialize(), made.call('x'), collect(made.process(['x'])), made.cleanup(), made.call('x'), made.initialize()]
      const ends = await within(Promise.allSettled(work))
      for (const { status, reason } of ends) if (status === 'rejected') expectError(reason, 'ERR_CLOSED')
      expect(ends[3].status).toBe('fulfilled')
      for (const late of [4, 5]) expect(ends[late].status).toBe('rejected')
    }
  })
})

describe('cleanup', () => {
  test('is idempotent, also before initialize and at the same time', async () => {
    const made = new WasmEdgeNode(guest('echo'))
    await made.cleanup()
    await made.cleanup()
    const other = new WasmEdgeNode(guest('echo'))
    await other.call('x', { sessionId: 's' })
    expect(await Promise.all([other.cleanup(), other.cleanup(), other.cleanup()])).toEqual([undefined, undefined, undefined])
  })

  test('afterwards everything fails with ERR_CLOSED, and metrics still answer', async () => {
    const made = new WasmEdgeNode(guest('echo'))
    await made.call('x', { sessionId: 's' })
    const early = made.process(['x'])
    await made.cleanup()
    for (const late of [() => made.initialize(), () => made.call('x'), () => collect(made.process(['x'])), () => early.next()]) {
      expectError(await rejection(late()), 'ERR_CLOSED', { nodeName: 'echo' })
    }
    await made.closeSession('s')
    expect(made.name).toBe('echo')
    expect(made.metrics()).toMatchObject({ instancesLive: 0, sessionsOpen: 0, sessionsClosed: { cleanup: 1 } })
  })

  test.each(MODES)('with calls in flight: all end, at once, and nothing is left (%s)', async (mode) => {
    // Which of the calls run, wait or are on their way at that moment is chance.
    for (let round = 0; round < 20; round += 1) {
      const made = new WasmEdgeNode(fixture('spin'), { mode })
      await made.initialize()
      const calls = Array.from({ length: 10 }, (_, i) => rejection(made.call('x', { sessionId: `s${i % 5}` })))
      const streams = Array.from({ length: 3 }, () => rejection(collect(made.process(['x']))))
      await until(() => made.metrics().items > 0)
      const since = performance.now()
      await made.cleanup()
      expect(made.metrics()).toMatchObject({ instancesLive: 0, sessionsOpen: 0, queued: 0 })
      for (const error of await within(Promise.all([...calls, ...streams]))) expectError(error, 'ERR_CLOSED', { nodeName: 'spin' })
      expect(performance.now() - since).toBeLessThan(2000)
    }
  })

  test('closes the source of a stream that was in flight', async () => {
    let closed = false
    async function* source() {
      try {
        for (;;) yield 'x'
      } finally {
        closed = true
      }
    }
    const made = new WasmEdgeNode(guest('echo'))
    const stream = made.process(source())
    await stream.next()
    await made.cleanup()
    const error = await rejection(
      (async () => {
        for await (const _ of stream);
      })(),
    )
    expectError(error, 'ERR_CLOSED')
    await until(() => closed)
  })

  test('wakes the sessions that wait for an instance', async () => {
    const gate = deferred()
    const made = new WasmEdgeNode(fixture('call_host'), { pool: { max: 1 }, hostFunctions: { double: () => gate.promise } })
    const calls = ['a', 'b', 'c'].map((sessionId) => rejection(made.call('x', { sessionId })))
    await until(() => made.metrics().waiting === 2)
    await within(made.cleanup())
    for (const error of await within(Promise.all(calls))) expectError(error, 'ERR_CLOSED')
    gate.resolve('late')
  })

  test('runs the guests’ cleanup, and one that traps does not stop it', async () => {
    const made = new WasmEdgeNode(fixture('cleanup_trap'))
    await Promise.all(['a', 'b', 'c'].map((sessionId) => made.call('x', { sessionId })))
    await made.cleanup()
    expect(made.metrics()).toMatchObject({ instancesLive: 0, errors: {} })
  })

  test('of one node leaves another of the same module alone', async () => {
    const [one, two] = [new WasmEdgeNode(fixture('leaky_state')), node(fixture('leaky_state'))]
    await Promise.all([one.call('x', { sessionId: 's' }), two.call('x', { sessionId: 's' })])
    await one.cleanup()
    expect(count((await two.call('x', { sessionId: 's' }))[0])).toBe(2)
  })

  test('disposal is cleanup', async () => {
    const made = new WasmEdgeNode(guest('echo'))
    await made.call('x')
    await made[Symbol.asyncDispose]()
    expectError(await rejection(made.call('x')), 'ERR_CLOSED')
  })

  test('of a stateless node', async () => {
    const made = new WasmEdgeNode(guest('echo'), { stateless: true })
    await Promise.all(Array.from({ length: 20 }, () => made.call('x')))
    await made.cleanup()
    expect(made.metrics().instancesLive).toBe(0)
    expectError(await rejection(made.call('x')), 'ERR_CLOSED')
  })
})

describe('garbage collection', () => {
  const program = (body) => `
    const collectGarbage = async (condition) => {
      const end = Date.now() + 15000
      while (!condition()) {
        if (Date.now() > end) throw new Error('never collected')
        globalThis.gc()
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
    function* naturals() { for (let i = 0; ; i += 1) yield 'x' + i }
    ${body}
    say('released')`
  const collected = (body) => run(program(body), { flags: ['--expose-gc'] })

  test('abandoned streams give their instances back', async () => {
    expect(
      await collected(`
        const node = new WasmEdgeNode(guest('echo'))
        const abandon = async () => {
          const stream = node.process(naturals())
          await stream.next()
        }
        for (let i = 0; i < 20; i += 1) await abandon()
        await collectGarbage(() => node.metrics().instancesLive === 0 && node.metrics().sessionsOpen === 0)
        await node.cleanup()`),
    ).toEqual(['released'])
  })

  test('abandoned nodes give theirs back, with named sessions and streams', async () => {
    expect(
      await collected(`
        const alive = new Set()
        const registry = new FinalizationRegistry((id) => alive.delete(id))
        const abandon = async (id) => {
          const node = new WasmEdgeNode(fixture('leaky_state'), { pool: { min: 1 } })
          registry.register(node, id)
          alive.add(id)
          await node.call('x', { sessionId: 's' })
          const stream = node.process(naturals())
          await stream.next()
          node.process(naturals())
        }
        // Guest memory is mapped in pieces of gigabytes, so what stays mapped tells how many instances there are.
        const mapped = () => Number(/VmSize:\\s+(\\d+)/.exec(require('node:fs').readFileSync('/proc/self/status', 'utf8'))[1]) / 2 ** 20
        await abandon(-1)
        const before = mapped()
        for (let i = 0; i < 30; i += 1) await abandon(i)
        const full = mapped()
        assert.ok(full - before > 30 * 10, 'the instances were alive: ' + (full - before))
        await collectGarbage(() => alive.size === 0)
        await collectGarbage(() => mapped() - before < 5 * 12)`),
    ).toEqual(['released'])
  })

  test('a call keeps its node alive until it is answered', async () => {
    expect(
      await collected(`
        let answer
        let pending = (() => new WasmEdgeNode(fixture('call_host'), {
          hostFunctions: { double: () => new Promise((resolve) => { answer = resolve }) },
        }).call('x'))()
        await until(() => answer)
        for (let i = 0; i < 20; i += 1) { globalThis.gc(); await new Promise(setImmediate) }
        answer('late')
        assert.equal((await pending)[0].data.toString(), 'late')
        pending = undefined`),
    ).toEqual(['released'])
  })

  test('a stream keeps its node alive', async () => {
    expect(
      await collected(`
        const stream = (() => new WasmEdgeNode(guest('echo')).process(naturals()))()
        for (let i = 0; i < 50; i += 1) {
          assert.equal((await stream.next()).value.data.toString(), 'x' + i)
          if (i % 10 === 0) globalThis.gc()
        }
        await stream.return()`),
    ).toEqual(['released'])
  })

  test('packets live on without their node', async () => {
    expect(
      await collected(`
        const packets = []
        for (let i = 0; i < 100; i += 1) {
          const node = new WasmEdgeNode(guest('echo'), { outputKind: 'binary' })
          packets.push(...await node.call(Buffer.alloc(5000, i)))
          await node.cleanup()
          if (i % 10 === 0) globalThis.gc()
        }
        globalThis.gc()
        packets.forEach((packet, i) => assert.ok(packet.data.length === 5000 && packet.data.every((byte) => byte === i)))`),
    ).toEqual(['released'])
  })
})
