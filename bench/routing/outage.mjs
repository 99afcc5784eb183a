// Problem: is anything lost, late or failed when the cloud dies and comes back, as long as the edge can serve everything?
// Answer: routers under a live load (four sessions, chunks of 32 ms, 0.5 s for each item), and three ways to die: the service's process is
// killed (SIGKILL) and started anew; the network refuses connections; nothing comes through (blackhole). Marks: no item lost, failed or out of
// order. Told besides: how long nothing at all was heard, how late items were, when the cloud was used again, what the breaker did.
//
//   node bench/routing/outage.mjs [--quick] [--reps 3]
//
// Writes bench/results/routing-outage.json, unless --quick. Ends with 1 if a mark is missed.

import { parseArgs } from 'node:util'
import { IntelligentRouter, compileModule } from '@remotemedia/wasmedge'
import { describeMachine } from '../lib/machine.mjs'
import { FRAME, microphone } from './lib/audio.mjs'
import { medians, percentile, save, say, sleep, table } from './lib/figures.mjs'
import { cloudNode, edgeNode, session } from './lib/nodes.mjs'
import { startProxy, startService } from './lib/processes.mjs'

const { values: options } = parseArgs({ options: { quick: { type: 'boolean', default: false }, reps: { type: 'string' } } })
const reps = Number(options.reps ?? (options.quick ? 1 : 3))
/** When it dies, when it is to be back, and when the load ends. */
const [DEATH_MS, BACK_MS, END_MS] = options.quick ? [500, 1_300, 2_600] : [3_400, 6_900, 11_500]
const SESSIONS = 4
const CHUNK = 2 * FRAME
const CHUNK_MS = 32
const TIMEOUT_MS = 500
const NEAR = { delayMs: 5, jitterMs: 1, mode: 'pass' }

await compileModule(import.meta.resolve('@remotemedia/wasmedge/modules/vad.wasm'))

const STRATEGIES = {
  'cloud-first': { strategy: 'cloud-first' },
  // The client by itself would try again three times, which takes time that the edge could use.
  'cloud-first, no retries': { strategy: 'cloud-first', remote: { maxRetries: 0 } },
  // With this price the cloud is the better side for every chunk while it is well.
  auto: { strategy: 'auto', cost: { edgeMs: 400 } },
  'auto, no probes': { strategy: 'auto', cost: { edgeMs: 400 }, probeIntervalMs: 0 },
}
const DEATHS = {
  killed: {
    die: ({ service }) => service.kill(),
    revive: async (world) => {
      world.service = await startService(world.service.port)
    },
  },
  refused: { die: ({ proxy }) => proxy.set({ mode: 'refuse' }), revive: ({ proxy }) => proxy.set(NEAR) },
  blackhole: { die: ({ proxy }) => proxy.set({ mode: 'blackhole' }), revive: ({ proxy }) => proxy.set(NEAR) },
}

async function run(strategy, death) {
  const world = { service: await startService() }
  world.proxy = await startProxy(world.service.port, NEAR)
  const { remote, ...own } = STRATEGIES[strategy]
  const router = new IntelligentRouter({
    edge: edgeNode(),
    cloud: cloudNode(world.proxy.port, remote),
    seed: 1,
    circuitBreaker: { resetTimeoutMs: 1_000 },
    ...own,
  })
  await router.initialize()
  const [heard, breaker, failures, fallbacks] = [[], [], [], {}]
  const began = performance.now()
  const now = () => performance.now() - began
  router.on('breaker', ({ target, from, to }) => breaker.push({ ms: Math.round(now()), target, from, to }))
  router.on('fallback', ({ from, error }) => {
    const name = `${from}: ${error?.code ?? 'slow'}`
    fallbacks[name] = (fallbacks[name] ?? 0) + 1
  })
  const streams = Array.from({ length: SESSIONS }, (_, index) => {
    const next = microphone(index * 20_000)
    let due = began + index * 8
    const source = () => {
      due += CHUNK_MS
      return due - began > END_MS ? undefined : { item: next(CHUNK), due }
    }
    const note = (about) => heard.push({ ...about, at: about.at - began, began: about.began - began })
    return session(router, source, note, { timeoutMs: TIMEOUT_MS }).catch((error) => {
      failures.push(`${error.code} ${error.message}`)
      return { sent: 0, answered: 0, wrong: 0 }
    })
  })
  let [died, back] = [0, 0]
  const turns = (async () => {
    await sleep(DEATH_MS)
    died = now()
    await DEATHS[death].die(world)
    await sleep(BACK_MS - now())
    await DEATHS[death].revive(world)
    back = now()
  })()
  const counts = await Promise.all(streams)
  await turns
  const figures = router.metrics()
  await router.cleanup()
  await world.proxy.stop()
  await world.service.kill()

  const sum = (key) => counts.reduce((total, one) => total + one[key], 0)
  heard.sort((a, b) => a.at - b.at)
  const cloud = (from, to) => heard.filter(({ began: at, route }) => at >= from && at < to && route.target === 'cloud').length
  const share = (from, to) => (100 * cloud(from, to)) / Math.max(1, heard.filter(({ began: at }) => at >= from && at < to).length)
  const late = heard.filter(({ began: at }) => at >= died && at < back).map(({ ms }) => ms)
  const ms = heard.filter(({ began: at }) => at < died && at > 300).map((one) => one.ms)
  const again = heard.find(({ began: at, route }) => at > back && route.target === 'cloud')
  // From here on, for half a second, items went to the cloud as before.
  const whole = heard.find(({ began: at, route }) => at > back && route.target === 'cloud' && share(at, at + 500) >= 90)
  return {
    sent: sum('sent'),
    answered: sum('answered'),
    wrong: sum('wrong'),
    failed: failures.length + figures.errors,
    failures,
    first: (heard.find(({ at, began: start }) => at > died && start >= died)?.at ?? Number.NaN) - died,
    silence: Math.max(...gaps(heard, died, back)),
    p50before: percentile(ms, 50),
    p95before: percentile(ms, 95),
    p50: percentile(late, 50),
    p95: percentile(late, 95),
    slowest: Math.max(...late),
    cloudBefore: share(died / 2, died),
    cloudMeanwhile: share(died, back),
    again: again ? again.began - back : null,
    whole: whole ? whole.began - back : null,
    fallbacks,
    breaker: breaker.map((one) => ({
      ...one,
      ms: Math.round(one.ms - (one.ms > back ? back : died)),
      after: one.ms > back ? 'back' : 'death',
    })),
    byReason: figures.byReason,
  }
}

