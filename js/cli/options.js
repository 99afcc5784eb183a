// Problem: what a command takes must be the same in what it accepts, in its help, in shell completion and in its complaints.
// Answer: each command is a table, `{ name, summary, usage, options, notes, examples }`, and everything is made of it here. An option is
// `{ type: 'string' | 'boolean', short?, value?, about, choices?, optional?, multiple? }`; `optional` is the pattern of a value that may be
// left out. It does not know what any command does.

const { parseArgs } = require('node:util')
const { UsageError, nearest } = require('./problems.js')

const COMMON = {
  help: { type: 'boolean', short: 'h', about: 'show this help' },
}

const optionsOf = (command) => ({ ...command.options, ...COMMON })

/** `--name` and `-n` of all options, and what they stand for. */
function spellings(options) {
  const all = new Map()
  for (const [name, { short }] of Object.entries(options)) {
    all.set(`--${name}`, name)
    if (short) all.set(`-${short}`, name)
  }
  return all
}

/** `--ui 8080` becomes `--ui=8080` and `--ui` becomes `--ui=`: parseArgs has no optional values. */
function withOptionalValues(args, options) {
  const optional = new Map(Object.entries(options).flatMap(([name, { optional: pattern }]) => (pattern ? [[`--${name}`, pattern]] : [])))
  const out = []
  for (let at = 0; at < args.length; at += 1) {
    const pattern = optional.get(args[at])
    if (args[at] === '--') return [...out, ...args.slice(at)]
    if (!pattern) out.push(args[at])
    else if (at + 1 < args.length && pattern.test(args[at + 1])) out.push(`${args[at]}=${args[++at]}`)
    else out.push(`${args[at]}=`)
  }
  return out
}

function translated(error, options) {
  const known = spellings(options)
  const unknown = /^Unknown option '([^']+)'/.exec(error.message)?.[1]
  if (unknown) {
    const near = nearest(unknown, known.keys())
    return new UsageError(`there is no option '${unknown}'${near ? `; did you mean '${near}'?` : ''}`)
  }
  const missing = /^Option '(?:-\w, )?(--[\w-]+) <value>' argument missing/.exec(error.message)?.[1]
  if (missing) return new UsageError(`option '${missing}' needs a value: ${options[known.get(missing)]?.value ?? 'TEXT'}`)
  const [first] = error.message.split('\n')
  return new UsageError(first)
}

/** What was typed after the command's name: `{ values, positionals }`. */
function parse(command, args) {
  const options = optionsOf(command)
  const spec = Object.fromEntries(
    Object.entries(options).map(([name, { type, short, multiple }]) => [
      name,
      { type, ...(short && { short }), ...(multiple && { multiple }) },
    ]),
  )
  let parsed
  try {
    parsed = parseArgs({ args: withOptionalValues(args, options), options: spec, allowPositionals: true, strict: true })
  } catch (error) {
    throw translated(error, options)
  }
  const { values, positionals } = parsed
  for (const [name, value] of Object.entries(values)) {
    const { choices } = options[name]
    if (!choices || choices.includes(value)) continue
    const near = nearest(value, choices)
    throw new UsageError(`--${name} is one of ${choices.join(', ')}, not '${value}'${near ? `; did you mean '${near}'?` : ''}`)
  }
  if (!values.help) checkCount(command, positionals)
  return { values, positionals }
}

function checkCount({ name, usage, arguments: [least, most] }, positionals) {
  if (positionals.length >= least && positionals.length <= most) return
  const wrong = positionals.length < least ? 'something is missing' : `'${positionals[most]}' is too much`
  throw new UsageError(`${wrong}: remotemedia-wasmedge ${name} ${usage}`)
}

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** `500ms`, `30s`, `2m`, or seconds without a unit, in milliseconds. */
function duration(text, option) {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim())
  const value = found && Math.round(Number(found[1]) * UNITS[found[2] ?? 's'])
  if (!value) throw new UsageError(`--${option} is a duration such as 500ms, 30s or 2m, not '${text}'`)
  return value
}

function integer(text, option, least, most) {
  const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN
  if (!(value >= least && value <= most)) throw new UsageError(`--${option} is a whole number from ${least} to ${most}, not '${text}'`)
  return value
}

function number(text, option, above) {
  const value = Number(text)
  if (!(Number.isFinite(value) && value > above)) throw new UsageError(`--${option} is a number above ${above}, not '${text}'`)
  return value
}

function jsonObject(text, option) {
  let value
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new UsageError(`--${option} is not JSON: ${error.message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new UsageError(`--${option} must be a JSON object`)
  return value
}

/** `host:port`, `[::1]:port` or `grpc://host:port`. */
function address(text, option) {
  const bare = text.replace(/^(grpc|grpcs|http|https):\/\//, '').replace(/\/$/, '')
  const found = /^(\[[0-9a-f:]+\]|[^:/\s]+):(\d+)$/i.exec(bare)
  if (!found || Number(found[2]) > 65535 || Number(found[2]) === 0) throw new UsageError(`--${option} is HOST:PORT, not '${text}'`)
  return { host: found[1].replace(/^\[|\]$/g, ''), port: Number(found[2]), endpoint: bare, tls: /^(grpcs|https):/.test(text) }
}

module.exports = { optionsOf, parse, duration, integer, number, jsonObject, address }
