// Pipelines of every kind of node, as a user sees them.

import { describe, expect, onTestFinished, test } from 'vitest'
import { api, collect, deferred, expectError, fixture, guest, node, rejection, thrown, until, within } from './support/index.mjs'

const { IntelligentRouter, Node, Pipeline, RemoteObjectNode, RemoteProcessingService, WasmEdgeNode } = api

const audio = (value, length = 160) => ({ samples: new Float32Array(length).fill(value), sampleRate: 16_000 })
const gain = (factor, name = `gain-${factor}`) => node(guest('gain'), { name, config: { gain: factor } })
const first = (packet) => Number(packet.data.samples[0].toFixed(4))

function pipeline(nodes, options) {
  const made = new Pipeline(nodes, options)
  onTestFinished(() => made.cleanup())
  return made
}

async function* pass(source) {
  for await (const packet of source) yield packet
}

/** A node that notes what is asked of it. */
class Noting extends Node {
  calls = []
  async initialize() {
    this.calls.push('initialize')
  }
  async *process(source, { sessionId }) {
    this.calls.push(`process ${sessionId}`)
    try {
      for await (const packet of source) yield packet
    } finally {
      this.calls.push('done')
    }
  }
  async closeSession(sessionId) {
    this.calls.push(`closeSession ${sessionId}`)
  }
  metrics() {
    return { calls: this.calls.length }
  }
  async cleanup() {
    this.calls.push('cleanup')
  }
}

async function service(nodes) {
  const made = new RemoteProcessingService({ port: 0 })
  for (const [name, entry] of Object.entries(nodes)) made.register(name, entry)
  onTestFinished(() => made.close({ graceMs: 1 }))
  const { port } = await made.listen()
  return { host: '127.0.0.1', port }
}

describe('nodes of every kind', () => {
  test('native nodes hand packets to each other', async () => {
    const packets = await pipeline([gain(2), gain(3), gain(4)]).run([audio(0.01), audio(0.02)], { sessionId: 's' })
    expect(packets.map(first)).toEqual([0.24, 0.48])
    expect(packets.map((packet) => packet.sequence)).toEqual([0, 1])
    expect(packets.every((packet) => packet.sessionId === 's' && packet.kind === 'audio')).toBe(true)
  })

  test('modules, remote nodes, objects, classes, generators and pipelines in one', async () => {
    const where = await service({ Half: (packet) => ({ ...packet.data, samples: packet.data.samples.map((sample) => sample / 2) }) })
    const remote = new RemoteObjectNode({ ...where, nodeType: 'Half', format: 'pickle' })
    const mixed = pipeline([
      gain(4),
      remote,
      new Noting(),
      { name: 'object', process: pass },
      new Pipeline([gain(3), pass]),
      async function* label(source) {
        for await (const packet of source) yield { data: `${first(packet)}`, metadata: { from: packet.sequence } }
      },
    ])
    const packets = await mixed.run([audio(0.05), audio(0.1)])
    expect(packets.map((packet) => [packet.kind, packet.data, packet.sequence])).toEqual([
      ['text', '0.3', 0],
      ['text', '0.6', 1],
    ])
    expect(packets[1].metadata).toEqual({ from: 1 })
  })

  test('a remote node that streams', async () => {
    const where = await service({
      async *Sum(source) {
        let sum = 0
        for await (const packet of source) yield { data: { sum: (sum += packet.data) }, kind: 'json' }
      },
    })
    const remote = new RemoteObjectNode({ ...where, nodeType: 'Sum', streaming: true })
    const packets = await pipeline([pass, remote, pass]).run([1, 2, 3])
    expect(packets.map((packet) => packet.data)).toEqual([{ sum: 1 }, { sum: 3 }, { sum: 6 }])
  })

  test('an empty pipeline lets everything through', async () => {
    const packets = await pipeline([]).run(['a', audio(1), { deep: [1] }])
    expect(packets.map((packet) => packet.kind)).toEqual(['text', 'audio', 'json'])
    expect(packets.map((packet) => packet.sequence)).toEqual([0, 1, 2])
  })

  test('a node may answer with nothing, with several packets and with more at the end', async () => {
    const packets = await pipeline([
      async function* odd(source) {
        let count = 0
        for await (const { data } of source) {
          count++
          if (data % 2 === 1) yield* [data, data * 10]
        }
        yield count
      },
      pass,
    ]).run([1, 2, 3])
    expect(packets.map((packet) => [packet.data, packet.sequence])).toEqual([
      [1, 0],
      [10, 0],
      [3, 2],
      [30, 2],
      [3, 3],
    ])
  })

  test('time stamps, metadata and bytes go through unharmed', async () => {
    const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index)
    const [packet] = await pipeline([pass, node(guest('echo')), pass]).run([{ data: bytes, timestampMs: 12.5, metadata: { a: [1] } }], {
      metadata: { b: 2 },
    })
    expect(Buffer.compare(packet.data, bytes)).toBe(0)
    expect(packet).toMatchObject({ kind: 'binary', timestampMs: 12.5, metadata: { a: [1], b: 2 } })
  })

  test('a trace goes to every node', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const seen = []
    const where = await service({
      Trace: (packet, info) => {
        seen.push(info.traceparent)
        return packet
      },
    })
    const noting = {
      async *process(source, options) {
        seen.push(options.traceparent)
        yield* source
      },
    }
    await pipeline([noting, new RemoteObjectNode({ ...where, nodeType: 'Trace' })]).run(['x'], { traceparent })
    expect(seen).toEqual([traceparent, traceparent])
  })
})

