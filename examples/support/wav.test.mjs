// node --test examples/support/

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { WavError, chunks, parseWav, readWav } from './wav.mjs'

const chunk = (name, body) => {
  const head = Buffer.alloc(8)
  head.write(name, 'latin1')
  head.writeUInt32LE(body.length, 4)
  return Buffer.concat([head, body, Buffer.alloc(body.length & 1)])
}

function format({ tag = 1, channels = 1, rate = 16_000, bits = 16, extensible = false }) {
  const body = Buffer.alloc(extensible ? 40 : 16)
  body.writeUInt16LE(extensible ? 0xfffe : tag, 0)
  body.writeUInt16LE(channels, 2)
  body.writeUInt32LE(rate, 4)
  body.writeUInt32LE((rate * channels * bits) / 8, 8)
  body.writeUInt16LE((channels * bits) / 8, 12)
  body.writeUInt16LE(bits, 14)
  if (extensible) {
    body.writeUInt16LE(22, 16)
    body.writeUInt16LE(bits, 18)
    body.writeUInt16LE(tag, 24)
    body.write('000000001000800000aa00389b71', 26, 'hex')
  }
  return chunk('fmt ', body)
}

function wav(...parts) {
  const body = Buffer.concat([Buffer.from('WAVE'), ...parts])
  return chunk('RIFF', body)
}

const wave = (about, data) => wav(format(about), chunk('data', data))

/** Each format's bytes for -1, -0.5, 0 and 0.5. */
const SAMPLES = {
  'PCM 8': [{ bits: 8 }, Buffer.from([0, 64, 128, 192])],
  'PCM 16': [{ bits: 16 }, Buffer.from(new Int16Array([-32_768, -16_384, 0, 16_384]).buffer)],
  'PCM 24': [{ bits: 24 }, Buffer.from('000080' + '0000c0' + '000000' + '000040', 'hex')],
  'PCM 32': [{ bits: 32 }, Buffer.from(new Int32Array([-(2 ** 31), -(2 ** 30), 0, 2 ** 30]).buffer)],
  'float 32': [{ tag: 3, bits: 32 }, Buffer.from(new Float32Array([-1, -0.5, 0, 0.5]).buffer)],
  'float 64': [{ tag: 3, bits: 64 }, Buffer.from(new Float64Array([-1, -0.5, 0, 0.5]).buffer)],
}

for (const [name, [about, data]] of Object.entries(SAMPLES)) {
  for (const extensible of [false, true]) {
    test(`${name}${extensible ? ', extensible' : ''}`, () => {
      const audio = parseWav(wave({ ...about, extensible }, data))
      assert.deepEqual([...audio.samples], [-1, -0.5, 0, 0.5])
      assert.equal(audio.sampleRate, 16_000)
      assert.equal(audio.seconds, 4 / 16_000)
    })
  }
}

test('24 bits keep their low byte and sign', () => {
  const { samples } = parseWav(wave({ bits: 24 }, Buffer.from('ffffff' + '010000' + 'ffff7f', 'hex')))
  assert.deepEqual([...samples], [-1 / 8_388_608, 1 / 8_388_608, 8_388_607 / 8_388_608].map(Math.fround))
})

test('channels stay interleaved, and odd chunks before the samples are skipped', () => {
  const data = Buffer.from(new Int16Array([16_384, 0, -16_384, 0]).buffer)
  const audio = parseWav(wav(chunk('LIST', Buffer.from('abc')), format({ channels: 2, rate: 48_000 }), chunk('data', data)))
  assert.deepEqual([...audio.samples], [0.5, 0, -0.5, 0])
  assert.equal(audio.channels, 2)
  assert.equal(audio.seconds, 2 / 48_000)
})

test('a size of 0 or of all ones, as written to a pipe, means all the rest', () => {
  for (const size of [0, 0xffff_ffff]) {
    const file = wave({}, Buffer.alloc(8))
    file.writeUInt32LE(size, file.length - 12)
    assert.equal(parseWav(file).samples.length, 4)
  }
})

test('chunks are of the length asked for, whole frames each, the last one shorter', () => {
  const audio = { samples: new Float32Array(2 * 1_000), sampleRate: 44_100, channels: 2 }
  const lengths = [...chunks(audio, 10)].map(({ samples }) => samples.length)
  assert.deepEqual(lengths, [882, 882, 236])
  assert.equal(
    lengths.reduce((sum, length) => sum + length),
    audio.samples.length,
  )
})

test('everything else is refused with one sentence', () => {
  const good = wave({}, Buffer.alloc(64))
  const cases = [
    [Buffer.alloc(0), /is empty/],
    [Buffer.from('hello'), /not a WAV/],
    [Buffer.from('RIFF\0\0\0\0AVI fmt '), /not a WAV/],
    [good.subarray(0, 12), /sample format/],
    [good.subarray(0, 30), /cut off/],
    [good.subarray(0, 38), /before its samples/],
    [good.subarray(0, 80), /cut off: it should hold 64 bytes of samples and holds 36/],
    [wave({}, Buffer.alloc(0)), /no samples/],
    [wave({ tag: 6, bits: 8 }, Buffer.alloc(8)), /A-law of 8 bits/],
    [wave({ bits: 12 }, Buffer.alloc(8)), /PCM of 12 bits/],
    [wave({ channels: 0 }, Buffer.alloc(8)), /0 channels/],
    [wave({ rate: 0 }, Buffer.alloc(8)), /at 0 Hz/],
  ]
  for (const [file, pattern] of cases) {
    assert.throws(
      () => parseWav(file),
      (error) => error instanceof WavError && pattern.test(error.message),
      String(pattern),
    )
  }
})

test('no cut and no changed byte of a file makes it throw anything else', () => {
  const good = wav(format({ channels: 2, bits: 24, extensible: true }), chunk('LIST', Buffer.alloc(7)), chunk('data', Buffer.alloc(60)))
  const read = (file) => {
    try {
      parseWav(file)
    } catch (error) {
      assert.ok(error instanceof WavError, error.stack)
    }
  }
  for (let length = 0; length < good.length; length += 1) read(good.subarray(0, length))
  for (let at = 0; at < good.length; at += 1) {
    for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
      const changed = Buffer.from(good)
      changed[at] = value
      read(changed)
    }
  }
})

test('a file that cannot be read is named', () => {
  const folder = mkdtempSync(join(tmpdir(), 'wav-'))
  try {
    assert.throws(() => readWav(join(folder, 'none.wav')), /cannot read .*none\.wav: there is no such file/)
    assert.throws(() => readWav(folder), /it is a folder/)
    const text = join(folder, 'text.wav')
    writeFileSync(text, 'hello')
    assert.throws(() => readWav(text), /text\.wav is not a WAV file/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
