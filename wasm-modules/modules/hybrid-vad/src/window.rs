//! Which frames to ask about, together with what sound. Knows of no service and no node.

use alloc::{collections::VecDeque, vec::Vec};
use vad::{FRAME, Frame};

/// Samples of the service's frame, two of the edge's. Nothing breaks if a clip is no whole number of them, but the last
/// score is then a guess about silence.
const SERVICE_FRAME: u64 = 2 * FRAME as u64;
/// Frames in one call at most, context included: 10 s, which is 640 KB, whatever is left between uncertain moments.
const MAX_FRAMES: usize = 625;
const FRAME_MS: u32 = 16;

/// When to ask.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub low: f32,
    pub high: f32,
    /// Frames.
    context: usize,
    hop: usize,
}

impl Rule {
    pub fn new(low: f32, high: f32, context_ms: u32, hop_ms: u32) -> Self {
        Self { low, high, context: (context_ms / FRAME_MS) as usize, hop: (hop_ms / FRAME_MS) as usize }
    }

    pub fn is_unsure(&self, score: f32) -> bool {
        (self.low..=self.high).contains(&score)
    }

    /// A service's score where the edge is unsure, so that the edge's sure scores stay on their sides of it.
    pub fn squeeze(&self, score: f32) -> f32 {
        self.low + (self.high - self.low) * score
    }
}

/// A frame with its place in the sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    pub frame: Frame,
    /// Samples since the beginning.
    pub start: u64,
    pub end: u64,
}

/// What to do with the frames that come next.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// So many are sure.
    Sure(usize),
    /// So many need an answer, which is about the sound from this sample to the end of the last.
    Ask { frames: usize, from: u64 },
    /// Nothing yet, or no more.
    Wait,
}

/// Frames that are not decided, and the sound that may have to be sent for them.
pub struct Windows {
    rule: Rule,
    frames: VecDeque<Placed>,
    sound: Vec<f32>,
    /// Where `sound` begins, in samples since the beginning.
    sound_start: u64,
    /// Where the last frame ends.
    scored: u64,
}

impl Windows {
    pub fn new(rule: Rule) -> Self {
        Self { rule, frames: VecDeque::new(), sound: Vec::new(), sound_start: 0, scored: 0 }
    }

    /// Takes sound, as the detector hears it.
    pub fn hear(&mut self, samples: &[f32]) {
        // As in the detector: what is broken must not reach a model.
        self.sound.extend(samples.iter().map(|s| if s.is_nan() { 0.0 } else { s.clamp(-1.0, 1.0) }));
    }

    /// Takes a frame of the detector; the last one of a stream ends where the sound does.
    pub fn push(&mut self, frame: Frame) {
        let start = self.scored;
        self.scored = (start + FRAME as u64).min(self.sound_start + self.sound.len() as u64);
        self.frames.push_back(Placed { frame, start, end: self.scored });
    }

    /// What comes next; at the `end` of a stream a window that is not over is asked about as it is.
    pub fn next(&self, end: bool) -> Next {
        let Rule { context, hop, .. } = self.rule;
        match self.unsure_from(0) {
            None if self.frames.is_empty() => return Next::Wait,
            None => return Next::Sure(self.frames.len()),
            Some(0) => {}
            Some(sure) => return Next::Sure(sure),
        }
        let over = |start: usize| {
            let stop = start + hop;
            if stop <= self.frames.len() { Some(stop) } else { end.then_some(self.frames.len()) }
        };
        let Some(mut frames) = over(0) else { return Next::Wait };
        // What lies between two windows would be sent as context in any case.
        while let Some(start) = self.unsure_from(frames).filter(|start| start - frames <= context)
            && let Some(stop) = over(start).filter(|stop| stop + context <= MAX_FRAMES)
        {
            frames = stop;
        }
        Next::Ask { frames, from: self.clip_start(frames) }
    }

    fn clip_start(&self, frames: usize) -> u64 {
        let (Some(first), Some(last)) = (self.frames.front(), self.frames.get(frames - 1)) else { return self.scored };
        let from = first.start.saturating_sub((self.rule.context * FRAME) as u64).max(self.sound_start);
        // Early in a stream the context is cut short: by one more frame, if that makes whole frames of the service.
        let odd = (last.end - from) % SERVICE_FRAME;
        if odd > 0 && from + odd <= first.start { from + odd } else { from }
    }

    fn unsure_from(&self, start: usize) -> Option<usize> {
        let found = self.frames.iter().skip(start).position(|placed| self.rule.is_unsure(placed.frame.score));
        found.map(|position| start + position)
    }

    /// The frames that come next.
    pub fn peek(&self, frames: usize) -> impl Iterator<Item = &Placed> {
        self.frames.iter().take(frames)
    }

    /// The sound of a clip that [`Next::Ask`] named.
    pub fn clip(&self, frames: usize, from: u64) -> &[f32] {
        let to = self.frames.get(frames.wrapping_sub(1)).map_or(from, |placed| placed.end);
        let range = (from - self.sound_start) as usize..(to - self.sound_start) as usize;
        self.sound.get(range).unwrap_or_default()
    }

