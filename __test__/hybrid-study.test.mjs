// The parts of the study in examples/hybrid: labels, measures and the rule by which the cloud is asked. The study itself needs recordings
// that are not here.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ClipsError, parseLabels, readClips } from '../examples/hybrid/labelled.mjs'
import { atThreshold, f1Difference, rocAuc } from '../examples/hybrid/metrics.mjs'
import { requests, withCloud } from '../examples/hybrid/window.mjs'
import { ROOT, thrown } from './support/index.mjs'

function folder(files) {
  const made = mkdtempSync(path.join(tmpdir(), 'labelled-'))
  onTestFinished(() => rmSync(made, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(made, name), content)
  return made
}

/** A WAV of silence. */
function wav(samples, rate = 16_000) {
  const file = Buffer.alloc(44 + samples * 2)
  file.write('RIFF', 0)
  file.writeUInt32LE(36 + samples * 2, 4)
  file.write('WAVEfmt ', 8)
  file.writeUInt32LE(16, 16)
  file.writeUInt16LE(1, 20)
  file.writeUInt16LE(1, 22)
  file.writeUInt32LE(rate, 24)
  file.writeUInt32LE(rate * 2, 28)
  file.writeUInt16LE(2, 32)
  file.writeUInt16LE(16, 34)
  file.write('data', 36)
  file.writeUInt32LE(samples * 2, 40)
  return file
}

describe('labels', () => {
  it('hold at the middle of a frame', () => {
    expect(parseLabels('clip,0.000,0.024,0,0.024,0.050,1', 5)).toEqual([0, 1, 1, undefined, undefined])
    expect(parseLabels('clip,0,1,1\n', 2)).toEqual([1, 1])
  })

  it('are read beside their recordings', () => {
    const clips = readClips(folder({ 'b.wav': wav(800), 'b.scv': 'b,0,1,1', 'a.wav': wav(512), 'a.scv': 'a,0,1,0' }))
    expect(clips.map(({ name, frames, labels }) => [name, frames, labels])).toEqual([
      ['a', 2, [0, 0]],
      ['b', 3, [1, 1, 1]],
    ])
  })

  it.each([
    ['clip,0,1', /must hold name,start,end,label/],
    ['clip', /must hold name,start,end,label/],
    ['clip,0,x,1', /must hold name,start,end,label/],
    ['clip,2,1,1', /cannot hold 2,1,1/],
    ['clip,0,1,2', /cannot hold 0,1,2/],
  ])('are refused: %s', (text, message) => {
    const error = thrown(() => readClips(folder({ 'c.wav': wav(512), 'c.scv': text })))
    expect(error).toBeInstanceOf(ClipsError)
    expect(error.message).toMatch(message)
    expect(error.message).toContain('c.scv')
  })

  it('are missed in words', () => {
    expect(thrown(() => readClips(undefined)).message).toMatch(/RM_SPEECH_DIR/)
    expect(thrown(() => readClips('/nowhere/at/all')).message).toBe('there is no folder /nowhere/at/all')
    expect(thrown(() => readClips(folder({}))).message).toMatch(/holds no labels/)
    expect(thrown(() => readClips(folder({ 'd.wav': wav(100, 8_000), 'd.scv': 'd,0,1,1' }))).message).toMatch(
      /must be 16000 Hz mono, is 8000/,
    )
  })

  it('missing, the program says so and fails', () => {
    const run = spawnSync(process.execPath, [path.join(ROOT, 'examples/hybrid/evaluate.mjs')], {
      encoding: 'utf8',
      env: { ...process.env, RM_SPEECH_DIR: '' },
    })
    expect(run.stderr).toMatch(/^evaluate: labelled speech is needed: .*RM_SPEECH_DIR\n$/)
    expect(run.status).toBe(2)
  })
})

describe('measures', () => {
  const rows = [
    [0.9, 1],
    [0.8, 0],
    [0.7, 1],
    [0.2, 0],
    [0.1, 1],
  ]

  it('count hits, misses and false alarms', () => {
    const { f1, balanced } = atThreshold(rows, 0.5)
    expect(f1).toBeCloseTo(4 / 6)
    expect(balanced).toBeCloseTo((2 / 3 + 1 / 2) / 2)
    expect(atThreshold(rows, 0.9).f1).toBeCloseTo(2 / 4)
  })

  it('give the area under the curve as the share of pairs in the right order', () => {
    expect(rocAuc(rows)).toBeCloseTo(3 / 6)
    expect(
      rocAuc([
        [0.5, 1],
        [0.5, 0],
      ]),
    ).toBe(0.5)
    expect(
      rocAuc([
        [1, 1],
        [0, 0],
        [0.5, 1],
      ]),
    ).toBe(1)
  })

  it('find no difference between the same', () => {
    const one = { clips: [rows, rows], threshold: 0.5 }
    expect(f1Difference(one, one, 50)).toEqual([0, 0])
    const [low, high] = f1Difference(one, { clips: one.clips, threshold: 0.85 }, 50)
    expect(low).toBeGreaterThan(0)
    expect(high).toBeGreaterThanOrEqual(low)
  })
})

describe('the rule for asking', () => {
  const options = { low: 0.4, high: 0.6, contextMs: 32, hopMs: 64 }

  it('opens a window at the first unsure frame, and the next one after it', () => {
    const edge = [0.1, 0.1, 0.1, 0.5, 0.9, 0.5, 0.9, 0.5, 0.1, 0.1, 0.1, 0.1, 0.4, 0.6, 0.55]
    expect(requests(edge, options)).toEqual([
      { from: 1, start: 3, end: 7 },
      { from: 5, start: 7, end: 11 },
      { from: 12, start: 14, end: 15 },
    ])
    expect(requests([0.5], options)).toEqual([{ from: 0, start: 0, end: 1 }])
    expect(requests([0.1, 0.9], options)).toEqual([])
  })

  it('changes only what the edge was unsure of, and stays within the bounds', async () => {
    const edge = [0.1, 0.2, 0.5, 0.9, 0.45, 0.1, 0.7]
    const asked = []
    const found = await withCloud(edge, options, async (from, end) => {
      asked.push([from, end])
      return [0.9, 1, 0, 0.3]
    })
    expect(asked).toEqual([[0, 6]])
    // Frame 2 is in the second piece of 32 ms, frame 4 in the third.
    expect(found.scores).toEqual([0.1, 0.2, 0.6, 0.9, 0.4, 0.1, 0.7])
    expect(found).toMatchObject({ asked: 1, sent: 6, waiting: 4 })
  })
})
