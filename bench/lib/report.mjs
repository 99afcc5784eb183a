// Results as tables. The README keeps the text around them; what is between its markers is written here and nowhere else.

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { CALLERS, CLIENTS, IN_FLIGHT, MESSAGES, RPCS, SIZES, STREAMS } from './plan.mjs'
import { ratio } from './stats.mjs'

const README = fileURLToPath(new URL('../README.md', import.meta.url))
const START = '<!-- results:start -->'
const END = '<!-- results:end -->'

const LABELS = {
  native: 'native code, `-O3`',
  'native-cpu': 'native code, `-O3 -C target-cpu=native`',
  aot: '**WasmEdge, `aot`**',
  jit: 'WasmEdge, `jit`',
  interpreter: 'WasmEdge, `interpreter`',
  v8: "V8's WebAssembly",
  call: '**ours, `call`, `stateless`**',
  'call-64-sessions': '**ours, `call`, 64 sessions**',
  process: '**ours, `process`**',
  'extism-in-process': 'Extism, main thread',
  'extism-worker': 'Extism, `runInWorker`, 2 plugins',
  'v8-main': "V8's WebAssembly, main thread",
  ours: '**ours**',
  'grpc-js': '@grpc/grpc-js',
  'nice-grpc': 'nice-grpc',
  piscina: 'V8 in piscina, defaults',
  'piscina-8-per-worker': 'V8 in piscina, 8 tasks per worker',
}

/** Three digits that matter, thousands apart. */
function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–'
  if (Math.abs(value) >= 1000) return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',')
  if (Math.abs(value) >= 100) return value.toFixed(0)
  return String(Number(value.toPrecision(3)))
}

const spread = (figure) => (figure ? `${number(figure.median)} (${number(figure.min)}–${number(figure.max)})` : '–')
const middle = (figure) => number(figure?.median)
const size = (bytes) => (bytes >= 1 << 20 ? `${bytes / (1 << 20)} MiB` : bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes} B`)

function table(head, rows, left = 1) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i < left ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

/** Every target with what was measured; `null` where this run did not. */
export function targets(cells) {
  const at = (id) => cells[id]
  const figure = (id, key) => at(id)?.summary[key]?.median ?? null
  const call = at('calls/640/call/64')
  const pools = ['piscina', 'piscina-8-per-worker'].map((variant) => at(`calls/640/${variant}/64`))
  const list = [
    [
      'vad-native',
      'vad, `aot` over native code: at most 1.3×',
      ratio('usPerFrame', at('vad/long/aot'), at('vad/long/native')),
      '×',
      (x) => x <= 1.3,
    ],
    ['vad-v8', 'vad, `aot` over V8: below 1×', ratio('usPerFrame', at('vad/long/aot'), at('vad/long/v8')), '×', (x) => x < 1],
    [
      'calls-extism',
      "calls a second, 640 B, 64 in flight: 10× Extism's worker",
      ratio('callsPerSecond', call, at('calls/640/extism-worker/64')),
      '×',
      (x) => x >= 10,
    ],
    ['calls-pool', 'the same: 3× the V8 pool at its best', ratio('callsPerSecond', call, pools), '×', (x) => x >= 3],
    ['start', 'cached start to the first result: under 20 ms', figure('start/cached/auto', 'firstMs'), ' ms', (x) => x < 20],
    ['memory', '1,000 idle sessions: under 500 MB', figure('memory/aot', 'deltaMb'), ' MB', (x) => x < 500],
    ...remoteTargets(cells),
    [
      'overhead',
      'metrics and traces, 16 ms frames of `vad`: under 3% of the throughput',
      figure('overhead/vad', 'onLostPercent'),
      '%',
      (x) => x < 3,
    ],
    ['loop', 'event-loop delay p99 under saturation: under 5 ms', figure('loop/ours', 'loopP99Ms'), ' ms', (x) => x < 5],
  ]
  return list.map(([id, text, measured, unit, holds]) => ({ id, text, measured, unit, met: measured === null ? null : holds(measured) }))
}

/** At 64 in flight, against grpc-js with the same windows. */
function remoteTargets(cells) {
  const both = (rpc, bytes) => [cells[`remote/${rpc}/${bytes}/ours/64`], cells[`remote/${rpc}/${bytes}/grpc-js/64`]]
  const faster = (id, text, rpc, bytes, times) => [
    id,
    `${text}: ${times}× the calls a second of grpc-js`,
    ratio('callsPerSecond', ...both(rpc, bytes)),
    '×',
    (x) => x >= times,
  ]
  return [
    faster('unary', 'gRPC, 100 B', 'unary', 100, 2),
    ['unary-cpu', 'the same: a third of its CPU per call', ratio('cpuSecondsPer10k', ...both('unary', 100)), '×', (x) => x <= 1 / 3],
    faster('stream', 'gRPC stream, 100 B', 'stream', 100, 3),
    faster('unary-64k', 'gRPC, 64 KiB', 'unary', 65_536, 1.8),
    [
      'unary-loop',
      'gRPC, 100 B: event-loop delay p99 under 5 ms',
      cells['remote/unary/100/ours/64']?.summary.loopP99Ms?.median ?? null,
      ' ms',
      (x) => x < 5,
    ],
  ]
}

function targetTable(cells) {
  const rows = targets(cells)
    .filter(({ met }) => met !== null)
    .map(({ id, text, measured, unit, met }) => [
      text,
      `${number(measured)}${unit}`,
      met ? 'met' : `**missed**, see [why](#where-a-target-is-missed) (\`${id}\`)`,
    ])
  return table(['target', 'measured', ''], rows, 1)
}

