// Every session has a guest and memory of its own. State lives from stream to stream until the session is closed; the end of a stream
// lets the guest put out what it still holds.

import { WasmEdgeNode } from '@remotemedia/wasmedge'

const node = new WasmEdgeNode(import.meta.resolve('@remotemedia/wasmedge/modules/vad.wasm'), { config: { output: 'scores' } })

/** `ms` milliseconds of silence, as one item. */
const silence = (ms) => ({ samples: new Float32Array(ms * 16), sampleRate: 16_000 })

async function times(sessionId, items) {
  const frames = []
  for await (const { data } of node.process(items, { sessionId })) frames.push(`${data.startMs}-${data.endMs}`)
  return frames.join(' ')
}

// The guest counts time from the start of its session, in frames of 16 ms. What does not fill a frame is put out by the flush.
console.log('alice, 40 ms:      ', await times('alice', [silence(40)]))
console.log('bob, 20 ms:        ', await times('bob', [silence(20)]))
console.log('alice, 16 ms more: ', await times('alice', [silence(16)]))

await node.closeSession('alice')
console.log('alice, anew:       ', await times('alice', [silence(16)]))

// Without a name, a stream is a session of its own and ends with it.
for await (const { sessionId, data } of node.process([silence(16)])) console.log(`${sessionId}:        ${data.startMs}-${data.endMs}`)

const { sessionsOpen, sessionsOpened, sessionsClosed } = node.metrics()
console.log({ sessionsOpen, sessionsOpened, sessionsClosed })

await node.cleanup()
