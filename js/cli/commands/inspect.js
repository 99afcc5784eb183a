// `inspect`: what a module exports, imports and needs, without running it.

const { api, modulePath } = require('../target.js')
const { bytes, plural, table } = require('../terminal.js')

/** Kinds of grants in `wasi` or elsewhere that a node must be given. */
const needs = (info) => [...new Set(info.imports.map(({ grant }) => grant).filter((grant) => grant !== 'none' && grant !== null))]
const missing = (info) => info.imports.filter(({ grant }) => grant === null)

function text(file, info) {
  const { memory } = info
  const grants = needs(info)
  const none = missing(info)
  const facts = [
    ['size', `${bytes(info.bytes)}, ${plural(info.functions, 'function')}`],
    ['sha256', info.sha256],
    [
      'memory',
      `${bytes(memory.minBytes)} at least, ${memory.maxBytes === null ? 'no limit of its own' : `${bytes(memory.maxBytes)} at most`}`,
    ],
    ['ABI', info.abi ? 'version 1: exports process' : 'none: exports no process function (option exports.process names another)'],
    ['grants needed', grants.length > 0 ? grants.join(', ') : 'none'],
  ]
  if (none.length > 0) facts.push(['not provided', none.map((one) => `${one.module}.${one.name}`).join(', ')])
  const imports = info.imports.map((one) => [`${one.module}.${one.name}`, one.signature ?? one.kind, one.grant ?? 'nothing provides it'])
  const exported = info.exports.map((one) => [one.name, one.signature ?? one.kind])
  return [
    `${file}\n${table(facts)}`,
    imports.length > 0 ? `Imports\n${table(imports, ['name', 'signature', 'grant'])}` : 'No imports\n',
    exported.length > 0 ? `Exports\n${table(exported, ['name', 'signature'])}` : 'No exports\n',
  ].join('\n')
}

module.exports = {
  name: 'inspect',
  summary: 'show what a module exports, imports and needs',
  usage: 'MODULE.wasm...',
  about: 'Shows exports, imports with the grant that a node needs for each, memory, and whether the module keeps to the guest ABI.',
  arguments: [1, Number.POSITIVE_INFINITY],
  files: true,
  options: { json: { type: 'boolean', about: 'as JSON, one line for each module' } },
  examples: ['inspect @remotemedia/wasmedge/modules/vad.wasm'],
  async execute({ values, positionals }) {
    for (const [index, file] of positionals.entries()) {
      const info = await api().inspectModule(modulePath(file))
      if (values.json) process.stdout.write(`${JSON.stringify({ file, ...info, grants: needs(info) })}\n`)
      else process.stdout.write(`${index > 0 ? '\n' : ''}${text(file, info)}`)
    }
  },
}
