// Problem: what does the router cost, and does it choose well, with a real detector on each side and a network between?
// Answer: `vad` in WebAssembly here, Silero on ONNX Runtime in another process, a delaying proxy in a third, and four tables:
//
//   pace     chunks of 16 and 32 ms from eight live sessions: the nodes by themselves, and routers in front of them
//   flat out the same, as fast as answers come
//   mixed    chunks of 16 ms to 2 s, so that neither side is always better: because work at the edge is given a price, or because the edge
//            may not run compiled code (interpreter)
//   step     the second, while the network becomes far and near again
//
//   node bench/routing/live.mjs [--quick] [--only pace,mixed] [--reps 3]
//
// Writes bench/results/routing-live.json, unless --quick or --only.

import { parseArgs } from 'node:util'
import { IntelligentRouter, compileModule } from '@remotemedia/wasmedge'
import { describeMachine } from '../lib/machine.mjs'
import { FRAME, RATE, microphone, mixedSize, randomOf } from './lib/audio.mjs'
import { mean, medians, percentile, save, say, sleep, table } from './lib/figures.mjs'
import { cloudNode, edgeNode, session } from './lib/nodes.mjs'
import { startProxy, startService } from './lib/processes.mjs'

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string' }, reps: { type: 'string' } },
})
const reps = Number(options.reps ?? (options.quick ? 1 : 3))
const wanted = (name) => !options.only || options.only.split(',').includes(name)

const NEAR = { delayMs: 5, jitterMs: 1 }
const FAR = { delayMs: 60, jitterMs: 5 }
/** What opening a session and a connection takes is not measured. */
const WARM_MS = options.quick ? 100 : 500
const MS = RATE / 1000

await compileModule(import.meta.resolve('@remotemedia/wasmedge/modules/vad.wasm'))
const service = await startService()
const proxy = await startProxy(service.port, NEAR)
const machine = await describeMachine()

const router = (strategy, { edge = {}, ...more } = {}) =>
  new IntelligentRouter({ edge: edgeNode(edge), cloud: cloudNode(proxy.port), strategy, seed: 1, ...more })

/** Runs sessions side by side for a while; all answers, and what was sent and lost. `chunk(random)` gives a chunk's samples. */
async function run(node, { sessions, lengthMs, chunk, pace, phases = [] }) {
  await node.initialize()
  const began = performance.now()
  const end = began + WARM_MS + lengthMs
  const heard = []
  let [errors, sent, answered, wrong] = [0, 0, 0, 0]
  const turns = phases.map(async ({ at, network }) => {
    await sleep(WARM_MS + at * lengthMs)
    await proxy.set(network)
  })
  const cpu = process.cpuUsage()
  const streams = Array.from({ length: sessions }, async (_, index) => {
    const random = randomOf(1_000 + index)
    const next = microphone(index * 20_000)
    let due = began + ((index * 37) % 100)
    const source = () => {
      if (performance.now() >= end || (pace && due >= end)) return
      const samples = chunk(random)
      const item = next(samples)
      if (!pace) return { item }
      // A chunk is there when its last sample is.
      due += samples / MS
      return { item, due }
    }
    try {
      const counts = await session(node, source, (about) => heard.push({ ...about, since: about.began - began - WARM_MS }))
      sent += counts.sent
      answered += counts.answered
      wrong += counts.wrong
    } catch (error) {
      errors += 1
      say(`  a stream failed: ${error.code} ${error.message}`)
    }
  })
  await Promise.all([...streams, ...turns])
  const spent = process.cpuUsage(cpu)
  const seconds = (performance.now() - began) / 1000
  const figures = node instanceof IntelligentRouter ? node.metrics() : undefined
  await node.cleanup()
  const warm = heard.filter(({ since }) => since >= 0)
  return { warm, seconds, errors, lost: sent - answered, wrong, sent, cpu: (spent.user + spent.system) / 1e6 / seconds, figures }
}

