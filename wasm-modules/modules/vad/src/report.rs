//! What the nodes that use the detector put out. Shared, so that whoever reads the events of one reads those of the other.

use crate::Event;
use serde::{Deserialize, Serialize};

/// What is put out.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// Start and end of speech.
    Events,
    /// Every frame.
    Scores,
}

/// An event as JSON.
#[derive(Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum EventLine {
    #[serde(rename_all = "camelCase")]
    Start { r#type: &'static str, at_ms: u64, score: f32 },
    #[serde(rename_all = "camelCase")]
    End { r#type: &'static str, at_ms: u64, start_ms: u64, duration_ms: u64, mean_score: f32 },
}

impl From<Event> for EventLine {
    fn from(event: Event) -> Self {
        match event {
            Event::Start { at_ms, score } => Self::Start { r#type: "speech_start", at_ms, score: rounded(score) },
            Event::End { start_ms, at_ms, mean_score } => Self::End {
                r#type: "speech_end",
                at_ms,
                start_ms,
                duration_ms: at_ms - start_ms,
                mean_score: rounded(mean_score),
            },
        }
    }
}

/// Four digits are more than the model means, and keep the JSON short.
pub fn rounded(score: f32) -> f32 {
    (score * 10_000.0 + 0.5) as u32 as f32 / 10_000.0
}
