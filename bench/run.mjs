#!/usr/bin/env node
// Measures, writes results/latest.json and renews the tables in README.md.
//
//   node bench/run.mjs               everything, under 8 minutes on two cores
//   node bench/run.mjs --quick       once over, in a minute; writes target/bench/quick.json and prints, README.md stays
//   node bench/run.mjs --only vad    one group (vad, calls, start, memory, loop); prints only
//   node bench/run.mjs --only routing  the router's policy, replayed (bench/replay); prints, and writes results/replay.json and its plots
//   node bench/run.mjs --report      the tables anew from results/latest.json

import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { describeMachine } from './lib/machine.mjs'
import { plan } from './lib/plan.mjs'
import { tables, writeReadme } from './lib/report.mjs'
import { paths, setUp } from './lib/setup.mjs'
import { summarize } from './lib/stats.mjs'

const here = path.dirname(fileURLToPath(import.meta.url))
const LATEST = path.join(here, 'results', 'latest.json')
/** A case that takes longer is stuck. */
const CASE_LIMIT_MS = 60_000

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    reps: { type: 'string' },
    report: { type: 'boolean', default: false },
  },
})
const say = (text) => process.stderr.write(`${text}\n`)

if (options.report) {
  writeReadme(JSON.parse(readFileSync(LATEST, 'utf8')), say)
  process.exit(0)
}

if (options.only === 'routing') {
  // Compiles the policy alone and takes seconds; its own program knows its seeds, its tables and its plots.
  const { status } = spawnSync('cargo', ['run', '--release', '--quiet', '--manifest-path', path.join(here, 'replay/Cargo.toml')], {
    stdio: 'inherit',
  })
  process.exit(status ?? 1)
}

const began = Date.now()
await setUp(say)
const machine = await describeMachine()
if (machine.loadBefore > 0.5) say(`warning: the machine is not idle (load ${machine.loadBefore}); the figures will be too low and uneven`)

const groups = plan(options).filter(({ id }) => !options.only || id.split('/')[0] === options.only)
if (groups.length === 0) throw new Error(`no group ${options.only}`)
const measuring = Date.now()
const cells = {}
for (const group of groups) {
  const reps = options.reps ? Number(options.reps) : group.reps
  for (let rep = 0; rep < reps; rep++) {
    say(`${group.id}: repetition ${rep + 1} of ${reps}`)
    for (let i = 0; i < group.cells.length; i++) {
      // Each repetition begins with another variant, so that none always follows the same one.
      const cell = group.cells[(i + rep) % group.cells.length]
      const entry = (cells[cell.id] ??= { params: cell.params, repetitions: [] })
      entry.repetitions[rep] = await measure(cell)
    }
  }
}
const results = {
  date: new Date(measuring).toISOString(),
  quick: options.quick,
  machine,
  setUpSeconds: Math.round((measuring - began) / 1000),
  measuredSeconds: Math.round((Date.now() - measuring) / 1000),
  cells: Object.fromEntries(Object.entries(cells).map(([id, cell]) => [id, { ...cell, summary: summarize(cell.repetitions) }])),
}

const whole = !options.quick && !options.only && !options.reps
const file = whole ? LATEST : path.join(paths.target, options.quick ? 'quick.json' : 'partial.json')
mkdirSync(path.dirname(file), { recursive: true })
writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`)
process.stdout.write(`${tables(results)}\n`)
if (whole) writeReadme(results, say)
say(`written: ${path.relative(process.cwd(), file)}; ${Math.round((Date.now() - began) / 1000)} s`)

/** Runs the cell's process once; its last line of output is the result. */
function measure(cell) {
  const [program, args] = cell.command()
  const extra = cell.env?.()
  return new Promise((resolve, reject) => {
    const env = { ...process.env, RM_WASMEDGE_CACHE_DIR: paths.cache, NODE_NO_WARNINGS: '1', ...extra?.vars }
    delete env.NODE_OPTIONS
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'inherit'], timeout: CASE_LIMIT_MS, killSignal: 'SIGKILL' })
    let output = ''
    child.stdout.on('data', (data) => (output += data))
    child.on('error', reject)
    child.on('close', (status, signal) => {
      extra?.done()
      if (status !== 0) return reject(new Error(`${cell.id}: ended with ${signal ?? status}`))
      resolve(JSON.parse(output.trim().split('\n').at(-1)))
    })
  })
}
