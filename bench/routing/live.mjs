// The router over real nodes: speech detection at the edge (the module `vad`, interpreted, as on a machine without compiled code, so that long
// pieces are dear here) and in the cloud (Silero VAD, examples/cloud/server.mjs) behind a network that becomes slower and quick again. Pieces of
// audio from 10 ms to 2 s come at a steady pace.
//
//   node bench/routing/live.mjs [--quick] [--record FILE]     --record: both sides' times for every item, for bench/replay

import { writeFileSync } from 'node:fs'
import { readWav } from '../../examples/support/wav.mjs'
import { IntelligentRouter, RemoteObjectNode, WasmEdgeNode } from '../../js/index.mjs'
import { ms, percentile, sleep, start, table } from './support.mjs'

const quick = process.argv.includes('--quick')
const recordTo = process.argv.includes('--record') ? process.argv[process.argv.indexOf('--record') + 1] : undefined
const ITEMS = quick ? 200 : 900
const PACE_MS = 25
const NEAR_MS = 3
const FAR_MS = 60

const { samples, sampleRate } = readWav(new URL('../../examples/audio/speech-in-noise.wav', import.meta.url).pathname)
let seed = 99
const random = () => {
  seed = (seed * 1103515245 + 12345) % 2147483648
  return seed / 2147483648
}
/** Most pieces are short. */
const items = Array.from({ length: ITEMS }, () => {
  const length = Math.round(sampleRate * 0.01 * 200 ** (random() ** 1.5))
  const from = Math.floor(random() * (samples.length - length))
  return { samples: samples.slice(from, from + length), sampleRate }
})

const service = await start('../../examples/cloud/server.mjs', '--port', 0)
const proxy = await start('proxy.mjs', service.port, NEAR_MS)
const edge = () => new WasmEdgeNode(import.meta.resolve('../../wasm-modules/dist/vad.wasm'), { mode: 'interpreter' })
const cloud = () => new RemoteObjectNode({ host: '127.0.0.1', port: proxy.port, nodeType: 'VoiceActivityDetector' })
const router = (options) => new IntelligentRouter({ edge: edge(), cloud: cloud(), fallback: false, ...options })

/** Gives items at their pace, whether or not those before have been answered; the time of each. */
async function measure(node) {
  await node.initialize()
  const times = []
  const targets = []
  const answers = items.map(async (item, index) => {
    await sleep(index * PACE_MS)
    if (index === Math.floor(ITEMS / 3)) proxy.tell(`delay ${FAR_MS}`)
    if (index === Math.floor((2 * ITEMS) / 3)) proxy.tell(`delay ${NEAR_MS}`)
    const began = performance.now()
    let route
    for await (const packet of node.process([item])) route = packet.route ?? route
    times[index] = performance.now() - began
    targets[index] = route?.target
  })
  await Promise.all(answers)
  proxy.tell(`delay ${NEAR_MS}`)
  const figures = node.metrics()
  await node.cleanup()
  return { times, targets, figures }
}

const rows = []
const measured = {}
for (const [name, make] of [
  ['edge only', () => router({ strategy: 'edge-first' })],
  ['cloud only', () => router({ strategy: 'cloud-first' })],
  ['router', () => router({ strategy: 'auto', fallback: true })],
]) {
  const { times, figures } = await measure(make())
  measured[name] = times
  const mean = times.reduce((sum, time) => sum + time, 0) / times.length
  const share = figures.byTarget ? `${((100 * figures.byTarget.cloud) / figures.items).toFixed(0)}%` : ''
  rows.push([name, times.length, ms(mean), ...[50, 95, 99].map((percent) => ms(percentile(times, percent))), share, figures.errors])
}
console.log(table(['', 'items', 'mean ms', 'p50', 'p95', 'p99', 'in the cloud', 'failed'], rows))
if (recordTo) {
  const lines = items.map((item, index) => {
    const [edgeMs, cloudMs] = [measured['edge only'][index], measured['cloud only'][index]].map((time) => Number(time.toFixed(3)))
    return JSON.stringify({ tMs: index * PACE_MS, bytes: item.samples.byteLength, edgeMs, cloudMs, edgeOk: true, cloudOk: true })
  })
  writeFileSync(recordTo, `${lines.join('\n')}\n`)
}
await Promise.all([proxy.stop(), service.stop()])
