// A pipeline of modules, a node of the application and a generator; one session's state, a failure in the middle, figures at the end.
import { Node, Pipeline, WasmEdgeNode } from '@remotemedia/wasmedge'
import { readWav } from './support/wav.mjs'

const wasm = (name, options) => new WasmEdgeNode(import.meta.resolve(`@remotemedia/wasmedge/modules/${name}.wasm`), options)

/** Joins what a voice activity detector says to segments. */
class Segments extends Node {
  produces = ['json']

  async *process(stream) {
    let start
    for await (const { data } of stream) {
      if (data.type === 'speech_start') start = data.atMs
      if (data.type === 'speech_end') yield { kind: 'json', data: { fromMs: start, toMs: data.atMs } }
    }
  }
}

const pipeline = new Pipeline(
  [
    wasm('denoise', { wasi: { random: true } }),
    wasm('vad'),
    new Segments(),
    async function* long(stream) {
      for await (const packet of stream) if (packet.data.toMs - packet.data.fromMs >= 500) yield packet
    },
  ],
  { name: 'segments' },
)

/** The recording in pieces of 100 ms. */
function* pieces({ samples, sampleRate }) {
  for (let at = 0; at < samples.length; at += sampleRate / 10) yield { samples: samples.subarray(at, at + sampleRate / 10), sampleRate }
}

const recording = readWav(new URL('audio/speech-in-noise.wav', import.meta.url).pathname)
for await (const { data, sequence } of pipeline.process(pieces(recording))) {
  console.log(`${(data.fromMs / 1000).toFixed(2)} s to ${(data.toMs / 1000).toFixed(2)} s, known after piece ${sequence}`)
}
for (const { name, metrics } of pipeline.metrics().nodes) if (metrics.items) console.log(`${name}: ${metrics.items} items`)
await pipeline.cleanup()

// A bad item is reported in its place, and the others go on.
const picky = new Pipeline([wasm('gain'), wasm('vad')], { onError: 'emit' })
const odd = await picky.run([
  { samples: new Float32Array(160), sampleRate: 16_000 },
  'text is no audio',
  { samples: new Float32Array(160), sampleRate: 16_000 },
])
console.log(odd.filter(({ metadata }) => metadata.error).map(({ sequence, data }) => `item ${sequence}: ${data.error.code}`))
await picky.cleanup()
