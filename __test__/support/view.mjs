// A pipeline to look at, hostile names, and two readers of what the live view serves.

import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { api, guest, until } from './index.mjs'

const { IntelligentRouter, Node, Pipeline, RemoteObjectNode, RemoteProcessingService, WasmEdgeNode } = api

/** A session, a node and a reason that would be markup if nobody escaped them. */
export const EVIL = '"><img src=x onerror="globalThis.hacked=1"></script><script>globalThis.hacked=1</script>'

export class Side extends Node {
  async *process(source) {
    for await (const packet of source) {
      if (packet.metadata.fails) throw new Error(`cannot read ${EVIL}`)
      yield packet
    }
  }
}

export function folder() {
  const made = mkdtempSync(path.join(os.tmpdir(), 'view-'))
  onTestFinished(() => rmSync(made, { recursive: true }))
  return made
}

/** A pipeline with a router whose cloud is a service. */
export async function hybrid({ name = 'hybrid', fails = () => false, cleanup = onTestFinished } = {}) {
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
export async function stream(pipeline, view, items, sessionId) {
  const source = async function* () {
    for (const item of items) {
      view.input(item, sessionId)
      yield item
    }
  }
  for await (const packet of pipeline.process(source(), sessionId === undefined ? {} : { sessionId })) view.output(packet)
}

export const small = (count) => Array.from({ length: count }, () => new Uint8Array(10))
export const large = (count) => Array.from({ length: count }, () => new Uint8Array(1000))

/** One request, as it is written: `fetch` would not send a wrong host or path. */
export function ask(port, target, { method = 'GET', host = `127.0.0.1:${port}` } = {}) {
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
export function events(url) {
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

/** Waits until a reader of `events` has heard `count` more. */
export const ticks = (seen, count) => {
  const enough = seen.length + count
  return until(() => seen.length >= enough, `${count} more events of the view`)
}