describe('order, sessions and backpressure', () => {
  test('nothing is read before somebody asks, and only as much as buffers allow', async () => {
    let read = 0
    const source = (function* () {
      for (;;) yield audio((read += 1) / 1000)
    })()
    const stream = pipeline([gain(1), pass, gain(1)], { bufferSize: 2 }).process(source)
    await new Promise((resolve) => setImmediate(resolve))
    expect(read).toBe(0)
    await stream.next()
    let before
    do {
      before = read
      await new Promise((resolve) => setTimeout(resolve, 20))
    } while (read !== before)
    expect(read).toBeLessThan(40)
    await stream.return()
  })

  test('packets keep their order however long a node takes for each', async () => {
    const uneven = {
      async *process(source) {
        for await (const packet of source) {
          if (packet.data % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 2))
          yield packet
        }
      },
    }
    const packets = await pipeline([uneven, pass, uneven]).run(Array.from({ length: 60 }, (_, index) => index))
    expect(packets.map((packet) => packet.data)).toEqual(Array.from({ length: 60 }, (_, index) => index))
  })

  test('a session keeps its state from stream to stream; without a name each stream has its own', async () => {
    const counter = node(fixture('leaky_state'))
    const made = pipeline([pass, counter])
    const count = async (options) => (await made.run(['x'], options)).map((packet) => packet.data.readUInt32LE(0))
    expect([await count({ sessionId: 'a' }), await count({ sessionId: 'a' }), await count({ sessionId: 'b' })]).toEqual([[1], [2], [1]])
    expect([await count(), await count()]).toEqual([[1], [1]])
    await made.closeSession('a')
    expect(await count({ sessionId: 'a' })).toEqual([1])
    await until(() => counter.metrics().sessionsOpen === 2, 'streams without a name leave no session')
  })

  test('a thousand sessions side by side through five nodes, read slowly', async () => {
    const [echo, echo2] = [
      node(guest('echo'), { sessions: { max: 2000 } }),
      node(guest('echo'), { sessions: { max: 2000 }, stateless: true }),
    ]
    const made = pipeline([echo, pass, echo2, pass, echo2], { bufferSize: 2 })
    const sessions = Array.from({ length: 1000 }, async (_, session) => {
      const seen = []
      for await (const packet of made.process(['a', 'b', 'c', 'd'], { sessionId: `s${session}` })) {
        seen.push(packet.data.toString())
        await new Promise((resolve) => setImmediate(resolve))
        expect(packet.sessionId).toBe(`s${session}`)
      }
      return seen.join('')
    })
    expect(new Set(await Promise.all(sessions))).toEqual(new Set(['abcd']))
  }, 60_000)

  test('sessions do not wait for one that hangs', async () => {
    const gate = deferred()
    const made = pipeline([
      {
        async *process(source, { sessionId }) {
          for await (const packet of source) {
            if (sessionId === 'slow') await gate.promise
            yield packet
          }
        },
      },
    ])
    const slow = made.run(['x'], { sessionId: 'slow' })
    expect(await within(made.run(['y'], { sessionId: 'quick' }))).toHaveLength(1)
    gate.resolve()
    expect(await slow).toHaveLength(1)
  })
})

