// A guest that decides at the edge where it is sure and asks a model in the cloud where it is not: Silero VAD on ONNX Runtime plays the cloud.
import { fileURLToPath } from 'node:url'
import { HybridWasmNode, RemoteProcessingService } from '@remotemedia/wasmedge'
import { preload } from './cloud/silero.mjs'
import { voiceActivityDetector } from './cloud/voice-activity-detector.mjs'
import { readWav } from './support/wav.mjs'

const recording = readWav(fileURLToPath(new URL('audio/speech-in-noise.wav', import.meta.url)))

await preload()
const service = new RemoteProcessingService({ port: 0 }).register('VoiceActivityDetector', voiceActivityDetector())
const { port } = await service.listen()

const vad = new HybridWasmNode(import.meta.resolve('@remotemedia/wasmedge/modules/hybrid-vad.wasm'), {
  remote: { host: '127.0.0.1', port },
  // What the guest may call; it never learns where that is.
  services: { vad: { nodeType: 'VoiceActivityDetector', config: { output: 'scores', stateless: true }, timeoutMs: 1_000 } },
})

/** The recording as it would come from a microphone: 20 ms at a time. */
function* microphone() {
  const size = (recording.sampleRate / 50) * recording.channels
  for (let at = 0; at < recording.samples.length; at += size) {
    yield { samples: recording.samples.slice(at, at + size), sampleRate: recording.sampleRate, channels: recording.channels }
  }
}

for await (const { data } of vad.process(microphone())) {
  if (data.type === 'usage') {
    const share = ((100 * data.cloudBytes) / data.audioBytes).toFixed(1)
    console.log(`${data.calls} calls, ${share}% of the audio went to the cloud, ${data.failures} calls failed`)
  } else console.log(data.type, (data.atMs / 1000).toFixed(2))
}

await vad.cleanup()
await service.close()
