// Problem: people may want to watch a pipeline, or keep a report of a run, and nobody else should pay for that.
// Answer: the view is loaded only when it was asked for, and whatever goes through the pipeline is shown to it on the way.

const { Refused } = require('./problems.js')
const { integer } = require('./options.js')

const OPTIONS = {
  ui: { type: 'string', value: 'PORT', optional: /^\d+$/, about: 'show the pipeline at work on a local web page (port: a free one)' },
  report: { type: 'string', value: 'FILE', about: 'write a report of the run as one HTML file' },
}

function read(values) {
  const ui = values.ui === undefined ? undefined : { port: values.ui === '' ? 0 : integer(values.ui, 'ui', 0, 65_535) }
  return { ui, report: values.report }
}

/** The module, if this build has it. */
function load() {
  try {
    return require('../view')
  } catch (error) {
    if (error.code === 'MODULE_NOT_FOUND') throw new Refused('this build has no live view', 'ERR_UNSUPPORTED')
    throw error
  }
}

/** The view, or nothing if none is wanted. */
async function open(pipeline, name, { ui, report }) {
  if (!ui && !report) return undefined
  const view = await load().openView(pipeline, { name, ui, report })
  if (view.url) process.stderr.write(`live view: ${view.url}\n`)
  return view
}

/** The pipeline's `process`, with the view looking on. */
function watched(pipeline, view) {
  if (!view) return (source, options) => pipeline.process(source, options)
  return async function* (source, options = {}) {
    const seen = async function* () {
      for await (const item of source) {
        view.input(item, options.sessionId)
        yield item
      }
    }
    try {
      for await (const packet of pipeline.process(seen(), options)) {
        view.output(packet)
        yield packet
      }
    } catch (error) {
      view.error(error)
      throw error
    }
  }
}

module.exports = { OPTIONS, read, open, watched }
