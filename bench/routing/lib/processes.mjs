// The processes around the measured one: the service that the examples have, one with a heavy tail, and the network in front of them. All end
// with this process.

import { fork, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const SERVICE = fileURLToPath(new URL('../../../examples/cloud/server.mjs', import.meta.url))
const TAIL = fileURLToPath(new URL('../tail-server.mjs', import.meta.url))
const PROXY = fileURLToPath(new URL('../proxy.mjs', import.meta.url))
const START_MS = 20_000

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts a program that says `listening HOST:PORT`; `kill` is SIGKILL and resolves when it is gone. */
function start(program, args) {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  running.add(child)
  const gone = new Promise((resolve) => child.on('exit', resolve))
  gone.then(() => running.delete(child))
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${program} did not start within ${START_MS} ms`)), START_MS)
    gone.then((code) => reject(new Error(`${program} ended with ${code}`)))
    child.stdout.setEncoding('utf8').on('data', (text) => {
      const found = /listening .*:(\d+)/.exec(text)
      if (!found) return
      clearTimeout(timer)
      const kill = () => {
        child.kill('SIGKILL')
        return gone
      }
      resolve({ port: Number(found[1]), kill })
    })
  })
}

/** The service of examples/cloud: Silero VAD on ONNX Runtime. */
export const startService = (port = 0) => start(SERVICE, ['--port', String(port)])

/** The service with a heavy tail, see tail-server.mjs. */
export const startTail = (options = {}) => start(TAIL, [JSON.stringify(options)])

/** The network in front of a port: `set` tells what it is like from now on. */
export function startProxy(port, network = {}) {
  const child = fork(PROXY, ['127.0.0.1', String(port)])
  running.add(child)
  const waiting = new Map()
  let last = 0
  const set = (wish) =>
    new Promise((resolve) => {
      waiting.set(++last, resolve)
      child.send({ id: last, wish })
    })
  const stop = () =>
    new Promise((resolve) => {
      child.on('exit', resolve)
      child.kill('SIGKILL')
      running.delete(child)
    })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('message', async (message) => {
      if (message.id) {
        waiting.get(message.id)?.()
        waiting.delete(message.id)
      } else {
        await set(network)
        resolve({ port: message.port, set, stop })
      }
    })
  })
}
