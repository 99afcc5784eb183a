// Sounds to test with, the same in every run.

/** Noise of this peak level. */
export function whiteNoise(length, level) {
  let state = 1
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return level * (state / 2 ** 31 - 1)
  })
}

/** Vowels after Peterson and Barney: the frequencies of their first three formants. */
const VOWELS = [
  [730, 1090, 2440],
  [270, 2290, 3010],
  [300, 870, 2240],
  [530, 1840, 2480],
  [570, 840, 2410],
]

/** What a voice does, roughly: pulses with a melody, through the resonances of changing vowels, in syllables. */
export function speechLike(length, rate) {
  const noise = whiteNoise(length, 1)
  const state = [0, 0, 0].map(() => [0, 0])
  const out = new Float32Array(length)
  let phase = 0
  let peak = 0
  for (let i = 0; i < length; i += 1) {
    const time = i / rate
    const syllable = time * 4.2
    const within = syllable % 1
    const vowel = VOWELS[Math.floor(syllable) % VOWELS.length]
    const next = VOWELS[(Math.floor(syllable) + 1) % VOWELS.length]
    const pitch = 115 + 25 * Math.sin(2 * Math.PI * 0.7 * time) + 4 * Math.sin(2 * Math.PI * 5.5 * time)
    phase += pitch / rate
    let pulse = 0
    if (phase >= 1) {
      phase -= 1
      pulse = 1
    }
    let value = pulse + 0.01 * noise[i]
    vowel.forEach((from, index) => {
      const hz = from + (next[index] - from) * Math.max(0, within - 0.6) * 2
      const radius = Math.exp((-Math.PI * (60 + 40 * index)) / rate)
      const resonator = state[index]
      const sample = value + 2 * radius * Math.cos((2 * Math.PI * hz) / rate) * resonator[0] - radius * radius * resonator[1]
      resonator[1] = resonator[0]
      resonator[0] = sample
      value = sample * (1 - radius)
    })
    out[i] = value * (0.15 + 0.85 * Math.sin(Math.PI * Math.min(1, within * 1.2)) ** 2)
    peak = Math.max(peak, Math.abs(out[i]))
  }
  return out.map((value) => (0.6 * value) / peak)
}
