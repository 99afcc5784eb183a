// What the report says, part by part.

import { latencyChart, shareChart, thresholdChart } from './charts.mjs'
import { h } from './dom.mjs'
import { bytes, clock, count, ms, percent } from './format.mjs'
import { graphTree } from './graph.mjs'
import { layout } from './layout.mjs'
import { latencyLegend, latencySeries, routerFacts, routerLegend, shareBar, shareLegend, sidesTable } from './panels.mjs'
import { routingChart } from './routing.mjs'
import { changeTable, decisionTable, errorTable, sessionTable } from './tables.mjs'

const section = (title, ...content) => h('section', { class: 'panel' }, h('h2', {}, title), ...content)
const picture = (...content) => h('div', { class: 'picture' }, ...content)
const legend = (entries) => h('ul', { class: 'legend' }, entries)

/** A table of figures: the first column names the row. */
const numbers = (caption, columns, rows) =>
  h(
    'table',
    {},
    h('caption', { class: 'hidden' }, caption),
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        columns.map((name, index) => h('th', { scope: 'col', class: index > 0 ? 'num' : null }, name)),
      ),
    ),
    h(
      'tbody',
      {},
      rows.map(([name, ...values]) =>
        h(
          'tr',
          {},
          h('th', { scope: 'row' }, name),
          values.map((value) => h('td', { class: 'num' }, value)),
        ),
      ),
    ),
  )

const average = (totals, key, seconds) => (seconds > 0 ? `${count(totals[key] / seconds)}/s` : '–')

function summary(data) {
  const { totals, percentiles } = data
  const routed = totals.edge + totals.cloud + totals.hybrid
  const sentences = [`${count(totals.in)} items went in and ${count(totals.out)} packets came out within ${clock(data.now)}.`]
  if (routed > 0)
    sentences.push(
      `The edge answered ${percent(totals.edge / routed)}, the cloud ${percent(totals.cloud / routed)}${totals.hybrid > 0 ? `, both together ${percent(totals.hybrid / routed)}` : ''}.`,
    )
  if (percentiles.all.count > 0)
    sentences.push(`Half of the answers took at most ${ms(percentiles.all.p50)}, 99 of 100 at most ${ms(percentiles.all.p99)}.`)
  if (totals.fallbacks > 0) sentences.push(`${count(totals.fallbacks)} times the other side stood in.`)
  sentences.push(totals.errors > 0 ? `${count(totals.errors)} errors.` : 'No errors.')
  return sentences.join(' ')
}

function timeline(data, width) {
  const rows = data.whole
  const range = { width, from: 0, to: Math.max(data.now, 1000) }
  const series = latencySeries(rows)
  return section(
    'Timeline',
    h('h3', {}, 'Items a second, by where they were answered'),
    picture(shareChart(rows, { ...range, height: 200 })),
    legend(shareLegend(data.totals)),
    series.length > 0 && [
      h('h3', {}, 'Latency'),
      picture(latencyChart(rows, series, { ...range, height: 230 })),
      legend(latencyLegend(series, data.percentiles)),
    ],
    data.routers.map((router) => [
      h('h3', {}, `${router.name}: learned size, and the breakers of edge and cloud`),
      picture(thresholdChart(rows, router.index, router, { ...range, height: 190 })),
    ]),
  )
}

function routing(router, width) {
  const reasons = Object.entries(router.byReason).sort((a, b) => b[1] - a[1])
  return section(
    `Routing: ${router.name}`,
    h('h3', {}, 'Sizes and targets'),
    picture(routingChart(router, { width, height: 260 })),
    legend(routerLegend(router)),
    routerFacts(router),
    picture(sidesTable(router)),
    reasons.length > 0 &&
      numbers(
        'Decisions by reason',
        ['Reason', 'Decisions', 'Share'],
        reasons.map(([name, value]) => [name, count(value), percent(value / router.items)]),
      ),
  )
}

