// How a module runs: what is in it, the mode `auto` switching from the interpreter to compiled code under a running session, and
// compiling ahead of time.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// An empty cache, so that there is something to see; read when the engine first looks for compiled code.
const cache = mkdtempSync(join(tmpdir(), 'wasmedge-example-'))
process.env.RM_WASMEDGE_CACHE_DIR = cache
process.on('exit', () => rmSync(cache, { recursive: true, force: true }))

const { WasmEdgeNode, compileModule, inspectModule, runtimeInfo } = await import('@remotemedia/wasmedge')
const gain = import.meta.resolve('@remotemedia/wasmedge/modules/gain.wasm')
const audio = { samples: new Float32Array(320).fill(0.5), sampleRate: 16_000 }

const info = await inspectModule(gain)
console.log(`gain.wasm: ${info.bytes} bytes, ${info.functions} functions, starts with ${info.memory.minBytes >> 10} KiB`)
for (const { module, name, signature, grant } of info.imports) console.log(`  imports ${module}.${name} ${signature}, grant: ${grant}`)

const auto = new WasmEdgeNode(gain)
await auto.initialize()
console.log(`\nauto starts with: ${auto.metrics().mode}`)
const started = performance.now()
while (auto.metrics().instancesMoved === 0 && performance.now() - started < 30_000) {
  await auto.call(audio, { sessionId: 'live' })
  // Somebody who can only interpret would wait for ever.
  if (!runtimeInfo().nativeCode) break
}
const { mode, callsByMode, instancesCreated, instancesMoved, compileMs } = auto.metrics()
console.log(`auto goes on with: ${mode}, compiled in ${compileMs.toFixed(0)} ms beside the work`)
console.log('the same session all along:', { callsByMode, instancesCreated, instancesMoved })
await auto.cleanup()

// At build or deploy time: whoever starts later finds compiled code.
if (runtimeInfo().nativeCode) {
  const { cached, artifactBytes } = await compileModule(gain)
  console.log(`\ncompileModule: in the cache already: ${cached}, ${artifactBytes} bytes`)
}

for (const wanted of runtimeInfo().nativeCode ? ['interpreter', 'aot', 'jit'] : ['interpreter']) {
  const node = new WasmEdgeNode(gain, { mode: wanted })
  for (let item = 0; item < 200; item += 1) await node.call(audio, { sessionId: 'one' })
  const { execMs } = node.metrics()
  console.log(`${wanted.padEnd(12)} half of the calls took ${(execMs.p50 * 1000).toFixed(0)} us or less`)
  await node.cleanup()
}

const { version, wasmedgeVersion, platform, arch, nativeCode, parallelism, signalHandlersIntact } = runtimeInfo()
console.log({ version, wasmedgeVersion, platform, arch, nativeCode, parallelism, signalHandlersIntact })
