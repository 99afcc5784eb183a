// What each session has done: the last few hundred by use, the rest only counted. Also finds out how long an item took.

/** Sessions that are kept. */
const SESSIONS = 200
/** Inputs of one session whose time is remembered until they are answered. */
const WAITING = 512

const keyOf = (id) => (named(id) ? String(id).slice(0, 256) : '')
const named = (id) => id !== undefined && id !== null && id !== ''

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

  /** Items of other streams are counted here as well. */
  misaligned() {
    this.#aligned = false
  }

  row() {
    const { id, items, outputs, errors, bytes, targets, first, last } = this
    return { id, items, outputs, errors, bytes, targets: { ...targets }, first: Math.round(first), last: Math.round(last) }
  }
}

class Sessions {
  #byId = new Map()
  #newest
  /** The stream whose items are given without a session's name: its packets tell the name that it got. */
  #unnamed
  /** Whether several such streams are about, whose items cannot be told apart. */
  #mixed = false
  /** Sessions that were left out to make room. */
  dropped = 0

  /** The session that an item goes into. */
  entered(id, now) {
    return this.#unnamed && !named(id) ? this.of(this.#unnamed.id, now) : this.of(id, now)
  }

  /** The session that a packet came out of. */
  left(id, now) {
    if (!this.#mixed && named(id) && !this.#byId.has(keyOf(id))) this.#learn(keyOf(id))
    return this.of(id, now)
  }

  /** The session, made if it is new, as the one used last. */
  of(id, now) {
    const key = keyOf(id)
    if (this.#newest?.id === key) return this.#newest
    const session = this.#byId.get(key) ?? new Session(key, now)
    this.#byId.delete(key)
    this.#byId.set(key, session)
    this.#newest = session
    if (this.#byId.size > SESSIONS) {
      this.#byId.delete(this.#byId.keys().next().value)
      this.dropped++
    }
    return session
  }

  /** A name that no item went in with is that of the stream without one, unless that has a name by now. */
  #learn(key) {
    const session = this.#unnamed ?? this.#byId.get('')
    if (!session) return
    if (this.#unnamed) {
      this.#unnamed.misaligned()
      this.#unnamed = undefined
      this.#mixed = true
      return
    }
    this.#byId.delete('')
    session.id = key
    this.#byId.set(key, session)
    this.#newest = session
    this.#unnamed = session
  }

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