function vadTable(cells) {
  const rows = []
  for (const [chunk, text] of [
    ['long', '10 s'],
    ['frame', '16 ms'],
  ]) {
    const base = cells[`vad/${chunk}/native`]
    for (const variant of ['native', 'native-cpu', 'aot', 'jit', 'interpreter', 'v8']) {
      const cell = cells[`vad/${chunk}/${variant}`]
      if (!cell) continue
      const { usPerFrame, guestUsPerFrame, events } = cell.summary
      rows.push([
        LABELS[variant],
        text,
        spread(usPerFrame),
        guestUsPerFrame ? middle(guestUsPerFrame) : '–',
        number(ratio('usPerFrame', cell, base)),
        number(events.median),
      ])
    }
  }
  return table(['`vad`', 'audio per call', 'µs per 16 ms frame', 'of it in the guest', 'over native', 'events found'], rows)
}

function callTable(cells, bytes) {
  const rows = []
  const add = (variant, inFlight, text) => {
    const cell = cells[`calls/${bytes}/${variant}/${inFlight}`]
    if (!cell) return
    const { callsPerSecond, p50Us, p99Us, cpuSecondsPer10k, loopP99Ms } = cell.summary
    const worker = cells[`calls/${bytes}/extism-worker/${inFlight}`]
    rows.push([
      LABELS[variant],
      text,
      spread(callsPerSecond),
      middle(p50Us),
      middle(p99Us),
      middle(cpuSecondsPer10k),
      middle(loopP99Ms),
      number(ratio('callsPerSecond', cell, worker)),
    ])
  }
  for (const inFlight of IN_FLIGHT) for (const variant of CALLERS) add(variant, inFlight, String(inFlight))
  for (const [variant, count] of STREAMS) add(variant, count, count === 1 ? '1 stream' : `${count} streams`)
  return table([size(bytes), 'in flight', 'calls/s', 'p50 µs', 'p99 µs', 'CPU s per 10,000', 'loop p99 ms', "× Extism's worker"], rows)
}

function startTable(cells) {
  const names = [
    ['start/cold/auto', 'ours, `auto`, empty cache'],
    ['start/cold/aot', 'ours, `aot`, empty cache'],
    ['start/cached/auto', '**ours, `auto`, compiled before**'],
    ['start/cached/aot', '**ours, `aot`, compiled before**'],
    ['start/v8', "V8's WebAssembly"],
  ]
  const rows = names
    .filter(([id]) => cells[id])
    .map(([id, text]) => {
      const { importMs, firstMs, totalMs, sinceProcessStartMs, warmMs, servedBy } = cells[id].summary
      return [text, servedBy, spread(firstMs), middle(importMs), middle(totalMs), middle(sinceProcessStartMs), middle(warmMs)]
    })
  return table(
    [
      '`vad`, one frame',
      'answered by',
      'new node to first result, ms',
      'import',
      'both',
      'since the process began',
      'again in the same process',
    ],
    rows,
    2,
  )
}

function memoryTable(cells) {
  const rows = [
    ['memory/aot', '**ours, `aot`**'],
    ['memory/v8', "V8's WebAssembly"],
  ]
    .filter(([id]) => cells[id])
    .map(([id, text]) => {
      const { deltaMb, kbPerSession, totalRssMb, openMsEach } = cells[id].summary
      return [text, spread(deltaMb), middle(kbPerSession), middle(totalRssMb), middle(openMsEach)]
    })
  return table(['1,000 sessions of `vad`', 'MB more', 'KB each', 'MB of the process', 'ms to open one'], rows)
}

function loopTable(cells) {
  const rows = [
    ['loop/idle', 'nothing to do'],
    ['loop/ours', '**ours, `aot`**'],
    ['loop/piscina', 'V8 in piscina'],
  ]
    .filter(([id]) => cells[id])
    .map(([id, text]) => {
      const { loopP99Ms, loopMaxMs, processorsBusy, audioSecondsPerSecond } = cells[id].summary
      return [text, spread(loopP99Ms), middle(loopMaxMs), middle(processorsBusy), middle(audioSecondsPerSecond)]
    })
  return table(['all processors computing `vad`', 'delay p99, ms', 'longest', 'processors busy', 'seconds of audio per second'], rows)
}

