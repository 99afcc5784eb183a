//! From scores to the start and end of speech.
//!
//! Speech starts when the score reaches the threshold and stays there for `min_speech_ms`; it ends when no frame
//! reached it for `min_silence_ms`. Both are reported late by those times, and `at_ms` says when they were. There is
//! no second, lower threshold for staying in speech: it was tried and lowered the F1 over the labelled recordings.

use crate::Frame;

/// How eager to be.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Score that starts speech, 0..1.
    pub threshold: f32,
    /// Shorter bursts are no speech.
    pub min_speech_ms: u64,
    /// Shorter pauses do not end it.
    pub min_silence_ms: u64,
    /// Moves starts back and ends on by this much.
    pub pad_ms: u64,
}

// The best frame F1 (0.93) over ten hand-labelled recordings; see examples/f1.rs.
impl Default for Tuning {
    fn default() -> Self {
        Self { threshold: 0.6, min_speech_ms: 64, min_silence_ms: 160, pad_ms: 0 }
    }
}

impl Tuning {
    /// The same if it makes sense, else which field of a node's config does not, and what it must be.
    pub fn checked(self) -> Result<Self, (&'static str, &'static str)> {
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            return Err(("threshold", "must be above 0 and below 1"));
        }
        let times =
            [("minSpeechMs", self.min_speech_ms), ("minSilenceMs", self.min_silence_ms), ("padMs", self.pad_ms)];
        match times.into_iter().find(|(_, value)| *value > 10_000) {
            Some((field, _)) => Err((field, "must be 10000 or less")),
            None => Ok(self),
        }
    }
}

/// Something happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// Speech began at `at_ms`.
    Start {
        /// Time of the first frame, less the padding.
        at_ms: u64,
        /// Score of the first frame.
        score: f32,
    },
    /// Speech that began at `start_ms` ended at `at_ms`.
    End {
        /// As in its [`Event::Start`].
        start_ms: u64,
        /// Time after the last frame of speech, plus the padding.
        at_ms: u64,
        /// Mean over the frames from the first to the last one of speech.
        mean_score: f32,
    },
}

/// Turns frames into events.
#[derive(Clone, Debug)]
pub struct Segmenter {
    tuning: Tuning,
    run: Option<Run>,
    /// Where the last segment ended: the next one starts no earlier.
    floor_ms: u64,
}

/// A stretch of what may be speech.
#[derive(Clone, Debug)]
struct Run {
    start_ms: u64,
    /// End of its last frame of speech.
    last_ms: u64,
    first_score: f32,
    announced: bool,
    /// Scores up to the last frame of speech, and since then.
    sum: f32,
    count: u32,
    pause_sum: f32,
    pause_count: u32,
}

impl Segmenter {
    /// No speech yet.
    pub fn new(tuning: Tuning) -> Self {
        Self { tuning, run: None, floor_ms: 0 }
    }

    /// Takes the next frame; calls `each` with an event if it makes one.
    pub fn push(&mut self, frame: Frame, each: impl FnMut(Event)) {
        let tuning = self.tuning;
        match &mut self.run {
            None if frame.score >= tuning.threshold => {
                self.run = Some(Run {
                    start_ms: frame.start_ms.saturating_sub(tuning.pad_ms).max(self.floor_ms),
                    last_ms: frame.end_ms,
                    first_score: frame.score,
                    announced: false,
                    sum: frame.score,
                    count: 1,
                    pause_sum: 0.0,
                    pause_count: 0,
                });
            }
            None => return,
            Some(run) if frame.score >= tuning.threshold => {
                run.last_ms = frame.end_ms;
                run.sum += run.pause_sum + frame.score;
                run.count += run.pause_count + 1;
                (run.pause_sum, run.pause_count) = (0.0, 0);
            }
            Some(run) if !run.announced => {
                self.run = None;
                return;
            }
            Some(run) => {
                run.pause_sum += frame.score;
                run.pause_count += 1;
            }
        }
        self.settle(frame.end_ms, each);
    }

    /// End of a stream at `end_ms`: an open segment ends here.
    pub fn finish(&mut self, end_ms: u64, each: impl FnOnce(Event)) {
        if let Some(run) = self.run.take().filter(|run| run.announced) {
            each(self.end(run, end_ms));
        }
    }

    fn settle(&mut self, now_ms: u64, mut each: impl FnMut(Event)) {
        let tuning = self.tuning;
        let Some(run) = &mut self.run else { return };
        let spoken = u64::from(run.count) * 16;
        if !run.announced && spoken >= tuning.min_speech_ms {
            run.announced = true;
            each(Event::Start { at_ms: run.start_ms, score: run.first_score });
        }
        if run.announced
            && run.pause_count > 0
            && now_ms - run.last_ms >= tuning.min_silence_ms
            && let Some(run) = self.run.take()
        {
            each(self.end(run, u64::MAX));
        }
    }

    fn end(&mut self, run: Run, limit_ms: u64) -> Event {
        self.floor_ms = (run.last_ms + self.tuning.pad_ms).min(limit_ms);
        Event::End { start_ms: run.start_ms, at_ms: self.floor_ms, mean_score: run.sum / run.count as f32 }
    }
}
