// The other commands of the command line, its help, and what it says to what is typed wrongly.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import net from 'node:net'
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { BIN, cli, folder, jsonLines, manifest, RECORDING, start } from './support/cli.mjs'
import { api, fixture, guest, ROOT } from './support/index.mjs'

const require = createRequire(import.meta.url)
const { NAMES, commands } = require('../js/cli/main.js')
const { optionsOf } = require('../js/cli/options.js')
const { RemoteExecutionClient, inspectModule, runtimeInfo } = api

describe('stream', () => {
  test('each line is answered when it comes, a bad one in its place, and the rest goes on', async () => {
    const { child, exit, said } = start(['stream', guest('echo'), '--input-format', 'json', '--json'])
    child.stdin.write('{"n": 1}\n')
    expect(JSON.parse((await said(/^.+\n/))[0])).toMatchObject({ kind: 'json', sequence: 0, data: { n: 1 } })
    child.stdin.write('{"n": \n{"n": 2}\n')
    await said(/"n":2/)
    child.stdin.end('{"n": 3}')
    const end = await exit
    expect(end.code).toBe(0)
    expect(end.stderr).toMatch(/^warning: standard input: line 2: not JSON/m)
    const lines = jsonLines(end.stdout)
    expect(lines.slice(0, 3).map(({ data }) => data.n)).toEqual([1, 2, 3])
    expect(lines[3].summary).toMatchObject({ items: 3, badItems: 1, packets: 3 })
  })

  test('an item that fails leaves an error in its place, and only --on-error throw ends the stream', async () => {
    const good = '{"kind": "audio", "data": {"samples": [0.5], "sampleRate": 16000}}'
    const input = `${good}\n"text"\n${good}\n`
    const end = await cli(['stream', guest('gain'), '-q'], { input })
    expect(end.code).toBe(0)
    expect(jsonLines(end.stdout).map(({ metadata }) => metadata?.error)).toEqual([undefined, 'ERR_GUEST', undefined])
    expect((await cli(['stream', guest('gain'), '--on-error', 'throw'], { input })).code).toBe(1)
  })

  test('raw samples in, events out as text; Ctrl-C drains', async () => {
    const { child, exit, said } = start(['stream', guest('vad'), '--input-format', 'raw', '--output-format', 'text', '-q'])
    child.stdin.write(readFileSync(RECORDING).subarray(44))
    await said(/speech_end/)
    child.kill('SIGINT')
    const end = await exit
    expect(end.code).toBe(130)
    expect(jsonLines(end.stdout)[0]).toMatchObject({ type: 'speech_start', atMs: 1248 })
  })
})

