//! The node around the detector: config, any rate and channel count in, JSON out.

use crate::{Detector, Event, Frame, SAMPLE_RATE, Segmenter, Tuning};
use alloc::{format, vec::Vec};
use remotemedia_dsp::{Resampler, mixdown};
use remotemedia_guest::{Config, Error, Input, Kind, Node, Output};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Report {
    Events,
    Scores,
}

/// How `binary` input is to be read; always 16 kHz mono.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Format {
    F32le,
    S16le,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    output: Report,
    format: Format,
    threshold: f32,
    min_speech_ms: u32,
    min_silence_ms: u32,
    pad_ms: u32,
}

impl Default for Options {
    fn default() -> Self {
        let tuning = Tuning::default();
        Self {
            output: Report::Events,
            format: Format::F32le,
            threshold: tuning.threshold,
            min_speech_ms: tuning.min_speech_ms as u32,
            min_silence_ms: tuning.min_silence_ms as u32,
            pad_ms: tuning.pad_ms as u32,
        }
    }
}

impl Options {
    fn tuning(&self) -> Result<Tuning, Error> {
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            return Err(Error::config("threshold", "must be above 0 and below 1"));
        }
        for (field, value) in
            [("minSpeechMs", self.min_speech_ms), ("minSilenceMs", self.min_silence_ms), ("padMs", self.pad_ms)]
        {
            if value > 10_000 {
                return Err(Error::config(field, "must be 10000 or less"));
            }
        }
        Ok(Tuning {
            threshold: self.threshold,
            min_speech_ms: self.min_speech_ms.into(),
            min_silence_ms: self.min_silence_ms.into(),
            pad_ms: self.pad_ms.into(),
        })
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    #[serde(rename_all = "camelCase")]
    Start { r#type: &'static str, at_ms: u64, score: f32 },
    #[serde(rename_all = "camelCase")]
    End { r#type: &'static str, at_ms: u64, start_ms: u64, duration_ms: u64, mean_score: f32 },
    #[serde(rename_all = "camelCase")]
    Score { start_ms: u64, end_ms: u64, score: f32 },
}

/// The node.
pub struct Vad {
    format: Format,
    report: Report,
    detector: Detector,
    segmenter: Segmenter,
    resampler: Option<(u32, Resampler)>,
    /// Where the last frame ended.
    now_ms: u64,
    /// Buffers that live on to be used again.
    mono: Vec<f32>,
    ready: Vec<f32>,
    lines: Vec<Line>,
}

impl Node for Vad {
    fn initialize(_session: &str, config: &Config) -> Result<Self, Error> {
        let options: Options = config.parse()?;
        Ok(Self {
            format: options.format,
            report: options.output,
            segmenter: Segmenter::new(options.tuning()?),
            detector: Detector::new(),
            resampler: None,
            now_ms: 0,
            mono: Vec::new(),
            ready: Vec::new(),
            lines: Vec::new(),
        })
    }

    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
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
        self.detect();
        self.write(out)
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        self.ready.clear();
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.finish(&mut self.ready);
        }
        self.detect();
        let Self { detector, segmenter, lines, now_ms, report, .. } = self;
        detector.finish(|frame| note(*report, segmenter, lines, now_ms, frame));
        segmenter.finish(*now_ms, |event| lines.extend(event_line(*report, event)));
        self.write(out)
    }
}

impl Vad {
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

    fn detect(&mut self) {
        let Self { detector, segmenter, lines, now_ms, report, ready, .. } = self;
        detector.push(ready, |frame| note(*report, segmenter, lines, now_ms, frame));
    }

    fn write(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        self.lines.drain(..).try_for_each(|line| out.emit_json(&line))
    }
}

fn note(report: Report, segmenter: &mut Segmenter, lines: &mut Vec<Line>, now_ms: &mut u64, frame: Frame) {
    *now_ms = frame.end_ms;
    match report {
        Report::Scores => {
            lines.push(Line::Score { start_ms: frame.start_ms, end_ms: frame.end_ms, score: rounded(frame.score) })
        }
        Report::Events => segmenter.push(frame, |event| lines.extend(event_line(report, event))),
    }
}

fn event_line(report: Report, event: Event) -> Option<Line> {
    (report == Report::Events).then(|| match event {
        Event::Start { at_ms, score } => Line::Start { r#type: "speech_start", at_ms, score: rounded(score) },
        Event::End { start_ms, at_ms, mean_score } => Line::End {
            r#type: "speech_end",
            at_ms,
            start_ms,
            duration_ms: at_ms - start_ms,
            mean_score: rounded(mean_score),
        },
    })
}

/// Four digits are more than the model means, and keep the JSON short.
fn rounded(score: f32) -> f32 {
    (score * 10_000.0 + 0.5) as u32 as f32 / 10_000.0
}
