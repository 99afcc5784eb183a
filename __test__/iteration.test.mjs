// The pull semantics of `process`: when the source is read, how far ahead, and how each kind of end closes everything.

import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { collect, count, deferred, expectError, fixture, guest, node, rejection, until, within } from './support/index.mjs'

/** Most items that may be read beyond what was handed out: documented as eight. */
const READ_AHEAD = 8

const echo = (options) => node(guest('echo'), { outputKind: 'text', ...options })

/** A source that notes how it was used. */
function watched(items, { async = false } = {}) {
  const seen = { reads: 0, returns: 0, throws: 0 }
  const iterator = items[Symbol.iterator]()
  const wrap = (value) => (async ? Promise.resolve(value) : value)
  const source = {
    seen,
    [async ? Symbol.asyncIterator : Symbol.iterator]: () => ({
      next() {
        seen.reads += 1
        return wrap(iterator.next())
      },
      return(value) {
        seen.returns += 1
        return wrap({ value, done: true })
      },
    }),
  }
  return source
}
function* naturals() {
  for (let i = 0; ; i += 1) yield String(i)
}
/** No instance and no session of the stream is left. */
const released = (made) => until(() => made.metrics().instancesLive === 0 && made.metrics().sessionsOpen === 0, 'instances released')

describe('sources', () => {
  const letters = ['a', 'b', 'c']
  const sources = {
    array: () => letters,
    Set: () => new Set(letters),
    'sync generator': function* () {
      yield* letters
    },
    'async generator': async function* () {
      yield* letters
    },
    ReadableStream: () =>
      new ReadableStream({
        start(controller) {
          for (const letter of letters) controller.enqueue(letter)
          controller.close()
        },
      }),
    'Node Readable': () => Readable.from(letters),
    'Node Readable of bytes': () =>
      Readable.from(
        letters.map((letter) => Buffer.from(letter)),
        { objectMode: false },
      ),
    'iterable of promises': () => letters.map((letter) => Promise.resolve(letter)),
    'iterator without return': () => {
      const iterator = letters[Symbol.iterator]()
      return { [Symbol.iterator]: () => ({ next: () => iterator.next() }) }
    },
    'function with an iterator': () => Object.assign(() => {}, { [Symbol.iterator]: () => letters[Symbol.iterator]() }),
    'another node': () => echo().process(letters),
  }
  test.each(Object.entries(sources))('%s', async (_, make) => {
    const packets = await collect(echo().process(make()))
    expect(packets.map((packet) => packet.data).join('')).toBe('abc')
  })

  test('an iterable is asked for its iterator once, through the async one where it has both', async () => {
    let asked = 0
    const source = {
      [Symbol.iterator]: () => {
        throw new Error('the sync iterator')
      },
      async *[Symbol.asyncIterator]() {
        asked += 1
        yield 'x'
      },
    }
    expect(await collect(echo().process(source))).toHaveLength(1)
    expect(asked).toBe(1)
  })
})

