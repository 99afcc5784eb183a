// Problem: help that is written by hand tells of options that are gone.
// Answer: the texts of `--help`, for all commands and for each, made of the commands' tables. It knows no command.

const { optionsOf } = require('./options.js')

const PROGRAM = 'remotemedia-wasmedge'
const WIDTH = 100

/** Words over lines of at most `width`, all but the first indented. */
function wrap(text, indent, width = WIDTH) {
  const lines = ['']
  for (const word of text.split(' ')) {
    const last = lines.length - 1
    if (lines[last].length + word.length + 1 > width - indent && lines[last] !== '') lines.push(word)
    else lines[last] += lines[last] === '' ? word : ` ${word}`
  }
  return lines.join(`\n${' '.repeat(indent)}`)
}

function columns(rows) {
  const widest = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(widest)}  ${wrap(right, widest + 4)}`).join('\n')
}

function optionRow([name, { short, value, optional, about, choices }]) {
  const shown = value && (optional ? ` [${value}]` : ` ${value}`)
  const left = `${short ? `-${short}, ` : '    '}--${name}${shown ?? ''}`
  return [left, choices ? `${about}: ${choices.join(', ')}` : about]
}

function commandHelp(command) {
  const parts = [
    `${PROGRAM} ${command.name} ${command.usage}`,
    wrap(command.about, 0),
    `Options:\n${columns(Object.entries(optionsOf(command)).map(optionRow))}`,
  ]
  if (command.notes) parts.push(command.notes.map((note) => wrap(note, 0)).join('\n'))
  if (command.examples) parts.push(`Examples:\n${command.examples.map((line) => `  ${PROGRAM} ${line}`).join('\n')}`)
  return `${parts.join('\n\n')}\n`
}

function mainHelp(commands) {
  return `${PROGRAM} COMMAND [OPTIONS]

Runs media pipelines: WebAssembly nodes at the edge, RemoteMedia services in the cloud, a router between them.

Commands:
${columns(commands.map(({ name, summary }) => [name, summary]))}

Options:
  -h, --help     show this help; '${PROGRAM} COMMAND --help' that of a command
      --version  show the version

Exit codes: 0 done, 1 failed or found wrong, 2 typed wrongly, 130 stopped by Ctrl-C, 143 by SIGTERM.
Environment: RM_DEBUG=1 shows stacks of errors, RM_LOG the log, RM_WASMEDGE_CACHE_DIR moves the compiled modules.
`
}

module.exports = { PROGRAM, commandHelp, mainHelp }