function overheadTable(cells) {
  const cell = cells['overhead/vad']
  if (!cell) return ''
  const names = {
    off: 'nothing',
    metrics: 'metrics, read ten times a second',
    on: '**metrics and traces to a collector, as they are by default**',
    every: 'the same with a trace for each item',
  }
  const rows = Object.entries(names).map(([name, text]) => {
    const of = (key) => cell.summary[`${name}${key}`]
    return [text, spread(of('PerSecond')), spread(of('LostPercent')), middle(of('CpuUs'))]
  })
  return table(['`vad`, 16 ms frames, one stream', 'frames/s', '% of the throughput lost', 'CPU µs each'], rows)
}

function remoteTable(cells, rpc) {
  const rows = []
  for (const bytes of MESSAGES) {
    for (const inFlight of [1, 64]) {
      for (const variant of CLIENTS) {
        const cell = cells[`remote/${rpc}/${bytes}/${variant}/${inFlight}`]
        if (!cell) continue
        const { callsPerSecond, p50Us, p99Us, cpuSecondsPer10k, loopP99Ms } = cell.summary
        const peer = cells[`remote/${rpc}/${bytes}/grpc-js/${inFlight}`]
        rows.push([
          LABELS[variant],
          size(bytes),
          String(inFlight),
          spread(callsPerSecond),
          middle(p50Us),
          middle(p99Us),
          middle(cpuSecondsPer10k),
          middle(loopP99Ms),
          number(ratio('callsPerSecond', cell, peer)),
        ])
      }
    }
  }
  const what = rpc === 'unary' ? 'calls/s' : 'items/s'
  return table(['client', 'message', 'in flight', what, 'p50 µs', 'p99 µs', 'CPU s per 10,000', 'loop p99 ms', '× grpc-js'], rows)
}

function provenance({ date, machine, measuredSeconds }) {
  const { versions } = machine
  const where = `${machine.cpu}, ${machine.processors} processors${machine.virtual ? ' of a virtual machine' : ''} (${machine.vectors.join(', ')}), ${machine.memoryGb} GiB; ${machine.system}, kernel ${machine.kernel}; load before the run ${machine.loadBefore}.`
  const what = `Package ${versions.package} at ${versions.commit}, WasmEdge ${versions.wasmedge}, Node.js ${versions.node} (V8 ${versions.v8}), rustc ${versions.rustc}, Extism JS SDK ${versions.extism}, piscina ${versions.piscina}.`
  return `Measured on ${date.slice(0, 10)} in ${measuredSeconds} s: ${where}\n${what}`
}

export function tables(results) {
  const { cells } = results
  const has = (group) => Object.keys(cells).some((id) => id.startsWith(`${group}/`))
  const parts = [provenance(results)]
  const section = (title, body) => parts.push(`### ${title}`, body)
  if (targets(cells).some(({ met }) => met !== null)) section('Targets', targetTable(cells))
  if (has('vad')) section('Computing', vadTable(cells))
  for (const bytes of SIZES) if (has(`calls/${bytes}`)) section(`There and back: ${size(bytes)}`, callTable(cells, bytes))
  if (has('start')) section('Start', startTable(cells))
  if (has('memory')) section('Memory', memoryTable(cells))
  if (has('overhead')) section('Metrics and traces', overheadTable(cells))
  const titles = { unary: 'gRPC: calls', stream: 'gRPC: one stream' }
  for (const rpc of RPCS) if (has(`remote/${rpc}`)) section(titles[rpc], remoteTable(cells, rpc))
  if (has('loop')) section('The event loop under full load', loopTable(cells))
  return parts.join('\n\n')
}

/** Puts the tables between the markers. A missed target needs its reason in the text: the run says which one lacks it. */
export function writeReadme(results, say) {
  const text = readFileSync(README, 'utf8')
  const [start, end] = [text.indexOf(START), text.indexOf(END)]
  if (start < 0 || end < start) throw new Error(`bench/README.md lacks its markers ${START} and ${END}`)
  writeFileSync(README, `${text.slice(0, start + START.length)}\n\n${tables(results)}\n\n${text.slice(end)}`)
  for (const { id, text: target, met } of targets(results.cells)) {
    const given = text.includes(`- \`${id}\`:`)
    if (met === false && !given) say(`bench/README.md must say why this is missed ("- \`${id}\`: …"): ${target}`)
    if (met === true && given) say(`bench/README.md excuses what is met now ("- \`${id}\`: …"): ${target}`)
  }
}
