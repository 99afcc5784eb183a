// The command line on real input: what it writes is what the API gives, and it ends as it says.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { chunks, parseWav, readWav } from '../examples/support/wav.mjs'
import { cli, folder, jsonLines, manifest, RECORDING, start, wav } from './support/cli.mjs'
import { api, fixture, guest } from './support/index.mjs'

const { Pipeline, RemoteProcessingService } = api

/** What the API makes of the recording in items of 20 ms. */
async function expected(text, audio = readWav(RECORDING)) {
  const pipeline = Pipeline.fromManifest(text)
  try {
    return await pipeline.run(chunks(audio, 20))
  } finally {
    await pipeline.cleanup()
  }
}

const tone = (count) => Array.from({ length: count }, (_, i) => 0.5 * Math.sin(i / 10))

describe('run', () => {
  test('a manifest over a recording: the events that the API gives, as JSON lines', async () => {
    const text = manifest('vad')
    const home = folder({ 'p.yaml': text })
    const end = await cli(['run', 'p.yaml', '-i', RECORDING, '-O', 'out.jsonl'], { cwd: home })
    expect(end.code, end.stderr).toBe(0)
    expect(end.stdout).toBe('')
    const want = await expected(text)
    const got = jsonLines(readFileSync(path.join(home, 'out.jsonl'), 'utf8'))
    expect(got.length).toBeGreaterThan(5)
    expect(got.map(({ data, sequence }) => ({ data, sequence }))).toEqual(want.map(({ data, sequence }) => ({ data, sequence })))
    expect(end.stderr).toMatch(/^725 items .* in, \d+ packets out/)
  })

  test('a module alone into a WAV: the very samples of the API', async () => {
    const home = folder()
    const params = { config: { gain: 0.5 } }
    const args = ['run', '@remotemedia/wasmedge/modules/gain.wasm', '-i', RECORDING, '-O', 'out.wav', '--params', JSON.stringify(params)]
    const end = await cli([...args, '--json'], { cwd: home })
    expect(end.code, end.stderr).toBe(0)
    const want = (await expected(manifest('gain', params))).flatMap(({ data }) => [...data.samples])
    const got = readWav(path.join(home, 'out.wav'))
    expect([got.sampleRate, got.channels, got.bits]).toEqual([16_000, 1, 32])
    expect(got.samples.length).toBe(want.length)
    expect(got.samples.every((sample, index) => sample === want[index])).toBe(true)
    const [{ summary }] = jsonLines(end.stdout)
    expect(summary).toMatchObject({ pipeline: 'gain', inputFormat: 'wav', outputFormat: 'wav', items: 725, packets: 725, stoppedBy: null })
  })

  test('what it writes, it reads: JSON lines with samples in, the same samples out', async () => {
    const first = await cli(['run', guest('gain'), '-i', RECORDING, '-q'])
    const second = await cli(['run', guest('gain'), '--input-format', 'json', '-q'], { input: first.stdout })
    expect(second.code, second.stderr).toBe(0)
    const [a, b] = [jsonLines(first.stdout), jsonLines(second.stdout)]
    expect(b.length).toBe(725)
    expect(b.map(({ data }) => data)).toEqual(a.map(({ data }) => data))
    expect(b.map(({ timestampMs }) => timestampMs)).toEqual(a.map((_, index) => index * 20))
  })

  test.each([
    ['16-bit', { bits: 16 }, 4],
    ['24-bit', { bits: 24 }, 6],
    ['32-bit', { bits: 32 }, 6],
    ['float', { bits: 32, float: true }, 6],
    ['double', { bits: 64, float: true }, 6],
    ['stereo at 44.1 kHz', { bits: 16, channels: 2, rate: 44_100 }, 4],
  ])('WAV in %s', async (_, format, digits) => {
    const input = wav(tone(2_000), format)
    const end = await cli(['run', guest('gain'), '--params', '{"config": {"gain": 1}}', '--output-format', 'wav', '--chunk', '300'], {
      input,
    })
    expect(end.code, end.stderr).toBe(0)
    const got = parseWav(end.bytes)
    expect([got.sampleRate, got.channels]).toEqual([format.rate ?? 16_000, format.channels ?? 1])
    expect(got.samples.length).toBe(2_000)
    for (const [index, value] of parseWav(input).samples.entries()) expect(got.samples[index]).toBeCloseTo(value, digits)
  })

  test('by extension: raw samples, text by line, bytes in pieces', async () => {
    const raw = Buffer.alloc(1_000)
    const home = folder({ 'in.raw': raw, 'in.txt': 'one\r\ntwo\n\nthrée', 'in.bin': Buffer.alloc(150_000, 7) })
    const kinds = async (...args) => jsonLines((await cli(['run', ...args, '-q'], { cwd: home })).stdout)
    const audio = await kinds(guest('gain'), '-i', 'in.raw', '--rate', '8000')
    expect(audio.map(({ kind, data }) => [kind, data.sampleRate])).toEqual(Array(4).fill(['audio', 8_000]))
    expect((await kinds(guest('gain'), '-i', 'in.raw', '--encoding', 'f32le', '--chunk', 'all')).length).toBe(1)
    const echo = [guest('echo'), '--params', '{"outputKind": "text"}']
    expect((await kinds(...echo, '-i', 'in.txt')).map(({ data }) => data)).toEqual(['one', 'two', 'thrée'])
    expect((await kinds(...echo, '-i', 'in.txt', '--chunk', 'all')).map(({ data }) => data)).toEqual(['one\r\ntwo\n\nthrée'])
    const pieces = (await kinds(guest('echo'), '-i', 'in.bin')).map(({ kind, data }) => [kind, Buffer.from(data, 'base64').length])
    expect(pieces).toEqual([
      ['binary', 65_536],
      ['binary', 65_536],
      ['binary', 18_928],
    ])
    const out = await cli(['run', guest('echo'), '-i', 'in.bin', '-O', 'out.bin', '-q'], { cwd: home })
    expect(out.code, out.stderr).toBe(0)
    expect(readFileSync(path.join(home, 'out.bin')).equals(readFileSync(path.join(home, 'in.bin')))).toBe(true)
  })

  test.each([
    ['a WAV', wav(tone(640)), 'wav', 2],
    ['JSON over several lines', '{\n  "a": "}"\n}\n[1,\n2]\n', 'json', 2],
    ['text', 'hello\nworld', 'text', 2],
    ['bytes', Buffer.from([0, 1, 255]), 'binary', 1],
    ['nothing', '', 'text', 0],
  ])('by how it starts: %s', async (_, input, inputFormat, items) => {
    const end = await cli(['run', guest('echo'), '--json'], { input })
    expect(end.code, end.stderr).toBe(0)
    expect(jsonLines(end.stdout).at(-1).summary).toMatchObject({ inputFormat, items, packets: items })
  })

  test('an item that fails: the run ends, leaves it out, or says so in its place', async () => {
    const text = '{"kind": "audio", "data": {"samples": [0.1, 0.2], "sampleRate": 16000}}'
    const input = `${text}\n{"kind": "text", "data": "no audio"}\n${text}\n`
    const run = (...more) => cli(['run', guest('gain'), '--input-format', 'json', ...more], { input })
    const thrown = await run()
    expect([thrown.code, jsonLines(thrown.stdout).length]).toEqual([1, 1])
    expect(thrown.stderr).toMatch(/^error: gain: .*\(ERR_GUEST\)$/m)
    const skipped = await run('--on-error', 'skip')
    expect([skipped.code, jsonLines(skipped.stdout).map(({ sequence }) => sequence)]).toEqual([0, [0, 2]])
    const emitted = await run('--on-error', 'emit')
    expect(emitted.code).toBe(0)
    expect(jsonLines(emitted.stdout)[1].data.error.code).toBe('ERR_GUEST')
    expect(emitted.stderr).toMatch(/1 failed/)
  })

  test('parameters reach the node that they name, and no other name is let through', async () => {
    const home = folder({ 'p.json': manifest('vad', { config: { threshold: 0.6 } }) })
    const params = { node: { config: { output: 'scores' } } }
    const end = await cli(['run', 'p.json', '-i', RECORDING, '-q', '--params', JSON.stringify(params)], { cwd: home })
    const want = await expected(manifest('vad', { config: { threshold: 0.6, output: 'scores' } }))
    expect(jsonLines(end.stdout).map(({ data }) => data)).toEqual(want.map(({ data }) => data))
    const wrong = await cli(['run', 'p.json', '-i', RECORDING, '--params', '{"nodr": {}}'], { cwd: home })
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("did you mean 'node'?")])
  })

  test('a node that runs on a remote', async () => {
    const service = new RemoteProcessingService({ port: 0 }).register('Shout', (packet) => `${packet.data}!`)
    onTestFinished(() => service.close({ graceMs: 1 }))
    const { port } = await service.listen()
    const home = folder({
      'p.yaml': 'version: v1\nmetadata: {}\nnodes: [{id: n, node_type: Shout}]\nconnections: []\n',
      'in.txt': 'a\nb\n',
    })
    const end = await cli(['run', 'p.yaml', '-i', 'in.txt', '-O', 'out.txt', '--remote', `127.0.0.1:${port}`], { cwd: home })
    expect(end.code, end.stderr).toBe(0)
    expect(readFileSync(path.join(home, 'out.txt'), 'utf8')).toBe('a!\nb!\n')
  })
})

