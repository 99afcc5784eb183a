//! Converts audio to another sample rate, and to another number of channels if asked to.
//!
//! Config: `sampleRate` (Hz, required), `channels` (default: as many as come in). Mixes down to one channel by
//! averaging, and copies one channel to several; other changes of the channel count are refused.
//!
//! The resampler is `remotemedia-dsp`'s, not a general crate: those work on blocks of a fixed size, add their delay to
//! the stream and bring an FFT planner of more code than this whole module. Not here: dithering, speed changes.

#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use remotemedia_dsp::{Quality, Resampler, interleave, mixdown, pick};
use remotemedia_guest::{Config, Error, Input, Node, Output, export_node, no_std_runtime};
use serde::Deserialize;

no_std_runtime!();
export_node!(Resample);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    sample_rate: u32,
    channels: Option<u32>,
}

struct Channel {
    /// None where the rates are the same.
    resampler: Option<Resampler>,
    ready: Vec<f32>,
}

/// The node.
pub struct Resample {
    rate: u32,
    wanted: Option<usize>,
    /// Rate and channels of what came last; the converters are for these.
    source: (u32, usize),
    channels: Vec<Channel>,
    mono: Vec<f32>,
    out: Vec<f32>,
}

impl Node for Resample {
    fn initialize(_session: &str, config: &Config) -> Result<Self, Error> {
        let options: Options = config.parse()?;
        if !(1_000..=384_000).contains(&options.sample_rate) {
            return Err(Error::config("sampleRate", "must be between 1000 and 384000"));
        }
        if options.channels.is_some_and(|n| !(1..=32).contains(&n)) {
            return Err(Error::config("channels", "must be between 1 and 32"));
        }
        Ok(Self {
            rate: options.sample_rate,
            wanted: options.channels.map(|n| n as usize),
            source: (0, 0),
            channels: Vec::new(),
            mono: Vec::new(),
            out: Vec::new(),
        })
    }

    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        let audio = input.audio()?;
        if !(1_000..=384_000).contains(&audio.sample_rate) {
            return Err("input sampleRate must be between 1000 and 384000".into());
        }
        if self.source != (audio.sample_rate, audio.channels) {
            // What the converters of the old format still hold comes out before the new one begins.
            self.flush(out)?;
            self.start(audio.sample_rate, audio.channels)?;
        }
        let single = self.channels.len() == 1;
        for (index, channel) in self.channels.iter_mut().enumerate() {
            self.mono.clear();
            match single {
                true => mixdown(audio.samples, audio.channels, &mut self.mono),
                false => pick(audio.samples, audio.channels, index, &mut self.mono),
            }
            match &mut channel.resampler {
                Some(resampler) => resampler.push(&self.mono, &mut channel.ready),
                None => channel.ready.extend_from_slice(&self.mono),
            }
        }
        self.write(out)
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        for channel in &mut self.channels {
            if let Some(resampler) = &mut channel.resampler {
                resampler.finish(&mut channel.ready);
            }
        }
        self.write(out)
    }
}

impl Resample {
    fn start(&mut self, rate: u32, channels: usize) -> Result<(), Error> {
        let wanted = self.wanted.unwrap_or(channels);
        let carried = if wanted == 1 { 1 } else { channels };
        if carried != 1 && carried != wanted {
            return Err(Error::config("channels", format_args!("cannot make {wanted} channels of {channels}")));
        }
        let make = || Channel {
            resampler: (rate != self.rate).then(|| Resampler::with_quality(rate, self.rate, Quality::LISTEN)),
            ready: Vec::new(),
        };
        self.channels = (0..carried).map(|_| make()).collect();
        self.source = (rate, channels);
        Ok(())
    }

    fn write(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        let wanted = self.wanted.unwrap_or(self.channels.len());
        self.out.clear();
        match &self.channels[..] {
            [only] if wanted > 1 => self.out.extend(only.ready.iter().flat_map(|s| core::iter::repeat_n(*s, wanted))),
            several => interleave(several.iter().map(|c| c.ready.as_slice()), &mut self.out),
        }
        self.channels.iter_mut().for_each(|c| c.ready.clear());
        match self.out.is_empty() {
            true => Ok(()),
            false => out.emit_audio(&self.out, self.rate, wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use remotemedia_guest::testing::{Emitted, Session};

    fn samples(items: &[Emitted]) -> Vec<f32> {
        items.iter().flat_map(Emitted::f32s).collect()
    }

    #[test]
    fn a_stream_keeps_its_length_and_its_channels_apart() {
        let mut session = Session::<Resample>::start(r#"{"sampleRate":16000}"#).unwrap();
        let stereo: Vec<f32> = (0..44100).flat_map(|_| [0.5, -0.25]).collect();
        let mut got = vec![];
        for piece in stereo.chunks(882) {
            got.extend(session.audio(piece, 44100, 2).unwrap());
        }
        got.extend(session.flush().unwrap());
        assert_eq!(got[0].meta, r#"{"sampleRate":16000,"channels":2}"#);
        let out = samples(&got);
        assert_eq!(out.len(), 32000);
        assert!((out[16000] - 0.5).abs() < 1e-3 && (out[16001] + 0.25).abs() < 1e-3);
    }

    #[test]
    fn channels_are_mixed_and_copied() {
        let mut session = Session::<Resample>::start(r#"{"sampleRate":8000,"channels":1}"#).unwrap();
        assert_eq!(samples(&session.audio(&[1.0, 0.0], 8000, 2).unwrap()), [0.5]);
        let mut session = Session::<Resample>::start(r#"{"sampleRate":8000,"channels":2}"#).unwrap();
        assert_eq!(samples(&session.audio(&[0.3], 8000, 1).unwrap()), [0.3, 0.3]);
        assert!(session.audio(&[0.0; 6], 8000, 6).is_err());
    }

    #[test]
    fn bad_configs_name_the_field() {
        for (config, text) in [
            ("{}", "config.sampleRate: is missing"),
            (r#"{"sampleRate":10}"#, "config.sampleRate: must"),
            (r#"{"sampleRate":8000,"channels":0}"#, "config.channels:"),
        ] {
            let error = Session::<Resample>::start(config).err().unwrap();
            assert!(error.message().starts_with(text), "{error}");
        }
    }
}
