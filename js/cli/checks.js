// Problem: a package with native code, a compiler of its own and large reservations of memory fails in ways that are hard to tell apart.
// Answer: one check for each thing that it needs, `{ name, state: 'ok' | 'warn' | 'fail', detail, fix? }`. A check changes nothing but the
// cache of compiled modules, and says what to do where it failed.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { about } = require('./problems.js')
const { bytes, plural } = require('./terminal.js')

const ROOT = path.join(__dirname, '../..')
/** What one guest memory reserves of the address space, without using it. */
const RESERVED = 13e9
/** The compiler's child of a small module takes tens of milliseconds. */
const CHILD_MS = 60_000

const ok = (detail) => ({ state: 'ok', detail })
const warn = (detail, fix) => ({ state: 'warn', detail, fix })
const fail = (detail, fix) => ({ state: 'fail', detail, fix })

const module_ = (name) => path.join(ROOT, 'wasm-modules/dist', `${name}.wasm`)

function node() {
  const wanted = Number(/\d+/.exec(require(path.join(ROOT, 'package.json')).engines.node)[0])
  const major = Number(process.versions.node.split('.')[0])
  return major >= wanted ? ok(process.version) : fail(`${process.version} is too old`, `install Node.js ${wanted} or later`)
}

function addonFix(text) {
  if (/GLIBC/.test(text))
    return 'the system’s C library is older than the addon: use a newer distribution, or build it here with make build'
  if (/wasmedge/i.test(text) && /cannot open shared object/.test(text))
    return 'WasmEdge is not where the addon looks: make build sets it up'
  if (/musl/.test(text)) return 'use a distribution with glibc, or build it here with make build'
  return 'install the package again for this system, or in its repository: make build'
}

function addon() {
  try {
    require('../index.js')
    return ok(`loads on ${process.platform} ${process.arch}`)
  } catch (error) {
    const text = [error.message, ...(error.cause?.errors ?? []).map(String), error.cause?.message ?? ''].join(' ')
    return fail(text.split('\n')[0], addonFix(text))
  }
}

const info = () => require('../index.js').runtimeInfo()

function engine() {
  const { wasmedgeVersion, version, parallelism, nativeCode } = info()
  const detail = `package ${version}, WasmEdge ${wasmedgeVersion}, ${parallelism} guests at once`
  return nativeCode ? ok(detail) : warn(`${detail}; modules are interpreted only`, 'compiled code needs Linux on x86-64 or aarch64')
}

/** What the compiler makes most use of. */
function cpu() {
  const { cpuFeatures } = info()
  const model = os.cpus()[0]?.model ?? process.arch
  const wide = ['avx512f', 'avx2', 'avx', 'sse4_2', 'asimd', 'neon', 'sve'].filter((name) => cpuFeatures.includes(name))
  const detail = `${model}: ${wide.join(', ') || 'no vector features found'} (${cpuFeatures.length} features)`
  if (process.arch === 'x64' && !cpuFeatures.includes('sse4_2')) return warn(detail, 'modules with SIMD will be slow on this processor')
  return ok(detail)
}

function cache() {
  const { cacheFolder } = info()
  const fix = 'set RM_WASMEDGE_CACHE_DIR to a folder that belongs to this user and is closed to others (mode 0700)'
  if (cacheFolder === null) return fail('no folder for compiled modules can be used', fix)
  const probe = path.join(cacheFolder, `.doctor-${process.pid}`)
  try {
    fs.mkdirSync(cacheFolder, { recursive: true, mode: 0o700 })
    fs.writeFileSync(probe, 'probe')
    fs.rmSync(probe)
  } catch (error) {
    return fail(`${cacheFolder} cannot be written: ${error.message}`, fix)
  }
  const { free } = space(cacheFolder)
  if (free !== undefined && free < 256e6)
    return warn(`${cacheFolder} can be written, but only ${bytes(free)} are free`, 'make room, or move it')
  return ok(`${cacheFolder} can be written${free === undefined ? '' : `, ${bytes(free)} free`}`)
}

function space(folder) {
  try {
    const { bavail, bsize } = fs.statfsSync(folder)
    return { free: bavail * bsize }
  } catch {
    return {}
  }
}

/** The soft limit of this process's address space in bytes; nothing where there is none or nobody says. */
function addressSpace() {
  try {
    const found = /^Max address space\s+(\S+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))
    return found && found[1] !== 'unlimited' ? Number(found[1]) : undefined
  } catch {
    return undefined
  }
}

