// Problem: `run` and `stream` are one thing: an input through a pipeline to an output, and whatever happens, what was read comes out.
// Answer: `flow` joins the three; the output is waited for before more is read. A signal or the end of the input ends the reading, then what
// is under way is finished and the output completed. An error is reported after what was put out before it.

const inputs = require('./input.js')
const outputs = require('./output.js')
const targets = require('./target.js')
const views = require('./view.js')
const { PROGRAM } = require('./help.js')
const { BrokenPipe } = require('./problems.js')
const { duration } = require('./options.js')
const { bytes, plural, progress, seconds, warn } = require('./terminal.js')

const OPTIONS = {
  ...targets.OPTIONS,
  session: { type: 'string', value: 'ID', about: 'the session whose state the nodes keep (one of its own)' },
  timeout: { type: 'string', value: 'TIME', about: 'time per item: 500ms, 30s, 2m (what each node says)' },
  'on-error': { type: 'string', value: 'WHAT', choices: ['throw', 'skip', 'emit'], about: 'what an item that fails does to the others' },
  'output-format': { type: 'string', value: 'FORMAT', choices: ['auto', ...outputs.FORMATS], about: 'what to write (by extension)' },
  json: { type: 'boolean', about: 'end standard output with one line of JSON: {"summary": ...} or {"error": ...}' },
  quiet: { type: 'boolean', short: 'q', about: 'no progress and no summary; warnings and errors stay' },
}

/** Everything that was typed, checked. */
function read(values) {
  return {
    input: inputs.read(values),
    target: targets.read(values),
    view: views.read(values),
    process: {
      ...(values.session !== undefined && { sessionId: values.session }),
      ...(values.timeout !== undefined && { timeoutMs: duration(values.timeout, 'timeout') }),
    },
  }
}

/** Reads, processes and writes until the end: the figures. */
async function pump({ process: options }, run, counts, bar, input, output) {
  const items = async function* () {
    for await (const item of input.items) {
      counts.items += 1
      yield item
    }
  }
  for await (const packet of run(items(), options)) {
    await output.write(packet)
    bar.show(input.received(), `${plural(counts.items, 'item')}, ${plural(output.counts.packets, 'packet')}`)
  }
}

/** Runs all of it: `{ items, packets, errors, ... }`. `files` is `{ target, input, output }`. */
async function flow(files, values, { stopping, linewise = false, onError = 'throw', title }) {
  const options = read(values)
  const strict = (values['on-error'] ?? onError) === 'throw'
  const counts = { items: 0, badItems: 0 }
  const onBad = (error) => {
    if (strict) throw error
    counts.badItems += 1
    warn(error.message)
  }
  const { pipeline, name, warnings } = targets.open(files.target, options.target, { onError: values['on-error'] ?? onError })
  for (const { message } of warnings) warn(`${files.target}: ${message}`)
  stopping.handles()
  let input
  let output
  let view
  let failure
  const started = performance.now()
  let bar = progress('', 0, { quiet: true })
  try {
    input = await inputs.open(files.input, options.input, stopping, { linewise, onBad: strict ? undefined : onBad })
    await pipeline.initialize()
    view = await views.open(pipeline, name, options.view)
    output = await outputs.open(files.output, values['output-format'], files.input)
    bar = progress(title ?? name, input.size, { quiet: values.quiet || linewise })
    await pump(options, views.watched(pipeline, view), counts, bar, input, output)
  } catch (error) {
    failure = error
  } finally {
    bar.end()
    input?.close()
  }
  const interpreted = slowModules(pipeline)
  // A guest that is refused what it relies on often does nothing but trap.
  if (failure?.code === 'ERR_WASM_TRAP') for (const { message } of await targets.ungranted(pipeline.nodes)) warn(message)
  // Whatever failed, each of them has its end.
  const ends = [() => (failure instanceof BrokenPipe ? undefined : output?.close()), () => view?.close(), () => pipeline.cleanup()]
  for (const end of ends) {
    try {
      await end()
    } catch (error) {
      failure ??= error
    }
  }
  if (failure) throw failure
  const tookMs = performance.now() - started
  return {
    pipeline: name,
    inputFormat: input.format,
    outputFormat: output.format,
    ...counts,
    ...output.counts,
    bytesRead: input.received(),
    bytesWritten: output.bytes(),
    interpreted,
    tookMs: Math.round(tookMs),
    stoppedBy: stopping.signal ?? null,
  }
}

/** Modules that are not compiled yet, though their nodes would rather have it so. */
function slowModules(pipeline) {
  if (!targets.api().runtimeInfo().nativeCode) return []
  const found = targets.modulesOf(pipeline.nodes).filter(({ options }) => (options.mode ?? 'auto') === 'auto')
  return found.filter(({ node }) => node.metrics().mode === 'interpreter').map(({ node }) => node.name)
}

/** The summary for people. */
function summary({ items, packets, errors, badItems, bytesRead, tookMs, stoppedBy }) {
  const failed = errors + badItems > 0 ? `, ${errors + badItems} failed` : ''
  const stopped = stoppedBy ? `; stopped by ${stoppedBy}, everything read was finished` : ''
  return `${plural(items, 'item')} (${bytes(bytesRead)}) in, ${plural(packets, 'packet')} out${failed}, ${seconds(tookMs)}${stopped}\n`
}

/** Tells how it went, and gives the exit code. */
function tell(figures, values, stopping, target) {
  if (values.json) process.stdout.write(`${JSON.stringify({ summary: figures })}\n`)
  else if (!values.quiet) {
    process.stderr.write(summary(figures))
    const slow = figures.interpreted.join(', ')
    if (slow) process.stderr.write(`${slow} ran interpreted, which is slow; once '${PROGRAM} compile ${target}' is done it runs compiled\n`)
  }
  return stopping.exitCode(0)
}

module.exports = { OPTIONS, flow, tell }