describe('what is wrong with a run is said in a line', () => {
  const line = async (args, options) => {
    const end = await cli(['run', ...args], options)
    expect(end.stderr).not.toMatch(/\n {4}at /)
    return end
  }

  test('an input that is not there, is a folder, is no WAV, holds what nobody can read', async () => {
    const home = folder({ 'bad.wav': 'no sound', 'odd.wav': wav([0], { bits: 16 }).fill(85, 20, 21), 'short.wav': 'RIFF' })
    for (const [file, pattern] of [
      ['nope.wav', /^error: cannot read nope\.wav: there is no such file or folder \(ENOENT\)$/m],
      ['.', /^error: cannot read \.: it is a folder \(EISDIR\)$/m],
      ['bad.wav', /^error: bad\.wav is not a WAV file/m],
      ['short.wav', /^error: short\.wav is not a WAV file/m],
      ['odd.wav', /^error: odd\.wav holds MP3/m],
    ]) {
      const end = await line([guest('gain'), '-i', file, '-O', 'out.jsonl'], { cwd: home })
      expect([file, end.code]).toEqual([file, 1])
      expect(end.stderr).toMatch(pattern)
    }
  })

  test('half a WAV: what is there is used, with a warning', async () => {
    const home = folder({ 'half.wav': wav(tone(1_000), { declared: 4_000 }), 'odd.wav': wav(tone(1_000)).subarray(0, 2_001) })
    const end = await line([guest('gain'), '-i', 'half.wav', '-O', 'out.wav'], { cwd: home })
    expect(end.code).toBe(0)
    expect(end.stderr).toMatch(/^warning: half\.wav is cut off: its header says 4000 bytes of samples, the last 2000 are not there/m)
    expect(readWav(path.join(home, 'out.wav')).samples.length).toBe(1_000)
    const odd = await line([guest('gain'), '-i', 'odd.wav', '-O', 'out.wav'], { cwd: home })
    expect([odd.code, readWav(path.join(home, 'out.wav')).samples.length]).toEqual([0, 978])
  })

  test('a manifest that is not there, is none, or has a node that nobody knows', async () => {
    const home = folder({ 'node.yaml': manifest('vad').replace('WasmEdgeNode', 'Nope'), 'none.yaml': 'version: v1\n', 'no.wasm': 'text' })
    for (const [file, pattern] of [
      ['nope.yaml', /^error: cannot read nope\.yaml: there is no such file/m],
      ['node.yaml', /^error: node\.yaml: nodes\.0\.node_type: .*'Nope'.*\(ERR_CONFIG\)$/m],
      ['none.yaml', /^error: none\.yaml: .*\(ERR_CONFIG\)$/m],
      ['nope.wasm', /^error: cannot read nope\.wasm: there is no such file/m],
      ['no.wasm', /^error: .*\(ERR_MODULE_INVALID\)$/m],
    ]) {
      const end = await line([file, '-i', RECORDING], { cwd: home })
      expect([file, end.code, end.stdout]).toEqual([file, 1, ''])
      expect(end.stderr).toMatch(pattern)
    }
  })

  test('keys of a manifest that nobody reads', async () => {
    const home = folder({ 'p.json': manifest('vad').replace('"params"', '"parms": {}, "params"') })
    const end = await line(['p.json', '-i', RECORDING, '-q'], { cwd: home })
    expect([end.code, end.stderr]).toEqual([0, "warning: p.json: nodes.0.parms is not known and ignored; did you mean 'params'?\n"])
  })

  test('JSON that is none, by its line; an output that cannot be, or is the input', async () => {
    const home = folder({ 'in.jsonl': '1\n2\nthree\n4\n' })
    const bad = await line([guest('echo'), '-i', 'in.jsonl'], { cwd: home })
    expect([bad.code, bad.stderr]).toEqual([1, expect.stringMatching(/^error: in\.jsonl: line 3: not JSON/m)])
    expect(jsonLines(bad.stdout).map(({ data }) => data)).toEqual([1, 2])
    const open = await line([guest('echo'), '-i', 'in.jsonl', '-O', 'no/such/out'], { cwd: home })
    expect([open.code, open.stderr]).toEqual([
      1,
      expect.stringContaining('cannot write no/such/out: there is no such file or folder (ENOENT)'),
    ])
    const same = await line([guest('echo'), '-i', 'in.jsonl', '-O', './in.jsonl'], { cwd: home })
    expect([same.code, readFileSync(path.join(home, 'in.jsonl'), 'utf8')]).toEqual([2, '1\n2\nthree\n4\n'])
  })

  test('a guest that traps for want of a grant gets a hint', async () => {
    const end = await line([guest('denoise'), '-i', RECORDING, '-O', '/dev/null'])
    expect([end.code, end.stderr]).toEqual([1, expect.stringContaining('denoise asks for wasi.random')])
  })

  test('--json says the same as an object; RM_DEBUG adds the stack', async () => {
    const end = await line([guest('echo'), '-i', 'nope.wav', '--json'])
    expect(end.code).toBe(1)
    expect(JSON.parse(end.stdout)).toEqual({
      error: { code: 'ENOENT', message: 'cannot read nope.wav: there is no such file or folder' },
    })
    const home = folder({ 'p.json': manifest('vad', { pool: { max: 0 } }) })
    const config = await line(['p.json', '-i', RECORDING, '--json'], { cwd: home })
    expect(JSON.parse(config.stdout).error).toMatchObject({ code: 'ERR_CONFIG', path: 'nodes.0.params.pool.max' })
    expect((await cli(['run', 'nope.yaml'], { env: { RM_DEBUG: '1' } })).stderr).toMatch(/\n {4}at /)
  })

  test('a view in a build that has none', async () => {
    let view = true
    await import('../js/view/index.js').catch(() => {
      view = false
    })
    if (view) return
    const end = await line([guest('echo'), '--report', 'r.html'], { input: 'x' })
    expect([end.code, end.stderr]).toEqual([1, expect.stringContaining('error: this build has no live view')])
  })
})

