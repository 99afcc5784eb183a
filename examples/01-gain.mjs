// One node, packets in and out: makes audio half as loud. The module is Rust; the same node in C and in AssemblyScript stands beside it
// in wasm-modules/.

import { WasmEdgeNode } from '@remotemedia/wasmedge'

const node = new WasmEdgeNode(import.meta.resolve('@remotemedia/wasmedge/modules/gain.wasm'), { config: { gain: 0.5 } })

/** Three packets of 20 ms of a 440 Hz tone, with a time stamp and an entry of our own. */
async function* microphone() {
  for (let index = 0; index < 3; index += 1) {
    const samples = Float32Array.from({ length: 320 }, (_, at) => Math.sin((2 * Math.PI * 440 * (index * 320 + at)) / 16_000))
    yield { data: { samples, sampleRate: 16_000 }, timestampMs: index * 20, metadata: { device: 'test tone' } }
  }
}

const peak = (samples) => samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0).toFixed(3)

for await (const packet of node.process(microphone())) {
  const { kind, data, sequence, timestampMs, metadata } = packet
  const audio = `${data.samples.length} samples at ${data.sampleRate} Hz, peak ${peak(data.samples)}`
  console.log(`#${sequence} at ${timestampMs} ms: ${kind}, ${audio}`, metadata)
}

// Without a stream around it: one item, all its outputs.
const [answer] = await node.call({ samples: Int16Array.of(16_384, -16_384), sampleRate: 16_000 })
console.log('one call:', answer.data.samples)

await node.cleanup()
