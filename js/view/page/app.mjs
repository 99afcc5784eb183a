// The live page: listens to the server's events, keeps the last minute and the whole run, draws what changed, and answers keys.

import { latencyChart, lineChart, shareChart, thresholdChart } from './charts.mjs'
import { h, show, toDom } from './dom.mjs'
import { Flow } from './flow.mjs'
import { bytes, clock, count, ms, percent } from './format.mjs'
import { graphTree } from './graph.mjs'
import { layout } from './layout.mjs'
import { latencyLegend, latencySeries, routerFacts, routerLegend, shareBar, shareLegend, sidesTable, tiles } from './panels.mjs'
import { routingChart } from './routing.mjs'
import { decisionTable, errorTable, sessionTable, wordsOf } from './tables.mjs'

const MINUTE = 60_000
const SILENCE_MS = 4000
const element = (id) => document.getElementById(id)

/** Everything known; `data` has the figures of the last event. */
const run = { name: '', graph: undefined, data: undefined, rows: [], whole: [], decisions: new Map(), rates: {}, heard: 0 }
const screen = { paused: false, finished: false, lost: false, span: 'minute', filter: '', cursor: undefined, place: undefined, state: '' }
/** What is drawn: the run, or how it was when it was paused. */
let shown = run
const flow = new Flow()

function took(data) {
  const before = run.data
  for (const decision of data.decisions) run.decisions.set(decision.n, decision)
  for (const n of run.decisions.keys()) if (n <= data.decisionCount - 200) run.decisions.delete(n)
  if (data.rows) run.rows.push(...data.rows)
  run.rows = run.rows.filter(({ t }) => t > data.now - MINUTE - 1000)
  if (data.whole) run.whole = data.whole
  run.heard = performance.now()
  if (before && data.now > before.now) {
    for (const [id, value] of Object.entries(data.edges)) {
      const speed = ((value - (before.edges[id] ?? 0)) * 1000) / (data.now - before.now)
      run.rates[id] = Math.max(0, speed) * 0.6 + (run.rates[id] ?? 0) * 0.4
      if (run.rates[id] < 0.05) run.rates[id] = 0
    }
    for (const change of data.changes.filter(({ t }) => t > before.now)) announce(`Breaker of ${change.target}: ${change.to}`)
  }
  flow.rates = run.rates
  run.data = data
  screen.lost = false
}

function announce(text) {
  element('announce').textContent = text
}

function connect() {
  const source = new EventSource(new URL('events', import.meta.url))
  const on = (event, act) => source.addEventListener(event, ({ data }) => act(JSON.parse(data)))
  on('hello', (data) => {
    Object.assign(run, { name: data.name, graph: data.graph, startedAt: data.startedAt, data: undefined, rows: [], rates: {} })
    run.decisions.clear()
    screen.place = undefined
    took(data)
    draw()
  })
  on('update', (data) => {
    took(data)
    if (screen.paused) drawState()
    else draw()
  })
  on('finished', (data) => {
    source.close()
    screen.finished = true
    took(data)
    run.rates = flow.rates = {}
    draw()
  })
  source.onerror = () => {
    if (screen.finished) return
    screen.lost = true
    drawState()
    // A refusal ends the source for good; a broken connection it mends by itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 3000)
  }
}

function drawState() {
  const silent = !screen.finished && run.data && performance.now() - run.heard > SILENCE_MS
  const state = screen.finished
    ? 'finished'
    : screen.lost || silent
      ? 'lost'
      : screen.paused
        ? 'paused'
        : run.data?.started
          ? 'running'
          : 'waiting'
  const words = {
    finished: 'Finished',
    lost: 'Connection lost',
    paused: 'Paused',
    running: 'Running',
    waiting: run.data ? 'Waiting for the first item' : 'Connecting',
  }
  flow.running = state === 'running'
  if (screen.state === words[state]) return
  screen.state = words[state]
  element('state').dataset.state = state
  element('state').textContent = words[state]
  document.title = `${run.name || 'Live view'}: ${words[state].toLowerCase()}`
  announce(words[state])
}

