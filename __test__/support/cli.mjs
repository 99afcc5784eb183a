// The command line as people run it: a process, what it writes, how it ends.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { ROOT } from './index.mjs'

export const BIN = path.join(ROOT, 'bin/remotemedia-wasmedge.js')
export const RECORDING = path.join(ROOT, 'examples/audio/speech-in-noise.wav')

/** Starts the command, or another program; `exit` resolves to how it ended and what it wrote. */
export function start(args, { program = BIN, env = {}, cwd = ROOT, timeoutMs = 60_000 } = {}) {
  const child = spawn(process.execPath, [program, ...args], { cwd, env: { ...process.env, NODE_OPTIONS: '', RM_DEBUG: '', ...env } })
  const out = { stdout: [], stderr: [] }
  for (const name of ['stdout', 'stderr']) child[name].on('data', (data) => out[name].push(data))
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  const text = (name) => Buffer.concat(out[name]).toString()
  const exit = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, stdout: text('stdout'), stderr: text('stderr'), bytes: Buffer.concat(out.stdout) })
    })
  })
  // It may end before it has read everything.
  child.stdin.on('error', () => {})
  onTestFinished(() => void child.kill('SIGKILL'))
  /** Resolves when what it wrote matches. */
  const said = (pattern, name = 'stdout') =>
    new Promise((resolve, reject) => {
      const look = () => pattern.test(text(name)) && resolve(pattern.exec(text(name)))
      child[name].on('data', look)
      exit.then((end) => reject(new Error(`ended before ${pattern}: ${JSON.stringify({ ...end, bytes: undefined })}`)), reject)
      look()
    })
  return { child, exit, said }
}

/** Runs the command to its end. */
export function cli(args, { input, ...options } = {}) {
  const { child, exit } = start(args, options)
  if (input !== undefined) child.stdin.end(input)
  else child.stdin.end()
  return exit
}

export const jsonLines = (text) =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))

/** A folder that the end of the test removes, with these files. */
export function folder(files = {}) {
  const made = mkdtempSync(path.join(tmpdir(), 'rm-cli-'))
  onTestFinished(() => rmSync(made, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(made, name), content)
  return made
}

/** A manifest of one node that is a module of this package, or of the nodes given. */
export const manifest = (module, params = {}, name = 'test') =>
  JSON.stringify({
    version: 'v1',
    metadata: { name },
    nodes: [{ id: 'node', node_type: 'WasmEdgeNode', params: { module: `@remotemedia/wasmedge/modules/${module}.wasm`, ...params } }],
    connections: [],
  })

/** A WAV of these samples (-1 to 1) in this format. */
export function wav(samples, { rate = 16_000, channels = 1, bits = 16, float = false, declared } = {}) {
  const step = bits / 8
  const body = Buffer.alloc(samples.length * step)
  samples.forEach((value, index) => {
    const at = index * step
    if (float) bits === 32 ? body.writeFloatLE(value, at) : body.writeDoubleLE(value, at)
    else body.writeIntLE(Math.round(value * (2 ** (bits - 1) - 1)), at, step)
  })
  const head = Buffer.alloc(44)
  head.write('RIFF', 0)
  head.writeUInt32LE(36 + body.length, 4)
  head.write('WAVEfmt ', 8)
  head.writeUInt32LE(16, 16)
  head.writeUInt16LE(float ? 3 : 1, 20)
  head.writeUInt16LE(channels, 22)
  head.writeUInt32LE(rate, 24)
  head.writeUInt32LE(rate * channels * step, 28)
  head.writeUInt16LE(channels * step, 32)
  head.writeUInt16LE(bits, 34)
  head.write('data', 36)
  head.writeUInt32LE(declared ?? body.length, 40)
  return Buffer.concat([head, body])
}
