'use strict'
// What idle sessions of `vad` cost. Parameters: variant (aot, v8), sessions. Every session has scored a frame.

const { readFileSync } = require('node:fs')
const paths = require('../lib/paths.cjs')
const { params, report, run, sleep } = require('../lib/measure.cjs')

const frame = Buffer.alloc(1024)
const { variant, sessions } = params

async function settled() {
  for (let i = 0; i < 3; i++) {
    global.gc()
    await sleep(50)
  }
  return process.memoryUsage.rss()
}

run(async () => {
  let open
  const kept = []
  if (variant === 'v8') {
    const { V8Guest } = require('../lib/v8-guest.cjs')
    const module = new WebAssembly.Module(readFileSync(paths.guest('vad')))
    open = () => {
      const guest = new V8Guest(module)
      guest.process(frame)
      kept.push(guest)
    }
  } else {
    const { WasmEdgeNode } = require(paths.root)
    const node = new WasmEdgeNode(paths.guest('vad'), { mode: variant })
    kept.push(node)
    open = (i) => node.call(frame, { sessionId: `session-${i}` })
  }
  // The first session brings the code along; what the next ones add is what counts.
  await open('first')
  const before = await settled()
  const began = performance.now()
  for (let i = 0; i < sessions; i++) await open(i)
  const openMs = performance.now() - began
  const after = await settled()
  const open_ = variant === 'v8' ? sessions + 1 : kept[0].metrics().sessionsOpen
  if (open_ !== sessions + 1) throw new Error(`${open_} sessions are open`)
  report({
    deltaMb: (after - before) / 1e6,
    kbPerSession: (after - before) / 1e3 / sessions,
    totalRssMb: after / 1e6,
    openMsEach: openMs / sessions,
  })
})
