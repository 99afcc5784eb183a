'use strict'
// Microseconds of `vad` per 16 ms frame. Parameters: variant (aot, jit, interpreter, v8), chunkSamples, warmMs, measureMs.
//
// With chunks of seconds the way between JavaScript and the guest is a thousandth of the time; with chunks of one frame it is what a
// live stream would pay. `guestUsPerFrame` is the engine's own clock around the guest.

const { readFileSync } = require('node:fs')
const paths = require('../lib/paths.cjs')
const { params, report, run } = require('../lib/measure.cjs')

const FRAME = 256
const { variant, chunkSamples, warmMs, measureMs } = params

run(async () => {
  const audio = readFileSync(paths.audio)
  const chunks = []
  for (let at = 0; at < audio.length; at += chunkSamples * 4) chunks.push(audio.subarray(at, at + chunkSamples * 4))

  let work
  let node
  if (variant === 'v8') {
    const { V8Guest } = require('../lib/v8-guest.cjs')
    const guest = new V8Guest(paths.guest('vad'))
    work = (chunk) => guest.process(chunk).length
  } else {
    const { WasmEdgeNode } = require(paths.root)
    node = new WasmEdgeNode(paths.guest('vad'), { mode: variant })
    const options = { sessionId: 'bench' }
    work = async (chunk) => (await node.call(chunk, options)).length
  }

  let events = 0
  for (const chunk of chunks) {
    const count = work(chunk)
    events += typeof count === 'number' ? count : await count
  }
  const repeat = async (ms) => {
    const started = performance.now()
    let at = 0
    let bytes = 0
    while (performance.now() - started < ms) {
      const chunk = chunks[at++ % chunks.length]
      const done = work(chunk)
      if (typeof done !== 'number') await done
      bytes += chunk.length
    }
    return { us: (performance.now() - started) * 1000, frames: bytes / 4 / FRAME }
  }
  await repeat(warmMs)
  const before = node?.metrics()
  const cpu = process.cpuUsage()
  const { us, frames } = await repeat(measureMs)
  const { user, system } = process.cpuUsage(cpu)
  const after = node?.metrics()
  if (after && after.callsByMode[variant] !== after.items) throw new Error(`not all calls ran in mode ${variant}`)
  const guestMs = after && after.execMs.total - before.execMs.total
  report({
    usPerFrame: us / frames,
    guestUsPerFrame: guestMs ? (guestMs * 1000) / frames : null,
    cpuUsPerFrame: (user + system) / frames,
    frames,
    events,
  })
})