describe('pull', () => {
  test('nothing is read before the first next', async () => {
    const source = watched(naturals())
    const made = echo()
    await made.initialize()
    const stream = made.process(source)
    await made.call('x')
    expect(source.seen.reads).toBe(0)
    expect(made.metrics().items).toBe(1)
    expect((await stream.next()).value.data).toBe('0')
    expect(source.seen.reads).toBeGreaterThanOrEqual(1)
    await stream.return()
  })

  test.each([false, true])('a slow consumer holds a never-ending source back (async source: %s)', async (async) => {
    const source = watched(naturals(), { async })
    const made = echo()
    const stream = made.process(source)
    for (let taken = 1; taken <= 50; taken += 1) {
      expect((await stream.next()).value.data).toBe(String(taken - 1))
      // Everything that was read is answered before the reads are counted.
      await until(() => made.metrics().queued === 0 && made.metrics().items === source.seen.reads)
      expect(source.seen.reads).toBeLessThanOrEqual(taken + READ_AHEAD)
    }
    await stream.return()
    expect(source.seen.returns).toBe(1)
    await released(made)
  })

  test('many outputs per input do not make it read on', async () => {
    const source = watched(naturals())
    const made = node(fixture('many_emits'))
    const stream = made.process(source)
    for (let taken = 0; taken < 30; taken += 1) await stream.next()
    await until(() => made.metrics().queued === 0)
    expect(source.seen.reads).toBeLessThanOrEqual(10 + READ_AHEAD)
    await stream.return()
  })

  test('a packet is handed out as soon as it is there, though the source has no more for now', async () => {
    const gate = deferred()
    const stream = echo().process(
      (async function* () {
        yield 'first'
        await gate.promise
        yield 'second'
      })(),
    )
    expect((await within(stream.next())).value.data).toBe('first')
    const second = stream.next()
    gate.resolve()
    expect((await second).value.data).toBe('second')
    expect(await stream.next()).toEqual({ value: undefined, done: true })
  })

  test('concurrent next calls are answered in order, those too many with the end', async () => {
    const stream = echo().process(['a', 'b', 'c'])
    const answers = await Promise.all(Array.from({ length: 6 }, () => stream.next()))
    expect(answers.map(({ value, done }) => (done ? 'end' : value.data))).toEqual(['a', 'b', 'c', 'end', 'end', 'end'])
    expect(await stream.next()).toEqual({ value: undefined, done: true })
  })

  test('a long stream is whole and in order', async () => {
    const total = 20_000
    let expected = 0
    function* source() {
      for (let i = 0; i < total; i += 1) yield String(i)
    }
    for await (const packet of echo().process(source())) {
      expect(packet.sequence).toBe(expected)
      expect(packet.data).toBe(String(expected++))
    }
    expect(expected).toBe(total)
  })

  test('streams of many sessions run side by side, each in order', async () => {
    const made = node(fixture('leaky_state'))
    const counts = await Promise.all(Array.from({ length: 40 }, async () => (await collect(made.process(Array(25).fill('x')))).map(count)))
    for (const one of counts) expect(one).toEqual(Array.from({ length: 25 }, (_, i) => i + 1))
  })

  test('two streams of one session share its state', async () => {
    const made = node(fixture('leaky_state'))
    const [one, two] = await Promise.all([
      collect(made.process(['x', 'x'], { sessionId: 's' })),
      collect(made.process(['x', 'x'], { sessionId: 's' })),
    ])
    expect([...one, ...two].map(count).sort()).toEqual([1, 2, 3, 4])
  })

  test('an unused stream holds nothing', async () => {
    const made = echo()
    await made.initialize()
    const source = watched(naturals())
    made.process(source)
    expect(made.metrics()).toMatchObject({ sessionsOpened: 0, instancesCreated: 0 })
    expect(source.seen.reads).toBe(0)
  })
})

