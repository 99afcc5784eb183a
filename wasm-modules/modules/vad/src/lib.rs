//! Problem: tell when somebody speaks, at once, next to the caller, for thousands of streams.
//!
//! Answer: the `earshot` model (16 kHz, one score per 16 ms frame) behind [`Detector`], which takes chunks of any
//! size; [`Segmenter`], which turns scores into the start and end of speech; and the node, which takes any sample
//! rate and channel count. The first two are a plain library: they know nothing of WebAssembly. What a node around
//! them needs, [`Intake`] and [`EventLine`], is shared with `hybrid-vad`, which leaves the feature `module` out.
//!
//! It does not tell speakers apart, and music with singing counts as speech.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod intake;
mod node;
mod report;
mod segment;

pub use intake::{Format, Intake};
pub use node::Vad;
pub use report::{EventLine, Report, rounded};
pub use segment::{Event, Segmenter, Tuning};

use remotemedia_dsp::Framer;

#[cfg(feature = "module")]
remotemedia_guest::no_std_runtime!();
#[cfg(feature = "module")]
remotemedia_guest::export_node!(Vad);

/// Hz that the model wants.
pub const SAMPLE_RATE: u32 = 16_000;
/// Samples per frame: 16 ms.
pub const FRAME: usize = 256;
const SAMPLES_PER_MS: u64 = 16;

/// The score of one frame. Times count the audio that the detector was given, from its first sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Where the frame starts.
    pub start_ms: u64,
    /// Where it ends: 16 ms later, or sooner for the last one of a stream.
    pub end_ms: u64,
    /// 0 (no speech) to 1.
    pub score: f32,
}

/// Scores a stream of 16 kHz mono audio. State is about 14 KB, and lives inline: box it where the stack is small.
pub struct Detector {
    model: earshot::Detector,
    framer: Framer,
    /// Samples in all frames so far.
    scored: u64,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// Has heard nothing yet.
    pub fn new() -> Self {
        Self { model: earshot::Detector::default(), framer: Framer::new(FRAME), scored: 0 }
    }

    /// Takes `samples` (-1..1, louder ones are cut off) and calls `each` for every frame that they complete.
    pub fn push(&mut self, samples: &[f32], mut each: impl FnMut(Frame)) {
        let Self { model, framer, scored } = self;
        framer.push(samples, |frame| each(score(model, frame, FRAME, scored)));
    }

    /// End of a stream: scores what is left over, filled up with silence. The clock and the model's memory go on.
    pub fn finish(&mut self, each: impl FnOnce(Frame)) {
        let Self { model, framer, scored } = self;
        let mut last = [0.0; FRAME];
        let held = framer.finish(|frame| last.copy_from_slice(frame));
        if held > 0 {
            each(score(model, &last, held, scored));
        }
    }
}

fn score(model: &mut earshot::Detector, frame: &[f32], len: usize, scored: &mut u64) -> Frame {
    let mut clean = [0.0; FRAME];
    for (to, from) in clean.iter_mut().zip(frame) {
        // A NaN would stay in the memory of the model for ever.
        *to = if from.is_nan() { 0.0 } else { from.clamp(-1.0, 1.0) };
    }
    let start = *scored;
    *scored += len as u64;
    Frame { start_ms: start / SAMPLES_PER_MS, end_ms: *scored / SAMPLES_PER_MS, score: model.predict_f32(&clean) }
}

#[cfg(test)]
mod tests;
