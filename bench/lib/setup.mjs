// What has to be there before anything is measured; each step is quick when it was done before.

import { execFileSync, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
export const paths = require('../node/lib/paths.cjs')
const bench = fileURLToPath(new URL('..', import.meta.url))

export const NATIVE = { native: [], 'native-cpu': ['-C', 'target-cpu=native'] }
export const nativeProgram = (variant) => path.join(paths.root, 'target', 'bench-native', variant, 'release', 'bench-native')

const serverTarget = path.join(paths.root, 'target', 'bench-server')

const RATE = 16_000
const SECONDS = 10
const FRAME = 256

export async function setUp(say) {
  mkdirSync(paths.target, { recursive: true })
  const { WasmEdgeNode, compileModule } = addon()
  if (!WasmEdgeNode) throw new Error('the addon is not built: make build')
  installPeers(say)
  await assembleExtismGuest()
  writeFileSync(paths.audio, Buffer.from(speech().buffer))
  buildNative(say)
  buildServer(say)
  say('compiling the guests ahead of time')
  rmSync(paths.cache, { recursive: true, force: true })
  mkdirSync(paths.cache, { mode: 0o700 })
  for (const name of ['bytesum', 'vad']) await compileModule(paths.guest(name))
}

/** The addon as the cases load it, with the benchmark's own cache folder. */
export function addon() {
  process.env.RM_WASMEDGE_CACHE_DIR = paths.cache
  mkdirSync(paths.cache, { recursive: true, mode: 0o700 })
  return require(paths.root)
}

function installPeers(say) {
  const folder = path.join(bench, 'node')
  const done = path.join(folder, 'node_modules', '.package-lock.json')
  const lock = path.join(folder, 'package-lock.json')
  if (existsSync(done) && statSync(done).mtimeMs >= statSync(lock).mtimeMs) return
  say('installing what is measured against (bench/node)')
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--silent'], { cwd: folder, stdio: 'inherit' })
}

async function assembleExtismGuest() {
  const peers = createRequire(new URL('../node/package.json', import.meta.url))
  const wabt = await peers('wabt')()
  const source = readFileSync(new URL('../node/guests/bytesum-extism.wat', import.meta.url), 'utf8')
  const module = wabt.parseWat('bytesum-extism.wat', source)
  writeFileSync(paths.extismGuest, module.toBinary({}).buffer)
  module.destroy()
}

function buildNative(say) {
  for (const [variant, flags] of Object.entries(NATIVE)) {
    say(`building the native voice detector (${variant})`)
    const args = ['build', '--quiet', '--release', '--locked', '--manifest-path', path.join(bench, 'native', 'Cargo.toml')]
    const target = path.join(paths.root, 'target', 'bench-native', variant)
    const env = { ...process.env, RUSTFLAGS: flags.join(' '), CARGO_TARGET_DIR: target }
    delete env.CARGO_ENCODED_RUSTFLAGS
    execFileSync('cargo', args, { env, stdio: ['ignore', 'inherit', 'inherit'] })
  }
}

function buildServer(say) {
  say('building the gRPC echo server')
  const args = ['build', '--quiet', '--release', '--locked', '--manifest-path', path.join(bench, 'server', 'Cargo.toml')]
  execFileSync('cargo', args, { env: { ...process.env, CARGO_TARGET_DIR: serverTarget }, stdio: ['ignore', 'inherit', 'inherit'] })
}

let server

/** The port of the echo server, which ends with this process. */
export function startServer() {
  if (server) return server.port
  // Its first line is the port; a file, because a pipe cannot be read before the event loop turns.
  const file = path.join(paths.target, 'server-port')
  const out = openSync(file, 'w+')
  const child = spawn(path.join(serverTarget, 'release', 'bench-server'), [], { stdio: ['ignore', out, 'inherit'] })
  child.unref()
  process.on('exit', () => child.kill())
  const bytes = Buffer.alloc(16)
  const until = Date.now() + 10_000
  let port = 0
  while (!(port > 0)) {
    if (Date.now() > until) throw new Error('the echo server did not start')
    const read = readSync(out, bytes, 0, bytes.length, 0)
    const line = bytes.toString('latin1', 0, read)
    if (line.endsWith('\n')) port = Number(line)
  }
  closeSync(out)
  server = { child, port }
  return port
}

/**
 * Ten seconds of 16 kHz audio, always the same: phrases of voiced syllables with pitch, overtones and formants, pauses between them, a
 * little noise throughout. Enough like speech for the detector, which does the same work on any sound.
 */
function speech() {
  const samples = new Float32Array(Math.floor((RATE * SECONDS) / FRAME) * FRAME)
  const formants = [
    [600, 120],
    [1200, 150],
    [2500, 200],
  ]
  let seed = 1
  const noise = () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return seed / 2 ** 31 - 1
  }
  for (let i = 0; i < samples.length; i++) {
    const t = i / RATE
    let value = 0
    // A phrase of 1.4 s, then 0.6 s of silence.
    if (t % 2 < 1.4) {
      const pitch = 120 + 20 * Math.sin(t * 9)
      for (let k = 1; k < 30; k++) {
        const hz = k * pitch
        let weight = 0
        for (const [centre, width] of formants) weight += 1 / (1 + ((hz - centre) / width) ** 2)
        value += weight * Math.sin(hz * t * 2 * Math.PI)
      }
      value *= 0.2 * Math.abs(Math.sin(t * 4 * Math.PI))
    }
    samples[i] = Math.max(-1, Math.min(1, value + 0.002 * noise()))
  }
  return samples
}
