// Problem: "better" needs a number, and one number hides what another shows.
// Answer: F1 and balanced accuracy at a threshold, ROC-AUC over all thresholds, and how far two F1 may be apart by chance. All take rows
// of `[score, label]`, label 1 for speech.

/** F1 of speech, and the mean of the shares of speech and of silence that were found. */
export function atThreshold(rows, threshold) {
  const counts = { hit: 0, false: 0, missed: 0, right: 0 }
  for (const [score, label] of rows) {
    const said = score >= threshold
    counts[label ? (said ? 'hit' : 'missed') : said ? 'false' : 'right'] += 1
  }
  return {
    f1: (2 * counts.hit) / (2 * counts.hit + counts.false + counts.missed),
    balanced: (counts.hit / (counts.hit + counts.missed) + counts.right / (counts.right + counts.false)) / 2,
  }
}

/** The chance that a frame of speech scores higher than one of silence, with half a point for the same score. */
export function rocAuc(rows) {
  const sorted = [...rows].sort((a, b) => a[0] - b[0])
  let ranks = 0
  let speech = 0
  for (let at = 0; at < sorted.length; ) {
    let end = at
    while (end < sorted.length && sorted[end][0] === sorted[at][0]) end += 1
    for (let index = at; index < end; index += 1) {
      if (sorted[index][1] !== 1) continue
      // The mean rank of equal scores, counted from 1.
      ranks += (at + 1 + end) / 2
      speech += 1
    }
    at = end
  }
  return (ranks - (speech * (speech + 1)) / 2) / (speech * (sorted.length - speech))
}

/** A random number generator that gives the same in every run. */
function generator(seed) {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/**
 * Where the difference of two F1 lies, in 95 of 100 draws of clips with replacement. Whole clips are drawn: frames of one recording are no
 * independent witnesses. `one` and `other` are `{ clips: rows per clip, threshold }`.
 */
export function f1Difference(one, other, draws = 2_000) {
  const random = generator(1)
  const differences = Array.from({ length: draws }, () => {
    const drawn = one.clips.map(() => Math.floor(random() * one.clips.length))
    const f1 = ({ clips, threshold }) =>
      atThreshold(
        drawn.flatMap((index) => clips[index]),
        threshold,
      ).f1
    return f1(one) - f1(other)
  }).sort((a, b) => a - b)
  return [differences[Math.floor(draws * 0.025)], differences[Math.floor(draws * 0.975)]]
}
