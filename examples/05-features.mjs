// Nodes chain by passing one's iterator to the next: 48 kHz stereo -> 16 kHz mono -> log-mel features. Nothing runs before the last
// consumer asks, and a slow consumer holds the whole chain back.

import { WasmEdgeNode } from '@remotemedia/wasmedge'

const module = (name) => import.meta.resolve(`@remotemedia/wasmedge/modules/${name}.wasm`)
const resample = new WasmEdgeNode(module('resample'), { config: { sampleRate: 16_000, channels: 1 } })
const features = new WasmEdgeNode(module('features'), { config: { nMels: 40 } })

/** A second of a tone that rises from 200 Hz to 4 kHz, in chunks of 100 ms. */
function* sweep() {
  const rate = 48_000
  let phase = 0
  for (let chunk = 0; chunk < 10; chunk += 1) {
    const samples = new Float32Array((rate / 10) * 2)
    for (let at = 0; at < samples.length; at += 2) {
      const seconds = (chunk * samples.length + at) / 2 / rate
      phase += (2 * Math.PI * (200 + 3_800 * seconds)) / rate
      samples[at] = samples[at + 1] = 0.5 * Math.sin(phase)
    }
    yield { samples, sampleRate: rate, channels: 2 }
  }
}

let frames = 0
for await (const { data } of features.process(resample.process(sweep()))) {
  const [rows, bands] = data.shape
  // The bytes are little-endian float32, as `dtype` says; copied, for a Buffer may be part of a larger memory and start at any byte of it.
  const values = new Float32Array(new Uint8Array(data.data).buffer)
  const first = values.subarray(0, bands)
  const loudest = first.indexOf(Math.max(...first))
  console.log(`${data.dtype} [${rows}, ${bands}] from ${frames * 10} ms on; loudest band ${'.'.repeat(loudest)}${loudest}`)
  frames += rows
}
console.log(`${frames} frames of 10 ms`)

await Promise.all([resample.cleanup(), features.cleanup()])
