// The live view and the report: what they keep, who gets in, what a real run looks like, and the page in a real browser.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import { createRequire } from 'node:module'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { api, expectError, guest, ROOT, rejection, until } from './support/index.mjs'

const { IntelligentRouter, Node, Pipeline, RemoteObjectNode, RemoteProcessingService, WasmEdgeNode, openView } = api
const require = createRequire(path.join(ROOT, 'js/view/index.js'))
const { Recorder } = require('./recorder.js')
const { Timeline } = require('./buckets.js')
const { bytesOf } = require('./sizes.js')
const { graphOf } = require('./graph.js')

/** A session, a node and a reason that would be markup if nobody escaped them. */
const EVIL = '"><img src=x onerror="globalThis.hacked=1"></script><script>globalThis.hacked=1</script>'

class Side extends Node {
  async *process(source) {
    for await (const packet of source) {
      if (packet.metadata.fails) throw new Error(`cannot read ${EVIL}`)
      yield packet
    }
  }
}

function folder() {
  const made = mkdtempSync(path.join(os.tmpdir(), 'view-'))
  onTestFinished(() => rmSync(made, { recursive: true }))
  return made
}

/** A pipeline with a router whose cloud is a service. */
async function hybrid({ name = 'hybrid', fails = () => false, cleanup = onTestFinished } = {}) {
  const service = new RemoteProcessingService({ port: 0 }).register('Cloud', ({ data }) => {
    if (fails()) throw new Error('the cloud is gone')
    return data
  })
  const { port } = await service.listen()
  const cloud = new RemoteObjectNode({ host: '127.0.0.1', port, nodeType: 'Cloud', maxRetries: 0, name: 'large' })
  const breaker = { failureThreshold: 2, resetTimeoutMs: 60_000 }
  const options = {
    name: 'router',
    edge: new Side({ name: 'small' }),
    cloud,
    edgeMaxBytes: 100,
    cloudMinBytes: 101,
    circuitBreaker: breaker,
  }
  const pipeline = new Pipeline([new IntelligentRouter(options), new WasmEdgeNode(guest('echo'), { name: `echo ${EVIL}` })], {
    name,
    onError: 'emit',
  })
  cleanup(async () => {
    await pipeline.cleanup()
    await service.close({ graceMs: 1 })
  })
  return pipeline
}

/** Runs items through the pipeline as a command line would, each shown to the view. */
async function stream(pipeline, view, items, sessionId) {
  const source = async function* () {
    for (const item of items) {
      view.input(item, sessionId)
      yield item
    }
  }
  for await (const packet of pipeline.process(source(), sessionId === undefined ? {} : { sessionId })) view.output(packet)
}

const small = (count) => Array.from({ length: count }, () => new Uint8Array(10))
const large = (count) => Array.from({ length: count }, () => new Uint8Array(1000))

/** One request, as it is written: `fetch` would not send a wrong host or path. */
function ask(port, target, { method = 'GET', host = `127.0.0.1:${port}` } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: '127.0.0.1', path: target, method, headers: { host }, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text) => (body += text))
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }))
    })
    request.on('error', reject).end()
  })
}

/** The server's events, one after the other. */
function events(url) {
  const { port, searchParams } = new URL(url)
  const seen = []
  const request = http.get({ port, host: '127.0.0.1', path: `/${searchParams.get('token')}/events`, agent: false }, (response) => {
    let text = ''
    response.setEncoding('utf8')
    response.on('data', (more) => {
      const parts = (text + more).split('\n\n')
      text = parts.pop()
      for (const part of parts) {
        const [, event, data] = part.match(/event: (\w+)\ndata: (.*)$/) ?? []
        if (event) seen.push({ event, data: JSON.parse(data) })
      }
    })
    response.on('close', () => (seen.closed = true))
  })
  request.on('error', () => {})
  onTestFinished(() => request.destroy())
  return seen
}

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