describe('signals and pipes', () => {
  test('Ctrl-C in the middle: what was read comes out, the file is whole, exit code 130', async () => {
    const home = folder({ 'in.txt': 'a line of text\n'.repeat(2_000_000) })
    const { child, exit } = start(['run', guest('echo'), '-i', 'in.txt', '-O', 'out.jsonl', '--json'], { cwd: home })
    const out = path.join(home, 'out.jsonl')
    for (;;) {
      try {
        if (readFileSync(out).length > 10_000) break
      } catch {}
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    child.kill('SIGINT')
    const end = await exit
    expect([end.code, end.signal]).toEqual([130, null])
    const [{ summary }] = jsonLines(end.stdout)
    const got = jsonLines(readFileSync(out, 'utf8'))
    expect(summary).toMatchObject({ stoppedBy: 'SIGINT', items: got.length, packets: got.length })
    expect(got.length).toBeLessThan(2_000_000)
    expect(got.every(({ sequence }, index) => sequence === index)).toBe(true)
  })

  test('Ctrl-C while it waits for input: the WAV is completed', async () => {
    const home = folder()
    const args = ['run', guest('gain'), '--input-format', 'raw', '-O', 'out.wav', '--params', '{"config": {"gain": 1}}']
    const { child, exit } = start(args, { cwd: home })
    child.stdin.write(Buffer.alloc(6_400))
    const file = path.join(home, 'out.wav')
    for (;;) {
      try {
        if (readFileSync(file).length >= 44 + 12_800) break
      } catch {}
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    child.kill('SIGINT')
    expect((await exit).code).toBe(130)
    expect(readWav(file).samples.length).toBe(3_200)
    expect(readFileSync(file).readUInt32LE(40)).toBe(12_800)
  })

  test('a second Ctrl-C does not wait', async () => {
    // Its guest never answers: after the first signal there is something to wait for.
    const { child, exit, said } = start(['run', fixture('spin_log'), '--timeout', '10m'], { env: { RM_LOG: 'guest=info' } })
    child.stdin.end('x')
    await said(/still alive/, 'stderr')
    child.kill('SIGINT')
    await said(/SIGINT: finishing what is under way; once more ends at once/, 'stderr')
    expect(child.exitCode).toBeNull()
    child.kill('SIGINT')
    expect((await exit).code).toBe(130)
  })

  test('whoever reads the output goes away: no error', async () => {
    const { child, exit } = start(['run', guest('echo')])
    child.stdin.write('line\n'.repeat(100_000))
    child.stdout.once('data', () => child.stdout.destroy())
    child.stdin.end()
    const end = await exit
    expect([end.code, end.signal, end.stderr]).toEqual([0, null, ''])
  })

  test('a reader that does not read holds the source back', async () => {
    const { child, exit } = start(['stream', guest('echo'), '--input-format', 'text'])
    child.stdout.removeAllListeners('data')
    child.stdout.pause()
    const chunk = 'x'.repeat(999)
    let taken = 0
    // Until nothing is taken for half a second.
    for (;;) {
      if (child.stdin.write(`${chunk}\n`.repeat(100))) taken += 100
      else {
        taken += 100
        const drained = await Promise.race([
          new Promise((resolve) => child.stdin.once('drain', () => resolve(true))),
          new Promise((resolve) => setTimeout(() => resolve(false), 500)),
        ])
        if (!drained) break
      }
      expect(taken).toBeLessThan(100_000)
    }
    let length = 0
    child.stdout.on('data', (data) => {
      length += data.toString().split('\n').length - 1
    })
    child.stdin.end()
    child.stdout.resume()
    expect((await exit).code).toBe(0)
    expect(length).toBe(taken)
  })
})
