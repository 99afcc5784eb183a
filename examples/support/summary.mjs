// Problem: a run of the demo is to be understood at a glance: what was found, who found it and why, how long that took, what it saved.
// Answer: `summary` makes text of it. Every figure was measured, or is counted from what was; where one was computed it says so.

import { bytes, plural, seconds, table } from '../../js/cli/terminal.js'
import { RATE, WINDOW_MS } from './speech.mjs'

const percent = (part, whole) => (whole > 0 ? `${((100 * part) / whole).toFixed(1)}%` : '–')
const duration = ({ startMs, endMs }) => endMs - startMs

function percentiles(times) {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share) => (sorted.length > 0 ? seconds(sorted[Math.ceil(sorted.length * share) - 1]) : '–')
  return [times.length, at(0.5), at(0.95)]
}

/** Time in which both find speech, or both find none, as a share of all. */
function agreement(one, other, length) {
  const overlap = (a, b) => Math.max(0, Math.min(a.endMs, b.endMs) - Math.max(a.startMs, b.startMs))
  const total = (list) => list.reduce((sum, segment) => sum + duration(segment), 0)
  const both = one.reduce((sum, a) => sum + other.reduce((part, b) => part + overlap(a, b), 0), 0)
  return percent(length * 1000 - (total(one) + total(other) - 2 * both), length * 1000)
}

// Wide enough for hours.
const SEGMENT = ['#   ', 'start s', 'by   ', 'end s  ', 'by   ', 'duration s']
const columns = (cells) => `  ${cells.map((cell, at) => cell.padEnd(SEGMENT[at].length + 2)).join('')}`.trimEnd()
const time = (ms) => (ms / 1000).toFixed(2)

export const segmentHead = () => `${columns(SEGMENT)}\n${columns(SEGMENT.map((name) => '-'.repeat(name.trim().length)))}`
/** One found segment, for under the head. */
export const segmentLine = (one, number) =>
  columns([`${number}`, time(one.startMs), one.startBy, time(one.endMs), one.endBy, time(duration(one))])

/** Why this side answered. */
function because({ target, fallback, sequence }, decisions, { low, high }) {
  const { target: decided, rule } = decisions.get(sequence) ?? {}
  if (fallback) return target === 'edge' ? 'the cloud failed, so its own answer stands' : 'the edge failed'
  if (decided !== 'hybrid') return `the rule '${rule}'`
  return target === 'edge' ? 'it was sure of all its scores' : `the edge had a score between ${low} and ${high}`
}

function answerTable(windows, decisions, unsure) {
  const groups = new Map()
  for (const window of windows) {
    const why = because(window, decisions, unsure)
    const key = `${window.target} ${why}`
    const group = groups.get(key) ?? { target: window.target, why, count: 0, sound: 0 }
    groups.set(key, group)
    group.count += 1
    group.sound += duration(window)
  }
  const rows = [...groups.values()]
    .sort((a, b) => b.target.localeCompare(a.target) || b.count - a.count)
    .map(({ target, why, count, sound }) => [target, count, percent(count, windows.length), seconds(sound), why])
  return table(rows.length > 0 ? rows : [['nobody']], ['answered by', 'windows', 'share', 'sound', 'because'])
}

function routing({ items, byReason, escalations, fallbacks }, decisions) {
  const sentence = (rule) => [...decisions.values()].find((decision) => decision.rule === rule)?.reason
  const rules = Object.entries(byReason).map(([rule, count]) => `\n    ${count} by the rule '${rule}' (${sentence(rule)})`)
  const unsure = `${plural(escalations, 'answer')} of the edge ${escalations === 1 ? 'was' : 'were'} unsure`
  return `  The router decided about ${plural(items, 'window')} of ${WINDOW_MS} ms:${rules.join('')}\n  ${unsure}, ${plural(fallbacks, 'fallback')}.\n`
}

function latencyTable(windows) {
  const row = (name, of) => [name, ...percentiles(windows.map(of).filter((ms) => ms > 0))]
  const rows = [
    row('at the edge', ({ edgeMs }) => edgeMs),
    row('in the cloud', ({ cloudMs }) => cloudMs),
    row('whole answer', ({ edgeMs = 0, cloudMs = 0 }) => edgeMs + cloudMs),
  ]
  return table(rows, ['latency', 'windows', 'p50', 'p95'])
}

/** What the run sent to the cloud, next to what the cloud alone was sent, or would have been. */
function traffic(router, alone, windows) {
  const sent = alone ? router.cloud.bytesSent : router.bytes.cloud
  const all = alone?.bytes ?? windows.length * WINDOW_MS * (RATE / 1000) * Float32Array.BYTES_PER_ELEMENT
  const how = alone ? 'measured' : 'counted: the sound of all windows'
  const [left, words] = sent <= all ? [all - sent, 'Saved'] : [sent - all, 'Sent more']
  return `  Sent to the cloud: ${bytes(sent)}; the cloud alone: ${bytes(all)} (${how}). ${words}: ${bytes(left)}, ${percent(left, all)}.`
}

/**
 * The text. `windows` have `startMs`, `endMs`, `sequence` and what the router said of each; `router` are its figures, `decisions` what it
 * decided by `sequence`; `unsure` is between which scores the edge is; `alone`, if there is it, has `segments` and `bytes` of a run of the
 * cloud alone.
 */
export function summary({ segments, windows, router, decisions, unsure, alone, seconds: length }) {
  const parts = [answerTable(windows, decisions, unsure), routing(router, decisions), latencyTable(windows)]
  parts.push(traffic(router, alone, windows))
  if (alone) parts.push(`  The segments are those of the cloud alone in ${agreement(segments, alone.segments, length)} of the time.`)
  return parts.join('\n')
}
