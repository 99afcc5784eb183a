//! Removes noise from speech with RNNoise (crate `nnnoiseless`), at any sample rate and for any number of channels.
//!
//! The model works on 10 ms frames at 48 kHz and answers one frame late. Other rates are converted there and back;
//! the delay is taken out, so a whole stream comes out as long as it went in and in step with it. No config.
//! Not for music: what is not speech is noise to it.
//!
//! The FFT behind the model keeps its plans in a hash map, which takes its keys from WASI: the node needs the grant
//! `wasi: { random: true }`.

use nnnoiseless::DenoiseState;
use remotemedia_dsp::{Framer, Quality, Resampler, interleave, pick};
use remotemedia_guest::{Config, Error, Input, Node, Output, export_node};
use serde::Deserialize;

export_node!(Denoise);

const RATE: u32 = 48_000;
const FRAME: usize = DenoiseState::FRAME_SIZE;
/// The model wants the range of 16-bit samples.
const SCALE: f32 = 32_767.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {}

struct Channel {
    /// To 48 kHz and back, unless it is that already.
    rates: Option<(Resampler, Resampler)>,
    framer: Framer,
    model: Box<DenoiseState<'static>>,
    /// The next answer of the model belongs to nothing that was put in.
    first: bool,
    /// Samples at 48 kHz that went in and are still to come out.
    owed: usize,
    ready: Vec<f32>,
}

impl Channel {
    fn new(rate: u32) -> Self {
        let convert = |from, to| Resampler::with_quality(from, to, Quality::LISTEN);
        Self {
            rates: (rate != RATE).then(|| (convert(rate, RATE), convert(RATE, rate))),
            framer: Framer::new(FRAME),
            model: DenoiseState::new(),
            first: true,
            owed: 0,
            ready: Vec::new(),
        }
    }

    fn push(&mut self, samples: &[f32]) {
        let mut raised = Vec::new();
        let at_48k = match &mut self.rates {
            Some((up, _)) => {
                up.push(samples, &mut raised);
                &raised
            }
            None => samples,
        };
        self.clean(at_48k, false);
    }

    fn finish(&mut self) {
        let mut rest = Vec::new();
        if let Some((up, _)) = &mut self.rates {
            up.finish(&mut rest);
        }
        self.clean(&rest, true);
        self.first = true;
        if let Some((_, down)) = &mut self.rates {
            down.finish(&mut self.ready);
        }
    }

    fn clean(&mut self, samples: &[f32], last: bool) {
        self.owed += samples.len();
        let Self { framer, model, first, owed, .. } = self;
        let mut clean = Vec::new();
        let mut one = |frame: &[f32]| {
            let (mut louder, mut answer) = ([0.0; FRAME], [0.0; FRAME]);
            louder.iter_mut().zip(frame).for_each(|(to, from)| *to = from.clamp(-1.0, 1.0) * SCALE);
            model.process_frame(&mut answer, &louder);
            if !std::mem::take(first) {
                let due = FRAME.min(*owed);
                clean.extend(answer[..due].iter().map(|s| s / SCALE));
                *owed -= due;
            }
        };
        framer.push(samples, &mut one);
        if last {
            framer.finish(&mut one);
            one(&[0.0; FRAME]);
        }
        match &mut self.rates {
            Some((_, down)) => down.push(&clean, &mut self.ready),
            None => self.ready.extend_from_slice(&clean),
        }
    }
}

/// The node.
pub struct Denoise {
    rate: u32,
    channels: Vec<Channel>,
}

impl Node for Denoise {
    fn initialize(_session: &str, config: &Config) -> Result<Self, Error> {
        let Options {} = config.parse()?;
        Ok(Self { rate: RATE, channels: Vec::new() })
    }

    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        let audio = input.audio()?;
        if !(4_000..=384_000).contains(&audio.sample_rate) || audio.channels > 32 {
            return Err("sampleRate must be between 4000 and 384000, channels 32 or less".into());
        }
        if (self.rate, self.channels.len()) != (audio.sample_rate, audio.channels) {
            // What the old format still holds comes out before the new one begins.
            self.flush(out)?;
            self.rate = audio.sample_rate;
            self.channels = (0..audio.channels).map(|_| Channel::new(audio.sample_rate)).collect();
        }
        let mut mono = Vec::new();
        for (index, channel) in self.channels.iter_mut().enumerate() {
            mono.clear();
            pick(audio.samples, audio.channels, index, &mut mono);
            channel.push(&mono);
        }
        self.write(out)
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        self.channels.iter_mut().for_each(Channel::finish);
        self.write(out)
    }
}

impl Denoise {
    fn write(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        let mut samples = Vec::new();
        interleave(self.channels.iter().map(|c| c.ready.as_slice()), &mut samples);
        self.channels.iter_mut().for_each(|c| c.ready.clear());
        match samples.is_empty() {
            true => Ok(()),
            false => out.emit_audio(&samples, self.rate, self.channels.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotemedia_guest::testing::{Emitted, Session};

    fn noise(n: usize) -> Vec<f32> {
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next() * 0.01).collect()
    }

    fn run(samples: &[f32], rate: u32, channels: usize, piece: usize) -> Vec<f32> {
        let mut session = Session::<Denoise>::start("{}").unwrap();
        let mut got = vec![];
        for chunk in samples.chunks(piece) {
            got.extend(session.audio(chunk, rate, channels).unwrap());
        }
        got.extend(session.flush().unwrap());
        got.iter().flat_map(Emitted::f32s).collect()
    }

    #[test]
    fn noise_goes_away_and_the_length_stays() {
        for (rate, channels, piece) in [(48_000, 1, 777), (16_000, 2, 640), (44_100, 1, 441)] {
            let samples = noise(2 * rate as usize * channels);
            let out = run(&samples, rate, channels, piece);
            assert_eq!(out.len(), samples.len());
            let power = |s: &[f32]| s[s.len() / 2..].iter().map(|x| x * x).sum::<f32>();
            let (before, after) = (power(&samples), power(&out));
            // White noise up to 24 kHz is nothing that the model was trained on; it only takes the top of it away.
            let left = if rate == 16_000 { 0.01 } else { 0.95 };
            assert!(after < before * left, "{rate}: {after} of {before}");
        }
    }

    #[test]
    fn there_is_no_config() {
        let error = Session::<Denoise>::start(r#"{"strength":1}"#).err().unwrap();
        assert!(error.message().starts_with("config.strength:"), "{error}");
    }
}
