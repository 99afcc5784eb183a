// The demo as people run it: what it prints adds up, the report holds the same figures, and nothing is left behind, however it ends.

import { existsSync, readFileSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { whiteNoise } from './support/audio.mjs'
import { RECORDING, cli, folder, start, wav } from './support/cli.mjs'
import { ROOT, until } from './support/index.mjs'

const program = path.join(ROOT, 'examples/demo.mjs')
const demo = (args, options) => cli(args, { program, ...options })

/** Whether the service is gone: nobody answers at its port. */
const closed = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(socket.destroy() === undefined)).once('error', () => resolve(true))
  })

const serviceOf = (stdout) => {
  const [, pid, port] = /in process (\d+), on 127\.0\.0\.1:(\d+)\n/.exec(stdout)
  return { pid: Number(pid), port: Number(port) }
}
const number = (pattern, text) => Number(pattern.exec(text)?.[1])
const kilobytes = (pattern, text) => {
  const [, value, unit] = pattern.exec(text)
  return Number(value) * { B: 0.001, kB: 1, MB: 1_000 }[unit]
}

/** What was printed, as data. */
function read(stdout) {
  const rows = (pattern) => [...stdout.matchAll(pattern)].map(([, ...cells]) => cells)
  return {
    segments: rows(/^ {2}\d+ +([\d.]+) +(edge|cloud) +([\d.]+) +(edge|cloud) +([\d.]+)$/gm).map(([from, startBy, to, endBy, length]) => ({
      from: Number(from),
      startBy,
      to: Number(to),
      endBy,
      length: Number(length),
    })),
    answers: rows(/^ {2}(edge|cloud) +(\d+) +([\d.]+)% +([\d.]+) (ms|s) +(.+)$/gm).map(([by, windows, share, sound, unit, why]) => ({
      by,
      windows: Number(windows),
      share: Number(share),
      sound: Number(sound) / (unit === 'ms' ? 1_000 : 1),
      why,
    })),
    latency: Object.fromEntries(
      rows(/^ {2}(at the edge|in the cloud|whole answer) +(\d+) /gm).map(([name, count]) => [name, Number(count)]),
    ),
    decided: number(/decided about (\d+) windows?/, stdout),
    unsure: number(/(\d+) answers? of the edge (?:was|were) unsure/, stdout),
    fallbacks: number(/(\d+) fallbacks?\./, stdout),
    sent: kilobytes(/Sent to the cloud: ([\d.]+) (B|kB|MB)/, stdout),
    alone: kilobytes(/the cloud alone: ([\d.]+) (B|kB|MB)/, stdout),
    saved: kilobytes(/Saved: ([\d.]+) (B|kB|MB)/, stdout),
    savedShare: number(/Saved: [^,]+, ([\d.]+)%/, stdout),
    agreement: number(/in ([\d.]+)% of the time/, stdout),
  }
}

const sum = (list, key) => list.reduce((total, one) => total + one[key], 0)

/** What must hold of every run that was not stopped. */
function expectWhole(found, seconds) {
  expect(found.decided).toBe(Math.ceil(seconds / 0.192))
  expect(sum(found.answers, 'windows')).toBe(found.decided)
  expect(sum(found.answers, 'share')).toBeCloseTo(100, 0)
  expect(sum(found.answers, 'sound')).toBeCloseTo(seconds, 1)
  expect(found.latency['whole answer']).toBe(found.decided)
  expect(found.saved).toBeCloseTo(found.alone - found.sent, 0)
  expect(found.savedShare).toBeCloseTo((100 * (found.alone - found.sent)) / found.alone, 0)
}

