// The two sides: `vad` in WebAssembly here, Silero behind the proxy there; and a stream through either of them, or a router, with the time that
// each item took.

import { RemoteObjectNode, WasmEdgeNode } from '@remotemedia/wasmedge'
import { sleep } from './figures.mjs'

const VAD = import.meta.resolve('@remotemedia/wasmedge/modules/vad.wasm')

/** Scores of 16 ms each. */
export const edgeNode = (options = {}) => new WasmEdgeNode(VAD, { config: { output: 'scores' }, mode: 'aot', ...options })

/** Scores of 32 ms each, in one packet. */
export const cloudNode = (port, options = {}) =>
  new RemoteObjectNode({ host: '127.0.0.1', port, nodeType: 'VoiceActivityDetector', config: { output: 'scores' }, ...options })

/**
 * One session through a node. `next(index)` gives `{ item, due }` or nothing at the end; an item is given at its `due` moment, or when it is
 * asked for, if that is later: then it counts from when it was due. Calls `heard({ index, ms, at, route, bytes })` for each answered item, when
 * its last packet is there. Resolves to `{ sent, answered, wrong }`; `wrong` are answers out of order.
 */
export async function session(node, next, heard, options = {}) {
  const under = new Map()
  let sent = 0
  async function* source() {
    for (;;) {
      const given = next(sent)
      if (!given) return
      const { item, due } = given
      const asked = performance.now()
      if (due > asked) await sleep(due - asked)
      under.set(sent, { began: due !== undefined && due <= asked ? due : performance.now(), bytes: item.samples.byteLength })
      sent += 1
      yield item
    }
  }
  let [answered, wrong] = [0, 0]
  let open
  const close = () => {
    if (!open) return
    const { packet, at } = open
    const about = under.get(packet.sequence)
    under.delete(packet.sequence)
    if (!about || packet.sequence !== answered) wrong += 1
    answered += 1
    heard({ index: packet.sequence, ms: at - about.began, began: about.began, at, route: packet.route, bytes: about.bytes })
    open = undefined
  }
  for await (const packet of node.process(source(), options)) {
    // What comes with the end belongs to no item.
    if (packet.sequence >= sent) continue
    if (open && open.packet.sequence !== packet.sequence) close()
    open = { packet, at: performance.now() }
  }
  close()
  return { sent, answered, wrong }
}
