// Problem: a command line is the door: what is typed must lead somewhere, and what goes wrong must be said in one line and an exit code.
// Answer: finds the command, parses, executes, and turns every error into a line on standard error, or into JSON on standard output.
// Exit codes: 0 done, 1 failed or found wrong, 2 typed wrongly, 130 Ctrl-C, 143 SIGTERM. What a command does is in commands/.

const { parse } = require('./options.js')
const { PROGRAM, commandHelp, mainHelp } = require('./help.js')
const { BrokenPipe, UsageError, about, nearest, sentence } = require('./problems.js')
const { Stopping } = require('./stopping.js')
const telemetry = require('./telemetry.js')

const NAMES = ['run', 'stream', 'validate', 'inspect', 'compile', 'serve', 'bench', 'doctor', 'completion']
const commands = () => NAMES.map((name) => require(`./commands/${name}.js`))

const version = () => require('../../package.json').version

function unknown(word) {
  const near = nearest(word, NAMES)
  if (word.startsWith('-')) return new UsageError(`there is no option '${word}' before a command; see ${PROGRAM} --help`)
  return new UsageError(`there is no command '${word}'${near ? `; did you mean '${near}'?` : `; there are ${NAMES.join(', ')}`}`)
}

/** The exit code of what was typed. */
async function dispatch(args) {
  const [first, ...rest] = args
  if (first === undefined) {
    process.stderr.write(mainHelp(commands()))
    return 2
  }
  if (first === '--version' || first === '-V') return say(`${version()}\n`)
  if (first === '--help' || first === '-h') return say(mainHelp(commands()))
  if (first === 'help') {
    if (rest.length === 0) return say(mainHelp(commands()))
    if (!NAMES.includes(rest[0])) throw unknown(rest[0])
    return say(commandHelp(require(`./commands/${rest[0]}.js`)))
  }
  if (!NAMES.includes(first)) throw unknown(first)
  const command = require(`./commands/${first}.js`)
  const parsed = parse(command, rest)
  if (parsed.values.help) return say(commandHelp(command))
  const observed = command.options.otlp ? await telemetry.begin(parsed.values) : undefined
  try {
    return (await command.execute(parsed, { stopping: new Stopping(), commands })) ?? 0
  } finally {
    await observed?.()
  }
}

function say(text) {
  process.stdout.write(text)
  return 0
}

/** What `--json` makes of an error, whatever else was typed. */
function report(error, args) {
  const upTo = args.indexOf('--')
  const json = args.slice(0, upTo < 0 ? args.length : upTo).includes('--json')
  if (json) process.stdout.write(`${JSON.stringify({ error: about(error) })}\n`)
  process.stderr.write(`error: ${sentence(error)}\n`)
  const usage = error instanceof UsageError
  if (usage && NAMES.includes(args[0])) process.stderr.write(`see: ${PROGRAM} ${args[0]} --help\n`)
  if (process.env.RM_DEBUG)
    process.stderr.write(`${error?.stack ?? error}\n${error?.cause?.stack ? `caused by: ${error.cause.stack}\n` : ''}`)
  return usage ? 2 : 1
}

/** Runs the command and sets the exit code. */
async function run(args) {
  // Who reads the output may go at any time; whoever writes is told where it matters (output.js).
  process.stdout.on('error', (error) => {
    if (error.code !== 'EPIPE') throw error
  })
  process.stderr.on('error', () => {})
  let code
  try {
    code = await dispatch(args)
  } catch (error) {
    code = error instanceof BrokenPipe ? 0 : report(error, args)
  }
  process.exitCode = code
}

module.exports = { NAMES, commands, run }