describe('the demo', () => {
  test('tells the whole story of the recording, and the report has the same figures', async () => {
    const home = folder()
    const end = await demo(['--speed', '0', '--report', path.join(home, 'report.html')])
    expect(end.code, end.stderr).toBe(0)
    // No terminal, no bar.
    expect(end.stderr).toBe('')
    const found = read(end.stdout)
    expectWhole(found, 14.5)

    // Where the three sentences are, by how the recording was made (examples/audio/make.sh); the knock and the beep are no speech.
    const sentences = [
      [1.1, 4.9],
      [6.1, 10.1],
      [11.3, 14.5],
    ]
    for (const [from, to] of sentences) expect(found.segments.some((one) => one.from >= from && one.to <= to)).toBe(true)
    for (const one of found.segments) {
      expect(sentences.some(([from, to]) => one.from >= from && one.to <= to)).toBe(true)
      expect(one.length).toBeCloseTo(one.to - one.from, 1)
    }
    const [edge, cloud] = ['edge', 'cloud'].map((side) => found.answers.find(({ by }) => by === side))
    expect([edge.why, cloud.why]).toEqual(['it was sure of all its scores', 'the edge had a score between 0.4 and 0.6'])
    expect(cloud.windows).toBe(found.unsure)
    expect(found.latency).toMatchObject({ 'at the edge': found.decided, 'in the cloud': found.unsure })
    expect(found.fallbacks).toBe(0)
    expect(end.stdout).toMatch(/76 by the rule 'split' \(the strategy has both sides take part\)/)
    // All sound is 14.5 s of 16,000 floats, and a bit for what is around it.
    expect(end.stdout).toContain('(measured)')
    expect(found.alone).toBeGreaterThan(928)
    expect(found.alone).toBeLessThan(970)
    expect(found.sent).toBeLessThan(0.6 * found.alone)
    expect(found.agreement).toBeGreaterThan(90)

    const report = readFileSync(path.join(home, 'report.html'), 'utf8')
    const outside = /<(?:script|link|img|iframe)|(?:src|href)=|url\((?!#)|https?:\/\/(?!www\.w3\.org)/
    expect(outside.exec(report)?.[0]).toBeUndefined()
    const says = [
      'Speech in speech-in-noise.wav',
      `The edge answered ${Math.round(edge.share)}%, the cloud ${Math.round(cloud.share)}%`,
      `split</th><td class="num">${found.decided}</td>`,
      `In the cloud</th><td class="num">${found.unsure}</td>`,
      `Unsure</dt><dd>${found.unsure}<`,
    ]
    expect(says.filter((words) => !report.includes(words))).toEqual([])
    const picture = readFileSync(path.join(home, 'report.svg'), 'utf8')
    expect([picture.startsWith('<svg '), picture.endsWith('</svg>\n')]).toEqual([true, true])
    expect(picture.match(/<rect class="asked"/g).length).toBe(cloud.windows + 1)
    expect(await closed(serviceOf(end.stdout).port)).toBe(true)
  })

  test.each([
    ['noise at 44.1 kHz in stereo', whiteNoise(2 * 44_100 * 1.5, 0.02), { rate: 44_100, channels: 2 }, 1.5],
    ['less than a window at 8 kHz', whiteNoise(80, 0.02), { rate: 8_000 }, 0.01],
  ])('takes any WAV: %s', async (_, samples, format, seconds) => {
    const home = folder({ 'in.wav': wav(samples, format) })
    const end = await demo(['in.wav', '--quick', '--speed', '0', '--report', 'r.html'], { cwd: home })
    expect(end.code, end.stderr).toBe(0)
    expectWhole(read(end.stdout), seconds)
    expect(end.stdout).toContain('(counted: the sound of all windows)')
    expect(end.stdout).not.toContain('of the time')
    expect(end.stdout).toMatch(/Report: r\.html {3}picture: r\.svg\n$/)
  })

  test.each([
    ['a file that is not there', ['none.wav'], 1, /^demo: cannot read none\.wav: there is no such file/],
    ['no WAV', ['text.wav'], 1, /^demo: text\.wav is not a WAV file/],
    ['a folder', ['.'], 1, /^demo: cannot read \.: it is a folder/],
    ['a report without a folder', [RECORDING, '--report', 'none/r.html'], 1, /^demo: .*there is no folder .*none for r\.html/],
    ['two files', ['a.wav', 'b.wav'], 2, /^demo: one WAV file at a time/],
    ['no speed', ['--speed', 'fast'], 2, /^demo: --speed must be a number/],
    ['an option that is none', ['--loud'], 2, /^demo: Unknown option '--loud'/],
  ])('refuses %s with one line', async (_, args, code, message) => {
    const end = await demo(args, { cwd: folder({ 'text.wav': 'hello' }) })
    expect([end.code, end.stdout]).toEqual([code, ''])
    expect(end.stderr).toMatch(message)
    expect(end.stderr.trim().split('\n').length).toBe(1)
  })

  test('goes on with the edge when the service dies', async () => {
    const home = folder()
    const { exit, said } = start(['--quick', '--report', path.join(home, 'r.html')], { program })
    process.kill(serviceOf((await said(/Cloud: .*\n/))[0]).pid, 'SIGKILL')
    const end = await exit
    expect(end.code, end.stderr).toBe(0)
    const found = read(end.stdout)
    expectWhole(found, 14.5)
    expect(found.segments.length).toBeGreaterThan(2)
    // By a request that failed, or because the router knew before it asked.
    const instead = (pattern) =>
      sum(
        found.answers.filter(({ by, why }) => by === 'edge' && pattern.test(why)),
        'windows',
      )
    expect(instead(/^the cloud failed/)).toBe(found.fallbacks)
    expect(instead(/^the cloud failed|^the rule/)).toBeGreaterThan(0)
  })

  test('Ctrl-C finishes what is under way, and leaves no service', async () => {
    const home = folder()
    const { child, exit, said } = start(['--speed', '0.5', '--report', path.join(home, 'r.html')], { program })
    const service = serviceOf((await said(/Cloud: .*\n/))[0])
    child.kill('SIGINT')
    const end = await exit
    expect(end.code, end.stderr).toBe(130)
    expect(end.stderr).toContain('SIGINT: finishing what is under way')
    expect(end.stdout).toContain('Report: ')
    expect(existsSync(path.join(home, 'r.html'))).toBe(true)
    expect(await closed(service.port)).toBe(true)
  })

  test('the service ends by itself when the demo is killed', async () => {
    const { child, exit, said } = start(['--speed', '0.5', '--report', path.join(folder(), 'r.html')], { program })
    const { port } = serviceOf((await said(/Cloud: .*\n/))[0])
    expect(await closed(port)).toBe(false)
    child.kill('SIGKILL')
    await exit
    await until(() => closed(port), 'the service is gone')
  })
})
