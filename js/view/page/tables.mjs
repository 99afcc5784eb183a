// Tables of the page and of the report: decisions, sessions, errors, changes of breakers.

import { h } from './dom.mjs'
import { ago, bytes, clockTenths, count, ms, percent } from './format.mjs'
import { TARGETS } from './panels.mjs'

/** Columns are `[name, class, what a row shows, whether a narrow screen names it]`. */
function table(caption, columns, rows) {
  const head = columns.map(([name, className]) => h('th', { scope: 'col', class: className === 'num' ? 'num' : null }, name))
  const cell =
    (row) =>
    ([name, className, value, named]) =>
      h('td', { class: className || null, 'data-name': named ? name : null }, value(row))
  return h(
    'table',
    { class: 'cards' },
    h('caption', { class: 'hidden' }, caption),
    h('thead', {}, h('tr', {}, head)),
    h(
      'tbody',
      {},
      rows.map((row) => h('tr', {}, columns.map(cell(row)))),
    ),
  )
}

const empty = (words) => h('p', { class: 'empty' }, words)

function whatCame({ fallback, explored }) {
  if (fallback) return h('span', { class: 'warn' }, `fell back to ${fallback.to}${fallback.error ? ` (${fallback.error})` : ''}`)
  return explored ? 'trial' : ''
}

/** All words of a decision, for the filter. */
export const wordsOf = (decision, names) =>
  [
    names[decision.router],
    decision.target,
    decision.reason,
    decision.rule,
    decision.sessionId,
    decision.explored ? 'trial' : '',
    decision.fallback ? `fallback ${decision.fallback.to} ${decision.fallback.error ?? ''}` : '',
  ]
    .join(' ')
    .toLowerCase()

export function decisionTable(decisions, routers, filtered = false) {
  if (decisions.length === 0)
    return empty(
      filtered ? 'No decision has these words.' : routers.length > 0 ? 'No decision yet.' : 'There is no router in this pipeline.',
    )
  const several = routers.length > 1
  return table(
    'Last decisions, the newest first',
    [
      ['Time', 'num', ({ t }) => clockTenths(t), false],
      ['Target', '', ({ target }) => h('span', { class: `badge ${target}` }, target), false],
      ...(several ? [['Router', '', ({ router }) => routers[router]?.name ?? '', true]] : []),
      ['Reason', 'reason full', ({ reason }) => reason, false],
      ['Size', 'num', (decision) => bytes(decision.bytes), true],
      ['Session', '', ({ sessionId, sequence }) => `${sessionId} #${sequence}`, true],
      ['Edge', 'num', ({ edgeMs }) => ms(edgeMs), true],
      ['Cloud', 'num', ({ cloudMs }) => ms(cloudMs), true],
      ['Outcome', 'full', whatCame, false],
    ],
    decisions,
  )
}

/** Where the items of a session were answered, as a bar with words for those who do not see it. */
function sessionShare({ targets }) {
  const all = TARGETS.reduce((sum, target) => sum + targets[target], 0)
  if (all === 0) return '–'
  let x = 0
  const rects = TARGETS.map((target) => {
    const width = (targets[target] / all) * 72
    x += width
    return width > 0 && h('rect', { class: `fill-${target}`, x: x - width, y: 0, width, height: 10 })
  })
  const words = TARGETS.filter((target) => targets[target] > 0 && target !== 'none').map(
    (target) => `${target} ${percent(targets[target] / all)}`,
  )
  return [
    h('svg', { width: 72, height: 10, viewBox: '0 0 72 10', role: 'img', 'aria-label': words.join(', ') || 'no router' }, rects),
    h('span', { class: 'quiet' }, ` ${words.find((word) => word.startsWith('edge')) ?? words[0] ?? ''}`),
  ]
}

export function sessionTable(rows, now) {
  if (rows.length === 0) return empty('No session yet.')
  return table(
    'Sessions, the one used last first',
    [
      ['Session', 'full', ({ id }) => id || '(none)', false],
      ['In', 'num', ({ items }) => count(items), true],
      ['Out', 'num', ({ outputs }) => count(outputs), true],
      ['Where', 'share', sessionShare, false],
      ['Bytes', 'num', (row) => bytes(row.bytes), true],
      ['Errors', 'num', ({ errors }) => (errors > 0 ? h('span', { class: 'warn' }, count(errors)) : '0'), true],
      ['Last seen', 'num', ({ last }) => (now === undefined ? clockTenths(last) : ago(now - last)), true],
    ],
    rows,
  )
}

export function errorTable({ rows, count: all }) {
  if (all === 0) return empty('No errors.')
  return table(
    'Last errors, the newest first',
    [
      ['Time', 'num', ({ t }) => clockTenths(t), false],
      ['Code', 'code', ({ code }) => code, false],
      ['Message', 'full', ({ message }) => message, false],
      ['Node', '', ({ nodeName }) => nodeName ?? '', true],
      ['Session', '', ({ sessionId }) => sessionId ?? '', true],
    ],
    [...rows].reverse(),
  )
}

export function changeTable(changes, routers) {
  if (changes.length === 0) return empty('No breaker has changed.')
  return table(
    'Changes of breakers, the newest first',
    [
      ['Time', 'num', ({ t }) => clockTenths(t), false],
      ['Router', '', ({ router }) => routers[router]?.name ?? '', false],
      ['Side', '', ({ target }) => h('span', { class: `badge ${target}` }, target), false],
      ['Change', '', ({ from, to }) => [`${from} → `, h('span', { class: `badge ${to}` }, to)], false],
    ],
    [...changes].reverse(),
  )
}