describe('the server', () => {
  const opened = async () => {
    const view = await openView(await hybrid(), { ui: { port: 0 } })
    onTestFinished(() => view.close())
    const { port, searchParams } = new URL(view.url)
    return { view, port: Number(port), token: searchParams.get('token') }
  }

  test('lets nobody in without the token', async () => {
    const { port, token } = await opened()
    expect(token.length).toBeGreaterThanOrEqual(32)
    for (const target of [
      '/',
      '/?token=',
      `/?token=${token}x`,
      `/?token=${token.slice(1)}`,
      '/app.mjs',
      '/x/app.mjs',
      '/x/events',
      '/events',
      `/?other=${token}`,
    ]) {
      expect([target, (await ask(port, target)).status]).toEqual([target, 403])
    }
    const page = await ask(port, `/?token=${token}`)
    expect(page.status).toBe(200)
    for (const [, target] of page.body.matchAll(/(?:href|src)="(\/[^"]+)"/g)) expect((await ask(port, target)).status).toBe(200)
  })

  test('answers to its own name only', async () => {
    const { port, token } = await opened()
    const status = async (host) => (await ask(port, `/?token=${token}`, { host })).status
    expect(await status(`localhost:${port}`)).toBe(200)
    for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1', `127.0.0.1:${port + 1}`, `[::1]:${port}`])
      expect([host, await status(host)]).toEqual([host, 403])
  })

  test('gives nothing but its own files, to nothing but GET and HEAD', async () => {
    const { port, token } = await opened()
    for (const name of [
      '../server.js',
      '%2e%2e%2fserver.js',
      '..%5cserver.js',
      'index.html/',
      '',
      'package.json',
      '/etc/passwd',
      '__proto__',
      'app.mjs%00',
      'events/..',
      'app.mjs/../../index.js',
    ]) {
      const { status, body } = await ask(port, `/${token}/${name}`)
      expect([name, [403, 404].includes(status)]).toEqual([name, true])
      expect(body).not.toMatch(/require|root:/)
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE'])
      expect((await ask(port, `/?token=${token}`, { method })).status).toBe(405)
    expect(await ask(port, `/?token=${token}`, { method: 'HEAD' })).toMatchObject({ status: 200, body: '' })
  })

  test('tells the browser to run nothing else', async () => {
    const { port, token } = await opened()
    const { headers, body } = await ask(port, `/?token=${token}`)
    expect(headers['content-security-policy']).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/)
    expect(headers['content-security-policy']).not.toMatch(/unsafe|http|\*/)
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
      'x-frame-options': 'DENY',
    })
    expect(headers['access-control-allow-origin']).toBeUndefined()
    expect(body).not.toMatch(/<script>|style="| on\w+=|https?:/)
  })

  test('listens on this machine only; a port in use is named', async () => {
    const { port } = await opened()
    const busy = await rejection(openView(await hybrid(), { ui: { port } }))
    expectError(busy, 'ERR_CONFIG')
    expect(busy).toMatchObject({ path: 'ui.port', message: expect.stringContaining(String(port)) })
    expectError(await rejection(openView(await hybrid(), { ui: { port: 70_000 } })), 'ERR_CONFIG')
    const outside = Object.values(os.networkInterfaces())
      .flat()
      .find(({ internal, family }) => !internal && family === 'IPv4')
    if (!outside) return
    const socket = net.connect(port, outside.address)
    await expect(new Promise((resolve, reject) => socket.on('connect', resolve).on('error', reject))).rejects.toThrow(/ECONNREFUSED/)
  })

  test('drops a page that does not read', async () => {
    const { view, port, token } = await opened()
    const socket = net.connect(port, '127.0.0.1')
    onTestFinished(() => socket.destroy())
    socket.write(`GET /${token}/events HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`)
    socket.pause()
    const { ViewServer } = require('./server.js')
    const server = new ViewServer(() => ({}))
    onTestFinished(() => server.close('finished', {}))
    const url = new URL(await server.listen(0))
    const slow = net.connect(Number(url.port), '127.0.0.1').pause()
    onTestFinished(() => slow.destroy())
    slow.write(`GET /${url.searchParams.get('token')}/events HTTP/1.1\r\nhost: ${url.host}\r\n\r\n`)
    await until(() => server.clients === 1)
    const data = 'x'.repeat(1 << 20)
    await until(() => {
      server.send('update', data)
      return server.clients === 0
    })
    // Nor does one keep the end from coming.
    await view.close()
  })

  test('the process ends after close', () => {
    const script = `
      const { openView, Pipeline } = require(${JSON.stringify(ROOT)} + '/js/index.js')
      const pipeline = new Pipeline([async function* (source) { yield* source }])
      openView(pipeline, { ui: { port: 0 } }).then(async (view) => {
        const { port, searchParams } = new URL(view.url)
        const response = await fetch('http://127.0.0.1:' + port + '/' + searchParams.get('token') + '/events')
        await response.body.getReader().read()
        await view.close()
        await view.close()
        console.log('closed')
      })`
    const { stdout, status, signal } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 20_000 })
    expect([stdout, status, signal]).toEqual(['closed\n', 0, null])
  })
})

