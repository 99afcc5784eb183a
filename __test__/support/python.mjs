// Problem: to speak with what people run, a test needs Python with grpcio and numpy, which a machine may lack.
// Answer: a virtual environment under target/python, made once for each state of requirements.txt, and the two peers in it. Where it cannot
// be made, `pythonMissing` says why, and tests skip:
//
//   const missing = await pythonMissing()
//   describe.skipIf(missing)('...', () => { ... })
//
// RM_PYTHON names the interpreter (default python3), RM_PROTO_DIR the folder of the .proto files (default proto/).

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PEERS = path.join(ROOT, '__test__/peers/python')
const REQUIREMENTS = path.join(PEERS, 'requirements.txt')
// Some 30 megabytes, over a slow line.
const INSTALL_MS = 300_000
const START_MS = 30_000

/** Runs to the end; rejects with what it wrote if that is a bad one. */
function run(command, args, { input = '', timeoutMs = 60_000, env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, ...env }, timeout: timeoutMs, killSignal: 'SIGKILL' })
    const out = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (text) => {
        out[name] += text
      })
    }
    child.on('error', (error) => reject(new Error(`${command}: ${error.message}`)))
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(out.stdout)
      const said = (out.stderr + out.stdout).trim().slice(-2_000)
      reject(new Error(`${path.basename(command)} ${args.join(' ')} ended with ${signal ?? code}: ${said}`))
    })
    // It may be gone before it reads.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}

async function prepare() {
  const base = process.env.RM_PYTHON || 'python3'
  const version = (await run(base, ['-c', 'import sys; print(sys.version)'])).trim()
  const state = createHash('sha256').update(version).update(readFileSync(REQUIREMENTS)).digest('hex').slice(0, 16)
  const folder = path.join(ROOT, 'target/python', state)
  const python = path.join(folder, 'bin/python')
  if (existsSync(python)) return python
  // Made beside it and moved: what was interrupted must not look finished, and two runs must not build in one place.
  const draft = `${folder}.${process.pid}`
  mkdirSync(path.dirname(folder), { recursive: true })
  try {
    await run(base, ['-m', 'venv', draft], { timeoutMs: INSTALL_MS })
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', REQUIREMENTS]
    await run(path.join(draft, 'bin/python'), pip, { timeoutMs: INSTALL_MS })
    if (!existsSync(folder)) renameSync(draft, folder)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
  return python
}

let prepared

/** The interpreter that has what the peers need. Rejects with the reason if there is none. */
export function python() {
  prepared ??= prepare()
  return prepared
}

/** Why there is no such interpreter; undefined if there is one. */
export function pythonMissing() {
  return python().then(
    () => undefined,
    (error) => {
      console.warn(`Python peers are left out: ${error.message}`)
      return error.message
    },
  )
}

// The peers' folder stays as it is in git.
const ENV = { PYTHONDONTWRITEBYTECODE: '1', PYTHONUNBUFFERED: '1' }

/**
 * Starts the server on a free port: `{ host, port, address, stop }`. It ends with this process, whatever becomes of that.
 * `args` are its own, such as `--numpy1`.
 */
export async function startPythonServer({ args = [] } = {}) {
  const child = spawn(await python(), [path.join(PEERS, 'server.py'), '--port', '0', '--until-stdin-closes', ...args], {
    env: { ...process.env, ...ENV },
  })
  let said = ''
  const ended = new Promise((resolve) => {
    child.on('error', resolve)
    child.on('close', resolve)
  })
  const port = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the server did not start within ${START_MS} ms: ${said}`)), START_MS)
    const hear = (text) => {
      said = (said + text).slice(-20_000)
      const found = /^listening (\d+)$/m.exec(said)
      if (found) resolve(Number(found[1]))
    }
    child.stdout.setEncoding('utf8').on('data', hear)
    child.stderr.setEncoding('utf8').on('data', hear)
    ended.then(() => reject(new Error(`the server ended before it listened: ${said}`)))
    child.stdin.on('error', () => {})
    ended.finally(() => clearTimeout(timer))
  }).catch((error) => {
    child.kill('SIGKILL')
    throw error
  })
  const stop = async () => {
    child.stdin.end()
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
    await ended
    clearTimeout(timer)
  }
  return { host: '127.0.0.1', port, address: `127.0.0.1:${port}`, pid: child.pid, stop, output: () => said }
}

/** Has the client do these exchanges with the service at `address`, one after another; their results. See peers/python/client.py. */
export async function pythonExchanges(address, steps, { args = [], timeoutMs } = {}) {
  const script = [path.join(PEERS, 'client.py'), address, ...args]
  const out = await run(await python(), script, { input: JSON.stringify(steps), timeoutMs, env: ENV })
  return JSON.parse(out)
}