const times = (heard) => {
  const ms = heard.map((one) => one.ms)
  return { p50: percentile(ms, 50), p95: percentile(ms, 95), p99: percentile(ms, 99) }
}
const shareOfCloud = (heard) => (100 * heard.filter(({ route }) => route?.target === 'cloud').length) / Math.max(1, heard.length)

/** Repetitions of variants, each beginning with another one; `measure(make)` gives a row. */
async function compare(title, variants, measure) {
  const rows = variants.map(() => [])
  for (let rep = 0; rep < reps; rep++) {
    for (let i = 0; i < variants.length; i++) {
      const at = (i + rep) % variants.length
      say(`${title}: ${variants[at].name}, ${rep + 1} of ${reps}`)
      await proxy.set(NEAR)
      rows[at].push({ variant: variants[at].name, ...(await measure(variants[at])) })
    }
  }
  return rows.map((repetitions) => ({ ...medians(repetitions), repetitions }))
}

const results = { date: new Date().toISOString(), quick: options.quick, reps, machine, network: { near: NEAR, far: FAR } }
const COUNTS = [
  ['items', (row) => row.items],
  ['lost', (row) => row.lost],
  ['errors', (row) => row.errors],
]
const TIMES = ['p50', 'p95', 'p99'].map((key) => [`${key} ms`, (row) => row[key]])

/** Nodes by themselves, and routers. */
const SMALL = [
  { name: 'edge, by itself', make: () => edgeNode() },
  { name: 'router, edge-first', make: () => router('edge-first') },
  { name: 'router, auto', make: () => router('auto') },
  { name: 'router, cloud-first', make: () => router('cloud-first') },
  { name: 'cloud, by itself', make: () => cloudNode(proxy.port) },
]

for (const [part, lengthMs] of [
  ['pace', options.quick ? 200 : 4_000],
  ['flat out', options.quick ? 200 : 2_000],
]) {
  if (!wanted(part)) continue
  results[part] = {}
  for (const frames of [1, 2]) {
    const rows = await compare(`${part}, ${frames * 16} ms`, SMALL, async ({ make }) => {
      const done = await run(make(), { sessions: 8, lengthMs, chunk: () => frames * FRAME, pace: part === 'pace' })
      const { warm, errors, lost, wrong, cpu, seconds } = done
      return { ...times(warm), cloud: shareOfCloud(warm), items: done.sent, perSecond: done.sent / seconds, lost, wrong, errors, cpu }
    })
    for (const row of rows) if (row.variant === 'cloud, by itself') row.cloud = 100
    results[part][`${frames * 16} ms`] = rows
    console.log(`\n${part}: 8 sessions, chunks of ${frames * 16} ms, network 5 ± 1 ms each way\n`)
    console.log(
      table(
        [
          ['variant', (row) => row.variant],
          ...TIMES,
          ['items/s', (row) => Math.round(row.perSecond)],
          ['cloud %', (row) => row.cloud],
          ['processors here', (row) => row.cpu],
          ...COUNTS,
        ],
        rows,
      ),
    )
  }
}

/** Where neither side is always better. */
const SETTINGS = {
  priced: { title: 'compiled, a millisecond of work at the edge costs 20 more', sessions: 16, edge: {}, cost: { edgeMs: 20 } },
  weak: { title: 'interpreter, latency is all that counts', sessions: 3, edge: { mode: 'interpreter' }, cost: {} },
}
const ROUTERS = ['edge-first', 'cloud-first', 'auto']

/** What an item cost by the router's own measure. */
const costOf = ({ route }, { edgeMs = 0 }) => (route.edgeMs ?? 0) * (1 + edgeMs) + (route.cloudMs ?? 0)

async function mixed(strategy, { sessions, edge, cost }, lengthMs, phases) {
  const made = router(strategy, { edge, cost, fallback: strategy === 'auto' })
  const done = await run(made, { sessions, lengthMs, chunk: mixedSize, pace: true, phases })
  return { ...done, made, cost: mean(done.warm.map((one) => costOf(one, cost))) }
}

