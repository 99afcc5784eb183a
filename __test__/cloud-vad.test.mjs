// The cloud's model and its handler, without a server between: Silero VAD gives what its own programs give, in pieces as in one go, and the
// handler answers as RemoteMedia's VoiceActivityDetector does.

import { createRequire } from 'node:module'
import path from 'node:path'
import ort from 'onnxruntime-node'
import { describe, expect, it, vi } from 'vitest'
import { Resampler, toMono } from '../examples/cloud/resample.mjs'
import { FRAME, SAMPLE_RATE, SileroVad, VERSIONS } from '../examples/cloud/silero.mjs'
import { voiceActivityDetector } from '../examples/cloud/voice-activity-detector.mjs'
import { readWav } from '../examples/support/wav.mjs'
import { ROOT, collect, rejection, thrown } from './support/index.mjs'

const recording = readWav(path.join(ROOT, 'examples/audio/speech-in-noise.wav'))
// Silence, a word, silence: enough for every kind of frame.
const speech = toMono(recording).slice(0, 3 * SAMPLE_RATE)
const sine = (rate, hz, seconds, level = 0.5) =>
  Float32Array.from({ length: rate * seconds }, (_, index) => level * Math.sin((2 * Math.PI * hz * index) / rate))
const rms = (samples) => Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length)
const numbers = (scores) => scores.map(({ score }) => score)
const packet = (samples, more) => ({ data: { samples, sampleRate: SAMPLE_RATE, channels: 1 }, metadata: {}, ...more })

describe('the resampler', () => {
  it.each([8_000, 11_025, 22_050, 44_100, 48_000])('keeps a tone from %i Hz, in place, and as long as it was', (rate) => {
    const resampler = new Resampler(rate, SAMPLE_RATE)
    const input = sine(rate, 1_000, 1)
    const out = [...resampler.push(input), ...resampler.finish()]
    const ideal = sine(SAMPLE_RATE, 1_000, 1)
    expect(out).toHaveLength(SAMPLE_RATE)
    // The ends have nothing on their other side.
    const inner = out.slice(400, -400).map((sample, index) => sample - ideal[index + 400])
    expect(rms(inner)).toBeLessThan(rms(ideal) / 1000)
  })

  it('lets nothing through that the lower rate cannot hold', () => {
    const resampler = new Resampler(48_000, SAMPLE_RATE)
    const out = resampler.push(sine(48_000, 11_000, 1))
    expect(rms(out.slice(400))).toBeLessThan(0.35 / 2_000)
  })

  it('gives the same in pieces of any size', () => {
    const input = sine(44_100, 700, 0.5)
    const whole = new Resampler(44_100, SAMPLE_RATE)
    const pieces = new Resampler(44_100, SAMPLE_RATE)
    const out = []
    for (let at = 0, size = 1; at < input.length; at += size, size = (size * 7) % 1_009)
      out.push(...pieces.push(input.subarray(at, at + size)))
    out.push(...pieces.finish())
    const expected = [...whole.push(input), ...whole.finish()]
    expect(out).toHaveLength(expected.length)
    expect(Math.max(...out.map((sample, index) => Math.abs(sample - expected[index])))).toBeLessThan(1e-6)
  })

  it('mixes channels down, also of 16-bit samples', () => {
    expect([...toMono({ samples: Float32Array.of(1, 0, 0.5, 0.5), channels: 2 })]).toEqual([0.5, 0.5])
    expect([...toMono({ samples: Int16Array.of(-32_768, 16_384) })]).toEqual([-1, 0.5])
  })
})

