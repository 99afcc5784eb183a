// The pipeline's graph as a picture: boxes with figures, lines with counts.

import { h } from './dom.mjs'
import { count, cut, ms, rate } from './format.mjs'

const KINDS = { wasm: 'WebAssembly', remote: 'remote', router: 'router', application: 'JavaScript', end: '' }
const UNIT = 6.6

/** What a box says below its name. */
function about(node, data) {
  const figures = data.nodes[node.id] ?? {}
  if (node.id === 'in') return [`${count(data.totals.in)} in`, '']
  if (node.id === 'out') return [`${count(data.totals.out)} out`, data.totals.errors > 0 ? `${count(data.totals.errors)} errors` : '']
  const router = data.routers.find((one) => one.id === node.id)
  if (router) return [`router${router.strategy ? `, ${router.strategy}` : ''}`, `${count(router.items)} decided`]
  const kind = figures.mode ? `${KINDS[node.kind]}, ${figures.mode}` : KINDS[node.kind]
  const errors = figures.errors > 0 ? `${count(figures.errors)} failed` : ''
  return [
    kind,
    [Number.isFinite(figures.meanMs) && figures.items > 0 ? `${ms(figures.meanMs)} mean` : '', errors].filter(Boolean).join(', '),
  ]
}

/** The breaker in front of a box, if there is one. */
export function breakerOf(node, data) {
  for (const router of data.routers) {
    for (const side of Object.values(router.sides)) if (side.node === node.id) return side.breaker
  }
  return null
}

function box(node, spot, data) {
  const [first, second] = about(node, data)
  const breaker = breakerOf(node, data)
  const letters = Math.floor((spot.width - 18) / UNIT)
  const middle = spot.x + spot.width / 2
  const text = (className, dy, words) =>
    h('text', { class: className, x: middle, y: spot.y + dy, 'text-anchor': 'middle' }, cut(words, letters))
  const warns = breaker !== null && breaker !== 'closed'
  const lines = [node.name, first, warns ? `breaker ${breaker}` : second]
  return h(
    'g',
    { class: `node ${node.kind} ${node.role ? `side-${node.role}` : ''} ${warns ? `breaker-${breaker}` : ''}` },
    h('title', {}, `${node.name} (${node.type}): ${[first, second, breaker && `breaker ${breaker}`].filter(Boolean).join(', ')}`),
    h('rect', { x: spot.x, y: spot.y, width: spot.width, height: spot.height, rx: node.kind === 'end' ? 24 : 6 }),
    text('label', lines[2] ? 21 : 28, lines[0]),
    text('quiet', lines[2] ? 38 : 46, lines[1]),
    lines[2] && text(warns ? 'quiet warn' : 'quiet', 54, lines[2]),
  )
}

/** The whole picture; `rates` are items a second by edge, where they are known. */
export function graphTree(graph, place, data, rates = {}) {
  const { width, height, boxes, lines, tall } = place
  const known = graph.edges.map((edge) => `${nameOf(graph, edge.from)} to ${nameOf(graph, edge.to)}: ${count(data.edges[edge.id])}`)
  return h(
    'svg',
    {
      class: 'graph',
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: 'img',
      'aria-label': `Pipeline. Items: ${known.join('; ')}.`,
    },
    h('defs', {}, tip()),
    graph.edges.map(({ id, label }) =>
      h('path', { class: `way ${label ? `to-${label.target}` : ''}`, id: `way-${id}`, d: lines.get(id).path, 'marker-end': 'url(#tip)' }),
    ),
    h('g', { class: 'dots', 'aria-hidden': 'true' }),
    graph.nodes.map((node) => box(node, boxes.get(node.id), data)),
    graph.edges.map(({ id }) => flowText(lines.get(id).text, tall, data.edges[id], rates[id])),
  )
}

/** How many items went over a line, and how many a second. */
function flowText({ x, y, side }, tall, all, speed) {
  const words = [Number.isFinite(all) ? count(all) : '', speed > 0 ? `${rate(speed)}/s` : '']
  if (tall) {
    const anchor = side < 0 ? 'end' : 'start'
    return h('text', { class: 'flow', x: x + (side < 0 ? -8 : 8), y: y + 4, 'text-anchor': anchor }, words.filter(Boolean).join(' · '))
  }
  // Above and below a straight line, on the outer side of one that turns.
  const heights = side < 0 ? [y - 24, y - 9] : side > 0 ? [y + 19, y + 34] : [y - 8, y + 19]
  return words.map((text, index) => text && h('text', { class: 'flow', x, y: heights[index], 'text-anchor': 'middle' }, text))
}

const nameOf = (graph, id) => graph.nodes.find((node) => node.id === id)?.name ?? id

const tip = () =>
  h(
    'marker',
    { id: 'tip', viewBox: '0 0 10 10', refX: 9, refY: 5, markerWidth: 7, markerHeight: 7, orient: 'auto' },
    h('path', { class: 'tip', d: 'M0 0L10 5L0 10z' }),
  )
