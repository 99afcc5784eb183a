// Sessions: whose state lives where and how long, and what a full house does.

import { describe, expect, test } from 'vitest'
import { collect, count, expectError, fixture, guest, MODES, node, rejection, until, within } from './support/index.mjs'

const counter = (options) => node(fixture('leaky_state'), options)
const next = async (made, sessionId) => count((await made.call('x', { sessionId }))[0])
/** A node whose guest answers when the test says so, with how to let them answer. */
function gated(options) {
  const gates = []
  const made = node(fixture('call_host'), {
    hostFunctions: {
      double: (data, info) => new Promise((resolve) => gates.push({ sessionId: info.sessionId, open: () => resolve(data) })),
    },
    ...options,
  })
  return { made, gates }
}

describe('state', () => {
  test.each(MODES)('is kept across calls and streams of a session, and no other session sees it (%s)', async (mode) => {
    const made = counter({ mode })
    expect(await next(made, 'a')).toBe(1)
    expect((await collect(made.process(['x', 'x'], { sessionId: 'a' }))).map(count)).toEqual([2, 3])
    expect(await next(made, 'b')).toBe(1)
    expect(await next(made, 'a')).toBe(4)
    expect(made.metrics()).toMatchObject({ sessionsOpen: 2, sessionsOpened: 2, instancesLive: 2, instancesCreated: 2 })
  })

  test('two nodes share nothing', async () => {
    const [one, two] = [counter(), counter()]
    expect([await next(one, 's'), await next(one, 's'), await next(two, 's')]).toEqual([1, 2, 1])
  })

  test('an instance never goes from one session to another', async () => {
    const made = counter({ pool: { max: 1 } })
    for (let i = 0; i < 20; i += 1) {
      expect(await next(made, `s${i}`)).toBe(1)
      await made.closeSession(`s${i}`)
    }
    expect(made.metrics()).toMatchObject({ instancesCreated: 20, instancesLive: 0, sessionsOpen: 0, sessionsClosed: { closed: 20 } })
  })

  test('interleaved items of many sessions', async () => {
    const made = counter()
    const ids = Array.from({ length: 30 }, (_, i) => `session ${i}`)
    for (let round = 1; round <= 5; round += 1) {
      expect(await Promise.all(ids.map((id) => next(made, id)))).toEqual(ids.map(() => round))
    }
    expect(made.metrics().sessionsOpen).toBe(30)
  })

  test('ids are any text of 1 to 256 bytes', async () => {
    const made = counter()
    for (const id of ['ü😀', ' ', 'a/b\\c\n', '__proto__', 'constructor', 'x'.repeat(256)]) {
      expect((await made.call('x', { sessionId: id }))[0]).toMatchObject({ sessionId: id })
      expect(await next(made, id)).toBe(2)
    }
  })

  test('ids with and without a trailing difference are different sessions', async () => {
    const made = counter()
    expect([await next(made, 'a'), await next(made, 'a '), await next(made, 'A')]).toEqual([1, 1, 1])
  })
})

describe('anonymous sessions', () => {
  test('each stream has its own, which ends with it', async () => {
    const made = counter()
    const streams = await Promise.all([1, 2].map(() => collect(made.process(['x', 'x']))))
    expect(streams.map((packets) => packets.map(count))).toEqual([
      [1, 2],
      [1, 2],
    ])
    expect(streams[0][0].sessionId).not.toBe(streams[1][0].sessionId)
    await until(() => made.metrics().instancesLive === 0)
    expect(made.metrics()).toMatchObject({ sessionsOpen: 0, sessionsOpened: 2, sessionsClosed: { 'stream-end': 2 } })
  })

  test('a call’s session ends with it', async () => {
    const made = counter()
    await made.call('x')
    await until(() => made.metrics().sessionsOpen === 0 && made.metrics().instancesLive === 0)
  })
})

