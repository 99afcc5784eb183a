// Problem: what the project is for should be seen at once: one command, real models, real numbers.
// Answer: a service with Silero VAD is started as another process, and a recording goes through a pipeline: resampled, cut into windows, by a
// router to the module `vad` at the edge and to the service where that is unsure, to segments. Then the same recording goes to the service
// alone, to have something to compare with. What both did is printed; the run is kept as a report (HTML) and a picture (SVG).
//
//   node examples/demo.mjs [FILE.wav] [--report target/demo-report.html] [--speed 4] [--quick]
//
// --speed is how many times faster than it sounds the recording is played; 0 does not wait at all, and times then have queues in them.
// --quick leaves the comparison out. The service is on this machine: a cloud further away takes longer by the way there, on its side only.

import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { IntelligentRouter, Pipeline, RemoteObjectNode, WasmEdgeNode, compileModule, openView, runtimeInfo } from '@remotemedia/wasmedge'
import { Refused, UsageError, sentence } from '../js/cli/problems.js'
import { Stopping } from '../js/cli/stopping.js'
import { plural, progress, waiting, warn } from '../js/cli/terminal.js'
import { watched } from '../js/cli/view.js'
import { startServer } from './cloud/start.mjs'
import { draw } from './support/picture.mjs'
import { RATE, THRESHOLD, newSound, segments, windows, windowsInContext } from './support/speech.mjs'
import { segmentHead, segmentLine, summary } from './support/summary.mjs'
import { chunks, readWav } from './support/wav.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CHUNK_MS = 20
/** Scores of the edge between these are unsure: what `hybrid-vad` has by default. */
const UNSURE = { confidence: 'score', low: 0.4, high: 0.6 }
const moduleOf = (name) => import.meta.resolve(`@remotemedia/wasmedge/modules/${name}.wasm`)
const shown = (path) => (relative('.', path).startsWith('..') ? path : relative('.', path))

const resampled = () => new WasmEdgeNode(moduleOf('resample'), { name: 'resample', config: { sampleRate: RATE, channels: 1 } })
const silero = (port, more) => new RemoteObjectNode({ name: 'silero', host: '127.0.0.1', port, nodeType: 'VoiceActivityDetector', ...more })

/** The edge answers; the cloud does where a score of the edge is unsure, and the edge's answer stands if the cloud fails. */
function hybrid(port) {
  const vad = new WasmEdgeNode(moduleOf('vad'), { name: 'vad', config: { output: 'scores' } })
  const router = new IntelligentRouter({
    name: 'vad-router',
    edge: new Pipeline([newSound, vad], { name: 'edge' }),
    cloud: silero(port, { config: { output: 'scores', stateless: true } }),
    strategy: 'hybrid',
    hybrid: { escalate: UNSURE },
  })
  // One item at a time, as live sound would come: times are those of the item, not of a queue.
  return { router, pipeline: new Pipeline([resampled(), windowsInContext, router, segments], { name: 'speech', bufferSize: 1 }) }
}

/** All of the sound to the cloud, as a stream, so that the model remembers: the best that the cloud can do. */
function cloudAlone(port) {
  const cloud = silero(port, { config: { output: 'scores' }, streaming: true })
  return { cloud, pipeline: new Pipeline([resampled(), windows, cloud, segments], { name: 'cloud alone', bufferSize: 1 }) }
}

/** Compiles what runs at the edge, which takes seconds once; later runs find it in the cache. */
async function compileFirst() {
  if (!runtimeInfo().nativeCode) return
  const line = waiting('compiling the modules ...')
  for (const name of ['resample', 'vad']) {
    await compileModule(moduleOf(name)).catch((error) => warn(`${name} stays interpreted, which is slow: ${error.message}`))
  }
  line.end()
}

/** The recording as it would come from a microphone, `speed` times as fast. */
async function* played(audio, speed, stopping) {
  const started = performance.now()
  let playedMs = 0
  for (const chunk of chunks(audio, CHUNK_MS)) {
    playedMs += CHUNK_MS
    const early = speed > 0 ? started + playedMs / speed - performance.now() : 0
    if (early > 0) await sleep(early)
    if (stopping.stopped) return
    yield chunk
  }
}

