// The whole story in one program: a recording goes through a pipeline whose router asks a model in the cloud only where the edge is unsure.
//
//   node examples/demo.mjs [FILE.wav] [--report FILE.html] [--quick]
//
// Problem: what a router saves, and what it costs in quality, cannot be told, only shown. Answer: starts the service of cloud/server.mjs (Silero
// VAD on ONNX Runtime) as another process, takes the recording through resampling, detection and segments, and then through the cloud alone, so
// that both can be compared; `--quick` leaves that out. Everything that is printed was measured. It is no benchmark: bench/ is.

import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { IntelligentRouter, Pipeline, RemoteMediaError, RemoteObjectNode, WasmEdgeNode, compileModule } from '@remotemedia/wasmedge'
import terminal from '../js/cli/terminal.js'
import views from '../js/cli/view.js'
import { SPEECH, framesOf, segments } from './support/segments.mjs'
import { WavError, chunks, readWav } from './support/wav.mjs'

const { bytes, plural, progress, table, waiting } = terminal
const here = (file) => fileURLToPath(new URL(file, import.meta.url))
const moduleOf = (name) => import.meta.resolve(`@remotemedia/wasmedge/modules/${name}.wasm`)

/** One item of the router: long enough for the model to hear what it judges, short enough for a conversation. */
const ITEM_MS = 512
const RATE = 16_000
/** Scores between these are for the cloud to decide. */
const UNSURE = { low: 0.4, high: 0.6 }

/** The service as another process: its port, and what ends it. */
async function startCloud() {
  const child = spawn(process.execPath, [here('cloud/server.mjs'), '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const port = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`the cloud service ended with ${code} before it was ready`)))
    child.stdout.on('data', (text) => {
      const found = /listening \S+:(\d+)/.exec(text)
      if (found) resolve(Number(found[1]))
    })
  })
  const stop = () => {
    child.kill()
    return ended
  }
  return { port, stop }
}

/** All frames of an item as one packet: the edge scores each by itself, the cloud all at once. */
async function* frames(source) {
  let item
  for await (const { data, sequence, route } of source) {
    // What the edge still held at the end says nothing of a route; it belongs to the last item.
    const more = item && (item.sequence === sequence || (item.route && !route))
    if (!more) {
      if (item) yield item
      item = { data: [], sequence, route }
    }
    item.data.push(...framesOf({ data, sequence, route: item.route }, ITEM_MS))
  }
  if (item) yield item
}

const resample = () => new WasmEdgeNode(moduleOf('resample'), { name: 'resample', config: { sampleRate: RATE, channels: 1 } })
const silero = (port) =>
  new RemoteObjectNode({ host: '127.0.0.1', port, nodeType: 'VoiceActivityDetector', config: { output: 'scores' }, name: 'silero' })

/** A recording through a pipeline around `detector`: every frame with its score and who gave it, and what was sent. */
async function listen({ audio, title, detector, cloud, report, signal }) {
  // One item at a time, as from a microphone, so that times are those of items and not of a queue.
  const pipeline = new Pipeline([resample(), detector, frames], { name: title, bufferSize: 1 })
  const bar = progress(title, audio.seconds)
  const view = await views.open(pipeline, title, { report })
  const [found, routes] = [[], []]
  let items = 0
  try {
    for await (const { data, route } of views.watched(pipeline, view)(chunks(audio, ITEM_MS), { signal })) {
      found.push(...data)
      if (route) routes.push(route)
      items += 1
      bar.show((items * ITEM_MS) / 1000, plural(items, 'item'))
    }
    return { frames: found, routes, items, cloud: cloud.metrics(), router: detector.metrics() }
  } finally {
    bar.end()
    await view?.close()
    await pipeline.cleanup()
  }
}

function printSegments(found) {
  if (found.length === 0) return console.log('No speech was found.\n')
  const rows = found.map(({ startMs, endMs, cloudMs }, index) => {
    const share = cloudMs / (endMs - startMs)
    const by = share === 0 ? 'edge' : share === 1 ? 'cloud' : `edge, cloud ${Math.round(share * 100)}%`
    return [index + 1, (startMs / 1000).toFixed(2), (endMs / 1000).toFixed(2), by]
  })
  console.log(table(rows, ['#', 'start s', 'end s', 'decided by']))
}

