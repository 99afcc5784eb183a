// Problem: a program that wants to show the cloud needs one, and must not leave it behind, however the program ends.
// Answer: `startServer` runs server.mjs as another process on a free port and resolves once it answers. `stop` ends it and waits for that.
// The process is in a group of its own, so that Ctrl-C in a terminal reaches its owner only, which may still need it; and a channel joins
// the two, so that it ends by itself when its owner is gone. It does not start it again.

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const SERVER = fileURLToPath(new URL('server.mjs', import.meta.url))
/** What the service gets to finish its calls before it is ended. */
const GRACE_MS = 5_000

/** Why it ended it has said on standard error. */
class ServiceEnded extends Error {
  code = 'ERR_UNAVAILABLE'
}

/** The service: `{ port, pid, stop() }`. */
export async function startServer() {
  const child = fork(SERVER, ['--port', '0'], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'], detached: true })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const gone = new Promise((resolve) => {
    child.once('error', resolve)
    child.once('exit', (code, signal) => resolve(new ServiceEnded(`the cloud service ended with ${signal ?? `exit code ${code}`}`)))
  }).finally(() => process.off('exit', kill))
  const listening = new Promise((resolve) => {
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      said += text
      const found = /listening .*:(\d+)\n/.exec(said)
      if (found) resolve(Number(found[1]))
    })
  })
  const port = await Promise.race([listening, gone])
  if (port instanceof Error) throw port
  return {
    port,
    pid: child.pid,
    async stop() {
      child.kill('SIGTERM')
      const timer = setTimeout(kill, GRACE_MS)
      await gone
      clearTimeout(timer)
    },
  }
}
