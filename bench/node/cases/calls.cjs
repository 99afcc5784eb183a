'use strict'
// The way of one payload from JavaScript through a guest and back. Parameters: variant, size, inFlight, warmMs, measureMs.
//
// For what works on the main thread itself (v8-main, extism-in-process) "in flight N" is N calls back to back, then one turn of the
// event loop, and a latency is that of one call. For all others N promises are outstanding, and a latency is the time from asking to
// having the answer, queues included. For streams (`process`) it is the time from an item's leaving the source to its packet's arrival.

const { readFileSync } = require('node:fs')
const paths = require('../lib/paths.cjs')
const { params, report, run, Latencies, Window, sleep } = require('../lib/measure.cjs')

const { variant, size, inFlight, warmMs, measureMs } = params
const THREADS = require('node:os').availableParallelism()

const data = Buffer.alloc(size)
for (let i = 0; i < size; i++) data[i] = (i * 7 + 3) & 0xff
const expected = data.reduce((sum, byte) => sum + byte, 0)

function check(bytes) {
  const sum = Number(Buffer.from(bytes.buffer, bytes.byteOffset, 8).readBigUInt64LE())
  if (sum !== expected) throw new Error(`wrong result: ${sum}, not ${expected}`)
}

const ours = (options) => {
  const { WasmEdgeNode } = require(paths.root)
  return new WasmEdgeNode(paths.guest('bytesum'), { mode: 'aot', outputKind: 'binary', ...options })
}

/** A function that takes the bytes and returns a promise of the eight bytes. */
const CALLS = {
  async call() {
    const node = ours({ stateless: true })
    await node.initialize()
    return async () => (await node.call(data))[0].data
  },
  async 'call-64-sessions'() {
    const node = ours()
    const options = Array.from({ length: 64 }, (_, i) => ({ sessionId: `session-${i}` }))
    await Promise.all(options.map((one) => node.call(data, one)))
    let next = 0
    return async () => (await node.call(data, options[next++ & 63]))[0].data
  },
  async 'extism-worker'() {
    const { createPlugin } = require('@extism/extism')
    const wasm = readFileSync(paths.extismGuest)
    const make = () => createPlugin({ wasm: [{ data: wasm }] }, { useWasi: false, runInWorker: true })
    // A plugin does one call at a time, so two plugins stand in a queue; each keeps what it was given until it is reset.
    const free = await Promise.all(Array.from({ length: THREADS }, async () => ({ plugin: await make(), calls: 0 })))
    const waiting = []
    return async () => {
      const one = free.pop() ?? (await new Promise((resolve) => waiting.push(resolve)))
      const output = await one.plugin.call('bytesum', data)
      if (++one.calls % 256 === 0) await one.plugin.reset()
      const next = waiting.shift()
      if (next) next(one)
      else free.push(one)
      return output
    }
  },
  async piscina() {
    return pool(1)
  },
  async 'piscina-8-per-worker'() {
    return pool(8)
  },
}

function pool(concurrentTasksPerWorker) {
  const { Piscina } = require('piscina')
  const workers = new Piscina({
    filename: require.resolve('../lib/pool-worker.cjs'),
    minThreads: THREADS,
    maxThreads: THREADS,
    concurrentTasksPerWorker,
    workerData: { guest: paths.guest('bytesum'), config: {} },
  })
  return () => workers.run(data)
}

/** Functions that do the work at once, on the main thread. */
const SYNC = {
  async 'v8-main'() {
    const { V8Guest } = require('../lib/v8-guest.cjs')
    const guest = new V8Guest(paths.guest('bytesum'))
    return () => guest.process(data)[0].bytes
  },
}

/** As `SYNC`, but what they return is a promise of work that is done already. */
const IN_PROCESS = {
  async 'extism-in-process'() {
    const { createPlugin } = require('@extism/extism')
    const plugin = await createPlugin({ wasm: [{ data: readFileSync(paths.extismGuest) }] }, { useWasi: false })
    let calls = 0
    return async () => {
      const output = await plugin.call('bytesum', data)
      if (++calls % 256 === 0) await plugin.reset()
      return output
    }
  },
}

/** Drives `work` until told to stop; `state` holds what the measured part is. */
const drivers = {
  async calls(make, state) {
    const call = await make()
    check(await call())
    const lane = async () => {
      while (!state.stop) {
        const asked = performance.now()
        await call()
        if (state.measuring) state.latencies.add(performance.now() - asked)
      }
    }
    return Promise.all(Array.from({ length: inFlight }, lane))
  },
  async sync(make, state) {
    const call = await make()
    check(call())
    while (!state.stop) {
      for (let i = 0; i < inFlight; i++) {
        const asked = performance.now()
        call()
        if (state.measuring) state.latencies.add(performance.now() - asked)
      }
      await new Promise(setImmediate)
    }
  },
  async inProcess(make, state) {
    const call = await make()
    check(await call())
    while (!state.stop) {
      for (let i = 0; i < inFlight; i++) {
        const asked = performance.now()
        await call()
        if (state.measuring) state.latencies.add(performance.now() - asked)
      }
      await new Promise(setImmediate)
    }
  },
  /** `inFlight` streams; each reads ahead on its own account. */
  async streams(options, state) {
    const node = ours(options)
    await node.initialize()
    const stream = async () => {
      const asked = []
      let head = 0
      const source = function* () {
        while (!state.stop) {
          asked.push(performance.now())
          yield data
        }
      }
      let first = true
      for await (const packet of node.process(source())) {
        if (first) check(packet.data)
        first = false
        if (state.measuring) state.latencies.add(performance.now() - asked[head])
        head++
        if (head === 4096) head = asked.splice(0, head).length - 4096
      }
    }
    return Promise.all(Array.from({ length: inFlight }, stream))
  },
}

run(async () => {
  const state = { stop: false, measuring: false, latencies: new Latencies() }
  let driving
  if (CALLS[variant]) driving = drivers.calls(CALLS[variant], state)
  else if (SYNC[variant]) driving = drivers.sync(SYNC[variant], state)
  else if (IN_PROCESS[variant]) driving = drivers.inProcess(IN_PROCESS[variant], state)
  else if (variant === 'process') driving = drivers.streams({}, state)
  else if (variant === 'process-stateless') driving = drivers.streams({ stateless: true }, state)
  else throw new Error(`no variant ${variant}`)
  driving.catch((error) => {
    console.error(error)
    process.exit(1)
  })
  await sleep(warmMs)
  const window = new Window()
  window.start()
  state.measuring = true
  await sleep(measureMs)
  state.measuring = false
  const { seconds, cpuSeconds, loopP99Ms } = window.stop()
  const { count } = state.latencies
  state.stop = true
  report({
    callsPerSecond: count / seconds,
    ...state.latencies.summary(),
    cpuSecondsPer10k: (cpuSeconds / count) * 10_000,
    loopP99Ms,
  })
})
