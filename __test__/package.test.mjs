// What npm publishes, and that its doors all lead to the same things.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { api, ROOT } from './support/index.mjs'

const require = createRequire(path.join(ROOT, 'package.json'))
const manifest = require('./package.json')
const declarations = readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8')

describe('the tarball', () => {
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  )
  const files = packed.files.map((file) => file.path).sort()

  test('holds what the package needs', () => {
    const entries = [manifest.main, manifest.types, ...Object.values(manifest.exports['.'])].map((entry) => path.normalize(entry))
    for (const needed of [
      ...entries,
      'package.json',
      'js/native.js',
      'js/compile-child.js',
      ...Object.values(manifest.bin),
      'LICENSE-MIT',
      'LICENSE-APACHE',
      'wasm-modules/README.md',
    ]) {
      expect(files).toContain(needed)
    }
    for (const module of ['vad', 'echo', 'resample', 'denoise', 'features', 'thumbnail', 'tokenize', 'gain', 'gain-c', 'gain-as']) {
      expect(files).toContain(`wasm-modules/dist/${module}.wasm`)
    }
  })

  test('holds nothing else', () => {
    const allowed = [
      /^(package\.json|index\.d\.ts|README\.md|CHANGELOG\.md|LICENSE-(MIT|APACHE))$/,
      /^js\/(cli\/(commands\/)?)?[a-z-]+\.(js|mjs)$/,
      /^js\/view\/([a-z]+\.js|page\/[a-z]+\.(mjs|css|html|svg))$/,
      /^js\/remotemedia-wasmedge\.[a-z0-9-]+\.node$/,
      /^wasm-modules\/(README\.md|dist\/[a-z-]+\.wasm)$/,
      /^docs\/.*\.(md|svg)$/,
      /^bin\//,
    ]
    expect(files.filter((file) => !allowed.some((pattern) => pattern.test(file)))).toEqual([])
  })

  test('has every file that the JavaScript in it loads', () => {
    for (const file of files.filter((name) => /^(js|bin)\/.*\.m?js$/.test(name) && name !== 'js/native.js')) {
      const text = readFileSync(path.join(ROOT, file), 'utf8')
      for (const [, loaded] of text.matchAll(/(?:require\(|from )'(\.{1,2}\/[^']+\.[a-z]+)'/g))
        expect(files).toContain(path.join(path.dirname(file), loaded))
    }
  })

  test('needs nothing at run time that a user must install', () => {
    expect(Object.keys(manifest.dependencies ?? {})).toEqual([])
    expect(manifest.scripts.install ?? manifest.scripts.postinstall ?? manifest.scripts.preinstall).toBeUndefined()
  })

  test('is told to be what it is', () => {
    expect(manifest).toMatchObject({ name: '@remotemedia/wasmedge', license: 'MIT OR Apache-2.0', engines: { node: '>=20' } })
    expect(manifest.private).toBeUndefined()
  })
})

describe('the doors', () => {
  test('CommonJS, ESM and the package’s own name give the same objects', async () => {
    const common = require('./js/index.js')
    const { default: all, ...named } = await import('../js/index.mjs')
    expect(all).toBe(common)
    expect(Object.keys(named).sort()).toEqual(Object.keys(common).sort())
    for (const [name, value] of Object.entries(named)) expect(value, name).toBe(common[name])
    expect(require('@remotemedia/wasmedge')).toBe(common)
  })

  test('the declarations and the exports name the same values', () => {
    const internal = new Set([
      '__napiBindingTarget',
      'NativeStream',
      'NativeCalls',
      'NativeDuplex',
      'NativeServiceCall',
      'NativeStage',
      'NativePipeline',
    ])
    const values = [...declarations.matchAll(/^export declare (?:abstract )?(?:class|function|const) (\w+)/gm)].map(([, name]) => name)
    const declared = [...new Set(values)].filter((name) => !internal.has(name))
    expect(declared.length).toBeGreaterThan(5)
    expect(
      Object.keys(api)
        .filter((name) => name !== 'default')
        .sort(),
    ).toEqual(declared.sort())
    for (const name of declared) expect(typeof api[name], name).toBe('function')
  })

  test('the declared members of WasmEdgeNode are there', () => {
    // The class is made in Rust, what JavaScript adds to it is declared in an interface of the same name.
    const bodies = [...declarations.matchAll(/export (?:declare class|interface) WasmEdgeNode \{([\s\S]*?)\n\}/g)].map(([, body]) => body)
    const members = [...bodies.join('\n').matchAll(/^ {2}(?:get )?(\w+)(?:<[^>]*>)?\(/gm)]
      .map(([, name]) => name)
      .filter((name) => name !== 'constructor')
    expect(members).toEqual(expect.arrayContaining(['name', 'initialize', 'process', 'call', 'closeSession', 'metrics', 'cleanup']))
    const made = new api.WasmEdgeNode('x.wasm')
    for (const name of members) expect(made[name], name).toBeDefined()
    expect(typeof made[Symbol.asyncDispose]).toBe('function')
    return made.cleanup()
  })

  test('modules can be found through the package', () => {
    for (const name of ['vad', 'gain-c']) expect(existsSync(require.resolve(`@remotemedia/wasmedge/modules/${name}.wasm`))).toBe(true)
    expect(() => require.resolve('@remotemedia/wasmedge/js/native.js')).toThrow(/not defined by "exports"/)
    expect(require('@remotemedia/wasmedge/package.json').version).toBe(manifest.version)
  })

  test('the generated types compile, and typical use of them', () => {
    // Fails with the compiler's own words.
    const tsc = path.join(ROOT, 'node_modules/.bin/tsc')
    try {
      execFileSync(tsc, ['--project', path.join(ROOT, '__test__/tsconfig.json')], { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' })
    } catch (error) {
      throw new Error(`${error.stdout}${error.stderr}`, { cause: error })
    }
  })
})
