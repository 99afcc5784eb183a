// The packed tarball in other people's projects: Jest, and Vitest with threads and with forks. Each runs real calls and has to end by
// itself, without a flag that forces it. Their packages are installed once, under target/.

import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { ROOT } from './support/index.mjs'

const HOME = path.join(ROOT, 'target/consumers')
const NPM = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error']

const env = { ...process.env, CI: '1', NO_COLOR: '1', NODE_OPTIONS: '' }
// What this Vitest tells its workers is not for the ones that are tested.
for (const name of Object.keys(env)) if (/^(VITEST|JEST|TEST$|NODE_ENV$|VITE_)/.test(name)) delete env[name]

const npm = (args, cwd) => execFileSync('npm', args, { cwd, env, encoding: 'utf8', stdio: 'pipe' })

/** A project with these packages and the tarball in it. */
function project(name, packages, files) {
  const place = path.join(HOME, name)
  mkdirSync(place, { recursive: true })
  writeFileSync(path.join(place, 'package.json'), JSON.stringify({ name, private: true, devDependencies: packages }, null, 2))
  const installed = Object.entries(packages).every(([one, wanted]) => {
    const manifest = path.join(place, 'node_modules', one, 'package.json')
    return existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version.startsWith(wanted.match(/\d+\./)[0])
  })
  if (!installed) npm(['install', ...NPM], place)
  // The package is unpacked as npm does, without asking a registry for anything.
  const target = path.join(place, 'node_modules/@remotemedia/wasmedge')
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  execFileSync('tar', ['-xzf', tarball, '-C', target, '--strip-components=1'])
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(place, file)), { recursive: true })
    writeFileSync(path.join(place, file), text)
  }
  return place
}

const run = (place, args) => {
  const end = spawnSync(process.execPath, args, { cwd: place, env, encoding: 'utf8', timeout: 60_000, killSignal: 'SIGKILL' })
  return { code: end.status, signal: end.signal, output: `${end.stdout}${end.stderr}` }
}

/** The same test in both runners: all modes, an error of ours, a stream that is left early, V8's own trap. */
const body = (fixtures) => `
const modules = path.dirname(require.resolve('@remotemedia/wasmedge/modules/echo.wasm'))
const v8 = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from('${V8_OOB}', 'hex'))).exports
const modes = ['aot', 'jit', 'interpreter', 'auto']

test('calls in every mode', async () => {
  for (const mode of modes) {
    const node = new WasmEdgeNode(path.join(modules, 'gain-c.wasm'), { mode, config: { gain: 2 }, outputKind: 'audio' })
    const [packet] = await node.call({ samples: Float32Array.of(0.25), sampleRate: 16000 })
    expect(packet.data.samples[0]).toBeCloseTo(0.5)
    if (mode !== 'auto') expect(node.metrics().callsByMode[mode]).toBe(1)
    await node.cleanup()
  }
})

test('errors are instances of the classes', async () => {
  const node = new WasmEdgeNode('/no/such.wasm')
  await expect(node.initialize()).rejects.toBeInstanceOf(NodeError)
  await expect(node.initialize()).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_FOUND' })
  expect(() => new WasmEdgeNode('x', { nmae: 1 })).toThrow(RemoteMediaError)
  const trapping = new WasmEdgeNode(${JSON.stringify(path.join(fixtures, 'unreachable.wasm'))})
  await expect(trapping.call('x')).rejects.toMatchObject({ code: 'ERR_WASM_TRAP', trap: 'unreachable' })
})

test('bytes of this realm go in, bytes come out', async () => {
  const node = new WasmEdgeNode(path.join(modules, 'echo.wasm'), { outputKind: 'binary' })
  for (const item of [Uint8Array.of(1, 2, 3), Buffer.from([1, 2, 3]), Uint8Array.of(0, 1, 2, 3).subarray(1)]) {
    expect([...(await node.call(item))[0].data]).toEqual([1, 2, 3])
  }
  const fromBytes = new WasmEdgeNode(new Uint8Array(require('node:fs').readFileSync(path.join(modules, 'echo.wasm'))))
  expect(await fromBytes.call('x')).toHaveLength(1)
})

test('a stream, left early', async () => {
  const node = new WasmEdgeNode(path.join(modules, 'echo.wasm'), { outputKind: 'text' })
  const seen = []
  for await (const packet of node.process((async function* () { for (let i = 0; ; i += 1) yield 'x' + i })())) {
    seen.push(packet.data)
    if (seen.length === 3) break
  }
  expect(seen).toEqual(['x0', 'x1', 'x2'])
})

test('V8 traps stay catchable', () => {
  for (let i = 0; i < 100; i += 1) expect(() => v8.oob()).toThrow(/out of bounds/)
})

test('a guest that spins is stopped', async () => {
  const node = new WasmEdgeNode(${JSON.stringify(path.join(fixtures, 'spin.wasm'))}, { timeoutMs: 30 })
  await expect(node.call('x')).rejects.toMatchObject({ code: 'ERR_WASM_TIMEOUT', retryable: true })
})

test('what is left open does not keep the runner', async () => {
  const node = new WasmEdgeNode(path.join(modules, 'echo.wasm'), { pool: { min: 2 } })
  await node.call('x', { sessionId: 'left open' })
  globalThis.leftOpen = node
})
`
/** One function \`oob\` that reads beyond its memory. */
const V8_OOB = '0061736d010000000104016000000302010005030100010707' + '01036f6f62000' + '00a0d010b0041f0ffff072802001a0b'
const TESTS = 7

