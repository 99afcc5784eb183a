// The router over real nodes: modules at the edge, services behind gRPC as the cloud, and nodes of the application.

import net from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { api, collect, deferred, expectError, fixture, guest, node, rejection, thrown, until, within } from './support/index.mjs'

const { IntelligentRouter, Node, Pipeline, RemoteObjectNode, RemoteProcessingService } = api

function router(options) {
  const made = new IntelligentRouter(options)
  onTestFinished(() => made.cleanup())
  return made
}

/** A service with one node type. */
async function service(entry, port = 0) {
  const made = new RemoteProcessingService({ port }).register('Cloud', entry)
  let open = true
  const close = async () => {
    if (open) await made.close({ graceMs: 1 })
    open = false
  }
  onTestFinished(close)
  const bound = await made.listen()
  const node = () => new RemoteObjectNode({ host: '127.0.0.1', port: bound.port, nodeType: 'Cloud', maxRetries: 0, connectTimeoutMs: 500 })
  return { port: bound.port, close, node }
}

/** A port where nobody listens. */
async function nobody() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return new RemoteObjectNode({ host: '127.0.0.1', port, nodeType: 'Cloud', maxRetries: 0, connectTimeoutMs: 200 })
}

/** A node that marks what goes through it. */
const marks = (mark, fails = () => false) => ({
  name: mark,
  async *process(source) {
    for await (const packet of source) {
      if (fails(packet)) throw new Error(`${mark} fails`)
      yield `${packet.data} ${mark}`
    }
  },
})
const run = async (made, items, options) => {
  const packets = await collect(made.process(items, options))
  return packets.map((packet) => [packet.data, packet.route.target, packet.route.fallback])
}

