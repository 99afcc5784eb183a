// Problem: the cloud has to know better than the edge, or asking it would be no use.
// Answer: Silero VAD on ONNX Runtime. The model is loaded once per process, on one thread, and shared; a `SileroVad` is one listener: the
// model's memory, its 64 samples of context and what is left of the last piece. `score` goes on where it was; `SileroVad.scoreClip` hears
// a clip that stands alone, after a moment of silence that it adds in front for itself.
//
// It tells how sure it is of speech in every 32 ms. What is to be done about that is the caller's affair.
//
// The model is a file of the npm package @ricky0123/vad-web (ISC; Silero VAD itself is MIT).

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import ort from 'onnxruntime-node'
import { Resampler } from './resample.mjs'

export const SAMPLE_RATE = 16_000
/** Samples that the model scores at a time: 32 ms. */
export const FRAME = 512
export const FRAME_MS = 32
/** Samples of the frame before that it wants to hear again. */
const CONTEXT = 64
const STATE = [2, 1, 128]
/**
 * Silence before a clip that stands alone. In a stream of sound the model never comes back to the memory of all zeros that it starts with,
 * and what it makes of the first moments from there is poor. Measured on clips around uncertain moments (examples/hybrid/evaluate.mjs): after
 * this, 64 ms of context serve better than 256 ms without it. From 128 to 2048 ms its length makes no difference.
 */
const SILENCE_FRAMES = 8
const PER_MS = SAMPLE_RATE / 1000
/** Below, speech is no longer in it; above, nobody records speech, and the resampler would have to hold more than it should. */
const RATES = { min: 4_000, max: 384_000 }

/** The models that vad-web ships and that take these inputs. v6 has the same shape as v5 and was trained again. */
export const VERSIONS = ['v5', 'v6']
export const DEFAULT_VERSION = 'v6'

const sessions = new Map()
const silences = new Map()

/** The one session of a model. ONNX Runtime does not give back all that a session took, so it is never made twice. */
function session(version) {
  if (!VERSIONS.includes(version)) throw new RangeError(`version must be one of ${VERSIONS.join(', ')}, got ${version}`)
  if (!sessions.has(version)) {
    const folder = dirname(createRequire(import.meta.url).resolve('@ricky0123/vad-web'))
    const opening = ort.InferenceSession.create(join(folder, `silero_vad_${version}.onnx`), {
      // A frame is 0.2 ms of work: a second thread costs more than it brings, and would spin between frames.
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
    })
    sessions.set(version, opening)
    opening.catch(() => sessions.delete(version))
  }
  return sessions.get(version)
}

const empty = () => new ort.Tensor('float32', new Float32Array(2 * 128), STATE)

async function step(model, input, state) {
  const { output, stateN } = await model.run({
    input: new ort.Tensor('float32', input, [1, CONTEXT + FRAME]),
    state,
    sr: new ort.Tensor('int64', BigInt64Array.of(BigInt(SAMPLE_RATE)), []),
  })
  return { score: output.data[0], state: stateN }
}

/** The model's memory after silence: always the same, so it is worked out once. */
function afterSilence(version) {
  if (!silences.has(version)) {
    const hearing = session(version).then(async (model) => {
      let state = empty()
      for (let frame = 0; frame < SILENCE_FRAMES; frame += 1) ({ state } = await step(model, new Float32Array(CONTEXT + FRAME), state))
      return state
    })
    silences.set(version, hearing)
    hearing.catch(() => silences.delete(version))
  }
  return silences.get(version)
}

/** Loads the model now, so that the first caller does not wait for it. */
export async function preload(version = DEFAULT_VERSION) {
  await afterSilence(version)
}

/** One listener. Calls of `score` and `finish` take their turns in the order in which they were made. */
export class SileroVad {
  #session
  #fresh
  #state
  #input = new Float32Array(CONTEXT + FRAME)
  /** Samples of the next frame that are in `input` already. */
  #filled = 0
  /** Samples in all frames so far. */
  #scored = 0
  #rate
  #resampler
  #turn = Promise.resolve()

  /** `silence`: as if some had been heard before. */
  constructor({ version = DEFAULT_VERSION, silence = false } = {}) {
    this.#session = session(version)
    this.#fresh = silence ? () => afterSilence(version) : empty
  }

  /** Scores of a clip by itself; the last frame may be shorter than 32 ms. Times count from its start. */
  static async scoreClip(samples, sampleRate = SAMPLE_RATE, { version, signal } = {}) {
    const vad = new SileroVad({ version, silence: true })
    const scores = await vad.score(samples, sampleRate, { signal })
    return scores.concat(await vad.finish())
  }

  /** Hears more, and gives `{ startMs, endMs, score }` of every frame that is now whole. Times count from the first sample heard. */
  score(samples, sampleRate = SAMPLE_RATE, { signal } = {}) {
    return this.#next(() => this.#hear(this.#convert(samples, sampleRate), signal))
  }

  /** The end: scores what is left over, filled up with silence. The listener has then heard nothing yet, as a new one. */
  finish() {
    return this.#next(async () => {
      const scores = await this.#hear(this.#resampler?.finish() ?? new Float32Array(0))
      if (this.#filled > 0) {
        const held = this.#filled
        this.#input.fill(0, CONTEXT + held)
        scores.push(await this.#frame(held))
      }
      this.#input.fill(0)
      this.#state = undefined
      this.#filled = this.#scored = 0
      this.#rate = this.#resampler = undefined
      return scores
    })
  }

  #next(work) {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => {})
    return result
  }

  #convert(samples, rate) {
    if (!(samples instanceof Float32Array)) throw new TypeError('samples must be a Float32Array')
    if (!(rate >= RATES.min && rate <= RATES.max)) {
      throw new RangeError(`sampleRate must be between ${RATES.min} and ${RATES.max}, got ${rate}`)
    }
    if (this.#rate !== undefined && this.#rate !== rate) {
      throw new RangeError(`sampleRate changed from ${this.#rate} to ${rate} within a stream`)
    }
    if (this.#rate === undefined && rate !== SAMPLE_RATE) this.#resampler = new Resampler(rate, SAMPLE_RATE)
    this.#rate = rate
    return this.#resampler ? this.#resampler.push(samples) : samples
  }

  async #hear(samples, signal) {
    const scores = []
    for (let at = 0; at < samples.length; ) {
      signal?.throwIfAborted()
      const take = Math.min(FRAME - this.#filled, samples.length - at)
      this.#write(samples.subarray(at, at + take))
      at += take
      if (this.#filled === FRAME) scores.push(await this.#frame(FRAME))
    }
    return scores
  }

  #write(samples) {
    const from = CONTEXT + this.#filled
    for (let index = 0; index < samples.length; index += 1) {
      // A NaN would stay in the model's memory for ever.
      const sample = samples[index]
      this.#input[from + index] = Number.isNaN(sample) ? 0 : Math.max(-1, Math.min(1, sample))
    }
    this.#filled += samples.length
  }

  /** Scores the frame in `input`, of which `length` samples are real. */
  async #frame(length) {
    const { score, state } = await step(await this.#session, this.#input, this.#state ?? (await this.#fresh()))
    this.#state = state
    this.#input.copyWithin(0, FRAME)
    this.#filled = 0
    const start = this.#scored
    this.#scored += length
    return { startMs: start / PER_MS, endMs: this.#scored / PER_MS, score }
  }
}
