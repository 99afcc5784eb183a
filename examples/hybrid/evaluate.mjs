// Problem: is asking the cloud about what the edge is unsure of as good as asking it about everything, and what does it cost?
// Answer: both models on recordings with hand labels, and what a node between them would have made of their scores, for several bounds,
// contexts and windows. No network: each clip that would be sent is cut out and scored as the cloud would.
//
//   node examples/hybrid/evaluate.mjs [FOLDER] [--json FILE]        FOLDER or RM_SPEECH_DIR: NAME.wav with NAME.scv, see labelled.mjs
//
// It says how good the answers are, not how long they take: that needs a server and a wire.

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { WasmEdgeNode, compileModule, runtimeInfo } from '@remotemedia/wasmedge'
import { DEFAULT_VERSION, SileroVad, VERSIONS } from '../cloud/silero.mjs'
import { WavError } from '../support/wav.mjs'
import { ClipsError, FRAME, RATE, readClips } from './labelled.mjs'
import { atThreshold, f1Difference, rocAuc } from './metrics.mjs'
import { withCloud } from './window.mjs'

/** The defaults of the guest `hybrid-vad`. */
const DEFAULTS = { low: 0.4, high: 0.6, contextMs: 64, hopMs: 64 }
/** What Silero's own programs take; the edge's is the default of `vad`. */
const THRESHOLDS = { edge: 0.6, cloud: 0.5 }
const BOUNDS = [
  [0.44, 0.56],
  [0.42, 0.58],
  [0.4, 0.6],
  [0.35, 0.65],
  [0.3, 0.7],
]
const CONTEXTS_MS = [0, 32, 64, 96, 128, 256, 512, 1024]
const HOPS_MS = [32, 64, 128, 256]

const module = import.meta.resolve('@remotemedia/wasmedge/modules/vad.wasm')

/** Scores of the edge, one per frame. */
async function edgeScores(node, clip) {
  const scores = []
  for await (const { data } of node.process([{ samples: clip.samples, sampleRate: RATE }])) scores.push(data.score)
  return scores.slice(0, clip.frames)
}

/** Scores of the cloud that hears all of the clip, one per frame. */
async function cloudScores(clip, version) {
  const vad = new SileroVad({ version })
  const scores = [...(await vad.score(clip.samples)), ...(await vad.finish())]
  return Array.from({ length: clip.frames }, (_, frame) => scores[frame >> 1].score)
}

/** Scores of pieces by themselves, each worked out once. `silence`: after some of it, as the service does. */
function asker(clip, silence) {
  const known = new Map()
  return async (from, end) => {
    const key = `${from} ${end}`
    if (!known.has(key)) {
      const vad = new SileroVad({ silence })
      const scores = [...(await vad.score(clip.samples.subarray(from * FRAME, end * FRAME))), ...(await vad.finish())]
      known.set(
        key,
        scores.map(({ score }) => score),
      )
    }
    return known.get(key)
  }
}

/** Rows of `[score, label]` for each clip, without the frames that nobody labelled. */
const rowsOf = (clips, scores) =>
  clips.map(({ labels }, index) => labels.map((label, frame) => [scores[index][frame], label]).filter(([, label]) => label !== undefined))

function quality(perClip, threshold) {
  const rows = perClip.flat()
  return { ...atThreshold(rows, threshold), auc: rocAuc(rows) }
}

/** The hybrid with these options over all clips. */
async function hybrid(study, options, askers = study.askers) {
  const results = await Promise.all(study.clips.map((_, index) => withCloud(study.edge[index], options, askers[index])))
  const sum = (name) => results.reduce((total, result) => total + result[name], 0)
  const frames = study.clips.reduce((total, { frames: count }) => total + count, 0)
  const perClip = rowsOf(
    study.clips,
    results.map(({ scores }) => scores),
  )
  const threshold = (options.low + options.high) / 2
  return {
    ...options,
    ...quality(perClip, threshold),
    perClip,
    threshold,
    asked: sum('asked'),
    share: sum('sent') / frames,
    waiting: sum('waiting') / frames,
  }
}

const percent = (share) => `${(100 * share).toFixed(1)}%`
const f1 = (value) => value.toFixed(4)

function print(title, head, rows) {
  const widths = head.map((text, column) => Math.max(`${text}`.length, ...rows.map((row) => `${row[column]}`.length)))
  const line = (cells) => `  ${cells.map((cell, column) => `${cell}`.padStart(widths[column])).join('  ')}`
  console.log(`\n${title}\n\n${line(head)}\n${line(widths.map((width) => '-'.repeat(width)))}`)
  for (const row of rows) console.log(line(row))
}

function printMain(found) {
  const line = (name, { threshold, ...row }, share) => [name, threshold, f1(row.f1), f1(row.balanced), f1(row.auc), share]
  print(
    'Each by itself, and the edge with the help of the cloud',
    ['', 'threshold', 'F1', 'balanced accuracy', 'ROC-AUC', 'audio to the cloud'],
    [
      line('edge: vad', found.edge, '0%'),
      line('cloud: Silero', found.cloud, '100%'),
      ...found.bounds.map((row) => line(`hybrid ${row.low} to ${row.high}`, row, percent(row.share))),
    ],
  )
  const [lowest, highest] = found.difference.map((value) => `${value < 0 ? '' : '+'}${value.toFixed(4)}`)
  const { low, high, contextMs, hopMs, asked, share, waiting } = found.defaults
  console.log(`
  Defaults: between ${low} and ${high}, ${contextMs} ms of context, windows of ${hopMs} ms. ${asked} requests, ${percent(share)} of the audio with
  the context counted; ${percent(waiting)} of the frames waited for an answer.
  F1 against the cloud's: ${(found.defaults.f1 - found.cloud.f1).toFixed(4)}, 95 of 100 draws of clips between ${lowest} and ${highest}.`)
}

