// Problem: a few slow answers make the tail of the latency, and a second request helps only if it is sent at the right time and seldom enough.
// Answer: a service that answers most requests in about 5 ms and a few in 200 ms, by chance and for each request anew (tail-server.mjs), asked
// through a `cloud-first` router without and with `hedge`, and by a client with its own `hedge`; for several shares of slow answers.
//
// 24 sessions, each with one request at a time and a pause of 10 ms on average before the next, so that no request waits for another's answer.
// The budget is 2% second requests throughout. Mark: the p99.9 cut five times.
//
//   node bench/routing/hedge.mjs [--quick] [--tails 0.5,1,1.5,2] [--requests 20000] [--reps 3]
//
// Writes bench/results/routing-hedge.json, unless --quick or --tails.

import { parseArgs } from 'node:util'
import { IntelligentRouter, RemoteExecutionClient, RemoteObjectNode } from '@remotemedia/wasmedge'
import { describeMachine } from '../lib/machine.mjs'
import { randomOf } from './lib/audio.mjs'
import { medians, percentile, save, say, sleep, table } from './lib/figures.mjs'
import { startTail } from './lib/processes.mjs'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    tails: { type: 'string' },
    requests: { type: 'string' },
    reps: { type: 'string' },
  },
})
const requests = Number(options.requests ?? (options.quick ? 1_200 : 20_000))
const reps = Number(options.reps ?? (options.quick ? 1 : 3))
const SESSIONS = 24
const PAUSE_MS = 10
/** Requests before it is counted: connections are made, the router knows its percentile. */
const WARM = options.quick ? 400 : 2_000
const BUDGET = 2
/** Well above the body on a busy machine, far below the tail. */
const DELAY_MS = 25

const VARIANTS = [
  { name: 'no hedge' },
  { name: 'percentile 95', hedge: { percentile: 95, maxPercent: BUDGET } },
  { name: 'percentile 99', hedge: { percentile: 99, maxPercent: BUDGET } },
  { name: `percentile 95, not before ${DELAY_MS} ms`, hedge: { percentile: 95, minDelayMs: DELAY_MS, maxPercent: BUDGET } },
  { name: `after ${DELAY_MS} ms`, hedge: { delayMs: DELAY_MS, maxPercent: BUDGET } },
  { name: `client, after ${DELAY_MS} ms`, client: { delayMs: DELAY_MS, maxPercent: BUDGET } },
]
const shares = (options.tails ?? (options.quick ? '1' : '0.5,1,1.5,2')).split(',').map(Number)
const variants = options.quick ? VARIANTS.filter(({ name }) => !/9[57]$/.test(name)) : VARIANTS

/** One request after another through one stream. */
async function ask(node, count, random, note) {
  let answered
  let began
  async function* source() {
    for (let left = count(); left > 0; left = count()) {
      await sleep(-Math.log(1 - random()) * PAUSE_MS)
      const done = new Promise((resolve) => (answered = resolve))
      began = performance.now()
      yield new Uint8Array(640)
      await done
    }
  }
  // The source is asked for the next item before this one is answered; it waits there.
  for await (const packet of node.process(source())) {
    note(performance.now() - began, packet)
    answered()
  }
}

async function measure(server, { hedge, client }) {
  const remote = { host: '127.0.0.1', port: server.port, nodeType: 'Tail', format: 'raw', idempotent: true }
  const cloud = new RemoteObjectNode({ ...remote, ...(client ? { hedge: client } : {}) })
  // Nothing fails, so the edge is never needed; were it asked, its answer would be counted.
  const edge = async function* (source) {
    for await (const packet of source) yield packet
  }
  const router = new IntelligentRouter({ edge, cloud, strategy: 'cloud-first', seed: 1, ...(hedge ? { hedge } : {}) })
  await router.initialize()
  const counter = await RemoteExecutionClient.connect({ host: '127.0.0.1', port: server.port })
  const count = async () => (await counter.executeNode('Count', {}, {})).data
  const times = []
  let [sent, edges] = [0, 0]
  const run = (all) => {
    const end = sent + all
    return Promise.all(
      Array.from({ length: SESSIONS }, (_, index) =>
        ask(
          router,
          () => (sent < end ? end - sent++ : 0),
          randomOf(index + sent),
          (ms, { route }) => {
            times.push(ms)
            edges += route.target === 'edge' ? 1 : 0
          },
        ),
      ),
    )
  }
  await run(WARM)
  times.length = 0
  const before = router.metrics()
  await count()
  const began = performance.now()
  await run(requests)
  const seconds = (performance.now() - began) / 1000
  const { requests: served, slow } = await count()
  const after = router.metrics()
  await counter.close()
  await router.cleanup()
  return {
    p50: percentile(times, 50),
    p95: percentile(times, 95),
    p99: percentile(times, 99),
    p999: percentile(times, 99.9),
    slowest: Math.max(...times),
    extra: (100 * (served - requests)) / requests,
    slow: (100 * slow) / served,
    hedges: after.hedges - before.hedges,
    perSecond: requests / seconds,
    answered: times.length,
    edges,
  }
}

const results = { date: new Date().toISOString(), quick: options.quick, requests, reps, sessions: SESSIONS, pauseMs: PAUSE_MS, tails: {} }
results.machine = await describeMachine()
let lost = 0
for (const tailPercent of shares) {
  const rows = variants.map(() => [])
  for (let rep = 0; rep < reps; rep++) {
    for (let i = 0; i < variants.length; i++) {
      const at = (i + rep) % variants.length
      say(`${tailPercent}% slow: ${variants[at].name}, ${rep + 1} of ${reps}`)
      const server = await startTail({ tailPercent, seed: 1 + rep })
      const row = await measure(server, variants[at])
      await server.kill()
      lost += requests - row.answered
      rows[at].push({ variant: variants[at].name, ...row })
    }
  }
  for (const row of rows) for (const [rep, one] of row.entries()) one.cut = rows[0][rep].p999 / one.p999
  const summary = rows.map((repetitions) => ({ ...medians(repetitions), repetitions }))
  results.tails[tailPercent] = summary
  console.log(`\n${tailPercent}% of the answers after 200 ms, the others after 3.5 to 6.5 ms; ${requests} requests\n`)
  const columns = [['variant', (row) => row.variant], ...['p50', 'p95', 'p99', 'p999'].map((key) => [key, (row) => row[key]])]
  columns.push(['p99.9 cut ×', (row) => row.cut], ['extra %', (row) => row.extra], ['requests/s', (row) => Math.round(row.perSecond)])
  console.log(table(columns, summary))
}
if (!options.quick && !options.tails) save('routing-hedge', results)
if (lost > 0) say(`${lost} requests were not answered`)
process.exit(lost > 0 ? 1 : 0)
