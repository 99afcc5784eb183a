// Problem: code and links in documentation rot without a sound.
// Answer: takes the Markdown files of the root, of docs/** and beside the parts that have a README of their own, and
//   - runs each ```js and ```mjs block as an ES module, and each ```cjs block as CommonJS, in a process of its own;
//   - only parses those marked `no-run` (```js no-run), for code that needs a server or never ends;
//   - type-checks each ```ts block against the package's own types;
//   - looks whether each relative link leads to a file, and to a heading of it.
// Blocks run in the repository's root, where `@remotemedia/wasmedge` is this package. A block stands alone: it has what it imports.
//
//   node scripts/check-docs.mjs [FILE...]

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
// Inside the package, so that its name resolves to itself; not in git.
const work = join(root, 'target/docs')
const TIMEOUT_MS = 120_000

const markdownIn = (folder, deep) =>
  readdirSync(folder, { withFileTypes: true, recursive: deep })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()

function documents() {
  if (process.argv.length > 2) return process.argv.slice(2).map((file) => resolve(file))
  const parts = ['docs', 'bench', 'examples', 'wasm-modules'].map((part) => join(root, part)).filter(existsSync)
  return [root, ...parts].flatMap((folder) => markdownIn(folder, folder.endsWith('docs')))
}

/** The fenced blocks of a document, and its lines with those blanked. */
function read(file) {
  const blocks = []
  let open
  const prose = readFileSync(file, 'utf8')
    .split('\n')
    .map((line, index) => {
      const fence = /^(\s*)(`{3,}|~{3,})\s*(\S*)\s*(.*)$/.exec(line)
      if (!open && !fence) return line
      if (!open) {
        const [, indent, mark, language, words] = fence
        open = { file, line: index + 1, indent: indent.length, mark, language, words: words.split(/\s+/), code: [] }
      } else if (fence && !fence[3] && fence[2].startsWith(open.mark)) {
        blocks.push({ ...open, code: `${open.code.join('\n')}\n` })
        open = undefined
      } else {
        open.code.push(line.slice(Math.min(open.indent, line.search(/\S|$/))))
      }
      return ''
    })
  if (open) fail(open, 'this block is never closed')
  return { blocks, prose }
}

// --- Findings --------------------------------------------------------------------------------------------------------------

let failures = 0
const at = ({ file, line }) => `${relative(root, file)}:${line}`
function fail(where, why) {
  failures += 1
  console.log(`FAIL  ${at(where)}: ${why}`)
}

// --- Code that runs --------------------------------------------------------------------------------------------------------

const EXTENSION = { js: 'mjs', mjs: 'mjs', javascript: 'mjs', cjs: 'cjs' }

function run(block, index) {
  const script = join(work, `block-${index}.${EXTENSION[block.language]}`)
  // Empty lines in front: a stack trace then has the document's own line numbers.
  writeFileSync(script, '\n'.repeat(block.line) + block.code)
  const parse = block.words.includes('no-run')
  const child = spawn(process.execPath, parse ? ['--check', script] : [script], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = []
  child.stdout.on('data', (data) => output.push(data))
  child.stderr.on('data', (data) => output.push(data))
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS)
  return new Promise((done) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (code === 0) console.log(`ok    ${at(block)} (${parse ? 'parsed' : 'ran'})`)
      else fail(block, `${signal ? `ended by ${signal}` : `exit code ${code}`}\n${Buffer.concat(output)}`)
      done()
    })
  })
}

async function runAll(blocks) {
  const queue = blocks.entries()
  const worker = async () => {
    for (const [index, block] of queue) await run(block, index)
  }
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, worker))
}

// --- Types -----------------------------------------------------------------------------------------------------------------

function typeCheck(blocks) {
  if (blocks.length === 0) return
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const files = blocks.map((block, index) => {
    const name = `types-${index}.mts`
    // `export {}` makes each a module, so that two blocks may use one name.
    writeFileSync(join(work, name), `${'\n'.repeat(block.line)}${block.code}export {}\n`)
    return name
  })
  const options = { strict: true, noEmit: true, skipLibCheck: false, target: 'es2023', lib: ['esnext', 'dom'], module: 'nodenext' }
  const types = existsSync(join(root, 'node_modules/@types/node')) ? ['node'] : []
  const paths = { [manifest.name]: [relative(work, join(root, manifest.types))] }
  writeFileSync(join(work, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...options, types, paths }, files }))
  const tsc = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--project', work, '--pretty', 'false'], {
    cwd: work,
    encoding: 'utf8',
  })
  if (tsc.status === 0) {
    for (const block of blocks) console.log(`ok    ${at(block)} (types)`)
    return
  }
  const text = `${tsc.stdout}${tsc.stderr}`.replace(/types-(\d+)\.mts\((\d+),\d+\)/g, (_, index, line) =>
    at({ file: blocks[index].file, line }),
  )
  fail(blocks[0], `types of this and the other \`\`\`ts blocks:\n${text}`)
}

// --- Links -----------------------------------------------------------------------------------------------------------------

/** The anchors that headings get on a code host. */
function anchors(prose) {
  const seen = new Map()
  const found = new Set()
  for (const line of prose) {
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(line)
    for (const [, id] of line.matchAll(/<a\s+(?:id|name)="([^"]+)"/g)) found.add(id)
    if (!heading) continue
    const slug = heading[1]
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M} _-]/gu, '')
      .replaceAll(' ', '-')
    const times = seen.get(slug) ?? 0
    seen.set(slug, times + 1)
    found.add(times === 0 ? slug : `${slug}-${times}`)
  }
  return found
}

function checkLinks(file, prose) {
  for (const [index, line] of prose.entries()) {
    const spoken = line.replace(/`[^`]*`/g, '')
    for (const [, inline, reference] of spoken.matchAll(/\]\(\s*<?([^)\s>]+)[^)]*\)|^\s*\[[^\]]+\]:\s*<?([^\s>]+)/g)) {
      const link = inline ?? reference
      if (/^[a-z][a-z0-9+.-]*:/i.test(link)) continue
      const [path, anchor] = decodeURI(link).split('#')
      const target = path === '' ? file : resolve(path.startsWith('/') ? root : dirname(file), path.replace(/^\//, ''))
      const where = { file, line: index + 1 }
      if (!existsSync(target)) fail(where, `the link ${link} leads nowhere`)
      else if (anchor && target.endsWith('.md') && !anchors(read(target).prose).has(anchor)) fail(where, `${link}: no such heading`)
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------------

rmSync(work, { recursive: true, force: true })
mkdirSync(work, { recursive: true })
const runnable = []
const typed = []
for (const file of documents()) {
  const { blocks, prose } = read(file)
  checkLinks(file, prose)
  runnable.push(...blocks.filter((block) => block.language in EXTENSION))
  typed.push(...blocks.filter((block) => block.language === 'ts' || block.language === 'typescript'))
}
await runAll(runnable)
typeCheck(typed)
console.log(`${runnable.length + typed.length} blocks, ${failures} failures`)
process.exitCode = failures === 0 ? 0 : 1
