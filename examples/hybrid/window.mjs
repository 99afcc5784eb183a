// Problem: a model with a memory cannot judge 16 ms that it gets by themselves, and sending it everything is what the edge is for.
// Answer: the rule of the guest `hybrid-vad`, in a form that a study can turn on every side. The first frame that the edge is unsure of
// opens a window of `hopMs`; once that is over, the cloud is asked about it and the `contextMs` before it, all in one request. Only the
// frames that the edge is unsure of take the cloud's score, squeezed into the uncertain range, so that one threshold serves them all.
//
// It knows nothing of models: `ask` does.

import { FRAME_MS } from './labelled.mjs'

/** Frames of the edge per frame of the cloud. */
const PER_CLOUD_FRAME = 2

/** What would be sent for these scores of the edge: `{ from, start, end }` in frames, where `from` to `start` is context. */
export function requests(edge, { low, high, contextMs, hopMs }) {
  const unsure = (score) => score > low && score < high
  const [context, hop] = [contextMs / FRAME_MS, hopMs / FRAME_MS]
  const found = []
  for (let frame = 0; frame < edge.length; ) {
    if (!unsure(edge[frame])) {
      frame += 1
      continue
    }
    const end = Math.min(edge.length, frame + hop)
    found.push({ from: Math.max(0, frame - context), start: frame, end })
    frame = end
  }
  return found
}

/**
 * One clip with the cloud's help: `{ scores, asked, sent, waiting }`, the last three in requests, frames on the wire, and frames whose answer
 * had to wait. `ask(from, end)` gives the cloud's scores of these frames, one per two of them.
 */
export async function withCloud(edge, options, ask) {
  const { low, high } = options
  const scores = [...edge]
  const asked = requests(edge, options)
  let sent = 0
  let waiting = 0
  for (const { from, start, end } of asked) {
    const answer = await ask(from, end)
    sent += end - from
    waiting += end - start
    for (let frame = start; frame < end; frame += 1) {
      if (!(edge[frame] > low && edge[frame] < high)) continue
      scores[frame] = low + (high - low) * answer[Math.floor((frame - from) / PER_CLOUD_FRAME)]
    }
  }
  return { scores, asked: asked.length, sent, waiting }
}
