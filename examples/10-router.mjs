// A router learns which side is better for which item, and goes on when one of them is gone: the cloud is closed half-way, and no item is
// lost. The work is the same on both sides: how many sentences a text has.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { IntelligentRouter, RemoteObjectNode, RemoteProcessingService, WasmEdgeNode } from '@remotemedia/wasmedge'

const module = import.meta.resolve('@remotemedia/wasmedge/modules/tokenize.wasm')
const config = { mode: 'sentences' }

// The edge is a small device: interpreted, the module takes a tenth of a second for a long text. The cloud is quick, and 5 ms away.
const edge = new WasmEdgeNode(module, { name: 'edge', mode: 'interpreter', config, stateless: true })
const fast = new WasmEdgeNode(module, { name: 'cloud', mode: 'auto', config, stateless: true })
const service = new RemoteProcessingService({ port: 0 }).register('Sentences', async (packet) => {
  await sleep(5)
  return (await fast.call(packet.data))[0].data
})
const { port } = await service.listen()
const cloud = new RemoteObjectNode({ host: '127.0.0.1', port, nodeType: 'Sentences', maxRetries: 0 })

const router = new IntelligentRouter({ edge, cloud, circuitBreaker: { failureThreshold: 3, resetTimeoutMs: 60_000 }, seed: 1 })
router.on('breaker', ({ target, from, to }) => console.log(`    the ${target}'s breaker: ${from} -> ${to}`))
router.on('fallback', ({ from, to, error, sequence }) => console.log(`    #${sequence}: ${from} -> ${to} after ${error.code}`))

const SENTENCE = 'It was a bright cold day in April, and the clocks were striking thirteen. '
const TEXTS = 150
/** One to fifty sentences. */
const length = (index) => 1 + ((index * 17) % 50)

async function* texts() {
  for (let index = 0; index < TEXTS; index += 1) {
    if (index === TEXTS / 2) {
      console.log('the cloud is closed')
      await service.close({ graceMs: 1 })
    }
    yield SENTENCE.repeat(length(index))
    await sleep(10) // as they come
  }
}

const routes = { before: {}, after: {} }
let answered = 0
for await (const { sequence, data, route } of router.process(texts())) {
  assert.equal(data.count, length(sequence))
  answered += 1
  const part = routes[sequence < TEXTS / 2 ? 'before' : 'after']
  part[route.target] = (part[route.target] ?? 0) + 1
  const instead = route.fallback ? ' in the end, although' : ', because'
  if (sequence % 15 === 0) console.log(`#${sequence}, ${data.count} sentences: ${route.target}${instead} ${route.reason}`)
}
assert.equal(answered, TEXTS)

const { byReason, fallbacks, policy } = router.metrics()
console.log(`${answered} of ${TEXTS} texts answered`, routes)
console.log({ fallbacks, byReason, learnedBytes: policy.thresholds.learnedBytes })
// The same rule, asked without an item going anywhere.
const { target, rule, predicted } = router.decide(SENTENCE.repeat(40))
console.log(`now: ${target} (${rule}), expected to take ${predicted.edge.latencyMs.toFixed(0)} ms there`)

await router.cleanup()
await fast.cleanup()
