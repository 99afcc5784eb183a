// The demo as people run it: what it says adds up, the report is whole, and nothing is left behind.

import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { framesOf, segments } from '../examples/support/segments.mjs'
import { folder } from './support/cli.mjs'
import { ROOT, until } from './support/index.mjs'

const RECORDING = path.join(ROOT, 'examples/audio/speech-in-noise.wav')

/** Runs the demo; a child of its that outlived it would keep the pipes open. */
function demo(...args) {
  const child = spawn(process.execPath, [path.join(ROOT, 'examples/demo.mjs'), ...args], {
    cwd: ROOT,
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const out = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      out[name] += text
    })
  }
  const exit = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, ...out })))
  return { child, exit }
}

test('segments, shares that add up, bytes against the cloud alone, and a report', async () => {
  const report = path.join(folder(), 'report.html')
  const end = await demo('--report', report).exit
  expect(end).toMatchObject({ code: 0, stderr: '' })
  const rows = [...end.stdout.matchAll(/^ +\d+ +(\d+\.\d\d) +(\d+\.\d\d) +(edge|cloud)/gm)].map(([, start, stop]) => [
    Number(start),
    Number(stop),
  ])
  expect(rows.length).toBeGreaterThan(3)
  for (const [index, [start, stop]] of rows.entries()) {
    expect(stop).toBeGreaterThan(start)
    if (index > 0) expect(start).toBeGreaterThan(rows[index - 1][1])
  }
  const [, items, edge, cloud] = /items +(\d+) of 512 ms: (\d+) answered at the edge, (\d+) in the cloud/.exec(end.stdout).map(Number)
  expect(edge + cloud).toBe(items)
  expect(edge).toBeGreaterThan(0)
  expect(cloud).toBeGreaterThan(0)
  const [, saved] = /saved .* ([\d.]+)% of the bytes/.exec(end.stdout)
  expect(Math.abs(Number(saved) - (100 * edge) / items)).toBeLessThan(10)
  expect(Number(/agreement +([\d.]+)%/.exec(end.stdout)[1])).toBeGreaterThan(80)
  const html = readFileSync(report, 'utf8')
  expect(html).toMatch(/^<!doctype html>/i)
  expect(html).not.toMatch(/(?:src|href)="https?:/)
  expect(html).toMatch(/>vad at the edge</)
})

test('a file that is no recording, and an option that is none', async () => {
  const file = path.join(folder(), 'text.wav')
  writeFileSync(file, 'no sound')
  for (const [args, text] of [
    [[file], /^demo: .*text\.wav is not a WAV file/],
    [['missing.wav'], /^demo: cannot read missing\.wav: there is no such file/],
    [['--fast'], /^demo: Unknown option '--fast'/],
  ]) {
    expect(await demo(...args).exit).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(text) })
  }
})

test('Ctrl-C ends it and the service that it started', async () => {
  const { child, exit } = demo(RECORDING, '--report', path.join(folder(), 'report.html'))
  // Not before the service has been started, where that can be seen.
  const children = () => readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim()
  if (process.platform === 'linux') {
    await until(children, 'the service starts')
  }
  child.kill('SIGINT')
  const end = await exit
  expect(end.code).toBe(130)
  expect(end.stderr).toBe('demo: stopped\n')
})

test('frames of both sides are one kind, and pauses are bridged', () => {
  const edge = framesOf({ data: { startMs: 16, endMs: 32, score: 0.9 }, sequence: 3, route: { target: 'edge' } }, 512)
  const cloud = framesOf({ data: [{ startMs: 0, endMs: 32, score: 0.2 }], sequence: 3, route: { target: 'cloud' } }, 512)
  expect(edge).toEqual([{ startMs: 16, endMs: 32, score: 0.9, by: 'edge' }])
  expect(cloud).toEqual([{ startMs: 1536, endMs: 1568, score: 0.2, by: 'cloud' }])
  const frames = (scores) =>
    scores.map((score, index) => ({ startMs: index * 32, endMs: index * 32 + 32, score, by: index < 4 ? 'edge' : 'cloud' }))
  expect(segments(frames([0, 1, 1, 1, 0, 0, 1, 1]))).toEqual([{ startMs: 32, endMs: 256, cloudMs: 128 }])
  expect(segments(frames([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]))).toEqual([{ startMs: 320, endMs: 416, cloudMs: 96 }])
})