describe('strategies', () => {
  test('edge-first and cloud-first, each with the other side as fallback', async () => {
    const bad = (packet) => packet.data === 'bad'
    const first = router({ edge: marks('edge', bad), cloud: marks('cloud'), strategy: 'edge-first' })
    expect(await run(first, ['a', 'bad', 'c'])).toEqual([
      ['a edge', 'edge', false],
      ['bad cloud', 'cloud', true],
      ['c edge', 'edge', false],
    ])
    const second = router({ edge: marks('edge'), cloud: marks('cloud', bad), strategy: 'cloud-first' })
    expect(await run(second, ['a', 'bad', 'c'])).toEqual([
      ['a cloud', 'cloud', false],
      ['bad edge', 'edge', true],
      ['c cloud', 'cloud', false],
    ])
  })

  test('auto: by size as long as nothing is known, by what the options say always', async () => {
    const made = router({ edge: marks('edge'), cloud: marks('cloud'), edgeMaxBytes: 10, cloudMinBytes: 20 })
    expect([made.decide('small').target, made.decide('x'.repeat(20)).target]).toEqual(['edge', 'cloud'])
    const fresh = router({ edge: marks('edge'), cloud: marks('cloud') })
    expect([fresh.decide(new Uint8Array(100 << 10)).target, fresh.decide(new Uint8Array(10 << 20)).target]).toEqual(['edge', 'cloud'])
    expect(fresh.decide('x')).toMatchObject({
      reason: expect.stringMatching(/1 bytes is within the edge's/),
      rule: 'small',
      explored: false,
    })
  })

  test('complexity, given as a number or told by a function', async () => {
    const sides = () => ({ edge: marks('edge'), cloud: marks('cloud') })
    expect(router({ ...sides(), complexity: 0.9 }).decide('x')).toMatchObject({ target: 'cloud', rule: 'complex' })
    expect(router({ ...sides(), complexity: 0.1 }).decide(new Uint8Array(20 << 20))).toMatchObject({ target: 'edge', rule: 'simple' })
    const told = router({ ...sides(), complexity: (item) => (String(item.data).includes('!') ? 0.95 : 0.05) })
    expect([told.decide('a').target, told.decide('a!').target, told.decide({ data: 'b!' }).target]).toEqual(['edge', 'cloud', 'cloud'])
    expect((await run(told, ['a', 'b!', 'c', 'd!'])).map(([, target]) => target)).toEqual(['edge', 'cloud', 'edge', 'cloud'])
    let judged = 0
    const judge = async () => {
      judged++
      await until(() => judged >= 2, 'the next item is judged meanwhile')
      return 0.9
    }
    expect(await run(router({ edge: marks('edge'), cloud: marks('cloud'), complexity: judge }), ['a', 'b'])).toHaveLength(2)
    const odd = router({ ...sides(), complexity: () => 7 })
    expectError(
      thrown(() => odd.decide('x')),
      'ERR_NODE',
    )
    expectError(await rejection(run(odd, ['x'])), 'ERR_NODE')
  })

  test('decide says what process does, and changes nothing', async () => {
    const made = router({ edge: marks('edge'), cloud: marks('cloud'), edgeMaxBytes: 5, cloudMinBytes: 6, seed: 1 })
    const items = Array.from({ length: 40 }, (_, index) => 'x'.repeat(1 + (index % 10)))
    for (const item of items) {
      const before = made.decide(item)
      expect(made.decide(item)).toEqual(before)
      const [packet] = await collect(made.process([item]))
      expect([packet.route.target, packet.route.reason]).toEqual([before.target, before.reason])
    }
    expect(made.metrics().items).toBe(items.length)
  })

  test('hybrid: before the cloud here, after it here', async () => {
    const made = router({
      edge: marks('edge'),
      cloud: marks('cloud'),
      strategy: 'hybrid',
      hybrid: { preprocess: marks('before'), postprocess: marks('after') },
    })
    expect(await run(made, ['a', 'b'])).toEqual([
      ['a before cloud after', 'hybrid', false],
      ['b before cloud after', 'hybrid', false],
    ])
  })

  test('hybrid without more: the edge prepares, and stands in for a cloud that is gone', async () => {
    expect(await run(router({ edge: marks('edge'), cloud: marks('cloud'), strategy: 'hybrid' }), ['a'])).toEqual([
      ['a edge cloud', 'hybrid', false],
    ])
    const alone = router({ edge: marks('edge'), cloud: marks('cloud', () => true), strategy: 'hybrid' })
    expect(await run(alone, ['a'])).toEqual([['a edge', 'edge', true]])
    const split = { preprocess: marks('before') }
    const helped = router({ edge: marks('edge'), cloud: marks('cloud', () => true), strategy: 'hybrid', hybrid: split })
    expect(await run(helped, ['a'])).toEqual([['a edge', 'edge', true]])
  })

  test('escalation: the edge where it is sure, the cloud where it is not', async () => {
    const sure = {
      async *process(source) {
        for await (const { data } of source) yield { kind: 'json', data: { word: data, speech: { confidence: data.length / 10 } } }
      },
    }
    const options = { edge: sure, cloud: marks('cloud'), strategy: 'hybrid' }
    const byNumber = router({ ...options, hybrid: { escalate: { confidence: 'speech.confidence', low: 0.2, high: 0.8 } } })
    expect((await run(byNumber, ['a', 'hello', 'wonderful'])).map(([, target]) => target)).toEqual(['edge', 'cloud', 'edge'])
    const byFunction = router({ ...options, hybrid: { escalate: (result) => result.data.word === 'hello' } })
    expect((await run(byFunction, ['a', 'hello'])).map(([, target]) => target)).toEqual(['edge', 'cloud'])
    expect(byFunction.metrics().escalations).toBe(1)
    const gone = router({ ...options, cloud: marks('cloud', () => true), hybrid: { escalate: () => true } })
    expect(await run(gone, ['a'])).toEqual([[{ word: 'a', speech: { confidence: 0.1 } }, 'edge', true]])
  })
})

describe('sides that fail', () => {
  test('a module that traps is helped out by a service', async () => {
    const cloud = await service((packet) => `${packet.data} cloud`)
    const made = router({ edge: node(fixture('unreachable')), cloud: cloud.node(), strategy: 'edge-first' })
    expect(await run(made, ['a', 'b'])).toEqual([
      ['a cloud', 'cloud', true],
      ['b cloud', 'cloud', true],
    ])
  })

  test('a module that takes too long is stopped, and the item still answered in its time', async () => {
    const cloud = await service((packet) => `${packet.data} cloud`)
    const edge = node(fixture('spin'))
    const made = router({ edge, cloud: cloud.node(), strategy: 'edge-first', fallback: { afterMs: 50 } })
    expect(await run(made, ['a'], { timeoutMs: 5_000 })).toEqual([['a cloud', 'cloud', true]])
    await until(() => edge.metrics().queued === 0, 'the module was stopped')
  })

  test('a cloud that nobody serves: every item is served by the edge', async () => {
    const made = router({ edge: marks('edge'), cloud: await nobody(), strategy: 'cloud-first', circuitBreaker: { failureThreshold: 3 } })
    const changes = []
    made.on('breaker', (change) => changes.push(change))
    const items = Array.from({ length: 50 }, (_, index) => `${index}`)
    const packets = await collect(made.process(items, { timeoutMs: 10_000 }))
    expect(packets.map((packet) => packet.data)).toEqual(items.map((item) => `${item} edge`))
    expect(packets.at(-1).route).toMatchObject({ target: 'edge', attempts: 1 })
    await until(() => changes.length > 0, 'the breaker opens')
    expect(changes[0]).toEqual({ target: 'cloud', from: 'closed', to: 'open' })
    expect(made.metrics()).toMatchObject({ items: 50, errors: 0, policy: { cloud: { breaker: 'open' } } })
  })

  test('a cloud that is killed under load loses no item, and is used again when it is back', async () => {
    const entry = (packet) => `${packet.data} cloud`
    const cloud = await service(entry)
    const made = router({
      edge: marks('edge'),
      cloud: cloud.node(),
      strategy: 'cloud-first',
      circuitBreaker: { failureThreshold: 2, resetTimeoutMs: 50, successThreshold: 1 },
      probeIntervalMs: 20,
    })
    const seen = []
    let killed = false
    let revived = false
    async function* source() {
      for (let index = 0; ; index++) {
        if (index === 100) {
          await cloud.close()
          killed = true
        }
        if (killed && !revived && seen.filter(([, target]) => target === 'edge').length > 50) {
          await service(entry, cloud.port)
          revived = true
        }
        if (revived && seen.at(-1)?.[1] === 'cloud' && seen.length > 160) return
        if (index > 160) await new Promise((resolve) => setTimeout(resolve, 1))
        yield `${index}`
      }
    }
    for await (const packet of made.process(source(), { timeoutMs: 10_000 })) seen.push([packet.data.split(' ')[0], packet.route.target])
    expect(seen.map(([index]) => Number(index))).toEqual(seen.map((_, index) => index))
    expect(new Set(seen.map(([, target]) => target))).toEqual(new Set(['cloud', 'edge']))
    expect(made.metrics().errors).toBe(0)
  }, 30_000)

  test('both sides fail: the last failure is told, the first is its cause', async () => {
    const made = router({ edge: marks('edge', () => true), cloud: marks('cloud', () => true), strategy: 'edge-first' })
    const error = expectError(await rejection(run(made, ['a'])), 'ERR_NODE', { nodeName: 'cloud' })
    expect(error.message).toMatch(/cloud fails/)
    expect(made.metrics()).toMatchObject({ errors: 1, fallbacks: 1 })
  })

  test('without a fallback a failure is a failure', async () => {
    const made = router({ edge: marks('edge', () => true), cloud: marks('cloud'), strategy: 'edge-first', fallback: false })
    expectError(await rejection(run(made, ['a'])), 'ERR_NODE', { nodeName: 'edge' })
  })

  test('an open breaker without a fallback is ERR_BREAKER_OPEN', async () => {
    const options = { strategy: 'cloud-first', fallback: false, circuitBreaker: { failureThreshold: 1 } }
    const made = router({ edge: marks('edge', () => true), cloud: marks('cloud', () => true), ...options })
    expectError(await rejection(run(made, ['a'])), 'ERR_NODE')
    // The strategy's side is left alone; the other one fails as well, and then both are.
    expectError(await rejection(run(made, ['b'])), 'ERR_NODE', { nodeName: 'edge' })
    expectError(await rejection(run(made, ['c'])), 'ERR_BREAKER_OPEN')
  })

  test('a side that cannot ever work is told, not hidden behind a fallback', async () => {
    const made = router({ edge: new api.WasmEdgeNode('/not/there.wasm'), cloud: marks('cloud') })
    expectError(await rejection(made.initialize()), 'ERR_MODULE_NOT_FOUND')
    expectError(await rejection(run(made, ['a'])), 'ERR_MODULE_NOT_FOUND')
  })

  test('a bulkhead refuses what is too much, and the other side takes it', async () => {
    const gate = deferred()
    const slow = {
      async *process(source) {
        for await (const packet of source) {
          await gate.promise
          yield `${packet.data} edge`
        }
      },
    }
    const made = router({ edge: slow, cloud: marks('cloud'), strategy: 'edge-first', bulkhead: { edge: 1, maxQueue: 0 } })
    const first = run(made, ['a'], { sessionId: 'one' })
    await until(() => made.metrics().inFlight.edge === 1, 'the edge is busy')
    expect(await run(made, ['b'], { sessionId: 'two' })).toEqual([['b cloud', 'cloud', true]])
    gate.resolve()
    expect(await first).toEqual([['a edge', 'edge', false]])
    expect(made.metrics().shed).toBe(1)
  })
})

describe('time', () => {
  test('a hedge answers for a request that hangs, within its budget', async () => {
    let calls = 0
    const cloud = await service(async (packet) => {
      // The first request of each item hangs.
      if (packet.data.startsWith('slow') && calls++ % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 3_000))
      return `${packet.data} cloud`
    })
    const made = router({ edge: marks('edge'), cloud: cloud.node(), strategy: 'cloud-first', hedge: { delayMs: 40, maxPercent: 100 } })
    const [packet] = await within(collect(made.process(['slow'], { timeoutMs: 20_000 })), 2_500)
    expect(packet.route).toMatchObject({ target: 'cloud', hedged: true, attempts: 2, fallback: false })
    expect(made.metrics()).toMatchObject({ hedges: 1, hedgesWon: 1 })
  })

  test('a deadline that the decided side cannot meet goes to the other', async () => {
    const cloud = await service((packet) => new Promise((resolve) => setTimeout(() => resolve(`${packet.data} cloud`), 60)))
    const made = router({ edge: marks('edge'), cloud: cloud.node(), strategy: 'cloud-first', latencyBudgetMs: 20 })
    const seen = await run(
      made,
      Array.from({ length: 12 }, (_, index) => `${index}`),
    )
    expect(seen.slice(0, 3).every(([, target]) => target === 'cloud')).toBe(true)
    expect(seen.at(-1)[1]).toBe('edge')
    expect(made.metrics().byReason.deadline).toBeGreaterThan(0)
  })

  test('items of a session travel together, in order, and a bad one fails alone', async () => {
    let streams = 0
    let singles = 0
    const cloud = await service({
      execute: (packet) => {
        singles++
        if (packet.data === 'bad') throw new Error('no')
        return `${packet.data} alone`
      },
      async *stream(source) {
        streams++
        for await (const packet of source) {
          if (packet.data === 'bad') throw new Error('no')
          yield `${packet.data} together`
        }
      },
    })
    const made = router({ edge: marks('edge'), cloud: cloud.node(), strategy: 'cloud-first', batch: { maxItems: 4, maxDelayMs: 1_000 } })
    expect(await run(made, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])).toEqual(
      ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((item) => [`${item} together`, 'cloud', false]),
    )
    expect([streams, singles]).toEqual([2, 0])
    expect(made.metrics()).toMatchObject({ batches: 2, batchedItems: 8 })
    const mixed = await run(made, ['a', 'bad', 'c', 'd'])
    expect(mixed).toEqual([
      ['a together', 'cloud', false],
      ['bad edge', 'edge', true],
      ['c alone', 'cloud', false],
      ['d alone', 'cloud', false],
    ])
  })
})

