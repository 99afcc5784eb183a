// The live view: what it keeps of a run, and the graph that it draws.

import { createRequire } from 'node:module'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { api, ROOT } from './support/index.mjs'
import { Side } from './support/view.mjs'

const { IntelligentRouter, Pipeline } = api
const require = createRequire(path.join(ROOT, 'js/view/index.js'))
const { Recorder } = require('./recorder.js')
const { Timeline } = require('./buckets.js')
const { bytesOf } = require('./sizes.js')
const { graphOf } = require('./graph.js')

describe('what is kept', () => {
  test('memory is bounded over 200,000 packets of ever new sessions', () => {
    let now = 0
    const recorder = new Recorder(() => now)
    const one = (index) => {
      now += 5
      const sessionId = `session ${Math.floor(index / 3)}`
      recorder.input(new Uint8Array(index % 5000), sessionId)
      const about = { sessionId, sequence: index % 3, bytes: index % 5000, target: 'edge', reason: `reason ${index}`, rule: 'small' }
      recorder.decision(0, about)
      if (index % 7 === 0) recorder.fallback(0, { ...about, from: 'edge', to: 'cloud', error: { code: 'ERR', message: 'x'.repeat(5000) } })
      if (index % 11 === 0) recorder.error(Object.assign(new Error('y'.repeat(5000)), { code: `ERR_${index}`, sessionId }))
      recorder.output({ data: new Uint8Array(1), sessionId, sequence: index % 3, metadata: {}, route: { target: 'edge', edgeMs: 1 } })
    }
    for (let index = 0; index < 100_000; index++) one(index)
    const halfway = recorder.timeline.size
    for (let index = 100_000; index < 200_000; index++) one(index)
    expect(recorder.totals).toMatchObject({ in: 200_000, out: 200_000, edge: 200_000, fallbacks: Math.ceil(200_000 / 7) })
    expect(recorder.decisions.count).toBe(200_000)
    expect(recorder.decisions.all()).toHaveLength(200)
    expect(recorder.errors.all()).toHaveLength(50)
    expect(recorder.errors.all()[0].message.length).toBe(500)
    expect(recorder.errorCodes.size).toBeLessThanOrEqual(51)
    expect(recorder.sessions.size + recorder.sessions.dropped).toBe(Math.ceil(200_000 / 3))
    expect(recorder.sessions.size).toBe(200)
    expect(recorder.timeline.size).toBeLessThan(halfway * 2)
    expect(recorder.timeline.size).toBeLessThan(240 + 11 * 120)
    const rows = recorder.timeline.whole(recorder.now())
    expect(rows.length).toBeLessThanOrEqual(301)
    expect(rows.reduce((sum, row) => sum + row.edge, 0)).toBe(200_000)
  })

  test('a day of buckets keeps every count', () => {
    const timeline = new Timeline()
    for (let t = 0; t < 86_400_000; t += 500) timeline.at(t).count('in')
    expect(timeline.size).toBeLessThan(240 + 11 * 121)
    expect(timeline.whole(86_400_000).reduce((sum, row) => sum + row.in, 0)).toBe(172_800)
    expect(timeline.since(86_400_000 - 10_000, 86_400_000)).toHaveLength(10)
  })

  test('latency is that of the item, also where the session is named only by its packets', () => {
    let now = 0
    const recorder = new Recorder(() => now)
    const [came, went] = [
      (id) => recorder.input('x', id),
      (sequence, sessionId = 'own') => recorder.output({ data: 'x', metadata: {}, sequence, sessionId }),
    ]
    came()
    now = 10
    came()
    now = 40
    went(0)
    went(0)
    came()
    now = 60
    went(1)
    went(2)
    expect(recorder.times.all.total).toBe(3)
    expect([recorder.times.all.at(1), recorder.times.all.at(99)]).toEqual([expect.closeTo(20, -0.6), expect.closeTo(50, -0.9)])
    expect(recorder.sessions.rows()).toMatchObject([{ id: 'own', items: 3, outputs: 4 }])
    // A second stream counts from 0 again: rather no latency than a wrong one.
    came('own')
    went(0)
    expect(recorder.times.all.total).toBe(3)
  })

  test('sizes of payloads', () => {
    expect(
      [new Uint8Array(7), 'süß', { samples: new Float32Array(3), sampleRate: 1 }, { data: 'abc', kind: 'text' }, undefined].map(bytesOf),
    ).toEqual([7, 5, 12, 3, 0])
    expect(bytesOf({ data: new Uint8Array(8), dtype: 'uint8', shape: [8] })).toBe(8)
    const circle = { deep: [] }
    circle.deep.push(circle)
    expect(bytesOf(circle)).toBeGreaterThan(0)
  })
})

describe('the graph', () => {
  test('takes routers and pipelines inside pipelines apart', () => {
    const side = (name) => new Side({ name })
    const inner = new IntelligentRouter({ name: 'inner', edge: side('a'), cloud: side('b') })
    const hybrid = { preprocess: side('before'), postprocess: side('after') }
    const outer = new IntelligentRouter({ name: 'outer', edge: side('c'), cloud: inner, strategy: 'hybrid', hybrid })
    const pipeline = new Pipeline([side('first'), new Pipeline([outer, side('last')])])
    const { nodes, edges, routers } = graphOf(pipeline)
    const name = Object.fromEntries(nodes.map((node) => [node.id, node.name]))
    expect(routers.map((router) => router.name)).toEqual(['outer', 'inner'])
    expect(edges.map(({ from, to }) => `${name[from]} ${name[to]}`).sort()).toEqual(
      [
        'source first',
        'first outer',
        'outer c',
        'outer before',
        'before inner',
        'inner a',
        'inner b',
        'a after',
        'b after',
        'c last',
        'after last',
        'last output',
      ].sort(),
    )
  })

  test('of a manifest, and of a node that stands alone', async () => {
    const connections = [
      ['a', 'b'],
      ['a', 'c'],
      ['b', 'd'],
      ['c', 'd'],
    ].map(([from, to]) => ({ from, to }))
    const manifest = {
      version: 'v1',
      metadata: { name: 'm' },
      nodes: ['a', 'b', 'c', 'd'].map((id) => ({ id, node_type: 'Side' })),
      connections,
    }
    const { nodes, edges } = graphOf(Pipeline.fromManifest(manifest, { nodes: { Side: () => new Side() } }))
    const name = Object.fromEntries(nodes.map((node) => [node.id, node.name]))
    expect(edges.map(({ from, to }) => `${name[from]} ${name[to]}`).sort()).toEqual(['a b', 'a c', 'b d', 'c d', 'd output', 'source a'])
    expect(graphOf(new Side({ name: 'alone' })).nodes.map((node) => node.name)).toEqual(['source', 'alone', 'output'])
  })
})