describe('the end of a stream', () => {
  test('break closes the source and every node', async () => {
    let closed = false
    async function* endless() {
      try {
        for (;;) yield 'x'
      } finally {
        closed = true
      }
    }
    const noting = new Noting()
    for await (const packet of pipeline([noting, pass]).process(endless())) if (packet.sequence === 3) break
    expect(closed).toBe(true)
    await until(() => noting.calls.includes('done'), 'the generator ends')
    expect(noting.calls.some((call) => call.startsWith('closeSession anonymous-'))).toBe(true)
  })

  test('an abort rejects with the signal’s reason and stops the nodes', async () => {
    const controller = new AbortController()
    const reason = new Error('enough')
    let seen
    const made = pipeline([
      {
        async *process(source, { signal }) {
          for await (const packet of source) {
            yield packet
            await new Promise((resolve) => signal.addEventListener('abort', resolve))
            seen = true
          }
        },
      },
    ])
    const stream = made.process(['x', 'y'], { signal: controller.signal })
    await stream.next()
    const next = stream.next()
    controller.abort(reason)
    expect(await rejection(next)).toBe(reason)
    await until(() => seen, 'the node hears of it')
  })

  test('a node that is content ends the stream for all', async () => {
    let closed = false
    async function* endless() {
      try {
        for (let item = 0; ; item++) yield item
      } finally {
        closed = true
      }
    }
    async function* two(source) {
      let left = 2
      for await (const packet of source) {
        yield packet
        if (--left === 0) return
      }
    }
    expect(await within(collect(pipeline([pass, two, pass]).process(endless())))).toHaveLength(2)
    expect(closed).toBe(true)
  })

  test('cleanup ends streams with ERR_CLOSED and cleans every node up, once', async () => {
    const noting = new Noting()
    const made = new Pipeline([noting, pass])
    const stream = made.process(
      (async function* () {
        yield 'x'
        await new Promise(() => {})
      })(),
    )
    await stream.next()
    const next = rejection(stream.next())
    await Promise.all([made.cleanup(), made.cleanup()])
    expectError(await next, 'ERR_CLOSED')
    expect(noting.calls.filter((call) => call === 'cleanup').length).toBeGreaterThan(0)
    expectError(await rejection(made.run(['x'])), 'ERR_CLOSED')
    expectError(await rejection(made.initialize()), 'ERR_CLOSED')
  })

  test('managedExecution initializes, runs and cleans up, also after a failure', async () => {
    const noting = new Noting()
    const value = await new Pipeline([noting]).managedExecution(async (made) => (await made.run(['x'])).length)
    expect([value, noting.calls[0], noting.calls.at(-1)]).toEqual([1, 'initialize', 'cleanup'])
    const failing = new Noting()
    const error = await rejection(
      new Pipeline([failing]).managedExecution(() => {
        throw new Error('mine')
      }),
    )
    expect([error.message, failing.calls.at(-1)]).toEqual(['mine', 'cleanup'])
  })
})