const MIXED_COLUMNS = [
  ['variant', (row) => row.variant],
  ['mean cost', (row) => row.cost],
  ...TIMES,
  ['cloud %', (row) => row.cloud],
  ['tries %', (row) => row.tries],
  ...COUNTS,
]
const tried = ({ figures }) => (100 * (figures.byReason.explore ?? figures.byReason.explores ?? 0)) / Math.max(1, figures.items)

if (wanted('mixed')) {
  results.mixed = {}
  for (const [key, setting] of Object.entries(SETTINGS)) {
    const rows = await compare(
      `mixed, ${key}`,
      ROUTERS.map((name) => ({ name })),
      async ({ name }) => {
        const done = await mixed(name, setting, options.quick ? 400 : 10_000)
        const learned = done.figures.policy.thresholds.learnedBytes
        const row = { cost: done.cost, ...times(done.warm), cloud: shareOfCloud(done.warm), tries: tried(done) }
        return { ...row, items: done.sent, lost: done.lost, wrong: done.wrong, errors: done.errors, learnedBytes: learned }
      },
    )
    results.mixed[key] = rows
    console.log(`\nmixed: ${setting.sessions} sessions, chunks of 16 ms to 2 s; ${setting.title}; network 5 ± 1 ms each way\n`)
    console.log(table(MIXED_COLUMNS, rows))
    const sizes = rows.find(({ variant }) => variant === 'auto').repetitions.map(({ learnedBytes }) => learnedBytes)
    console.log(`\nsize from which auto had the cloud cheaper, at the end: ${sizes.map((size) => size ?? 'none').join(', ')} bytes`)
  }
}

if (wanted('step')) {
  const lengthMs = options.quick ? 900 : 15_000
  const phases = [
    { at: 1 / 3, network: FAR },
    { at: 2 / 3, network: NEAR },
  ]
  const setting = SETTINGS.weak
  const rows = await compare(
    'step',
    ROUTERS.map((name) => ({ name })),
    async ({ name }) => {
      const { warm, sent, errors, lost, wrong } = await mixed(name, setting, lengthMs, phases)
      const row = {}
      const phase = (index) => warm.filter(({ since }) => Math.floor((since * 3) / lengthMs) === index)
      for (const [index, label] of ['near', 'far', 'again'].entries()) {
        row[`${label}Cost`] = mean(phase(index).map((one) => costOf(one, setting.cost)))
        row[`${label}Cloud`] = shareOfCloud(phase(index))
        row[`${label}P95`] = percentile(
          phase(index).map(({ ms }) => ms),
          95,
        )
      }
      return { ...row, cost: mean(warm.map((one) => costOf(one, setting.cost))), ...times(warm), items: sent, lost, wrong, errors }
    },
  )
  results.step = rows
  console.log(`\nstep: ${setting.sessions} sessions, ${setting.title}; network 5 ± 1, then 60 ± 5, then 5 ± 1 ms each way\n`)
  const per = (key, unit) => ['near', 'far', 'again'].map((label) => [`${label} ${unit}`, (row) => row[`${label}${key}`]])
  console.log(
    table(
      [
        ['variant', (row) => row.variant],
        ['mean cost', (row) => row.cost],
        ...per('Cost', 'cost'),
        ...per('P95', 'p95 ms'),
        ...per('Cloud', 'cloud %'),
        ...COUNTS,
      ],
      rows,
    ),
  )
}

if (!options.quick && !options.only) save('routing-live', results)
const all = Object.values(results).flatMap((part) => (Array.isArray(part) ? part : Object.values(part ?? {}).flat()))
const bad = all.flatMap((row) => row?.repetitions ?? []).filter(({ lost, wrong, errors }) => lost || wrong || errors)
if (bad.length > 0) say(`${bad.length} runs lost items, mixed them up or failed`)
await proxy.stop()
await service.kill()
process.exit(bad.length > 0 ? 1 : 0)
