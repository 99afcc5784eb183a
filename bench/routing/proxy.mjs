// Problem: a loopback connection is never slow, refused or dead, and timers in the measured process would be late whenever it is busy.
// Answer: a TCP proxy in a process of its own, forked by lib/processes.mjs, which tells it over IPC what the network is like:
//
//   { delayMs, jitterMs }     each way, from now on; order is kept, timers are right to a millisecond
//   { mode: 'pass' }          bytes go through; those that waited go first
//   { mode: 'refuse' }        connections are reset, new ones refused
//   { mode: 'blackhole' }     connections stay and new ones are taken, but nothing comes through
//   { drop: true }            connections are reset, new ones are not
//
//   node bench/routing/proxy.mjs HOST PORT     by itself: passes on to HOST:PORT, prints its own port

import net from 'node:net'

const [host, port] = [process.argv[2] ?? '127.0.0.1', Number(process.argv[3])]
const network = { delayMs: 0, jitterMs: 0, mode: 'pass' }
/** Both directions of all connections. */
const lines = new Set()
const sockets = new Set()

/** One direction of a connection: what is under way, in order. */
class Line {
  #waiting = []
  #last = 0
  #timer

  constructor(from, to) {
    this.to = to
    from.on('data', (bytes) => this.#send(bytes))
    from.on('end', () => this.#send(null))
    lines.add(this)
  }

  /** Null is the end of what is sent. */
  #send(bytes) {
    const jitter = network.jitterMs * (2 * Math.random() - 1)
    this.#last = Math.max(this.#last, performance.now() + Math.max(0, network.delayMs + jitter))
    this.#waiting.push({ due: this.#last, bytes })
    this.move()
  }

  /** Delivers what is due, and comes back for the rest. */
  move() {
    clearTimeout(this.#timer)
    if (network.mode !== 'pass') return
    while (this.#waiting.length > 0) {
      const left = this.#waiting[0].due - performance.now()
      if (left > 0.2) {
        this.#timer = setTimeout(() => this.move(), left)
        return
      }
      const { bytes } = this.#waiting.shift()
      if (!this.to.writable) continue
      if (bytes) this.to.write(bytes)
      else this.to.end()
    }
  }

  close() {
    clearTimeout(this.#timer)
    lines.delete(this)
  }
}

const server = net.createServer({ allowHalfOpen: true }, (near) => {
  const far = net.connect({ host, port, allowHalfOpen: true })
  const pair = [new Line(near, far), new Line(far, near)]
  for (const [socket, other] of [
    [near, far],
    [far, near],
  ]) {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      for (const line of pair) line.close()
      // A dead network does not tell that the other end is gone; what comes later finds out.
      if (network.mode === 'blackhole') held.push(other)
      else other.destroy()
    })
  }
})
/** Sockets whose other end is gone, while nobody may know. */
let held = []

function resetAll() {
  for (const socket of sockets) socket.resetAndDestroy()
}

const listen = (at) => new Promise((resolve, reject) => server.listen(at, '127.0.0.1', resolve).once('error', reject))

async function become(wish) {
  const { drop, ...rest } = wish
  const before = network.mode
  Object.assign(network, rest)
  if (drop) resetAll()
  if (network.mode === before) return
  if (network.mode === 'refuse') {
    server.close()
    resetAll()
  } else if (before === 'refuse') {
    await listen(own)
  }
  if (network.mode === 'pass') for (const line of lines) line.move()
  if (network.mode !== 'blackhole') {
    for (const socket of held) socket.destroy()
    held = []
  }
}

await listen(0)
const own = server.address().port
if (process.send) {
  process.send({ port: own })
  process.on('message', async ({ id, wish }) => {
    await become(wish)
    process.send({ id })
  })
  process.on('disconnect', () => process.exit())
} else {
  console.log(own)
}
