// What is measured: groups of cells, each cell one fresh process per repetition.

import { mkdtempSync, rmSync } from 'node:fs'
import path from 'node:path'
import { NATIVE, nativeProgram, paths, startServer } from './setup.mjs'

const caseFile = (name) => path.join(paths.root, 'bench', 'node', 'cases', `${name}.cjs`)
const nodeCell = (name, params, { flags = [], env } = {}) => ({
  command: () => [process.execPath, [...flags, caseFile(name), JSON.stringify(params)]],
  params,
  env,
})

const SECONDS_CHUNK = 160_000
const FRAME_CHUNK = 256

export const SIZES = [640, 65_536]
export const IN_FLIGHT = [1, 8, 64]
export const CALLERS = ['call', 'call-64-sessions', 'extism-in-process', 'extism-worker', 'v8-main', 'piscina', 'piscina-8-per-worker']
export const CLIENTS = ['ours', 'grpc-js', 'nice-grpc']
export const RPCS = ['unary', 'stream']
export const MESSAGES = [100, 65_536, 1_048_576]
export const STREAMS = [
  ['process', 1],
  ['process', 8],
]

export function plan({ quick }) {
  const full = quick ? { warmMs: 100, measureMs: 200 } : { warmMs: 300, measureMs: 700 }
  const groups = []
  const group = (id, reps, cells) => groups.push({ id, reps: quick ? 1 : reps, cells })

  const vad = []
  for (const chunkSamples of [SECONDS_CHUNK, FRAME_CHUNK]) {
    const chunk = chunkSamples === SECONDS_CHUNK ? 'long' : 'frame'
    for (const variant of Object.keys(NATIVE)) {
      const args = [paths.audio, chunkSamples, full.warmMs, full.measureMs].map(String)
      vad.push({ id: `vad/${chunk}/${variant}`, params: { variant, chunkSamples }, command: () => [nativeProgram(variant), args] })
    }
    const variants = chunk === 'long' ? ['aot', 'jit', 'interpreter', 'v8'] : ['aot', 'v8']
    for (const variant of variants) vad.push({ id: `vad/${chunk}/${variant}`, ...nodeCell('vad', { variant, chunkSamples, ...full }) })
  }
  group('vad', 5, vad)

  for (const size of SIZES) {
    const cells = []
    const levels = quick ? (size === 640 ? [1, 64] : [64]) : IN_FLIGHT
    const add = (variant, inFlight) =>
      cells.push({ id: `calls/${size}/${variant}/${inFlight}`, ...nodeCell('calls', { variant, size, inFlight, ...full }) })
    for (const inFlight of levels) for (const variant of CALLERS) add(variant, inFlight)
    for (const [variant, count] of STREAMS) add(variant, count)
    group(`calls/${size}`, size === 640 ? 5 : 3, cells)
  }

  const start = []
  for (const variant of ['auto', 'aot']) {
    // An empty cache each time: the child compiles, or interprets meanwhile.
    const cold = () => {
      const folder = mkdtempSync(path.join(paths.target, 'cold-'))
      return {
        vars: { RM_WASMEDGE_CACHE_DIR: folder },
        done: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }),
      }
    }
    start.push({ id: `start/cold/${variant}`, ...nodeCell('start', { variant }, { env: cold }) })
    start.push({ id: `start/cached/${variant}`, ...nodeCell('start', { variant }) })
  }
  start.push({ id: 'start/v8', ...nodeCell('start', { variant: 'v8' }) })
  group('start', 5, start)

  const sessions = 1_000
  group(
    'memory',
    3,
    ['aot', 'v8'].map((variant) => ({ id: `memory/${variant}`, ...nodeCell('memory', { variant, sessions }, { flags: ['--expose-gc'] }) })),
  )

  const saturated = quick ? { warmMs: 300, measureMs: 700 } : { warmMs: 500, measureMs: 2_000 }
  group(
    'loop',
    5,
    ['idle', 'ours', 'piscina'].map((variant) => ({ id: `loop/${variant}`, ...nodeCell('loop', { variant, ...saturated }) })),
  )

  const turns = quick ? { rounds: 3, frames: 5_000 } : { rounds: 7, frames: 20_000 }
  group('overhead', 3, [{ id: 'overhead/vad', ...nodeCell('overhead', turns) }])

  for (const rpc of RPCS) {
    for (const size of MESSAGES) {
      const cells = []
      for (const inFlight of quick ? [64] : [1, 64]) {
        for (const variant of CLIENTS) {
          // One server process for all of them, started with the first cell.
          const params = () => ({ variant, rpc, size, inFlight, port: startServer(), ...full })
          const id = `remote/${rpc}/${size}/${variant}/${inFlight}`
          cells.push({ id, params: { variant, rpc, size, inFlight }, command: () => nodeCell('remote', params()).command() })
        }
      }
      group(`remote/${rpc}/${size}`, size === 100 ? 5 : 3, cells)
    }
  }
  return groups
}
