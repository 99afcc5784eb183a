// Items that flow: dots along the lines of the graph, as many as there are items, up to a few a second for each line.

import { h, toDom } from './dom.mjs'

const TRAVEL_MS = 1100
const MOST_PER_SECOND = 7
const MOST_DOTS = 120

export class Flow {
  #overlay
  #paths = new Map()
  #dots = []
  #rates = {}
  #due = new Map()
  #last
  #still = matchMedia('(prefers-reduced-motion: reduce)')
  running = true

  constructor() {
    const step = (now) => {
      this.#step(now)
      requestAnimationFrame(step)
    }
    requestAnimationFrame(step)
  }

  /** Lies over a graph that was laid out anew. */
  over(box, graph, { width, height, lines }) {
    this.#overlay?.remove()
    this.#overlay = toDom(h('svg', { class: 'overlay', viewBox: `0 0 ${width} ${height}`, width, height, 'aria-hidden': 'true' }))
    this.#paths.clear()
    this.#dots = []
    for (const { id, label } of graph.edges) {
      const path = toDom(h('path', { d: lines.get(id).path }), true)
      this.#overlay.append(path)
      this.#paths.set(id, { path, length: path.getTotalLength(), name: label ? `to-${label.target}` : '' })
    }
    box.append(this.#overlay)
  }

  /** Items a second by edge. */
  set rates(rates) {
    this.#rates = rates
  }

  #step(now) {
    const passed = Math.min(now - (this.#last ?? now), 100)
    this.#last = now
    if (!this.#overlay) return
    if (this.running && !this.#still.matches) this.#start(now, passed)
    this.#dots = this.#dots.filter((dot) => {
      const share = (now - dot.from) / TRAVEL_MS
      if (share >= 1) {
        dot.circle.remove()
        return false
      }
      const { x, y } = dot.path.getPointAtLength(share * dot.length)
      dot.circle.setAttribute('cx', x)
      dot.circle.setAttribute('cy', y)
      return true
    })
  }

  #start(now, passed) {
    for (const [id, { path, length, name }] of this.#paths) {
      const rate = Math.min(this.#rates[id] ?? 0, MOST_PER_SECOND)
      const due = (this.#due.get(id) ?? 0) + (rate * passed) / 1000
      this.#due.set(id, due % 1)
      if (due < 1 || this.#dots.length >= MOST_DOTS) continue
      const circle = toDom(h('circle', { class: name, r: 3.6 }), true)
      this.#overlay.append(circle)
      this.#dots.push({ circle, path, length, from: now })
    }
  }
}
