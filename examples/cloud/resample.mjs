// Problem: the model hears 16 kHz, and audio comes at any rate, in pieces.
// Answer: `Resampler`, a sinc filter under a Blackman window that keeps what it needs from one piece to the next. Output sample n is the
// input at time n / rate exactly, so that times in the result are times in the source. It holds back 16 periods of the lower rate
// (1 ms towards 16 kHz) until `finish`.
//
// It does one channel; `toMono` makes one of several.

/** Zero crossings of the sinc on each side. 16 put the images some 70 dB down, below the noise of a 12-bit recording. */
const CROSSINGS = 16
/** Points of the table per crossing, with straight lines between them: their error is below that of the window. */
const STEPS = 256
/** Share of the lower rate's band that passes: the filter needs the rest to fall off in. */
const PASS = 0.92

/** One half of the kernel, from its middle to its end. */
const KERNEL = Float64Array.from({ length: CROSSINGS * STEPS + 2 }, (_, index) => {
  const x = index / STEPS
  if (x >= CROSSINGS) return 0
  const window = 0.42 + 0.5 * Math.cos((Math.PI * x) / CROSSINGS) + 0.08 * Math.cos((2 * Math.PI * x) / CROSSINGS)
  return (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x)) * window
})

function kernel(x) {
  const at = Math.abs(x) * STEPS
  const index = Math.floor(at)
  return index >= CROSSINGS * STEPS ? 0 : KERNEL[index] + (at - index) * (KERNEL[index + 1] - KERNEL[index])
}

/** Changes the rate of one channel, piece by piece. */
export class Resampler {
  #ratio
  #scale
  #reach
  #held = new Float32Array(0)
  /** Which sample of the whole input `held` starts with. */
  #first = 0
  /** Which sample of the whole output comes next. */
  #next = 0

  constructor(from, to) {
    this.#ratio = from / to
    this.#scale = PASS * Math.min(1, to / from)
    this.#reach = CROSSINGS / this.#scale
  }

  /** The output that these samples complete. */
  push(samples) {
    const held = new Float32Array(this.#held.length + samples.length)
    held.set(this.#held)
    held.set(samples, this.#held.length)
    this.#held = held
    const end = this.#first + held.length
    const ready = Math.ceil((end - this.#reach) / this.#ratio)
    const out = this.#produce(ready)
    const keep = Math.max(0, Math.floor(this.#next * this.#ratio - this.#reach) - this.#first)
    this.#held = held.slice(Math.min(keep, held.length))
    this.#first += Math.min(keep, held.length)
    return out
  }

  /** The rest, as if silence followed. */
  finish() {
    return this.#produce(Math.round((this.#first + this.#held.length) / this.#ratio))
  }

  #produce(until) {
    const count = Math.max(0, until - this.#next)
    const out = new Float32Array(count)
    for (let n = 0; n < count; n += 1) {
      const middle = (this.#next + n) * this.#ratio - this.#first
      const last = Math.min(this.#held.length - 1, Math.floor(middle + this.#reach))
      let sum = 0
      for (let k = Math.max(0, Math.ceil(middle - this.#reach)); k <= last; k += 1) {
        sum += this.#held[k] * kernel((k - middle) * this.#scale)
      }
      out[n] = sum * this.#scale
    }
    this.#next += count
    return out
  }
}

/** The mean of interleaved channels, as floats from -1 to 1. */
export function toMono({ samples, channels = 1 }) {
  const unit = samples instanceof Int16Array ? 1 / 32_768 : 1
  if (channels === 1 && unit === 1) return samples
  const mono = new Float32Array(Math.floor(samples.length / channels))
  for (let index = 0; index < mono.length; index += 1) {
    let sum = 0
    for (let channel = 0; channel < channels; channel += 1) sum += samples[index * channels + channel]
    mono[index] = (sum * unit) / channels
  }
  return mono
}