describe('SileroVad', () => {
  it.each(VERSIONS)('scores as the package that ships the model does (%s)', async (version) => {
    const require = createRequire(import.meta.url)
    const folder = path.dirname(require.resolve('@ricky0123/vad-web'))
    const { Silero } = require(path.join(folder, 'models'))
    const { readFile } = await import('node:fs/promises')
    const theirs = await Silero.new(ort, () => readFile(path.join(folder, `silero_vad_${version}.onnx`)))
    const expected = []
    for (let at = 0; at + FRAME <= speech.length; at += FRAME) {
      expected.push((await theirs.process(speech.slice(at, at + FRAME))).isSpeech)
    }
    const ours = numbers(await new SileroVad({ version }).score(speech))
    expect(ours).toEqual(expected)
    expect(Math.max(...ours)).toBeGreaterThan(0.9)
    expect(Math.min(...ours)).toBeLessThan(0.1)
  })

  it('gives the same in pieces, with times that go on', async () => {
    const whole = await new SileroVad().score(speech)
    const vad = new SileroVad()
    const pieces = []
    for (let at = 0, size = 1; at < speech.length; at += size, size = (size * 7) % 1_009) {
      pieces.push(...(await vad.score(speech.subarray(at, at + size))))
    }
    expect(pieces).toEqual(whole)
    expect(whole.slice(0, 2).map(({ startMs, endMs }) => [startMs, endMs])).toEqual([
      [0, 32],
      [32, 64],
    ])
  })

  it('scores what is left at the end as far as it goes, and starts anew', async () => {
    const vad = new SileroVad()
    const piece = speech.subarray(0, 3 * FRAME + 160)
    const first = [...(await vad.score(piece)), ...(await vad.finish())]
    expect(first.at(-1)).toMatchObject({ startMs: 96, endMs: 106 })
    expect([...(await vad.score(piece)), ...(await vad.finish())]).toEqual(first)
    expect(await vad.finish()).toEqual([])
  })

  it('hears a clip by itself after silence, always the same', async () => {
    const clip = speech.slice(SAMPLE_RATE, 2 * SAMPLE_RATE)
    const found = await SileroVad.scoreClip(clip)
    expect(found.at(-1).endMs).toBe(1_000)
    expect(await SileroVad.scoreClip(clip)).toEqual(found)
    const silent = new SileroVad()
    await silent.score(new Float32Array(8 * FRAME))
    expect(numbers(found)).toEqual(numbers([...(await silent.score(clip)), ...(await silent.finish())]))
    expect(numbers(found)).not.toEqual(numbers(await new SileroVad().score(clip)))
  })

  it('takes its turns, whoever does not wait for the one before', async () => {
    const vad = new SileroVad()
    const parts = [speech.subarray(0, 700), speech.subarray(700, 9_000), speech.subarray(9_000, 20_000)]
    const found = (await Promise.all(parts.map((part) => vad.score(part)))).flat()
    expect(found).toEqual(await new SileroVad().score(speech.subarray(0, 20_000)))
  })

  it('hears other rates much alike', async () => {
    const up = new Resampler(SAMPLE_RATE, 48_000)
    const loud = [...up.push(speech), ...up.finish()]
    const there = numbers(await SileroVad.scoreClip(Float32Array.from(loud), 48_000))
    const here = numbers(await SileroVad.scoreClip(speech))
    const apart = here.map((score, index) => Math.abs(score - there[index]))
    expect(there).toHaveLength(here.length)
    expect(apart.reduce((sum, value) => sum + value, 0) / apart.length).toBeLessThan(0.02)
  })

  it('survives samples that are no numbers or far too loud', async () => {
    const bad = speech.slice(0, 20 * FRAME)
    bad.fill(Number.NaN, 1_000, 1_100)
    bad.fill(Number.POSITIVE_INFINITY, 2_000, 2_050)
    for (const score of numbers(await SileroVad.scoreClip(bad))) expect(score).toBeGreaterThanOrEqual(0)
  })

  it('refuses what it cannot hear, and goes on afterwards', async () => {
    const vad = new SileroVad()
    expect((await rejection(vad.score([0, 0]))).message).toMatch(/Float32Array/)
    expect((await rejection(vad.score(speech, 100))).message).toMatch(/between 4000 and 384000, got 100/)
    await vad.score(speech.subarray(0, 100))
    expect((await rejection(vad.score(speech, 8_000))).message).toMatch(/changed from 16000 to 8000/)
    expect(await vad.score(speech.subarray(100, 600))).toHaveLength(1)
    expect(thrown(() => new SileroVad({ version: 'v1' })).message).toMatch(/one of v5, v6, got v1/)
  })

  it('stops between frames when it is told to', async () => {
    const reason = new Error('enough')
    const controller = new AbortController()
    const scoring = SileroVad.scoreClip(speech, SAMPLE_RATE, { signal: controller.signal })
    controller.abort(reason)
    expect(await rejection(scoring)).toBe(reason)
  })

  it('makes no further session, however many listen', async () => {
    await SileroVad.scoreClip(speech.subarray(0, FRAME))
    const create = vi.spyOn(ort.InferenceSession, 'create')
    await Promise.all(Array.from({ length: 20 }, () => SileroVad.scoreClip(speech.subarray(0, FRAME))))
    expect(create).not.toHaveBeenCalled()
    create.mockRestore()
  })
})

