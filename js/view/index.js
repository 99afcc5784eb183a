// `openView`: watches a run, shows it on a local web page and writes a report of it.

const { statSync } = require('node:fs')
const path = require('node:path')
const { refused } = require('../node.js')
const { SECOND_MS } = require('./buckets.js')
const { graphOf } = require('./graph.js')
const { Recorder } = require('./recorder.js')
const { State } = require('./state.js')
const { System } = require('./system.js')

const EVERY_MS = 500
/** The picture of the whole run is made anew every so many times. */
const WHOLE_EVERY = 8
/** Decisions that are told again, for what became of them is known later. */
const AGAIN = 32

class View {
  #recorder = new Recorder()
  #system = new System()
  #graph
  #state
  #server
  #timer
  #report
  #listeners = []
  #ticks = 0
  #told = { time: 0, decision: 0 }
  #closing

  constructor(pipeline, name, report) {
    this.name = name
    this.#report = report
    this.#graph = graphOf(pipeline)
    this.#state = new State(pipeline, this.#graph, this.#recorder)
    for (const { index, node } of this.#graph.routers) this.#listen(index, node)
  }

  /** Opens the page; its URL is in `url`. */
  async serve(port) {
    const { ViewServer } = require('./server.js')
    this.#server = new ViewServer(() => this.#hello())
    this.url = await this.#server.listen(port)
  }

  start() {
    this.#timer = setInterval(() => this.#tick(), EVERY_MS)
    this.#timer.unref()
  }

  input(item, sessionId) {
    if (!this.#closing) this.#recorder.input(item, sessionId)
  }

  output(packet) {
    if (!this.#closing) this.#recorder.output(packet)
  }

  error(error) {
    if (!this.#closing) this.#recorder.error(error)
  }

  /** Writes the report and closes the page. Idempotent. */
  close() {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close() {
    clearInterval(this.#timer)
    for (const [node, event, listener] of this.#listeners) node.off(event, listener)
    this.#note()
    this.#system.close()
    try {
      if (this.#report) await require('./report.js').writeReport(this.#report, this.#everything())
    } finally {
      // The last second is told though it is not over.
      const rows = this.#recorder.timeline.since(this.#told.time, Number.POSITIVE_INFINITY)
      await this.#server?.close('finished', { ...this.#everything(), rows })
    }
  }

  /** Stops without a report: what was to be opened could not be. */
  abandon() {
    this.#report = undefined
    return this.close()
  }

  #listen(index, node) {
    const on = (event, listener) => {
      node.on(event, listener)
      this.#listeners.push([node, event, listener])
    }
    on('decision', (about) => this.#recorder.decision(index, about))
    on('fallback', (about) => this.#recorder.fallback(index, about))
    on('breaker', (about) => this.#recorder.breaker(index, about))
  }

  #note() {
    this.#state.refresh()
    this.#state.note(this.#system.sample())
  }

  #tick() {
    this.#note()
    this.#ticks++
    const now = this.#recorder.now()
    const from = this.#told
    this.#told = { time: Math.floor(now / SECOND_MS) * SECOND_MS, decision: this.#recorder.decisions.count }
    if (!this.#server?.clients) return
    const decisions = this.#recorder.decisions.all().filter(({ n }) => n > from.decision - AGAIN)
    const update = { ...this.#state.figures(), rows: this.#recorder.timeline.since(from.time, now), decisions }
    if (this.#ticks % WHOLE_EVERY === 0) update.whole = this.#recorder.timeline.whole(now)
    this.#server.send('update', update)
  }

  /** What a page needs that has just been opened. */
  #hello() {
    this.#state.refresh()
    return { ...this.#everything(), rows: this.#recorder.timeline.since(0, this.#recorder.now()) }
  }

  /** The run so far. */
  #everything() {
    const recorder = this.#recorder
    return {
      name: this.name,
      startedAt: recorder.startedAt,
      graph: this.#state.graph(),
      ...this.#state.figures(),
      firstItem: recorder.firstItem ?? null,
      decisions: recorder.decisions.all(),
      changes: recorder.changes.all(),
      whole: recorder.timeline.whole(recorder.now()),
    }
  }
}

/** A folder that is missing is told before the run, not after it. */
function reportPath(given) {
  if (given === undefined) return undefined
  if (typeof given !== 'string' || given === '') throw refused('report', 'must be the path of the file to write')
  const file = path.resolve(given)
  const folder = statSync(path.dirname(file), { throwIfNoEntry: false })
  if (!folder?.isDirectory()) throw refused('report', `there is no folder ${path.dirname(given)} for ${path.basename(given)}`)
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) throw refused('report', `${given} is a folder`)
  return file
}

/**
 * Watches a pipeline, or a node, until it is closed.
 *
 * @throws `ConfigurationError` (`ERR_CONFIG`) for a port that is in use, or a report that cannot be written.
 */
async function openView(pipeline, { name, ui, report } = {}) {
  if ((typeof pipeline !== 'object' && typeof pipeline !== 'function') || pipeline === null)
    throw refused('pipeline', 'must be a pipeline or a node')
  if (ui !== undefined && (typeof ui !== 'object' || ui === null)) throw refused('ui', 'must be an object such as { port: 0 }')
  const view = new View(pipeline, String(name ?? pipeline.name ?? 'pipeline').slice(0, 120), reportPath(report))
  try {
    if (ui) await view.serve(ui.port)
  } catch (error) {
    await view.abandon()
    throw error
  }
  view.start()
  return {
    url: view.url,
    input: (item, sessionId) => view.input(item, sessionId),
    output: (packet) => view.output(packet),
    error: (error) => view.error(error),
    close: () => view.close(),
  }
}

module.exports = { openView }
