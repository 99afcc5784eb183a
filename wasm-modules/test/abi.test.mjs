// The artifacts in dist/ under a host that is not the addon. `node --test test/`; with SPEECH_WAV=FILE (16 kHz mono
// 16-bit) the voice detector is given real speech as well.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { crc32, deflateSync } from 'node:zlib'
import { Guest, GuestError, floats, json, text } from './host.mjs'

const tone = (hz, rate, ms) => Float32Array.from({ length: (rate * ms) / 1000 }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rate) / 2)
const encode = (value) => new TextEncoder().encode(value)
const decode = (bytes) => new TextDecoder().decode(bytes)
const close = (a, b, limit = 1e-6) => assert.ok(Math.abs(a - b) <= limit, `${a} is not ${b}`)
const concat = (outputs) => Float32Array.from(outputs.flatMap((output) => [...floats(output)]))

test('every artifact is the one its sources made', () => {
  execFileSync(process.execPath, [new URL('../check-dist.mjs', import.meta.url).pathname])
})

test('echo returns small and large inputs', () => {
  const guest = new Guest('echo')
  for (const size of [1, 64, 65, 1_000_000]) {
    const data = new Uint8Array(size).fill(size)
    assert.deepEqual(guest.process(data)[0].bytes, data)
  }
  assert.deepEqual(guest.process(new Uint8Array(0)), [])
  assert.equal(guest.cleanup(), 0)
})

test('bytesum adds', () => {
  const [{ bytes }] = new Guest('bytesum').process(new Uint8Array(100_000).fill(200))
  assert.equal(new DataView(bytes.buffer).getBigUint64(0, true), 20_000_000n)
})

for (const name of ['gain', 'gain-c', 'gain-as']) {
  test(`${name} amplifies, clips and refuses bad configs`, () => {
    const samples = Float32Array.from({ length: 1001 }, (_, i) => i / 1000)
    const apply = (config) => floats(new Guest(name, { config }).audio(samples, 8000)[0])
    const doubled = apply({ gain: 2 })
    assert.equal(doubled.length, 1001)
    doubled.forEach((sample, i) => close(sample, Math.min(1, (2 * i) / 1000)))
    apply({ gainDb: -6.5 }).forEach((sample, i) => close(sample, (10 ** (-6.5 / 20) * i) / 1000))
    assert.deepEqual(apply({}), samples)
    for (const config of [{ gain: -1 }, { gain: 'x' }, { gainDb: 500 }, { gain: 1, gainDb: 1 }]) {
      assert.throws(() => new Guest(name, { config }), { message: /^config\.gain/ })
    }
    assert.throws(() => new Guest(name).process(new Uint8Array(7), { kind: 'audio', sampleRate: 8000 }), GuestError)
  })
}

test('vad scores every 16 ms at any rate, and silence holds no events', () => {
  for (const rate of [8000, 16000, 44100, 48000]) {
    const guest = new Guest('vad', { config: { output: 'scores' } })
    const audio = tone(200, rate, 960)
    const scores = []
    for (let at = 0; at < audio.length; at += 333) scores.push(...guest.audio(audio.slice(at, at + 333), rate))
    scores.push(...guest.flush())
    assert.equal(scores.length, 60)
    assert.deepEqual(Object.keys(json(scores[0])), ['startMs', 'endMs', 'score'])
    assert.equal(json(scores[59]).endMs, 960)
  }
  const guest = new Guest('vad')
  assert.deepEqual([...guest.audio(new Float32Array(48000), 48000), ...guest.flush()], [])
  assert.throws(() => new Guest('vad', { config: { threshold: 2 } }), { message: /^config\.threshold/ })
})

