// A network between client and service, in a process of its own: every byte is delayed; connections are refused or nothing comes through on
// command. Commands come as lines on standard input: `delay MS`, `refuse`, `blackhole`, `pass`.
//
//   node proxy.mjs TARGET_PORT DELAY_MS

import net from 'node:net'
import { createInterface } from 'node:readline'

const [target, first] = process.argv.slice(2).map(Number)
let delay = first
let mode = 'pass'
const open = new Set()

function through(from, to) {
  // Bytes keep their order when the delay becomes shorter.
  let last = 0
  from.on('data', (data) => {
    if (mode === 'blackhole') return
    last = Math.max(last, performance.now() + delay)
    setTimeout(() => to.writable && to.write(data), last - performance.now())
  })
  from.on('close', () => setTimeout(() => to.destroy(), delay))
  from.on('error', () => {})
}
const server = net.createServer({ noDelay: true }, (near) => {
  if (mode === 'refuse') return near.destroy()
  const far = net.connect({ port: target, host: '127.0.0.1', noDelay: true })
  open.add(near)
  near.on('close', () => open.delete(near))
  through(near, far)
  through(far, near)
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
createInterface({ input: process.stdin }).on('line', (line) => {
  const [word, number] = line.split(' ')
  if (word === 'delay') delay = Number(number)
  else mode = word
  if (mode === 'refuse') for (const socket of open) socket.destroy()
})
