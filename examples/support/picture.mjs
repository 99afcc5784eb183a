// Problem: a table of segments does not show why they are where they are.
// Answer: one self-contained SVG of the waveform, the score of every frame with the threshold, what the cloud was asked about, and the
// segments shaded through all. It brings its own background and both colour schemes, so any viewer shows it readably. It computes nothing
// but positions.

const WIDTH = 1200
const LEFT = 64
const RIGHT = 24
const PLOT = WIDTH - LEFT - RIGHT
const WAVE = { top: 92, height: 190 }
const SCORE = { top: 322, height: 150 }
/** Along the bottom of the scores. */
const ASKED = 6
const BOTTOM = SCORE.top + SCORE.height
const HEIGHT = BOTTOM + 62

const STYLE = `
  text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2933 }
  .back { fill: #ffffff } .title { font-size: 19px; font-weight: 600 } .quiet { fill: #55606b } .small { font-size: 13px }
  .grid { stroke: #dfe5ea; stroke-width: 1 } .axis { stroke: #8a949e; stroke-width: 1 }
  .wave { fill: #2f6fb0 } .score { fill: none; stroke: #b4430b; stroke-width: 1.6; stroke-linejoin: round }
  .segment { fill: #1f9d66; fill-opacity: .17 } .edge { stroke: #1f9d66; stroke-width: 1 } .number { fill: #14734a; font-weight: 600 }
  .limit { stroke: #1f2933; stroke-width: 1.2; stroke-dasharray: 6 5 } .asked { fill: #7a4fb5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaee } .back { fill: #14181d } .quiet { fill: #a3aeb9 }
    .grid { stroke: #2a323b } .axis { stroke: #66717d } .wave { fill: #6faae8 } .score { stroke: #f6a066 }
    .segment { fill: #3ecf93; fill-opacity: .2 } .edge { stroke: #3ecf93 } .number { fill: #6fe0b0 } .limit { stroke: #e6eaee } .asked { fill: #b796ee }
  }
`

