// What the test files share: where things are, how to wait for a condition, how to catch an error.

import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import * as api from '../../js/index.mjs'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
export const DIST = path.join(ROOT, 'wasm-modules/dist')
export const MODES = ['aot', 'jit', 'interpreter']

/** Path of a shipped module. */
export const guest = (name) => path.join(DIST, `${name}.wasm`)
/** Path of a module that misbehaves, or whose behaviour is easy to check. */
export const fixture = (name) => path.join(DIST, 'fixtures', `${name}.wasm`)
export const fixtureNames = () => readdirSync(path.join(DIST, 'fixtures')).map((file) => path.basename(file, '.wasm'))
export const bytesOf = (file) => new Uint8Array(readFileSync(file))

/** A node that the end of the test cleans up. */
export function node(module, options, Class = api.WasmEdgeNode) {
  const made = new Class(module, options)
  onTestFinished(() => made.cleanup())
  return made
}

/** All packets of a stream. */
export async function collect(stream) {
  const packets = []
  for await (const packet of stream) packets.push(packet)
  return packets
}

/** The reason that the promise rejects with; fails when it does not. */
export async function rejection(promise) {
  let value
  try {
    value = await promise
  } catch (error) {
    return error
  }
  throw new Error(`expected a rejection, got ${JSON.stringify(value)?.slice(0, 200)}`)
}

/** What the function throws; fails when it does not. */
export function thrown(fn) {
  let value
  try {
    value = fn()
  } catch (error) {
    return error
  }
  throw new Error(`expected an exception, got ${String(value)}`)
}

/** Waits until the condition gives something true, and gives that. */
export async function until(condition, what = String(condition), timeoutMs = 10_000) {
  const end = performance.now() + timeoutMs
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** The promise, or an error after a time that only something stuck can take. */
export function within(promise, timeoutMs = 10_000, what = 'the promise') {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not settle within ${timeoutMs} ms`)), timeoutMs)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** A promise with its handles. */
export function deferred() {
  let resolve
  let reject
  const promise = new Promise((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** Checks class and code of one of our errors, and the fields that every one of them has. */
export function expectError(error, code, fields = {}) {
  expect(error).toBeInstanceOf(api.RemoteMediaError)
  expect(error.code, error.message).toBe(code)
  expect(error.message).not.toBe('')
  expect(error.retryable).toBe(RETRYABLE.has(code))
  expect(error.constructor.name).toBe(CLASS_OF[code] ?? 'NodeError')
  for (const [name, value] of Object.entries(fields)) expect(error[name], name).toEqual(value)
  return error
}

export const RETRYABLE = new Set([
  'ERR_WASM_TIMEOUT',
  'ERR_POOL_EXHAUSTED',
  'ERR_SESSION',
  'ERR_UNAVAILABLE',
  'ERR_BREAKER_OPEN',
  'ERR_DEADLINE',
])
export const CLASS_OF = {
  ERR_SERVICE_UNKNOWN: 'RemoteExecutionError',
  ERR_REMOTE: 'RemoteExecutionError',
  ERR_UNAVAILABLE: 'RemoteExecutionError',
  ERR_BREAKER_OPEN: 'RemoteExecutionError',
  ERR_DEADLINE: 'RemoteExecutionError',
  ERR_SERIALIZATION: 'SerializationError',
  ERR_CONFIG: 'ConfigurationError',
  ERR_PIPELINE: 'PipelineError',
}

/** The count that the fixture `leaky_state` returns. */
export const count = (packet) => Buffer.from(packet.data).readUInt32LE(0)

export { api }
