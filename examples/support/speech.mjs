// Problem: sound comes in pieces of any size, a router decides about one item at a time, the model in the cloud hears an item without a memory
// of those before, and people want to know where speech is, not scores.
// Answer: three nodes for a pipeline. `windows` cuts the sound into items of equal length, each with some of the sound before it; `newSound`
// takes that away again for a node that remembers; `segments` turns scores, whoever gave them, into the start and end of speech by the rules
// of the module `vad`. All of it is 16 kHz mono. None of them has an opinion about scores but `THRESHOLD`.

export const RATE = 16_000
const PER_MS = RATE / 1000
/** A multiple of both models' frames, 16 and 32 ms. A score is known when its window is over, and the router asks the cloud about all of it. */
export const WINDOW_MS = 192
/** Without it the cloud's first scores of a window are poor. On the example recording more brings little and is sent each time. */
const CONTEXT_MS = 128
export const THRESHOLD = 0.5
/** Shorter bursts are no speech, shorter pauses do not end it: the defaults of `vad`. */
const [MIN_SPEECH_MS, MIN_SILENCE_MS] = [64, 160]

const cut = (contextMs) => {
  const [context, size] = [contextMs * PER_MS, (contextMs + WINDOW_MS) * PER_MS]
  return async function* windows(stream) {
    let held = new Float32Array(context)
    let startMs = 0
    const window = () => {
      const samples = new Float32Array(size)
      samples.set(held.subarray(0, size))
      held = held.slice(WINDOW_MS * PER_MS)
      startMs += WINDOW_MS
      return { data: { samples, sampleRate: RATE, channels: 1 }, timestampMs: startMs - WINDOW_MS }
    }
    for await (const { data } of stream) {
      const more = new Float32Array(held.length + data.samples.length)
      more.set(held)
      more.set(data.samples, held.length)
      held = more
      while (held.length >= size) yield window()
    }
    // The last one is filled up with silence.
    if (held.length > context) yield window()
  }
}

/** Windows with context before them; `timestampMs` is where the window itself starts. */
export const windowsInContext = cut(CONTEXT_MS)
/** The same windows without, for whoever hears all of them. */
export const windows = cut(0)

export async function* newSound(stream) {
  for await (const { data } of stream) yield { ...data, samples: data.samples.subarray(CONTEXT_MS * PER_MS) }
}

/** Frames with their scores in, events out: `speech_start` and `speech_end`, each with who gave the score that decided. */
class Segmenter {
  #open;

  *push({ startMs, endMs, score, by }) {
    if (score >= THRESHOLD) {
      this.#open ??= { startMs, startBy: by, started: false }
      Object.assign(this.#open, { endMs, endBy: by })
      if (this.#open.started || endMs - this.#open.startMs < MIN_SPEECH_MS) return
      this.#open.started = true
      yield { type: 'speech_start', atMs: this.#open.startMs, by: this.#open.startBy }
    } else if (this.#open && (!this.#open.started || endMs - this.#open.endMs >= MIN_SILENCE_MS)) yield* this.finish()
  }

  *finish() {
    const { started, startMs, startBy, endMs, endBy } = this.#open ?? {}
    this.#open = undefined
    if (started) yield { type: 'speech_end', startMs, startBy, atMs: endMs, by: endBy }
  }
}

/** A packet for each window: `{ scores, events }`. Takes `vad`'s scores and the service's, of clips (a list) or of a stream (one by one). */
export async function* segments(stream) {
  const segmenter = new Segmenter()
  let scores = []
  let heardMs = 0
  for await (const { data, timestampMs, route } of stream) {
    // A clip's times count from its own start, which is in the context; a stream's from the first window.
    const from = Array.isArray(data) ? timestampMs - CONTEXT_MS : 0
    for (const { startMs, endMs, score } of [data].flat()) {
      if (from + startMs < heardMs) continue
      heardMs = from + endMs
      scores.push({ startMs: from + startMs, endMs: heardMs, score, by: route?.target ?? 'cloud' })
    }
    if (heardMs % WINDOW_MS !== 0) continue
    yield { scores, events: scores.flatMap((score) => [...segmenter.push(score)]) }
    scores = []
  }
  const events = [...segmenter.finish()]
  if (events.length > 0) yield { scores, events }
}
