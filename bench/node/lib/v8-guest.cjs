'use strict'
// A guest of ours on V8's WebAssembly, in the same process: what an application would write by hand to run the same .wasm without
// this package. As quick as we know how: buffers are allocated once and kept, views are kept until the memory moves. No limits.

const { readFileSync } = require('node:fs')

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const KINDS = ['binary', 'text', 'json', 'audio', 'tensor', 'video']

class V8Guest {
  /** `module` is compiled, or the path of one. */
  constructor(module, config = {}) {
    this.config = encoder.encode(JSON.stringify(config))
    this.meta = encoder.encode('{"kind":"binary","sessionId":"bench","sequence":0,"metadata":{}}')
    this.outputs = []
    const compiled = typeof module === 'string' ? new WebAssembly.Module(readFileSync(module)) : module
    this.exports = new WebAssembly.Instance(compiled, { rm: this.#imports() }).exports
    this.memory = this.exports.memory
    this.exports._initialize?.()
    this.capacity = 1024
    this.input = this.exports.rm_alloc(this.capacity)
    this.result = this.exports.rm_alloc(1024)
    this.cell = this.exports.rm_alloc(8)
    this.#look()
    this.bytes.set(encoder.encode('bench\0'), this.input)
    if (this.exports.initialize?.(this.input) < 0) throw new Error('the guest refused to start')
  }

  /** One input; the outputs as `{ kind, bytes }`. */
  process(data) {
    this.outputs = []
    const { length } = data
    if (length > this.capacity) {
      this.exports.rm_free(this.input, this.capacity)
      this.capacity = length
      this.input = this.exports.rm_alloc(length)
    }
    this.#look()
    this.bytes.set(data, this.input)
    this.view.setUint32(this.cell, 1024, true)
    const status = this.exports.process(this.input, length, this.result, this.cell)
    if (status !== 0) throw new Error(`status ${status}`)
    this.#look()
    const size = this.view.getUint32(this.cell, true)
    if (size > 0) this.outputs.push({ kind: 'binary', bytes: this.bytes.slice(this.result, this.result + size) })
    return this.outputs
  }

  #look() {
    const { buffer } = this.memory
    if (this.bytes?.buffer === buffer) return
    this.bytes = new Uint8Array(buffer)
    this.view = new DataView(buffer)
  }

  #fill(bytes, out, cell) {
    this.#look()
    const room = this.view.getUint32(cell, true)
    this.view.setUint32(cell, bytes.length, true)
    if (bytes.length > room) return 1
    this.bytes.set(bytes, out)
    return 0
  }

  #imports() {
    return {
      emit: (kind, at, length) => {
        this.#look()
        this.outputs.push({ kind: KINDS[kind], bytes: this.bytes.slice(at, at + length) })
        return 0
      },
      input_meta: (out, cell) => this.#fill(this.meta, out, cell),
      config: (out, cell) => this.#fill(this.config, out, cell),
      log: () => {},
      fail: (at, length) => {
        this.#look()
        throw new Error(decoder.decode(this.bytes.subarray(at, at + length)))
      },
      last_error: () => -1,
      now_ms: () => BigInt(Math.round(performance.now())),
      call_host: () => -3,
    }
  }
}

module.exports = { V8Guest }
