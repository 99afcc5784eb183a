// Finds the speech in a recording with a WebAssembly module, through a JavaScript async iterator, and shows the result.
//
//   node examples/vad-demo.mjs [FILE.wav] [--threshold 0.6] [--mode auto|aot|jit|interpreter] [--out FOLDER]
//
// Any WAV will do: the module itself brings the audio to the rate and the one channel that its model wants. Two nodes run side by side
// over the same chunks: one reports where speech starts and ends, the other the score of every 16 ms, which the picture shows.

import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { RemoteMediaError, WasmEdgeNode, compileModule, runtimeInfo } from '@remotemedia/wasmedge'
import { draw } from './support/picture.mjs'
import { WavError, chunks, readWav } from './support/wav.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const module = import.meta.resolve('@remotemedia/wasmedge/modules/vad.wasm')
const CHUNK_MS = 20
/** What the guest resamples to. */
const MODEL_RATE = 16_000

/** A wrong argument; the message is for people. */
class UsageError extends Error {}

/** A path as short as it can be said from here. */
function shown(path) {
  const near = relative(process.cwd(), resolve(path))
  return near.startsWith('..') ? resolve(path) : near
}

/** A line that keeps being written over, on a terminal; nothing elsewhere. */
function progressBar(seconds) {
  if (!process.stdout.isTTY) return { show() {}, clear() {} }
  let last = 0
  return {
    show(done) {
      if (performance.now() - last < 50 && done < seconds) return
      last = performance.now()
      const filled = Math.round((done / seconds) * 30)
      process.stdout.write(`\r[${'='.repeat(filled).padEnd(30)}] ${done.toFixed(1)} of ${seconds.toFixed(1)} s`)
    },
    clear: () => process.stdout.write('\r\x1b[K'),
  }
}

/** Compiles the module, which takes seconds once; later runs find it in the cache. Nodes would do so themselves, beside the work. */
async function compileFirst(mode) {
  if (mode === 'interpreter' || !runtimeInfo().nativeCode) return
  const waiting = process.stdout.isTTY
  if (waiting) process.stdout.write('compiling vad.wasm ...')
  const done = await compileModule(module).catch((error) => error)
  if (waiting) process.stdout.write('\r\x1b[K')
  if (done instanceof Error) console.error(`vad-demo: vad.wasm stays interpreted: ${done.message}`)
  else if (!done.cached) console.log(`Compiled vad.wasm in ${(done.durationMs / 1000).toFixed(1)} s; from now on it is in the cache.\n`)
}

/** Both passes over the audio: `{ segments, scores }`. */
async function listen(nodes, audio, progress) {
  const segments = []
  const scores = []
  const events = async () => {
    for await (const { data } of nodes.events.process(chunks(audio, CHUNK_MS))) {
      if (data.type === 'speech_end') segments.push({ startMs: data.startMs, endMs: data.atMs, meanScore: data.meanScore })
    }
  }
  const frames = async () => {
    for await (const { data } of nodes.scores.process(chunks(audio, CHUNK_MS))) {
      scores.push(data)
      progress.show(data.endMs / 1000)
    }
  }
  await Promise.all([events(), frames()])
  return { segments, scores }
}

function printSegments(segments) {
  if (segments.length === 0) return console.log('No speech was found.')
  const rows = segments.map(({ startMs, endMs, meanScore }, index) => [
    `${index + 1}`,
    (startMs / 1000).toFixed(2),
    (endMs / 1000).toFixed(2),
    ((endMs - startMs) / 1000).toFixed(2),
    meanScore.toFixed(2),
  ])
  const head = ['#', 'start s', 'end s', 'duration s', 'mean score']
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)))
  const line = (cells) => `  ${cells.map((cell, column) => cell.padStart(widths[column])).join('   ')}`
  console.log(line(head))
  console.log(line(widths.map((width) => '-'.repeat(width))))
  for (const row of rows) console.log(line(row))
}