describe('a run', () => {
  test('is told event by event', async () => {
    let gone = false
    const pipeline = await hybrid({ fails: () => gone })
    const view = await openView(pipeline, { name: 'a run', ui: { port: 0 } })
    onTestFinished(() => view.close())
    const seen = events(view.url)
    const { data: hello } = await until(() => seen.find(({ event }) => event === 'hello'))
    expect(hello).toMatchObject({ name: 'a run', started: false, totals: { in: 0 } })
    expect(hello.graph.nodes.map(({ name }) => name)).toEqual(
      ['source', 'router', 'small', 'large', `echo ${EVIL}`.slice(0, 119) + (EVIL.length > 114 ? '…' : ''), 'output'].map((name) =>
        name.slice(0, 120),
      ),
    )
    await stream(pipeline, view, [...small(30), ...large(10)], 'alice')
    gone = true
    for (const item of large(5)) await stream(pipeline, view, [item], EVIL)
    const last = await until(
      () =>
        seen.findLast(
          ({ event, data }) => event === 'update' && data.totals.out === 45 && data.decisionCount === 45 && data.changes.length === 1,
        )?.data,
    )
    expect(last.totals).toMatchObject({ in: 45, out: 45, errors: 0, edge: 35, cloud: 10, fallbacks: 2 })
    expect(last.routers[0]).toMatchObject({
      name: 'router',
      items: 45,
      fallbacksTo: { edge: 2, cloud: 0 },
      sides: { edge: { breaker: 'closed' }, cloud: { breaker: 'open' } },
    })
    expect(last.sessions.rows.map(({ id, items, targets }) => [id, items, targets.edge, targets.cloud])).toEqual([
      [EVIL, 5, 5, 0],
      ['alice', 40, 30, 10],
    ])
    expect(last.changes).toMatchObject([{ target: 'cloud', from: 'closed', to: 'open' }])
    // Of the second session's streams only the first: the others count from 0 again.
    expect(last.percentiles.all.count).toBe(41)
    expect(Object.values(last.edges)).toEqual(expect.arrayContaining([45, 35, 12]))
    const decisions = seen.flatMap(({ data }) => data.decisions)
    expect(new Set(decisions.map(({ n }) => n)).size).toBe(45)
    expect(decisions.findLast(({ n }) => n === 41).fallback).toMatchObject({ to: 'edge' })
    const rows = seen.flatMap(({ data }) => data.rows ?? [])
    expect(new Set(rows.map(({ t }) => t)).size).toBe(rows.length)
    await view.close()
    const { data: end } = await until(() => seen.find(({ event }) => event === 'finished'))
    expect([...rows, ...end.rows].reduce((sum, row) => sum + row.out, 0)).toBe(45)
    await until(() => seen.closed)
  })

  test('leaves the pipeline as it was: nothing is asked of it before the first item, no listener stays', async () => {
    const pipeline = await hybrid()
    const view = await openView(pipeline, { ui: { port: 0 } })
    await new Promise((resolve) => setTimeout(resolve, 1200))
    pipeline.addNode(new Side({ name: 'late' }))
    await view.close()
    view.input('x', 'a')
    view.output({ data: 'x' })
    expect(await pipeline.run(['x'])).toHaveLength(1)
  })

  test('a node whose figures fail, errors of every shape and packets of none are no reason to stop', async () => {
    const broken = new (class Broken extends Side {
      metrics() {
        throw new Error('no figures')
      }
    })()
    const pipeline = new Pipeline([broken])
    onTestFinished(() => pipeline.cleanup())
    const file = path.join(folder(), 'report.html')
    const view = await openView(pipeline, { ui: { port: 0 }, report: file })
    for (const error of [undefined, null, 'text', 7, new Error('x'), { code: 5 }]) view.error(error)
    for (const packet of [undefined, {}, { data: null, route: { target: 'moon', edgeMs: Number.NaN } }]) view.output(packet)
    view.input(undefined)
    await new Promise((resolve) => setTimeout(resolve, 700))
    await view.close()
    expect(readFileSync(file, 'utf8')).toContain('Errors')
  })
})