/** Streams the recording: `{ segments, scores, windows }`, of each window who answered and how long it took. */
async function listen({ pipeline }, audio, source, { view, tell } = {}) {
  const found = { segments: [], scores: [], windows: [] }
  // Behind the end is only the silence that filled up the last window.
  const within = (ms) => Math.min(ms, audio.seconds * 1000)
  const bar = progress(pipeline.name, audio.seconds)
  try {
    for await (const { data, route, sequence } of watched(pipeline, view)(source)) {
      for (const { type, startMs, startBy, atMs, by } of data.events) {
        if (type !== 'speech_end') continue
        found.segments.push({ startMs, startBy, endMs: within(atMs), endBy: by })
        bar.end()
        tell?.(found.segments.at(-1), found.segments.length)
      }
      if (data.scores.length === 0) continue
      found.scores.push(...data.scores.filter(({ startMs }) => within(startMs) === startMs))
      const { startMs, endMs } = { startMs: data.scores[0].startMs, endMs: within(data.scores.at(-1).endMs) }
      found.windows.push({ startMs, endMs, sequence, ...route })
      bar.show(endMs / 1000, `${(endMs / 1000).toFixed(1)} s, ${plural(found.segments.length, 'segment')}`)
    }
  } finally {
    bar.end()
  }
  return found
}

async function story(server, { file, audio, report, speed, quick }, stopping) {
  const name = `Speech in ${basename(file)}`
  const [routed, single] = [hybrid(server.port), cloudAlone(server.port)]
  const decisions = new Map()
  routed.router.on('decision', (decision) => decisions.set(decision.sequence, decision))
  try {
    const view = await openView(routed.pipeline, { name, report })
    console.log(`Cloud: Silero VAD in process ${server.pid}, on 127.0.0.1:${server.port}`)
    console.log(`${name}: ${audio.seconds.toFixed(2)} s, ${audio.sampleRate} Hz, ${plural(audio.channels, 'channel')}\n\n${segmentHead()}`)
    const tell = (segment, number) => console.log(segmentLine(segment, number))
    const run = await listen(routed, audio, played(audio, speed, stopping), { view, tell }).finally(() => view.close())
    if (run.segments.length === 0) console.log('  none')
    const heard = quick || stopping.stopped ? undefined : await listen(single, audio, played(audio, 0, stopping))
    const alone = heard && !stopping.stopped ? { ...heard, bytes: single.cloud.metrics().bytesSent } : undefined
    console.log(`\n${summary({ ...run, router: routed.router.metrics(), decisions, unsure: UNSURE, alone, seconds: audio.seconds })}\n`)
    const asked = run.windows.filter(({ target }) => target === 'cloud')
    const picture = `${report.replace(/\.html?$/i, '')}.svg`
    writeFileSync(picture, draw({ name: basename(file), audio, ...run, asked, threshold: THRESHOLD }))
    console.log(`Report: ${shown(report)}   picture: ${shown(picture)}`)
  } finally {
    await Promise.all([routed.pipeline.cleanup(), single.pipeline.cleanup()])
  }
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { report: { type: 'string' }, speed: { type: 'string', default: '4' }, quick: { type: 'boolean', default: false } },
  })
  const speed = Number(values.speed)
  if (!(speed >= 0 && speed < Infinity)) throw new UsageError(`--speed must be a number from 0 on, got ${values.speed}`)
  if (positionals.length > 1) throw new UsageError('one WAV file at a time, please')
  const file = positionals[0] ?? join(ROOT, 'examples/audio/speech-in-noise.wav')
  const audio = readWav(file)
  const report = resolve(values.report ?? join(ROOT, 'target/demo-report.html'))
  if (!values.report) mkdirSync(dirname(report), { recursive: true })
  const stopping = new Stopping()
  await compileFirst()
  const line = waiting('starting the cloud service ...')
  const server = await startServer().finally(line.end)
  stopping.handles()
  try {
    await story(server, { file, audio, report, speed, quick: values.quick }, stopping)
  } finally {
    await server.stop()
  }
  process.exitCode = stopping.exitCode(0)
}

main().catch((error) => {
  const usage = error instanceof UsageError || error?.code?.startsWith('ERR_PARSE_ARGS')
  // What nobody foresaw is a fault of this program, and keeps its stack.
  const known = usage || error instanceof Refused || typeof error?.code === 'string'
  console.error(known ? `demo: ${usage ? error.message : sentence(error)}` : error)
  process.exitCode = usage ? 2 : 1
})
