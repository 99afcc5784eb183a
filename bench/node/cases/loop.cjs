'use strict'
// How late the event loop gets while all processors compute: `vad` on ten seconds of audio at a time, several at once on each
// processor. Parameters: variant (idle, ours, piscina), warmMs, measureMs.

const { readFileSync } = require('node:fs')
const { availableParallelism } = require('node:os')
const paths = require('../lib/paths.cjs')
const { params, report, run, Window, sleep } = require('../lib/measure.cjs')

const { variant, warmMs, measureMs } = params
const THREADS = availableParallelism()
const IN_FLIGHT = THREADS * 4

run(async () => {
  const audio = readFileSync(paths.audio)
  let call = null
  if (variant === 'ours') {
    const { WasmEdgeNode } = require(paths.root)
    const node = new WasmEdgeNode(paths.guest('vad'), { mode: 'aot' })
    await node.initialize()
    call = (lane) => node.call(audio, { sessionId: `session-${lane}` })
  } else if (variant === 'piscina') {
    const { Piscina } = require('piscina')
    const pool = new Piscina({
      filename: require.resolve('../lib/pool-worker.cjs'),
      minThreads: THREADS,
      maxThreads: THREADS,
      workerData: { guest: paths.guest('vad'), config: {} },
    })
    call = () => pool.run(audio, { name: 'count' })
  }
  let stop = false
  let done = 0
  const lane = async (index) => {
    while (!stop) {
      await call(index)
      done++
    }
  }
  if (call) {
    for (let i = 0; i < IN_FLIGHT; i++)
      lane(i).catch((error) => {
        console.error(error)
        process.exit(1)
      })
  }
  await sleep(warmMs)
  const window = new Window()
  done = 0
  window.start()
  await sleep(measureMs)
  const { seconds, cpuSeconds, loopP99Ms, loopMaxMs } = window.stop()
  const audioSeconds = (done * audio.length) / 4 / 16_000
  stop = true
  report({ loopP99Ms, loopMaxMs, processorsBusy: cpuSeconds / seconds, audioSecondsPerSecond: audioSeconds / seconds })
})
