// Modules that misbehave: each has one outcome, the same in every run mode, and the process and the node's other sessions live on.
// The table below is checked against the folder, so that a new fixture cannot go untested.

import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { run } from './support/child.mjs'
import { api, bytesOf, collect, count, expectError, fixture, fixtureNames, guest, MODES, node, rejection, ROOT } from './support/index.mjs'

const SPIN_MS = 150
const double = (data) => Buffer.concat([data, data])

const spins = { timeoutMs: SPIN_MS }
const trap = (kind) => ({ code: 'ERR_WASM_TRAP', trap: kind, lost: true })
const timeout = { code: 'ERR_WASM_TIMEOUT', lost: true, options: spins }
const atLoad = (code, text) => ({ code, text, atLoad: true })

/** What each fixture does with the three bytes 1, 2, 3: an error, or outputs. */
const EXPECTED = {
  bad_alloc: { code: 'ERR_ABI', lost: true },
  bad_len_config: trap('bad-pointer'),
  bad_ptr_emit: trap('bad-pointer'),
  big_initial: atLoad('ERR_WASM_MEMORY', 'memoryLimit'),
  call_host: { outputs: [Buffer.of(1, 2, 3, 1, 2, 3)] },
  cleanup_trap: { outputs: [] },
  div_zero: trap('divide-by-zero'),
  emit_big: { code: 'ERR_OUTPUT_TOO_LARGE', lost: true },
  emit_flood: { code: 'ERR_OUTPUT_TOO_LARGE', lost: true, options: { maxOutputBytes: 100_000 } },
  fail_buffer: { code: 'ERR_GUEST', text: 'buffer says no' },
  fail_text: { code: 'ERR_GUEST', text: 'no thanks' },
  fill_big: timeout,
  flush_output: { outputs: [], flushed: [Buffer.from('flushed:1')] },
  giant_output: { code: 'ERR_OUTPUT_TOO_LARGE', lost: true },
  grow_bomb: { code: 'ERR_WASM_MEMORY', lost: true },
  grow_quiet: { outputs: [] },
  huge_function: atLoad('ERR_MODULE_INVALID', 'function'),
  init_refuse: { code: 'ERR_GUEST', text: 'config.model: no such model' },
  int_overflow: trap('integer-overflow'),
  keep_result: { outputs: [Buffer.alloc(200_000, 42)] },
  leaky_state: { outputs: [Buffer.of(1, 0, 0, 0)] },
  liar_output: { code: 'ERR_ABI', lost: true },
  locals_bomb: atLoad('ERR_MODULE_INVALID', 'locals'),
  many_emits: { outputs: [Buffer.of(1, 2, 3), Buffer.of(1, 2, 3), Buffer.of(1, 2, 3)] },
  needs_env: atLoad('ERR_IMPORT_DENIED', 'env.call_remote_service'),
  neg_len_log: trap('bad-pointer'),
  no_memory: atLoad('ERR_ABI', 'memory'),
  no_process: atLoad('ERR_ABI', 'process'),
  null_alloc: { code: 'ERR_WASM_MEMORY', lost: true },
  oob: trap('out-of-bounds'),
  recurse: trap('stack-overflow'),
  recurse_grow: trap('stack-overflow'),
  recurse_host: trap('stack-overflow'),
  remote: atLoad('ERR_IMPORT_DENIED', 'env.call_remote_service'),
  spin: timeout,
  spin_copy: timeout,
  spin_grow: timeout,
  spin_host: timeout,
  spin_if: timeout,
  spin_log: timeout,
  start_spin: { code: 'ERR_WASM_TIMEOUT', options: spins },
  start_trap: { code: 'ERR_WASM_TRAP', trap: 'unreachable' },
  status1_forever: { code: 'ERR_ABI', lost: true },
  table_bomb: { code: /^ERR_WASM_(TIMEOUT|MEMORY)$/, lost: true, options: spins },
  unknown_import: atLoad('ERR_IMPORT_DENIED', 'foo.bar'),
  unreachable: trap('unreachable'),
  uses_simd: { outputs: [] },
  wasi_probe: { outputs: [Buffer.of(76, 76, 0, 0, 8, 0)] },
  wrong_abi: { code: 'ERR_ABI', text: '2' },
  wrong_sig: atLoad('ERR_ABI', 'process'),
}
/** Too large to keep in the repository; `wasm-modules/build.sh --large` makes it. */
const ON_DEMAND = ['huge_function']

