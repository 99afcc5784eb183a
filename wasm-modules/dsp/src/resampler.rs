//! Streaming resampler for one channel between any two rates: a polyphase FIR, Kaiser-windowed sinc.
//!
//! Output sample k lies at input time k * from / to, with the delay of the filter taken out, and the output of a
//! whole stream is as long as its input. Ratios with small terms (all the usual rates) have a filter for each phase;
//! for the others two neighbours of a bounded number of phases are blended.

use alloc::vec::Vec;
use core::f64::consts::PI;

/// How steep the filter is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Zero crossings of the sinc on each side; the work per sample goes with it.
    crossings: usize,
    /// Shape of the Kaiser window: larger is quieter outside the pass band, and needs more crossings.
    beta: f64,
    /// Where the filter is half down, as part of the lower of the two Nyquist frequencies.
    cutoff: f64,
}

impl Quality {
    /// For models: flat to 0.85 of the band, 80 dB beyond it.
    pub const MODEL: Self = Self { crossings: 16, beta: 8.0, cutoff: 0.92 };
    /// For listening: flat to 0.9 of the band, 100 dB beyond it.
    pub const LISTEN: Self = Self { crossings: 40, beta: 10.0, cutoff: 0.95 };
}

/// Coefficients of all phases together; 256 KiB.
const MAX_TABLE: usize = 1 << 16;

/// Converts one channel from one rate to another, in pieces of any size.
#[derive(Clone, Debug)]
pub struct Resampler {
    /// Input samples per output sample, as `num / den`.
    num: u64,
    den: u64,
    /// Input samples under the filter.
    taps: usize,
    phases: usize,
    table: Vec<f32>,
    /// Input not yet left behind; starts with half a filter of zeros, which takes the delay out.
    buffer: Vec<f32>,
    /// Place of the next output sample within a step of the input, in units of `1 / den`.
    fraction: u64,
    fed: u64,
    made: u64,
}

impl Resampler {
    /// From `from` Hz to `to` Hz, both at least 1, good enough for a model.
    pub fn new(from: u32, to: u32) -> Self {
        Self::with_quality(from, to, Quality::MODEL)
    }

    /// From `from` Hz to `to` Hz, both at least 1.
    pub fn with_quality(from: u32, to: u32, quality: Quality) -> Self {
        let divisor = gcd(from, to);
        let (num, den) = (u64::from(from / divisor), u64::from(to / divisor));
        let stretch = (f64::from(from) / f64::from(to)).max(1.0);
        let half = (libm::ceil(quality.crossings as f64 * stretch) as usize).next_multiple_of(4);
        let taps = 2 * half;
        let phases = (den as usize).min((MAX_TABLE / taps).max(1));
        // One row more than phases: the neighbour of the last one.
        let mut table = Vec::with_capacity((phases + 1) * taps);
        for phase in 0..=phases {
            let fraction = phase as f64 / phases as f64;
            push_phase(&mut table, fraction, half, stretch, quality);
        }
        Self { num, den, taps, phases, table, buffer: alloc::vec![0.0; half - 1], fraction: 0, fed: 0, made: 0 }
    }

    /// Appends to `out` what `input` allows; the last half filter of it is held back.
    pub fn push(&mut self, input: &[f32], out: &mut Vec<f32>) {
        self.fed += input.len() as u64;
        self.run(input, u64::MAX, out);
    }

    /// Appends the rest, so that the output is as long as the input was, and starts afresh.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let wanted = (self.fed * self.den).div_ceil(self.num);
        let silence = alloc::vec![0.0; self.taps];
        self.run(&silence, wanted, out);
        self.buffer.clear();
        self.buffer.resize(self.taps / 2 - 1, 0.0);
        (self.fraction, self.fed, self.made) = (0, 0, 0);
    }

    fn run(&mut self, input: &[f32], wanted: u64, out: &mut Vec<f32>) {
        self.buffer.extend_from_slice(input);
        let mut at = 0;
        while at + self.taps <= self.buffer.len() && self.made < wanted {
            let place = self.fraction * self.phases as u64;
            let filter = &self.table[(place / self.den) as usize * self.taps..][..2 * self.taps];
            let (here, next) = filter.split_at(self.taps);
            let window = &self.buffer[at..at + self.taps];
            let mut sample = dot(window, here);
            let between = place % self.den;
            if between != 0 {
                let part = between as f32 / self.den as f32;
                sample += (dot(window, next) - sample) * part;
            }
            out.push(sample);
            self.made += 1;
            self.fraction += self.num;
            at += (self.fraction / self.den) as usize;
            self.fraction %= self.den;
        }
        // A step is never longer than the filter, so `at` is within the buffer.
        self.buffer.drain(..at);
    }
}

