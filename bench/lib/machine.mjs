// Where and with what the figures were measured. Nothing that names the host or its user.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import { addon, paths } from './setup.mjs'

const peers = createRequire(new URL('../node/package.json', import.meta.url))

function attempt(read) {
  try {
    return read()
  } catch {
    return null
  }
}

const output = (program, args) =>
  attempt(() => execFileSync(program, args, { cwd: paths.root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim())

/** The version in a package's own package.json, which `exports` may hide. */
function peerVersion(name) {
  const lock = peers('./package-lock.json')
  return lock.packages[`node_modules/${name}`].version
}

export async function describeMachine() {
  const info = addon().runtimeInfo()
  const cpu = os.cpus()[0]
  const system = attempt(() => readFileSync('/etc/os-release', 'utf8').match(/^PRETTY_NAME="(.*)"$/m)[1]) ?? `${os.type()} ${os.release()}`
  const virtual = attempt(() => /^flags.*\bhypervisor\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'))) ?? false
  const changed = output('git', ['status', '--porcelain', '--', 'src', 'js', 'wasm-modules', 'Cargo.lock'])
  return {
    cpu: cpu.model.trim(),
    processors: os.availableParallelism(),
    virtual,
    memoryGb: Math.round(os.totalmem() / 2 ** 30),
    system,
    kernel: os.release(),
    loadBefore: Math.round(os.loadavg()[0] * 100) / 100,
    versions: {
      node: process.versions.node,
      v8: process.versions.v8,
      package: info.version,
      commit: output('git', ['rev-parse', '--short=12', 'HEAD']) + (changed ? ' with changes' : ''),
      wasmedge: info.wasmedgeVersion,
      rustc: output('rustc', ['--version'])?.split(' ')[1] ?? null,
      extism: peerVersion('@extism/extism'),
      piscina: peerVersion('piscina'),
    },
    vectors: ['sse2', 'avx2', 'avx512f', 'asimd', 'sve'].filter((name) => info.cpuFeatures.includes(name)),
  }
}
