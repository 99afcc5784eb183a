//! The node around the detector: config, any rate and channel count in, JSON out.

use crate::{Detector, EventLine, Format, Frame, Intake, Report, Segmenter, Tuning, rounded};
use alloc::vec::Vec;
use remotemedia_guest::{Config, Error, Input, Node, Output};
use serde::{Deserialize, Serialize};

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
        let tuning = Tuning {
            threshold: self.threshold,
            min_speech_ms: self.min_speech_ms.into(),
            min_silence_ms: self.min_silence_ms.into(),
            pad_ms: self.pad_ms.into(),
        };
        tuning.checked().map_err(|(field, problem)| Error::config(field, problem))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Event(EventLine),
    #[serde(rename_all = "camelCase")]
    Score {
        start_ms: u64,
        end_ms: u64,
        score: f32,
    },
}

/// The node.
pub struct Vad {
    report: Report,
    intake: Intake,
    detector: Detector,
    segmenter: Segmenter,
    /// Where the last frame ended.
    now_ms: u64,
    /// A buffer that lives on to be used again.
    lines: Vec<Line>,
}

impl Node for Vad {
    fn initialize(_session: &str, config: &Config) -> Result<Self, Error> {
        let options: Options = config.parse()?;
        Ok(Self {
            report: options.output,
            segmenter: Segmenter::new(options.tuning()?),
            intake: Intake::new(options.format),
            detector: Detector::new(),
            now_ms: 0,
            lines: Vec::new(),
        })
    }

    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        let Self { report, intake, detector, segmenter, now_ms, lines } = self;
        detector.push(intake.read(input)?, |frame| note(*report, segmenter, lines, now_ms, frame));
        self.write(out)
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        let Self { report, intake, detector, segmenter, now_ms, lines } = self;
        detector.push(intake.finish(), |frame| note(*report, segmenter, lines, now_ms, frame));
        detector.finish(|frame| note(*report, segmenter, lines, now_ms, frame));
        if *report == Report::Events {
            segmenter.finish(*now_ms, |event| lines.push(Line::Event(event.into())));
        }
        self.write(out)
    }
}

impl Vad {
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
        Report::Events => segmenter.push(frame, |event| lines.push(Line::Event(event.into()))),
    }
}
