// Every shipped module does its job on real input, through the addon. Finer points are tested beside their sources, in wasm-modules/.

import { readdirSync } from 'node:fs'
import path from 'node:path'
import { crc32, deflateSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { speechLike, whiteNoise } from './support/audio.mjs'
import { api, collect, DIST, expectError, guest, MODES, node, rejection } from './support/index.mjs'

const RATE = 16_000
const tone = (hz, rate, seconds, level = 0.5) =>
  Float32Array.from({ length: rate * seconds }, (_, i) => level * Math.sin((2 * Math.PI * hz * i) / rate))
const rms = (samples) => Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length)
/** Audio in pieces of a size that fits nothing. */
const pieces = (samples, sampleRate, size = 777, channels = 1) =>
  Array.from({ length: Math.ceil(samples.length / size) }, (_, i) => ({
    samples: samples.subarray(i * size, (i + 1) * size),
    sampleRate,
    channels,
  }))
const joined = (packets) => Float32Array.from(packets.flatMap((packet) => [...packet.data.samples]))

/** Only a HybridWasmNode grants what these import; what they do is tested with it, and in tests/engine_remote. */
const NEED_REMOTE = ['hybrid-vad']
const TESTED = ['bytesum', 'denoise', 'echo', 'features', 'gain', 'gain-as', 'gain-c', 'resample', 'thumbnail', 'tokenize', 'vad']

test('this file tests every module that is shipped', () => {
  expect(
    readdirSync(DIST)
      .filter((file) => file.endsWith('.wasm'))
      .map((file) => path.basename(file, '.wasm'))
      .sort(),
  ).toEqual([...TESTED, ...NEED_REMOTE].sort())
})

test.each(NEED_REMOTE)('%s compiles, and says that it needs a remote', { timeout: 120_000 }, async (name) => {
  const { imports } = await api.inspectModule(guest(name))
  expect(imports.filter((one) => one.module === 'env').map((one) => one.grant)).toEqual(['a remote (HybridWasmNode)'])
  expect((await api.compileModule(guest(name))).artifactBytes).toBeGreaterThan(0)
  expectError(await rejection(node(guest(name)).initialize()), 'ERR_IMPORT_DENIED')
})

test.each(TESTED)('%s compiles', { timeout: 600_000 }, async (name) => {
  const { imports } = await api.inspectModule(guest(name))
  expect((await api.compileModule(guest(name))).artifactBytes).toBeGreaterThan(0)
  const made = node(guest(name), {
    mode: 'aot',
    config: name === 'resample' ? { sampleRate: RATE } : {},
    wasi: { random: imports.some((one) => one.grant === 'wasi.random') },
  })
  await made.initialize()
  expect(made.metrics().mode).toBe('aot')
})

describe('vad', () => {
  // Two seconds of noise, then speech from 2 s to 4 s, then noise to 6 s.
  const recording = whiteNoise(6 * RATE, 0.002)
  speechLike(2 * RATE, RATE).forEach((value, i) => {
    recording[2 * RATE + i] += value
  })

  test.each(MODES)('finds where speech begins and ends (%s)', async (mode) => {
    const packets = await collect(node(guest('vad'), { mode }).process(pieces(recording, RATE)))
    const events = packets.map((packet) => packet.data)
    expect(packets.every((packet) => packet.kind === 'json')).toBe(true)
    expect(events.map((event) => event.type).filter((type, i) => type !== (i % 2 ? 'speech_end' : 'speech_start'))).toEqual([])
    expect(events.length).toBeGreaterThanOrEqual(2)
    expect(events[0].atMs).toBeGreaterThan(1800)
    expect(events[0].atMs).toBeLessThan(2400)
    expect(events.at(-1).atMs).toBeGreaterThan(3600)
    expect(events.at(-1).atMs).toBeLessThan(4600)
    const spoken = events.reduce((sum, event) => sum + (event.durationMs ?? 0), 0)
    expect(spoken).toBeGreaterThan(1200)
  })

  test('finds the same whatever the sizes of the pieces, and through 16-bit samples', async () => {
    const events = async (source) => (await collect(node(guest('vad'), { mode: 'aot' }).process(source))).map((packet) => packet.data)
    const whole = await events([{ samples: recording, sampleRate: RATE }])
    expect(await events(pieces(recording, RATE, 160))).toEqual(whole)
    const short = Int16Array.from(recording, (value) => Math.round(value * 32_767))
    expect((await events(pieces(short, RATE, 4096))).map((event) => event.type)).toEqual(whole.map((event) => event.type))
  })

  test('scores every 16 ms', async () => {
    const packets = await collect(node(guest('vad'), { mode: 'aot', config: { output: 'scores' } }).process(pieces(recording, RATE)))
    const scores = packets.map((packet) => packet.data)
    expect(scores).toHaveLength((6 * 1000) / 16)
    scores.forEach((score, i) => expect(score).toMatchObject({ startMs: i * 16, endMs: (i + 1) * 16 }))
    const mean = (from, to) => {
      const some = scores.filter((score) => score.startMs >= from && score.endMs <= to)
      return some.reduce((sum, score) => sum + score.score, 0) / some.length
    }
    expect(mean(2300, 3900)).toBeGreaterThan(0.6)
    expect(mean(500, 1800)).toBeLessThan(0.4)
  })

  test('a wrong config is the guest’s own error, with the field’s path', async () => {
    const error = expectError(
      await rejection(node(guest('vad'), { config: { threshold: 7 } }).call({ samples: recording.subarray(0, 160), sampleRate: RATE })),
      'ERR_GUEST',
    )
    expect(error.message).toMatch(/^config\.threshold/)
  })
})

