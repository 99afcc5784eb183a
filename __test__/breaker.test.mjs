// The circuit breaker of a client's endpoints: `circuitBreaker` where a remote is configured.

import { afterEach, describe, expect, test } from 'vitest'
import { api, expectError, rejection, thrown, until } from './support/index.mjs'

const { RemoteObjectNode, RemoteProcessingService } = api
const opened = []
afterEach(async () => {
  for (const one of opened.splice(0)) await (one.cleanup?.() ?? one.close({ graceMs: 1 }))
})

async function serve(entry, port = 0) {
  const service = new RemoteProcessingService({ port }).register('X', entry)
  opened.push(service)
  return (await service.listen()).port
}
function remote(options) {
  const made = new RemoteObjectNode({ nodeType: 'X', maxRetries: 0, connectTimeoutMs: 300, timeout: 0.2, ...options })
  opened.push(made)
  return made
}
const hang = () => new Promise(() => {})

describe('a breaker of an endpoint', () => {
  test('opens after failures in a row, refuses at once, and closes after a probe', async () => {
    let work = hang
    const port = await serve((packet) => work(packet))
    const node = remote({ host: '127.0.0.1', port, circuitBreaker: { failureThreshold: 2, resetTimeoutMs: 150, successThreshold: 1 } })
    for (let i = 0; i < 2; i++) expectError(await rejection(node.call('a')), 'ERR_DEADLINE')
    const error = expectError(await rejection(node.call('b')), 'ERR_BREAKER_OPEN')
    expect(error.message).toMatch(/circuit breaker is open for another \d+ ms/)
    expect(node.metrics().endpoints[0].breaker).toBe('open')
    work = (packet) => packet.data
    const [packet] = await until(() => node.call('c').catch(() => undefined), 'it is closed again')
    expect(packet.data).toBe('c')
    expect(node.metrics().endpoints[0].breaker).toBe('closed')
  })

  test('an error of the node itself is an answer, and opens nothing', async () => {
    const port = await serve(() => {
      throw new Error('no')
    })
    const node = remote({ host: '127.0.0.1', port, circuitBreaker: { failureThreshold: 1 } })
    for (let i = 0; i < 3; i++) expectError(await rejection(node.call('a')), 'ERR_REMOTE')
    expect(node.metrics().endpoints[0].breaker).toBe('closed')
  })

  test('a call that its caller gave up counts for nothing', async () => {
    const port = await serve(hang)
    const node = remote({ host: '127.0.0.1', port, timeout: 5, circuitBreaker: { failureThreshold: 1 } })
    const controller = new AbortController()
    const call = rejection(node.call('a', { signal: controller.signal }))
    await until(() => node.metrics().endpoints[0].inFlight === 1, 'the call is under way')
    controller.abort(new Error('enough'))
    expect((await call).message).toBe('enough')
    expect(node.metrics().endpoints[0].breaker).toBe('closed')
  })

  test('is one for each endpoint: calls go to those that answer', async () => {
    const [good, bad] = [await serve((packet) => packet.data), await serve(hang)]
    const circuitBreaker = { failureThreshold: 1, resetTimeoutMs: 60_000 }
    const node = remote({ endpoints: [`127.0.0.1:${bad}`, `127.0.0.1:${good}`], circuitBreaker, outlier: { failures: 0 } })
    let failed = 0
    for (let i = 0; i < 20; i++) await node.call('x').catch(() => failed++)
    expect(failed).toBe(1)
    expect(node.metrics().endpoints.map((endpoint) => endpoint.breaker)).toEqual(['open', 'closed'])
  })

  test('its options are checked', () => {
    for (const [circuitBreaker, path] of [
      [{ failureThreshold: 0 }, 'circuitBreaker.failureThreshold'],
      [{ resetTimeoutMs: -1 }, 'circuitBreaker.resetTimeoutMs'],
      [{ probes: 99 }, 'circuitBreaker.probes'],
      [{ resetTimeout: 5 }, 'circuitBreaker.resetTimeout'],
      [5, 'circuitBreaker'],
    ]) {
      expectError(
        thrown(() => remote({ host: 'a', port: 1, circuitBreaker })),
        'ERR_CONFIG',
        { path },
      )
    }
  })
})
