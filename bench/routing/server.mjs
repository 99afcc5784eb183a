// The cloud of the measurements, in a process of its own: an echo whose answers take a while, and a few of them very long.
//
//   node server.mjs PORT BODY_MS TAIL_MS TAIL_PERCENT

import { RemoteProcessingService } from '../../js/index.mjs'

const [port, body, tail, percent] = process.argv.slice(2).map(Number)
/** Repeatable: every run meets the same answers in the same order. */
let state = 12345
const random = () => {
  state = (state * 1103515245 + 12345) % 2147483648
  return state / 2147483648
}
const service = new RemoteProcessingService({ port }).register('Echo', async (packet) => {
  const ms = random() < percent / 100 ? tail : body * (0.8 + 0.4 * random())
  await new Promise((resolve) => setTimeout(resolve, ms))
  return packet.data
})
const { port: bound } = await service.listen()
process.stdout.write(`${bound}\n`)
