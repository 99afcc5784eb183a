// Where the boxes and lines of the pipeline's graph go: layers from the source to the output, left to right, or top to bottom where it is narrow.

const WIDE = { box: 150, gap: 64, height: 64, between: 26 }
const TALL = { box: 150, gap: 46, height: 64, between: 14 }
const PAD = 10

/** The longest way from the source says which layer a node is in. */
function layersOf(nodes, edges) {
  const layer = new Map(nodes.map(({ id }) => [id, 0]))
  // A graph without cycles settles within as many rounds as there are nodes; one with them stops there.
  for (let round = 0; round < nodes.length; round++) {
    let changed = false
    for (const { from, to } of edges) {
      if (layer.get(to) > layer.get(from)) continue
      layer.set(to, layer.get(from) + 1)
      changed = true
    }
    if (!changed) break
  }
  return layer
}

/** Boxes, and for lines that pass over layers a place in each of them, in an order with few crossings. */
function ranksOf(nodes, edges) {
  const layer = layersOf(nodes, edges)
  const ranks = []
  const put = (rank, item) => (ranks[rank] ??= []).push(item)
  for (const { id } of nodes) put(layer.get(id), { id, before: [] })
  const byId = new Map(ranks.flat().map((item) => [item.id, item]))
  const ways = edges.map((edge) => {
    const way = [byId.get(edge.from)]
    for (let rank = layer.get(edge.from) + 1; rank < layer.get(edge.to); rank++) {
      const bend = { bend: true, before: [way.at(-1)] }
      put(rank, bend)
      way.push(bend)
    }
    byId.get(edge.to).before.push(way.at(-1))
    way.push(byId.get(edge.to))
    return way
  })
  const filled = ranks.map((rank) => rank ?? [])
  for (const rank of filled) {
    // Nodes stand as their predecessors do; of equals the edge's, which was added first, comes first.
    const mean = (item) => (item.before.length ? item.before.reduce((sum, one) => sum + one.lane, 0) / item.before.length : 0)
    rank.forEach((item, index) => Object.assign(item, { wish: mean(item), index }))
    rank.sort((a, b) => a.wish - b.wish || a.index - b.index)
    rank.forEach((item, index) => (item.lane = index - (rank.length - 1) / 2))
  }
  return { ranks: filled, ways }
}

/** `{ width, height, tall, boxes: Map, lines: Map }` for the width that there is. */
export function layout({ nodes, edges }, available) {
  const { ranks, ways } = ranksOf(nodes, edges)
  const lanes = Math.max(...ranks.map((rank) => rank.length))
  const least = ranks.length * 112 + (ranks.length - 1) * 40 + 2 * PAD
  return available >= least ? placeWide(ranks, ways, edges, lanes, available) : placeTall(ranks, ways, edges, lanes, available)
}

function placeWide(ranks, ways, edges, lanes, available) {
  const gaps = ranks.length - 1
  const gap = Math.min(WIDE.gap + 60, Math.max(40, (available - 2 * PAD - ranks.length * WIDE.box) / Math.max(gaps, 1)))
  const box = Math.min(210, (available - 2 * PAD - gaps * gap) / ranks.length)
  const height = lanes * WIDE.height + (lanes - 1) * WIDE.between + 2 * PAD + 14
  const size = { width: box, height: WIDE.height }
  const start = (available - ranks.length * box - gaps * gap) / 2
  const spots = new Map()
  ranks.forEach((rank, index) => {
    for (const item of rank) {
      const y = height / 2 + item.lane * (WIDE.height + WIDE.between) - WIDE.height / 2
      spots.set(item, { x: start + index * (box + gap), y, ...size })
    }
  })
  return placed(spots, ways, edges, { width: available, height, tall: false })
}

function placeTall(ranks, ways, edges, lanes, available) {
  const box = Math.max(104, Math.min(TALL.box + 60, (available - 2 * PAD - (lanes - 1) * TALL.between) / lanes))
  const width = Math.max(available, lanes * box + (lanes - 1) * TALL.between + 2 * PAD)
  const height = ranks.length * TALL.height + (ranks.length - 1) * TALL.gap + 2 * PAD
  const spots = new Map()
  ranks.forEach((rank, index) => {
    for (const item of rank) {
      const x = width / 2 + item.lane * (box + TALL.between) - box / 2
      spots.set(item, { x, y: PAD + index * (TALL.height + TALL.gap), width: box, height: TALL.height })
    }
  })
  return placed(spots, ways, edges, { width, height, tall: true })
}

function placed(spots, ways, edges, size) {
  const boxes = new Map([...spots].filter(([item]) => item.id).map(([item, spot]) => [item.id, spot]))
  const lines = new Map(
    edges.map((edge, index) => [edge.id, line(ways[index], spots, size.tall, (size.tall ? size.width : size.height) / 2)]),
  )
  return { ...size, boxes, lines }
}

const round = (value) => Math.round(value * 10) / 10

/** One smooth line through all places on its way, and where its figure is written. */
function line(way, spots, tall, center) {
  const points = []
  way.forEach((item, index) => {
    const spot = spots.get(item)
    const middle = tall ? spot.x + spot.width / 2 : spot.y + spot.height / 2
    const [start, end] = tall ? [spot.y, spot.y + spot.height] : [spot.x, spot.x + spot.width]
    if (index > 0) points.push([start, middle])
    if (index < way.length - 1) points.push([end, middle])
  })
  const at = ([along, across]) => (tall ? `${round(across)} ${round(along)}` : `${round(along)} ${round(across)}`)
  let path = `M${at(points[0])}`
  for (let step = 1; step < points.length; step++) {
    const [[fromAlong, fromAcross], [toAlong, toAcross]] = [points[step - 1], points[step]]
    const half = (fromAlong + toAlong) / 2
    path +=
      fromAcross === toAcross
        ? `L${at([toAlong, toAcross])}`
        : `C${at([half, fromAcross])} ${at([half, toAcross])} ${at([toAlong, toAcross])}`
  }
  return { path, text: labelSpot(points[0], points[1], tall, center) }
}

/** Where a line's figure stands: in its first gap, on the outer side of a line that turns, so that figures keep clear of lines. */
function labelSpot([fromAlong, fromAcross], [toAlong, toAcross], tall, center) {
  const outer = Math.abs(toAcross - center) > Math.abs(fromAcross - center) ? toAcross : fromAcross
  const side = fromAcross === toAcross ? 0 : Math.sign(outer - center)
  const along = (fromAlong + toAlong) / 2
  return tall ? { x: outer, y: along, side } : { x: along, y: outer, side }
}