const within = (rows, now) => (screen.span === 'whole' ? rows : rows.filter(({ t }) => t >= now - MINUTE))
const widthOf = (box) => Math.max(200, Math.floor(box.clientWidth))

function draw() {
  drawState()
  if (!shown.data) return
  const { data } = run
  element('name').textContent = shown.name
  element('since').textContent = data.started ? `${clock(data.now)}${screen.finished ? ' in all' : ''}` : ''
  const recent = shown.rows.filter(({ t }) => t >= data.now - 3500)
  const seconds = recent.reduce((sum, row) => sum + row.w, 0) / 1000 || 1
  const speed = (key) => recent.reduce((sum, row) => sum + row[key], 0) / Math.max(seconds, 1)
  show(element('tiles'), tiles(data, screen.finished ? { in: 0, out: 0 } : { in: speed('in'), out: speed('out') }).filter(Boolean))
  drawGraph()
  drawCharts()
  drawTables()
}

function drawGraph() {
  const box = element('graph')
  const width = widthOf(box)
  if (screen.place?.available !== width) {
    screen.place = { ...layout(shown.graph, width), available: width }
    box.replaceChildren(toDom(h('div', {})))
    flow.over(box, shown.graph, screen.place)
  }
  const more = shown.graph.more > 0 && h('p', { class: 'quiet' }, `${shown.graph.more} more nodes are not drawn.`)
  show(box.firstChild, graphTree(shown.graph, screen.place, shown.data, shown.rates), more)
}

function drawCharts() {
  const { data } = run
  const rows = within(screen.span === 'whole' ? shown.whole : shown.rows, data.now)
  const [from, to] =
    screen.span === 'whole' ? [0, Math.max(data.now, 10_000)] : [Math.max(0, data.now - MINUTE), Math.max(data.now, MINUTE)]
  const size = (id, height) => ({ width: widthOf(element(id)), height, from, to })
  const at = screen.cursor && rows.findLast(({ t }) => t <= from + screen.cursor * (to - from))
  show(element('share-bar'), shareBar(data.totals))
  show(element('share'), shareChart(rows, size('share', 190)))
  show(element('share-legend'), shareLegend(data.totals, at))
  const series = latencySeries(rows)
  show(element('latency'), latencyChart(rows, series, size('latency', 216)))
  show(
    element('latency-legend'),
    series.length > 0 ? latencyLegend(series, data.percentiles, at) : h('li', {}, 'Nothing was measured yet.'),
  )
  const plain = (id, key, options) => show(element(id), lineChart(rows, [[key, '']], size(id, 110), options))
  plain('cpu', 'cpu', { format: percent, label: 'Processor time over time', atLeast: 0.5 })
  plain('memory', 'rss', { format: bytes, label: 'Memory over time' })
  plain('loop', 'loop', { format: ms, label: 'Event-loop delay over time', atLeast: 2 })
  drawRouters(rows, { from, to })
  for (const cursor of document.querySelectorAll('.cursor')) cursor.remove()
  if (screen.cursor === undefined) return
  for (const box of document.querySelectorAll('[data-chart]')) {
    const line = toDom(h('div', { class: 'cursor' }))
    line.style.left = `${52 + screen.cursor * (widthOf(box) - 62)}px`
    box.append(line)
  }
}

