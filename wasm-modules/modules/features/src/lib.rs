//! Log-mel features, as speech models want them: tensor float32 `[frames, nMels]`, natural logarithm of the power.
//!
//! Config: `sampleRate` (16000), `nMels` (80), `windowMs` (25), `hopMs` (10), `fMin` (0), `fMax` (half the rate).
//! Any rate and channel count comes in; one tensor goes out for each input that completes a frame. Hann window, FFT of
//! the next power of two, HTK mel scale with triangles of height 1, floor of 1e-10. A frame starts at its first
//! sample: nothing is padded, and at the end of a stream what does not fill a window is dropped. Not here:
//! normalization and deltas, which differ from model to model.

use remotemedia_dsp::{Resampler, mixdown};
use remotemedia_guest::{Config, Error, Input, Node, Output, export_node};
use rustfft::{Fft, FftDirection, algorithm::Radix4, num_complex::Complex32};
use serde::Deserialize;
use std::f32::consts::TAU;

export_node!(Features);

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    sample_rate: u32,
    n_mels: u32,
    window_ms: f32,
    hop_ms: f32,
    f_min: f32,
    f_max: Option<f32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { sample_rate: 16_000, n_mels: 80, window_ms: 25.0, hop_ms: 10.0, f_min: 0.0, f_max: None }
    }
}

/// One mel band: the first bin of its triangle, and the weights from there on.
struct Band {
    first: usize,
    weights: Vec<f32>,
}

/// The node.
pub struct Features {
    rate: u32,
    hop: usize,
    window: Vec<f32>,
    bands: Vec<Band>,
    /// Named, not planned: a planner brings every algorithm, and a hash map that asks WASI for random keys.
    fft: Radix4<f32>,
    frame: Vec<Complex32>,
    scratch: Vec<Complex32>,
    resampler: Option<(u32, Resampler)>,
    mono: Vec<f32>,
    /// Samples at the model's rate that later frames still need.
    held: Vec<f32>,
    /// Samples to leave out before the next frame, where the hop is longer than the window.
    skip: usize,
}

impl Node for Features {
    fn initialize(_session: &str, config: &Config) -> Result<Self, Error> {
        let options: Options = config.parse()?;
        let nyquist = options.sample_rate as f32 / 2.0;
        let f_max = options.f_max.unwrap_or(nyquist);
        let rules = [
            ("sampleRate", (4_000..=192_000).contains(&options.sample_rate), "must be between 4000 and 192000"),
            ("nMels", (1..=256).contains(&options.n_mels), "must be between 1 and 256"),
            ("windowMs", (2.0..=200.0).contains(&options.window_ms), "must be between 2 and 200"),
            ("hopMs", (1.0..=1000.0).contains(&options.hop_ms), "must be between 1 and 1000"),
            ("fMin", options.f_min >= 0.0 && options.f_min < f_max, "must be 0 or more, and below fMax"),
            ("fMax", f_max <= nyquist, "must be at most half of sampleRate"),
        ];
        for (field, good, problem) in rules {
            if !good {
                return Err(Error::config(field, problem));
            }
        }
        let samples = |ms: f32| (options.sample_rate as f32 * ms / 1000.0).round() as usize;
        let window_len = samples(options.window_ms);
        let size = window_len.next_power_of_two();
        let fft = Radix4::new(size, FftDirection::Forward);
        Ok(Self {
            rate: options.sample_rate,
            hop: samples(options.hop_ms).max(1),
            window: (0..window_len).map(|i| 0.5 - 0.5 * (TAU * i as f32 / window_len as f32).cos()).collect(),
            bands: mel_bands(options.n_mels as usize, options.f_min, f_max, options.sample_rate, size),
            frame: vec![Complex32::ZERO; size],
            scratch: vec![Complex32::ZERO; fft.get_inplace_scratch_len()],
            fft,
            resampler: None,
            mono: Vec::new(),
            held: Vec::new(),
            skip: 0,
        })
    }

    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        let audio = input.audio()?;
        if !(4_000..=384_000).contains(&audio.sample_rate) {
            return Err("input sampleRate must be between 4000 and 384000".into());
        }
        self.mono.clear();
        mixdown(audio.samples, audio.channels, &mut self.mono);
        if self.resampler.as_ref().map_or(self.rate, |(from, _)| *from) != audio.sample_rate {
            if let Some((_, mut old)) = self.resampler.take() {
                old.finish(&mut self.held);
            }
            if audio.sample_rate != self.rate {
                self.resampler = Some((audio.sample_rate, Resampler::new(audio.sample_rate, self.rate)));
            }
        }
        match &mut self.resampler {
            Some((_, resampler)) => resampler.push(&self.mono, &mut self.held),
            None => self.held.extend_from_slice(&self.mono),
        }
        self.write(out)
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.finish(&mut self.held);
        }
        self.write(out)?;
        self.held.clear();
        self.skip = 0;
        Ok(())
    }
}