test('resample: 44.1 kHz stereo to 16 kHz mono keeps pitch, length and loudness', async () => {
  const mono = tone(440, 44_100, 1)
  const stereo = Float32Array.from({ length: mono.length * 2 }, (_, i) => mono[i >> 1])
  const packets = await collect(
    node(guest('resample'), { mode: 'aot', config: { sampleRate: RATE, channels: 1 } }).process(pieces(stereo, 44_100, 1000, 2)),
  )
  expect(packets.every((packet) => packet.data.sampleRate === RATE && packet.data.channels === 1)).toBe(true)
  const out = joined(packets)
  expect(out).toHaveLength(RATE)
  const want = tone(440, RATE, 1)
  const error = out.subarray(1000, 15_000).map((value, i) => value - want[1000 + i])
  expect(rms(error)).toBeLessThan(0.01)
})

test('denoise: quiets noise, keeps the length', async () => {
  const noise = whiteNoise(48_000 * 2, 0.05)
  const made = node(guest('denoise'), { mode: 'aot', wasi: { random: true } })
  const out = joined(await collect(made.process(pieces(noise, 48_000, 480))))
  expect(out).toHaveLength(noise.length)
  expect(rms(out.subarray(48_000))).toBeLessThan(rms(noise) * 0.75)
})

test('features: log-mel frames that show the pitch', async () => {
  const made = node(guest('features'), { mode: 'aot', config: { nMels: 40 } })
  const peaks = []
  for (const hz of [300, 3000]) {
    const [packet] = await made.call({ samples: tone(hz, RATE, 1), sampleRate: RATE })
    expect(packet).toMatchObject({ kind: 'tensor', data: { dtype: 'float32', shape: [98, 40] } })
    const values = new Float32Array(new Uint8Array(packet.data.data).buffer)
    expect(values).toHaveLength(98 * 40)
    expect(values.every(Number.isFinite)).toBe(true)
    const frame = [...values.subarray(50 * 40, 51 * 40)]
    peaks.push(frame.indexOf(Math.max(...frame)))
  }
  expect(peaks[1]).toBeGreaterThan(peaks[0] + 5)
})

test('thumbnail: a PNG becomes a small frame, and a PNG again', async () => {
  // Left half red, right half blue.
  const image = png(64, 32, (x) => (x < 32 ? [255, 0, 0] : [0, 0, 255]))
  const [{ kind, data }] = await node(guest('thumbnail'), { config: { width: 16, height: 16 } }).call(image)
  expect({ kind, ...data, pixels: data.pixels.length }).toEqual({
    kind: 'video',
    width: 16,
    height: 8,
    format: 'rgb24',
    pixels: 16 * 8 * 3,
  })
  const pixel = (x, y) => [...data.pixels.subarray((y * 16 + x) * 3, (y * 16 + x) * 3 + 3)]
  expect(pixel(2, 4)[0]).toBeGreaterThan(200)
  expect(pixel(2, 4)[2]).toBeLessThan(50)
  expect(pixel(13, 4)[2]).toBeGreaterThan(200)
  const [small] = await node(guest('thumbnail'), { config: { width: 8, height: 8, output: 'png' } }).call(image)
  expect(small.kind).toBe('binary')
  expect([...small.data.subarray(1, 4)].map((byte) => String.fromCharCode(byte)).join('')).toBe('PNG')
  expectError(await rejection(node(guest('thumbnail')).call(image.subarray(0, 60))), 'ERR_GUEST')
})