const quantile = (values, share) => values.sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]
const ms = (values) =>
  values.length === 0 ? 'never asked' : `p50 ${quantile(values, 0.5).toFixed(2)} ms, p95 ${quantile(values, 0.95).toFixed(2)} ms`
const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)}%`

function printFigures(routed, alone) {
  const { routes } = routed
  const times = (side) => routes.map((route) => route[side]).filter((time) => time !== undefined)
  const at = (target) => routes.filter((route) => route.target === target).length
  const { fallbacks, escalations } = routed.router
  const rows = [
    [
      'items',
      `${routed.items} of ${ITEM_MS} ms: ${at('edge')} answered at the edge, ${at('cloud')} in the cloud (${percent(at('cloud'), routed.items)})`,
    ],
    ['why', `the edge was unsure of ${escalations}; ${plural(fallbacks, 'fallback')}`],
    ['at the edge', ms(times('edgeMs'))],
    ['in the cloud', ms(times('cloudMs'))],
    ['sent', bytes(routed.cloud.bytesSent)],
  ]
  if (alone) {
    const saved = alone.cloud.bytesSent - routed.cloud.bytesSent
    const same = routed.frames.filter(({ startMs, score }) => {
      const other = alone.frames.find((frame) => frame.startMs <= startMs && startMs < frame.endMs)
      return other && other.score >= SPEECH === score >= SPEECH
    }).length
    rows.push(
      ['cloud alone', `${bytes(alone.cloud.bytesSent)} for the same items, ${alone.cloud.latencyMs.mean.toFixed(2)} ms each on average`],
      [
        'saved',
        `${bytes(saved)}, ${percent(saved, alone.cloud.bytesSent)} of the bytes and ${percent(alone.items - at('cloud'), alone.items)} of the calls`,
      ],
      ['agreement', `${percent(same, routed.frames.length)} of the frames are judged as by the cloud alone`],
    )
  }
  for (const [name, value] of rows) console.log(`  ${name.padEnd(13)} ${value}`)
}

async function main(signal) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { report: { type: 'string', default: here('../target/demo/report.html') }, quick: { type: 'boolean', default: false } },
  })
  const file = positionals[0] ?? here('audio/speech-in-noise.wav')
  const audio = readWav(file)
  mkdirSync(dirname(values.report), { recursive: true })
  const wait = waiting('starting Silero VAD, compiling the modules ...')
  const [cloud] = await Promise.all([startCloud(), compileModule(moduleOf('vad')), compileModule(moduleOf('resample'))]).finally(wait.end)
  try {
    const far = silero(cloud.port)
    const router = new IntelligentRouter({
      name: 'vad',
      edge: new WasmEdgeNode(moduleOf('vad'), { name: 'vad at the edge', config: { output: 'scores' } }),
      cloud: far,
      strategy: 'hybrid',
      hybrid: { escalate: { confidence: 'score', ...UNSURE } },
    })
    const routed = await listen({ audio, title: 'edge and cloud', detector: router, cloud: far, report: values.report, signal })
    const only = silero(cloud.port)
    const alone = values.quick ? undefined : await listen({ audio, title: 'cloud alone', detector: only, cloud: only, signal })

    console.log(`Speech in ${basename(file)}, ${audio.seconds.toFixed(2)} s:\n`)
    printSegments(segments(routed.frames))
    printFigures(routed, alone)
    const near = relative(process.cwd(), values.report)
    console.log(`\nThe report of the run is in ${near.startsWith('..') ? values.report : join(near)}`)
  } finally {
    await cloud.stop()
  }
}

const stop = new AbortController()
process.once('SIGINT', () => stop.abort(new Error('stopped')))
try {
  await main(stop.signal)
} catch (error) {
  const expected =
    stop.signal.aborted || error instanceof WavError || error instanceof RemoteMediaError || error.code?.startsWith('ERR_PARSE_ARGS')
  if (!expected) throw error
  console.error(`demo: ${error.message}`)
  process.exitCode = stop.signal.aborted ? 130 : 1
}
