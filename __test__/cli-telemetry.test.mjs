// What the command line sends and shows about itself: `--otlp` and `--metrics`.

import net from 'node:net'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { cli, jsonLines, start } from './support/cli.mjs'
import { api, guest } from './support/index.mjs'
import { collectHttp } from './support/otlp.mjs'

let collector
beforeEach(async () => {
  collector = await collectHttp()
})
afterEach(() => collector.close())

test('run --otlp: every item is at the collector when the command has ended', async () => {
  const end = await cli(['run', guest('echo'), '--otlp', collector.url, '-q'], { input: 'a\nb\n' })
  expect(end).toMatchObject({ code: 0, stderr: '' })
  expect(jsonLines(end.stdout)).toHaveLength(2)
  const trees = collector.named('item').map(({ traceId }) => collector.tree(traceId))
  expect(trees).toEqual([[{ item: ['edge'] }], [{ item: ['edge'] }]])
  expect(collector.metrics.get('remotemedia_edge_items').sum.dataPoints[0]).toMatchObject({ asInt: '2' })
})

test('the same by the environment, of a command that fails as well', async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SERVICE_NAME: 'by-environment' }
  expect((await cli(['run', guest('gain'), '-q'], { input: 'no audio\n', env })).code).toBe(1)
  expect(collector.named('item')[0].attributes['error.type']).toBe('ERR_GUEST')
  expect(collector.resources[0]['service.name']).toBe('by-environment')
})

test('a collector that is not there is a warning, and no more', async () => {
  const end = await cli(['run', guest('echo'), '--otlp', 'http://127.0.0.1:9', '-q'], { input: 'a\n' })
  expect(end.code).toBe(0)
  expect(end.stderr).toMatch(/^warning: not all traces and metrics were sent to http:\/\/127\.0\.0\.1:9: .+/)
  expect(jsonLines(end.stdout)).toHaveLength(1)
})

test('serve --metrics --otlp: figures while it runs, and the client’s traces go on in it', async () => {
  const server = start(['serve', guest('echo'), '--port', '0', '--json', '--metrics', '0', '--otlp', collector.url, '--node-type', 'Echo'])
  const [text] = await server.said(/^.+\n/)
  const [, url] = await server.said(/^metrics: (http:\S+)$/m, 'stderr')
  const client = await api.RemoteExecutionClient.connect({ host: '127.0.0.1', port: JSON.parse(text).port })
  onTestFinished(() => client.close())
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  await client.executeNode('Echo', {}, { hello: 1 }, { traceparent, format: 'pickle' })
  expect(await (await fetch(url)).text()).toMatch(/^remotemedia_edge_items_total\{node="[^"]+"\} 1$/m)
  server.child.kill('SIGTERM')
  expect((await server.exit).code).toBe(0)
  const [, trace, parent] = traceparent.split('-')
  const execute = 'remotemedia.execution.RemoteExecutionService/ExecuteNode'
  expect(collector.tree(trace, parent)).toEqual([{ [execute]: [{ item: ['edge'] }] }])
})

test('wrong values are said to be', async () => {
  const taken = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  onTestFinished(() => new Promise((resolve) => taken.close(resolve)))
  const { port } = taken.address()
  for (const [args, code, text] of [
    [['--otlp', 'nowhere'], 1, /^error: otlpEndpoint: must be a URL such as/],
    [['--metrics', '70000'], 2, /^error: --metrics is a whole number from 0 to 65535/],
    [['--metrics', String(port)], 1, new RegExp(`^error: port: cannot listen on 127\\.0\\.0\\.1:${port}`)],
  ]) {
    const end = await cli(['run', guest('echo'), ...args], { input: 'a\n' })
    expect(end.code, args.join(' ')).toBe(code)
    expect(end.stderr).toMatch(text)
  }
})
