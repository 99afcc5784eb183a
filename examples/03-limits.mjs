// Guests that misbehave: each is stopped, each gives one typed error, and the process and the other sessions go on.

import { ConfigurationError, NodeError, WasmEdgeNode } from '@remotemedia/wasmedge'

const fixture = (name) => new URL(`../wasm-modules/dist/fixtures/${name}.wasm`, import.meta.url)

async function attempt(what, name, options, item = 'hello') {
  const node = new WasmEdgeNode(fixture(name), options)
  const started = performance.now()
  try {
    await node.call(item)
    console.log(`${what}: nothing happened`)
  } catch (error) {
    if (!(error instanceof NodeError)) throw error
    const trap = error.trap ? ` (${error.trap})` : ''
    console.log(`${what.padEnd(28)} ${error.code}${trap} after ${(performance.now() - started).toFixed(0)} ms\n    ${error.message}`)
  } finally {
    await node.cleanup()
  }
}

await attempt('an infinite loop', 'spin', { timeoutMs: 50 })
await attempt('a loop with a fuel limit', 'spin', { fuel: 1_000_000 })
await attempt('recursion without end', 'recurse')
await attempt('a read outside its memory', 'oob')
await attempt('a division by zero', 'div_zero')
await attempt('all the memory it can get', 'grow_bomb', { memoryLimit: 8 << 20 })
await attempt('a large output', 'emit_big', { maxOutputBytes: 64 << 10 })
await attempt('a pointer to nowhere', 'bad_ptr_emit')
await attempt('an import nobody provides', 'unknown_import')

// A session that lost its guest gets a new one; its neighbour never notices.
const node = new WasmEdgeNode(import.meta.resolve('@remotemedia/wasmedge/modules/echo.wasm'), { maxOutputBytes: 1_000 })
await node.call('kept', { sessionId: 'neighbour' })
const refused = await node.call('x'.repeat(2_000), { sessionId: 'greedy' }).catch((error) => error)
console.log(`greedy: ${refused.code}, state lost: ${refused.stateLost ?? false}`)
const [again] = await node.call('hello again', { sessionId: 'greedy' })
const [beside] = await node.call('still here', { sessionId: 'neighbour' })
console.log(`greedy says "${again.data}", neighbour says "${beside.data}"`)
console.log(`guests made: ${node.metrics().instancesCreated}, lost: ${node.metrics().instancesLost}`)
await node.cleanup()

// Wrong options are refused before anything runs, by name.
try {
  new WasmEdgeNode(fixture('spin'), { pool: { max: -1 } })
} catch (error) {
  console.log(`${error.name}, path ${error.path}: ${error.message}`, error instanceof ConfigurationError)
}
