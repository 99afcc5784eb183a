// Memory over many cycles, in processes of their own. The bounds are loose: they catch what grows, not how much is used.

import { describe, expect, test } from 'vitest'
import { run } from './support/child.mjs'

const MEASURE = `
const settle = async () => { for (let i = 0; i < 4; i += 1) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 10)) } }
const rssMiB = async () => { await settle(); return process.memoryUsage().rss / 2 ** 20 }
const mappedGiB = () => Number(/VmSize:\\s+(\\d+)/.exec(require('node:fs').readFileSync('/proc/self/status', 'utf8'))[1]) / 2 ** 20
const threads = () => Number(/Threads:\\s+(\\d+)/.exec(require('node:fs').readFileSync('/proc/self/status', 'utf8'))[1])
const files = () => require('node:fs').readdirSync('/proc/self/fd').length
/** Growth over the rounds, after as many that fill caches, pools and the allocator's arenas. */
const growth = async (rounds, work) => {
  for (let i = 0; i < rounds; i += 1) await work(i)
  const before = { rss: await rssMiB(), mapped: mappedGiB(), threads: threads(), files: files() }
  for (let i = 0; i < rounds; i += 1) await work(i)
  say({ rss: await rssMiB() - before.rss, mapped: mappedGiB() - before.mapped, threads: threads() - before.threads, files: files() - before.files })
}
`
const linux = process.platform === 'linux'
const grown = async (program) => (await run(MEASURE + program, { flags: ['--expose-gc'], timeoutMs: 60_000 }))[0]

// What is measured is read from /proc.
describe.runIf(linux)('does not grow', { timeout: 70_000 }, () => {
  const flat = (growth, rss) => {
    expect(growth.rss).toBeLessThan(rss)
    expect(growth.mapped).toBeLessThan(16)
    expect(growth.threads).toBeLessThanOrEqual(4)
    expect(growth.files).toBeLessThanOrEqual(2)
  }

  test('over 2,000 nodes that are made, trapped and destroyed', async () => {
    flat(
      await grown(`
        await growth(1000, async () => {
          const node = new WasmEdgeNode(fixture('unreachable'), { mode: 'aot' })
          assert.equal(await codeOf(node.call('x', { sessionId: 's' })), 'ERR_WASM_TRAP')
          await node.cleanup()
        })`),
      12,
    )
  })

  test('over sessions that trap, overflow their stack, exceed their memory and run out of time', async () => {
    flat(
      await grown(`
        const nodes = ['aot', 'interpreter'].flatMap((mode) => ['unreachable', 'oob', 'recurse', 'grow_bomb', 'giant_output', 'spin']
          .map((name) => new WasmEdgeNode(fixture(name), { mode, timeoutMs: name === 'spin' ? 1 : 5000, memoryLimit: 4 << 20 })))
        await growth(100, async (i) => {
          for (const code of await Promise.all(nodes.map((node) => codeOf(node.call('x', { sessionId: 's' + i % 3 }))))) assert.match(code, /^ERR_/)
        })`),
      30,
    )
  })

  test('over 100,000 calls', async () => {
    flat(
      await grown(`
        const node = new WasmEdgeNode(guest('echo'), { mode: 'aot' })
        const data = Buffer.alloc(640, 200)
        await growth(500, async () => {
          await Promise.all(Array.from({ length: 100 }, () => node.call(data, { sessionId: 's', metadata: { some: 'thing' } })))
        })`),
      25,
    )
  })

  test('over streams that are left early, and anonymous sessions', async () => {
    flat(
      await grown(`
        const node = new WasmEdgeNode(guest('echo'), { mode: 'aot' })
        const data = Buffer.alloc(64_000, 200)
        await growth(1500, async () => {
          const controller = new AbortController()
          for await (const packet of node.process(function* () { for (;;) yield data }(), { signal: controller.signal })) break
          await node.call(data)
        })
        await until(() => node.metrics().instancesLive === 0)`),
      40,
    )
  })

  test('over host functions, sync and async, failing and not', async () => {
    flat(
      await grown(`
        let turn = 0
        const node = new WasmEdgeNode(fixture('call_host'), { mode: 'aot', hostFunctions: { double: (data) => {
          turn += 1
          if (turn % 3 === 0) throw new Error('no')
          return turn % 3 === 1 ? data : Promise.resolve(data)
        } } })
        await growth(300, async () => {
          await Promise.all(Array.from({ length: 100 }, (_, i) => codeOf(node.call('x', { sessionId: 's' + i % 10 }))))
        })`),
      25,
    )
  })

  test('over modules that are refused', async () => {
    flat(
      await grown(`
        const bytes = require('node:fs').readFileSync(guest('thumbnail'))
        await growth(60, async (i) => {
          const bad = Buffer.from(bytes)
          bad[1000 + i] ^= 0xff
          const node = new WasmEdgeNode(bad.subarray(0, bad.length - 1 - i), { mode: 'interpreter' })
          assert.match(await codeOf(node.initialize()), /^ERR_/)
          await node.cleanup()
        })`),
      25,
    )
  })

  test('over nodes that are forgotten without cleanup', async () => {
    flat(
      await grown(`
        await growth(400, async (i) => {
          const node = new WasmEdgeNode(fixture('leaky_state'), { mode: 'aot', config: { text: 'x'.repeat(100_000) + i } })
          await node.call('x', { sessionId: 's' })
          if (i % 20 === 0) await settle()
        })`),
      25,
    )
  })
})

// Address space for a thousand guests and what /proc says of memory are Linux.
test.runIf(linux)('1,000 idle sessions of a voice detector stay far under a megabyte each', { timeout: 70_000 }, async () => {
  const [{ perSession, live }] = await run(
    `${MEASURE}
    const node = new WasmEdgeNode(guest('vad'), { mode: 'aot' })
    const frame = { samples: new Float32Array(256), sampleRate: 16000 }
    await node.call(frame, { sessionId: 'first' })
    const before = await rssMiB()
    for (let i = 0; i < 1000; i += 1) await node.call(frame, { sessionId: 's' + i })
    say({ perSession: (await rssMiB() - before) / 1000, live: node.metrics().instancesLive })`,
    { flags: ['--expose-gc'], timeoutMs: 60_000 },
  )
  expect(live).toBe(1001)
  expect(perSession).toBeLessThan(0.5)
})
