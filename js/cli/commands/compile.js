// `compile`: modules into compiled code in the cache, at build or deploy time, so that no node waits for it later.

const path = require('node:path')
const targets = require('../target.js')
const { Refused, about, sentence } = require('../problems.js')
const { bytes, seconds, table, waiting } = require('../terminal.js')

/** The modules that were meant; those of a manifest are its nodes'. */
async function modulesOf(file) {
  if (targets.isModule(targets.modulePath(file))) return [{ name: file, module: targets.modulePath(file) }]
  const { pipeline } = targets.open(file, {})
  const found = targets.modulesOf(pipeline.nodes)
  await pipeline.cleanup()
  const unique = new Map(
    found.map(({ module, options }) => [`${module} ${Boolean(options.fuel)}`, { module, fuel: Boolean(options.fuel) }]),
  )
  return [...unique.values()].map((one) => ({ ...one, name: path.relative('.', one.module) || one.module }))
}

async function compileOne({ name, module, fuel }, quiet) {
  const wait = waiting(`compiling ${name} ...`, { quiet })
  try {
    return { module: name, ...(await targets.api().compileModule(module, fuel ? { fuel } : undefined)) }
  } catch (error) {
    return { module: name, error: about(error) }
  } finally {
    wait.end()
  }
}

module.exports = {
  name: 'compile',
  summary: 'compile modules ahead of time, into the cache',
  usage: 'MODULE.wasm|PIPELINE.yaml...',
  about:
    'Compiles modules, or those of a manifest, in a process of their own and keeps the result. What is there already is not compiled again.',
  arguments: [1, Number.POSITIVE_INFINITY],
  files: true,
  options: {
    fuel: { type: 'boolean', about: 'for nodes with the option fuel; nodes of a manifest say so themselves' },
    json: { type: 'boolean', about: 'as JSON, one line for each module' },
    quiet: { type: 'boolean', short: 'q', about: 'nothing but errors' },
  },
  examples: ['compile @remotemedia/wasmedge/modules/vad.wasm', 'compile pipeline.yaml --json'],
  async execute({ values, positionals }) {
    if (!targets.api().runtimeInfo().nativeCode) {
      throw new Refused('compiled code does not run on this system; nodes with mode auto interpret their modules', 'ERR_UNSUPPORTED')
    }
    const modules = (await Promise.all(positionals.map(modulesOf))).flat()
    const done = []
    for (const one of modules) {
      const result = await compileOne({ fuel: values.fuel, ...one }, values.quiet || values.json)
      done.push(result)
      if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`)
      if (result.error) process.stderr.write(`error: ${result.module}: ${sentence(result.error)}\n`)
    }
    const good = done.filter(({ error }) => !error)
    if (!values.json && !values.quiet && good.length > 0) {
      const rows = good.map((one) => [
        one.module,
        one.cached ? 'was in the cache' : 'compiled',
        seconds(one.durationMs),
        bytes(one.artifactBytes),
      ])
      process.stdout.write(`${table(rows, ['module', 'what', 'took', 'compiled size'])}in ${targets.api().runtimeInfo().cacheFolder}\n`)
    }
    return good.length === done.length ? 0 : 1
  },
}
