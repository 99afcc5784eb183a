// Figures over time in bounded memory: buckets of 250 ms, merged four to one as they age, so that a run of any length keeps its shape.

const WIDTH_MS = 250
/** Of what is told while it happens: less would be noise. */
const SECOND_MS = 1000
/** Buckets that are kept at each width, the finest first; each further width is four times the one before it. */
const KEPT = [240, ...Array(11).fill(120)]
const STEPS = 96
const LOWEST_MS = 0.01

/** Counts of times in steps of a quarter of an octave, from 10 µs to two minutes. */
class Histogram {
  counts = new Uint32Array(STEPS)
  total = 0

  add(ms) {
    const step = Math.floor(Math.log2(Math.max(ms, LOWEST_MS) / LOWEST_MS) * 4)
    this.counts[Math.min(step, STEPS - 1)]++
    this.total++
  }

  merge(other) {
    for (let step = 0; step < STEPS; step++) this.counts[step] += other.counts[step]
    this.total += other.total
  }

  /** Within a tenth of the true value; null when nothing was counted. */
  at(percent) {
    if (this.total === 0) return null
    let left = (this.total * percent) / 100
    let step = 0
    while (step < STEPS - 1 && (left -= this.counts[step]) > 0) step++
    return round(LOWEST_MS * 2 ** ((step + 0.5) / 4))
  }
}

const round = (value) => (value === null || value === undefined ? null : Number(value.toPrecision(4)))

const COUNTS = ['in', 'out', 'errors', 'bytes', 'fallbacks', 'edge', 'cloud', 'hybrid', 'none']
const TIMES = ['all', 'edge', 'cloud']

/** What happened in one stretch of time. */
class Bucket {
  constructor(start, width) {
    this.start = start
    this.width = width
    for (const name of COUNTS) this[`n_${name}`] = 0
    this.times = { all: null, edge: null, cloud: null }
    this.cpu = { sum: 0, count: 0 }
    this.rss = null
    this.loop = null
    /** What each router had last: `[learned bytes, breaker of the edge, breaker of the cloud]`. */
    this.routers = null
  }

  count(name, by = 1) {
    this[`n_${name}`] += by
  }

  time(name, ms) {
    this.times[name] ??= new Histogram()
    this.times[name].add(ms)
  }

  process({ cpu, rss, loop }) {
    this.cpu.sum += cpu
    this.cpu.count++
    this.rss = Math.max(this.rss ?? 0, rss)
    this.loop = Math.max(this.loop ?? 0, loop)
  }

  /** Takes what a later bucket counted. */
  merge(later) {
    for (const name of COUNTS) this[`n_${name}`] += later[`n_${name}`]
    for (const name of TIMES) {
      if (!later.times[name]) continue
      this.times[name] ??= new Histogram()
      this.times[name].merge(later.times[name])
    }
    this.cpu.sum += later.cpu.sum
    this.cpu.count += later.cpu.count
    if (later.rss !== null) this.rss = Math.max(this.rss ?? 0, later.rss)
    if (later.loop !== null) this.loop = Math.max(this.loop ?? 0, later.loop)
    this.routers = mergedRouters(this.routers, later.routers)
  }

  /** As it is told and drawn. */
  row() {
    const row = { t: this.start, w: this.width, cpu: this.cpu.count ? round(this.cpu.sum / this.cpu.count) : null, rss: this.rss }
    for (const name of COUNTS) row[name] = this[`n_${name}`]
    const { all, edge, cloud } = this.times
    row.p50 = all?.at(50) ?? null
    row.p95 = all?.at(95) ?? null
    row.p99 = all?.at(99) ?? null
    row.edgeP50 = edge?.at(50) ?? null
    row.cloudP50 = cloud?.at(50) ?? null
    row.edgeP95 = edge?.at(95) ?? null
    row.cloudP95 = cloud?.at(95) ?? null
    row.loop = round(this.loop)
    row.routers = this.routers
    return row
  }
}

const WORST = ['closed', 'half-open', 'open']
const worse = (a, b) => (WORST.indexOf(b) > WORST.indexOf(a) ? b : a)

/** Of a stretch of time the worst state of a breaker is kept, so that a short outage does not vanish from a long run. */
function mergedRouters(mine, theirs) {
  if (!mine || !theirs) return theirs ?? mine
  return theirs.map((router, index) => {
    const own = mine[index]
    return own ? [router[0] ?? own[0], worse(own[1], router[1]), worse(own[2], router[2])] : router
  })
}

/** Buckets, the oldest first, put together to wider ones. */
function merged(buckets, width) {
  const wider = []
  for (const bucket of buckets) {
    const start = Math.floor(bucket.start / width) * width
    if (wider.at(-1)?.start !== start) wider.push(new Bucket(start, width))
    wider.at(-1).merge(bucket)
  }
  return wider
}

/** All buckets of a run. */
class Timeline {
  #tiers = KEPT.map(() => [])

  /** The bucket of this instant, milliseconds since the start. */
  at(now) {
    const finest = this.#tiers[0]
    const start = Math.floor(now / WIDTH_MS) * WIDTH_MS
    const last = finest.at(-1)
    if (last && last.start >= start) return last
    const bucket = new Bucket(start, WIDTH_MS)
    finest.push(bucket)
    this.#age()
    return bucket
  }

  /** Rows of a second each, of seconds that began at this time or later and are over. */
  since(start, now) {
    const recent = this.#tiers[0].filter((bucket) => bucket.start >= start)
    return merged(recent, SECOND_MS)
      .filter((bucket) => bucket.start + SECOND_MS <= now)
      .map((bucket) => bucket.row())
  }

  /** The whole run in at most so many rows of equal width. */
  whole(now, most = 300) {
    let width = WIDTH_MS * 2
    while (now / width > most) width *= 2
    return merged([...this.#tiers].reverse().flat(), width).map((bucket) => bucket.row())
  }

  /** Buckets there are. */
  get size() {
    return this.#tiers.reduce((sum, tier) => sum + tier.length, 0)
  }

  #age() {
    for (let tier = 0; tier < KEPT.length - 1 && this.#tiers[tier].length > KEPT[tier]; tier++) {
      const old = this.#tiers[tier].shift()
      const coarser = this.#tiers[tier + 1]
      const width = WIDTH_MS * 4 ** (tier + 1)
      const start = Math.floor(old.start / width) * width
      if (coarser.at(-1)?.start !== start) coarser.push(new Bucket(start, width))
      coarser.at(-1).merge(old)
    }
    const coarsest = this.#tiers.at(-1)
    if (coarsest.length > KEPT.at(-1)) coarsest.shift()
  }
}

module.exports = { Histogram, Timeline, SECOND_MS, round }