describe('closeSession', () => {
  test('the next item starts anew', async () => {
    const made = counter()
    await next(made, 's')
    expect(await next(made, 's')).toBe(2)
    await made.closeSession('s')
    expect(made.metrics()).toMatchObject({ instancesLive: 0, sessionsOpen: 0 })
    expect(await next(made, 's')).toBe(1)
  })

  test('waits for the items that are queued', async () => {
    const made = counter()
    await made.initialize()
    const answers = Array.from({ length: 20 }, () => next(made, 's'))
    await made.closeSession('s')
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
    expect(made.metrics().instancesLive).toBe(0)
  })

  test('of an unknown session, twice, and before initialize, resolves', async () => {
    const made = counter()
    await made.closeSession('never')
    await next(made, 's')
    await Promise.all([made.closeSession('s'), made.closeSession('s')])
    await made.closeSession('s')
    expect(made.metrics().sessionsClosed.closed).toBe(1)
  })

  test('succeeds when the guest’s cleanup traps', async () => {
    for (const mode of MODES) {
      const made = node(fixture('cleanup_trap'), { mode })
      await made.call('x', { sessionId: 's' })
      await made.closeSession('s')
      expect(made.metrics()).toMatchObject({ instancesLive: 0, errors: {} })
    }
  })

  test('under a stream: its next item says that the session ended', async () => {
    const { made, gates } = gated()
    const stream = made.process(
      (async function* () {
        yield 'a'
        await closed
        yield 'b'
      })(),
      { sessionId: 's' },
    )
    let close
    const closed = new Promise((resolve) => {
      close = resolve
    })
    const first = stream.next()
    ;(await until(() => gates.pop())).open()
    expect((await first).value.data.toString()).toBe('a')
    await made.closeSession('s')
    close()
    expectError(await rejection(stream.next()), 'ERR_SESSION', { sessionId: 's', nodeName: 'call_host' })
  })

  test.each([undefined, null, 7, {}, '', 'x'.repeat(257)])('of %o is refused', async (id) => {
    const made = counter()
    const error = await rejection((async () => made.closeSession(id))())
    expectError(error, 'ERR_CONFIG', { path: 'sessionId' })
  })
})

describe('time to live', () => {
  test('a session that nobody uses ends', async () => {
    const made = counter({ sessions: { ttlMs: 40 } })
    await next(made, 's')
    await until(() => made.metrics().sessionsClosed.expired === 1)
    await until(() => made.metrics().instancesLive === 0)
    expect(made.metrics().sessionsOpen).toBe(0)
    expect(await next(made, 's')).toBe(1)
  })

  test('a session at work does not', async () => {
    const { made, gates } = gated({ sessions: { ttlMs: 20 } })
    const answer = made.call('x', { sessionId: 'busy' })
    const other = made.call('x', { sessionId: 'idle' })
    await until(() => gates.length === 2)
    gates.find((gate) => gate.sessionId === 'idle').open()
    await other
    await until(() => made.metrics().sessionsClosed.expired === 1)
    expect(made.metrics().sessionsOpen).toBe(1)
    gates.find((gate) => gate.sessionId === 'busy').open()
    expect((await answer)[0].data.toString()).toBe('x')
  })

  test('use keeps a session alive', async () => {
    const made = counter({ sessions: { ttlMs: 3000 } })
    const since = performance.now()
    let calls = 0
    while (performance.now() - since < 300) expect(await next(made, 's')).toBe(++calls)
    expect(made.metrics().sessionsClosed.expired).toBe(0)
  })
})

