// `completion`: scripts that let a shell complete commands, options, their choices and files.

const { optionsOf } = require('../options.js')
const { PROGRAM } = require('../help.js')
const { UsageError } = require('../problems.js')

const flags = (command) =>
  Object.entries(optionsOf(command)).flatMap(([name, { short }]) => (short ? [`--${name}`, `-${short}`] : [`--${name}`]))

/** Options with a fixed list of values. */
const choices = (command) => Object.entries(optionsOf(command)).filter(([, option]) => option.choices)

function bash(commands) {
  const perCommand = commands.map((command) => {
    const fixed = choices(command).map(([name, option]) => `      --${name}) words="${option.choices.join(' ')}" ;;`)
    const own = command.words ? `\n      words="$words ${command.words.join(' ')}"` : ''
    return `    ${command.name})
      words="${flags(command).join(' ')}"${own}
      case "$before" in
${[...fixed, '      *) ;;'].join('\n')}
      esac
      ;;`
  })
  return `# bash completion for ${PROGRAM}: eval "$(${PROGRAM} completion bash)"
_remotemedia_wasmedge() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(' ')} --help --version" -- "$word"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${perCommand.join('\n')}
    *) ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}
complete -o filenames -F _remotemedia_wasmedge ${PROGRAM}
`
}

const quoted = (text) => text.replaceAll("'", "'\\''")

function zsh(commands) {
  const described = commands.map(({ name, summary }) => `    '${name}:${quoted(summary)}'`)
  const perCommand = commands.map((command) => {
    const specs = Object.entries(optionsOf(command)).flatMap(([name, { short, value, about, choices: list }]) => {
      const text = quoted(about.replaceAll('[', '(').replaceAll(']', ')').replaceAll(':', ' '))
      const action = list ? `:${value}:(${list.join(' ')})` : value ? `:${value}:_files` : ''
      return [`--${name}`, ...(short ? [`-${short}`] : [])].map((flag) => `'${flag}[${text}]${action}'`)
    })
    const rest = command.words ? `'*:argument:(${command.words.join(' ')})'` : "'*:file:_files'"
    return `    ${command.name}) _arguments ${[...specs, rest].join(' ')} ;;`
  })
  return `#compdef ${PROGRAM}
# zsh completion for ${PROGRAM}: eval "$(${PROGRAM} completion zsh)"
_remotemedia_wasmedge() {
  local -a commands=(
${described.join('\n')}
  )
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  local command="\${words[2]}"
  shift words; (( CURRENT-- ))
  case "$command" in
${perCommand.join('\n')}
  esac
}
compdef _remotemedia_wasmedge ${PROGRAM}
`
}

function fish(commands) {
  const start = commands.map(({ name, summary }) => `complete -c ${PROGRAM} -n __fish_use_subcommand -f -a ${name} -d '${quoted(summary)}'`)
  const rest = commands.flatMap((command) => {
    const when = `-n '__fish_seen_subcommand_from ${command.name}'`
    const lines = Object.entries(optionsOf(command)).map(([name, { short, value, about, choices: list }]) => {
      const takes = list ? ` -x -a '${list.join(' ')}'` : value ? ' -r' : ''
      return `complete -c ${PROGRAM} ${when} -l ${name}${short ? ` -s ${short}` : ''}${takes} -d '${quoted(about)}'`
    })
    if (command.words) lines.push(`complete -c ${PROGRAM} ${when} -f -a '${command.words.join(' ')}'`)
    return lines
  })
  return `# fish completion for ${PROGRAM}: ${PROGRAM} completion fish | source\n${[...start, ...rest].join('\n')}\n`
}

const SHELLS = { bash, zsh, fish }

module.exports = {
  name: 'completion',
  summary: 'print a completion script for a shell',
  usage: Object.keys(SHELLS).join('|'),
  about: 'Prints a script that lets the shell complete commands, options, their values and files.',
  arguments: [1, 1],
  words: Object.keys(SHELLS),
  options: {},
  notes: [`bash: eval "$(${PROGRAM} completion bash)" in ~/.bashrc; fish: ${PROGRAM} completion fish | source`],
  execute({ positionals: [shell] }, { commands }) {
    if (!Object.hasOwn(SHELLS, shell))
      throw new UsageError(`there is no completion for '${shell}'; there is one for ${Object.keys(SHELLS).join(', ')}`)
    process.stdout.write(SHELLS[shell](commands()))
  },
}
