// Problem: the ABI must hold for more than one host, and guests must be testable without the addon.
// Answer: a second implementation of the host side on V8's WebAssembly, for tests only.
// No limits, no deadlines; of WASI only random, if granted: every other call gets ENOSYS.

import { readFileSync } from 'node:fs'

const KINDS = ['binary', 'text', 'json', 'audio', 'tensor', 'video']
const ENOSYS = 52
const encode = (text) => new TextEncoder().encode(text)
const decode = (bytes) => new TextDecoder().decode(bytes)

export class GuestError extends Error {}

/** One instance of a guest: one session. */
export class Guest {
  constructor(name, { config = {}, hostFunctions = {}, services = {}, sessionId = 'test', random = false } = {}) {
    Object.assign(this, { config, hostFunctions, services, sessionId, random })
    Object.assign(this, { emitted: [], logs: [], failed: '', meta: {}, kept: null, lastError: '', format: null, streamed: [] })
    this.resultCapacity = 64
    const module = new WebAssembly.Module(readFileSync(new URL(`../dist/${name}.wasm`, import.meta.url)))
    this.exports = new WebAssembly.Instance(module, this.#imports(module)).exports
    this.exports._initialize?.()
    if (!this.exports.memory) throw new GuestError('no memory')
    const version = this.exports.rm_abi_version?.() ?? 1
    if (version !== 1) throw new GuestError(`ABI version ${version}`)
    const id = this.#put(encode(`${sessionId}\0`))
    if (this.exports.initialize && this.exports.initialize(id.ptr) < 0) throw new GuestError(this.failed)
    this.#free(id)
  }

  get pages() {
    return this.exports.memory.buffer.byteLength / 65536
  }

  /** One input; returns what was emitted, then the result buffer if anything is in it. */
  process(data, meta = {}) {
    this.meta = { kind: 'binary', sessionId: 'test', sequence: 0, metadata: {}, ...meta }
    const input = this.#put(data)
    try {
      return this.#run((again, out, len) => this.exports.process(input.ptr, again ? -1 : input.len, out, len))
    } finally {
      this.#free(input)
    }
  }

  audio(samples, sampleRate, channels = 1) {
    const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength)
    return this.process(bytes, { kind: 'audio', sampleRate, channels })
  }

  flush() {
    return this.exports.flush ? this.#run((_, out, len) => this.exports.flush(out, len)) : []
  }

  cleanup() {
    return this.exports.cleanup?.() ?? 0
  }

  #run(call) {
    this.emitted = []
    this.failed = ''
    let out = this.#alloc(this.resultCapacity)
    const len = this.#alloc(4)
    try {
      for (let round = 0; round < 3; round++) {
        this.#view().setUint32(len.ptr, out.len, true)
        const status = call(round > 0, out.ptr, len.ptr)
        const size = this.#view().getUint32(len.ptr, true)
        if (status === 1) {
          this.#free(out)
          out = this.#alloc(size)
          continue
        }
        if (size > out.len) throw new GuestError('wrote more than the buffer holds')
        const bytes = this.#bytes(out.ptr, size).slice()
        if (status < 0) throw new GuestError(this.failed || decode(bytes))
        return size > 0 ? [...this.emitted, { kind: 'result', bytes }] : this.emitted
      }
      throw new GuestError('asks for a larger buffer again and again')
    } finally {
      this.#free(out)
      this.#free(len)
    }
  }

  #view() {
    return new DataView(this.exports.memory.buffer)
  }

  #bytes(ptr, len) {
    return new Uint8Array(this.exports.memory.buffer, ptr >>> 0, len)
  }

  #alloc(len) {
    if (!this.exports.rm_alloc) {
      const pages = Math.ceil(Math.max(len, 1) / 65536)
      return { ptr: this.exports.memory.grow(pages) * 65536, len }
    }
    const ptr = this.exports.rm_alloc(len)
    if (ptr === 0 || ptr % 8 !== 0) throw new GuestError(`rm_alloc returned ${ptr}`)
    return { ptr, len }
  }

  #free({ ptr, len }) {
    this.exports.rm_free?.(ptr, len)
  }

  #put(data) {
    const place = this.#alloc(data.length)
    this.#bytes(place.ptr, data.length).set(data)
    return place
  }

  /** The buffer protocol of imports. */
  #fill(data, out, lenPtr) {
    const room = this.#view().getUint32(lenPtr, true)
    this.#view().setUint32(lenPtr, data.length, true)
    if (data.length > room) return 1
    this.#bytes(out, data.length).set(data)
    return 0
  }

  #refuse(status, text) {
    this.lastError = text
    return status
  }

  /** Asks one of the `functions`, unless an answer is kept for a second call. */
  #ask(functions, name, data, out, lenPtr) {
    if (this.kept === null) {
      const answer = functions[name]
      if (!answer) return this.#refuse(-3, `there is no ${name}`)
      const given = answer(data, this.format)
      this.format = null
      if (typeof given === 'number') return this.#refuse(given, `${name} said no`)
      this.kept = given
    }
    const status = this.#fill(this.kept, out, lenPtr)
    if (status === 0) this.kept = null
    return status
  }

  #imports(module) {
    const text = (ptr, len) => decode(this.#bytes(ptr, len))
    const rm = {
      emit: (kind, ptr, len, metaPtr, metaLen) => {
        const meta = metaLen > 0 ? JSON.parse(text(metaPtr, metaLen)) : {}
        this.emitted.push({ kind: KINDS[kind], bytes: this.#bytes(ptr, len).slice(), meta })
        return 0
      },
      input_meta: (out, len) => this.#fill(encode(JSON.stringify(this.meta)), out, len),
      config: (out, len) => this.#fill(encode(JSON.stringify(this.config)), out, len),
      log: (level, ptr, len) => this.logs.push([level, text(ptr, len)]),
      fail: (ptr, len) => {
        this.failed = text(ptr, len)
      },
      last_error: (out, len) => this.#fill(encode(this.lastError), out, len),
      now_ms: () => BigInt(Math.round(performance.now())),
      call_host: (name, nameLen, data, len, out, outLen) =>
        this.#ask(this.hostFunctions, text(name, nameLen), this.#bytes(data, len).slice(), out, outLen),
      remote_format: (kind, ptr, len) => {
        this.format = { kind: KINDS[kind], ...(len > 0 ? JSON.parse(text(ptr, len)) : {}) }
        return 0
      },
    }
    const env = {
      call_remote_service: (name, nameLen, data, len, out, outLen) =>
        this.#ask(this.services, text(name, nameLen), this.#bytes(data, len).slice(), out, outLen),
      stream_to_remote: (name, nameLen, data, len) => {
        this.streamed.push([text(name, nameLen), this.#bytes(data, len).slice()])
        return 0
      },
      get_remote_session: (id, idLen, out, outLen) =>
        idLen > 0 && text(id, idLen) !== this.sessionId
          ? this.#refuse(-2, 'not this session')
          : this.#fill(encode(`remote-of-${this.sessionId}`), out, outLen),
    }
    const wasi = {}
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      if (from === 'wasi_snapshot_preview1') wasi[name] = () => ENOSYS
    }
    if (this.random) wasi.random_get = (ptr, len) => (this.#bytes(ptr, len).fill(1), 0)
    return { rm, env, wasi_snapshot_preview1: wasi }
  }
}

/** Bytes of an output as f32, text or JSON. */
export const floats = ({ bytes }) => new Float32Array(bytes.slice().buffer)
export const text = ({ bytes }) => decode(bytes)
export const json = (output) => JSON.parse(text(output))
