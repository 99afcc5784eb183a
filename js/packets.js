// Slots of items under way, and the packets that answer them.
//
// Every item has a slot, known to native code by its number, the ticket. Native code writes finished items into one shared array of
// numbers and one arena of bytes per batch (`src/binding/settle.rs` is the other half of this layout) and calls `settle` once. Packets
// are made here, so that all have one hidden class and none costs a call through the addon interface.

const { markAsUntransferable } = require('node:worker_threads')

const KINDS = ['binary', 'text', 'json', 'audio', 'tensor', 'video']
const TEXT = 1
const JSON_KIND = 2

/** The shared numbers; native code knows the length. */
const heads = new Float64Array(8192)
/** Slots under way by ticket, and the tickets that are free. */
const slots = []
const free = []

class Packet {
  constructor(data, kind, sessionId, sequence, timestampMs, metadata, route) {
    this.data = data
    this.kind = kind
    this.sessionId = sessionId
    this.sequence = sequence
    this.timestampMs = timestampMs
    this.metadata = metadata
    this.route = route
  }
}

/** Keeps a slot `{ sessionId, answer(packets), fail(error) }` until it is answered; its ticket. */
function open(slot) {
  const ticket = free.length > 0 ? free.pop() : slots.length
  slots[ticket] = slot
  return ticket
}

/** Gives a ticket back that native code did not take. */
function withdraw(ticket) {
  slots[ticket] = undefined
  free.push(ticket)
}

function payload(kind, value, a, b, c) {
  switch (kind) {
    case JSON_KIND:
      return JSON.parse(value)
    case 3:
      return { samples: new Float32Array(value), sampleRate: a, channels: b }
    case 4:
      return { data: value, dtype: a, shape: b }
    case 5:
      return { pixels: value, width: a, height: b, format: c }
    default:
      return value
  }
}

/** The packet at `at` of the shared numbers. */
function packetAt(at, bytes, extras, sessionId) {
  const kind = heads[at]
  const where = heads[at + 2]
  const extra = heads[at + 5]
  let data
  if (where >= 0) {
    const end = where + heads[at + 3]
    if (kind === TEXT) data = bytes.utf8Slice(where, end)
    else if (kind === JSON_KIND) data = JSON.parse(bytes.utf8Slice(where, end))
    else data = Buffer.from(bytes.buffer, where, end - where)
  } else data = payload(kind, extras[extra], extras[extra + 2], extras[extra + 3], extras[extra + 4])
  const time = heads[at + 4]
  const metadata = extra >= 0 && extras[extra + 1] !== undefined ? JSON.parse(extras[extra + 1]) : {}
  const route = extra >= 0 && extras[extra + 5] !== undefined ? JSON.parse(extras[extra + 5]) : undefined
  return new Packet(data, KINDS[kind], sessionId, heads[at + 1], Number.isNaN(time) ? undefined : time, metadata, route)
}

/** Hook: answers the slots of `records` items. */
function settle(records, arena, extras) {
  let bytes
  if (arena !== undefined) {
    // Small results share the arena, as small Buffers share Node's pool: giving one away must not take the others along.
    markAsUntransferable(arena)
    bytes = Buffer.from(arena)
  }
  let at = 0
  for (let record = 0; record < records; record++) {
    const ticket = heads[at++]
    const slot = slots[ticket]
    let count = heads[at++]
    if (count === -1) {
      withdraw(ticket)
      slot.fail(extras[heads[at++]])
      continue
    }
    // Below -1: so many packets, and more of the same item follow in the next batch.
    const more = count < -1
    if (more) count = -2 - count
    const next = at + count * 6
    let packets = new Array(count)
    let failure
    try {
      for (let index = 0; index < count; index++, at += 6) packets[index] = packetAt(at, bytes, extras, slot.sessionId)
      if (slot.parts) packets = slot.parts.concat(packets)
    } catch (error) {
      // Native code checks what guests put out; should it have missed something, the other items of the batch must not pay for it.
      failure = { error }
      at = next
    }
    if (more && !failure) {
      slot.parts = packets
      continue
    }
    withdraw(ticket)
    if (failure) slot.fail(failure.error)
    else slot.answer(packets)
  }
}

module.exports = { heads, open, settle, withdraw }
