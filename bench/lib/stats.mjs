// Medians, and ratios taken where they are fair: between two variants in the same repetition, minutes apart at most.

export function median(values) {
  const sorted = values.filter((value) => value !== null && value !== undefined).sort((a, b) => a - b)
  if (sorted.length === 0) return null
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The medians of all figures of a cell's repetitions, and the lowest and highest of each. */
export function summarize(repetitions) {
  const summary = {}
  for (const key of Object.keys(repetitions[0])) {
    const values = repetitions.map((one) => one[key])
    if (typeof values.find((value) => value !== null) !== 'number') {
      summary[key] = values[0]
      continue
    }
    const known = values.filter((value) => value !== null)
    summary[key] = { median: median(known), min: Math.min(...known), max: Math.max(...known) }
  }
  return summary
}

/** The median over repetitions of `of / to`; `to` may be several cells, of which the largest figure counts each time. */
export function ratio(key, of, to) {
  const cells = Array.isArray(to) ? to : [to]
  if (!of || cells.some((cell) => !cell)) return null
  const count = Math.min(of.repetitions.length, ...cells.map((cell) => cell.repetitions.length))
  return median(
    Array.from({ length: count }, (_, i) => of.repetitions[i][key] / Math.max(...cells.map((cell) => cell.repetitions[i][key]))),
  )
}