test('hybrid-vad asks about what it is unsure of, and works alone when nobody answers', () => {
  const seen = []
  const service = (data, format) => {
    seen.push({ bytes: data.length, format })
    const rows = Array.from({ length: data.length / 2048 }, (_, i) => ({ startMs: i * 32, endMs: i * 32 + 32, score: 0.75 }))
    return encode(JSON.stringify(rows))
  }
  const config = { output: 'scores', low: 0, high: 1 }
  const run = (services) => {
    const guest = new Guest('hybrid-vad', { config, services })
    const audio = tone(200, 48000, 960)
    const outputs = []
    for (let at = 0; at < audio.length; at += 4800) outputs.push(...guest.audio(audio.slice(at, at + 4800), 48000))
    return { guest, outputs: [...outputs, ...guest.flush()].map(json) }
  }
  const { outputs } = run({ vad: service })
  const usage = outputs.pop()
  assert.equal(outputs.length, 60)
  assert.deepEqual(Object.keys(outputs[0]), ['startMs', 'endMs', 'score', 'edgeScore', 'source'])
  assert.ok(outputs.every(({ score, source }) => score === 0.75 && source === 'cloud'))
  assert.ok(seen.every(({ format }) => format.kind === 'audio' && format.sampleRate === 16000 && format.channels === 1))
  const cloudBytes = seen.reduce((sum, { bytes }) => sum + bytes, 0)
  assert.deepEqual(usage, { type: 'usage', audioBytes: 960 * 64, cloudBytes, calls: seen.length, failures: 0 })

  const alone = run({ vad: () => -5 })
  assert.deepEqual(alone.outputs.pop().failures, seen.length)
  assert.ok(alone.outputs.every(({ score, edgeScore, source }) => score === edgeScore && source === 'edge-fallback'))
  assert.deepEqual(
    alone.guest.logs.map(([level]) => level),
    Array(seen.length).fill(3),
  )
  assert.throws(() => run({}), { message: /there is no vad/ })
})

test('vad finds the speech of SPEECH_WAV', { skip: !process.env.SPEECH_WAV }, () => {
  const wav = readFileSync(process.env.SPEECH_WAV)
  const pcm = wav.subarray(wav.indexOf('data') + 8)
  const guest = new Guest('vad', { config: { format: 's16le' } })
  const events = []
  for (let at = 0; at < pcm.length; at += 1000) events.push(...guest.process(pcm.subarray(at, at + 1000)).map(json))
  events.push(...guest.flush().map(json))
  assert.ok(events.length >= 2)
  events.forEach((event, i) => assert.equal(event.type, i % 2 ? 'speech_end' : 'speech_start'))
  const spoken = events.reduce((sum, event) => sum + (event.durationMs ?? 0), 0)
  assert.ok(spoken > pcm.length / 32 / 4, `${spoken} ms`)
})

test('resample keeps length and loudness', () => {
  const guest = new Guest('resample', { config: { sampleRate: 16000 } })
  const out = concat([...guest.audio(tone(440, 44100, 1000), 44100), ...guest.flush()])
  const want = tone(440, 16000, 1000)
  assert.equal(out.length, want.length)
  for (let i = 500; i < 15500; i++) close(out[i], want[i], 1e-3)
})

test('denoise keeps the length', () => {
  const guest = new Guest('denoise', { random: true })
  const noise = Float32Array.from({ length: 96000 }, (_, i) => (((i * 7919) % 1009) / 1009 - 0.5) / 50)
  assert.equal(concat([...guest.audio(noise, 48000), ...guest.flush()]).length, 96000)
})

test('features emits frames by mels', () => {
  const [output] = new Guest('features', { config: { nMels: 40 } }).audio(tone(440, 16000, 1000), 16000)
  assert.equal(output.kind, 'tensor')
  assert.deepEqual(output.meta, { dtype: 'float32', shape: [98, 40] })
  assert.equal(floats(output).length, 98 * 40)
})

test('tokenize gives JavaScript offsets', () => {
  const source = '😀 Hello, wörld'
  const { tokens } = json(new Guest('tokenize').process(Buffer.from(source), { kind: 'text' })[0])
  assert.deepEqual(
    tokens.map((t) => source.slice(t.start, t.end)),
    ['Hello', 'wörld'],
  )
})