describe('early ends', () => {
  const shapes = [false, true]

  test.each(shapes)('break closes the source and releases the instance (async source: %s)', async (async) => {
    const source = watched(naturals(), { async })
    const made = echo()
    let taken = 0
    for await (const packet of made.process(source)) {
      expect(packet.data).toBe(String(taken))
      taken += 1
      if (taken === 5) break
    }
    expect(source.seen.returns).toBe(1)
    await released(made)
  })

  test('a generator’s finally block runs', async () => {
    let cleaned = false
    async function* source() {
      try {
        yield* naturals()
      } finally {
        await Promise.resolve()
        cleaned = true
      }
    }
    for await (const _ of echo().process(source())) break
    // The loop does not wait for it if the source was just asked for an item, which may never come.
    await until(() => cleaned)
  })

  test('leaving the loop waits until the source has closed', async () => {
    let closed = false
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ value: 'x', done: false }),
        return: async () => {
          await new Promise((resolve) => setImmediate(resolve))
          closed = true
          return { value: undefined, done: true }
        },
      }),
    }
    const made = echo()
    const stream = made.process(source)
    await stream.next()
    await until(() => made.metrics().items >= 8 && made.metrics().queued === 0)
    await stream.return()
    expect(closed).toBe(true)
  })

  test('a ReadableStream is cancelled, a Node Readable destroyed', async () => {
    let cancelled = false
    const web = new ReadableStream({
      pull(controller) {
        controller.enqueue('x')
      },
      cancel() {
        cancelled = true
      },
    })
    for await (const _ of echo().process(web)) break
    await until(() => cancelled)
    const readable = Readable.from(naturals())
    for await (const _ of echo().process(readable)) break
    await until(() => readable.destroyed)
  })

  test('an exception in the loop’s body closes the source and is the caller’s', async () => {
    const source = watched(naturals())
    const mine = new Error('mine')
    const error = await rejection(
      (async () => {
        for await (const _ of echo().process(source)) throw mine
      })(),
    )
    expect(error).toBe(mine)
    expect(source.seen.returns).toBe(1)
  })

  test('return gives its value, and again', async () => {
    const source = watched(naturals())
    const stream = echo().process(source)
    await stream.next()
    expect(await stream.return('value')).toEqual({ value: 'value', done: true })
    expect(await stream.return(2)).toEqual({ value: 2, done: true })
    expect(await stream.next()).toEqual({ value: undefined, done: true })
    expect(source.seen.returns).toBe(1)
  })

  test('return before the first next never touches the source', async () => {
    const source = watched(naturals())
    const stream = echo().process(source)
    expect(await stream.return()).toEqual({ value: undefined, done: true })
    expect(await stream.next()).toEqual({ value: undefined, done: true })
    expect(source.seen).toEqual({ reads: 0, returns: 0, throws: 0 })
  })

  test('throw rejects with its error and closes the source', async () => {
    const source = watched(naturals())
    const made = echo()
    const stream = made.process(source)
    await stream.next()
    const mine = new Error('mine')
    expect(await rejection(stream.throw(mine))).toBe(mine)
    expect(await stream.next()).toEqual({ value: undefined, done: true })
    expect(source.seen.returns).toBe(1)
    await released(made)
  })

  test('return answers those who wait', async () => {
    const gate = deferred()
    const stream = echo().process(
      (async function* () {
        yield 'x'
        await gate.promise
      })(),
    )
    await stream.next()
    const waiting = [stream.next(), stream.next()]
    expect(await within(stream.return('r'))).toEqual({ value: 'r', done: true })
    expect(await within(Promise.all(waiting))).toEqual(Array(2).fill({ value: undefined, done: true }))
    gate.resolve()
  })

  test('return while a guest spins stops it', async () => {
    const made = node(fixture('spin'))
    const stream = made.process(['x'])
    const waiting = stream.next()
    await until(() => made.metrics().items === 1)
    await within(stream.return())
    expect(await within(waiting)).toEqual({ value: undefined, done: true })
    await released(made)
    expect(made.metrics().instancesLost).toBe(1)
  })

  test('disposal closes everything', async () => {
    const source = watched(naturals())
    const made = echo()
    const stream = made.process(source)
    await stream.next()
    await stream[Symbol.asyncDispose]()
    expect(source.seen.returns).toBe(1)
    await released(made)
  })

  test('a stream is its own async iterator', () => {
    const stream = echo().process([])
    expect(stream[Symbol.asyncIterator]()).toBe(stream)
  })
})