describe('validate', () => {
  test('a manifest that is good', async () => {
    const home = folder({ 'p.json': manifest('vad') })
    const end = await cli(['validate', 'p.json'], { cwd: home })
    expect([end.code, end.stdout, end.stderr]).toEqual([0, 'p.json is valid: 1 node, node\n', ''])
  })

  test('everything that is wrong, each with its place', async () => {
    const nodes = [
      { id: 'a', node_type: 'Nope' },
      { id: 'b', node_type: 'WasmEdgeNode', params: { module: 'gone.wasm' } },
      { id: 'c', node_type: 'WasmEdgeNode', params: { module: guest('vad'), timeoutms: 3 } },
      { id: 'd', node_type: 'WasmEdgeNode', params: { module: fixture('unknown_import') } },
      { id: 'e', node_type: 'WasmEdgeNode', params: { module: 'text.wasm' }, executon: {} },
      {
        id: 'f',
        node_type: 'IntelligentRouter',
        params: {
          edge: { node_type: 'WasmEdgeNode', params: { module: 'gone.wasm' } },
          cloud: { node_type: 'RemoteObjectNode', params: { host: 'h', nodeType: 'X' } },
        },
      },
    ]
    const connections = nodes.slice(1).map(({ id }, index) => ({ from: nodes[index].id, to: id }))
    const home = folder({ 'p.json': JSON.stringify({ version: 'v1', metadata: {}, nodes, connections }), 'text.wasm': 'no module' })
    const end = await cli(['validate', 'p.json', '--json'], { cwd: home })
    expect(end.code, end.stderr).toBe(1)
    const found = JSON.parse(end.stdout)
    expect(found.valid).toBe(false)
    expect(found.problems.map(({ path: at, code }) => [at, code])).toEqual([
      ['nodes.0.node_type', 'ERR_CONFIG'],
      ['nodes.1.params.module', 'ERR_MODULE_NOT_FOUND'],
      ['nodes.2.params.timeoutms', 'ERR_CONFIG'],
      ['nodes.3.params.module', 'ERR_IMPORT_DENIED'],
      ['nodes.4.params.module', 'ERR_MODULE_INVALID'],
      ['nodes.5.params.edge.params.module', 'ERR_MODULE_NOT_FOUND'],
    ])
    expect(found.warnings).toEqual([expect.objectContaining({ path: 'nodes.4.executon' })])
    const text = await cli(['validate', 'p.json'], { cwd: home })
    expect([text.code, text.stdout]).toEqual([
      1,
      expect.stringMatching(/^p\.json: 6 problems\n {2}nodes\.0\.node_type: .*\(ERR_CONFIG\)\n/),
    ])
  })

  test.each([
    ['text that is no YAML', 'nodes: [', 'manifest'],
    ['another version', 'version: v2\nmetadata: {}\nnodes: [{id: a, node_type: X}]\nconnections: []\n', 'version'],
    [
      'a cycle',
      'version: v1\nmetadata: {}\nnodes: [{id: a, node_type: X}, {id: b, node_type: X}]\nconnections: [{from: a, to: b}, {from: b, to: a}]\n',
      'connections',
    ],
  ])('%s', async (_, text, at) => {
    const end = await cli(['validate', 'p.yaml', '--json'], { cwd: folder({ 'p.yaml': text }) })
    expect([end.code, JSON.parse(end.stdout).problems[0].path]).toEqual([1, at])
  })

  test('grants of WASI that a module asks for are a warning', async () => {
    const end = await cli(['validate', 'p.json'], { cwd: folder({ 'p.json': manifest('denoise') }) })
    expect([end.code, end.stderr]).toEqual([0, expect.stringContaining('wasi.random')])
    const granted = await cli(['validate', 'p.json'], { cwd: folder({ 'p.json': manifest('denoise', { wasi: { random: true } }) }) })
    expect([granted.code, granted.stderr]).toEqual([0, ''])
  })
})

describe('inspect, compile', () => {
  test('inspect: what the API finds, as JSON and as text', async () => {
    const json = await cli(['inspect', guest('denoise'), '--json'])
    expect(JSON.parse(json.stdout)).toEqual({ file: guest('denoise'), ...(await inspectModule(guest('denoise'))), grants: ['wasi.random'] })
    const text = await cli(['inspect', '@remotemedia/wasmedge/modules/vad.wasm', fixture('no_process')])
    expect(text.stdout).toMatch(/grants needed {2}none\n[\s\S]*rm\.emit +\(i32, i32, i32, i32, i32\) -> i32 +none/)
    expect(text.stdout).toMatch(/ABI +none: exports no process function/)
    const bad = await cli(['inspect', 'package.json'])
    expect([bad.code, bad.stderr]).toEqual([1, expect.stringMatching(/^error: .*\(ERR_MODULE_INVALID\)$/m)])
  })

  test.skipIf(!runtimeInfo().nativeCode)('compile: once, then from the cache; one that fails does not stop the others', async () => {
    const cache = path.join(folder(), 'cache')
    const env = { RM_WASMEDGE_CACHE_DIR: cache }
    const home = folder({ 'p.json': manifest('gain'), 'bad.wasm': 'no module' })
    const first = await cli(['compile', 'bad.wasm', guest('echo'), 'p.json', '--json'], { env, cwd: home })
    expect([first.code, first.stderr]).toEqual([1, expect.stringMatching(/^error: bad\.wasm: .*\(ERR_MODULE_INVALID\)$/m)])
    const [bad, echo, gain] = jsonLines(first.stdout)
    expect(bad.error.code).toBe('ERR_MODULE_INVALID')
    for (const one of [echo, gain]) expect(one).toMatchObject({ cached: false, artifactBytes: expect.any(Number) })
    const again = await cli(['compile', guest('echo')], { env })
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('was in the cache')])
    expect(again.stdout).toContain(`in ${cache}`)
  })
})

