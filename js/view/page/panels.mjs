// Parts of the page and of the report that are no table: tiles, the share of edge and cloud, legends, and what is known of a router.

import { h } from './dom.mjs'
import { bytes, count, ms, percent, rate } from './format.mjs'

export const TARGETS = ['edge', 'hybrid', 'cloud', 'none']
const NAMES = { edge: 'edge', hybrid: 'hybrid', cloud: 'cloud', none: 'no router' }

/** A small sample of a colour for a legend. */
const swatch = (className) =>
  h(
    'svg',
    { width: 14, height: 10, viewBox: '0 0 14 10', 'aria-hidden': 'true' },
    className.startsWith('line')
      ? h('path', { class: className, d: 'M1 5H13' })
      : h('rect', { class: className, width: 14, height: 10, rx: 2 }),
  )

export const legend = (entries) =>
  entries.map(([className, name, value]) => h('li', {}, swatch(className), name, value !== undefined && [' ', h('b', {}, value)]))

/** How many items each side answered, as one bar. */
export function shareBar(totals) {
  const all = TARGETS.reduce((sum, target) => sum + totals[target], 0)
  if (all === 0) return h('p', { class: 'empty' }, 'Nothing was answered yet.')
  let x = 0
  const parts = TARGETS.filter((target) => totals[target] > 0).map((target) => {
    const width = (totals[target] / all) * 1000
    const rect = h(
      'rect',
      { class: `fill-${target}`, x, y: 0, width: Math.max(width - 1.5, 1), height: 18 },
      h('title', {}, `${NAMES[target]}: ${count(totals[target])}`),
    )
    x += width
    return rect
  })
  const words = TARGETS.filter((target) => totals[target] > 0).map((target) => `${NAMES[target]} ${percent(totals[target] / all)}`)
  return h(
    'svg',
    {
      class: 'sharebar',
      viewBox: '0 0 1000 18',
      width: '100%',
      height: 18,
      preserveAspectRatio: 'none',
      role: 'img',
      'aria-label': `Share: ${words.join(', ')}`,
    },
    parts,
  )
}

/** The legend of the share: counts in all, or items a second at one time. */
export function shareLegend(totals, row) {
  const all = TARGETS.reduce((sum, target) => sum + totals[target], 0)
  const shown = TARGETS.filter(
    (target) =>
      totals[target] > 0 ||
      (target !== 'none' && target !== 'hybrid' && totals.none < all) ||
      (all === 0 && target !== 'hybrid' && target !== 'none'),
  )
  const value = (target) =>
    row ? `${rate((row[target] * 1000) / row.w)}/s` : all > 0 ? `${percent(totals[target] / all)} (${count(totals[target])})` : '–'
  return legend(shown.map((target) => [`fill-${target}`, NAMES[target], value(target)]))
}

export const LATENCIES = [
  ['p50', 'p50', 'p50'],
  ['p95', 'p95', 'p95'],
  ['p99', 'p99', 'p99'],
  ['edgeP50', 'edge thin', 'edge p50'],
  ['cloudP50', 'cloud thin', 'cloud p50'],
]

/** Only the series of which there is anything. */
export const latencySeries = (rows) => LATENCIES.filter(([key]) => rows.some((row) => row[key] !== null))

export const latencyLegend = (series, percentiles, row) =>
  legend(
    series.map(([key, className, name]) => {
      const whole = key.startsWith('p') ? percentiles.all[key] : percentiles[key.replace('P50', '')].p50
      return [`line ${className}`, name, ms(row ? row[key] : whole)]
    }),
  )

const fact = (name, value, detail) =>
  h('div', {}, h('dt', {}, name), h('dd', {}, value, detail && h('span', { class: 'quiet' }, ` ${detail}`)))