/** The address space that is taken already: V8 reserves much of it, too. */
function taken() {
  const found = /^VmSize:\s+(\d+) kB/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))
  return found ? Number(found[1]) * 1_024 : 0
}

function memory() {
  const limit = addressSpace()
  const free = os.freemem()
  if (limit !== undefined && limit < 64 * RESERVED) {
    const guests = Math.max(0, Math.floor((limit - taken()) / RESERVED))
    const detail = `the address space is limited to ${bytes(limit)}: room for ${plural(guests, 'guest')}, each reserves ${bytes(RESERVED)} of it`
    const fix = 'ulimit -v unlimited (or LimitAS=infinity in the service’s unit); the memory itself stays limited by memoryLimit'
    return guests === 0 ? fail(detail, fix) : warn(detail, fix)
  }
  if (free < 200e6) return warn(`${bytes(free)} of memory are free`, 'a guest needs little, its compiler some 100 MB')
  return ok(`no limit of the address space, ${bytes(free)} of ${bytes(os.totalmem())} free`)
}

/** In a process and a cache of its own, so that the compiler really runs. */
function compiler() {
  if (!info().nativeCode) return warn('not used on this system: modules are interpreted')
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'remotemedia-doctor-'))
  fs.chmodSync(folder, 0o700)
  const code = `require(${JSON.stringify(path.join(ROOT, 'js/index.js'))}).compileModule(${JSON.stringify(module_('echo'))})
    .then((done) => console.log(JSON.stringify(done)), (error) => { console.error(error.message); process.exitCode = 1 })`
  try {
    const env = { ...process.env, RM_WASMEDGE_CACHE_DIR: folder }
    const child = spawnSync(process.execPath, ['-e', code], { env, encoding: 'utf8', timeout: CHILD_MS })
    if (child.status !== 0) {
      const why = child.error?.message ?? (child.stderr.trim() || `it ended with ${child.signal ?? child.status}`)
      return fail(
        `echo.wasm does not compile: ${why.split('\n')[0]}`,
        'processes must be allowed to start, and the temporary folder to be written',
      )
    }
    return ok(`compiles echo.wasm in a process of its own, in ${Math.round(JSON.parse(child.stdout).durationMs)} ms`)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

async function mode(name) {
  if (name !== 'interpreter' && !info().nativeCode) return warn('not on this system')
  const { WasmEdgeNode } = require('../index.js')
  const guest = new WasmEdgeNode(module_('echo'), { mode: name })
  try {
    const [{ data }] = await guest.call('hello')
    if (String(data) !== 'hello') return fail(`echo.wasm answered ${JSON.stringify(data)}`, 'report it: the module or the engine is broken')
    return ok('echo.wasm runs')
  } catch (error) {
    const { code, message } = about(error)
    const fix =
      addressSpace() !== undefined
        ? 'raise the limit of the address space, see memory above'
        : 'see the checks above; with RM_LOG=debug the log says more'
    return fail(`${message} (${code})`, fix)
  } finally {
    await guest.cleanup()
  }
}

async function remote({ host, port, tls }) {
  const { RemoteExecutionClient } = require('../index.js')
  const shown = `${host}:${port}`
  let client
  try {
    client = await RemoteExecutionClient.connect({ host, port, timeout: 5, maxRetries: 0, ...(tls && { sslEnabled: true }) })
    const { api } = client.metrics()
    const serving = await client.health().catch((error) => about(error).message)
    if (serving === false) return fail(`${shown} answers, and says that it is not serving`, 'look at the service')
    const health = serving === true ? 'serving' : `health unknown (${serving})`
    return ok(`${shown} answers, protocol ${api}, ${health}`)
  } catch (error) {
    const { code, message } = about(error)
    return fail(
      `${message} (${code})`,
      'is it running, on this port, and may this machine reach it? A TLS service is given as grpcs://HOST:PORT',
    )
  } finally {
    await client?.close()
  }
}

/** All checks in order; what needs the addon is left out where that does not load. */
function list(remoteAddress) {
  const first = [
    ['Node.js', node],
    ['addon', addon],
  ]
  const rest = [
    ['engine', engine],
    ['processor', cpu],
    ['cache', cache],
    ['memory', memory],
    ['compiler', compiler],
    ...['interpreter', 'aot', 'jit', 'auto'].map((name) => [`mode ${name}`, () => mode(name)]),
    ...(remoteAddress ? [['remote', () => remote(remoteAddress)]] : []),
  ]
  return { first, rest }
}

module.exports = { list }