describe('abort', () => {
  test('before the first next: the signal’s own reason, and the source is not touched', async () => {
    const source = watched(naturals())
    const made = echo()
    const reason = new Error('not today')
    const stream = made.process(source, { signal: AbortSignal.abort(reason) })
    expect(await rejection(stream.next())).toBe(reason)
    expect(await stream.next()).toEqual({ value: undefined, done: true })
    expect(source.seen.reads).toBe(0)
    expect(made.metrics().sessionsOpened).toBe(0)
  })

  test('between process and the first next', async () => {
    const source = watched(naturals())
    const controller = new AbortController()
    const stream = echo().process(source, { signal: controller.signal })
    controller.abort('why not')
    expect(await rejection(stream.next())).toBe('why not')
    expect(source.seen.reads).toBe(0)
  })

  test('while a guest spins: at once, and the instance goes', async () => {
    const made = node(fixture('spin'))
    const source = watched(naturals())
    const controller = new AbortController()
    const stream = made.process(source, { signal: controller.signal })
    const waiting = [stream.next(), stream.next()]
    await until(() => made.metrics().items === 1)
    const reason = { custom: 'reason' }
    const since = performance.now()
    controller.abort(reason)
    expect(await rejection(waiting[0])).toBe(reason)
    expect(performance.now() - since).toBeLessThan(2000)
    expect(await waiting[1]).toEqual({ value: undefined, done: true })
    expect(source.seen.returns).toBe(1)
    await released(made)
  })

  test('while the source has nothing to give', async () => {
    const gate = deferred()
    const controller = new AbortController()
    let closed = false
    const stream = echo().process(
      (async function* () {
        try {
          yield 'x'
          await gate.promise
        } finally {
          closed = true
        }
      })(),
      { signal: controller.signal },
    )
    await stream.next()
    const waiting = stream.next()
    controller.abort()
    expect(await rejection(within(waiting))).toBe(controller.signal.reason)
    expect(controller.signal.reason.name).toBe('AbortError')
    gate.resolve()
    await until(() => closed)
  })

  test('while the consumer is busy: its next next says so', async () => {
    const controller = new AbortController()
    const source = watched(naturals())
    const stream = echo().process(source, { signal: controller.signal })
    await stream.next()
    controller.abort('stop')
    expect(await rejection(stream.next())).toBe('stop')
    expect(source.seen.returns).toBe(1)
  })

  test('after the end it means nothing', async () => {
    const controller = new AbortController()
    const stream = echo().process(['x'], { signal: controller.signal })
    expect(await collect(stream)).toHaveLength(1)
    controller.abort()
    expect(await stream.next()).toEqual({ value: undefined, done: true })
  })

  test('AbortSignal.timeout works', async () => {
    const error = await rejection(collect(node(fixture('spin')).process(['x'], { signal: AbortSignal.timeout(50) })))
    expect(error.name).toBe('TimeoutError')
  })

  test('one abort of many streams, and no listener is left behind', async () => {
    const made = echo()
    const signal = new AbortController().signal
    let listeners = 0
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
    signal.addEventListener = (...args) => {
      listeners += 1
      return add(...args)
    }
    signal.removeEventListener = (...args) => {
      listeners -= 1
      return remove(...args)
    }
    for (let i = 0; i < 5; i += 1) await collect(made.process(['x'], { signal }))
    for await (const _ of made.process(['x', 'y'], { signal })) break
    expect(listeners).toBe(0)
  })

  test('an abort of one stream leaves another of the same session alone', async () => {
    const made = node(fixture('leaky_state'))
    const controller = new AbortController()
    const aborted = made.process(naturals(), { sessionId: 's', signal: controller.signal })
    await aborted.next()
    controller.abort('gone')
    expect(await rejection(aborted.next())).toBe('gone')
    const packets = await collect(made.process(['x'], { sessionId: 's' }))
    expect(count(packets[0])).toBeGreaterThan(1)
  })
})