const input = Uint8Array.of(1, 2, 3)
const make = (name, mode) => node(fixture(name), { mode, outputKind: 'binary', hostFunctions: { double }, ...EXPECTED[name].options })

test('the table and the folder hold the same fixtures', () => {
  const sources = readdirSync(path.join(ROOT, 'wasm-modules/fixtures')).filter((file) => file.endsWith('.wat'))
  const present = new Set(fixtureNames())
  expect(sources.map((file) => path.basename(file, '.wat')).filter((name) => !present.has(name))).toEqual([])
  for (const name of ON_DEMAND) present.add(name)
  expect([...present].sort()).toEqual(Object.keys(EXPECTED).sort())
})

describe.each(MODES)('%s', (mode) => {
  const names = Object.keys(EXPECTED)

  test.each(names.filter((name) => EXPECTED[name].outputs))('%s gives its result', async (name) => {
    const { outputs, flushed = [] } = EXPECTED[name]
    const made = make(name, mode)
    const packets = await collect(made.process([input], { sessionId: 's' }))
    expect(packets.map((packet) => packet.data)).toEqual([...outputs, ...flushed])
    await made.closeSession('s')
    expect(made.metrics()).toMatchObject({ errors: {}, instancesLost: 0, instancesLive: 0, callsByMode: { [mode]: 1 } })
  })

  const failing = names.filter((name) => EXPECTED[name].code && !EXPECTED[name].atLoad)
  test.each(failing)('%s fails with one typed error, again and again', async (name) => {
    const { code, text = '', ...rest } = EXPECTED[name]
    const made = make(name, mode)
    for (let round = 0; round < 2; round += 1) {
      const error = await rejection(made.call(input, { sessionId: 's' }))
      if (typeof code === 'string') expectError(error, code)
      else expect(error.code).toMatch(code)
      expect([error.nodeName, error.sessionId, error.trap, error.stateLost]).toEqual([name, 's', rest.trap, rest.lost])
      expect(error.message).toContain(text)
    }
    const metrics = made.metrics()
    expect(Object.values(metrics.errors)).toEqual([2])
    expect(metrics).toMatchObject({ instancesLost: rest.lost ? 2 : 0, outputs: 0, queued: 0 })
    await made.closeSession('s')
    expect(made.metrics().instancesLive).toBe(0)
  })

  const refused = names.filter((name) => EXPECTED[name].atLoad && (existsSync(fixture(name)) || !ON_DEMAND.includes(name)))
  test.each(refused)('%s is refused at load', async (name) => {
    const { code, text } = EXPECTED[name]
    const made = make(name, mode)
    for (const attempt of [made.initialize(), made.initialize(), made.call(input), collect(made.process([input]))]) {
      const error = expectError(await rejection(attempt), code, { nodeName: name, stateLost: undefined })
      expect(error.message).toContain(text)
    }
    expect(made.metrics()).toMatchObject({ instancesCreated: 0, sessionsOpened: 0 })
  })
})

test('compileModule and inspectModule survive every fixture', async () => {
  for (const name of fixtureNames()) {
    const invalid = EXPECTED[name].code === 'ERR_MODULE_INVALID'
    for (const tool of [api.inspectModule, api.compileModule]) {
      if (invalid) expectError(await rejection(tool(fixture(name))), 'ERR_MODULE_INVALID')
      else expect((await tool(fixture(name))).sha256).toHaveLength(64)
    }
  }
})

test('all at once: no session notices what others do', async () => {
  const good = MODES.map((mode) => node(fixture('leaky_state'), { mode }))
  const bad = MODES.flatMap((mode) => ['oob', 'recurse_host', 'spin', 'grow_bomb', 'unreachable'].map((name) => [name, make(name, mode)]))
  const work = []
  for (let round = 0; round < 4; round += 1) {
    for (const [name, made] of bad) {
      work.push(rejection(made.call(input, { sessionId: `s${round % 2}` })).then((error) => expectError(error, EXPECTED[name].code)))
    }
    for (const made of good) {
      work.push(made.call(input, { sessionId: 's' }).then(([packet]) => expect(count(packet)).toBe(round + 1)))
    }
  }
  await Promise.all(work)
  for (const made of good) expect(made.metrics()).toMatchObject({ instancesCreated: 1, instancesLost: 0, errors: {} })
})