describe('failures', () => {
  const failAt = (sequence) =>
    async function* fails(source) {
      for await (const packet of source) {
        if (packet.sequence === sequence) throw new Error('kaputt')
        yield packet
      }
    }

  test('a generator that throws ends the stream, after what was answered before it', async () => {
    const seen = []
    const made = pipeline([gain(1), failAt(2), gain(1)])
    const error = await rejection(
      (async () => {
        for await (const packet of made.process([1, 2, 3, 4].map((value) => audio(value)))) seen.push(packet.sequence)
      })(),
    )
    expectError(error, 'ERR_NODE', { nodeName: 'fails' })
    expect(error.cause.message).toBe('kaputt')
    expect(error.sessionId).toMatch(/^anonymous-/)
    expect(seen).toEqual([0, 1])
  })

  test('what is behind a node that failed puts out nothing that it only holds', async () => {
    async function* holds(source) {
      let held
      for await (const packet of source) held = packet
      yield held
    }
    const error = await rejection(pipeline([failAt(1), holds]).run(['a', 'b']))
    expectError(error, 'ERR_NODE', { nodeName: 'fails' })
  })

  test('a module that traps ends it with its own error', async () => {
    const error = await rejection(pipeline([pass, node(fixture('unreachable')), pass]).run(['x']))
    expectError(error, 'ERR_WASM_TRAP', { trap: 'unreachable' })
  })

  test('skip leaves items out, emit says what happened to them', async () => {
    for (const [onError, kinds] of [
      ['skip', ['audio', 'audio']],
      ['emit', ['audio', 'json', 'audio']],
    ]) {
      const packets = await pipeline([gain(1), failAt(1), gain(1)], { onError }).run([1, 2, 3].map((value) => audio(value)))
      expect(packets.map((packet) => packet.kind)).toEqual(kinds)
      const failed = packets.find((packet) => packet.kind === 'json')
      if (failed) {
        expect(failed).toMatchObject({ sequence: 1, metadata: { error: 'ERR_NODE' } })
        expect(failed.data.error).toMatchObject({ code: 'ERR_NODE', nodeName: 'fails', retryable: false, name: 'NodeError' })
      }
    }
  })

  test('a module’s failures are skipped and emitted as well', async () => {
    const packets = await pipeline([node(fixture('unreachable')), pass], { onError: 'emit' }).run(['a', 'b'])
    expect(packets.map((packet) => [packet.sequence, packet.data.error.code])).toEqual([
      [0, 'ERR_WASM_TRAP'],
      [1, 'ERR_WASM_TRAP'],
    ])
    expect(await pipeline([node(fixture('unreachable'))], { onError: 'skip' }).run(['a', 'b'])).toEqual([])
  })

  test('a remote node’s failures are skipped', async () => {
    const where = await service({
      Picky: (packet) => {
        if (packet.data === 'bad') throw new Error('no')
        return packet.data
      },
    })
    const remote = new RemoteObjectNode({ ...where, nodeType: 'Picky', maxRetries: 0 })
    const packets = await pipeline([remote], { onError: 'skip' }).run(['a', 'bad', 'c'])
    expect(packets.map((packet) => packet.data)).toEqual(['a', 'c'])
  })

  test('a generator that never goes on fails after the time for an item', async () => {
    const made = pipeline([
      async function* stuck(source) {
        for await (const _ of source) await new Promise(() => {})
      },
    ])
    expectError(await rejection(within(made.run(['x'], { timeoutMs: 100 }))), 'ERR_NODE', { nodeName: 'stuck' })
  })

  test('a generator that does not end after its items fails as well', async () => {
    const made = pipeline([
      async function* endless(source) {
        for await (const packet of source) yield packet
        await new Promise(() => {})
      },
    ])
    const seen = []
    const error = await rejection(
      (async () => {
        for await (const packet of made.process(['x'], { timeoutMs: 100 })) seen.push(packet.data)
      })(),
    )
    expectError(error, 'ERR_NODE', { nodeName: 'endless' })
    expect(seen).toEqual(['x'])
  })

  test('a source that fails, fails the stream, after what it had given', async () => {
    const seen = []
    const error = await rejection(
      (async () => {
        const source = (async function* () {
          yield 'a'
          throw new Error('mine')
        })()
        for await (const packet of pipeline([pass, pass]).process(source)) seen.push(packet.data)
      })(),
    )
    expect(error.message).toBe('mine')
    expect(seen).toEqual(['a'])
  })

  test('a node that cannot be initialized says so before anything runs', async () => {
    const made = pipeline([pass, new WasmEdgeNode('/not/there.wasm', { name: 'missing' })])
    expectError(await rejection(made.initialize()), 'ERR_MODULE_NOT_FOUND', { nodeName: 'missing' })
    expectError(await rejection(made.run(['x'])), 'ERR_MODULE_NOT_FOUND')
  })
})