impl Features {
    fn write(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        let (mut at, mut rows) = (self.skip, vec![]);
        while at + self.window.len() <= self.held.len() {
            self.row(at, &mut rows);
            at += self.hop;
        }
        let gone = at.min(self.held.len());
        self.held.drain(..gone);
        self.skip = at - gone;
        if rows.is_empty() {
            return Ok(());
        }
        out.emit_tensor(&rows, &[rows.len() / self.bands.len(), self.bands.len()])
    }

    fn row(&mut self, at: usize, rows: &mut Vec<f32>) {
        let len = self.window.len();
        // The transform works in place: the part after the window has to be cleared for every frame.
        self.frame[len..].fill(Complex32::ZERO);
        for ((to, sample), weight) in self.frame.iter_mut().zip(&self.held[at..at + len]).zip(&self.window) {
            *to = Complex32::new(sample * weight, 0.0);
        }
        self.fft.process_with_scratch(&mut self.frame, &mut self.scratch);
        for band in &self.bands {
            let bins = &self.frame[band.first..];
            let power: f32 = bins.iter().zip(&band.weights).map(|(bin, weight)| bin.norm_sqr() * weight).sum();
            rows.push(power.max(1e-10).ln());
        }
    }
}

fn mel_bands(count: usize, f_min: f32, f_max: f32, rate: u32, size: usize) -> Vec<Band> {
    let mel = |hz: f32| 1127.0 * (hz / 700.0).ln_1p();
    let hz = |mel: f32| 700.0 * (mel / 1127.0).exp_m1();
    let (low, high) = (mel(f_min), mel(f_max));
    let edge = |i: usize| hz(low + (high - low) * i as f32 / (count + 1) as f32);
    let bins = size / 2 + 1;
    let width = rate as f32 / size as f32;
    let band = |i: usize| {
        let (left, middle, right) = (edge(i), edge(i + 1), edge(i + 2));
        let weight = |bin: usize| {
            let f = bin as f32 * width;
            ((f - left) / (middle - left)).min((right - f) / (right - middle))
        };
        let first = (0..bins).find(|bin| weight(*bin) > 0.0).unwrap_or(bins);
        let weights = (first..bins).map(weight).take_while(|w| *w > 0.0).collect();
        Band { first, weights }
    };
    (0..count).map(band).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotemedia_guest::testing::{Emitted, Session};

    fn tone(hz: f32, rate: u32, ms: u32) -> Vec<f32> {
        (0..rate * ms / 1000).map(|i| (TAU * hz * i as f32 / rate as f32).sin() * 0.5).collect()
    }

    fn run(config: &str, audio: &[f32], rate: u32, piece: usize) -> Vec<Emitted> {
        let mut session = Session::<Features>::start(config).unwrap();
        let mut got = vec![];
        for chunk in audio.chunks(piece) {
            got.extend(session.audio(chunk, rate, 1).unwrap());
        }
        got.extend(session.flush().unwrap());
        got
    }

    fn values(items: &[Emitted]) -> Vec<f32> {
        items.iter().flat_map(Emitted::f32s).collect()
    }

    #[test]
    fn a_tone_is_loudest_in_its_band_and_pieces_do_not_matter() {
        let audio = tone(1000.0, 16000, 1000);
        let whole = run("{}", &audio, 16000, 16000);
        assert_eq!(whole[0].meta, r#"{"dtype":"float32","shape":[98,80]}"#);
        let rows = values(&whole);
        let row = &rows[50 * 80..51 * 80];
        let loudest = (0..80).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        let mel = |hz: f32| 1127.0 * (hz / 700.0).ln_1p();
        let want = (mel(1000.0) / mel(8000.0) * 81.0 - 1.0).round() as usize;
        assert!(loudest.abs_diff(want) <= 1, "{loudest} {want}");
        assert_eq!(values(&run("{}", &audio, 16000, 333)), rows);
    }

    #[test]
    fn another_rate_gives_nearly_the_same_and_a_long_hop_skips() {
        let low = values(&run("{}", &tone(440.0, 16000, 500), 16000, 8000));
        let high = values(&run("{}", &tone(440.0, 48000, 500), 48000, 480));
        assert_eq!(low.len(), high.len());
        let loudest = (0..80).max_by(|a, b| low[20 * 80 + a].total_cmp(&low[20 * 80 + b])).unwrap();
        assert!((low[20 * 80 + loudest] - high[20 * 80 + loudest]).abs() < 0.05);
        let sparse = run(r#"{"hopMs":100,"nMels":8}"#, &tone(440.0, 16000, 1000), 16000, 100);
        assert_eq!(values(&sparse).len(), 10 * 8);
    }

    #[test]
    fn bad_configs_name_the_field() {
        for (config, field) in [
            (r#"{"nMels":0}"#, "config.nMels"),
            (r#"{"windowMs":1}"#, "config.windowMs"),
            (r#"{"fMin":9000}"#, "config.fMin"),
            (r#"{"fMax":9000}"#, "config.fMax"),
        ] {
            let error = Session::<Features>::start(config).err().unwrap();
            assert!(error.message().starts_with(field), "{error}");
        }
    }
}
