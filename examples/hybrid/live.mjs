// Problem: what does it cost, in time and bytes, to ask the cloud only where the edge is unsure, with a real server and a wire between?
// Answer: each recording in chunks through three nodes: `vad` at the edge, Silero in the cloud, and `hybrid-vad` between them. The table says
// how good each is against hand labels, what went over the wire, and how long a chunk took.
//
//   node examples/hybrid/live.mjs [FOLDER] [--host HOST --port PORT] [--chunk 32] [--delay MS] [--json FILE]
//
// FOLDER or RM_SPEECH_DIR holds NAME.wav with NAME.scv, see labelled.mjs. Without a port it starts examples/cloud/server.mjs itself. `--delay`
// puts so many milliseconds of network between, each way, which a loopback connection lacks.

import { writeFileSync } from 'node:fs'
import net from 'node:net'
import { parseArgs } from 'node:util'
import { HybridWasmNode, RemoteObjectNode, WasmEdgeNode, compileModule, runtimeInfo } from '@remotemedia/wasmedge'
import { startServer } from '../cloud/start.mjs'
import { ClipsError, RATE, readClips } from './labelled.mjs'
import { atThreshold, rocAuc } from './metrics.mjs'

const SERVICE = { nodeType: 'VoiceActivityDetector', config: { output: 'scores', stateless: true } }
const moduleOf = (name) => import.meta.resolve(`@remotemedia/wasmedge/modules/${name}.wasm`)

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string' },
    chunk: { type: 'string', default: '32' },
    delay: { type: 'string', default: '0' },
    json: { type: 'string' },
  },
})
const [chunkMs, delayMs] = [Number(options.chunk), Number(options.delay)]
if (!(chunkMs > 0 && chunkMs % 32 === 0)) {
  console.error('live: --chunk must be a multiple of 32 milliseconds')
  process.exit(2)
}

/** Passes bytes on, `ms` later each way. */
function delaying(port, ms) {
  const server = net.createServer((near) => {
    const far = net.connect(port, options.host)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      from.on('data', (bytes) => setTimeout(() => to.writable && to.write(bytes), ms))
      from.on('close', () => setTimeout(() => to.destroy(), ms))
      from.on('error', () => to.destroy())
    }
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port, stop: () => server.close() })))
}

const percentile = (values, share) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]

/** Chunks of a clip, one after another: each waits for the answer to the one before, as a live microphone would have it. */
function* chunksOf(clip) {
  const size = (RATE * chunkMs) / 1000
  for (let at = 0; at < clip.samples.length; at += size) yield { samples: clip.samples.slice(at, at + size), sampleRate: RATE }
}

/** Gives every chunk to `call`, which returns the scores that came; collects them by frame, and the time that each chunk took. */
async function listen(clips, call, finish = async () => []) {
  const times = []
  const perClip = []
  for (const clip of clips) {
    const scores = new Array(clip.frames).fill(undefined)
    const note = (found) => {
      for (const { startMs, endMs, score } of found) {
        for (let frame = Math.round(startMs / 16); frame < Math.round(endMs / 16) && frame < clip.frames; frame++) scores[frame] = score
      }
    }
    for (const chunk of chunksOf(clip)) {
      const asked = performance.now()
      note(await call(chunk, clip))
      times.push(performance.now() - asked)
    }
    note(await finish(clip))
    perClip.push(scores)
  }
  return { perClip, times }
}

function quality(clips, perClip, threshold) {
  const rows = clips.flatMap(({ labels }, index) => labels.map((label, frame) => [perClip[index][frame] ?? 0, label]))
  const labelled = rows.filter(([, label]) => label !== undefined)
  return { ...atThreshold(labelled, threshold), auc: rocAuc(labelled) }
}

const isScore = ({ data }) => data?.score !== undefined

async function edge(clips) {
  const node = new WasmEdgeNode(moduleOf('vad'), { config: { output: 'scores' } })
  const scores = async (item, { name }) => (await node.call(item, { sessionId: name })).filter(isScore).map(({ data }) => data)
  const heard = await listen(clips, scores)
  await node.cleanup()
  return { ...heard, share: 0 }
}

/** One stream for each clip: the model keeps its memory, and a chunk is answered before the next one is sent. */
async function cloud(clips, remote) {
  const node = new RemoteObjectNode({ ...remote, ...SERVICE, config: { output: 'scores' }, streaming: true })
  const streams = new Map()
  const scores = async (item, { name }) => {
    if (!streams.has(name)) streams.set(name, talk(node))
    return streams.get(name).ask(item, item.samples.length / 512)
  }
  const finish = async ({ name }) => {
    await streams.get(name).end()
    return []
  }
  const heard = await listen(clips, scores, finish)
  await node.cleanup()
  return { ...heard, share: 1 }
}

