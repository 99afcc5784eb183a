// Problem: long work should show that it goes on, and nothing of that may end up in a file or a pipe.
// Answer: a progress bar and a waiting line on standard error, only when that is a terminal; tables and units as text. Warnings and
// summaries go to standard error as well: standard output is for results.

/** A size for people. */
function bytes(count) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = count
  let unit = 0
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`
}

const seconds = (ms) => (ms < 1_000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1_000).toFixed(2)} s`)
const plural = (count, noun) => `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`

/** Columns under a heading, if there is one; numbers to the right. */
function table(rows, head) {
  const all = head ? [head, ...rows] : rows
  const texts = all.map((row) => row.map((cell) => String(cell ?? '')))
  const widths = texts[0].map((_, column) => Math.max(...texts.map((row) => (row[column] ?? '').length)))
  const rightwards = texts[0].map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'))
  const line = (row) =>
    `  ${row.map((cell, at) => (rightwards[at] ? cell.padStart(widths[at]) : cell.padEnd(widths[at]))).join('  ')}`.trimEnd()
  const lines = texts.map(line)
  if (head) lines.splice(1, 0, line(widths.map((width) => '-'.repeat(width))))
  return `${lines.join('\n')}\n`
}

const warn = (text) => process.stderr.write(`warning: ${text.replace(/\s*\n\s*/g, ' ')}\n`)

const NONE = { show() {}, end() {} }

/** A bar; `show(done, note)` as often as one likes. `total` undefined: nobody knows how much there is. */
function progress(title, total, { quiet = false, out = process.stderr } = {}) {
  if (quiet || !out.isTTY) return NONE
  let last = 0
  const started = performance.now()
  return {
    show(done, note = '') {
      const now = performance.now()
      // Ten times a second is as often as anybody can read.
      if (now - last < 100) return
      last = now
      const share = total ? Math.min(1, done / total) : undefined
      const bar =
        share === undefined ? '' : `[${'='.repeat(Math.round(share * 24)).padEnd(24)}] ${String(Math.round(share * 100)).padStart(3)}% `
      const left = share > 0.01 && share < 1 ? `, ${seconds(((now - started) * (1 - share)) / share)} left` : ''
      const text = `${title} ${bar}${note}${left}`
      out.write(`\r\x1b[K${text.slice(0, Math.max(20, (out.columns || 80) - 1))}`)
    },
    end: () => out.write('\r\x1b[K'),
  }
}

/** A line that stays until `end()` while something takes its time. */
function waiting(text, { quiet = false, out = process.stderr } = {}) {
  if (quiet || !out.isTTY) return NONE
  out.write(`\r\x1b[K${text}`)
  return { show() {}, end: () => out.write('\r\x1b[K') }
}

module.exports = { bytes, seconds, plural, table, warn, progress, waiting }
