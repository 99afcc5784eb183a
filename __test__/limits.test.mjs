// Limits on time, memory, output and fuel: each in every run mode, with its own code, and with no harm to anybody else.

import { describe, expect, test } from 'vitest'
import { api, collect, count, expectError, fixture, guest, MODES, node, rejection, until, within } from './support/index.mjs'

const SPINS = ['spin', 'spin_if', 'spin_host', 'spin_log', 'spin_grow', 'spin_copy', 'fill_big', 'table_bomb']
/** What only a call that is stuck can take; how close to the deadline a call ends is for the benchmarks. */
const STUCK_MS = 2000

describe.each(MODES)('time per item (%s)', (mode) => {
  test.each(SPINS)('%s is stopped', async (name) => {
    const made = node(fixture(name), { mode, timeoutMs: 100 })
    await made.initialize()
    const since = performance.now()
    const error = await rejection(made.call('x', { sessionId: 's' }))
    expect(performance.now() - since).toBeLessThan(STUCK_MS)
    expect(performance.now() - since).toBeGreaterThanOrEqual(99)
    expectError(error, 'ERR_WASM_TIMEOUT', { nodeName: name, sessionId: 's', stateLost: true, trap: undefined })
    expect(made.metrics()).toMatchObject({ errors: { ERR_WASM_TIMEOUT: 1 }, instancesLost: 1 })
  })

  test('a start function that spins is stopped, too', async () => {
    const made = node(fixture('start_spin'), { mode, timeoutMs: 100 })
    const since = performance.now()
    expectError(await rejection(made.call('x', { sessionId: 's' })), 'ERR_WASM_TIMEOUT')
    expect(performance.now() - since).toBeLessThan(STUCK_MS + 3000)
    await until(() => made.metrics().instancesLive === 0)
  })

  test('the stream’s or call’s own time wins, and the message names it', async () => {
    const made = node(fixture('spin'), { mode })
    await made.initialize()
    const since = performance.now()
    const byCall = await rejection(made.call('x', { timeoutMs: 50 }))
    const byStream = await rejection(collect(made.process(['x'], { timeoutMs: 60 })))
    expect(performance.now() - since).toBeLessThan(STUCK_MS)
    expect(expectError(byCall, 'ERR_WASM_TIMEOUT').message).toContain('50 ms')
    expect(expectError(byStream, 'ERR_WASM_TIMEOUT').message).toContain('60 ms')
  })

  test('it is time per item, not of the stream', async () => {
    // Each item waits 150 ms for the application: together longer than the 2 s that one may take.
    const double = (data) => new Promise((resolve) => setTimeout(resolve, 150, data))
    const made = node(fixture('call_host'), { mode, timeoutMs: 2000, hostFunctions: { double } })
    await made.initialize()
    const packets = await collect(made.process(Array(15).fill(Uint8Array.of(1))))
    expect(packets).toHaveLength(15)
    expect(made.metrics()).toMatchObject({ items: 15, errors: {} })
    expect(made.metrics().execMs.total).toBeGreaterThan(2000)
  })

  test('a call that meets its deadline is not touched', async () => {
    const made = node(fixture('leaky_state'), { mode, timeoutMs: 1000 })
    const answers = await Promise.all(Array.from({ length: 2000 }, () => made.call('x', { sessionId: 's' })))
    expect(answers.map(([packet]) => count(packet)).at(-1)).toBe(2000)
    expect(made.metrics()).toMatchObject({ errors: {}, instancesLost: 0 })
  })
})

test('waiting for one’s turn is not guest time', async () => {
  // More calls than processors, each of about 100 ms, all begun at once: the last one waits much longer than its time.
  const made = node(fixture('spin'), { timeoutMs: 100 })
  await made.initialize()
  const errors = await Promise.all(Array.from({ length: 10 }, (_, i) => rejection(made.call('x', { sessionId: `s${i}` }))))
  for (const error of errors) expectError(error, 'ERR_WASM_TIMEOUT')
  expect(made.metrics()).toMatchObject({ items: 10, instancesLost: 10 })
})

