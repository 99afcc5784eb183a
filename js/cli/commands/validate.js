// `validate`: everything that is wrong with a manifest, found without running it and without the network.
//
// The package reports the first thing that is wrong; here each node is made by itself, so that one does not hide the others. Modules are
// loaded as their node would load them, only not compiled: imports that were not granted, limits and a broken ABI show.

const path = require('node:path')
const targets = require('../target.js')
const { about } = require('../problems.js')
const { plural } = require('../terminal.js')

/** Loads the node's modules: what is wrong with them. */
async function loadModules(node, at) {
  const found = []
  for (const { at: where, Class, module, options } of targets.modulesOf([node], () => `${at}.params`)) {
    const problem = async () => {
      try {
        const { abi } = await targets.api().inspectModule(module)
        const trial = new Class(module, { ...options, ...(options.mode !== 'interpreter' && { mode: 'interpreter' }) })
        try {
          await trial.initialize()
        } finally {
          await trial.cleanup()
        }
        if (!abi && !options.exports?.process) return { code: 'ERR_ABI', message: 'the module exports no process function' }
      } catch (error) {
        return about(error)
      }
    }
    const wrong = await problem()
    if (wrong) found.push({ path: `${where}.module`, code: wrong.code, message: wrong.message })
  }
  return found
}

/** Makes one node by itself: what is wrong with it. */
async function checkNode(manifest, index, { remote, baseDir }) {
  const node = manifest.nodes[index]
  const alone = { ...manifest, nodes: [node], connections: [] }
  let made
  try {
    made = targets.api().Pipeline.fromManifest(alone, { baseDir, ...(remote && { remote }) })
  } catch (error) {
    const { code, message, path: at = '' } = about(error)
    // Alone it was number 0.
    const place = at.replace(/^nodes\.0\b/, `nodes.${index}`)
    return [{ path: place, code, message: message.replace(at, place) }]
  }
  try {
    return await loadModules(made.nodes[0], `nodes.${index}`)
  } finally {
    await made.cleanup()
  }
}

/** All problems and warnings of a manifest. */
async function check(file, { params = {}, remote }) {
  let read
  try {
    read = targets.readManifest(file)
  } catch (error) {
    const { path: at = 'manifest', code, message } = about(targets.about(file, error))
    return { problems: [{ path: at, code, message: message.replace(`${file}: `, '') }], warnings: [], nodes: [] }
  }
  const manifest = targets.withParams(read.manifest, params)
  const problems = []
  const ungranted = []
  for (const index of manifest.nodes.keys()) problems.push(...(await checkNode(manifest, index, { remote, baseDir: read.folder })))
  if (problems.length === 0) {
    // What shows only between nodes.
    try {
      const { pipeline } = targets.open(file, { params, remote })
      ungranted.push(...(await targets.ungranted(pipeline.nodes)))
      await pipeline.cleanup()
    } catch (error) {
      const { path: at, code, message } = about(error)
      problems.push({ path: at ?? 'connections', code, message: message.replace(`${file}: `, '') })
    }
  }
  const nodes = manifest.nodes.map(({ id, node_type: type }) => ({ id, nodeType: type }))
  const warnings = [...targets.unknownKeys(manifest), ...ungranted]
  return { name: manifest.metadata.name ?? path.basename(file), problems, warnings, nodes }
}

const line = ({ path: at, code, message }) => `  ${message.startsWith(at) ? message : `${at}: ${message}`} (${code})\n`

module.exports = {
  name: 'validate',
  summary: 'check a manifest and its modules',
  usage: 'PIPELINE.yaml',
  about:
    'Reads a manifest, makes every node and loads every module, and tells all that is wrong, each with its place. Nothing is run or asked.',
  arguments: [1, 1],
  files: true,
  options: { ...targets.OPTIONS, json: { type: 'boolean', about: 'the findings as JSON: {"valid", "problems", "warnings", "nodes"}' } },
  notes: ['The exit code is 1 if something is wrong. Keys that are not known are ignored by everybody and only warned of.'],
  examples: ['validate pipeline.yaml'],
  async execute({ values, positionals: [file] }) {
    const found = await check(file, targets.read(values))
    const valid = found.problems.length === 0
    if (values.json) {
      process.stdout.write(`${JSON.stringify({ valid, ...found })}\n`)
      return valid ? 0 : 1
    }
    for (const { message } of found.warnings) process.stderr.write(`warning: ${message}\n`)
    if (valid)
      process.stdout.write(`${file} is valid: ${plural(found.nodes.length, 'node')}, ${found.nodes.map(({ id }) => id).join(', ')}\n`)
    else process.stdout.write(`${file}: ${plural(found.problems.length, 'problem')}\n${found.problems.map(line).join('')}`)
    return valid ? 0 : 1
  },
}
