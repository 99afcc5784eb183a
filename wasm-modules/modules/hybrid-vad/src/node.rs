//! The node: frames in the order of the stream, each decided by the edge or the service, JSON out.

use crate::options::Options;
use crate::service::{self, NoAnswer};
use crate::window::{Next, Placed, Rule, Windows};
use alloc::{format, string::String, vec::Vec};
use remotemedia_guest::{Config, Error, Input, Node, Output, warn};
use serde::Serialize;
use vad::{Detector, EventLine, Frame, Intake, Report, Segmenter, rounded};

/// Who decided a frame.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Source {
    Edge,
    Cloud,
    /// The service was asked and gave no answer.
    EdgeFallback,
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
        edge_score: f32,
        source: Source,
    },
}

/// What the session has heard and sent so far. Bytes are those of 16 kHz mono f32.
#[derive(Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    r#type: &'static str,
    /// All sound: what asking about everything would have sent.
    audio_bytes: u64,
    /// All clips, context included, whether or not they were answered.
    cloud_bytes: u64,
    calls: u64,
    failures: u64,
}

/// The node.
pub struct HybridVad {
    service: String,
    rule: Rule,
    report: Report,
    intake: Intake,
    detector: Detector,
    windows: Windows,
    segmenter: Segmenter,
    /// Where the last decided frame ended.
    now_ms: u64,
    usage: Usage,
    lines: Vec<Line>,
}

impl Node for HybridVad {
    fn initialize(_session: &str, config: &Config) -> Result<Self, Error> {
        let options: Options = config.parse()?;
        let rule = options.rule()?;
        Ok(Self {
            rule,
            report: options.output,
            intake: Intake::new(options.format),
            detector: Detector::new(),
            windows: Windows::new(rule),
            segmenter: Segmenter::new(options.tuning()?),
            now_ms: 0,
            usage: Usage { r#type: "usage", ..Usage::default() },
            lines: Vec::new(),
            service: options.service,
        })
    }

    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        let Self { intake, detector, windows, usage, .. } = self;
        hear(intake.read(input)?, detector, windows, usage);
        self.decide(false)?;
        self.write(out)
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        let Self { intake, detector, windows, usage, .. } = self;
        hear(intake.finish(), detector, windows, usage);
        detector.finish(|frame| windows.push(frame));
        self.decide(true)?;
        if self.report == Report::Events {
            let Self { segmenter, lines, now_ms, .. } = self;
            segmenter.finish(*now_ms, |event| lines.push(Line::Event(event.into())));
        }
        self.write(out)?;
        if self.usage.audio_bytes > 0 { out.emit_json(&self.usage) } else { Ok(()) }
    }
}

fn hear(samples: &[f32], detector: &mut Detector, windows: &mut Windows, usage: &mut Usage) {
    usage.audio_bytes += size_of_val(samples) as u64;
    windows.hear(samples);
    detector.push(samples, |frame| windows.push(frame));
}

impl HybridVad {
    /// Decides what can be decided now. A refusal fails the input, but not before all is decided: the stream goes on.
    fn decide(&mut self, end: bool) -> Result<(), Error> {
        let mut refused = None;
        loop {
            match self.windows.next(end) {
                Next::Wait => break,
                Next::Sure(frames) => self.settle(frames, |placed| (placed.frame.score, Source::Edge)),
                Next::Ask { frames, from } => {
                    if let Err(error) = self.ask(frames, from) {
                        refused.get_or_insert(error);
                    }
                }
            }
        }
        self.windows.forget();
        match refused {
            None => Ok(()),
            Some(error) => {
                self.lines.clear();
                Err(error)
            }
        }
    }

    fn ask(&mut self, frames: usize, from: u64) -> Result<(), Error> {
        let clip = self.windows.clip(frames, from);
        let ms = clip.len() / 16;
        self.usage.calls += 1;
        self.usage.cloud_bytes += size_of_val(clip) as u64;
        let rule = self.rule;
        let (answer, problem, refused) = match service::ask(&self.service, clip) {
            Ok(answer) => {
                let unsure = self.windows.peek(frames).filter(|placed| rule.is_unsure(placed.frame.score));
                let missing = unsure.filter(|placed| answer.score(placed, from).is_none()).count();
                let problem = (missing > 0).then(|| Error::new(format!("the answer lacks {missing} of the frames")));
                (Some(answer), problem, Ok(()))
            }
            Err(NoAnswer::Failed(error)) => (None, Some(error), Ok(())),
            Err(NoAnswer::Refused(error)) => (None, None, Err(error)),
        };
        self.usage.failures += u64::from(problem.is_some() || refused.is_err());
        if let Some(problem) = problem {
            let service = self.service.as_str();
            warn!("service '{service}', asked about {ms} ms of sound: {problem}; the edge decides alone");
        }
        self.settle(frames, |placed| {
            let edge = placed.frame.score;
            if !rule.is_unsure(edge) {
                return (edge, Source::Edge);
            }
            match answer.as_ref().and_then(|answer| answer.score(placed, from)) {
                Some(score) => (rule.squeeze(score), Source::Cloud),
                None => (edge, Source::EdgeFallback),
            }
        });
        refused
    }

    fn settle(&mut self, frames: usize, verdict: impl Fn(&Placed) -> (f32, Source)) {
        let Self { windows, segmenter, lines, now_ms, report, .. } = self;
        for placed in windows.take(frames) {
            let (score, source) = verdict(&placed);
            let Frame { start_ms, end_ms, score: edge_score } = placed.frame;
            *now_ms = end_ms;
            match report {
                Report::Scores => lines.push(Line::Score {
                    start_ms,
                    end_ms,
                    score: rounded(score),
                    edge_score: rounded(edge_score),
                    source,
                }),
                Report::Events => {
                    segmenter.push(Frame { score, ..placed.frame }, |event| lines.push(Line::Event(event.into())))
                }
            }
        }
    }

    fn write(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        self.lines.drain(..).try_for_each(|line| out.emit_json(&line))
    }
}