    /// Hands over the next frames: they are decided.
    pub fn take(&mut self, frames: usize) -> impl Iterator<Item = Placed> + '_ {
        self.frames.drain(..frames.min(self.frames.len()))
    }

    /// Forgets sound that no clip can need any more.
    pub fn forget(&mut self) {
        let first = self.frames.front().map_or(self.scored, |placed| placed.start);
        let needed = first.saturating_sub((self.rule.context * FRAME) as u64);
        let over = needed.saturating_sub(self.sound_start);
        self.sound.drain(..(over as usize).min(self.sound.len()));
        self.sound_start += over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// Windows after these scores in tenths, with a context of 2 frames and windows of 4; each sample is its frame's index.
    fn after(scores: &str) -> Windows {
        let mut windows = Windows::new(Rule::new(0.35, 0.65, 32, 64));
        add(&mut windows, scores);
        windows
    }

    fn add(windows: &mut Windows, scores: &str) {
        for tenths in scores.bytes() {
            let index = windows.scored / FRAME as u64;
            windows.hear(&vec![index as f32 / 1_000.0; FRAME]);
            let score = f32::from(tenths - b'0') / 10.0;
            windows.push(Frame { start_ms: index * 16, end_ms: index * 16 + 16, score });
        }
    }

    /// Frames at the start and end of the clip that is asked for.
    fn asked(windows: &Windows, end: bool) -> Option<(u64, usize)> {
        let Next::Ask { frames, from } = windows.next(end) else { return None };
        let clip = windows.clip(frames, from);
        assert_eq!(clip[0], (from / FRAME as u64) as f32 / 1_000.0, "the sound is that of its place");
        assert_eq!(clip.len() % FRAME, 0);
        Some((from / FRAME as u64, clip.len() / FRAME))
    }

    #[test]
    fn sure_frames_go_at_once_and_unsure_ones_open_a_window() {
        assert_eq!(after("").next(false), Next::Wait);
        assert_eq!(after("0190").next(false), Next::Sure(4));
        assert_eq!(after("01905").next(false), Next::Sure(4));
        let mut windows = after("0190511");
        assert_eq!(windows.take(4).count(), 4);
        assert_eq!(windows.next(false), Next::Wait, "the window is not over");
        assert_eq!(
            asked(&windows, true),
            Some((3, 4)),
            "at the end of a stream it is: one frame of context less, for whole service frames"
        );
        add(&mut windows, "1");
        assert_eq!(asked(&windows, false), Some((2, 6)));
    }

    #[test]
    fn windows_that_follow_closely_share_a_call() {
        assert_eq!(asked(&after("5111500"), false), Some((0, 4)), "the second is not over");
        assert_eq!(asked(&after("51115000"), false), Some((0, 8)));
        assert_eq!(asked(&after("5111005000"), false), Some((0, 10)));
        assert_eq!(asked(&after("51110005000"), false), Some((0, 4)), "three frames between are more than its context");
        let calm = "5".repeat(2_000);
        let (_, len) = asked(&after(&calm), false).unwrap();
        assert!((600..=MAX_FRAMES).contains(&len), "{len}");
    }

    #[test]
    fn the_first_context_of_a_stream_is_what_there_is() {
        let mut windows = after("15000");
        windows.take(1).for_each(drop);
        assert_eq!(asked(&windows, false), Some((1, 4)), "one frame of context would make no whole service frame");
        let mut windows = after("115000");
        windows.take(2).for_each(drop);
        assert_eq!(asked(&windows, false), Some((0, 6)));
    }

    #[test]
    fn only_sound_that_may_be_needed_is_kept() {
        let mut windows = after(&"1".repeat(1_000));
        windows.take(1_000).for_each(drop);
        windows.forget();
        assert_eq!(windows.sound.len(), 2 * FRAME);
        add(&mut windows, "5000");
        windows.forget();
        assert_eq!(asked(&windows, false), Some((998, 6)));
    }

    #[test]
    fn a_stream_may_end_within_a_frame_and_another_begin() {
        let mut windows = after("11");
        windows.take(2).for_each(drop);
        windows.hear(&[0.5; 100]);
        windows.push(Frame { start_ms: 32, end_ms: 38, score: 0.5 });
        let Next::Ask { frames: 1, from } = windows.next(true) else { panic!("{:?}", windows.next(true)) };
        assert_eq!((from, windows.clip(1, from).len()), (100, 2 * FRAME), "the context makes it whole");
        windows.take(1).for_each(drop);
        windows.forget();
        windows.hear(&[0.25; FRAME]);
        windows.push(Frame { start_ms: 38, end_ms: 54, score: 0.9 });
        assert_eq!(windows.peek(1).map(|placed| (placed.start, placed.end)).next(), Some((612, 868)));
    }
}