describe('errors', () => {
  test.each(['sync', 'async'])('a source that throws (%s): what came before is answered, then its own error', async (shape) => {
    const mine = new Error('source broke')
    function* sync() {
      yield 'a'
      yield 'b'
      throw mine
    }
    async function* async() {
      yield* sync()
    }
    const made = echo()
    const got = []
    const error = await rejection(
      (async () => {
        for await (const packet of made.process(shape === 'sync' ? sync() : async())) got.push(packet.data)
      })(),
    )
    expect(error).toBe(mine)
    expect(got).toEqual(['a', 'b'])
    await released(made)
  })

  test('a source whose iterator cannot be made', async () => {
    const mine = new Error('no iterator')
    const source = {
      [Symbol.iterator]() {
        throw mine
      },
    }
    expect(await rejection(collect(echo().process(source)))).toBe(mine)
  })

  test('a source that yields what is no payload: a typed error, and the source is closed', async () => {
    function* items() {
      yield 'fine'
      yield Symbol('x')
      yield* naturals()
    }
    const source = watched(items())
    const made = echo()
    const stream = made.process(source)
    expect((await stream.next()).value.data).toBe('fine')
    expectError(await rejection(stream.next()), 'ERR_SERIALIZATION')
    expect(await stream.next()).toEqual({ value: undefined, done: true })
    expect(source.seen).toMatchObject({ reads: 2, returns: 1 })
    await released(made)
    expect(made.metrics().items).toBe(1)
  })

  test('a source whose return throws: the break rejects with it', async () => {
    const mine = new Error('cannot close')
    const source = {
      [Symbol.iterator]: () => ({
        next: () => ({ value: 'x', done: false }),
        return() {
          throw mine
        },
      }),
    }
    const made = echo()
    const error = await rejection(
      (async () => {
        for await (const _ of made.process(source)) break
      })(),
    )
    expect(error).toBe(mine)
    await released(made)
  })

  test('a guest’s error ends the stream once: earlier packets first, then the error, then the end', async () => {
    function* items() {
      yield 'fine'
      yield Uint8Array.of(0xff, 0xfe)
      yield* naturals()
    }
    const source = watched(items())
    const made = node(guest('tokenize'))
    const stream = made.process(source)
    expect((await stream.next()).value.data).toMatchObject({ count: 1 })
    expectError(await rejection(stream.next()), 'ERR_GUEST', { nodeName: 'tokenize' })
    expect(await stream.next()).toEqual({ value: undefined, done: true })
    expect(source.seen.returns).toBe(1)
    await released(made)
  })

  test('concurrent next calls: the first gets the error, the others the end', async () => {
    const stream = node(fixture('unreachable')).process(['x', 'y'])
    const answers = await Promise.allSettled([stream.next(), stream.next(), stream.next()])
    expectError(answers[0].reason, 'ERR_WASM_TRAP')
    expect(answers.slice(1).map(({ value }) => value)).toEqual(Array(2).fill({ value: undefined, done: true }))
  })

  test('an error that nobody awaits is no unhandled rejection', async () => {
    const unhandled = []
    const note = (reason) => unhandled.push(reason)
    process.on('unhandledRejection', note)
    try {
      const made = node(fixture('unreachable'))
      const stream = made.process(naturals())
      expectError(await rejection(stream.next()), 'ERR_WASM_TRAP')
      await released(made)
      const other = made.process(naturals())
      other.next().catch(() => {})
      await other.return()
      await released(made)
      await new Promise((resolve) => setImmediate(resolve))
      expect(unhandled).toEqual([])
    } finally {
      process.off('unhandledRejection', note)
    }
  })

  test('the items behind a failure are not given to the guest', async () => {
    const made = node(fixture('unreachable'))
    await rejection(collect(made.process(Array(8).fill('x'), { sessionId: 's' })))
    await until(() => made.metrics().queued === 0)
    expect(made.metrics().items).toBe(1)
  })
})

test('`await using`, where this Node knows it, else what it stands for', async () => {
  const made = echo()
  let body
  try {
    body = new (async () => {}).constructor('node', 'await using mine = node; return (await mine.call("x"))[0].data')
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError)
    body = async (mine) => {
      try {
        return (await mine.call('x'))[0].data
      } finally {
        await mine[Symbol.asyncDispose]()
      }
    }
  }
  expect(await body(made)).toBe('x')
  expectError(await rejection(made.call('x')), 'ERR_CLOSED')
})