describe('sessions.max', () => {
  test('the least recently used idle session makes room', async () => {
    const made = counter({ sessions: { max: 2 } })
    await next(made, 'a')
    await next(made, 'b')
    expect(await next(made, 'a')).toBe(2)
    expect(await next(made, 'c')).toBe(1)
    expect(made.metrics()).toMatchObject({ sessionsOpen: 2, sessionsClosed: { 'least-recently-used': 1 } })
    expect(await next(made, 'a')).toBe(3)
    expect(await next(made, 'b')).toBe(1)
    await until(() => made.metrics().instancesLive === 2)
  })

  test('when all are at work, a new one is turned away', async () => {
    const { made, gates } = gated({ sessions: { max: 2 } })
    const busy = ['a', 'b'].map((sessionId) => made.call('x', { sessionId }))
    await until(() => gates.length === 2)
    expectError(await rejection(made.call('x', { sessionId: 'c' })), 'ERR_POOL_EXHAUSTED', { sessionId: 'c', nodeName: 'call_host' })
    expectError(await rejection(collect(made.process(['x'], { sessionId: 'c' }))), 'ERR_POOL_EXHAUSTED')
    for (const gate of gates.splice(0)) gate.open()
    await Promise.all(busy)
    const late = made.call('x', { sessionId: 'c' })
    ;(await until(() => gates.pop())).open()
    await late
    expect(made.metrics().sessionsClosed['least-recently-used']).toBe(1)
  })

  test('a stream whose session was evicted hears of it', async () => {
    const made = counter({ sessions: { max: 1 } })
    let go
    const gate = new Promise((resolve) => {
      go = resolve
    })
    const stream = made.process(
      (async function* () {
        yield 'x'
        await gate
        yield 'x'
      })(),
      { sessionId: 'a' },
    )
    expect(count((await stream.next()).value)).toBe(1)
    await until(async () => {
      // The stream's session counts as idle only once its turn is over.
      return made.call('x', { sessionId: 'b' }).then(
        () => true,
        (error) => error.code === 'ERR_POOL_EXHAUSTED' && false,
      )
    })
    go()
    expectError(await rejection(stream.next()), 'ERR_SESSION', { sessionId: 'a' })
    expect(await next(made, 'a')).toBe(1)
  })
})

describe('pool', () => {
  test('pool.max: sessions wait in line for an instance and get one', async () => {
    const { made, gates } = gated({ pool: { max: 2 } })
    const answers = ['a', 'b', 'c'].map((sessionId) => made.call('x', { sessionId }))
    await until(() => gates.length === 2 && made.metrics().waiting === 1)
    expect(made.metrics().instancesLive).toBe(2)
    const [first] = gates.splice(0, 1)
    first.open()
    await answers[{ a: 0, b: 1, c: 2 }[first.sessionId]]
    await made.closeSession(first.sessionId)
    await until(() => gates.length === 2)
    for (const gate of gates) gate.open()
    await Promise.all(answers)
    expect(made.metrics()).toMatchObject({ waiting: 0, instancesLive: 2, instancesCreated: 3 })
  })

  test('pool.maxQueue: more than that are turned away', async () => {
    const { made, gates } = gated({ pool: { max: 1, maxQueue: 1 } })
    const busy = made.call('x', { sessionId: 'a' })
    await until(() => gates.length === 1)
    const waiting = made.call('x', { sessionId: 'b' })
    await until(() => made.metrics().waiting === 1)
    expectError(await rejection(made.call('x', { sessionId: 'c' })), 'ERR_POOL_EXHAUSTED', { sessionId: 'c', stateLost: undefined })
    expect(made.metrics().errors).toEqual({ ERR_POOL_EXHAUSTED: 1 })
    gates.pop().open()
    await busy
    await made.closeSession('a')
    ;(await until(() => gates.pop())).open()
    await waiting
  })

  test('pool.maxQueue 0: nobody waits', async () => {
    const { made, gates } = gated({ pool: { max: 1, maxQueue: 0 } })
    const busy = made.call('x', { sessionId: 'a' })
    await until(() => gates.length === 1)
    expectError(await rejection(made.call('x', { sessionId: 'b' })), 'ERR_POOL_EXHAUSTED')
    gates.pop().open()
    await busy
  })

  test('an aborted session leaves the line', async () => {
    const { made, gates } = gated({ pool: { max: 1 } })
    const busy = made.call('x', { sessionId: 'a' })
    await until(() => gates.length === 1)
    const controller = new AbortController()
    const stream = made.process(['x'], { sessionId: 'b', signal: controller.signal })
    const waiting = stream.next()
    await until(() => made.metrics().waiting === 1)
    controller.abort('no patience')
    expect(await rejection(within(waiting))).toBe('no patience')
    gates.pop().open()
    await busy
    await made.closeSession('a')
    const after = made.call('x', { sessionId: 'c' })
    ;(await until(() => gates.pop())).open()
    await within(after)
  })

  test('pool.min: ready before the first session, and again after', async () => {
    const made = counter({ pool: { min: 3 } })
    await made.initialize()
    await until(() => made.metrics().instancesCreated === 3)
    expect(await next(made, 'a')).toBe(1)
    await until(() => made.metrics().instancesCreated === 4)
    expect(made.metrics().instancesLive).toBe(4)
  })

  test.each(MODES)('pool.min with pool.max of 1: the ready instance serves (%s)', async (mode) => {
    const made = counter({ mode, pool: { min: 1, max: 1 } })
    for (let i = 0; i < 5; i += 1) {
      expect(await within(next(made, `s${i}`), 5000)).toBe(1)
      await made.closeSession(`s${i}`)
    }
  })

  test('pool.min is there again after the pool was full', async () => {
    const made = counter({ pool: { min: 2, max: 8 }, mode: 'interpreter' })
    await Promise.all(Array.from({ length: 8 }, (_, i) => next(made, `s${i}`)))
    await Promise.all(Array.from({ length: 8 }, (_, i) => made.closeSession(`s${i}`)))
    await until(() => made.metrics().instancesLive === 2)
    expect(made.metrics().sessionsOpen).toBe(0)
  })

  test('instances are released when their sessions end, however', async () => {
    const made = counter()
    await Promise.all(Array.from({ length: 50 }, (_, i) => next(made, `s${i}`)))
    expect(made.metrics().instancesLive).toBe(50)
    await Promise.all(Array.from({ length: 50 }, (_, i) => made.closeSession(`s${i}`)))
    expect(made.metrics()).toMatchObject({ instancesLive: 0, sessionsOpen: 0 })
  })
})