describe.each(MODES)('memory (%s)', (mode) => {
  test('a guest that grows without end', async () => {
    const made = node(fixture('grow_bomb'), { mode, memoryLimit: 4 << 20 })
    expectError(await rejection(made.call('x', { sessionId: 's' })), 'ERR_WASM_MEMORY', {
      stateLost: true,
      sessionId: 's',
      nodeName: 'grow_bomb',
    })
    expect(made.metrics().errors).toEqual({ ERR_WASM_MEMORY: 1 })
  })

  test('a guest that takes no for an answer goes on', async () => {
    const made = node(fixture('grow_quiet'), { mode, memoryLimit: 8 << 20 })
    expect(await collect(made.process(['x', 'x', 'x']))).toEqual([])
    expect(made.metrics()).toMatchObject({ errors: {}, instancesLost: 0 })
  })

  test('an input that does not fit', async () => {
    const made = node(guest('echo'), { mode, memoryLimit: 1 << 20 })
    const error = await rejection(made.call(new Uint8Array(2 << 20), { sessionId: 's' }))
    expectError(error, 'ERR_WASM_MEMORY', { sessionId: 's' })
    expect((await made.call('ok', { sessionId: 's' }))[0].data.toString()).toBe('ok')
    const pages = node(fixture('leaky_state'), { mode, memoryLimit: 1 << 20 })
    expectError(await rejection(pages.call(new Uint8Array(2 << 20), { sessionId: 's' })), 'ERR_WASM_MEMORY')
    expect((await pages.call('ok', { sessionId: 's' }))[0].data).toHaveLength(4)
  })

  test('a module that starts above the limit is refused at load', async () => {
    for (const [name, memoryLimit] of [
      ['big_initial', undefined],
      ['fill_big', 32 << 20],
    ]) {
      const made = node(fixture(name), { mode, memoryLimit })
      expectError(await rejection(made.initialize()), 'ERR_WASM_MEMORY', { nodeName: name })
    }
  })

  test('an allocator that is out of memory', async () => {
    expectError(await rejection(node(fixture('null_alloc'), { mode }).call('x')), 'ERR_WASM_MEMORY')
  })
})

describe.each(MODES)('outputs (%s)', (mode) => {
  test('one that claims 2 GiB', async () => {
    const made = node(fixture('giant_output'), { mode })
    expectError(await rejection(made.call('x', { sessionId: 's' })), 'ERR_OUTPUT_TOO_LARGE', { sessionId: 's', stateLost: true })
  })

  test('a flood of empty ones, and of large ones', async () => {
    for (const [name, maxOutputBytes] of [
      ['emit_flood', 200_000],
      ['emit_big', 5 << 20],
    ]) {
      const made = node(fixture(name), { mode, maxOutputBytes })
      const error = expectError(await rejection(made.call('x')), 'ERR_OUTPUT_TOO_LARGE', { nodeName: name })
      expect(error.message).toContain(String(maxOutputBytes))
    }
  })

  test('the limit itself is allowed, one byte more is not', async () => {
    const made = node(guest('echo'), { mode, maxOutputBytes: 1000 })
    expect((await made.call(new Uint8Array(1000).fill(255)))[0].data).toHaveLength(1000)
    expectError(await rejection(made.call(new Uint8Array(1001).fill(255))), 'ERR_OUTPUT_TOO_LARGE')
  })

  test('it counts per item', async () => {
    const made = node(guest('echo'), { mode, maxOutputBytes: 1000 })
    expect(await collect(made.process(Array(20).fill(new Uint8Array(900).fill(255))))).toHaveLength(20)
  })
})

describe.each(MODES)('fuel (%s)', (mode) => {
  test('is used up by a spinning guest', async () => {
    const made = node(fixture('spin'), { mode, fuel: 1_000_000, timeoutMs: 20_000 })
    expectError(await rejection(made.call('x', { sessionId: 's' })), 'ERR_WASM_FUEL', { sessionId: 's', stateLost: true })
    expect(made.metrics()).toMatchObject({ callsByMode: { [mode]: 1 }, errors: { ERR_WASM_FUEL: 1 } })
  })

  test('is filled up for each item', async () => {
    const made = node(fixture('leaky_state'), { mode, fuel: 1000 })
    for (let i = 1; i <= 300; i += 1) expect(count((await made.call('x', { sessionId: 's' }))[0])).toBe(i)
    expect(made.metrics().errors).toEqual({})
  })

  test('too little for even one item', async () => {
    const made = node(fixture('leaky_state'), { mode, fuel: 2 })
    expectError(await rejection(made.call('x')), 'ERR_WASM_FUEL')
  })
})

