// Percentiles, medians over repetitions, tables, files.

import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export { median } from '../../lib/stats.mjs'
import { median } from '../../lib/stats.mjs'

const RESULTS = fileURLToPath(new URL('../../results', import.meta.url))

/** The value that `percent` of all stay at or below. */
export function percentile(values, percent) {
  if (values.length === 0) return null
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1))]
}

export const mean = (values) => (values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length)

/** Of rows with the same keys: the median of each number. */
export function medians(rows) {
  const first = rows[0]
  return Object.fromEntries(
    Object.keys(first).map((key) => [
      key,
      rows.some((row) => typeof row[key] === 'number') ? median(rows.map((row) => row[key])) : first[key],
    ]),
  )
}

export function show(value) {
  if (value === null || value === undefined) return '–'
  if (typeof value !== 'number') return String(value)
  if (Number.isInteger(value)) return value.toLocaleString('en')
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** A table in Markdown, its columns aligned to be read as it is. `columns` are `[heading, row => value]`. */
export function table(columns, rows) {
  const cells = [columns.map(([heading]) => heading), ...rows.map((row) => columns.map(([, of]) => show(of(row))))]
  const widths = columns.map((_, column) => Math.max(...cells.map((line) => line[column].length), 4))
  const text = (line) =>
    `| ${line.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join(' | ')} |`
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [text(cells[0]), rule, ...cells.slice(1).map(text)].join('\n')
}

/** Writes bench/results/NAME.json. */
export function save(name, results) {
  mkdirSync(RESULTS, { recursive: true })
  writeFileSync(path.join(RESULTS, `${name}.json`), `${JSON.stringify(results, null, 1)}\n`)
}

export const say = (text) => process.stderr.write(`${text}\n`)
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
