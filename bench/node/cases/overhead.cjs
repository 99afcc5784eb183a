'use strict'
// What observing costs: frames of 16 ms through `vad`, one stream, as fast as they go, with everything off and on, in one process by turns.
// Parameters: rounds, frames (of one turn).
//
//   off      nothing is asked for
//   metrics  read as Prometheus text ten times a second: a monitoring system reads every ten seconds
//   on       traces and metrics to a collector, defaults: at most 1,000 traces a second; metrics every second instead of every minute
//   every    the same with a trace for each item, which is two spans
//
// Each turn of `on` is compared with the turns of `off` before and after it, so that a machine that becomes slower or faster does not count.
// The collector is another process and takes what it is given; it has a share of the same processors, which a collector elsewhere has not.

const { spawn } = require('node:child_process')
const { readFileSync } = require('node:fs')
const paths = require('../lib/paths.cjs')
const { params, report, run } = require('../lib/measure.cjs')

const FRAME = 256
const SINK = `require('node:http').createServer((request, response) => {
  request.on('data', () => {}).on('end', () => response.end())
}).listen(0, '127.0.0.1', function () { console.log(this.address().port) })`

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1]

run(async () => {
  const { WasmEdgeNode, configureTracing, prometheusMetrics, shutdownTracing } = require(paths.root)
  const sink = spawn(process.execPath, ['-e', SINK], { stdio: ['ignore', 'pipe', 'inherit'] })
  const otlpEndpoint = `http://127.0.0.1:${String(await new Promise((resolve) => sink.stdout.once('data', resolve))).trim()}`
  const audio = readFileSync(paths.audio)
  const samples = new Float32Array(audio.buffer, audio.byteOffset, audio.length / 4)
  const frames = []
  for (let at = 0; at + FRAME <= samples.length; at += FRAME) frames.push({ samples: samples.subarray(at, at + FRAME), sampleRate: 16_000 })
  const node = new WasmEdgeNode(paths.guest('vad'), { mode: 'aot' })

  async function turn() {
    function* source() {
      for (let count = 0; count < params.frames; count++) yield frames[count % frames.length]
    }
    const [began, cpu] = [performance.now(), process.cpuUsage()]
    for await (const _ of node.process(source(), { sessionId: 'bench' }));
    const { user, system } = process.cpuUsage(cpu)
    return { perSecond: params.frames / ((performance.now() - began) / 1000), cpuUs: (user + system) / params.frames }
  }

  const begin = {
    metrics: () => {
      const timer = setInterval(prometheusMetrics, 100)
      return () => clearInterval(timer)
    },
    on: () => {
      configureTracing({ otlpEndpoint, metricsIntervalMs: 1_000 })
      return shutdownTracing
    },
    every: () => {
      configureTracing({ otlpEndpoint, metricsIntervalMs: 1_000, maxTracesPerSecond: 1e6 })
      return shutdownTracing
    },
  }
  await turn()
  const turns = { off: [], metrics: [], on: [], every: [] }
  const lost = { metrics: [], on: [], every: [] }
  let before = await turn()
  turns.off.push(before)
  for (let round = 0; round < params.rounds; round++) {
    for (const [name, start] of Object.entries(begin)) {
      const end = start()
      const measured = await turn()
      await end()
      const after = await turn()
      turns[name].push(measured)
      turns.off.push(after)
      lost[name].push(1 - (2 * measured.perSecond) / (before.perSecond + after.perSecond))
      before = after
    }
  }
  sink.kill()
  const result = {}
  for (const [name, list] of Object.entries(turns)) {
    result[`${name}PerSecond`] = median(list.map(({ perSecond }) => perSecond))
    result[`${name}CpuUs`] = median(list.map(({ cpuUs }) => cpuUs))
    if (lost[name]) result[`${name}LostPercent`] = median(lost[name]) * 100
  }
  report(result)
})