const escapeMarks = (text) => text.replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`)
const round = (number) => Math.round(number * 10) / 10

/** Steps of 1, 2 or 5 times a power of ten, or of whole minutes; at most fifteen of them. */
function tickStep(seconds) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600]
  return steps.find((step) => seconds / step <= 15) ?? Math.ceil(seconds / 15 / 3600) * 3600
}

/** Lowest and highest sample of each pixel column, all channels together. */
function envelope({ samples, channels, seconds, sampleRate }) {
  const frames = seconds * sampleRate
  return Array.from({ length: PLOT }, (_, column) => {
    const from = Math.floor((column * frames) / PLOT) * channels
    const to = Math.max(from + channels, Math.floor(((column + 1) * frames) / PLOT) * channels)
    let [low, high] = [Infinity, -Infinity]
    for (let at = from; at < to && at < samples.length; at += 1) {
      if (!Number.isFinite(samples[at])) continue
      if (samples[at] < low) low = samples[at]
      if (samples[at] > high) high = samples[at]
    }
    return low <= high ? [low, high] : [0, 0]
  })
}

function wave(audio) {
  const columns = envelope(audio)
  const peak = columns.reduce((most, [low, high]) => Math.max(most, -low, high), 0) || 1
  const middle = WAVE.top + WAVE.height / 2
  const scale = (WAVE.height / 2 - 6) / peak
  const bars = columns.map(([low, high], column) => {
    const top = middle - high * scale
    return `M${LEFT + column} ${round(top)}h1V${round(Math.max(top + 1, middle - low * scale))}h-1z`
  })
  return { path: bars.join(''), peak }
}

/** One point per frame, or, where there are more frames than pixels, the highest score of each pixel. */
function scoreLine(scores, x) {
  const y = (score) => round(SCORE.top + SCORE.height * (1 - score))
  const points = new Map()
  for (const { startMs, endMs, score } of scores) {
    const at = scores.length > PLOT ? Math.round(x((startMs + endMs) / 2000)) : round(x((startMs + endMs) / 2000))
    points.set(at, Math.max(points.get(at) ?? 0, score))
  }
  return [...points].map(([at, score]) => `${at},${y(score)}`).join(' ')
}

/** Shades the segments. What is closer than a pixel is shaded as one, and what is narrow gets no edges: they would hide the sound. */
function segmentMarks(segments, x) {
  const shades = []
  const marks = []
  for (const [index, { startMs, endMs }] of segments.entries()) {
    const from = round(x(startMs / 1000))
    const to = round(Math.max(x(endMs / 1000), from + 1))
    const last = shades.at(-1)
    if (last && from - last.to < 1) last.to = Math.max(last.to, to)
    else shades.push({ from, to })
    if (to - from >= 6) marks.push(`<path class="edge" d="M${from} ${WAVE.top}V${BOTTOM}M${to} ${WAVE.top}V${BOTTOM}"/>`)
    if (to - from >= 16) {
      const middle = round((from + to) / 2)
      marks.push(`<text class="number small" x="${middle}" y="${WAVE.top - 8}" text-anchor="middle">${index + 1}</text>`)
    }
  }
  const rects = shades.map(
    ({ from, to }) => `<rect class="segment" x="${from}" y="${WAVE.top}" width="${round(to - from)}" height="${BOTTOM - WAVE.top}"/>`,
  )
  return [...rects, ...marks]
}

function timeAxis(seconds, x) {
  const step = tickStep(seconds)
  const digits = step < 1 ? 1 : 0
  const marks = []
  for (let tick = 0; tick * step <= seconds + 1e-9; tick += 1) {
    const at = round(x(tick * step))
    marks.push(
      `<path class="grid" d="M${at} ${WAVE.top}v${WAVE.height}M${at} ${SCORE.top}v${SCORE.height}"/>`,
      `<text class="quiet small" x="${at}" y="${BOTTOM + 20}" text-anchor="middle">${(tick * step).toFixed(digits)}</text>`,
    )
  }
  marks.push(`<text class="quiet" x="${LEFT + PLOT / 2}" y="${BOTTOM + 46}" text-anchor="middle">time in seconds</text>`)
  return marks
}

const yLabel = (at, text) => `<text class="quiet small" x="${LEFT - 9}" y="${at + 4}" text-anchor="end">${text}</text>`

function scoreAxis(threshold) {
  const y = (score) => round(SCORE.top + SCORE.height * (1 - score))
  const grid = [0, 0.5, 1].map((score) => `<path class="grid" d="M${LEFT} ${y(score)}h${PLOT}"/>${yLabel(y(score), score)}`)
  const limit = `<path class="limit" d="M${LEFT} ${y(threshold)}h${PLOT}"/>`
  return { grid, limit }
}

function legend(threshold, scores) {
  const entries = [
    ['<rect class="segment" width="22" height="14" y="-11"/><path class="edge" d="M0-11v14M22-11v14"/>', 'speech'],
    ['<path class="score" d="M0-4h22"/>', scores.length > PLOT ? 'highest score per pixel' : 'score'],
    ['<path class="limit" d="M0-4h22"/>', `threshold ${threshold}`],
    [`<rect class="asked" width="22" height="${ASKED}" y="-7"/>`, 'the cloud answered'],
  ]
  const width = (text) => 60 + text.length * 7.2
  let at = WIDTH - entries.reduce((sum, [, text]) => sum + width(text), 0)
  return entries.map(([sign, text]) => {
    const mark = `<g transform="translate(${round(at)} 60)">${sign}<text class="quiet small" x="30">${text}</text></g>`
    at += width(text)
    return mark
  })
}

/**
 * The picture as SVG text. `segments` and `asked` have `startMs` and `endMs`, `scores` also `score`; `audio` is what `readWav` returns.
 */
export function draw({ name, audio, segments, scores, asked, threshold }) {
  const x = (seconds) => LEFT + (seconds / audio.seconds) * PLOT
  const shape = wave(audio)
  const { grid, limit } = scoreAxis(threshold)
  const spoken = segments.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0) / 1000
  const channels = audio.channels === 1 ? 'mono' : `${audio.channels} channels`
  const count = `${segments.length} segment${segments.length === 1 ? '' : 's'}`
  const facts = `${audio.seconds.toFixed(1)} s, ${audio.sampleRate} Hz, ${channels}: ${count}, ${spoken.toFixed(1)} s of speech`
  const middle = WAVE.top + WAVE.height / 2
  const side = (text, at) => `<text class="quiet small" transform="translate(20 ${at}) rotate(-90)" text-anchor="middle">${text}</text>`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">`,
    `<title>Speech in ${escapeMarks(name)}</title><desc>${escapeMarks(facts)}</desc><style>${STYLE}</style>`,
    `<rect class="back" width="${WIDTH}" height="${HEIGHT}"/>`,
    `<text class="title" x="${LEFT}" y="34">Speech in ${escapeMarks(name)}</text>`,
    `<text class="quiet" x="${LEFT}" y="60">${escapeMarks(facts)}</text>`,
    ...legend(threshold, scores),
    ...timeAxis(audio.seconds, x),
    ...grid,
    ...segmentMarks(segments, x),
    `<path class="wave" d="${shape.path}"/>`,
    `<path class="axis" d="M${LEFT} ${middle}h${PLOT}M${LEFT} ${BOTTOM}h${PLOT}"/>`,
    `<path class="axis" d="M${LEFT} ${WAVE.top}v${WAVE.height}M${LEFT} ${SCORE.top}v${SCORE.height}"/>`,
    ...[1, 0, -1].map((sign) => yLabel(middle - sign * (WAVE.height / 2 - 6), sign === 0 ? '0' : (sign * shape.peak).toFixed(2))),
    limit,
    `<polyline class="score" points="${scoreLine(scores, x)}"/>`,
    ...asked.map(({ startMs, endMs }) => {
      const [from, to] = [startMs, endMs].map((ms) => round(x(ms / 1000)))
      return `<rect class="asked" x="${from}" y="${BOTTOM - ASKED}" width="${round(to - from)}" height="${ASKED}"/>`
    }),
    side('amplitude', middle),
    side('score', SCORE.top + SCORE.height / 2),
    '</svg>\n',
  ].join('\n')
}
