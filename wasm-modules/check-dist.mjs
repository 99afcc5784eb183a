// Problem: dist/ holds compiled modules next to their sources, and one can be changed without the other.
// Answer: manifest.json holds two hashes for each artifact, of itself and of every file that goes into it; this
// recomputes both and names each artifact that disagrees. Needs no toolchain, so that any `make test` can run it.
// It does not prove that an artifact was built from its sources, only that nothing changed since build.sh said so.
//
//   node check-dist.mjs                      check
//   node check-dist.mjs --write rust=... c=... assemblyscript=...     write the manifest (build.sh does)

import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('.', import.meta.url))
const manifestPath = join(root, 'dist/manifest.json')
// Made on demand and not kept in the repository.
const LARGE = new Set(['fixtures/huge_function'])
const SKIP = new Set(['node_modules', 'target', 'build'])

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')
const read = (path) => readFileSync(join(root, path))

/** Every file below `path` (or `path` itself), relative to here, sorted. */
function filesIn(path) {
  const found = []
  const visit = (at) => {
    for (const entry of readdirSync(join(root, at), { withFileTypes: true })) {
      if (SKIP.has(entry.name)) continue
      const below = `${at}/${entry.name}`
      if (entry.isDirectory()) visit(below)
      else found.push(below)
    }
  }
  if (path.endsWith('/')) visit(path.slice(0, -1))
  else found.push(path)
  return found
}

const RUST = ['Cargo.toml', 'Cargo.lock', 'build.sh', 'sdk/Cargo.toml', 'sdk/src/', 'dsp/Cargo.toml', 'dsp/src/']

/** What goes into the artifact `name`. */
function sourcesOf(name) {
  if (name.startsWith('fixtures/')) {
    const wat = `${name}.wat`
    return ['tool/Cargo.toml', 'tool/src/', ...(existsSync(join(root, wat)) ? [wat] : [])]
  }
  if (existsSync(join(root, `modules/${name}/Cargo.toml`))) {
    // A module may use another one's library.
    const others = read(`modules/${name}/Cargo.toml`)
      .toString()
      .matchAll(/\bpath = "\.\.\/([\w-]+)"/g)
    const modules = [name, ...Array.from(others, ([, other]) => other)]
    return [...RUST, ...modules.flatMap((module) => [`modules/${module}/Cargo.toml`, `modules/${module}/src/`])]
  }
  return ['build.sh', `modules/${name}/`]
}

/** A hash over paths and contents, in the order of the paths. */
function sourceHash(name) {
  const hash = createHash('sha256')
  for (const path of sourcesOf(name).flatMap(filesIn).sort()) {
    const bytes = read(path)
    hash.update(`${path}\n${bytes.length}\n`).update(bytes)
  }
  return hash.digest('hex')
}

/** Names of the artifacts that ought to be there, by what sources there are. */
function expected() {
  const modules = readdirSync(join(root, 'modules'))
  const wats = readdirSync(join(root, 'fixtures')).filter((f) => f.endsWith('.wat'))
  return [...modules, ...wats.map((f) => `fixtures/${f.slice(0, -4)}`), 'fixtures/locals_bomb'].sort()
}

function write(toolchains) {
  const versions = Object.fromEntries(toolchains.map((text) => text.split(/=(.*)/s).slice(0, 2)))
  const toolchainOf = (name) => {
    if (name.startsWith('fixtures/')) return 'fixture-tool'
    if (existsSync(join(root, `modules/${name}/Cargo.toml`))) return versions.rust
    return name.endsWith('-as') ? versions.assemblyscript : versions.c
  }
  const artifacts = expected().map((name) => {
    if (!existsSync(join(root, `dist/${name}.wasm`))) return null
    const bytes = read(`dist/${name}.wasm`)
    const row = { name, bytes: bytes.length, sha256: sha256(bytes), sources: sourceHash(name), toolchain: toolchainOf(name) }
    return row
  })
  writeFileSync(manifestPath, `${JSON.stringify({ version: 1, artifacts: artifacts.filter(Boolean) }, null, 2)}\n`)
}

/** One line for each artifact with something wrong. */
function check() {
  if (!existsSync(manifestPath)) return ['dist/manifest.json is missing']
  const rows = new Map(JSON.parse(read('dist/manifest.json')).artifacts.map((row) => [row.name, row]))
  const problems = []
  for (const name of expected()) {
    const row = rows.get(name)
    rows.delete(name)
    if (!row) problems.push(`${name}: has sources but is not in the manifest`)
    else if (!existsSync(join(root, `dist/${name}.wasm`))) problems.push(`${name}: dist/${name}.wasm is missing`)
    else if (sha256(read(`dist/${name}.wasm`)) !== row.sha256) problems.push(`${name}: the artifact is not the one that was built`)
    else if (sourceHash(name) !== row.sources) problems.push(`${name}: its sources changed since it was built`)
  }
  for (const name of rows.keys()) if (!LARGE.has(name)) problems.push(`${name}: is in the manifest but has no sources`)
  return problems
}

const [command, ...rest] = process.argv.slice(2)
if (command === '--write') {
  write(rest)
} else {
  const problems = check()
  for (const problem of problems) console.error(`check-dist: ${problem}`)
  if (problems.length > 0) {
    console.error('check-dist: run wasm-modules/build.sh')
    process.exit(1)
  }
}
