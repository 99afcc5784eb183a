// Problem: an example that nobody runs is wrong before long.
// Answer: runs every examples/*.mjs, or those named, each in a process of its own with no arguments, and fails if one does.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, 'examples')
// Each compiles its modules the first time it runs.
const TIMEOUT_MS = 120_000

const named = process.argv.slice(2)
const all = existsSync(folder)
  ? readdirSync(folder)
      .filter((file) => file.endsWith('.mjs'))
      .sort()
  : []
const examples = named.length > 0 ? named : all
if (examples.length === 0) {
  console.error('run-examples: there are no examples')
  process.exit(1)
}

let failed = 0
for (const example of examples) {
  const start = performance.now()
  const run = spawnSync(process.execPath, [join(folder, example)], { cwd: root, encoding: 'utf8', timeout: TIMEOUT_MS })
  const took = `${Math.round(performance.now() - start)} ms`
  if (run.status === 0) {
    console.log(`ok    ${example} (${took})`)
  } else {
    failed += 1
    const why = run.error?.message ?? (run.signal ? `ended by ${run.signal}` : `exit code ${run.status}`)
    console.log(`FAIL  ${example} (${took}): ${why}\n${run.stdout}${run.stderr}`)
  }
}
process.exitCode = failed === 0 ? 0 : 1
