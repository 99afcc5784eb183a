// A guest calls a function of the application. The function may be async: the guest waits on a thread of its own, the event loop goes on.

import { setTimeout as sleep } from 'node:timers/promises'

import { WasmEdgeNode } from '@remotemedia/wasmedge'

// This guest hands each item to a host function named `double` and answers with what comes back.
const guest = new URL('../wasm-modules/dist/fixtures/call_host.wasm', import.meta.url)

const node = new WasmEdgeNode(guest, {
  hostFunctions: {
    async double(data, { sessionId }) {
      await sleep(20) // a database, another service
      return `${data} ${data} (${sessionId})`
    },
  },
})

let ticks = 0
const clock = setInterval(() => (ticks += 1), 1)
for await (const packet of node.process(['one', 'two'], { sessionId: 'alice' })) console.log(packet.data.toString())
clearInterval(clock)
console.log(`the event loop went on meanwhile: ${ticks > 10}`)
await node.cleanup()

// What the function throws is the cause of the error; one that takes too long runs into the item's deadline.
const broken = {
  throws() {
    throw new RangeError('no such row')
  },
  'returns a number': () => 42,
  'never answers': () => new Promise(() => {}),
}
for (const [name, double] of Object.entries(broken)) {
  const failing = new WasmEdgeNode(guest, { hostFunctions: { double }, timeoutMs: 100 })
  const error = await failing.call('item').catch((error) => error)
  console.log(`${name}: ${error.code}, ${error.message}`, error.cause instanceof RangeError ? '[cause: RangeError]' : '')
  await failing.cleanup()
}

// Without the option the module is not even linked: a guest gets only what its node was granted.
const bare = new WasmEdgeNode(guest)
await bare.initialize().catch((error) => console.log(`not granted: ${error.code}, ${error.message}`))
await bare.cleanup()
