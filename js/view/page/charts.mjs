// Charts over time: stacked columns, lines, steps and bands of states. Plain SVG, the same for the page and for the report.

import { h } from './dom.mjs'
import { bytes, clock, ms, rate } from './format.mjs'

const LEFT = 52
const RIGHT = 10
const TOP = 10
const BOTTOM = 24

const fixed = (value) => Math.round(value * 10) / 10

/** Steps of 1, 2 or 5 that divide the range into about so many parts. */
function steps(most, parts) {
  const raw = most / parts
  const power = 10 ** Math.floor(Math.log10(raw))
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw)
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400, 604_800].map(
  (seconds) => seconds * 1000,
)

/** Scales, grid and time axis. `scale` is `linear` or `log`; `least` and `most` the range of the values. */
function frame({ width, height, from, to, least = 0, most, scale = 'linear', format, ticks, bottom = BOTTOM }) {
  const [right, floor] = [width - RIGHT, height - bottom]
  const span = Math.max(to - from, 1)
  // The last row may be of a time that is not over.
  const x = (t) => fixed(Math.min(LEFT + ((t - from) / span) * (right - LEFT), right))
  const share =
    scale === 'log'
      ? (value) => Math.log(Math.max(value, least) / least) / Math.log(most / least)
      : (value) => (value - least) / (most - least)
  const y = (value) => fixed(floor - Math.min(Math.max(share(value), 0), 1) * (floor - TOP))
  const step = TIME_STEPS.find((one) => span / one <= Math.max(2, (right - LEFT) / 90)) ?? TIME_STEPS.at(-1)
  const times = []
  for (let t = Math.ceil(from / step) * step; t <= to; t += step) times.push(t)
  const grid = [
    ticks.map((value) => [
      h('line', { class: 'grid', x1: LEFT, x2: right, y1: y(value), y2: y(value) }),
      h('text', { class: 'tick', x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end' }, format(value)),
    ]),
    h('line', { class: 'axis', x1: LEFT, x2: right, y1: floor, y2: floor }),
    times.map((t) => h('text', { class: 'tick', x: Math.min(x(t), right - 12), y: height - 7, 'text-anchor': 'middle' }, clock(t))),
  ]
  return { x, y, grid, floor, right }
}

const picture = (name, { width, height }, label, ...parts) =>
  h('svg', { class: `chart ${name}`, viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': label }, ...parts)

function linearTicks(most, parts = 3) {
  const step = steps(most, parts)
  const ticks = []
  for (let value = 0; value <= most * 1.0001; value += step) ticks.push(value)
  return ticks
}

/** Items a second by where they were answered, as stacked columns. */
export function shareChart(rows, size) {
  const order = ['edge', 'hybrid', 'cloud', 'none']
  const perSecond = (row, key) => (row[key] * 1000) / row.w
  const total = (row) => order.reduce((sum, key) => sum + perSecond(row, key), 0)
  const most = Math.max(1, ...rows.map(total)) * 1.08
  const { x, y, grid, floor, right: end } = frame({ ...size, most, format: rate, ticks: linearTicks(most) })
  const columns = Object.fromEntries(order.map((key) => [key, '']))
  let errors = ''
  for (const row of rows) {
    let below = 0
    const [left, right] = [Math.max(x(row.t), LEFT), Math.min(x(row.t + row.w), end)]
    if (right <= left) continue
    for (const key of order) {
      const value = perSecond(row, key)
      if (value > 0) columns[key] += `M${left} ${y(below)}V${y(below + value)}H${right}V${y(below)}z`
      below += value
    }
    if (row.errors > 0) errors += `M${fixed((left + right) / 2)} ${floor}v-7`
  }
  const label = 'Items a second over time, by where they were answered'
  const paths = order.map((key) => columns[key] && h('path', { class: `fill-${key}`, d: columns[key] }))
  return picture('share', size, label, grid, paths, errors && h('path', { class: 'mark-error', d: errors }))
}

/** Where a line breaks off: times without any item. */
function path(rows, key, x, y, gap) {
  let [d, last] = ['', undefined]
  for (const row of rows) {
    const value = typeof key === 'function' ? key(row) : row[key]
    if (value === null || value === undefined) continue
    const middle = row.t + row.w / 2
    d += `${last !== undefined && middle - last <= gap(row) ? 'L' : 'M'}${x(middle)} ${y(value)}`
    if (last === undefined || middle - last > gap(row)) d += 'h0.1'
    last = middle
  }
  return d
}

const LOG_STEPS = [1, 2, 5]
function logTicks(least, most) {
  const wide = most / least > 200
  const ticks = []
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)); power++) {
    for (const step of wide ? [1] : LOG_STEPS) ticks.push(step * 10 ** power)
  }
  return ticks.filter((value) => value >= least * 0.999 && value <= most * 1.001)
}

/** Latencies over time, on a logarithmic scale: `series` are pairs of a row's key and a class. */
export function latencyChart(rows, series, size) {
  const values = rows.flatMap((row) => series.map(([key]) => row[key])).filter((value) => value > 0)
  const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [1, 10]
  const least = low / 1.4
  const most = Math.max(high * 1.4, least * 8)
  const { x, y, grid } = frame({ ...size, least, most, scale: 'log', format: ms, ticks: logTicks(least, most) })
  const lines = series.map(([key, name]) =>
    h('path', { class: `line ${name}`, d: path(rows, key, x, y, (row) => Math.max(2500, row.w * 3)) }),
  )
  return picture('latency', size, 'Latency over time, on a logarithmic scale', grid, lines)
}

/** Any figure over time, from nothing up. */
export function lineChart(rows, series, size, { format, label, atLeast = 1 }) {
  const values = rows.flatMap((row) => series.map(([key]) => row[key])).filter(Number.isFinite)
  const most = Math.max(atLeast, ...values) * 1.08
  const { x, y, grid } = frame({ ...size, most, format, ticks: linearTicks(most, 2) })
  const lines = series.map(([key, name]) =>
    h('path', { class: `line ${name}`, d: path(rows, key, x, y, (row) => Math.max(2500, row.w * 3)) }),
  )
  return picture('plain', size, label, grid, lines)
}

const BAND = 12

/** A router's learned size as steps, and below it the state of each side's breaker as bands. */
export function thresholdChart(rows, index, { edgeMaxBytes, cloudMinBytes }, size) {
  const of = (row, which) => row.routers?.[index]?.[which] ?? null
  const learned = rows.map((row) => of(row, 0)).filter((value) => value > 0)
  const all = [edgeMaxBytes, cloudMinBytes, ...learned].filter((value) => value > 0)
  const least = 2 ** (Math.floor(Math.log2(Math.min(...all, 1024))) - 1)
  const most = 2 ** (Math.ceil(Math.log2(Math.max(...all, 4096))) + 1)
  const ticks = []
  const stride = Math.max(1, Math.ceil(Math.log2(most / least) / 4))
  for (let value = least * 2; value < most; value *= 2 ** stride) ticks.push(value)
  const bottom = BOTTOM + 2 * (BAND + 4) + 4
  const { x, y, grid, floor, right } = frame({ ...size, least, most, scale: 'log', format: bytes, ticks, bottom })
  const fixedLine = (value, name) => value > 0 && h('line', { class: `rule ${name}`, x1: LEFT, x2: right, y1: y(value), y2: y(value) })
  let d = ''
  let drawn = false
  for (const row of rows) {
    // A time without news leaves the line as it is.
    if (!row.routers) continue
    const value = of(row, 0)
    const end = Math.min(x(row.t + row.w), right)
    if (value > 0) d += drawn ? `H${x(row.t)}V${y(value)}H${end}` : `M${Math.max(x(row.t), LEFT)} ${y(value)}H${end}`
    drawn = value > 0
  }
  const band = (which, name, top) => [
    h('text', { class: 'tick', x: LEFT - 6, y: top + BAND - 2, 'text-anchor': 'end' }, name),
    bands(rows, (row) => of(row, which)).map(({ state, from, to }) => {
      const [left, end] = [Math.max(x(from), LEFT), Math.min(x(to), right)]
      return h(
        'rect',
        { class: `band ${state}`, x: left, y: top, width: Math.max(0.5, fixed(end - left)), height: BAND },
        h('title', {}, `${name}: ${state}`),
      )
    }),
  ]
  return picture(
    'threshold',
    size,
    'Learned size over time, and the breakers of edge and cloud',
    grid,
    [fixedLine(edgeMaxBytes, 'edge'), fixedLine(cloudMinBytes, 'cloud')],
    h('path', { class: 'line learned', d }),
    band(1, 'edge', floor + 6),
    band(2, 'cloud', floor + 6 + BAND + 4),
  )
}

/** Stretches of time in the same state. */
function bands(rows, stateOf) {
  const found = []
  for (const row of rows) {
    const state = stateOf(row)
    if (state === null) continue
    const last = found.at(-1)
    if (last?.state === state) last.to = row.t + row.w
    else {
      if (last) last.to = row.t
      found.push({ state, from: row.t, to: row.t + row.w })
    }
  }
  return found
}
