//! The service's side of a question: one call, and what its answer says about each frame.

use crate::window::Placed;
use alloc::{string::ToString, vec::Vec};
use remotemedia_guest::remote::{self, RemoteStatus};
use remotemedia_guest::{Error, from_json};
use serde::Deserialize;
use vad::SAMPLE_RATE;

/// Why there is no answer.
pub enum NoAnswer {
    /// The edge goes on by itself.
    Failed(Error),
    /// The application has not set the node up for this: it has to know.
    Refused(Error),
}

/// Scores of a clip.
pub struct Answer(Vec<Score>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Score {
    start_ms: f64,
    end_ms: f64,
    score: f32,
}

/// Asks about a clip of 16 kHz mono.
pub fn ask(service: &str, clip: &[f32]) -> Result<Answer, NoAnswer> {
    let answer = remote::call_audio(service, clip, SAMPLE_RATE, 1).map_err(|error| match error.status {
        RemoteStatus::NotAllowed | RemoteStatus::UnknownName => NoAnswer::Refused(Error::new(error.to_string())),
        _ => NoAnswer::Failed(Error::new(error.to_string())),
    })?;
    let scores: Vec<Score> = from_json(&answer, "the answer").map_err(NoAnswer::Failed)?;
    match scores.iter().all(|score| (0.0..=1.0).contains(&score.score)) {
        true => Ok(Answer(scores)),
        false => Err(NoAnswer::Failed("the answer has a score that is not from 0 to 1".into())),
    }
}

impl Answer {
    /// The score of what is heard in the middle of a frame; `from` is where the clip begins.
    pub fn score(&self, placed: &Placed, from: u64) -> Option<f32> {
        let samples = (placed.start - from) as f64 + (placed.end - placed.start) as f64 / 2.0;
        let middle = samples * 1_000.0 / f64::from(SAMPLE_RATE);
        let found = self.0.iter().find(|score| score.start_ms <= middle && middle < score.end_ms);
        found.map(|score| score.score)
    }
}