// --- Damaged modules ----------------------------------------------------------------------------------------------------------

/** Numbers that are the same in every run. */
function random(seed) {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}
const TYPED = /^ERR_[A-Z_]+$/

test('a module cut at any length is refused', async () => {
  const whole = bytesOf(guest('vad'))
  const lengths = new Set(Array.from({ length: 120 }, (_, i) => i))
  const next = random(1)
  for (let i = 0; i < 150; i += 1) lengths.add(next(whole.length))
  for (let i = 1; i <= 40; i += 1) lengths.add(whole.length - i)
  let refused = 0
  for (const length of lengths) {
    const cut = whole.slice(0, length)
    const error = await node(cut, { mode: 'interpreter' })
      .initialize()
      .then(
        () => undefined,
        (reason) => reason,
      )
    // A cut between two sections may leave a module that is valid but lacks what the ABI wants.
    if (error) {
      refused += 1
      expect(error.code, `${length} bytes`).toMatch(/^ERR_(MODULE_INVALID|ABI)$/)
    } else expect(length).toBeGreaterThan(8)
  }
  expect(refused).toBeGreaterThan(lengths.size - 5)
})

const MUTATE = `
const bytes = require('node:fs').readFileSync(guest(process.env.GUEST))
${random}
const next = random(Number(process.env.SEED))
const tally = {}
const samples = new Float32Array(1600).map((_, i) => Math.sin(i / 9) / 3)
const rounds = Number(process.env.ROUNDS)
for (let round = 0; round < rounds; round += 1) {
  const mutant = Buffer.from(bytes)
  const flips = 1 + next(4)
  for (let i = 0; i < flips; i += 1) mutant[next(mutant.length)] ^= 1 << next(8)
  const node = new WasmEdgeNode(mutant, { mode: process.env.MODE, timeoutMs: 300, memoryLimit: 16 << 20 })
  let end
  try {
    for await (const packet of node.process([{ samples, sampleRate: 16000 }, { samples, sampleRate: 16000 }])) void packet
    end = 'ok'
  } catch (error) {
    end = error.code ?? String(error.stack)
  }
  tally[end] = (tally[end] ?? 0) + 1
  await node.cleanup()
}
say(tally)
`

test.each([
  ['interpreter', 'vad', 300],
  ['interpreter', 'gain-c', 600],
  ['aot', 'gain-c', 60],
  ['jit', 'gain-c', 60],
])('%s: %s with flipped bits loads or fails with a typed error', { timeout: 120_000 }, async (mode, name, rounds) => {
  const env = { MODE: mode, GUEST: name, SEED: '20240229', ROUNDS: String(rounds) }
  const [tally] = await run(MUTATE, { env, timeoutMs: 110_000 })
  const outcomes = Object.keys(tally)
  expect(outcomes.filter((outcome) => outcome !== 'ok' && !TYPED.test(outcome))).toEqual([])
  expect(outcomes).not.toContain('ERR_INTERNAL')
  expect(Object.values(tally).reduce((sum, one) => sum + one)).toBe(rounds)
  // Of both kinds there must be some, or this test tests nothing.
  expect(tally.ERR_MODULE_INVALID).toBeGreaterThan(0)
  expect(outcomes.length).toBeGreaterThan(2)
})

test('every way to die, in one process that lives on', { timeout: 60_000 }, async () => {
  const names = fixtureNames().filter((name) => EXPECTED[name].code && !EXPECTED[name].atLoad)
  const [tally] = await run(
    `
    const tally = {}
    for (const mode of ['aot', 'jit', 'interpreter']) {
      await Promise.all(${JSON.stringify(names)}.map(async (name) => {
        const node = new WasmEdgeNode(fixture(name), { mode, timeoutMs: 200, maxOutputBytes: 1 << 20, hostFunctions: { double: (data) => data } })
        for (let i = 0; i < 3; i += 1) {
          const code = await codeOf(node.call(Buffer.of(1, 2, 3), { sessionId: 's' }))
          tally[code] = (tally[code] ?? 0) + 1
        }
        await node.cleanup()
      }))
      v8Traps()
    }
    say(tally)`,
    { timeoutMs: 55_000 },
  )
  expect(Object.keys(tally).filter((code) => !TYPED.test(code))).toEqual([])
  expect(Object.values(tally).reduce((sum, one) => sum + one)).toBe(names.length * 9)
})
