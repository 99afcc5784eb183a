// A pipeline of every kind of node: two WebAssembly modules, a service elsewhere, a class and a generator of the application. Native nodes
// hand packets to each other without JavaScript; nothing runs before somebody asks.
import { Node, Pipeline, RemoteObjectNode, RemoteProcessingService, WasmEdgeNode } from '@remotemedia/wasmedge'

const module = (name) => import.meta.resolve(`@remotemedia/wasmedge/modules/${name}.wasm`)

// Stands for a service with a large model: says how loud a chunk is, and fails where there is next to nothing to hear.
const service = new RemoteProcessingService({ port: 0 }).register('Loudness', ({ data }) => {
  const rms = Math.sqrt(data.samples.reduce((sum, sample) => sum + sample * sample, 0) / data.samples.length)
  if (rms < 0.02) throw new Error('too quiet to say')
  return { rms }
})
const { port } = await service.listen()

/** A node with a life of its own: it counts what it has seen, for each session. */
class Meter extends Node {
  seen = new Map()
  accepts = ['json']
  async *process(source, { sessionId }) {
    for await (const { data } of source) {
      this.seen.set(sessionId, (this.seen.get(sessionId) ?? 0) + 1)
      yield { db: Math.round(20 * Math.log10(data.rms)) }
    }
  }
  metrics() {
    return { chunks: Object.fromEntries(this.seen) }
  }
}

/** A generator is a node as well. What it yields for a packet answers that packet. */
async function* bars(source) {
  for await (const { data } of source) yield `${'#'.repeat(Math.max(1, 40 + data.db))} ${data.db} dB`
}

const pipeline = new Pipeline(
  [
    new WasmEdgeNode(module('resample'), { config: { sampleRate: 16_000, channels: 1 } }),
    new WasmEdgeNode(module('gain'), { config: { gain: 0.5 } }),
    new RemoteObjectNode({ host: '127.0.0.1', port, nodeType: 'Loudness' }),
    new Meter(),
    bars,
  ],
  { name: 'loudness', onError: 'emit' },
)

/** Chunks of 100 ms of a tone, 48 kHz stereo, with a pause in the middle. */
function* tone() {
  for (const level of [0.8, 0.4, 0.2, 0, 0.3, 0.6]) {
    const samples = Float32Array.from({ length: 9_600 }, (_, at) => level * Math.sin((2 * Math.PI * 440 * (at >> 1)) / 48_000))
    yield { samples, sampleRate: 48_000, channels: 2 }
  }
}

await pipeline.managedExecution(async () => {
  for await (const { sequence, data, metadata } of pipeline.process(tone(), { sessionId: 'alice' })) {
    // With `onError: 'emit'` a chunk that failed is a packet in its place, and the stream goes on. The last one, with the number of inputs,
    // is what the resampler still held at the end.
    console.log(`#${sequence}`, metadata.error ? `${data.error.code} in ${data.error.nodeName}: ${data.error.message}` : data)
  }
  for (const { name, metrics } of pipeline.metrics().nodes) console.log(name.padEnd(9), metrics.items ?? metrics.itemsSent ?? metrics)
})
await service.close()
