// Problem: callers of RemoteMedia know a `VoiceActivityDetector` that hands their audio on with a verdict; the edge wants bare scores.
// Answer: a handler for RemoteProcessingService that does both with Silero VAD.
//
//   { output: 'audio' }    the audio that came, with is_speech, speech_ratio, avg_energy and frame_duration_ms in its metadata, as the stock
//                          node answers; filter_mode lets only speech pass, include_metadata: false leaves the verdict out
//   { output: 'scores' }   JSON `{ startMs, endMs, score }` per 32 ms: for one item an array, with times from its start; in a stream one
//                          packet each, with times from the stream's start, or with `stateless: true` an array for each item by itself
//
// The stock node compares energies; what it is told about those (energy_threshold, frame_duration_ms) is taken and has no effect here.
// Bytes without a format are 16 kHz mono, f32le or, by `format`, s16le, as for the edge's `vad`.

import { toMono } from './resample.mjs'
import { DEFAULT_VERSION, FRAME_MS, SAMPLE_RATE, SileroVad } from './silero.mjs'

const isShare = (value) => typeof value === 'number' && value >= 0 && value <= 1
const isFlag = (value) => typeof value === 'boolean'
const isOneOf = (values) => (value) => values.includes(value)

/** Name, default, what it must be. Other names are allowed, as for every stock node. */
const OPTIONS = [
  ['output', 'audio', isOneOf(['audio', 'scores']), "'audio' or 'scores'"],
  ['stateless', false, isFlag, 'true or false'],
  ['format', 'f32le', isOneOf(['f32le', 's16le']), "'f32le' or 's16le'"],
  ['threshold', 0.5, isShare, 'a number from 0 to 1'],
  ['speech_threshold', 0.3, isShare, 'a number from 0 to 1'],
  ['filter_mode', false, isFlag, 'true or false'],
  ['include_metadata', true, isFlag, 'true or false'],
]

function read(config = {}) {
  const options = {}
  for (const [name, fallback, holds, what] of OPTIONS) {
    const value = config[name] ?? fallback
    if (!holds(value)) throw new TypeError(`config.${name} must be ${what}, got ${JSON.stringify(value)}`)
    options[name] = value
  }
  return options
}

/** The packet's audio, interleaved. */
function audioOf({ data }, { format }) {
  if (data?.samples && data.sampleRate > 0) return data
  if (!(data instanceof Uint8Array)) throw new TypeError('audio expected: samples with a sampleRate, or bytes')
  const [Samples, width] = format === 's16le' ? [Int16Array, 2] : [Float32Array, 4]
  if (data.length % width !== 0) throw new RangeError(`${data.length} bytes are no whole number of ${format} samples`)
  // A copy: the bytes may start anywhere, and samples must be aligned.
  return { samples: new Samples(data.slice().buffer), sampleRate: SAMPLE_RATE, channels: 1 }
}

function meanEnergy(mono, sampleRate) {
  const frame = Math.max(1, Math.round((sampleRate * FRAME_MS) / 1000))
  let sum = 0
  let frames = 0
  for (let at = 0; at < mono.length; at += frame, frames += 1) {
    const piece = mono.subarray(at, at + frame)
    sum += Math.sqrt(piece.reduce((squares, sample) => squares + sample * sample, 0) / piece.length)
  }
  return frames === 0 ? 0 : sum / frames
}

/** The answer to one item, given the share of its frames that are speech; undefined if it is not to pass. */
function verdict(packet, audio, mono, ratio, options) {
  const isSpeech = ratio >= options.speech_threshold
  if (options.filter_mode) return isSpeech ? { data: audio, metadata: packet.metadata } : undefined
  if (!options.include_metadata) return { data: audio, metadata: packet.metadata }
  const found = {
    is_speech: isSpeech,
    speech_ratio: ratio,
    avg_energy: meanEnergy(mono, audio.sampleRate),
    frame_duration_ms: FRAME_MS,
  }
  return { data: audio, metadata: { ...packet.metadata, ...found } }
}

const shareOf = (scores, threshold) => scores.filter(({ score }) => score >= threshold).length / scores.length

/** The handler; `version` names the model. */
export function voiceActivityDetector({ version = DEFAULT_VERSION } = {}) {
  /** One item by itself: its answer, or undefined. */
  async function alone(packet, options, signal) {
    const audio = audioOf(packet, options)
    const mono = toMono(audio)
    const scores = await SileroVad.scoreClip(mono, audio.sampleRate, { version, signal })
    if (options.output === 'scores') return { data: scores }
    return verdict(packet, audio, mono, scores.length === 0 ? 0 : shareOf(scores, options.threshold), options)
  }

  return {
    category: 'audio',
    description: 'Tells speech from other sound with Silero VAD',

    async execute(packet, { config, signal }) {
      return (await alone(packet, read(config), signal)) ?? []
    },

    async *stream(source, { config, signal }) {
      const options = read(config)
      const vad = new SileroVad({ version })
      let ratio = 0
      for await (const packet of source) {
        if (options.stateless) {
          const answer = await alone(packet, options, signal)
          if (answer) yield answer
          continue
        }
        const audio = audioOf(packet, options)
        const mono = toMono(audio)
        const scores = await vad.score(mono, audio.sampleRate, { signal })
        if (options.output === 'scores') {
          for (const score of scores) yield { data: score }
          continue
        }
        // An item that completes no frame of the model is taken for what the one before was.
        if (scores.length > 0) ratio = shareOf(scores, options.threshold)
        const answer = verdict(packet, audio, mono, ratio, options)
        if (answer) yield answer
      }
      const rest = await vad.finish()
      if (options.output === 'scores') for (const score of rest) yield { data: score }
    },
  }
}