describe('serve', () => {
  const listening = async (args, options) => {
    const server = start(['serve', ...args, '--port', '0', '--json'], options)
    const [text] = await server.said(/^.+\n/)
    return { ...server, ...JSON.parse(text) }
  }
  const connect = async (port, more = {}) => {
    const client = await RemoteExecutionClient.connect({ host: '127.0.0.1', port, ...more })
    onTestFinished(() => client.close())
    return client
  }
  const audio = { samples: new Float32Array([0.25, 0.5]), sampleRate: 16_000 }

  test('a manifest as a service, for single calls and streams; SIGTERM ends it well', async () => {
    const home = folder({ 'p.json': manifest('gain', { config: { gain: 2 } }, 'louder') })
    const { child, exit, port, nodeType } = await listening(['p.json'], { cwd: home })
    expect(nodeType).toBe('louder')
    const client = await connect(port)
    expect(await client.health()).toBe(true)
    expect([...(await client.executeNode('louder', {}, audio)).data.samples]).toEqual([0.5, 1])
    let count = 0
    for await (const { data } of client.streamNode('louder', {}, [audio, audio, audio])) count += data.samples.length
    expect(count).toBe(6)
    child.kill('SIGTERM')
    expect(await exit).toMatchObject({ code: 0, signal: null })
  })

  test('calls under way are finished after Ctrl-C, new ones turned away', async () => {
    const { child, exit, said, port } = await listening([guest('gain'), '--node-type', 'G'])
    const client = await connect(port)
    let go
    const wait = new Promise((resolve) => {
      go = resolve
    })
    const source = async function* () {
      yield audio
      await wait
      yield audio
    }
    const stream = client.streamNode('G', {}, source())
    expect((await stream.next()).value.kind).toBe('audio')
    child.kill('SIGINT')
    await said(/SIGINT: finishing/, 'stderr')
    go()
    expect((await stream.next()).value.kind).toBe('audio')
    expect((await stream.next()).done).toBe(true)
    expect((await exit).code).toBe(130)
  })

  test('a token, from the environment', async () => {
    const { port } = await listening([guest('gain'), '--token', 'env:SECRET'], { env: { SECRET: 'open-sesame' } })
    const client = await connect(port, { authToken: 'open-sesame' })
    expect((await client.executeNode('gain', {}, audio)).kind).toBe('audio')
    await expect(connect(port, { authToken: 'wrong' }).then((one) => one.executeNode('gain', {}, audio))).rejects.toMatchObject({
      grpcStatus: 'UNAUTHENTICATED',
    })
    const unset = await cli(['serve', guest('gain'), '--token', 'env:NO_SUCH_VARIABLE'])
    expect([unset.code, unset.stderr]).toEqual([2, expect.stringContaining('NO_SUCH_VARIABLE is not set')])
  })

  test('a port in use', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void taken.close())
    await new Promise((resolve) => taken.once('listening', resolve))
    const end = await cli(['serve', guest('gain'), '--port', String(taken.address().port)])
    expect([end.code, end.stderr]).toEqual([1, expect.stringMatching(/^error: .*is in use.*\(ERR_\w+\)$/m)])
  })
})

