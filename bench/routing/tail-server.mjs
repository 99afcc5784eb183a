// A service whose node `Tail` answers each request with the request itself: most after about `bodyMs`, a few after `tailMs`. Which ones is up
// to chance, for each request anew, so a second request for the same item has the same odds. Timers are this process's own.
//
//   node bench/routing/tail-server.mjs '{"tailPercent":2,"bodyMs":5,"tailMs":200,"seed":1}'
//
// It says `listening HOST:PORT` once it answers. The node `Count` answers how many requests there were since it was last asked, and how many of
// them were slow.

import { RemoteProcessingService } from '@remotemedia/wasmedge'
import { randomOf } from './lib/audio.mjs'

const { tailPercent = 2, bodyMs = 5, tailMs = 200, seed = 1 } = JSON.parse(process.argv[2] ?? '{}')
const random = randomOf(seed)
const counts = { requests: 0, slow: 0 }

const service = new RemoteProcessingService({ port: 0, limits: { maxConcurrentCalls: 4_096 } })
  .register('Tail', async ({ data }, { signal }) => {
    counts.requests += 1
    const slow = random() * 100 < tailPercent
    counts.slow += slow ? 1 : 0
    // The body: from 0.7 to 1.3 of its middle.
    const ms = slow ? tailMs : bodyMs * (0.7 + 0.6 * random())
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
    })
    return { data }
  })
  .register('Count', () => {
    const told = { ...counts }
    Object.assign(counts, { requests: 0, slow: 0 })
    return { data: told }
  })
const { host, port } = await service.listen()
console.log(`listening ${host}:${port}`)
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => service.close())