describe('the handler VoiceActivityDetector', () => {
  const handler = voiceActivityDetector()
  const half = SAMPLE_RATE / 2
  const items = [0, 1, 2, 3, 4, 5].map((index) => packet(speech.slice(index * half, (index + 1) * half), { metadata: { n: index } }))
  const stream = (config, source = items) => collect(handler.stream(source, { config }))

  it('hands audio on with the verdict and the metadata that it had', async () => {
    const answers = await stream({})
    expect(answers.map(({ data }) => data)).toEqual(items.map(({ data }) => data))
    expect(Object.keys(answers[0].metadata)).toEqual(['n', 'is_speech', 'speech_ratio', 'avg_energy', 'frame_duration_ms'])
    expect(answers.map(({ metadata }) => metadata.n)).toEqual([0, 1, 2, 3, 4, 5])
    const verdicts = answers.map(({ metadata }) => metadata.is_speech)
    expect(verdicts).toContain(true)
    expect(verdicts).toContain(false)
    for (const { metadata } of answers) expect(metadata.is_speech).toBe(metadata.speech_ratio >= 0.3)
  })

  it('lets only speech pass in filter mode, and leaves the verdict out if asked to', async () => {
    const verdicts = await stream({})
    const passed = await stream({ filter_mode: true })
    expect(passed.map(({ metadata }) => metadata)).toEqual(
      verdicts.filter(({ metadata }) => metadata.is_speech).map(({ metadata }) => ({ n: metadata.n })),
    )
    const bare = await stream({ include_metadata: false })
    expect(bare.map(({ metadata }) => metadata)).toEqual(items.map(({ metadata }) => metadata))
  })

  it('takes an item shorter than a frame for what the one before was', async () => {
    const short = Array.from({ length: 150 }, (_, index) => packet(speech.slice(index * 160, (index + 1) * 160)))
    const answers = await stream({}, short)
    expect(answers).toHaveLength(150)
    // The first frame is whole in the fourth item of 10 ms.
    const changes = answers.slice(1).filter(({ metadata }, index) => metadata.is_speech !== answers[index].metadata.is_speech)
    expect(changes.length).toBeGreaterThan(0)
    expect(changes.length).toBeLessThan(10)
  })

  it('gives a packet per frame in a stream, and the rest at its end', async () => {
    const cut = items.map((item, index) => (index === 5 ? packet(item.data.samples.subarray(0, 100)) : item))
    const answers = await stream({ output: 'scores' }, cut)
    const whole = new SileroVad()
    const joined = Float32Array.from(cut.flatMap(({ data }) => [...data.samples]))
    const expected = [...(await whole.score(joined)), ...(await whole.finish())]
    expect(answers.map(({ data }) => data)).toEqual(expected)
  })

  it('gives an array per item, with times from its start, when the item stands alone', async () => {
    const one = await handler.execute(items[2], { config: { output: 'scores', stateless: true } })
    expect(one).toEqual({ data: await SileroVad.scoreClip(items[2].data.samples) })
    expect(one.data[0].startMs).toBe(0)
    const [, , third] = await stream({ output: 'scores', stateless: true })
    expect(third).toEqual(one)
  })

  it('judges one item alone, also in bytes, 16 bits, two channels and other rates', async () => {
    const [{ data }] = items.slice(2)
    const { metadata } = await handler.execute(items[2], { config: {} })
    const bytes = new Uint8Array(data.samples.buffer, data.samples.byteOffset, data.samples.byteLength)
    // At an odd place in its buffer, as what comes off a wire may be.
    const odd = new Uint8Array(bytes.length + 1)
    odd.set(bytes, 1)
    const fromBytes = await handler.execute({ data: odd.subarray(1) }, { config: { output: 'scores' } })
    expect(fromBytes).toEqual(await handler.execute(items[2], { config: { output: 'scores' } }))
    const pcm = Int16Array.from(data.samples, (sample) => Math.round(sample * 32_767))
    const fromPcm = await handler.execute({ data: new Uint8Array(pcm.buffer) }, { config: { output: 'scores', format: 's16le' } })
    expect(fromPcm.data).toHaveLength(fromBytes.data.length)
    const stereo = Float32Array.from({ length: 2 * data.samples.length }, (_, index) => data.samples[index >> 1])
    const both = await handler.execute({ data: { samples: stereo, sampleRate: SAMPLE_RATE, channels: 2 }, metadata: {} }, { config: {} })
    expect(both.metadata.speech_ratio).toBe(metadata.speech_ratio)
    const slow = await handler.execute({ data: { samples: data.samples, sampleRate: 8_000 } }, { config: { output: 'scores' } })
    expect(slow.data).toHaveLength(Math.ceil((2 * data.samples.length) / FRAME))
  })

  it('answers nothing to silence in filter mode, and no speech to no samples', async () => {
    expect(await handler.execute(packet(new Float32Array(half)), { config: { filter_mode: true } })).toEqual([])
    const { metadata } = await handler.execute(packet(new Float32Array(0)), { config: {} })
    expect(metadata).toMatchObject({ is_speech: false, speech_ratio: 0, avg_energy: 0 })
  })

  it.each([
    [{ output: 'text' }, /config\.output must be 'audio' or 'scores', got "text"/],
    [{ threshold: 2 }, /config\.threshold must be a number from 0 to 1/],
    [{ speech_threshold: '0.3' }, /config\.speech_threshold must be a number from 0 to 1, got "0.3"/],
    [{ filter_mode: 'false' }, /config\.filter_mode must be true or false, got "false"/],
    [{ stateless: 1 }, /config\.stateless must be true or false/],
    [{ format: 'mp3' }, /config\.format must be/],
  ])('refuses %j', async (config, message) => {
    expect((await rejection(handler.execute(items[0], { config }))).message).toMatch(message)
    expect((await rejection(stream(config))).message).toMatch(message)
  })

  it('takes the options of the stock node that mean nothing to it', async () => {
    const config = { energy_threshold: 0.02, frame_duration_ms: 20, enable_state: false }
    expect((await handler.execute(items[0], { config })).metadata.frame_duration_ms).toBe(32)
  })

  it('refuses what is no audio', async () => {
    expect((await rejection(handler.execute({ data: 'text' }, { config: {} }))).message).toMatch(/audio expected/)
    expect((await rejection(handler.execute({ data: new Uint8Array(5) }, { config: {} }))).message).toMatch(/5 bytes are no whole number/)
    expect((await rejection(stream({}, [{ data: { a: 1 } }]))).message).toMatch(/audio expected/)
  })

  it('stops when the call is aborted', async () => {
    const reason = new Error('gone')
    const signal = AbortSignal.abort(reason)
    expect(await rejection(handler.execute(items[0], { config: {}, signal }))).toBe(reason)
    expect(await rejection(collect(handler.stream(items, { config: {}, signal })))).toBe(reason)
  })
})