function figures(data) {
  const { totals, percentiles, system } = data
  const seconds = data.firstItem === null ? 0 : (data.lastItem - data.firstItem) / 1000
  const time = (name, { p50, p95, p99, count: measured }) => [name, count(measured), ms(p50), ms(p95), ms(p99)]
  const nodes = data.graph.nodes.filter(({ kind }) => kind !== 'end')
  const sides = data.routers.map(({ strategy, sides: { edge, cloud } }) => ({ strategy, edge: edge.bytes ?? 0, cloud: cloud.bytes ?? 0 }))
  const sent = sides.reduce((sum, { cloud }) => sum + cloud, 0)
  // With the strategy `hybrid` the same bytes may have gone to both sides.
  const seen = sides.reduce((sum, { strategy, edge, cloud }) => sum + (strategy === 'hybrid' ? Math.max(edge, cloud) : edge + cloud), 0)
  return section(
    'Numbers',
    numbers(
      'Totals',
      ['', 'Count', 'Rate', 'Bytes'],
      [
        ['Items in', count(totals.in), average(totals, 'in', seconds), bytes(totals.bytesIn)],
        ['Packets out', count(totals.out), average(totals, 'out', seconds), bytes(totals.bytesOut)],
        ...(data.routers.length > 0
          ? [['Sent to the cloud by routers', '', seen > 0 ? `${percent(sent / seen)} of the bytes` : '–', bytes(sent)]]
          : []),
        ['Errors', count(totals.errors), '', ''],
      ],
    ),
    numbers(
      'Latency',
      ['Latency', 'Measured', 'p50', 'p95', 'p99'],
      [time('Input to answer', percentiles.all), time('At the edge', percentiles.edge), time('In the cloud', percentiles.cloud)],
    ),
    picture(
      numbers(
        'Nodes',
        ['Node', 'Type', 'Items', 'Out', 'Errors', 'Mean', 'p99'],
        nodes.map(({ id, name, type }) => {
          const own = data.nodes[id] ?? {}
          return [name, type, count(own.items), count(own.outputs), count(own.errors), ms(own.meanMs), ms(own.p99Ms)]
        }),
      ),
    ),
    h(
      'p',
      { class: 'quiet' },
      `Memory at the end: ${bytes(system.rss)}. A node of the application tells no figures of its own unless it has metrics().`,
    ),
  )
}

const left = (rows, all, what) => all > rows && h('p', { class: 'quiet' }, `The last ${count(rows)} of ${count(all)} ${what}.`)

/** The report's body for the data of a run. */
export function parts(data, width, machine) {
  const decisions = [...data.decisions].reverse().slice(0, 50)
  const { rows: sessions, kept, dropped } = data.sessions
  return [
    h(
      'header',
      {},
      h('h1', {}, data.name),
      h(
        'p',
        { class: 'quiet' },
        `Report of a run that began at ${new Date(data.startedAt).toISOString().replace('T', ' ').slice(0, 19)} UTC`,
      ),
      h('p', { class: 'summary' }, summary(data)),
      shareBar(data.totals),
    ),
    h(
      'main',
      {},
      section(
        'Pipeline',
        picture(graphTree(data.graph, layout(data.graph, width), data)),
        data.graph.more > 0 && h('p', { class: 'quiet' }, `${data.graph.more} more nodes are not drawn.`),
      ),
      timeline(data, width),
      data.routers.map((router) => routing(router, width)),
      figures(data),
      data.routers.length > 0 && section('Breakers', changeTable(data.changes, data.routers)),
      section('Sessions', sessionTable(sessions), left(sessions.length, kept + dropped, 'sessions')),
      section('Errors', errorTable(data.errors), left(data.errors.rows.length, data.errors.count, 'errors')),
      data.routers.length > 0 &&
        section('Last decisions', decisionTable(decisions, data.routers), left(decisions.length, data.decisionCount, 'decisions')),
      section(
        'Machine and versions',
        h(
          'dl',
          { class: 'facts' },
          machine.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
        ),
      ),
    ),
  ]
}
