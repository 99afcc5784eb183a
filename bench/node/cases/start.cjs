'use strict'
// From nothing to the first result of `vad`. Parameters: variant (auto, aot, v8); the cache folder comes from the environment, and
// whether it holds the compiled module decides what is measured.

const paths = require('../lib/paths.cjs')
const { params, report, run } = require('../lib/measure.cjs')

const frame = Buffer.alloc(1024)
const config = { output: 'scores' }

async function first(make) {
  const began = performance.now()
  const answer = await make()
  const took = performance.now() - began
  if (answer.length !== 1) throw new Error(`${answer.length} results`)
  return took
}

run(async () => {
  const ready = performance.now()
  let once
  let mode = () => 'v8'
  if (params.variant === 'v8') {
    const { V8Guest } = require('../lib/v8-guest.cjs')
    once = () => new V8Guest(paths.guest('vad'), config).process(frame)
  } else {
    const { WasmEdgeNode } = require(paths.root)
    let node
    once = () => {
      node = new WasmEdgeNode(paths.guest('vad'), { mode: params.variant, config })
      return node.call(frame)
    }
    mode = () => Object.entries(node.metrics().callsByMode).find(([, calls]) => calls > 0)[0]
  }
  const importMs = performance.now() - ready
  const firstMs = await first(once)
  const sinceProcessStartMs = performance.now()
  const servedBy = mode()
  const again = []
  for (let i = 0; i < 10; i++) again.push(await first(once))
  again.sort((a, b) => a - b)
  report({ importMs, firstMs, totalMs: importMs + firstMs, sinceProcessStartMs, warmMs: again[5], servedBy })
})
