// `doctor`: looks at everything that the package needs of a machine, and says how to get what is missing.

const { list } = require('../checks.js')
const { about } = require('../problems.js')
const { address } = require('../options.js')
const { waiting } = require('../terminal.js')

const MARKS = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' }

async function checked([name, check], quiet) {
  const wait = waiting(`${name} ...`, { quiet })
  try {
    return { name, ...(await check()) }
  } catch (error) {
    const { code, message } = about(error)
    return { name, state: 'fail', detail: `${message} (${code})`, fix: 'with RM_LOG=debug the log says more' }
  } finally {
    wait.end()
  }
}

module.exports = {
  name: 'doctor',
  summary: 'check that everything works here, and say how to fix what does not',
  usage: '[--remote HOST:PORT]',
  about: 'Checks Node.js, the addon, the processor, the cache, limits of memory, the compiler, and runs a small module in each mode.',
  arguments: [0, 0],
  options: {
    remote: { type: 'string', value: 'HOST:PORT', about: 'check a RemoteMedia service as well' },
    json: { type: 'boolean', about: 'the checks as JSON: {"ok", "checks"}' },
  },
  notes: ['The exit code is 1 if a check failed; warnings do not count.'],
  examples: ['doctor', 'doctor --remote 127.0.0.1:50052'],
  async execute({ values }) {
    const { first, rest } = list(values.remote === undefined ? undefined : address(values.remote, 'remote'))
    const done = []
    const widest = Math.max(...[...first, ...rest].map(([name]) => name.length))
    const tell = (found) => {
      done.push(found)
      if (values.json) return
      process.stdout.write(`${MARKS[found.state]}  ${found.name.padEnd(widest)}  ${found.detail}\n`)
      if (found.fix && found.state !== 'ok') process.stdout.write(`${' '.repeat(widest + 8)}fix: ${found.fix}\n`)
    }
    for (const check of first) tell(await checked(check, values.json))
    if (done.every(({ state }) => state !== 'fail')) for (const check of rest) tell(await checked(check, values.json))
    const failed = done.filter(({ state }) => state === 'fail').length
    if (values.json) process.stdout.write(`${JSON.stringify({ ok: failed === 0, checks: done })}\n`)
    else process.stdout.write(failed === 0 ? 'All is well.\n' : `${failed} of ${done.length} checks failed.\n`)
    return failed === 0 ? 0 : 1
  },
}