const count = (number, noun) => `${number} ${noun}${number === 1 ? '' : 's'}`
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`

function printFigures(audio, figures) {
  const { seconds, tookMs, before, after, nodes } = figures
  const modes = {}
  for (const node of Object.values(nodes)) {
    for (const [mode, calls] of Object.entries(node.metrics().callsByMode)) modes[mode] = (modes[mode] ?? 0) + calls
  }
  const used = Object.entries(modes).filter(([, calls]) => calls > 0)
  const spoken = figures.segments.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0) / 1000
  const guestMs = nodes.events.metrics().execMs.total
  const channels = audio.channels === 1 ? 'mono' : `${audio.channels} channels`
  // A collection of garbage in between may have given back more than the nodes took.
  const more = after > before ? `, ${megabytes(after - before)} more than before the nodes were made` : ''
  const rows = [
    ['audio', `${seconds.toFixed(2)} s, ${audio.sampleRate} Hz, ${channels}, ${audio.bits} bit`],
    ['speech', `${spoken.toFixed(2)} s in ${count(figures.segments.length, 'segment')}`],
    ['processing', `${tookMs.toFixed(1)} ms for both nodes: ${((seconds * 1000) / tookMs).toFixed(0)} times realtime`],
    ['in the guest', `${guestMs.toFixed(1)} ms for one node: ${((seconds * 1000) / guestMs).toFixed(0)} times realtime`],
    ['run mode', used.map(([mode, calls]) => `${mode} (${calls} chunks)`).join(', ')],
    ['memory', `${megabytes(after)} resident in this process${more}`],
  ]
  if (audio.sampleRate < MODEL_RATE) {
    rows.push(['note', `the model expects ${MODEL_RATE} Hz; without the upper half of that band it takes more noise for speech`])
  }
  for (const [name, value] of rows) console.log(`  ${name.padEnd(13)} ${value}`)
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      out: { type: 'string', default: join(root, 'target/demo') },
      threshold: { type: 'string', default: '0.6' },
      mode: { type: 'string', default: 'auto' },
    },
  })
  if (positionals.length > 1) throw new UsageError('one WAV file at a time, please')
  const threshold = Number(values.threshold)
  if (!(threshold > 0 && threshold < 1)) throw new UsageError(`--threshold must be a number above 0 and below 1, got ${values.threshold}`)
  const file = positionals[0] ?? fileURLToPath(new URL('audio/speech-in-noise.wav', import.meta.url))
  const audio = readWav(file)
  const { mode } = values
  await compileFirst(mode)
  const before = process.memoryUsage().rss

  const nodes = {
    events: new WasmEdgeNode(module, { name: 'vad-events', mode, config: { output: 'events', threshold } }),
    scores: new WasmEdgeNode(module, { name: 'vad-scores', mode, config: { output: 'scores', threshold } }),
  }
  const progress = progressBar(audio.seconds)
  try {
    await Promise.all(Object.values(nodes).map((node) => node.initialize()))
    const started = performance.now()
    const { segments, scores } = await listen(nodes, audio, progress).finally(progress.clear)
    const tookMs = performance.now() - started
    const after = process.memoryUsage().rss

    const picture = join(values.out, 'vad-demo.svg')
    mkdirSync(values.out, { recursive: true })
    writeFileSync(picture, draw({ name: basename(file), audio, segments, scores, threshold }))

    console.log(`Speech in ${shown(file)}:\n`)
    printSegments(segments)
    console.log()
    printFigures(audio, { seconds: audio.seconds, tookMs, before, after, nodes, segments })
    console.log(`\nThe picture is in ${shown(picture)}`)
  } finally {
    await Promise.all(Object.values(nodes).map((node) => node.cleanup()))
  }
}

/** What the user can do something about gets a sentence; anything else is a fault of this program and keeps its stack. */
function sentence(error) {
  if (error instanceof WavError || error instanceof UsageError) return error.message
  if (error instanceof RemoteMediaError) return `${error.message} (${error.code})`
  if (error?.code?.startsWith('ERR_PARSE_ARGS')) return error.message
  if (error?.syscall) return `cannot write the picture: ${error.message}`
}

try {
  await main()
} catch (error) {
  const text = sentence(error)
  if (!text) throw error
  console.error(`vad-demo: ${text}`)
  process.exitCode = 1
}