/** Big figures at the top. */
export function tiles(data, now) {
  const { totals, percentiles, system } = data
  const routed = totals.edge + totals.cloud + totals.hybrid
  const tile = (name, value, detail) => h('div', {}, h('dt', {}, name), h('dd', {}, value), h('dd', {}, detail))
  return [
    tile('Items in', count(totals.in), `${rate(now.in)}/s now`),
    tile('Packets out', count(totals.out), `${rate(now.out)}/s now`),
    tile(
      'Latency, p50',
      ms(percentiles.all.p50 ?? percentiles.edge.p50 ?? percentiles.cloud.p50),
      `p95 ${ms(percentiles.all.p95)}, p99 ${ms(percentiles.all.p99)}`,
    ),
    data.routers.length > 0 &&
      tile(
        'At the edge',
        percent(routed ? totals.edge / routed : Number.NaN),
        `cloud ${percent(routed ? totals.cloud / routed : Number.NaN)}`,
      ),
    data.routers.length > 0 && tile('Fallbacks', count(totals.fallbacks), `${count(totals.hedged)} hedged`),
    tile('Errors', count(totals.errors), Object.entries(data.errors.byCode).sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'none'),
    tile('Data in', bytes(totals.bytesIn), `out ${bytes(totals.bytesOut)}`),
    tile('Processor', percent(system.cpu), `${bytes(system.rss)} memory`),
  ]
}

const side = (name, { breaker, p50Ms, p95Ms, roundTripMs, failures, inFlight, unreachable, bytes: sent }) =>
  h(
    'tr',
    {},
    h('th', { scope: 'row' }, h('span', { class: `badge ${name}` }, name)),
    h(
      'td',
      {},
      breaker ? h('span', { class: `badge ${breaker}` }, breaker) : '–',
      unreachable && h('span', { class: 'warn' }, ' unreachable'),
    ),
    h('td', { class: 'num' }, ms(p50Ms)),
    h('td', { class: 'num' }, ms(p95Ms)),
    h('td', { class: 'num' }, name === 'cloud' ? ms(roundTripMs) : '–'),
    h('td', { class: 'num' }, count(failures)),
    h('td', { class: 'num' }, count(inFlight)),
    h('td', { class: 'num' }, bytes(sent)),
  )

/** Both sides with their breakers. */
export const sidesTable = (router) =>
  h(
    'table',
    {},
    h('caption', { class: 'hidden' }, 'Sides of the router'),
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        ['Side', 'Breaker'].map((name) => h('th', { scope: 'col' }, name)),
        ['p50', 'p95', 'Round trip', 'Failures', 'In flight', 'Bytes'].map((name) => h('th', { scope: 'col', class: 'num' }, name)),
      ),
    ),
    h('tbody', {}, side('edge', router.sides.edge), side('cloud', router.sides.cloud)),
  )

/** A router's thresholds and what learning costs. */
export function routerFacts(router) {
  const { exploration, regret } = router
  const limit = exploration.limit === null ? '' : `of at most ${percent(exploration.limit)}`
  const reasons = Object.entries(router.byReason).sort((a, b) => b[1] - a[1])
  return h(
    'dl',
    { class: 'facts' },
    fact('Learned size', router.learnedBytes ? bytes(router.learnedBytes) : 'none yet', router.learnedBytes ? 'and more: cloud' : ''),
    fact('Rules', `≤ ${bytes(router.edgeMaxBytes)} edge`, `≥ ${bytes(router.cloudMinBytes)} cloud`),
    fact('Exploration', percent(exploration.share), limit),
    fact('Regret', percent(regret.share), 'of the cost'),
    router.escalations > 0 && fact('Unsure', count(router.escalations), 'answers of the edge; the cloud was asked'),
    fact('Fallbacks', count(router.fallbacks), `${count(router.fallbacksTo.edge)} to edge, ${count(router.fallbacksTo.cloud)} to cloud`),
    fact('Hedges', count(router.hedges), `${count(router.hedgesWon)} won`),
    fact('Arrivals', `${rate(router.arrivalsPerSecond)}/s`, router.shed > 0 ? `${count(router.shed)} turned away` : ''),
    fact(
      'Reasons',
      reasons
        .slice(0, 4)
        .map(([name, value]) => `${name} ${count(value)}`)
        .join(', ') || '–',
    ),
  )
}

export const routerLegend = ({ byTarget }) =>
  legend([
    ['fill-edge soft', 'items, edge'],
    ...(byTarget.hybrid > 0 ? [['fill-hybrid soft', 'items, both']] : []),
    ['fill-cloud soft', 'items, cloud'],
    ['line edge', 'time at the edge'],
    ['line cloud', 'time of the cloud'],
  ])
