// The JavaScript half of a service's nodes: functions, node objects and generators become one shape that native code can drive.
//
// Native code gives every call as an object: `receive(ticket)` answers with packets, none at the end; `send(item)` says whether there is
// room for another, `room(ticket)` when there is again. It validates nothing: what a handler puts out is checked by native code.

const { ticketed } = require('./calls.js')
const { within } = require('./context.js')
const { PacketIterator } = require('./iterator.js')
const { SPEC } = require('./symbols.js')

/** The packets that the client sends, as the source of a node. Pulled only as far as somebody asks. */
class CallSource extends PacketIterator {
  #tickets
  #receiving = false
  #ended = false
  /** The number of the item that was taken last. */
  sequence = 0
  #taken = false

  constructor(tickets, call) {
    super(() => call, [], undefined)
    this.#tickets = tickets
    this._native = call
    this._sourceDone = true
  }

  async next() {
    const step = await super.next()
    // What comes after the last item answers none: its number is how many there were.
    if (!step.done) this.sequence = step.value.sequence
    else if (this.#taken) this.sequence++
    this.#taken = !step.done
    return step
  }

  get _complete() {
    return this.#ended
  }

  /** The call ends by itself, when its handler has. */
  _release() {}

  async _pump() {
    if (this.#receiving || this._over || this.#ended) return
    this.#receiving = true
    try {
      while (this._wanted > 0 && !this.#ended && !this._over) {
        const packets = await ticketed(this.#tickets, this._native.sessionId, (ticket) => this._native.receive(ticket))
        if (packets.length === 0) this.#ended = true
        for (const packet of packets) this._ready.push(packet)
        this._deliver()
      }
    } catch (error) {
      this._fail(error)
    } finally {
      this.#receiving = false
    }
  }
}

/** What a handler returned, as something to loop over: a stream's items, a list's items, one item, or nothing. */
function items(returned) {
  if (returned === undefined || returned === null) return []
  const many =
    typeof returned === 'object' && (returned[Symbol.asyncIterator] || Array.isArray(returned) || typeof returned.next === 'function')
  return many ? returned : [returned]
}

/** Hook: runs one call of a handler to its end. */
async function serve(tickets, handler, call) {
  let over = false
  const controller = new AbortController()
  const source = new CallSource(tickets, call)
  try {
    call.onStop(() => over || controller.abort(new Error('nobody waits for the call any more')))
    const { sessionId } = call
    const info = { ...call.info, signal: controller.signal }
    await within(info.traceparent, async () => {
      for await (const item of items(await handler(source, info))) {
        if (call.stopped) break
        if (item === undefined || item === null) continue
        const sequence = Number.isInteger(item.sequence) && item.data !== undefined ? item.sequence : source.sequence
        if (!call.send(item, sequence)) await ticketed(tickets, sessionId, (ticket) => call.room(ticket))
      }
    })
    over = true
    call.finish()
  } catch (error) {
    over = true
    call.fail(error)
  } finally {
    source.return().catch(() => {})
  }
}

function perItem(fn) {
  const one = async (packet, info) => {
    const returned = await fn(packet, info)
    if (typeof returned?.process === 'function') throw new TypeError('the function returned a node: register a factory as { create }')
    return returned
  }
  return {
    execute: async (source, info) => {
      const { value, done } = await source.next()
      return done ? undefined : one(value, info)
    },
    stream: async function* (source, info) {
      for await (const packet of source) yield* items(await one(packet, info))
    },
  }
}

/** A node for all calls; sessions are the node's own. */
function shared(node) {
  // Our own nodes put a `traceparent` into the metadata of what they put out, where the client did not ask for it.
  const trace = SPEC in node ? 'partOf' : 'traceparent'
  const run = (source, { sessionId, signal, timeoutMs, traceparent }) =>
    node.process(source, { sessionId, signal, timeoutMs, [trace]: traceparent })
  return { execute: run, stream: run }
}

/** A node for each call, made and cleaned up with it. */
function made(create) {
  const run = async function* (source, info) {
    const node = await create(info)
    try {
      yield* shared(node).stream(source, info)
    } finally {
      await node.cleanup?.()
    }
  }
  return { execute: run, stream: run }
}

/** A function without parameters: it makes a node for each call, or it answers every item without looking at it. */
function either(fn) {
  const each = perItem(fn)
  const run = (kind) =>
    async function* (source, info) {
      const returned = await fn()
      if (typeof returned?.process === 'function') return yield* made(() => returned)[kind](source, info)
      const { done } = await source.next()
      if (done) return
      yield* items(returned)
      yield* items(await each[kind](source, info))
    }
  return { execute: run('execute'), stream: run('stream') }
}

/**
 * What was registered, as two functions `(source, info) => items`: `execute` for one item, `stream` for many; nothing for what is neither.
 *
 * A generator function gets the stream. A function gets an item at a time; one without parameters may make a node for each call instead, as
 * a class and `{ create }` do. An object has `execute` (an item at a time), `stream`, or both, or is a node.
 */
function handlers(entry) {
  if (typeof entry === 'function') {
    if (/GeneratorFunction$/.test(entry.constructor?.name)) return { execute: entry, stream: entry }
    if (typeof entry.prototype?.process === 'function') return made((info) => new entry(info.config))
    return entry.length === 0 ? either(entry) : perItem(entry)
  }
  if (typeof entry?.create === 'function') return made((info) => entry.create(info))
  if (typeof entry?.process === 'function') return shared(entry)
  const each = typeof entry?.execute === 'function' ? perItem((packet, info) => entry.execute(packet, info)) : undefined
  const stream = typeof entry?.stream === 'function' ? (source, info) => entry.stream(source, info) : undefined
  if (!each && !stream) return undefined
  return { execute: each?.execute ?? stream, stream: stream ?? each.stream }
}

module.exports = { handlers, serve }
