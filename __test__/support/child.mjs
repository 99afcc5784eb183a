// Programs in a process of their own, for what concerns a whole process: signals, exit codes, output, crashes.

import { spawn } from 'node:child_process'
import path from 'node:path'
import { DIST, ROOT } from './index.mjs'

/** What every program starts with: the package, paths, and a way to catch errors. */
const PRELUDE = `
import { createRequire } from 'node:module'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
const require = createRequire(${JSON.stringify(path.join(ROOT, 'package.json'))})
const rm = require('./js/index.js')
const { WasmEdgeNode } = rm
const guest = (name) => path.join(${JSON.stringify(DIST)}, name + '.wasm')
const fixture = (name) => guest('fixtures/' + name)
const codeOf = (promise) => promise.then(() => 'ok', (error) => error.code ?? error)
const assert = require('node:assert/strict')
const say = (value) => process.stdout.write(JSON.stringify(value) + '\\n')
const until = async (condition) => {
  const end = Date.now() + 10000
  while (!condition()) {
    if (Date.now() > end) throw new Error('not within 10 s: ' + condition)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
/** Modules that V8 runs: each export traps in its own way, through V8's own signal handler where it has one. */
const v8Bytes = Buffer.from(
  '0061736d010000000104016000000304030000000503010001071303036f6f62000003646976000103756e720002' +
  '0a1a030b0041f0ffff072802001a0b0800410141006d1a0b0300000b', 'hex')
const v8 = new WebAssembly.Instance(new WebAssembly.Module(v8Bytes)).exports
const v8Traps = () => {
  for (const [name, text] of [['oob', /out of bounds/], ['div', /divide by zero/], ['unr', /unreachable/]]) {
    assert.throws(v8[name], (error) => error instanceof WebAssembly.RuntimeError && text.test(error.message), name)
  }
  return 3
}
`

/** Starts the program; `exit` resolves to how it ended and what it wrote. */
export function start(program, { env = {}, flags = [], timeoutMs = 15_000 } = {}) {
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', PRELUDE + program], {
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const out = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      out[name] += text
    })
  }
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    child.kill('SIGKILL')
  }, timeoutMs)
  const exit = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, timedOut, ...out })
    })
  })
  /** Resolves when the program has written this. */
  const said = (text) =>
    new Promise((resolve, reject) => {
      const look = () => out.stdout.includes(text) && resolve()
      child.stdout.on('data', look)
      exit.then((end) => reject(new Error(`ended before it said '${text}': ${JSON.stringify(end)}`)), reject)
      look()
    })
  return { child, exit, said }
}

/** Runs the program to its end, which must be a good one, and gives the values that it said. */
export async function run(program, options) {
  const end = await start(program, options).exit
  if (end.code !== 0) {
    throw new Error(
      `exit code ${end.code}, signal ${end.signal}, timed out ${end.timedOut}\n${end.stdout.slice(-2000)}\n${end.stderr.slice(-4000)}`,
    )
  }
  return end.stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}
