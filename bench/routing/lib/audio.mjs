// What is sent: chunks of examples/audio/speech-in-noise.wav, round and round. Sizes are whole frames of the edge's detector, so that every
// chunk has an answer on either side.

import { fileURLToPath } from 'node:url'
import { readWav } from '../../../examples/support/wav.mjs'

export const RATE = 16_000
/** Samples of a frame of the edge's detector: 16 ms. */
export const FRAME = 256

const { samples, sampleRate, channels } = readWav(fileURLToPath(new URL('../../../examples/audio/speech-in-noise.wav', import.meta.url)))
if (sampleRate !== RATE || channels !== 1) throw new Error('speech-in-noise.wav is not 16 kHz mono')

/** Numbers from 0 to 1, the same for the same seed. */
export function randomOf(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export const normal = (random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

/** Gives one chunk after another; `start` is where it begins, in samples. */
export function microphone(start = 0) {
  let at = start
  return (length) => {
    if ((at % samples.length) + length > samples.length) at = 0
    const from = at % samples.length
    at += length
    return { samples: samples.slice(from, from + length), sampleRate: RATE }
  }
}

/** Samples of a chunk of about `medianMs`, log-normal: whole frames, from 16 ms to 2 s. */
export function mixedSize(random, medianMs = 80, spread = 1.1) {
  const ms = Math.min(2_000, Math.max(16, medianMs * Math.exp(spread * normal(random))))
  return Math.max(1, Math.round(ms / 16)) * FRAME
}