/// Eight sums side by side: the compiler may not reorder a single one into SIMD lanes.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a, _) = a.as_chunks::<8>();
    let (b, _) = b.as_chunks::<8>();
    for (x, y) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum()
}

/// The filter for an output sample that lies `fraction` of an input step past the middle.
fn push_phase(table: &mut Vec<f32>, fraction: f64, half: usize, stretch: f64, quality: Quality) {
    let cutoff = quality.cutoff / stretch;
    let start = table.len();
    let mut sum = 0.0;
    for tap in 0..2 * half {
        let x = tap as f64 - (half - 1) as f64 - fraction;
        let at = x / half as f64;
        let window = bessel_i0(quality.beta * libm::sqrt((1.0 - at * at).max(0.0)));
        let value = sinc(cutoff * x) * window;
        sum += value;
        table.push(value as f32);
    }
    // A gain of exactly one at 0 Hz in every phase, or a constant would come out with a ripple.
    let scale = (1.0 / sum) as f32;
    table[start..].iter_mut().for_each(|value| *value *= scale);
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { libm::sin(PI * x) / (PI * x) }
}

/// Modified Bessel function of order 0, by its power series; fast enough for arguments up to 12.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..32 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{f32::consts::TAU, vec};

    fn tone(hz: f32, rate: u32, n: usize) -> Vec<f32> {
        let step = f64::from(hz) / f64::from(rate);
        (0..n).map(|i| ((i as f64 * step).fract() as f32 * TAU).sin() * 0.5).collect()
    }

    fn convert(from: u32, to: u32, input: &[f32], piece: usize) -> Vec<f32> {
        let (mut resampler, mut out) = (Resampler::new(from, to), vec![]);
        input.chunks(piece).for_each(|c| resampler.push(c, &mut out));
        resampler.finish(&mut out);
        out
    }

    /// Power of the difference to the wanted tone against the tone's, in dB, edges left out.
    fn noise_db(got: &[f32], want: &[f32]) -> f32 {
        let inner = 600..got.len().min(want.len()) - 600;
        let power = |x: f32| x * x;
        let noise: f32 = inner.clone().map(|i| power(got[i] - want[i])).sum();
        let signal: f32 = inner.map(|i| power(want[i])).sum();
        10.0 * (noise / signal).log10()
    }

    #[test]
    fn tones_keep_their_place_and_shape() {
        for (from, to, limit) in [
            (48000, 16000, -70.0),
            (44100, 16000, -70.0),
            (8000, 16000, -70.0),
            (22050, 16000, -70.0),
            (16000, 48000, -70.0),
            (44100, 48000, -70.0),
            (192000, 16000, -70.0),
            (44101, 16000, -70.0),
        ] {
            let got = convert(from, to, &tone(1000.0, from, from as usize / 2), 441);
            assert_eq!(got.len(), to as usize / 2);
            let db = noise_db(&got, &tone(1000.0, to, got.len()));
            assert!(db < limit, "{from} -> {to}: {db} dB");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_removed() {
        let got = convert(48000, 16000, &tone(10000.0, 48000, 24000), 999);
        let peak = got[600..7400].iter().fold(0f32, |m, x| m.max(x.abs()));
        assert!(peak < 0.5e-3, "{peak}");
    }

    #[test]
    fn pieces_do_not_matter_and_a_finished_one_starts_afresh() {
        let input = tone(300.0, 44100, 5000);
        let whole = convert(44100, 16000, &input, 5000);
        assert_eq!(whole, convert(44100, 16000, &input, 7));
        let (mut resampler, mut out) = (Resampler::new(44100, 16000), vec![]);
        for _ in 0..2 {
            out.clear();
            resampler.push(&input, &mut out);
            resampler.finish(&mut out);
        }
        assert_eq!(out, whole);
    }
}
