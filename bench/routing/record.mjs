// Problem: made-up worlds are kinder to a policy than real ones.
// Answer: traces for bench/replay of what both sides really took: each item is given to the edge and then to the cloud, with a real detector on
// either side and the network of proxy.mjs between. Chunks of 16 ms to 2 s; 3,000 items a trace.
//
//   vad-quiet           5 ± 1 ms each way; the edge interprets (as where code may not be compiled), so that neither side is always better
//   vad-delay-step      the same, 40 ± 4 ms each way from 35% of the items to 70%
//   vad-compiled        5 ± 1 ms each way; the edge runs compiled code, and is always better
//
//   node bench/routing/record.mjs [--quick] [--only vad-quiet]
//
// Writes bench/replay/traces/NAME.jsonl, one `{ tMs, bytes, edgeMs, cloudMs, edgeOk, cloudOk }` a line; with --quick only says what it would.
// Items come 10 ms after one another's end on average, so `tMs` is a time at which both sides were idle: nothing waits for anything.

import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { compileModule } from '@remotemedia/wasmedge'
import { microphone, mixedSize, randomOf } from './lib/audio.mjs'
import { mean, percentile, say, sleep, table } from './lib/figures.mjs'
import { cloudNode, edgeNode } from './lib/nodes.mjs'
import { startProxy, startService } from './lib/processes.mjs'

const { values: options } = parseArgs({ options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } } })
const TRACES = fileURLToPath(new URL('../replay/traces', import.meta.url))
const ITEMS = options.quick ? 60 : 3_000
const WARM = options.quick ? 10 : 50
const PAUSE_MS = 10
const TIMEOUT_MS = 2_000
const NEAR = { delayMs: 5, jitterMs: 1 }
const FAR = { delayMs: 40, jitterMs: 4 }

const RECORDINGS = [
  { name: 'vad-quiet', edge: { mode: 'interpreter' }, seed: 1, network: () => NEAR },
  { name: 'vad-delay-step', edge: { mode: 'interpreter' }, seed: 2, network: (share) => (share >= 0.35 && share < 0.7 ? FAR : NEAR) },
  { name: 'vad-compiled', edge: { mode: 'aot' }, seed: 3, network: () => NEAR },
].filter(({ name }) => !options.only || name === options.only)

/** How long a side takes, and whether it answers. */
async function ask(node, item, sessionId) {
  const began = performance.now()
  const ok = await node.call(item, { sessionId, timeoutMs: TIMEOUT_MS }).then(
    (packets) => packets.length > 0,
    () => false,
  )
  return [performance.now() - began, ok]
}

async function record({ edge: mode, network, seed }) {
  const service = await startService()
  const proxy = await startProxy(service.port, NEAR)
  const [edge, cloud] = [edgeNode(mode), cloudNode(proxy.port)]
  await Promise.all([edge.initialize(), cloud.initialize()])
  const random = randomOf(seed)
  const next = microphone()
  const items = []
  let began
  let now = NEAR
  for (let index = -WARM; index < ITEMS; index++) {
    const wish = network(index / ITEMS)
    if (wish !== now) await proxy.set((now = wish))
    if (index === 0) began = performance.now()
    const item = next(mixedSize(random))
    const tMs = performance.now() - began
    // The first is not always the same side.
    const order = index % 2 === 0 ? ['edge', 'cloud'] : ['cloud', 'edge']
    const took = {}
    for (const side of order) took[side] = await ask(side === 'edge' ? edge : cloud, item, 'microphone')
    const round = (ms) => Math.round(ms * 1e3) / 1e3
    const [[edgeMs, edgeOk], [cloudMs, cloudOk]] = [took.edge, took.cloud]
    if (index >= 0) {
      items.push({ tMs: Math.round(tMs), bytes: item.samples.byteLength, edgeMs: round(edgeMs), cloudMs: round(cloudMs), edgeOk, cloudOk })
    }
    await sleep(-Math.log(1 - random()) * PAUSE_MS)
  }
  await Promise.all([edge.cleanup(), cloud.cleanup()])
  await proxy.stop()
  await service.kill()
  return items
}

await compileModule(import.meta.resolve('@remotemedia/wasmedge/modules/vad.wasm'))
const rows = []
for (const recording of RECORDINGS) {
  say(`${recording.name}: ${ITEMS} items`)
  const items = await record(recording)
  const text = items.map((item) => `${JSON.stringify(item)}\n`).join('')
  const file = path.join(TRACES, `${recording.name}.jsonl`)
  if (!options.quick) {
    mkdirSync(TRACES, { recursive: true })
    writeFileSync(file, text)
  }
  const of = (key) => items.map((item) => item[key])
  rows.push({
    name: recording.name,
    items: items.length,
    seconds: items.at(-1).tMs / 1e3,
    kib: text.length / 1024,
    better: (100 * items.filter(({ edgeMs, cloudMs }) => cloudMs < edgeMs).length) / items.length,
    edge: percentile(of('edgeMs'), 50),
    edgeMean: mean(of('edgeMs')),
    cloud: percentile(of('cloudMs'), 50),
    cloudMean: mean(of('cloudMs')),
    best: mean(items.map(({ edgeMs, cloudMs }) => Math.min(edgeMs, cloudMs))),
    failed: items.filter(({ edgeOk, cloudOk }) => !edgeOk || !cloudOk).length,
  })
}
console.log(
  table(
    [
      ['trace', (row) => row.name],
      ['items', (row) => row.items],
      ['seconds', (row) => row.seconds],
      ['KiB', (row) => row.kib],
      ['edge p50 ms', (row) => row.edge],
      ['mean', (row) => row.edgeMean],
      ['cloud p50 ms', (row) => row.cloud],
      ['mean', (row) => row.cloudMean],
      ['the better, mean', (row) => row.best],
      ['cloud better %', (row) => row.better],
      ['failed', (row) => row.failed],
    ],
    rows,
  ),
)
process.exit(0)
