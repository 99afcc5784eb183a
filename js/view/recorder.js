// What is known of a run, in bounded memory: totals, figures over time, sessions, and the last decisions, errors and changes of breakers.

const { Histogram, Timeline } = require('./buckets.js')
const { Sessions } = require('./sessions.js')
const { bytesOf } = require('./sizes.js')

const DECISIONS = 200
const ERRORS = 50
const CHANGES = 200
const CODES = 50
const TARGETS = ['edge', 'cloud', 'hybrid']
/** Sizes fall into buckets of powers of two; the last one takes all above. */
const SIZES = 40

/** The last so many, and how many there were. */
class Ring {
  #items = []
  #most
  count = 0

  constructor(most) {
    this.#most = most
  }

  push(item) {
    this.#items.push(item)
    this.count++
    // Cut now and then, not each time.
    if (this.#items.length >= this.#most * 2) this.#items = this.#items.slice(-this.#most)
  }

  /** The newest last. */
  all() {
    return this.#items.slice(-this.#most)
  }

  /** The newest one that fits, among the last few. */
  find(fits, among = 64) {
    for (let index = this.#items.length - 1; index >= Math.max(0, this.#items.length - among); index--) {
      if (fits(this.#items[index])) return this.#items[index]
    }
    return undefined
  }
}

const cut = (text, length) => (String(text).length > length ? `${String(text).slice(0, length - 1)}…` : String(text))
const whole = (value) => (Number.isFinite(value) ? value : 0)

class Recorder {
  timeline = new Timeline()
  sessions = new Sessions()
  totals = { in: 0, out: 0, errors: 0, bytesIn: 0, bytesOut: 0, edge: 0, cloud: 0, hybrid: 0, none: 0, fallbacks: 0, hedged: 0 }
  times = { all: new Histogram(), edge: new Histogram(), cloud: new Histogram() }
  decisions = new Ring(DECISIONS)
  errors = new Ring(ERRORS)
  changes = new Ring(CHANGES)
  errorCodes = new Map()
  /** Of each router: `{ sizes, explored, fallbacksTo }`. */
  byRouter = []
  #clock
  #from

  constructor(clock = () => performance.now()) {
    this.#clock = clock
    this.#from = clock()
    this.startedAt = Date.now()
    this.firstItem = undefined
    this.lastItem = undefined
  }

  /** Milliseconds since the recorder was made. */
  now() {
    return this.#clock() - this.#from
  }

  input(item, sessionId) {
    const now = this.now()
    const bytes = bytesOf(item)
    this.#touch(now)
    this.totals.in++
    this.totals.bytesIn += bytes
    const bucket = this.timeline.at(now)
    bucket.count('in')
    bucket.count('bytes', bytes)
    const session = this.sessions.entered(sessionId ?? item?.sessionId, now)
    session.came(now)
    session.bytes += bytes
  }

  output(packet) {
    const now = this.now()
    this.#touch(now)
    const route = packet?.route
    const target = TARGETS.includes(route?.target) ? route.target : 'none'
    const { totals } = this
    const bucket = this.timeline.at(now)
    const session = this.sessions.left(packet?.sessionId, now)
    totals.out++
    totals.bytesOut += bytesOf(packet)
    totals.hedged += route?.hedged ? 1 : 0
    bucket.count('out')
    const latency = session.went(packet?.sequence, now)
    if (latency !== undefined) this.#time(bucket, 'all', latency)
    if (route?.edgeMs > 0) this.#time(bucket, 'edge', route.edgeMs)
    if (route?.cloudMs > 0) this.#time(bucket, 'cloud', route.cloudMs)
    const failed = packet?.metadata?.error && packet.data?.error
    if (failed)
      return this.error({ ...failed, message: failed.message ?? packet.metadata.error, sessionId: failed.sessionId ?? packet.sessionId })
    totals[target]++
    bucket.count(target)
    session.targets[target]++
  }

  error(error) {
    const now = this.now()
    const code = cut(error?.code ?? error?.name ?? 'Error', 60)
    const sessionId = error?.sessionId === undefined ? undefined : cut(error.sessionId, 256)
    this.totals.errors++
    this.timeline.at(now).count('errors')
    if (sessionId !== undefined) this.sessions.of(sessionId, now).errors++
    const key = this.errorCodes.has(code) || this.errorCodes.size < CODES ? code : 'others'
    this.errorCodes.set(key, (this.errorCodes.get(key) ?? 0) + 1)
    const nodeName = error?.nodeName === undefined ? undefined : cut(error.nodeName, 120)
    this.errors.push({ t: Math.round(now), code, message: cut(error?.message ?? error, 500), nodeName, sessionId })
  }

  /** A router's decision. */
  decision(router, about) {
    const now = this.now()
    const own = this.router(router)
    const bytes = whole(about.bytes)
    const size = Math.min(SIZES - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes)))
    if (own.sizes[about.target]) own.sizes[about.target][size]++
    own.explored += about.explored ? 1 : 0
    this.decisions.push({
      n: this.decisions.count + 1,
      t: Math.round(now),
      router,
      target: about.target,
      reason: cut(about.reason, 300),
      rule: cut(about.rule, 60),
      explored: Boolean(about.explored),
      bytes,
      sessionId: cut(about.sessionId, 256),
      sequence: about.sequence,
      edgeMs: about.predicted?.edge?.samples > 0 ? about.predicted.edge.latencyMs : null,
      cloudMs: about.predicted?.cloud?.samples > 0 ? about.predicted.cloud.latencyMs : null,
      fallback: null,
    })
  }

  /** A router turned to the other side. */
  fallback(router, about) {
    this.totals.fallbacks++
    this.timeline.at(this.now()).count('fallbacks')
    const own = this.router(router)
    if (about.to in own.fallbacksTo) own.fallbacksTo[about.to]++
    const decision = this.decisions.find(
      (one) => one.router === router && one.sequence === about.sequence && one.sessionId === about.sessionId,
    )
    if (decision) decision.fallback = { to: about.to, error: about.error ? cut(`${about.error.code}: ${about.error.message}`, 300) : null }
  }

  /** A breaker changed. */
  breaker(router, { target, from, to }) {
    this.changes.push({ t: Math.round(this.now()), router, target, from, to })
  }

  router(index) {
    while (this.byRouter.length <= index) {
      const sizes = Object.fromEntries(TARGETS.map((target) => [target, new Array(SIZES).fill(0)]))
      this.byRouter.push({ sizes, explored: 0, fallbacksTo: { edge: 0, cloud: 0 } })
    }
    return this.byRouter[index]
  }

  /** Percentiles of the whole run. */
  percentiles() {
    const of = (times) => ({ p50: times.at(50), p95: times.at(95), p99: times.at(99), count: times.total })
    return { all: of(this.times.all), edge: of(this.times.edge), cloud: of(this.times.cloud) }
  }

  #time(bucket, name, ms) {
    bucket.time(name, ms)
    this.times[name].add(ms)
  }

  #touch(now) {
    this.firstItem ??= now
    this.lastItem = now
  }
}

module.exports = { Recorder, Ring }