describe('what cannot be', () => {
  test('no nodes are refused with their place', () => {
    for (const bad of [{}, { name: 'x' }, 1, null, 'node', [], new (class extends Node {})()]) {
      expectError(
        thrown(() => new Pipeline([pass, bad])),
        'ERR_CONFIG',
        { path: 'nodes.1' },
      )
    }
    expectError(
      thrown(() => new Pipeline('nodes')),
      'ERR_CONFIG',
      { path: 'nodes' },
    )
  })

  test('options are checked by name, type and range', () => {
    for (const [options, path] of [
      [{ bufferSize: 0 }, 'bufferSize'],
      [{ bufferSize: 1.5 }, 'bufferSize'],
      [{ bufferSize: 'many' }, 'bufferSize'],
      [{ onError: 'ignore' }, 'onError'],
      [{ name: 7 }, 'name'],
      [{ buffersize: 1 }, 'buffersize'],
      ['fast', 'options'],
    ]) {
      expectError(
        thrown(() => new Pipeline([], options)),
        'ERR_CONFIG',
        { path },
      )
    }
  })

  test('neighbours without a kind in common are refused before anything runs', async () => {
    class Words extends Node {
      accepts = ['text']
      produces = ['json']
      async *process(source) {
        yield* source
      }
    }
    const error = await rejection(pipeline([new Words({ name: 'words' }), new Words({ name: 'again' })]).initialize())
    expectError(error, 'ERR_CONFIG', { path: 'nodes.1' })
    expect(error.message).toMatch(/'again' accepts text, 'words' before it puts out json/)
    expectError(await rejection(pipeline([node(guest('echo'), { outputKind: 'binary' }), new Words()]).initialize()), 'ERR_CONFIG')
    expectError(
      thrown(() => new Pipeline([{ process: pass, accepts: ['sound'] }])),
      'ERR_CONFIG',
      { path: 'nodes.0.accepts.0' },
    )
  })

  test('nodes are added, found and removed until the pipeline is used', async () => {
    const made = pipeline()
    expect(made.addNode(gain(2, 'loud')).addNode(pass)).toBe(made)
    expect(made.getNode('loud')).toBe(made.nodes[0])
    expect([made.removeNode('pass'), made.removeNode('pass'), made.nodes.length]).toEqual([true, false, 1])
    await made.run([audio(1)])
    const error = thrown(() => made.addNode(pass))
    expect(error.code).toBe('ERR_PIPELINE')
    expect(error).toBeInstanceOf(api.PipelineError)
    expect(thrown(() => made.removeNode('loud')).code).toBe('ERR_PIPELINE')
    expectError(
      thrown(() => pipeline().addNode({})),
      'ERR_CONFIG',
      { path: 'nodes.0' },
    )
  })

  test('a bare string or byte array is no source', async () => {
    for (const source of ['text', new Uint8Array(4), 7, undefined]) {
      expectError(await rejection(collect(pipeline([pass]).process(source))), 'ERR_CONFIG', { path: 'source' })
    }
  })

  test('figures of all nodes, the application’s own included', async () => {
    const made = pipeline([gain(2, 'loud'), new Noting({ name: 'noting' })])
    await made.run([audio(1)])
    const { nodes } = made.metrics()
    expect(nodes[0]).toMatchObject({ name: 'loud', metrics: { items: 1 } })
    expect(nodes[1]).toMatchObject({ name: 'noting', metrics: { calls: expect.any(Number) } })
  })
})

describe('nodes of the application', () => {
  test('the base class has everything but process', async () => {
    class Mine extends Node {}
    const mine = new Mine({ config: { a: 1 } })
    expect([mine.name, mine.config]).toEqual(['Mine', { a: 1 }])
    expect(await Promise.all([mine.initialize(), mine.closeSession('s'), mine.cleanup()])).toEqual([undefined, undefined, undefined])
    expect(typeof mine[Symbol.asyncDispose]).toBe('function')
  })

  test('initialize is called once, before the first stream', async () => {
    const noting = new Noting()
    const made = pipeline([noting])
    await Promise.all([made.run(['a'], { sessionId: 's' }), made.run(['b'], { sessionId: 't' })])
    expect(noting.calls.filter((call) => call === 'initialize')).toHaveLength(1)
    expect(noting.calls[0]).toBe('initialize')
    expect(noting.calls.some((call) => call.startsWith('closeSession'))).toBe(false)
  })

  test('an initialize that fails fails the pipeline, and may be tried again', async () => {
    let tries = 0
    const made = pipeline([
      {
        name: 'late',
        async initialize() {
          if (++tries === 1) throw new Error('not yet')
        },
        process: pass,
      },
    ])
    expectError(await rejection(made.initialize()), 'ERR_NODE', { nodeName: 'late' })
    expect(await made.run(['x'])).toHaveLength(1)
  })

  test('an error of ours that a node passes on keeps its code', async () => {
    const inner = node(fixture('unreachable'))
    const made = pipeline([{ name: 'wrapper', process: (source) => inner.process(source) }])
    const error = await rejection(made.run(['x']))
    expect([error.code, error.cause.trap]).toEqual(['ERR_WASM_TRAP', 'unreachable'])
  })

  test('a router is a node like any other', async () => {
    const router = new IntelligentRouter({ edge: gain(2), cloud: { process: pass } })
    const [packet] = await pipeline([pass, router, pass]).run([audio(0.5)])
    expect([first(packet), packet.route.target]).toEqual([1, 'edge'])
  })
})
