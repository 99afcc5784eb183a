// What the addon must leave alone in its process: V8's traps, exits, signals, crashes, workers and the standard output.
// Everything here runs in processes of its own.

import { cpSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { run, start } from './support/child.mjs'
import { ROOT } from './support/index.mjs'

/** Guests that never end on their own, in every mode; resolves when all of them run. */
const SPINNING = `
const spinning = []
for (const mode of ['aot', 'jit', 'interpreter']) {
  const node = new WasmEdgeNode(fixture('spin'), { mode })
  await node.initialize()
  spinning.push(node)
}
for (const node of spinning) {
  node.call('x').catch(() => {})
  node.process(['x']).next().catch(() => {})
}
await until(() => spinning.filter((node) => node.metrics().items > 0).length >= Math.min(2, rm.runtimeInfo().parallelism))
`

/** A program in a worker_threads worker; it has what the main program has. */
const WORKER = `
const worker = (body, options) => new Worker(
  "const { parentPort, workerData } = require('node:worker_threads'); const rm = require(workerData.api); const { WasmEdgeNode } = rm;" +
  "const path = require('node:path'); const assert = require('node:assert/strict');" +
  "const guest = (name) => path.join(workerData.dist, name + '.wasm'); const fixture = (name) => guest('fixtures/' + name);" +
  "const codeOf = (promise) => promise.then(() => 'ok', (error) => error.code ?? String(error));" +
  "(async () => {" + body + "})().catch((error) => { setImmediate(() => { throw error }) })",
  { eval: true, execArgv: [], workerData: { api: require.resolve('./js/index.js'), dist: path.dirname(guest('x')) }, ...options })
const ended = (one) => new Promise((resolve, reject) => { one.on('error', reject); one.on('exit', resolve) })
`

describe('V8’s own traps', () => {
  const traps = (mode) => `
    const trapping = ['oob', 'div_zero', 'unreachable', 'recurse', 'recurse_grow', 'recurse_host', 'int_overflow']
      .map((name) => new WasmEdgeNode(fixture(name), { mode: '${mode}' }))
    const good = new WasmEdgeNode(fixture('leaky_state'), { mode: '${mode}' })
    const overflow = () => overflow() + 1`

  // Only compiled code traps by signals; the others need longer for each new instance or deep recursion, and so do fewer rounds.
  test.each([
    ['aot', 200],
    ['jit', 20],
    ['interpreter', 20],
  ])('stay catchable before, between, during and after our calls (%s)', async (mode, rounds) => {
    const [tally] = await run(`
      let v8Count = v8Traps()
      ${traps(mode)}
      let guests = 0
      for (let round = 0; round < ${rounds}; round += 1) {
        const calls = trapping.map((node) => node.call('x', { sessionId: 's' }))
        v8Count += v8Traps()
        assert.throws(overflow, RangeError)
        for (const end of await Promise.allSettled(calls)) {
          assert.equal(end.reason.code, 'ERR_WASM_TRAP')
          guests += 1
        }
        assert.equal((await good.call('x', { sessionId: 's' }))[0].data.readUInt32LE(0), round + 1)
        v8Count += v8Traps()
      }
      await Promise.all([...trapping, good].map((node) => node.cleanup()))
      v8Count += v8Traps()
      say({ v8Count, guests, intact: rm.runtimeInfo().signalHandlersIntact })`)
    expect(tally).toMatchObject({ v8Count: 3 * (2 + rounds * 2), guests: rounds * 7 })
    if (mode !== 'interpreter') expect(tally.intact).toBe(true)
  })

  test('thousands, while guests compute and are stopped at the same time', async () => {
    const [tally] = await run(`
      const nodes = ['aot', 'jit', 'interpreter'].map((mode) => new WasmEdgeNode(fixture('spin'), { mode, timeoutMs: 2 }))
      const codes = {}
      let busy = true
      const stopped = async (node) => {
        while (busy) {
          const code = await codeOf(node.call('x'))
          codes[code] = (codes[code] ?? 0) + 1
        }
      }
      const work = [...nodes, ...nodes].map(stopped)
      let count = 0
      for (let round = 0; round < 3000; round += 1) {
        count += v8Traps()
        if (round % 50 === 0) await new Promise(setImmediate)
      }
      await until(() => codes.ERR_WASM_TIMEOUT > 50)
      busy = false
      await Promise.all(work)
      say({ count, codes: Object.keys(codes) })`)
    expect(tally).toEqual({ count: 9000, codes: ['ERR_WASM_TIMEOUT'] })
  })

  test('in workers, while all of them and the main thread use guests', async () => {
    const answers = await run(`
      ${WORKER}
      const body = \`
        const v8 = new WebAssembly.Instance(new WebAssembly.Module(workerData.v8)).exports
        const nodes = ['oob', 'recurse', 'unreachable'].map((name) => new WasmEdgeNode(fixture(name), { mode: 'aot' }))
        let count = 0
        for (let round = 0; round < 300; round += 1) {
          const calls = nodes.map((node) => node.call('x', { sessionId: 's' }))
          for (const name of ['oob', 'div', 'unr']) {
            assert.throws(v8[name], WebAssembly.RuntimeError)
            count += 1
          }
          for (const end of await Promise.allSettled(calls)) assert.equal(end.reason.code, 'ERR_WASM_TRAP')
        }
        parentPort.postMessage(count)\`
      const data = { api: require.resolve('./js/index.js'), dist: path.dirname(guest('x')), v8: v8Bytes }
      const workers = [1, 2, 3].map(() => worker(body, { workerData: data }))
      for (const one of workers) one.on('message', say)
      const mine = new WasmEdgeNode(fixture('oob'))
      for (let round = 0; round < 200; round += 1) {
        assert.equal(await codeOf(mine.call('x')), 'ERR_WASM_TRAP')
        v8Traps()
      }
      for (const code of await Promise.all(workers.map(ended))) assert.equal(code, 0)
      v8Traps()`)
    expect(answers).toEqual([900, 900, 900])
  })

  test('still work in a process that loads the addon after V8 has trapped, and in one that never uses it', async () => {
    expect(await run('v8Traps(); await new WasmEdgeNode(guest("echo"), { mode: "aot" }).call("x"); say(v8Traps())')).toEqual([3])
    expect(await run('say(v8Traps())')).toEqual([3])
  })
})

describe('the end of the process', () => {
  test('natural, with nodes that are idle and were never cleaned up', async () => {
    const { code, timedOut } = await start(`
      const nodes = ['aot', 'jit', 'interpreter', 'auto'].map((mode) => new WasmEdgeNode(guest('echo'), { mode, pool: { min: 1 } }))
      for (const node of nodes) await node.call('x', { sessionId: 's' })
      globalThis.keep = nodes`).exit
    expect({ code, timedOut }).toEqual({ code: 0, timedOut: false })
  })

  test('natural, with a host function that has been used', async () => {
    const { code, timedOut } = await start(`
      const node = new WasmEdgeNode(fixture('call_host'), { hostFunctions: { double: async (data) => data } })
      await node.call('x', { sessionId: 's' })`).exit
    expect({ code, timedOut }).toEqual({ code: 0, timedOut: false })
  })

  test('natural, when the last call’s answer is the last thing to do', async () => {
    const end = await start(`
      const node = new WasmEdgeNode(guest('echo'))
      node.call('last').then(([packet]) => process.stdout.write(packet.data.toString()))`).exit
    expect(end).toMatchObject({ code: 0, stdout: 'last', stderr: '' })
  })

  test('natural, with a stream that waits for its source for ever: nothing keeps the process', async () => {
    const { code, timedOut } = await start(`
      const node = new WasmEdgeNode(guest('echo'))
      node.process((async function* () { yield 'x'; await new Promise(() => {}) })()).next().then(() => {})`).exit
    expect({ code, timedOut }).toEqual({ code: 0, timedOut: false })
  })

  test.each([0, 7])('process.exit(%i) with guests that spin', async (code) => {
    const end = await start(`${SPINNING} process.exit(${code})`).exit
    expect(end).toMatchObject({ code, signal: null, timedOut: false, stdout: '' })
  })

  test('process.exit while modules load and compile', async () => {
    const end = await start(`
      const bytes = require('node:fs').readFileSync(guest('gain'))
      for (let i = 0; i < 3; i += 1) {
        const fresh = Buffer.concat([bytes, Buffer.from([0, 18, 1, 110]), require('node:crypto').randomBytes(16)])
        new WasmEdgeNode(fresh, { mode: 'aot' }).call('x').catch(() => {})
      }
      setTimeout(() => process.exit(3), 20)`).exit
    expect(end).toMatchObject({ code: 3, timedOut: false })
  })

  test.each(['aot', 'jit', 'interpreter'])('process.exit at any moment of many calls (%s)', { timeout: 60_000 }, async (mode) => {
    // Where the threads are when the end comes is chance, so it comes ten times, each a little later.
    for (let round = 0; round < 10; round += 1) {
      const end = await start(`
        const nodes = ['leaky_state', 'unreachable', 'spin'].map((name) => new WasmEdgeNode(fixture(name), { mode: '${mode}', timeoutMs: 3, pool: { min: 1 } }))
        for (const node of nodes) await node.initialize()
        const forever = async (node) => { for (;;) { await codeOf(node.call('x')); await new Promise(setImmediate) } }
        for (const node of [...nodes, ...nodes]) forever(node)
        setTimeout(() => process.exit(6), ${10 + 3 * round})`).exit
      expect(end).toMatchObject({ code: 6, signal: null, timedOut: false })
    }
  })

  test('process.exit inside a host function, with the guest waiting for it', async () => {
    const end = await start(`
      const node = new WasmEdgeNode(fixture('call_host'), { hostFunctions: { double: () => process.exit(5) } })
      await node.call('x')`).exit
    expect(end).toMatchObject({ code: 5, timedOut: false })
  })

  test('an uncaught exception: code 1', async () => {
    const end = await start(`${SPINNING} setImmediate(() => { throw new Error('mine') })`).exit
    expect(end).toMatchObject({ code: 1, signal: null, timedOut: false })
    expect(end.stderr).toContain('Error: mine')
  })

  test('an unhandled rejection of ours: code 1, and the error is shown', async () => {
    const end = await start(`new WasmEdgeNode(fixture('unreachable')).call('x')`).exit
    expect(end).toMatchObject({ code: 1, timedOut: false, stdout: '' })
    expect(end.stderr).toContain('ERR_WASM_TRAP')
  })

  test.each([
    ['SIGTERM', 'SIGTERM'],
    ['SIGINT', 'SIGINT'],
    ['SIGSEGV', 'SIGSEGV'],
    ['SIGABRT', 'SIGABRT'],
    ['SIGFPE', 'SIGFPE'],
    ['SIGBUS', 'SIGBUS'],
  ])('%s from outside kills as ever, with guests that spin', async (sent, seen) => {
    const { child, said, exit } = start(`${SPINNING} say('ready'); setInterval(() => {}, 1000)`)
    await said('ready')
    child.kill(sent)
    expect(await exit).toMatchObject({ signal: seen, code: null, timedOut: false })
  })

  test('a SIGTERM listener of the application is called', async () => {
    const { child, said, exit } = start(
      `${SPINNING} process.on('SIGTERM', () => process.exit(9)); say('ready'); setInterval(() => {}, 1000)`,
    )
    await said('ready')
    child.kill('SIGTERM')
    expect(await exit).toMatchObject({ code: 9, timedOut: false })
  })

  test('SIGURG, which we use ourselves, is harmless from outside', async () => {
    const { child, said, exit } = start(`
      const node = new WasmEdgeNode(guest('echo'), { mode: 'aot' })
      await node.call('x')
      say('ready')
      process.stdin.once('data', async () => {
        await node.call('x')
        v8Traps()
        process.exit(0)
      })`)
    await said('ready')
    for (let i = 0; i < 50; i += 1) child.kill('SIGURG')
    child.stdin.write('go\n')
    expect(await exit).toMatchObject({ code: 0, timedOut: false })
  })

  test('process.abort: SIGABRT', async () => {
    expect(await start(`${SPINNING} process.abort()`).exit).toMatchObject({ signal: 'SIGABRT', timedOut: false })
  })

  test('a crash in native code of the main thread is still a crash', async () => {
    const { signal, timedOut } = await start(`${SPINNING} process.kill(process.pid, 'SIGSEGV'); setInterval(() => {}, 1000)`).exit
    expect({ signal, timedOut }).toEqual({ signal: 'SIGSEGV', timedOut: false })
  })

  test('child processes start with signals as usual', async () => {
    const [answer] = await run(`
      await new WasmEdgeNode(guest('echo'), { mode: 'aot' }).call('x')
      const { spawnSync } = require('node:child_process')
      say(['SEGV', 'TERM', 'URG', 'TRAP', 'FPE'].map((name) => spawnSync('sh', ['-c', 'kill -' + name + ' $$; sleep 0; echo lives']).signal))`)
    expect(answer).toEqual(['SIGSEGV', 'SIGTERM', null, 'SIGTRAP', 'SIGFPE'])
  })
})

describe('workers', () => {
  test('terminate with calls, streams and host functions in flight', async () => {
    const [rounds] = await run(`
      ${WORKER}
      let rounds = 0
      for (let i = 0; i < 8; i += 1) {
        const one = worker(\`
          let entered
          const waiting = new Promise((resolve) => { entered = resolve })
          const host = new WasmEdgeNode(fixture('call_host'), { hostFunctions: { double: () => { entered(); return new Promise(() => {}) } } })
          host.call('x').catch(() => {})
          await waiting
          const spin = ['aot', 'jit', 'interpreter'].map((mode) => new WasmEdgeNode(fixture('spin'), { mode }))
          for (const node of spin) await node.initialize()
          for (const node of spin) { node.call('x').catch(() => {}); node.process(['x']).next().catch(() => {}) }
          parentPort.postMessage('running')
          setInterval(() => {}, 1000)\`)
        const done = ended(one)
        await new Promise((resolve) => one.once('message', resolve))
        await one.terminate()
        await done
        rounds += 1
        v8Traps()
      }
      const node = new WasmEdgeNode(guest('echo'))
      assert.equal((await node.call('after'))[0].data.toString(), 'after')
      say(rounds)`)
    expect(rounds).toBe(8)
  })

  test('a terminated worker’s guests do not keep the threads', async () => {
    const [codes] = await run(`
      ${WORKER}
      const one = worker(\`
        for (let i = 0; i < 16; i += 1) new WasmEdgeNode(fixture('spin')).call('x').catch(() => {})
        parentPort.postMessage('running')
        setInterval(() => {}, 1000)\`)
      await new Promise((resolve) => one.once('message', resolve))
      await one.terminate()
      const node = new WasmEdgeNode(guest('echo'), { timeoutMs: 10000 })
      say(await codeOf(node.call('after')))`)
    expect(codes).toBe('ok')
  })

  test('a worker that ends by itself, or with an error, with nodes open', async () => {
    const ends = await run(`
      ${WORKER}
      const open = "const node = new WasmEdgeNode(guest('echo')); await node.call('x', { sessionId: 's' });"
      say(await ended(worker(open)))
      say(await ended(worker(open + 'process.exit(4)')))
      say(await ended(worker(open + 'throw new Error("mine")')).catch((error) => error.message))
      v8Traps()`)
    expect(ends).toEqual([0, 4, 'mine'])
  })

  test('several at once, each with nodes of its own', async () => {
    const answers = await run(`
      ${WORKER}
      const body = \`
        const node = new WasmEdgeNode(fixture('leaky_state'))
        let last
        for await (const packet of node.process(Array(500).fill('x'))) last = packet.data.readUInt32LE(0)
        const error = await node.call(Symbol('x')).catch((reason) => reason)
        assert.ok(error instanceof rm.SerializationError)
        await node.cleanup()
        parentPort.postMessage(last)\`
      const workers = Array.from({ length: 6 }, () => worker(body))
      for (const one of workers) one.on('message', say)
      for (const code of await Promise.all(workers.map(ended))) assert.equal(code, 0)`)
    expect(answers).toEqual(Array(6).fill(500))
  })

  test('many, one after the other', async () => {
    const [count] = await run(`
      ${WORKER}
      let count = 0
      for (let i = 0; i < 25; i += 1) {
        const one = worker("await new WasmEdgeNode(guest('echo')).call('x'); parentPort.postMessage(1)")
        one.on('message', () => { count += 1 })
        assert.equal(await ended(one), 0)
      }
      say(count)`)
    expect(count).toBe(25)
  })

  test('process.exit in the main thread while workers are at work', async () => {
    const end = await start(`
      ${WORKER}
      const workers = [1, 2].map(() => worker("parentPort.postMessage(0); const node = new WasmEdgeNode(fixture('spin')); for (;;) await codeOf(node.call('x', { timeoutMs: 5 }))"))
      await Promise.all(workers.map((one) => new Promise((resolve) => one.once('message', resolve))))
      setTimeout(() => process.exit(6), 50)`).exit
    expect(end).toMatchObject({ code: 6, timedOut: false })
  })
})

describe('output', () => {
  const NOISY = `
    for (const mode of ['aot', 'jit', 'interpreter']) {
      for (const name of ['oob', 'unreachable', 'recurse', 'neg_len_log', 'spin_log', 'wasi_probe', 'giant_output', 'unknown_import', 'locals_bomb', 'start_trap']) {
        const node = new WasmEdgeNode(fixture(name), { mode, timeoutMs: 200 })
        await codeOf(node.call('x', { sessionId: 'loud', timeoutMs: name === 'spin_log' ? 5 : 200 }))
        await node.cleanup()
      }
    }`

  test('nothing is printed when guests trap, log or are refused', async () => {
    expect(await start(NOISY).exit).toMatchObject({ code: 0, stdout: '', stderr: '' })
  })

  test('nothing is printed by the compiler', async () => {
    const end = await start(`
      const bytes = require('node:fs').readFileSync(fixture('many_emits'))
      const fresh = Buffer.concat([bytes, Buffer.from([0, 18, 1, 110]), require('node:crypto').randomBytes(16)])
      await rm.compileModule(fresh)`).exit
    expect(end).toMatchObject({ code: 0, stdout: '', stderr: '' })
  })

  test('RM_LOG shows the guest’s lines on standard error, with module and session', async () => {
    const end = await start(NOISY, { env: { RM_LOG: 'guest=trace' } }).exit
    expect(end).toMatchObject({ code: 0, stdout: '' })
    const lines = end.stderr.split('\n').filter((line) => line.includes('still alive'))
    expect(lines.length).toBeGreaterThan(2)
    expect(lines[0]).toContain('INFO')
    expect(lines[0]).toContain('spin_log')
    expect(lines[0]).toContain('loud')
    // Written through WASI, and without an end of line.
    expect(end.stderr.split('\n').filter((line) => line.includes('hello') && line.includes('wasi_probe'))).toHaveLength(3)
    // eslint-disable-next-line no-control-regex
    expect(end.stderr).not.toMatch(/\u001b/)
  })

  test('RM_LOG shows WasmEdge’s own lines there, too, when asked', async () => {
    const end = await start(NOISY, { env: { RM_LOG: 'debug' } }).exit
    expect(end).toMatchObject({ code: 0, stdout: '' })
    expect(end.stderr).toContain('wasmedge')
  })

  test('RM_LOG that is no filter is said so, and ignored', async () => {
    const end = await start(`assert.equal(await codeOf(new WasmEdgeNode(guest('echo')).call('x')), 'ok')`, { env: { RM_LOG: 'a=b=c=d' } })
      .exit
    expect(end).toMatchObject({ code: 0, stdout: '' })
    expect(end.stderr).toContain('RM_LOG')
  })
})

describe('more than one copy', () => {
  const elsewhere = (name) => {
    const place = path.join(ROOT, 'target/test-copies', `${name}-${process.pid}`)
    rmSync(place, { recursive: true, force: true })
    mkdirSync(path.join(place, 'js'), { recursive: true })
    cpSync(path.join(ROOT, 'js'), path.join(place, 'js'), { recursive: true })
    cpSync(path.join(ROOT, 'package.json'), path.join(place, 'package.json'))
    return place
  }

  test('of the package in one process: both work, together and with V8’s traps', async () => {
    const place = elsewhere('second')
    try {
      const [answer] = await run(`
        const other = require(${JSON.stringify(path.join(place, 'js/index.js'))})
        assert.notEqual(other.WasmEdgeNode, WasmEdgeNode)
        const nodes = [rm, other].flatMap((api) => ['aot', 'interpreter'].map((mode) => [api, new api.WasmEdgeNode(fixture('unreachable'), { mode }), new api.WasmEdgeNode(guest('echo'), { mode, outputKind: 'binary' })]))
        let count = 0
        for (let round = 0; round < 50; round += 1) {
          await Promise.all(nodes.map(async ([api, bad, good]) => {
            const error = await bad.call('x').then(() => undefined, (reason) => reason)
            assert.ok(error instanceof api.NodeError, String(error))
            assert.equal(error.code, 'ERR_WASM_TRAP')
            assert.equal((await good.call('y'))[0].data.toString(), 'y')
            count += 1
          }))
          v8Traps()
        }
        const slow = new other.WasmEdgeNode(fixture('spin'), { timeoutMs: 50 })
        assert.equal(await codeOf(slow.call('x')), 'ERR_WASM_TIMEOUT')
        v8Traps()
        say(count)`)
      expect(answer).toBe(200)
    } finally {
      rmSync(place, { recursive: true, force: true })
    }
  })

  test('of the JavaScript files over one addon: loading it again changes nothing for the first', async () => {
    expect(
      await run(`
        const first = new WasmEdgeNode(guest('echo'), { outputKind: 'text' })
        await first.call('x')
        const waiting = first.call('during')
        for (const key of Object.keys(require.cache)) if (key.endsWith('.js')) delete require.cache[key]
        const again = require('./js/index.js')
        const second = new again.WasmEdgeNode(guest('echo'), { outputKind: 'text' })
        say([(await waiting)[0].data, (await first.call('first'))[0].data, (await second.call('second'))[0].data])`),
    ).toEqual([['during', 'first', 'second']])
  })

  test('of processes: both use one cache at once', async () => {
    const cache = path.join(ROOT, 'target/test-copies', `cache-${process.pid}`)
    try {
      const program = `
        const answers = await Promise.all(['leaky_state', 'many_emits', 'uses_simd'].map((name) => codeOf(new WasmEdgeNode(fixture(name), { mode: 'aot' }).call('x'))))
        say(answers)`
      const ends = await Promise.all([1, 2, 3].map(() => run(program, { env: { RM_WASMEDGE_CACHE_DIR: cache } })))
      expect(ends).toEqual(Array(3).fill([['ok', 'ok', 'ok']]))
      // The engine's own little module is the fourth.
      expect(readdirSync(cache).filter((file) => file.endsWith('.aot.so'))).toHaveLength(4)
      expect(statSync(cache).mode & 0o777).toBe(0o700)
    } finally {
      rmSync(cache, { recursive: true, force: true })
    }
  })
})