/** A stream as a conversation: `ask` sends an item and resolves to the `count` answers that belong to it. */
function talk(node) {
  let next
  const source = (async function* () {
    for (;;) {
      const item = await new Promise((resolve) => (next = resolve))
      if (!item) return
      yield item
    }
  })()
  const answers = node.process(source)
  let first
  return {
    async ask(item, count) {
      // The source starts with the first question for an answer.
      first ??= answers.next()
      while (!next) await new Promise(setImmediate)
      const give = next
      next = undefined
      give(item)
      const found = []
      for (let left = Math.floor(count); left > 0; left--) {
        const { value, done } = await (first ?? answers.next())
        first = null
        if (done) break
        found.push(value.data)
      }
      return found
    },
    async end() {
      await answers.return()
    },
  }
}

async function hybrid(clips, remote) {
  const node = new HybridWasmNode(moduleOf('hybrid-vad'), {
    remote,
    services: { vad: { ...SERVICE, timeoutMs: 2_000 } },
    config: { output: 'scores' },
  })
  const usage = { audioBytes: 0, cloudBytes: 0, calls: 0, failures: 0 }
  const scores = async (item, { name }) => (await node.call(item, { sessionId: name })).filter(isScore).map(({ data }) => data)
  const finish = async ({ name }) => {
    const found = []
    // A stream of the session with no sound in it: its end flushes what still waits, and says what was used.
    const nothing = { samples: new Float32Array(0), sampleRate: RATE }
    for await (const packet of node.process([nothing], { sessionId: name })) {
      if (isScore(packet)) found.push(packet.data)
      else if (packet.data?.type === 'usage') for (const key of Object.keys(usage)) usage[key] += packet.data[key]
    }
    return found
  }
  const heard = await listen(clips, scores, finish)
  await node.cleanup()
  return { ...heard, ...usage, share: usage.cloudBytes / usage.audioBytes }
}

async function main() {
  const clips = readClips(positionals[0] ?? process.env.RM_SPEECH_DIR)
  const server = options.port ? { port: Number(options.port), stop() {} } : await startServer()
  const wire = delayMs > 0 ? await delaying(server.port, delayMs) : { port: server.port, stop() {} }
  try {
    if (runtimeInfo().nativeCode) for (const name of ['vad', 'hybrid-vad']) await compileModule(moduleOf(name))
    const remote = { host: delayMs > 0 ? '127.0.0.1' : options.host, port: wire.port }
    const rows = []
    for (const [name, threshold, run] of [
      ['edge: vad', 0.6, edge],
      ['cloud: Silero', 0.5, cloud],
      ['hybrid-vad', 0.5, hybrid],
    ]) {
      console.error(`${name}...`)
      const { perClip, times, share, calls, failures } = await run(clips, remote)
      const p50Ms = percentile(times, 0.5)
      rows.push({ name, threshold, ...quality(clips, perClip, threshold), share, p50Ms, p99Ms: percentile(times, 0.99), calls, failures })
    }
    print(rows, clips)
    if (options.json) writeFileSync(options.json, `${JSON.stringify(rows, null, 1)}\n`)
  } finally {
    wire.stop()
    await server.stop()
  }
}

function print(rows, clips) {
  const seconds = clips.reduce((total, { samples }) => total + samples.length / RATE, 0)
  console.log(`${clips.length} recordings, ${seconds.toFixed(0)} s, chunks of ${chunkMs} ms, ${delayMs} ms of network each way\n`)
  const head = ['', 'threshold', 'F1', 'balanced accuracy', 'ROC-AUC', 'audio to the cloud', 'p50 ms', 'p99 ms']
  const cells = rows.map((row) => [
    row.name,
    row.threshold,
    ...[row.f1, row.balanced, row.auc].map((value) => value.toFixed(4)),
    `${(100 * row.share).toFixed(1)}%`,
    row.p50Ms.toFixed(3),
    row.p99Ms.toFixed(2),
  ])
  const widths = head.map((text, column) => Math.max(text.length, ...cells.map((row) => `${row[column]}`.length)))
  for (const row of [head, widths.map((width) => '-'.repeat(width)), ...cells]) {
    console.log(`  ${row.map((cell, column) => `${cell}`.padStart(widths[column])).join('  ')}`)
  }
  const [, alone, helped] = rows
  console.log(`
  F1 of hybrid-vad against the cloud's: ${(helped.f1 - alone.f1).toFixed(4)}; ${helped.calls} calls, ${helped.failures} of them failed.
  A chunk takes ${(helped.p50Ms / alone.p50Ms).toFixed(3)} of the cloud's time at p50.`)
}

main().catch((error) => {
  if (!(error instanceof ClipsError)) throw error
  console.error(`live: ${error.message}`)
  process.exit(2)
})
