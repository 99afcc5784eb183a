import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// Compiled guests are kept between runs, apart from the user's own. Set before the workers start, for native code reads the
// environment of the process.
const cache = fileURLToPath(new URL('target/test-cache', import.meta.url))
mkdirSync(cache, { recursive: true, mode: 0o700 })
process.env.RM_WASMEDGE_CACHE_DIR = cache
delete process.env.RM_LOG

export default defineConfig({
  test: {
    include: ['__test__/**/*.test.mjs'],
    // A process for each file: what one file does to its process must not decide how another one fares.
    pool: 'forks',
    // One at a time: deadlines and memory are measured, and a neighbour that compiles modules on every processor would blur both.
    fileParallelism: false,
    // The package is tested as Node loads it, not as a bundler rewrites it.
    server: { deps: { external: [/\/js\/[^/]+\.m?js$/] } },
    // A guard against what never ends, not a measure: compiling a module takes seconds, and many times that on a busy machine.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
  },
})
