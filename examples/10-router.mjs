// A router whose cloud is closed half-way: no item is lost, and it says of each where it ran and why.
import { IntelligentRouter, RemoteObjectNode, RemoteProcessingService, WasmEdgeNode } from '@remotemedia/wasmedge'

// Stands for a RemoteMedia service elsewhere.
const service = new RemoteProcessingService({ port: 0 }).register('Echo', (packet) => packet.data)
const { port } = await service.listen()

const router = new IntelligentRouter({
  edge: new WasmEdgeNode(import.meta.resolve('@remotemedia/wasmedge/modules/echo.wasm')),
  cloud: new RemoteObjectNode({ host: '127.0.0.1', port, nodeType: 'Echo', maxRetries: 0 }),
  strategy: 'cloud-first',
  circuitBreaker: { failureThreshold: 3 },
})
router.on('breaker', ({ target, from, to }) => console.log(`  the ${target}'s circuit breaker: ${from} -> ${to}`))

async function* items() {
  for (let item = 0; item < 40; item++) {
    if (item === 20) await service.close({ graceMs: 1 })
    yield `item ${item}`
  }
}

let last
let count = 0
for await (const { data, route } of router.process(items(), { timeoutMs: 5_000 })) {
  count++
  const way = `${route.target}${route.fallback ? ' after a failure' : ''}: ${route.reason.replace(/\d+ ms/, '… ms')}`
  if (way !== last) console.log(`${data}: ${way}`)
  last = way
}
const { byTarget, fallbacks, errors } = router.metrics()
console.log({ answered: count, byTarget, fallbacks, errors })
await router.cleanup()