/** Times in which nothing was heard, between `from` and `to`. */
function gaps(heard, from, to) {
  const at = [from, ...heard.map((one) => one.at).filter((one) => one > from && one < to), to]
  return at.slice(1).map((one, index) => one - at[index])
}

const results = { date: new Date().toISOString(), quick: options.quick, reps, sessions: SESSIONS, chunkMs: CHUNK_MS, timeoutMs: TIMEOUT_MS }
Object.assign(results, { deathMs: DEATH_MS, backMs: BACK_MS, machine: await describeMachine(), runs: [] })
const strategies = options.quick ? ['cloud-first', 'auto'] : Object.keys(STRATEGIES)
const cells = strategies.flatMap((strategy) => Object.keys(DEATHS).map((death) => ({ strategy, death, repetitions: [] })))
for (let rep = 0; rep < reps; rep++) {
  for (const cell of cells) {
    say(`${cell.strategy}, ${cell.death}: ${rep + 1} of ${reps}`)
    cell.repetitions.push(await run(cell.strategy, cell.death))
  }
}
let missed = 0
const rows = cells.map(({ strategy, death, repetitions }) => {
  const worst = (key) => Math.max(...repetitions.map((one) => one[key]))
  const lost = Math.max(...repetitions.map(({ sent, answered }) => sent - answered))
  const [failed, wrong] = [worst('failed'), worst('wrong')]
  missed += lost || failed || wrong ? 1 : 0
  return { ...medians(repetitions), strategy, death, lost, failed, wrong, repetitions }
})
results.runs = rows
console.log(
  table(
    [
      ['strategy', (row) => row.strategy],
      ['service', (row) => row.death],
      ['items in', (row) => row.sent],
      ['lost', (row) => row.lost],
      ['failed', (row) => row.failed],
      ['out of order', (row) => row.wrong],
      ['first answer, ms', (row) => Math.round(row.first)],
      ['longest silence, ms', (row) => Math.round(row.silence)],
      ['p50 before', (row) => row.p50before],
      ['p50 meanwhile', (row) => row.p50],
      ['p95', (row) => row.p95],
      ['slowest', (row) => Math.round(row.slowest)],
      ['cloud % before', (row) => Math.round(row.cloudBefore)],
      ['cloud again after, ms', (row) => (row.again === null ? null : Math.round(row.again))],
      ['as before after, ms', (row) => (row.whole === null ? null : Math.round(row.whole))],
    ],
    rows,
  ),
)
console.log('\nbreaker of the cloud, and fallbacks, of the last repetition:\n')
for (const { strategy, death, repetitions } of rows) {
  const { breaker, fallbacks, byReason } = repetitions.at(-1)
  const changes = breaker.map(({ to, ms, after }) => `${to} ${ms} ms after ${after === 'back' ? 'it was back' : 'it died'}`).join(', ')
  console.log(
    `${strategy}, ${death}: ${changes || 'no change'}; fallbacks ${JSON.stringify(fallbacks)}; decisions ${JSON.stringify(byReason)}`,
  )
}
if (!options.quick) save('routing-outage', results)
for (const failure of new Set(rows.flatMap(({ repetitions }) => repetitions.flatMap(({ failures }) => failures)))) say(`failed: ${failure}`)
if (missed > 0) say(`${missed} of ${rows.length} kinds of outage lost, failed or mixed up items`)
process.exit(missed > 0 ? 1 : 0)
