// The live view and the report: who gets in, and what a real run looks like.

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { api, expectError, ROOT, rejection, until } from './support/index.mjs'
import { EVIL, Side, folder, hybrid, stream, small, large, ask, events, ticks } from './support/view.mjs'

const { Pipeline, openView } = api
const { ViewServer } = createRequire(path.join(ROOT, 'js/view/index.js'))('./server.js')

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
    await ticks(events(view.url), 3)
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
    await ticks(events(view.url), 3)
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
