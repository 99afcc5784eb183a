// Problem: the edge scores frames of 16 ms, one packet each, and the cloud frames of 32 ms, all of an item's in one packet; people want segments.
// Answer: `framesOf` makes one shape of both, with times from the recording's start, and `segments` joins frames that are speech. It smooths as
// little as it must: a pause shorter than `PAUSE_MS` is part of a segment, and a segment shorter than `LEAST_MS` is none.

/** A frame is speech from this score on. */
export const SPEECH = 0.5
const PAUSE_MS = 200
const LEAST_MS = 96

/** The frames that a packet scores: `{ startMs, endMs, score, by }`. `itemMs` is the length of each item before it. */
export function framesOf({ data, sequence, route }, itemMs) {
  const by = route?.target ?? 'cloud'
  // The cloud hears each item by itself; the edge keeps the time of the whole stream.
  if (Array.isArray(data)) {
    return data.map(({ startMs, endMs, score }) => ({ startMs: sequence * itemMs + startMs, endMs: sequence * itemMs + endMs, score, by }))
  }
  return [{ startMs: data.startMs, endMs: data.endMs, score: data.score, by }]
}

/** Frames in order as segments: `{ startMs, endMs, cloudMs }`, the last being how much of it the cloud decided. */
export function segments(frames) {
  const found = []
  let open
  for (const { startMs, endMs, score, by } of frames) {
    if (score >= SPEECH) {
      if (!open || startMs - open.endMs >= PAUSE_MS) found.push((open = { startMs, endMs, parts: [] }))
      open.endMs = endMs
    }
    open?.parts.push({ startMs, endMs, by })
  }
  return found
    .filter(({ startMs, endMs }) => endMs - startMs >= LEAST_MS)
    .map(({ startMs, endMs, parts }) => {
      const cloud = parts.filter((part) => part.by === 'cloud' && part.endMs <= endMs)
      return { startMs, endMs, cloudMs: cloud.reduce((sum, part) => sum + part.endMs - part.startMs, 0) }
    })
}
