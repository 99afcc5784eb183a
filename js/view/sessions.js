// What each session has done: the last few hundred by use, the rest only counted. Also finds out how long an item took.

/** Sessions that are kept. */
const SESSIONS = 200
/** Inputs of one session whose time is remembered until they are answered. */
const WAITING = 512

class Session {
  constructor(id, now) {
    this.id = id
    this.items = 0
    this.outputs = 0
    this.errors = 0
    this.bytes = 0
    this.targets = { edge: 0, cloud: 0, hybrid: 0, none: 0 }
    this.first = now
    this.last = now
    this.#times = undefined
  }

  /** When inputs came, by their index modulo its length. */
  #times
  #answered = -1
  /** Whether `sequence` still is the index of the input in this session: a second stream counts from 0 again. */
  #aligned = true

  came(now) {
    this.#times ??= new Float64Array(WAITING)
    this.#times[this.items % WAITING] = now
    this.items++
    this.last = now
  }

  /** Milliseconds from the input to its first answer; undefined where that cannot be told. */
  went(sequence, now) {
    this.outputs++
    this.last = now
    if (!Number.isInteger(sequence)) return undefined
    if (sequence < this.#answered) this.#aligned = false
    if (sequence === this.#answered || !this.#aligned) return undefined
    this.#answered = sequence
    const known = sequence < this.items && sequence >= this.items - WAITING
    return known ? now - this.#times[sequence % WAITING] : undefined
  }

  row() {
    const { id, items, outputs, errors, bytes, targets, first, last } = this
    return { id, items, outputs, errors, bytes, targets: { ...targets }, first: Math.round(first), last: Math.round(last) }
  }
}

class Sessions {
  #byId = new Map()
  /** Sessions that were left out to make room. */
  dropped = 0

  /** The session, made if it is new, as the one used last. */
  of(id, now) {
    const key = id === undefined || id === null ? '' : String(id).slice(0, 256)
    const known = this.#byId.get(key)
    if (known && this.#newest === known) return known
    const session = known ?? new Session(key, now)
    this.#byId.delete(key)
    this.#byId.set(key, session)
    this.#newest = session
    if (this.#byId.size > SESSIONS) {
      this.#byId.delete(this.#byId.keys().next().value)
      this.dropped++
    }
    return session
  }
  #newest

  get size() {
    return this.#byId.size
  }

  /** The last used first. */
  rows(most = SESSIONS) {
    return [...this.#byId.values()]
      .reverse()
      .slice(0, most)
      .map((session) => session.row())
  }
}

module.exports = { Sessions, SESSIONS }