test('tokenize: words with offsets that JavaScript understands', async () => {
  const text = 'Hallo 😀 schöne, neue Welt! Und: ja.'
  const [{ data }] = await node(guest('tokenize')).call(text)
  expect(data.mode).toBe('words')
  expect(data.tokens.map((token) => token.text)).toEqual(['Hallo', 'schöne', 'neue', 'Welt', 'Und', 'ja'])
  for (const token of data.tokens) expect(text.slice(token.start, token.end)).toBe(token.text)
  const [{ data: sentences }] = await node(guest('tokenize'), { config: { mode: 'sentences' } }).call(text)
  expect(sentences.count).toBe(2)
})

test.each(['gain', 'gain-c', 'gain-as'])('%s: louder, clipped, quieter', async (name) => {
  const samples = Float32Array.from({ length: 101 }, (_, i) => i / 100)
  for (const mode of MODES) {
    const [packet] = await node(guest(name), { mode, config: { gain: 2 }, outputKind: 'audio' }).call({ samples, sampleRate: 48_000 })
    expect(packet.data).toMatchObject({ sampleRate: 48_000, channels: 1 })
    packet.data.samples.forEach((value, i) => expect(value).toBeCloseTo(Math.min(1, i / 50), 5))
  }
  const [quiet] = await node(guest(name), { config: { gainDb: -20 }, outputKind: 'audio' }).call({ samples, sampleRate: 48_000 })
  expect(quiet.data.samples[100]).toBeCloseTo(0.1, 5)
  const error = expectError(await rejection(node(guest(name), { config: { gain: -1 } }).call({ samples, sampleRate: 48_000 })), 'ERR_GUEST')
  expect(error.message).toMatch(/^config\.gain/)
})

test('bytesum adds', async () => {
  const [{ data }] = await node(guest('bytesum'), { outputKind: 'binary' }).call(new Uint8Array(100_000).fill(200))
  expect(data.readBigUInt64LE(0)).toBe(20_000_000n)
})

test('echo returns what it gets', async () => {
  expect((await node(guest('echo'), { outputKind: 'text' }).call('hällo'))[0].data).toBe('hällo')
})

test('a chain: 48 kHz stereo through resample and gain into vad', async () => {
  const speech = speechLike(96_000, 48_000)
  const stereo = Float32Array.from({ length: speech.length * 2 + 96_000 }, (_, i) =>
    i >= 48_000 && i - 48_000 < speech.length * 2 ? speech[(i - 48_000) >> 1] : 0,
  )
  const resample = node(guest('resample'), { mode: 'aot', config: { sampleRate: RATE, channels: 1 } })
  const gain = node(guest('gain'), { mode: 'aot', config: { gainDb: -3 } })
  const vad = node(guest('vad'), { mode: 'aot' })
  const events = await collect(vad.process(gain.process(resample.process(pieces(stereo, 48_000, 960, 2)))))
  expect(events.map((packet) => packet.data.type)).toContain('speech_start')
  expect(events.at(-1).data.type).toBe('speech_end')
})

/** A PNG, written by hand: signature, IHDR, IDAT, IEND. */
function png(width, height, color) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data])
    const frame = Buffer.alloc(body.length + 8)
    frame.writeUInt32BE(data.length)
    body.copy(frame, 4)
    frame.writeUInt32BE(crc32(body), body.length + 4)
    return frame
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width)
  header.writeUInt32BE(height, 4)
  header.set([8, 2, 0, 0, 0], 8)
  const rows = Buffer.concat(
    Array.from({ length: height }, (_, y) => Buffer.from([0, ...Array.from({ length: width }, (_, x) => color(x, y)).flat()])),
  )
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}