describe('the report', () => {
  test('is one file that needs nothing else, everything of the run escaped', async () => {
    const place = folder()
    const file = path.join(place, 'run.html')
    let gone = false
    const pipeline = await hybrid({ fails: () => gone })
    const view = await openView(pipeline, { name: EVIL, report: file })
    expect(view.url).toBeUndefined()
    await stream(pipeline, view, [...small(20), ...large(20)], EVIL)
    gone = true
    await stream(pipeline, view, [...large(3), { data: new Uint8Array(5), metadata: { fails: true } }], 'bob')
    view.error(Object.assign(new Error(EVIL), { code: EVIL, nodeName: EVIL, sessionId: EVIL }))
    await view.close()
    const html = readFileSync(file, 'utf8')
    expect(readdirSync(place)).toEqual(['run.html'])
    expect(html.match(/<script|<img|<link|<iframe| on\w+\s*=\s*"|javascript:|@import|url\((?!#tip\))/gi)).toBeNull()
    expect(html.match(/(?:https?:)?\/\/[^\s"'<]+/g) ?? []).toEqual([])
    expect(html).toContain('&lt;img src=x onerror=&quot;')
    for (const words of [
      'Timeline',
      'Routing: router',
      'Numbers',
      'Machine and versions',
      process.version,
      'fell back to edge',
      'cannot read',
    ])
      expect(html).toContain(words)
    expect(html).toMatch(/44 items went in and 44 packets came out/)
    expect(html).toMatch(/@media print/)
  })

  test('appears whole or not at all, and is refused before the run where it cannot be', async () => {
    const place = folder()
    const pipeline = await hybrid()
    for (const report of [path.join(place, 'no/run.html'), place, '', 7]) {
      const error = await rejection(openView(pipeline, { report }))
      expectError(error, 'ERR_CONFIG')
      expect(error.path).toBe('report')
    }
    const file = path.join(place, 'sub.html')
    const view = await openView(pipeline, { report: file })
    expect(readdirSync(place)).toEqual([])
    rmSync(place, { recursive: true })
    expectError(await rejection(view.close()), 'ERR_CONFIG')
    const { mkdirSync } = await import('node:fs')
    mkdirSync(place)
  })

  test('of a run in which nothing happened', async () => {
    const file = path.join(folder(), 'empty.html')
    const view = await openView(await hybrid(), { report: file })
    await view.close()
    expect(readFileSync(file, 'utf8')).toContain('Nothing was answered yet.')
  })
})

const CHROMIUM = '/usr/bin/chromium'
function browsers() {
  try {
    return createRequire(path.join(ROOT, 'package.json'))('playwright-core').chromium
  } catch {
    return undefined
  }
}
const chromium = browsers()
const missing = [!existsSync(CHROMIUM) && `there is no ${CHROMIUM}`, !chromium && 'playwright-core is not installed'].filter(Boolean)

describe.skipIf(missing.length > 0)(`the page in Chromium${missing.length > 0 ? ` (skipped: ${missing.join(', ')})` : ''}`, () => {
  let browser
  beforeAll(async () => {
    const args = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ]
    browser = await chromium.launch({ executablePath: CHROMIUM, args })
  })
  afterAll(() => browser?.close())

  async function open(url, options = {}) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, ...options })
    page.problems = []
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && page.problems.push(message.text()))
    page.on('pageerror', (error) => page.problems.push(error.stack))
    page.on('request', (request) => /^(http:\/\/127\.0\.0\.1:|file:|data:)/.test(request.url()) || page.problems.push(request.url()))
    onTestFinished(() => page.close())
    await page.goto(url)
    return page
  }
  const words = (page, id) => page.locator(`#${id}`).textContent()
  const state = (page, wanted) => page.locator('#state', { hasText: wanted }).waitFor({ timeout: 10_000 })

  test('shows a run from waiting to its end, by keys as well', async () => {
    let gone = false
    const pipeline = await hybrid({ name: `run ${EVIL}`, fails: () => gone })
    const view = await openView(pipeline, { ui: { port: 0 } })
    onTestFinished(() => view.close())
    const page = await open(view.url)
    await state(page, 'Waiting for the first item')
    await stream(pipeline, view, [...small(30), ...large(10)], EVIL)
    await state(page, 'Running')
    await page.locator('#tiles', { hasText: '40' }).waitFor()
    await page.locator('#decision-table', { hasText: '#39' }).waitFor()
    gone = true
    await stream(pipeline, view, large(4), 'bob')
    await page.locator('#graph', { hasText: 'breaker open' }).waitFor()
    expect(await words(page, 'session-table')).toContain(EVIL)
    expect(await page.evaluate(() => globalThis.hacked)).toBeUndefined()

    await page.keyboard.press('/')
    expect(await page.evaluate(() => document.activeElement.id)).toBe('filter')
    await page.keyboard.type('bob')
    expect(await words(page, 'decision-count')).toBe('4 of the last 44')
    await page.keyboard.press('Escape')
    expect(await words(page, 'decision-count')).toBe('44 in all')
    await page.keyboard.press('p')
    await state(page, 'Paused')
    await stream(pipeline, view, small(6), 'carol')
    await new Promise((resolve) => setTimeout(resolve, 1200))
    expect(await words(page, 'decision-count')).toBe('44 in all')
    await page.keyboard.press('p')
    await page.locator('#decision-count', { hasText: '50 in all' }).waitFor()
    await page.keyboard.press('?')
    expect(await page.locator('#help-box').isVisible()).toBe(true)
    await page.keyboard.press('Escape')
    expect(await page.locator('#help-box').isVisible()).toBe(false)
    await page.locator('#latency').hover()
    expect(await page.locator('.cursor').count()).toBe(6)
    await page.keyboard.press('w')
    expect(await page.locator('[value="whole"]').isChecked()).toBe(true)

    await view.close()
    await state(page, 'Finished')
    expect(page.problems).toEqual([])
  })

  test('tab order follows the page, and what has the focus shows it', async () => {
    const view = await openView(await hybrid(), { ui: { port: 0 } })
    onTestFinished(() => view.close())
    const page = await open(view.url)
    await state(page, 'Waiting')
    const order = []
    for (let step = 0; step < 6; step++) {
      await page.keyboard.press('Tab')
      order.push(await page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.value))
    }
    expect(order).toEqual(['skip', 'minute', 'pause', 'help', 'sides-0', 'filter'])
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
    expect(outline).toBe('solid')
    const unnamed = await page.evaluate(() =>
      [...document.querySelectorAll('svg[role="img"], [role="region"], section, button, input')]
        .filter(
          (element) =>
            !(
              element.getAttribute('aria-label') ||
              element.getAttribute('aria-labelledby') ||
              element.textContent ||
              element.labels?.length
            ),
        )
        .map((element) => element.outerHTML.slice(0, 80)),
    )
    expect(unnamed).toEqual([])
  })

  test.each([320, 360, 768, 1280, 2400])('nothing scrolls sideways at %i px', async (width) => {
    const pipeline = await hybrid()
    const view = await openView(pipeline, { ui: { port: 0 }, report: path.join(folder(), 'r.html') })
    onTestFinished(() => view.close())
    await stream(pipeline, view, [...small(20), ...large(10)], 'x'.repeat(200))
    view.error(new Error('y'.repeat(400)))
    const page = await open(view.url, { viewport: { width, height: 800 } })
    await page.locator('#session-table', { hasText: 'xxx' }).waitFor()
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    expect(await wide()).toBeLessThanOrEqual(0)
    // No box of the graph hides another, nor is the graph wider than its place where there is room.
    const boxes = await page.evaluate(() =>
      [...document.querySelectorAll('.graph .node rect')]
        .map((rect) => rect.getBoundingClientRect())
        .map(({ left, right, top, bottom }) => ({ left, right, top, bottom })),
    )
    const overlap = boxes.some((a, index) =>
      boxes.some((b, other) => other > index && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom),
    )
    expect(overlap).toBe(false)
    expect(page.problems).toEqual([])
  })

  test('dark and light, with enough contrast', async () => {
    const view = await openView(await hybrid(), { ui: { port: 0 } })
    onTestFinished(() => view.close())
    const contrast = () => {
      const light = (color) => {
        const [r, g, b] = color
          .match(/[\d.]+/g)
          .map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4))
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
      }
      const probe = (name) => {
        const element = document.body.appendChild(document.createElement('i'))
        element.style.color = `var(--${name})`
        const { color } = getComputedStyle(element)
        element.remove()
        return light(color)
      }
      const panel = probe('panel')
      const ratio = (name) => (Math.max(probe(name), panel) + 0.05) / (Math.min(probe(name), panel) + 0.05)
      return {
        dark: panel < 0.1,
        least: Math.min(...['text', 'quiet', 'warn'].map(ratio)),
        lines: Math.min(...['edge', 'cloud', 'hybrid', 'strong'].map(ratio)),
      }
    }
    for (const colorScheme of ['light', 'dark']) {
      const page = await open(view.url, { colorScheme })
      const { dark, least, lines } = await page.evaluate(contrast)
      expect(dark).toBe(colorScheme === 'dark')
      expect(least).toBeGreaterThan(4.5)
      expect(lines).toBeGreaterThan(3)
    }
  })

  test('says that the connection is lost, and finds it again', async () => {
    const { ViewServer } = require('./server.js')
    const view = await openView(await hybrid(), { ui: { port: 0 } })
    onTestFinished(() => view.close())
    const page = await open('about:blank')
    await page.context().setOffline(false)
    let drop
    await page.route('**/events', (route) => (drop ? route.abort() : route.continue()))
    await page.goto(view.url)
    await state(page, 'Waiting')
    expect(ViewServer).toBeTypeOf('function')
    drop = true
    await page.reload()
    await state(page, 'Connection lost')
    drop = false
    await state(page, 'Waiting')
  })

  test('the report, on screen and on paper', async () => {
    const file = path.join(folder(), 'report.html')
    const pipeline = await hybrid()
    const view = await openView(pipeline, { report: file })
    await stream(pipeline, view, [...small(50), ...large(20)], EVIL)
    await view.close()
    for (const width of [360, 1200]) {
      const page = await open(`file://${file}`, { viewport: { width, height: 800 } })
      expect(await page.evaluate(() => [document.documentElement.scrollWidth <= innerWidth, globalThis.hacked])).toEqual([true, undefined])
      expect(page.problems).toEqual([])
      expect((await page.pdf({ format: 'A4' })).length).toBeGreaterThan(10_000)
    }
  })
})
