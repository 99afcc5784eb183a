// What a second request buys on a server whose tail is heavy: one of its answers in a hundred takes a hundred times as long. Beside it, what it
// costs.
//
//   node bench/routing/hedge.mjs [--quick]

import { IntelligentRouter, RemoteObjectNode } from '../../js/index.mjs'
import { ms, percentile, start, table } from './support.mjs'

const items = process.argv.includes('--quick') ? 3_000 : 30_000
const SESSIONS = 8
const [BODY_MS, TAIL_MS, TAIL_PERCENT] = [5, 500, 1]

async function measure(hedge) {
  const server = await start('server.mjs', 0, BODY_MS, TAIL_MS, TAIL_PERCENT)
  const router = new IntelligentRouter({
    edge: async function* edge(stream) {
      for await (const packet of stream) yield packet
    },
    cloud: new RemoteObjectNode({ host: '127.0.0.1', port: server.port, nodeType: 'Echo' }),
    strategy: 'cloud-first',
    ...(hedge && { hedge }),
  })
  await router.initialize()
  const times = []
  const session = async () => {
    function* source() {
      for (let item = 0; item < items / SESSIONS; item++) yield 'x'.repeat(100)
    }
    for await (const { route } of router.process(source())) times.push(route.cloudMs)
  }
  await Promise.all(Array.from({ length: SESSIONS }, session))
  const figures = router.metrics()
  await router.cleanup()
  await server.stop()
  return { times, figures }
}

const rows = []
let without
for (const [name, hedge] of [
  ['without', undefined],
  ['percentile 98, at most 2%', { percentile: 98, maxPercent: 2 }],
  ['percentile 98, not before 40 ms, at most 2%', { percentile: 98, minDelayMs: 40, maxPercent: 2 }],
  ['after 60 ms, at most 2%', { delayMs: 60, maxPercent: 2 }],
]) {
  const { times, figures } = await measure(hedge)
  const [p50, p99, p999] = [50, 99, 99.9].map((percent) => percentile(times, percent))
  without ??= p999
  const extra = ((100 * figures.hedges) / figures.items).toFixed(2)
  rows.push([name, times.length, ms(p50), ms(p99), ms(p999), `${(without / p999).toFixed(1)}×`, `${extra}%`, figures.hedgesWon])
}
console.log(table(['hedge', 'items', 'p50 ms', 'p99 ms', 'p99.9 ms', 'p99.9 cut', 'extra requests', 'won'], rows))