function printStudies(found) {
  print(
    'How much does the model have to hear before what it is asked about? F1 and share of the audio, by context in ms',
    ['low..high', ...CONTEXTS_MS],
    found.contexts.map((row) => [`${row[0].low}..${row[0].high}`, ...row.map((cell) => `${f1(cell.f1)} ${percent(cell.share)}`)]),
  )
  print(
    'The same, if the model started from nothing instead of silence',
    ['low..high', ...CONTEXTS_MS],
    found.fromNothing.map((row) => [`${row[0].low}..${row[0].high}`, ...row.map((cell) => `${f1(cell.f1)} ${percent(cell.share)}`)]),
  )
  print(
    'How long to wait before asking? F1, share of the audio, share of frames that wait',
    ['low..high', ...HOPS_MS.map((ms) => `${ms} ms`)],
    found.hops.map((row) => [
      `${row[0].low}..${row[0].high}`,
      ...row.map((cell) => `${f1(cell.f1)} ${percent(cell.share)} ${percent(cell.waiting)}`),
    ]),
  )
  print(
    'F1 by threshold',
    ['', ...found.sweep.map(({ threshold }) => threshold)],
    ['edge', ...VERSIONS].map((name) => [name, ...found.sweep.map((row) => f1(row[name].f1))]),
  )
}

async function study(clips) {
  const node = new WasmEdgeNode(module, { name: 'vad', config: { output: 'scores' } })
  const edge = []
  try {
    if (runtimeInfo().nativeCode) await compileModule(module)
    for (const clip of clips) edge.push(await edgeScores(node, clip))
  } finally {
    await node.cleanup()
  }
  const cloud = {}
  for (const version of VERSIONS) cloud[version] = await Promise.all(clips.map((clip) => cloudScores(clip, version)))
  return {
    clips,
    edge,
    cloud,
    askers: clips.map((clip) => asker(clip, true)),
    askersFromNothing: clips.map((clip) => asker(clip, false)),
  }
}

async function grid(rows, columns, cell) {
  const found = []
  for (const row of rows) {
    found.push([])
    for (const column of columns) found.at(-1).push(await cell(row, column))
  }
  return found
}

async function evaluate(clips) {
  const done = await study(clips)
  const rows = { edge: rowsOf(clips, done.edge) }
  for (const version of VERSIONS) rows[version] = rowsOf(clips, done.cloud[version])
  const one = (perClip, threshold) => ({ perClip, threshold, ...quality(perClip, threshold) })
  const edge = one(rows.edge, THRESHOLDS.edge)
  const cloud = one(rows[DEFAULT_VERSION], THRESHOLDS.cloud)
  const at = (options, askers) => hybrid(done, { ...DEFAULTS, ...options }, askers)
  const wide = BOUNDS.slice(2)
  const defaults = await at({})
  const found = {
    frames: rows.edge.flat().length,
    speech: rows.edge.flat().filter(([, label]) => label === 1).length,
    edge,
    cloud,
    defaults,
    difference: f1Difference(
      { clips: defaults.perClip, threshold: defaults.threshold },
      { clips: cloud.perClip, threshold: cloud.threshold },
    ),
    bounds: (await grid(BOUNDS, [0], ([low, high]) => at({ low, high }))).flat(),
    contexts: await grid(wide, CONTEXTS_MS, ([low, high], contextMs) => at({ low, high, contextMs })),
    fromNothing: await grid(wide, CONTEXTS_MS, ([low, high], contextMs) => at({ low, high, contextMs }, done.askersFromNothing)),
    hops: await grid(BOUNDS, HOPS_MS, ([low, high], hopMs) => at({ low, high, hopMs })),
    sweep: [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7].map((threshold) => {
      const row = { threshold }
      for (const [name, perClip] of Object.entries(rows)) row[name] = atThreshold(perClip.flat(), threshold)
      return row
    }),
  }
  return found
}

async function main() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'string' } } })
  const clips = readClips(positionals[0] ?? process.env.RM_SPEECH_DIR)
  const found = await evaluate(clips)
  const spoken = percent(found.speech / found.frames)
  console.log(`${clips.length} clips, ${found.frames} frames of 16 ms, ${spoken} of them speech. Cloud: Silero VAD ${DEFAULT_VERSION}.`)
  printMain(found)
  printStudies(found)
  if (values.json) {
    const plain = JSON.stringify(found, (key, value) => (key === 'perClip' ? undefined : value), 2)
    writeFileSync(values.json, `${plain}\n`)
  }
}

try {
  await main()
} catch (error) {
  if (!(error instanceof ClipsError || error instanceof WavError || error.code?.startsWith('ERR_PARSE_ARGS'))) throw error
  console.error(`evaluate: ${error.message}`)
  process.exitCode = 2
}