describe.each(MODES)('after an error (%s)', (mode) => {
  const kinds = [
    ['ERR_WASM_TIMEOUT', 'spin', { timeoutMs: 60 }],
    ['ERR_WASM_TRAP', 'unreachable', {}],
    ['ERR_WASM_TRAP', 'recurse', {}],
    ['ERR_WASM_MEMORY', 'grow_bomb', { memoryLimit: 2 << 20 }],
    ['ERR_OUTPUT_TOO_LARGE', 'giant_output', {}],
    ['ERR_ABI', 'liar_output', {}],
    ['ERR_WASM_FUEL', 'spin', { fuel: 10_000 }],
  ]
  test.each(kinds)('%s (%s): the next item of the session has a fresh instance', async (code, name, options) => {
    const made = node(fixture(name), { mode, ...options })
    for (let round = 1; round <= 3; round += 1) {
      expectError(await rejection(made.call('x', { sessionId: 's' })), code, { stateLost: true })
      await until(() => made.metrics().instancesLive === 0)
      expect(made.metrics()).toMatchObject({ instancesCreated: round, instancesLost: round, sessionsOpened: 1, sessionsOpen: 1 })
    }
  })

  test('a session’s state starts over, others keep theirs', async () => {
    // Memory that an input does not fit into is lost with it; the count shows whose.
    const made = node(fixture('call_host'), { mode, timeoutMs: 10_000, hostFunctions: { double: (data) => data } })
    await made.call('x', { sessionId: 'other' })
    const counter = node(fixture('leaky_state'), { mode, memoryLimit: 1 << 20 })
    const ask = async (sessionId, item = 'x') => count((await counter.call(item, { sessionId }))[0])
    expect([await ask('a'), await ask('a'), await ask('b')]).toEqual([1, 2, 1])
    const error = await rejection(ask('a', new Uint8Array(4 << 20)))
    expectError(error, 'ERR_WASM_MEMORY', { sessionId: 'a' })
    expect(await ask('b')).toBe(2)
    // What the error says about the state is what happened to it.
    expect(await ask('a')).toBe(error.stateLost ? 1 : 3)
  })
})

test('the guest’s own refusal keeps its state', async () => {
  const made = node(guest('gain'))
  const audio = { samples: new Float32Array(2), sampleRate: 8000 }
  await made.call(audio, { sessionId: 's' })
  expectError(await rejection(made.call('text', { sessionId: 's' })), 'ERR_GUEST', { stateLost: undefined, sessionId: 's' })
  expect(await made.call(audio, { sessionId: 's' })).toHaveLength(1)
  expect(made.metrics()).toMatchObject({ instancesCreated: 1, instancesLost: 0 })
})

test('guests that spin on every processor do not keep others from theirs', async () => {
  const spinning = node(fixture('spin'), { timeoutMs: 20_000 })
  await spinning.initialize()
  const stopped = Array.from({ length: 2 * api.runtimeInfo().parallelism }, () => rejection(spinning.call('x')))
  await until(() => spinning.metrics().items >= 1)
  const since = performance.now()
  // Another session of a node that is ready, and a node that is not even loaded.
  const packets = await within(node(guest('echo'), { outputKind: 'text' }).call('x'), 15_000)
  expect(packets[0].data).toBe('x')
  expect(performance.now() - since).toBeLessThan(2000)
  await spinning.cleanup()
  for (const error of await Promise.all(stopped)) expectError(error, 'ERR_CLOSED')
})

test('the event loop turns while every processor is busy with guests', async () => {
  const made = node(fixture('spin'), { timeoutMs: 400 })
  await made.initialize()
  const busy = Promise.all(Array.from({ length: 8 }, () => rejection(made.call('x'))))
  let turns = 0
  let over = false
  const turn = () => {
    turns += 1
    if (!over) setImmediate(turn)
  }
  setImmediate(turn)
  await within(busy)
  over = true
  expect(turns).toBeGreaterThan(100)
})
