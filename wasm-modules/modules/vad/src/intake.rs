//! Any input that holds audio, as the 16 kHz mono that the model wants. Shared by the nodes that use the detector.

use crate::SAMPLE_RATE;
use alloc::{format, vec::Vec};
use remotemedia_dsp::{Resampler, mixdown};
use remotemedia_guest::{Error, Input, Kind};
use serde::Deserialize;

/// How `binary` input is to be read; always 16 kHz mono.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// 32-bit floats, little-endian.
    F32le,
    /// 16-bit integers, little-endian.
    S16le,
}

/// Reads inputs, and remembers what a change of rate needs.
pub struct Intake {
    format: Format,
    resampler: Option<(u32, Resampler)>,
    /// Buffers that live on to be used again.
    mono: Vec<f32>,
    ready: Vec<f32>,
}

impl Intake {
    /// Has read nothing yet.
    pub fn new(format: Format) -> Self {
        Self { format, resampler: None, mono: Vec::new(), ready: Vec::new() }
    }

    /// The input's audio at the rate of the model, as far as it can be told already.
    pub fn read(&mut self, input: &Input<'_>) -> Result<&[f32], Error> {
        self.mono.clear();
        let rate = match input.kind()? {
            Kind::Audio => {
                let audio = input.audio()?;
                mixdown(audio.samples, audio.channels, &mut self.mono);
                audio.sample_rate
            }
            Kind::Binary => {
                self.read_binary(input)?;
                SAMPLE_RATE
            }
            kind => {
                return Err(Error::new(format!("audio or binary expected, input is {kind:?}")));
            }
        };
        self.ready.clear();
        self.convert(rate)?;
        Ok(&self.ready)
    }

    /// End of a stream: what the change of rate still held back.
    pub fn finish(&mut self) -> &[f32] {
        self.ready.clear();
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.finish(&mut self.ready);
        }
        &self.ready
    }

    fn read_binary(&mut self, input: &Input<'_>) -> Result<(), Error> {
        if self.format == Format::F32le {
            mixdown(input.f32s()?, 1, &mut self.mono);
            return Ok(());
        }
        let (samples, rest) = input.bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return Err("odd number of bytes for 16-bit samples".into());
        }
        let to_f32 = |b: &[u8; 2]| f32::from(i16::from_le_bytes(*b)) / 32768.0;
        self.mono.extend(samples.iter().map(to_f32));
        Ok(())
    }

    /// Brings `mono` to the rate of the model, in `ready`.
    fn convert(&mut self, rate: u32) -> Result<(), Error> {
        if self.resampler.as_ref().is_none_or(|(from, _)| *from != rate) {
            if !(4_000..=384_000).contains(&rate) {
                return Err("sampleRate must be between 4000 and 384000".into());
            }
            // The tail of the old rate comes out before the new one begins.
            if let Some((_, mut old)) = self.resampler.take() {
                old.finish(&mut self.ready);
            }
            if rate != SAMPLE_RATE {
                self.resampler = Some((rate, Resampler::new(rate, SAMPLE_RATE)));
            }
        }
        match &mut self.resampler {
            Some((_, resampler)) => resampler.push(&self.mono, &mut self.ready),
            None => self.ready.extend_from_slice(&self.mono),
        }
        Ok(())
    }
}