function drawRouters(rows, range) {
  const box = element('routers')
  if (box.childElementCount !== shown.data.routers.length) {
    const part = (index) =>
      h(
        'section',
        { class: 'panel', 'aria-labelledby': `h-router-${index}` },
        h('h2', { id: `h-router-${index}` }),
        h(
          'div',
          { class: 'router-grid' },
          h(
            'div',
            {},
            h('h3', {}, 'Learned size and breakers'),
            h('div', { class: 'chart-box', id: `threshold-${index}`, 'data-chart': true }),
            h('div', { class: 'scroll', id: `sides-${index}`, tabindex: 0, role: 'region', 'aria-label': 'Sides of the router' }),
          ),
          h(
            'div',
            {},
            h('h3', {}, 'Sizes and targets'),
            h('div', { class: 'chart-box', id: `sizes-${index}` }),
            h('ul', { class: 'legend', id: `sizes-legend-${index}` }),
            h('div', { id: `facts-${index}` }),
          ),
        ),
      )
    box.replaceChildren(...shown.data.routers.map(({ index }) => toDom(part(index))))
  }
  for (const router of shown.data.routers) {
    const own = (name) => element(`${name}-${router.index}`)
    const wide = (name, height) => ({ width: widthOf(own(name)), height, ...range })
    show(own('h-router'), `Router ${router.name}`)
    show(own('threshold'), thresholdChart(rows, router.index, router, wide('threshold', 200)))
    show(own('sides'), sidesTable(router))
    show(own('sizes'), routingChart(router, wide('sizes', 200)))
    show(own('sizes-legend'), routerLegend(router))
    show(own('facts'), routerFacts(router))
  }
}

function drawTables() {
  const { data } = run
  const words = screen.filter.toLowerCase().split(/\s+/).filter(Boolean)
  const names = data.routers.map(({ name }) => name)
  const all = [...shown.decisions.values()].sort((a, b) => b.n - a.n)
  const fitting = words.length === 0 ? all : all.filter((decision) => words.every((word) => wordsOf(decision, names).includes(word)))
  show(element('decision-table'), decisionTable(fitting.slice(0, 100), data.routers, words.length > 0))
  element('decision-count').textContent =
    words.length > 0 ? `${fitting.length} of the last ${all.length}` : `${count(data.decisionCount)} in all`
  show(element('session-table'), sessionTable(data.sessions.rows, data.now))
  element('session-count').textContent =
    data.sessions.dropped > 0 ? `${data.sessions.kept} kept, ${count(data.sessions.dropped)} left out` : count(data.sessions.kept)
  show(element('error-table'), errorTable(data.errors))
  element('error-count').textContent =
    data.errors.count > 0
      ? Object.entries(data.errors.byCode)
          .map(([code, value]) => `${code} ${count(value)}`)
          .join(', ')
      : ''
}

function pause() {
  screen.paused = !screen.paused
  // What is shown stands still; what happens meanwhile is kept.
  shown = screen.paused ? { ...run, decisions: structuredClone(run.decisions), rates: {} } : run
  element('pause').setAttribute('aria-pressed', String(screen.paused))
  element('pause').textContent = screen.paused ? 'Go on' : 'Pause'
  draw()
}

function spanOf(span) {
  screen.span = span
  document.querySelector(`[name="span"][value="${span}"]`).checked = true
  draw()
}

element('pause').addEventListener('click', pause)
element('help').addEventListener('click', () => element('help-box').showModal())
element('filter').addEventListener('input', ({ target }) => {
  screen.filter = target.value
  if (shown.data) drawTables()
})
for (const choice of document.querySelectorAll('[name="span"]')) choice.addEventListener('change', () => spanOf(choice.value))
document.addEventListener('keydown', (event) => {
  const typing = event.target.matches('input[type="search"]')
  if (typing && event.key === 'Escape') {
    event.target.value = screen.filter = ''
    event.target.blur()
    drawTables()
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || element('help-box').open) return
  const act = {
    p: pause,
    w: () => spanOf(screen.span === 'whole' ? 'minute' : 'whole'),
    '/': () => element('filter').focus(),
    '?': () => element('help-box').showModal(),
  }[event.key]
  if (!act) return
  event.preventDefault()
  act()
})
document.addEventListener('pointermove', ({ target, clientX }) => {
  const box = target.closest?.('[data-chart]')
  const share = box ? (clientX - box.getBoundingClientRect().left - 52) / (widthOf(box) - 62) : undefined
  const cursor = share >= 0 && share <= 1 ? share : undefined
  if (cursor === screen.cursor) return
  screen.cursor = cursor
  if (shown.data) drawCharts()
})
new ResizeObserver(() => shown.data && draw()).observe(document.querySelector('main'))
setInterval(drawState, 1000)
connect()
