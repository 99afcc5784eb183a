// All figures of a process: what is there, what Prometheus gets, and that names can do no harm in it.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { run } from './support/child.mjs'
import { api, collect, guest, node, ROOT, rejection } from './support/index.mjs'

const { getMetrics, IntelligentRouter, prometheusMetrics, RemoteObjectNode, RemoteProcessingService, serveMetrics } = api

/** Series of a text as `name{labels}` to number. */
const series = (text) =>
  new Map(
    text
      .split('\n')
      .filter((line) => line && !line.startsWith('#'))
      .map((line) => /^(.*) (\S+)$/.exec(line).slice(1)),
  )

test('every node, client and router of the process, and the machine', async () => {
  const service = new RemoteProcessingService({ port: 0 }).register('Up', (packet) => packet.data)
  onTestFinished(() => service.close({ graceMs: 1 }))
  const { port } = await service.listen()
  const router = new IntelligentRouter({
    name: 'the-router',
    edge: node(guest('echo'), { name: 'the-edge' }),
    cloud: new RemoteObjectNode({ host: '127.0.0.1', port, nodeType: 'Up' }),
    edgeMaxBytes: 10,
    cloudMinBytes: 20,
  })
  onTestFinished(() => router.cleanup())
  await collect(router.process(['a', 'b', 'x'.repeat(30)]))
  const figures = getMetrics()
  expect(figures.edge.find(({ name }) => name === 'the-edge')).toMatchObject({ items: 2 })
  expect(figures.cloud.find(({ name }) => name === `127.0.0.1:${port}`)).toMatchObject({ bytesSent: expect.any(Number) })
  expect(figures.routing.find(({ name }) => name === 'the-router')).toMatchObject({ items: 3, byTarget: { edge: 2, cloud: 1 } })
  expect(figures.system).toMatchObject({
    cpuShare: expect.any(Number),
    residentBytes: expect.any(Number),
    networkReceivedBytes: expect.any(Number),
    eventLoopDelayMs: { p99: expect.any(Number) },
  })
  expect(figures.system.memoryShare).toBeGreaterThan(0)

  const text = series(prometheusMetrics())
  expect(text.get('remotemedia_edge_items_total{node="the-edge"}')).toBe('2')
  expect(text.get('remotemedia_routing_decisions_total{router="the-router",target="cloud"}')).toBe('1')
  expect(text.get('remotemedia_routing_breaker{router="the-router",target="cloud"}')).toBe('0.0')
  expect(text.get('remotemedia_routing_latency_milliseconds_count{router="the-router",target="edge"}')).toBe('2')
  expect(prometheusMetrics()).toMatch(/^remotemedia_system_resident_bytes(\{\})? \d{7,}/m)
})

describe('Prometheus text', () => {
  test('two sources of one name are one series', async () => {
    const [one, two] = [node(guest('echo'), { name: 'twins' }), node(guest('echo'), { name: 'twins' })]
    await Promise.all([one.call('x'), two.call('x'), two.call('x')])
    expect(prometheusMetrics().match(/remotemedia_edge_items_total\{node="twins"\} (\d+)/g)).toEqual([
      'remotemedia_edge_items_total{node="twins"} 3',
    ])
  })

  test('names cannot break it, and are bounded', async () => {
    const wicked = node(guest('echo'), { name: 'a"b\\c\nd{}' })
    await wicked.call('x')
    for (let index = 0; index < 250; index++) node(guest('echo'), { name: `many-${index}` })
    const text = prometheusMetrics()
    expect(text).toContain('remotemedia_edge_items_total{node="a\\"b\\\\c\\nd{}"} 1')
    expect(text.endsWith('# EOF\n')).toBe(true)
    const names = new Set([...text.matchAll(/remotemedia_edge_items_total\{node="((?:[^"\\]|\\.)*)"\}/g)].map(([, name]) => name))
    expect(names.size).toBeLessThanOrEqual(201)
    expect(names.has('other')).toBe(true)
  })

  test('every metric that comes out is in the document', () => {
    const documented = new Set(
      [...readFileSync(path.join(ROOT, 'docs/metrics.md'), 'utf8').matchAll(/^\| `(remotemedia_\w+)`/gm)].map(([, name]) => name),
    )
    const names = [...prometheusMetrics().matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, kind]) =>
      kind === 'counter' ? `${name}_total` : name,
    )
    expect(names.length).toBeGreaterThan(20)
    for (const name of names) expect(documented.has(name), name).toBe(true)
  })
})

describe('serveMetrics', () => {
  test('serves what prometheusMetrics gives, at one place', async () => {
    const served = await serveMetrics({ port: 0 })
    onTestFinished(() => served.close())
    expect(served.url).toBe(`http://127.0.0.1:${served.port}/metrics`)
    const answer = await fetch(served.url)
    expect(answer.headers.get('content-type')).toMatch(/^application\/openmetrics-text; version=1\.0\.0/)
    const names = (text) => text.split('\n').filter((line) => line.startsWith('# TYPE'))
    expect(names(await answer.text())).toEqual(names(prometheusMetrics()))
    expect((await fetch(served.url, { method: 'HEAD' })).status).toBe(200)
    expect((await fetch(served.url, { method: 'POST' })).status).toBe(405)
    expect((await fetch(new URL('/', served.url))).status).toBe(404)
  })

  test('a port in use, and options that are none', async () => {
    const first = await serveMetrics({ port: 0 })
    onTestFinished(() => first.close())
    for (const [path, options] of [
      ['port', { port: first.port }],
      ['port', { port: 65_536 }],
      ['port', { port: '80' }],
      ['host', { host: '' }],
      ['hots', { hots: 'x' }],
    ]) {
      expect(await rejection(serveMetrics(options)), JSON.stringify(options)).toMatchObject({ code: 'ERR_CONFIG', path })
    }
  })
})

test('what a node has counted stays when the node is gone', async () => {
  const program = `
    const once = async () => {
      const made = new WasmEdgeNode(guest('echo'), { name: 'short-lived' })
      await made.call('x')
      await made.cleanup()
    }
    for (let count = 0; count < 3; count++) await once()
    await until(() => (global.gc(), rm.getMetrics().edge.length === 0))
    say(rm.prometheusMetrics())`
  const [text] = await run(program, { flags: ['--expose-gc'] })
  const all = series(text)
  expect(all.get('remotemedia_edge_items_total{node="short-lived"}')).toBe('3')
  expect(all.get('remotemedia_edge_exec_milliseconds_count{node="short-lived"}')).toBe('3')
  // How many there are is of those that are there.
  expect(all.has('remotemedia_edge_instances{node="short-lived"}')).toBe(false)
})
