// Problem: what is to run is a manifest or a single module, here or from this package, with parameters that the command line may change.
// Answer: both become a `Pipeline`; errors keep the dotted path into the manifest. Also finds the modules of a pipeline and the keys of a
// manifest that nobody reads. It starts nothing.

const fs = require('node:fs')
const path = require('node:path')
const { Refused, UsageError, fileError, nearest } = require('./problems.js')
const { address, jsonObject } = require('./options.js')

/** Modules of this package, by the name under which it exports them. */
const OWN = '@remotemedia/wasmedge/modules/'

const OPTIONS = {
  params: { type: 'string', value: 'JSON', about: 'parameters: {"node id": {...}} over those of a manifest, or the options of a module' },
  remote: { type: 'string', value: 'HOST:PORT', about: 'the service for nodes of the manifest that are to run on one and name none' },
}

const ROOT_KEYS = ['version', 'metadata', 'nodes', 'connections', 'python_env']
const NODE_KEYS = [
  ...['id', 'node_type', 'params', 'is_streaming', 'is_output_node', 'fast_path', 'capabilities', 'media_capabilities'],
  ...['host', 'runtime_hint', 'execution', 'docker', 'python_deps'],
]

/** The package, loaded only when something is to run: help and usage errors need no addon. */
const api = () => require('../index.js')

function isModule(file) {
  if (file.endsWith('.wasm')) return true
  let handle
  try {
    handle = fs.openSync(file, 'r')
    const head = Buffer.alloc(4)
    fs.readSync(handle, head, 0, 4, 0)
    return head.toString('latin1') === '\0asm'
  } catch (error) {
    throw fileError(`cannot read ${file}`, error)
  } finally {
    if (handle !== undefined) fs.closeSync(handle)
  }
}

/** The path of a module, also of one of this package by its public name. */
const modulePath = (file) => (file.startsWith(OWN) ? path.join(__dirname, '../../wasm-modules/dist', path.basename(file)) : file)

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

/** `over` on top of `base`, objects key by key. */
function merged(base, over) {
  if (!isObject(base) || !isObject(over)) return over
  const out = { ...base }
  for (const [key, value] of Object.entries(over)) out[key] = Object.hasOwn(out, key) ? merged(out[key], value) : value
  return out
}

function withParams(manifest, params) {
  const known = manifest.nodes.map(({ id }) => id)
  for (const id of Object.keys(params)) {
    if (known.includes(id)) continue
    const near = nearest(id, known)
    throw new UsageError(`--params names the node '${id}', which is not in the manifest${near ? `; did you mean '${near}'?` : ''}`)
  }
  const nodes = manifest.nodes.map((node) => (params[node.id] ? { ...node, params: merged(node.params ?? {}, params[node.id]) } : node))
  return { ...manifest, nodes }
}

/** Keys that are ignored, as RemoteMedia ignores them: often a slip of the finger. */
function unknownKeys(manifest) {
  const found = []
  const look = (object, keys, at) => {
    for (const key of Object.keys(object ?? {})) {
      if (keys.includes(key)) continue
      const near = nearest(key, keys)
      found.push({ path: at + key, message: `${at}${key} is not known and ignored${near ? `; did you mean '${near}'?` : ''}` })
    }
  }
  look(manifest, ROOT_KEYS, '')
  for (const [index, node] of manifest.nodes.entries()) look(node, NODE_KEYS, `nodes.${index}.`)
  return found
}

/** A manifest, read and checked but not made into nodes: `{ manifest, folder }`. */
function readManifest(file) {
  // Relative, so that a name which looks like a manifest's text is still a file.
  api()
  const { manifest, folder } = require('../native.js').readManifest(path.resolve(file))
  return { manifest, folder }
}

/** What the options of `OPTIONS` say. */
function read(values) {
  const params = values.params === undefined ? undefined : jsonObject(values.params, 'params')
  const remote = values.remote === undefined ? undefined : address(values.remote, 'remote')
  return { params, remote: remote && { host: remote.host, port: remote.port, ...(remote.tls && { sslEnabled: true }) } }
}

/** The file's name before an error of its manifest. */
function about(file, error) {
  if (error?.code !== 'ERR_CONFIG') return error
  const message = error.message.replace(` (${path.resolve(file)})`, '')
  return new Refused(`${file}: ${message}`, error.code, { path: error.path, retryable: false, cause: error })
}

/** Makes the pipeline: `{ pipeline, name, manifest, warnings }`; no manifest for a module. */
function open(target, { params = {}, remote }, options = {}) {
  const file = modulePath(target)
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const { Pipeline, WasmEdgeNode } = api()
  try {
    if (isModule(file)) {
      const name = path.basename(file).replace(/\.wasm$/, '')
      if (!fs.existsSync(file)) throw fileError(`cannot read ${target}`, { code: 'ENOENT' })
      return { pipeline: new Pipeline([new WasmEdgeNode(file, params)], { name, ...given }), name, warnings: [] }
    }
    const { manifest: read, folder } = readManifest(file)
    const manifest = withParams(read, params)
    const pipeline = Pipeline.fromManifest(manifest, { ...given, ...(remote && { remote }), baseDir: folder })
    const name = manifest.metadata.name ?? path.basename(file).replace(/\.[a-z]+$/, '')
    return { pipeline, name, manifest, warnings: unknownKeys(manifest) }
  } catch (error) {
    throw about(target, error)
  }
}

/** The nodes that are modules, however deep: `{ at, node, Class, module, options }`, `at` being the dotted path of its parameters. */
function modulesOf(nodes, at = (index) => `nodes.${index}.params`) {
  const { SPEC } = require('../node.js')
  const { HybridWasmNode, IntelligentRouter, Pipeline, WasmEdgeNode } = api()
  const found = []
  const look = (node, where) => {
    if (node instanceof Pipeline) {
      for (const [index, inner] of node.nodes.entries()) look(inner, `${where}.manifest.nodes.${index}.params`)
    } else if (node instanceof IntelligentRouter) {
      const { edge, cloud, hybrid } = node[SPEC].params
      for (const [side, inner] of Object.entries({ edge, cloud })) look(inner, `${where}.${side}.params`)
      for (const part of ['preprocess', 'postprocess']) look(hybrid?.[part], `${where}.hybrid.${part}.params`)
    } else if (node instanceof WasmEdgeNode || node instanceof HybridWasmNode) {
      const { module, ...options } = node[SPEC].params
      found.push({ at: where, node, Class: node.constructor, module, options })
    }
  }
  for (const [index, node] of nodes.entries()) look(node, at(index))
  return found
}

/** Grants of WASI that modules of the pipeline ask for and their nodes do not give; they may do without, or trap. */
async function ungranted(nodes, at) {
  const found = []
  for (const { at: where, node, module, options } of modulesOf(nodes, at)) {
    const info = await api()
      .inspectModule(module)
      .catch(() => undefined)
    const grants = new Set(info?.imports.map(({ grant }) => grant).filter((grant) => grant?.startsWith('wasi.')))
    const missing = [...grants].filter((grant) => !options.wasi?.[grant.slice(5)])
    if (missing.length === 0) continue
    const given = JSON.stringify({ wasi: Object.fromEntries(missing.map((grant) => [grant.slice(5), true])) })
    found.push({
      path: where,
      message: `${node.name} asks for ${missing.join(' and ')}, which it is not granted; parameters that do: ${given}`,
    })
  }
  return found
}

module.exports = {
  OPTIONS,
  api,
  isModule,
  modulePath,
  merged,
  read,
  readManifest,
  open,
  about,
  unknownKeys,
  modulesOf,
  ungranted,
  withParams,
}
