//! The node's config: that of `vad`, and whom to ask about what.

use crate::window::Rule;
use alloc::string::String;
use remotemedia_guest::Error;
use serde::Deserialize;
use vad::{Format, Report, Tuning};

/// The service's frame, of which windows and contexts hold a whole number.
const STEP_MS: u32 = 32;
/// What the edge holds back, and sends beyond what it asks about, stays small.
const MAX_MS: u32 = 2_048;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Options {
    pub output: Report,
    pub format: Format,
    pub service: String,
    low: f32,
    high: f32,
    context_ms: u32,
    hop_ms: u32,
    threshold: Option<f32>,
    min_speech_ms: u32,
    min_silence_ms: u32,
    pad_ms: u32,
}

// Over ten hand-labelled recordings, with Silero VAD v6 as the service: frame F1 0.936 for a third of the audio. A wider
// range asks more and gains nothing, more context costs more than it brings.
impl Default for Options {
    fn default() -> Self {
        let tuning = Tuning::default();
        Self {
            output: Report::Events,
            format: Format::F32le,
            service: "vad".into(),
            low: 0.4,
            high: 0.6,
            context_ms: 64,
            hop_ms: 64,
            threshold: None,
            min_speech_ms: tuning.min_speech_ms as u32,
            min_silence_ms: tuning.min_silence_ms as u32,
            pad_ms: tuning.pad_ms as u32,
        }
    }
}

impl Options {
    /// Which frames are unsure, and what is sent for them.
    pub fn rule(&self) -> Result<Rule, Error> {
        if self.service.is_empty() {
            return Err(Error::config("service", "must not be empty"));
        }
        if !(0.0..=1.0).contains(&self.low) {
            return Err(Error::config("low", "must be 0 to 1"));
        }
        if !(self.low..=1.0).contains(&self.high) {
            return Err(Error::config("high", "must be from low to 1"));
        }
        for (field, value, least) in [("contextMs", self.context_ms, 0), ("hopMs", self.hop_ms, STEP_MS)] {
            if !(least..=MAX_MS).contains(&value) || value % STEP_MS != 0 {
                return Err(Error::config(field, format_args!("must be a multiple of 32 from {least} to {MAX_MS}")));
            }
        }
        Ok(Rule::new(self.low, self.high, self.context_ms, self.hop_ms))
    }

    /// How scores become events.
    pub fn tuning(&self) -> Result<Tuning, Error> {
        let threshold = self.threshold.unwrap_or((self.low + self.high) / 2.0);
        if !(self.low..=self.high).contains(&threshold) {
            return Err(Error::config("threshold", "must be from low to high"));
        }
        let tuning = Tuning {
            threshold,
            min_speech_ms: self.min_speech_ms.into(),
            min_silence_ms: self.min_silence_ms.into(),
            pad_ms: self.pad_ms.into(),
        };
        tuning.checked().map_err(|(field, problem)| Error::config(field, problem))
    }
}
