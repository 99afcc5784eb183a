// A service that is killed under load, and a network that refuses or swallows everything: what is lost, how long an item takes meanwhile, and
// how long until the cloud is used again.
//
//   node bench/routing/outage.mjs [--quick]

import { IntelligentRouter, RemoteObjectNode, WasmEdgeNode } from '../../js/index.mjs'
import { ms, percentile, sleep, start, table } from './support.mjs'

const [BEFORE_MS, OUT_MS, AFTER_MS] = process.argv.includes('--quick') ? [500, 1_500, 2_500] : [3_000, 10_000, 10_000]
const PACE_MS = 10

async function measure(kind, strategy) {
  let server = await start('server.mjs', 0, 3, 3, 0)
  const proxy = await start('proxy.mjs', server.port, 2)
  const edge = new WasmEdgeNode(import.meta.resolve('../../wasm-modules/dist/echo.wasm'))
  const cloud = new RemoteObjectNode({ host: '127.0.0.1', port: proxy.port, nodeType: 'Echo', maxRetries: 0, timeout: 1 })
  // The edge's work is made dear, or `auto` would never go to the cloud with an echo.
  const cost = strategy === 'auto' ? { edgeMs: 1_000 } : {}
  const router = new IntelligentRouter({ edge, cloud, strategy, cost })
  await router.initialize()
  const changes = []
  const began = performance.now()
  router.on('breaker', ({ target, to }) => changes.push(`${target} ${to} at ${Math.round(performance.now() - began - BEFORE_MS)} ms`))
  const [times, targets] = [[], []]
  let given = 0
  let failed = 0
  const one = async (index) => {
    const at = performance.now()
    try {
      for await (const { route } of router.process(['x'.repeat(200)], { timeoutMs: 5_000 }))
        targets[index] = { at: at - began, target: route.target }
      times[index] = { at: at - began, took: performance.now() - at }
    } catch {
      failed++
    }
  }
  const end = BEFORE_MS + OUT_MS + AFTER_MS
  const answers = []
  let out = false
  let back = false
  while (performance.now() - began < end) {
    const now = performance.now() - began
    if (!out && now >= BEFORE_MS) {
      out = true
      if (kind === 'killed') await server.stop('SIGKILL')
      else proxy.tell(kind)
    }
    if (!back && now >= BEFORE_MS + OUT_MS) {
      back = true
      if (kind === 'killed') server = await start('server.mjs', server.port, 3, 3, 0)
      else proxy.tell('pass')
    }
    answers.push(one(given++))
    await sleep(PACE_MS)
  }
  await Promise.all(answers)
  const during = times.filter((time) => time && time.at >= BEFORE_MS && time.at < BEFORE_MS + OUT_MS).map((time) => time.took)
  const again = targets.find((one) => one && one.at >= BEFORE_MS + OUT_MS && one.target === 'cloud')
  await router.cleanup()
  await Promise.all([proxy.stop(), server.stop()])
  const answered = times.filter(Boolean).length
  return [
    strategy,
    kind,
    given,
    given - answered,
    failed,
    ms(percentile(during, 50)),
    ms(percentile(during, 99)),
    ms(Math.max(...during)),
    again ? ms(again.at - BEFORE_MS - OUT_MS) : '–',
  ]
}

const rows = []
for (const strategy of ['cloud-first', 'auto'])
  for (const kind of ['killed', 'refuse', 'blackhole']) rows.push(await measure(kind, strategy))
console.log(table(['strategy', 'outage', 'items', 'lost', 'failed', 'p50 ms meanwhile', 'p99', 'most', 'cloud again after ms'], rows))