describe('bench, doctor', () => {
  test('bench: figures for a module and for a manifest', async () => {
    const one = await cli(['bench', guest('gain'), '--seconds', '300ms', '--json'])
    expect(one.code, one.stderr).toBe(0)
    const found = JSON.parse(one.stdout)
    expect(found.itemsPerSecond).toBeGreaterThan(10)
    expect(found.packets).toBe(found.items)
    expect(found.latencyMs.p50).toBeLessThanOrEqual(found.latencyMs.p99)
    expect(found.aloneMs.max).toBeGreaterThan(0)
    const home = folder({ 'p.json': manifest('tokenize'), 'in.txt': 'some words\nand some more\n' })
    const many = await cli(['bench', 'p.json', '-i', 'in.txt', '--seconds', '200ms', '-c', '3'], { cwd: home })
    expect([many.code, many.stdout]).toEqual([0, expect.stringMatching(/streams +3, for[\s\S]*items +[\d.,]+ a second/)])
  })

  test('bench: Ctrl-C ends it with what was measured', async () => {
    const { child, exit, said } = start(['bench', guest('gain'), '--seconds', '10m'])
    await said(/^measuring gain for 600\.00 s$/m, 'stderr')
    child.kill('SIGINT')
    await said(/items .* a second/)
    expect((await exit).code).toBe(130)
  })

  test('doctor: all is well here, and says what is not', async () => {
    const end = await cli(['doctor', '--json'])
    const { ok, checks } = JSON.parse(end.stdout)
    expect(checks.filter(({ state }) => state === 'fail')).toEqual([])
    expect([end.code, ok]).toEqual([0, true])
    expect(checks.map(({ name }) => name)).toEqual(expect.arrayContaining(['addon', 'cache', 'memory', 'compiler', 'mode aot', 'mode jit']))
    const bad = await cli(['doctor', '--remote', '127.0.0.1:1'], { env: { RM_WASMEDGE_CACHE_DIR: '/proc/no/such/folder' } })
    expect(bad.code).toBe(1)
    expect(bad.stdout).toMatch(/^FAIL {2}remote +.*ERR_UNAVAILABLE.*\n +fix: /m)
    expect(bad.stdout).toMatch(/^FAIL {2}cache[^\n]*\n +fix: set RM_WASMEDGE_CACHE_DIR/m)
  })
})