test('thumbnail makes a PNG smaller', () => {
  const [output] = new Guest('thumbnail', { config: { width: 16, height: 16 } }).process(png(64, 32))
  assert.deepEqual([output.kind, output.meta], ['video', { width: 16, height: 8, format: 'rgb24' }])
  assert.equal(output.bytes.length, 16 * 8 * 3)
})

test('fixtures keep to what their comments say', () => {
  const outputs = (name, ...rest) => new Guest(`fixtures/${name}`, ...rest).process(new Uint8Array([1, 2, 3]))
  for (const name of ['oob', 'div_zero', 'int_overflow', 'unreachable', 'grow_bomb']) {
    assert.throws(() => outputs(name), WebAssembly.RuntimeError, name)
  }
  for (const name of ['recurse', 'recurse_grow', 'recurse_host']) assert.throws(() => outputs(name), RangeError, name)
  assert.throws(() => outputs('fail_text'), { message: 'no thanks' })
  assert.throws(() => outputs('fail_buffer'), { message: 'buffer says no' })
  assert.throws(() => outputs('init_refuse'), { message: 'config.model: no such model' })
  assert.throws(() => outputs('wrong_abi'), { message: 'ABI version 2' })
  assert.throws(() => outputs('liar_output'), { message: /more than the buffer/ })
  assert.throws(() => outputs('status1_forever'), { message: /again and again/ })
  assert.deepEqual(outputs('keep_result')[0].bytes, new Uint8Array(200_000).fill(42))
  assert.deepEqual(
    outputs('many_emits').map((o) => o.meta.n),
    [1, 2, 3],
  )
  assert.equal(outputs('wasi_probe')[0].bytes.length, 6)
  const double = (data) => Buffer.concat([data, data])
  assert.deepEqual([...outputs('call_host', { hostFunctions: { double } })[0].bytes], [1, 2, 3, 1, 2, 3])
  const large = new Guest('fixtures/call_host', { hostFunctions: { double } }).process(new Uint8Array(100))
  assert.equal(large[0].bytes.length, 200)
  const services = { double, down: () => -5 }
  const ask = (op, name, data = '') => Buffer.concat([Buffer.from(op), Buffer.of(name.length), Buffer.from(name + data)])
  const remote = new Guest('fixtures/remote', { services, sessionId: 'alice' })
  assert.equal(text(remote.process(ask('c', 'double', 'ab'))[0]), 'abab')
  assert.equal(remote.process(ask('c', 'double', 'a'.repeat(100)))[0].bytes.length, 200)
  assert.equal(text(remote.process(ask('i', 'alice'))[0]), 'remote-of-alice')
  assert.deepEqual([...remote.process(ask('I', 'bob'))[0].bytes.slice(0, 4)], [254, 255, 255, 255])
  assert.equal(text(remote.process(ask('C', 'down'))[0]).slice(4), 'down said no')
  remote.process(ask('s', 'log', 'line'))
  assert.deepEqual(
    remote.streamed.map(([name, data]) => [name, decode(data)]),
    [['log', 'line']],
  )
  const counter = new Guest('fixtures/leaky_state')
  assert.deepEqual(
    [1, 2].map(() => counter.process(new Uint8Array(0))[0].bytes[0]),
    [1, 2],
  )
  const flusher = new Guest('fixtures/flush_output')
  flusher.process(new Uint8Array(1))
  assert.equal(text(flusher.flush()[0]), 'flushed:1')
  const simd = new Guest('fixtures/uses_simd').process(new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer))
  assert.deepEqual([...floats(simd[0])], [2, 3, 4, 5])
})

/** A grey PNG, written by hand: signature, IHDR, IDAT, IEND. */
function png(width, height) {
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
  header.set([8, 0], 8)
  const rows = Buffer.alloc((width + 1) * height, 0)
  const magic = Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10])
  return Buffer.concat([magic, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))])
}