describe('what it learns and tells', () => {
  test('learns that the edge has become slow, and comes back to it', async () => {
    let delay = 0
    const edge = {
      name: 'edge',
      async *process(source) {
        for await (const packet of source) {
          if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay))
          yield `${packet.data} edge`
        }
      },
    }
    const cloud = {
      name: 'cloud',
      async *process(source) {
        for await (const packet of source) {
          await new Promise((resolve) => setTimeout(resolve, 4))
          yield `${packet.data} cloud`
        }
      },
    }
    const made = router({ edge, cloud, seed: 7 })
    const last = async (count) =>
      (
        await run(
          made,
          Array.from({ length: count }, () => 'x'),
        )
      )
        .slice(-20)
        .filter(([, target]) => target === 'cloud').length
    expect(await last(120)).toBeLessThan(5)
    delay = 25
    expect(await last(60)).toBeGreaterThan(15)
    const figures = made.metrics().policy
    expect(figures.edge.samples).toBeGreaterThan(50)
    expect(figures.exploration.share).toBeLessThan(0.2)
  }, 30_000)

  test('what was learned can be taken along', async () => {
    const sides = () => ({ edge: marks('edge'), cloud: marks('cloud') })
    const first = router(sides())
    await run(
      first,
      Array.from({ length: 60 }, (_, index) => 'x'.repeat(index)),
    )
    const state = JSON.parse(JSON.stringify(first.exportState()))
    const second = router({ ...sides(), warmStart: state })
    expect(second.exportState()).toEqual(state)
    expect(second.decide('xx').predicted.edge.latencyMs).toBeCloseTo(first.decide('xx').predicted.edge.latencyMs)
  })

  test('events of decisions and fallbacks; a listener that throws harms nobody', async () => {
    const made = router({ edge: marks('edge', (packet) => packet.data === 'bad'), cloud: marks('cloud'), strategy: 'edge-first' })
    const [decisions, fallbacks] = [[], []]
    const listener = (about) => decisions.push(about)
    expect(made.on('decision', listener).on('fallback', (about) => fallbacks.push(about))).toBe(made)
    await run(made, ['a', 'bad'], { sessionId: 's' })
    await until(() => decisions.length === 2 && fallbacks.length === 1, 'events')
    expect(decisions[0]).toMatchObject({
      target: 'edge',
      rule: 'strategy',
      sessionId: 's',
      sequence: 0,
      bytes: 1,
      predicted: { edge: {}, cloud: {} },
    })
    expect(fallbacks[0]).toEqual({
      from: 'edge',
      to: 'cloud',
      error: { code: 'ERR_NODE', message: expect.stringMatching(/edge fails/) },
      sessionId: 's',
      sequence: 1,
    })
    made.off('decision', listener)
    await run(made, ['c'])
    expect(decisions).toHaveLength(2)
  })

  test('metrics by target, by reason and of both sides', async () => {
    const made = router({ edge: node(guest('echo'), { name: 'echo' }), cloud: marks('cloud'), cloudMinBytes: 100 })
    await run(made, ['a', 'x'.repeat(100), 'b'])
    const figures = made.metrics()
    expect(figures).toMatchObject({
      items: 3,
      byTarget: { edge: 2, cloud: 1, hybrid: 0 },
      byReason: { small: 2, large: 1 },
      strategy: 'auto',
    })
    expect(figures.edge.items).toBe(2)
    expect(figures.latencyMs.cloud.p50).toBeGreaterThan(0)
  })
})

