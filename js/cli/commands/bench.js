// `bench`: how many items a pipeline does in a second, and how long each takes.
//
// N streams side by side, each a session, take the same items over and over. Latency is the time from an item's being read to its first
// packet, waiting in line included; items that are not answered have none. A single module is measured once more with one item at a time,
// where nothing waits. It compares nothing: bench/ in the repository does.

const inputs = require('../input.js')
const targets = require('../target.js')
const telemetry = require('../telemetry.js')
const { Refused, about } = require('../problems.js')
const { duration, integer } = require('../options.js')
const { plural, progress, seconds, table, waiting, warn } = require('../terminal.js')

/** Of an input, as much as is kept in memory to be repeated. */
const MOST_ITEMS = 20_000
const MOST_BYTES = 256 << 20
/** A tenth of the time is for warming up, a second at most. */
const WARM_SHARE = 0.1

function sizeOf(item) {
  const value = item?.data ?? item
  if (typeof value === 'string') return Buffer.byteLength(value)
  const array = value?.samples ?? value?.pixels ?? value?.data ?? value
  return array?.byteLength ?? JSON.stringify(value).length
}

/** Ten seconds of noise in items of 20 ms, the same in every run. */
function noise({ rate, channels, chunk }) {
  const frames = chunk === 'all' ? rate * 10 : (chunk ?? Math.max(1, Math.round(rate / 50)))
  let state = 1
  const sample = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return 0.1 * (state / 2 ** 31 - 1)
  }
  const count = Math.max(1, Math.round((rate * 10) / frames))
  return Array.from({ length: count }, () => ({
    data: { samples: Float32Array.from({ length: frames * channels }, sample), sampleRate: rate, channels },
  }))
}

/** The items to repeat, and what they weigh. */
async function gather(file, options, stopping) {
  if (file === undefined) return noise(options)
  const input = await inputs.open(file, options, stopping)
  const items = []
  let weight = 0
  for await (const item of input.items) {
    const kept = Buffer.isBuffer(item) ? Buffer.from(item) : item
    items.push(kept)
    weight += sizeOf(kept)
    if (items.length >= MOST_ITEMS || weight >= MOST_BYTES) {
      warn(`only the first ${plural(items.length, 'item')} of ${file} are used`)
      break
    }
  }
  input.close()
  if (items.length === 0 && !stopping.stopped) throw new Refused(`${file} holds no items`)
  return items
}

function percentiles(times) {
  if (times.length === 0) return null
  times.sort((a, b) => a - b)
  const at = (share) => times[Math.min(times.length - 1, Math.ceil(times.length * share) - 1)]
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: times[times.length - 1] }
}

/** One stream until `over()`: what it did is added to `sum`. */
async function stream(pipeline, items, over, sum, options) {
  const begun = []
  const source = function* () {
    for (let index = 0; !over(); index += 1) {
      begun[index] = performance.now()
      const item = items[index % items.length]
      sum.items += 1
      sum.bytes += sizeOf(item)
      yield item
    }
  }
  for await (const { sequence } of pipeline.process(source(), options)) {
    sum.packets += 1
    if (begun[sequence] === undefined) continue
    if (sum.latencies.length < 1_000_000) sum.latencies.push(performance.now() - begun[sequence])
    begun[sequence] = undefined
  }
}

async function measure(pipeline, items, { ms, concurrency, stopping, bar, options }) {
  const sum = { items: 0, bytes: 0, packets: 0, latencies: [] }
  const started = performance.now()
  const over = () => {
    const took = performance.now() - started
    bar.show(took, plural(sum.items, 'item'))
    return took >= ms || stopping.stopped
  }
  await Promise.all(Array.from({ length: concurrency }, () => stream(pipeline, items, over, sum, options)))
  return { ...sum, tookMs: performance.now() - started }
}

/** One item at a time through a single module. */
async function alone(node, items, ms, stopping) {
  const times = []
  const started = performance.now()
  for (let index = 0; performance.now() - started < ms && !stopping.stopped; index += 1) {
    const begun = performance.now()
    await node.call(items[index % items.length], { sessionId: 'bench' })
    times.push(performance.now() - begun)
  }
  await node.closeSession('bench')
  return percentiles(times)
}

/** Seconds of audio in the items, if they are audio. */
function audioSeconds(items) {
  if (!items.every((item) => item?.data?.samples)) return undefined
  return items.reduce((sum, { data }) => sum + data.samples.length / (data.channels ?? 1) / data.sampleRate, 0) / items.length
}

const round = (value) =>
  value === null ? null : Object.fromEntries(Object.entries(value).map(([name, ms]) => [name, Number(ms.toFixed(4))]))

