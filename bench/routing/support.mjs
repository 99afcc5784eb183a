// Processes and percentiles that the measurements share.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** Starts one of the programs beside this file; `port` is what it says first, `tell` writes a line to it. */
export async function start(program, ...args) {
  const file = fileURLToPath(new URL(program, import.meta.url))
  const child = spawn(process.execPath, [file, ...args.map(String)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const gone = once(child, 'exit')
  return {
    port: Number(line.split(':').at(-1)),
    tell: (text) => child.stdin.write(`${text}\n`),
    stop: async (signal = 'SIGKILL') => {
      child.kill(signal)
      await gone
    },
  }
}

export function percentile(values, percent) {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))]
}

export const ms = (value) => (value === undefined ? '–' : value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2))

/** A table in Markdown. */
export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, index) => (index ? '---:' : '---'))), ...rows.map(line)].join('\n')
}

export const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time))