describe('what cannot be', () => {
  const sides = () => ({ edge: marks('edge'), cloud: marks('cloud') })
  test.each([
    [{ strategy: 'fastest' }, 'strategy'],
    [{ edge: undefined }, 'edge'],
    [{ cloud: {} }, 'cloud'],
    [{ edge: new (class extends Node {})() }, 'edge'],
    [{ edgeMaxBytes: 10, cloudMinBytes: 10 }, 'edgeMaxBytes'],
    [{ edgeMaxBytes: -1 }, 'edgeMaxBytes'],
    [{ complexity: 2 }, 'complexity'],
    [{ complexity: 'high' }, 'complexity'],
    [{ latencyBudgetMs: 0 }, 'latencyBudgetMs'],
    [{ realtime: 'yes' }, 'realtime'],
    [{ cost: { latencyMs: 0 } }, 'cost'],
    [{ cost: { cloudByte: -1 } }, 'cost.cloudByte'],
    [{ cost: { dollars: 1 } }, 'cost.dollars'],
    [{ adaptive: 1 }, 'adaptive'],
    [{ adaptive: { exploration: 1 } }, 'adaptive.exploration'],
    [{ circuitBreaker: { failureThreshold: 0 } }, 'circuitBreaker.failureThreshold'],
    [{ circuitBreaker: { minimumCalls: 50, windowItems: 10 } }, 'circuitBreaker.minimumCalls'],
    [{ fallback: { enabled: false, afterMs: 5 } }, 'fallback.afterMs'],
    [{ hedge: { percentile: 95, delayMs: 5 } }, 'hedge.delayMs'],
    [{ hedge: {}, strategy: 'edge-first' }, 'hedge'],
    [{ batch: { maxItems: 4 } }, 'batch.maxDelayMs'],
    [{ batch: { maxItems: 4, maxDelayMs: 50 }, latencyBudgetMs: 40 }, 'batch.maxDelayMs'],
    [{ bulkhead: { edge: 0 } }, 'bulkhead.edge'],
    [{ hybrid: { escalate: { confidence: 'x', low: 1, high: 0 } } }, 'hybrid.escalate.low'],
    [{ hybrid: { escalate: 'always' } }, 'hybrid.escalate'],
    [{ hybrid: { preprocess: 7 } }, 'hybrid.preprocess'],
    [{ hybrid: { between: {} } }, 'hybrid.between'],
    [{ warmStart: { version: 9 } }, 'warmStart.version'],
    [{ warmStart: 'state' }, 'warmStart'],
    [{ seed: 0.5 }, 'seed'],
    [{ probeIntervalMs: -1 }, 'probeIntervalMs'],
    [{ stratgy: 'auto' }, 'stratgy'],
  ])('%j', (options, where) => {
    const given = { ...sides(), ...options }
    for (const key of Object.keys(given)) if (given[key] === undefined) delete given[key]
    const error = expectError(
      thrown(() => new IntelligentRouter(given)),
      'ERR_CONFIG',
      { path: where },
    )
    expect(error.message.startsWith(where)).toBe(true)
  })

  test('an unknown strategy is answered with those that there are', () => {
    const error = thrown(() => new IntelligentRouter({ ...sides(), strategy: 'x' }))
    for (const name of ['edge-first', 'cloud-first', 'auto', 'hybrid']) expect(error.message).toContain(name)
  })

  test('no options, an unknown event, a closed router', async () => {
    expectError(
      thrown(() => new IntelligentRouter()),
      'ERR_CONFIG',
      { path: 'options' },
    )
    const made = router(sides())
    expectError(
      thrown(() => made.on('everything', () => {})),
      'ERR_CONFIG',
      { path: 'event' },
    )
    expectError(
      thrown(() => made.on('decision')),
      'ERR_CONFIG',
      { path: 'listener' },
    )
    expectError(
      thrown(() => made.decide(undefined)),
      'ERR_SERIALIZATION',
    )
    await made.cleanup()
    expectError(await rejection(run(made, ['a'])), 'ERR_CLOSED')
    expectError(await rejection(made.initialize()), 'ERR_CLOSED')
  })
})