describe('help, and what is typed wrongly', () => {
  test('help and version', async () => {
    const main = await cli(['--help'])
    for (const name of NAMES) expect(main.stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'))
    expect((await cli([])).code).toBe(2)
    expect((await cli(['--version'])).stdout).toBe(`${require('../package.json').version}\n`)
    for (const args of [
      ['run', '--help'],
      ['help', 'run'],
      ['run', '-h', 'whatever'],
    ]) {
      const end = await cli(args)
      expect([end.code, end.stdout]).toEqual([0, expect.stringMatching(/^remotemedia-wasmedge run /)])
    }
  })

  test('every option in a help text is one that the command takes, and is in docs/cli.md', async () => {
    const docs = readFileSync(path.join(ROOT, 'docs/cli.md'), 'utf8')
    for (const command of commands()) {
      const { stdout } = await cli([command.name, '--help'])
      const shown = [...stdout.matchAll(/^ {2}(?:-\w, | {4})--([\w-]+)/gm)].map(([, name]) => name)
      expect(shown.sort()).toEqual(Object.keys(optionsOf(command)).sort())
      for (const name of shown) {
        expect(docs, `${command.name} --${name}`).toContain(`--${name}`)
        const { type, optional, choices } = optionsOf(command)[name]
        const value = type === 'string' && !optional ? [choices?.[0] ?? '1'] : []
        const end = await cli([command.name, ...Array(command.arguments[0]).fill('bash'), `--${name}`, ...value, '--help'])
        expect([command.name, name, end.code]).toEqual([command.name, name, 0])
      }
    }
  })

  test.each([
    [['rnu'], "there is no command 'rnu'; did you mean 'run'?"],
    [['frobnicate'], 'there are run, stream'],
    [['--jsn'], "there is no option '--jsn' before a command"],
    [['run', 'x.wasm', '--ouput', 'y'], "there is no option '--ouput'; did you mean '--output'?"],
    [['run', 'x.wasm', '-x'], "there is no option '-x'"],
    [['run'], 'something is missing: remotemedia-wasmedge run'],
    [['run', 'a.wasm', 'b.wasm'], "'b.wasm' is too much"],
    [['run', 'x.wasm', '-i'], "option '--input' needs a value: FILE"],
    [['run', 'x.wasm', '--on-error', 'ignore'], '--on-error is one of throw, skip, emit'],
    [['run', 'x.wasm', '--input-format', 'wva'], "did you mean 'wav'?"],
    [['run', 'x.wasm', '--timeout', 'soon'], '--timeout is a duration such as 500ms, 30s or 2m'],
    [['run', 'x.wasm', '--rate', '0'], '--rate is a whole number from 1'],
    [['run', 'x.wasm', '--params', '{'], '--params is not JSON'],
    [['run', 'x.wasm', '--params', '[]'], '--params must be a JSON object'],
    [['run', 'x.wasm', '--remote', 'here'], '--remote is HOST:PORT'],
    [['run', 'x.wasm', '--json', '--output-format', 'wav'], '--json needs standard output for itself'],
    [['serve', 'x.wasm', '--port', '99999'], '--port is a whole number from 0 to 65535'],
    [['completion', 'csh'], "there is no completion for 'csh'"],
  ])('%j', async (args, text) => {
    const end = await cli(args)
    expect([end.code, end.stdout === '' || args.includes('--json')]).toEqual([2, true])
    expect(end.stderr).toMatch(/^error: /)
    expect(end.stderr).toContain(text)
  })

  test('--json errors for what is typed wrongly', async () => {
    const end = await cli(['run', 'x.wasm', '--ouput', 'y', '--json'])
    expect([end.code, JSON.parse(end.stdout).error.code]).toEqual([2, 'ERR_USAGE'])
  })

  test.skipIf(spawnSync('bash', ['-c', 'true']).status !== 0)('completion of bash completes', async () => {
    const { stdout } = await cli(['completion', 'bash'])
    const complete = (...words) =>
      execFileSync(
        'bash',
        [
          '-c',
          `${stdout}\nCOMP_WORDS=(remotemedia-wasmedge "$@"); COMP_CWORD=$#; _remotemedia_wasmedge; echo "\${COMPREPLY[@]}"`,
          '-',
          ...words,
        ],
        {
          encoding: 'utf8',
        },
      ).trim()
    expect(complete('va')).toBe('validate')
    expect(complete('run', '--onl')).toBe('')
    expect(complete('run', '--on')).toBe('--on-error')
    expect(complete('run', '--on-error', 'e')).toContain('emit')
    expect(complete('completion', 'f')).toBe('fish')
  })

  test('completion of zsh and fish names every command and option', async () => {
    for (const shell of ['zsh', 'fish']) {
      const { stdout } = await cli(['completion', shell])
      for (const command of commands()) {
        expect(stdout).toContain(command.name)
        for (const name of Object.keys(optionsOf(command))) expect(stdout).toMatch(new RegExp(`--${name}|-l ${name}`))
      }
    }
  })

  test('the examples in docs/cli.md run', () => {
    const blocks = [...readFileSync(path.join(ROOT, 'docs/cli.md'), 'utf8').matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, code]) => code)
    expect(blocks.length).toBeGreaterThan(7)
    mkdirSync(path.join(ROOT, 'target'), { recursive: true })
    for (const code of blocks) {
      const script = `set -eo pipefail; remotemedia-wasmedge() { "${process.execPath}" "${BIN}" "$@"; }\n${code}`
      const { status, stderr } = spawnSync('bash', ['-c', script], { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 28 })
      expect([code, status], stderr).toEqual([code, 0])
    }
  })

  test('the package as npm installs it has the command', async () => {
    const home = folder({ 'package.json': '{"private": true}' })
    const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', home], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const tarball = path.join(home, JSON.parse(packed)[0].filename)
    execFileSync('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], { cwd: home, stdio: 'ignore' })
    const bin = path.join(home, 'node_modules/.bin/remotemedia-wasmedge')
    expect(execFileSync(bin, ['--version'], { encoding: 'utf8' })).toBe(`${require('../package.json').version}\n`)
    const out = execFileSync(bin, ['run', '@remotemedia/wasmedge/modules/echo.wasm', '-q'], { input: 'hello', encoding: 'utf8' })
    expect(Buffer.from(JSON.parse(out).data, 'base64').toString()).toBe('hello')
  })
})