function figures({ items, bytes, packets, latencies, tookMs }, extra) {
  const perSecond = (count) => Number(((count * 1_000) / tookMs).toFixed(1))
  return {
    ...extra,
    seconds: Number((tookMs / 1_000).toFixed(3)),
    items,
    packets,
    itemsPerSecond: perSecond(items),
    megabytesPerSecond: Number((bytes / 1e3 / tookMs).toFixed(3)),
    timesRealtime: extra.itemSeconds === undefined ? null : perSecond(items * extra.itemSeconds),
    answered: latencies.length,
    latencyMs: round(percentiles(latencies)),
  }
}

function text(found) {
  const spread = (value) =>
    Object.entries(value)
      .map(([name, ms]) => `${name} ${ms.toFixed(3)} ms`)
      .join('   ')
  const rows = [
    ['streams', `${found.concurrency}, for ${seconds(found.seconds * 1_000)}`],
    ['items', `${found.itemsPerSecond.toLocaleString('en-US')} a second (${found.items.toLocaleString('en-US')} in all)`],
    ['bytes', `${found.megabytesPerSecond.toLocaleString('en-US')} MB a second`],
  ]
  if (found.timesRealtime !== null)
    rows.push(['audio', `${found.timesRealtime.toLocaleString('en-US')} times realtime, all streams together`])
  rows.push([
    'latency',
    found.latencyMs ? `${spread(found.latencyMs)}   of ${plural(found.answered, 'answered item')}` : 'no item was answered',
  ])
  if (found.aloneMs) rows.push(['one at a time', spread(found.aloneMs)])
  for (const { name, mode } of found.nodes) if (mode) rows.push([`mode of ${name}`, mode])
  return `${found.name}\n${table(rows)}`
}

async function compileFirst(pipeline, quiet) {
  if (!targets.api().runtimeInfo().nativeCode) return
  for (const { module, options } of targets.modulesOf(pipeline.nodes)) {
    if (options.mode === 'interpreter') continue
    const wait = waiting(`compiling ${module} ...`, { quiet })
    await targets
      .api()
      .compileModule(module, options.fuel ? { fuel: true } : undefined)
      .catch((error) => warn(about(error).message))
    wait.end()
  }
}

module.exports = {
  name: 'bench',
  summary: 'measure a pipeline or a module',
  usage: 'PIPELINE.yaml|MODULE.wasm [-i FILE]',
  about:
    'Runs the items of a file, or noise at 16 kHz in items of 20 ms, through a pipeline over and over: items and bytes a second, and the time ' +
    'from an item’s being read to its first packet, waiting in line included.',
  arguments: [1, 1],
  files: true,
  options: {
    input: { type: 'string', short: 'i', value: 'FILE', about: 'items to repeat (noise)' },
    seconds: { type: 'string', value: 'TIME', about: 'how long to measure (5s)' },
    concurrency: { type: 'string', short: 'c', value: 'N', about: 'streams side by side, each a session (1)' },
    ...inputs.OPTIONS,
    ...targets.OPTIONS,
    ...telemetry.OPTIONS,
    json: { type: 'boolean', about: 'the figures as JSON' },
    quiet: { type: 'boolean', short: 'q', about: 'no progress' },
  },
  examples: ['bench @remotemedia/wasmedge/modules/vad.wasm', 'bench pipeline.yaml -i talk.wav --seconds 10 --concurrency 8 --json'],
  async execute({ values, positionals: [target] }, { stopping }) {
    const ms = duration(values.seconds ?? '5', 'seconds')
    const concurrency = integer(values.concurrency ?? '1', 'concurrency', 1, 4_096)
    const quiet = values.quiet || values.json
    const inputOptions = inputs.read(values)
    const { pipeline, name } = targets.open(target, targets.read(values))
    try {
      stopping.handles()
      const items = await gather(values.input, inputOptions, stopping)
      await compileFirst(pipeline, quiet)
      await pipeline.initialize()
      const bar = progress(name, ms, { quiet })
      const about = { concurrency, stopping, bar }
      try {
        await measure(pipeline, items, { ...about, ms: Math.min(1_000, ms * WARM_SHARE), bar: progress('', 0, { quiet: true }) })
        if (!quiet) process.stderr.write(`measuring ${name} for ${seconds(ms)}\n`)
        const sum = await measure(pipeline, items, { ...about, ms })
        const found = figures(sum, { name, concurrency, itemSeconds: audioSeconds(items) })
        const [only] = pipeline.nodes
        const single = pipeline.nodes.length === 1 && typeof only.call === 'function'
        found.aloneMs = single ? round(await alone(only, items, Math.min(1_000, ms), stopping)) : null
        found.nodes = pipeline.metrics().nodes.map(({ name: node, metrics }) => ({ name: node, mode: metrics.mode ?? null, metrics }))
        bar.end()
        process.stdout.write(values.json ? `${JSON.stringify(found)}\n` : text(found))
      } finally {
        bar.end()
      }
    } finally {
      await pipeline.cleanup()
    }
    return stopping.exitCode(0)
  },
}