let tarball
const fixtures = path.join(HOME, 'fixtures')

beforeAll(() => {
  mkdirSync(HOME, { recursive: true })
  cpSync(path.join(ROOT, 'wasm-modules/dist/fixtures'), fixtures, { recursive: true })
  const [packed] = JSON.parse(npm(['pack', '--json', '--ignore-scripts', '--pack-destination', HOME], ROOT))
  tarball = path.join(HOME, packed.filename.replace('@', '').replaceAll('/', '-'))
}, 120_000)

describe('the tarball', () => {
  test('installs with npm, and works from CommonJS and from ESM', { timeout: 120_000 }, () => {
    const place = path.join(HOME, 'plain')
    rmSync(place, { recursive: true, force: true })
    mkdirSync(place, { recursive: true })
    writeFileSync(path.join(place, 'package.json'), '{ "name": "plain", "private": true }')
    npm(['install', ...NPM, '--offline', '--no-save', tarball], place)
    const use = `new WasmEdgeNode(require.resolve('@remotemedia/wasmedge/modules/echo.wasm'), { mode: 'aot' }).call('works').then(([packet]) => console.log(packet.data.toString()))`
    writeFileSync(path.join(place, 'use.cjs'), `const { WasmEdgeNode } = require('@remotemedia/wasmedge'); ${use}`)
    writeFileSync(
      path.join(place, 'use.mjs'),
      `import { createRequire } from 'node:module'; import { WasmEdgeNode } from '@remotemedia/wasmedge'; const require = createRequire(import.meta.url); ${use}`,
    )
    for (const file of ['use.cjs', 'use.mjs']) expect(run(place, [file])).toEqual({ code: 0, signal: null, output: 'works\n' })
  })
})

test('Jest 30', { timeout: 300_000 }, () => {
  const head = `const path = require('node:path'); const { WasmEdgeNode, NodeError, RemoteMediaError } = require('@remotemedia/wasmedge')`
  const place = project(
    'jest',
    { jest: '^30.0.0' },
    {
      'jest.config.js': `module.exports = { testEnvironment: 'node', testMatch: ['**/*.test.js'], maxWorkers: 2, testTimeout: 30000 }`,
      'one.test.js': `${head}\n${body(fixtures)}`,
      'two.test.js': `${head}\n${body(fixtures)}`,
      'reset.test.js': `
      test('the package loaded twice in one environment', async () => {
        const first = require('@remotemedia/wasmedge')
        const echo = require.resolve('@remotemedia/wasmedge/modules/echo.wasm')
        const node = new first.WasmEdgeNode(echo, { outputKind: 'text' })
        expect((await node.call('first'))[0].data).toBe('first')
        jest.resetModules()
        const second = require('@remotemedia/wasmedge')
        expect(second.WasmEdgeNode).toBeDefined()
        const other = new second.WasmEdgeNode(echo, { outputKind: 'text' })
        expect((await other.call('second'))[0].data).toBe('second')
        expect((await node.call('first again'))[0].data).toBe('first again')
      })`,
    },
  )
  const jest = path.join(place, 'node_modules/jest/bin/jest.js')
  for (const flags of [[], ['--runInBand']]) {
    const end = run(place, [jest, '--ci', ...flags])
    expect(end, end.output).toMatchObject({ code: 0, signal: null })
    expect(end.output).toContain(`${2 * TESTS + 1} passed`)
    // Jest's words for what did not end by itself.
    expect(end.output).not.toMatch(/did not exit|force exited|open handle/i)
  }
})

test.each(['threads', 'forks'])('Vitest with %s', { timeout: 300_000 }, (pool) => {
  const head = `import { createRequire } from 'node:module'; import path from 'node:path'; import { expect, test } from 'vitest';
    import { WasmEdgeNode, NodeError, RemoteMediaError } from '@remotemedia/wasmedge'; const require = createRequire(import.meta.url)`
  const config = `export default { test: { pool: '${pool}', include: ['${pool}/*.test.mjs'], testTimeout: 30000, teardownTimeout: 5000, poolOptions: { ${pool}: { min${pool === 'threads' ? 'Threads' : 'Forks'}: 1, max${pool === 'threads' ? 'Threads' : 'Forks'}: 2 } } } }`
  const place = project(
    'vitest',
    { vitest: '^3.2.0' },
    {
      [`vitest.${pool}.config.mjs`]: config,
      [`${pool}/one.test.mjs`]: `${head}\n${body(fixtures)}`,
      [`${pool}/two.test.mjs`]: `${head}\n${body(fixtures)}`,
    },
  )
  const end = run(place, [path.join(place, 'node_modules/vitest/vitest.mjs'), 'run', '--config', `vitest.${pool}.config.mjs`])
  expect(end, end.output).toMatchObject({ code: 0, signal: null })
  expect(end.output).toContain(`${2 * TESTS} passed`)
  expect(end.output).not.toMatch(/close timed out|something prevents|hanging|Unhandled/i)
})