describe('stateless', () => {
  test('instances serve any session, few of them serve many', async () => {
    const made = node(guest('echo'), { stateless: true, outputKind: 'text' })
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => made.call(String(i), { sessionId: `s${i}` })))
    answers.forEach(([packet], i) => expect(packet).toMatchObject({ data: String(i), sessionId: `s${i}` }))
    expect(made.metrics().instancesCreated).toBeLessThanOrEqual(64)
  })

  test('pool.idleTtlMs: an instance that nobody uses goes, and comes back when needed', async () => {
    const made = node(guest('echo'), { stateless: true, outputKind: 'text', pool: { idleTtlMs: 30 } })
    await Promise.all(Array.from({ length: 50 }, () => made.call('x')))
    await until(() => made.metrics().instancesLive === 0)
    expect(made.metrics().instancesIdleEvicted).toBe(made.metrics().instancesCreated)
    expect((await made.call('again'))[0].data).toBe('again')
  })

  test('a stream keeps its order', async () => {
    const made = node(guest('echo'), { stateless: true, outputKind: 'text' })
    const items = Array.from({ length: 2000 }, (_, i) => String(i))
    const packets = await collect(made.process(items))
    expect(packets.map((packet) => packet.data)).toEqual(items)
    expect(packets.map((packet) => packet.sequence)).toEqual(items.map(Number))
  })

  test('the guest hears for which session it works', async () => {
    const seen = []
    const made = node(fixture('call_host'), {
      stateless: true,
      hostFunctions: {
        double: (data, info) => {
          seen.push(info.sessionId)
          return data
        },
      },
    })
    await Promise.all(['a', 'b', 'c'].map((sessionId) => made.call('x', { sessionId })))
    expect(seen.sort()).toEqual(['a', 'b', 'c'])
  })

  test('an error says nothing of lost state, and the next item works', async () => {
    const made = node(fixture('unreachable'), { stateless: true })
    for (let i = 0; i < 5; i += 1) expectError(await rejection(made.call('x')), 'ERR_WASM_TRAP', { stateLost: undefined })
  })

  test('pool.maxQueue bounds the waiting items', async () => {
    const made = node(fixture('spin'), { stateless: true, timeoutMs: 400, pool: { max: 1, maxQueue: 2 } })
    await made.initialize()
    const answers = await Promise.all(Array.from({ length: 30 }, () => rejection(made.call('x'))))
    const codes = answers.map((error) => error.code)
    expect(codes).toContain('ERR_POOL_EXHAUSTED')
    expect(codes.filter((code) => code === 'ERR_WASM_TIMEOUT').length).toBeLessThanOrEqual(4)
    expect(codes.filter((code) => !/^ERR_(POOL_EXHAUSTED|WASM_TIMEOUT)$/.test(code))).toEqual([])
  })
})