describe('sessions', () => {
  test('a node of the application keeps its state from item to item', async () => {
    const counts = {
      async *process(source) {
        let count = 0
        for await (const { data } of source) yield `${data}${(count += 1)}`
        yield `end ${count}`
      },
    }
    const made = router({ edge: counts, cloud: marks('cloud'), strategy: 'edge-first' })
    const packets = await collect(made.process(['a', 'b', 'c']))
    expect(packets.map((packet) => packet.data)).toEqual(['a1', 'b2', 'c3', 'end 3'])
  })

  test('a module keeps a session’s state; closeSession ends it on both sides', async () => {
    const edge = node(fixture('leaky_state'))
    const closed = []
    const cloud = { ...marks('cloud'), closeSession: (id) => void closed.push(id) }
    const made = router({ edge, cloud, strategy: 'edge-first' })
    const count = async () => (await collect(made.process(['x'], { sessionId: 's' }))).map((packet) => packet.data.readUInt32LE(0))
    expect([await count(), await count()]).toEqual([[1], [2]])
    await made.closeSession('s')
    expect(await count()).toEqual([1])
    expect(closed).toEqual(['s'])
  })

  test('a router in a router, and pipelines as its sides', async () => {
    const inner = new IntelligentRouter({ edge: marks('edge', () => true), cloud: marks('inner'), strategy: 'edge-first' })
    const made = router({ edge: new Pipeline([inner, marks('after')]), cloud: marks('cloud'), strategy: 'edge-first' })
    expect(await run(made, ['a', 'b'])).toEqual([
      ['a inner after', 'edge', false],
      ['b inner after', 'edge', false],
    ])
  })

  test('abort and break stop both sides', async () => {
    const controller = new AbortController()
    const stuck = {
      async *process(source, { signal }) {
        for await (const packet of source) {
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
          yield packet
        }
      },
    }
    const made = router({ edge: stuck, cloud: marks('cloud'), strategy: 'edge-first' })
    const stream = made.process(['a'], { signal: controller.signal })
    const next = rejection(stream.next())
    await until(() => made.metrics().items === 1, 'the item is on its way')
    controller.abort(new Error('enough'))
    expect((await next).message).toBe('enough')
    await until(() => made.metrics().inFlight.edge === 0, 'nothing is under way')
  })
})
