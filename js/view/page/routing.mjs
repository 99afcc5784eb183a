// The routing picture: how large the items were and where they went, what each side takes by size, and the sizes at which that changes.

import { h } from './dom.mjs'
import { bytes, count, ms } from './format.mjs'

const LEFT = 52
const RIGHT = 56
const TOP = 34
const BOTTOM = 28
const ORDER = ['edge', 'hybrid', 'cloud']

const fixed = (value) => Math.round(value * 10) / 10

/** The sizes to show, as powers of two: those of items, of learned times and of thresholds. */
function range(router) {
  const used = router.sizes.edge.map((_, power) => power).filter((power) => ORDER.some((target) => router.sizes[target][power] > 0))
  const learned = Object.values(router.sides).flatMap((side) => side.bySize.map(({ bytes: size }) => Math.log2(size)))
  const marks = [router.learnedBytes].filter((value) => value > 0).map(Math.log2)
  const all = [...used, ...used.map((power) => power + 1), ...learned, ...marks]
  if (all.length === 0) return [8, 14]
  const low = Math.floor(Math.min(...all))
  return [low, Math.max(Math.ceil(Math.max(...all)), low + 3)]
}

/** Columns for the items, lines for the learned times, upright lines for the thresholds. */
export function routingChart(router, { width, height }) {
  const [low, high] = range(router)
  const [right, floor] = [width - RIGHT, height - BOTTOM]
  const x = (power) => fixed(LEFT + ((power - low) / (high - low)) * (right - LEFT))
  const totals = router.sizes.edge.map((_, power) => ORDER.reduce((sum, target) => sum + router.sizes[target][power], 0))
  const most = Math.max(1, ...totals) * 1.1
  const y = (value) => fixed(floor - (value / most) * (floor - TOP))
  const columns = []
  for (let power = low; power < high; power++) {
    let below = 0
    for (const target of ORDER) {
      const value = router.sizes[target][power]
      if (!value) continue
      const [top, base] = [y(below + value), y(below)]
      const words = `${bytes(2 ** power)} to ${bytes(2 ** (power + 1))}: ${count(value)} ${target}`
      columns.push(
        h(
          'rect',
          {
            class: `fill-${target} soft`,
            x: x(power) + 2,
            y: top,
            width: Math.max(1, x(power + 1) - x(power) - 4),
            height: Math.max(1, base - top),
          },
          h('title', {}, words),
        ),
      )
      below += value
    }
  }
  const times = Object.values(router.sides)
    .flatMap((side) => side.bySize.map(({ meanMs }) => meanMs))
    .filter((value) => value > 0)
  const [least, longest] = times.length ? [Math.min(...times) / 1.5, Math.max(...times) * 1.5] : [1, 10]
  const yMs = (value) => fixed(floor - (Math.log(value / least) / Math.log(longest / least)) * (floor - TOP))
  const curve = (target) => {
    const points = router.sides[target].bySize.filter(({ meanMs }) => meanMs > 0)
    const at = points.map((point) => `${x(Math.log2(point.bytes) + 0.5)} ${yMs(point.meanMs)}`)
    return [
      h('path', { class: `line ${target}`, d: at.length ? `M${at.join('L')}` : '' }),
      points.map((point) =>
        h(
          'circle',
          { class: `dot ${target}`, cx: x(Math.log2(point.bytes) + 0.5), cy: yMs(point.meanMs), r: 3 },
          h('title', {}, `${target}, from ${bytes(point.bytes)}: ${ms(point.meanMs)}`),
        ),
      ),
    ]
  }
  const label = `Items by size and target. ${router.learnedBytes ? `The cloud is better from ${bytes(router.learnedBytes)} on.` : 'No size from which the cloud is better.'}`
  return h(
    'svg',
    { class: 'chart routing', viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': label },
    h('text', { class: 'tick', x: 4, y: 12 }, 'items'),
    h('text', { class: 'tick', x: width - 4, y: 12, 'text-anchor': 'end' }, 'learned time'),
    [0.5, 1].map((share) =>
      h(
        'text',
        { class: 'tick', x: LEFT - 6, y: y((most / 1.1) * share) + 4, 'text-anchor': 'end' },
        count(Math.round((most / 1.1) * share)),
      ),
    ),
    times.length > 0 && timeTicks(least, longest).map((value) => h('text', { class: 'tick', x: right + 6, y: yMs(value) + 4 }, ms(value))),
    h('line', { class: 'axis', x1: LEFT, x2: right, y1: floor, y2: floor }),
    sizeTicks(low, high, right - LEFT).map((power) =>
      h('text', { class: 'tick', x: x(power), y: height - 9, 'text-anchor': 'middle' }, bytes(2 ** power)),
    ),
    columns,
    mark(router.learnedBytes, { x, low, high, floor, right }),
    curve('edge'),
    curve('cloud'),
  )
}

function timeTicks(least, longest) {
  const ticks = []
  for (let power = Math.floor(Math.log10(least)); power <= Math.log10(longest); power++)
    ticks.push(...[1, 2, 5].map((step) => step * 10 ** power))
  const within = ticks.filter((value) => value >= least && value <= longest)
  const every = Math.ceil(within.length / 5)
  return within.filter((_, index) => index % every === 0)
}

function sizeTicks(low, high, room) {
  const every = Math.max(1, Math.ceil(((high - low) * 62) / room))
  return Array.from({ length: Math.floor((high - low) / every) + 1 }, (_, index) => low + index * every)
}

function mark(value, { x, low, high, floor, right }) {
  if (!(value > 0)) return null
  const at = x(Math.min(Math.max(Math.log2(value), low), high))
  const words = `cloud better from ${bytes(value)}`
  const side = at > (LEFT + right) / 2 ? 'end' : 'start'
  return [
    h('line', { class: 'crossover', x1: at, x2: at, y1: TOP - 12, y2: floor }),
    h('text', { class: 'crossover-label', x: at + (side === 'end' ? -5 : 5), y: TOP - 6, 'text-anchor': side }, words),
  ]
}
