//! Problem: models want audio at one rate and in one channel, callers send whatever they have, in any pieces.
//!
//! Answer: [`mixdown`], a streaming [`Resampler`] and a [`Framer`] that cuts a stream into fixed frames.
//!
//! Not here: effects. No allocation per call once buffers have grown to the size of a chunk.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod resampler;

pub use resampler::{Quality, Resampler};

use alloc::vec::Vec;

/// Appends the average of the channels of interleaved `samples` to `out`. Samples that are not finite become 0: one
/// NaN would live on for ever in a recurrent model.
pub fn mixdown(samples: &[f32], channels: usize, out: &mut Vec<f32>) {
    let scale = 1.0 / channels as f32;
    let sane = |x: f32| if x.is_finite() { x } else { 0.0 };
    out.extend(samples.chunks_exact(channels).map(|frame| sane(frame.iter().sum::<f32>() * scale)));
}

/// Appends every `channels`-th sample from `channel` on to `out`; what is not finite becomes 0.
pub fn pick(samples: &[f32], channels: usize, channel: usize, out: &mut Vec<f32>) {
    let sane = |x: f32| if x.is_finite() { x } else { 0.0 };
    out.extend(samples.chunks_exact(channels).map(|frame| sane(frame[channel])));
}

/// Interleaves channels of the same length.
pub fn interleave<'a>(channels: impl ExactSizeIterator<Item = &'a [f32]> + Clone, out: &mut Vec<f32>) {
    let frames = channels.clone().map(<[f32]>::len).min().unwrap_or(0);
    for frame in 0..frames {
        out.extend(channels.clone().map(|channel| channel[frame]));
    }
}

/// Cuts a stream into frames of a fixed length, holding back what does not fill one.
#[derive(Clone, Debug)]
pub struct Framer {
    frame: usize,
    rest: Vec<f32>,
}

impl Framer {
    /// Frames of `frame` samples, at least 1.
    pub fn new(frame: usize) -> Self {
        Self { frame, rest: Vec::with_capacity(frame) }
    }

    /// Calls `each` with every frame that `samples` completes.
    pub fn push(&mut self, mut samples: &[f32], mut each: impl FnMut(&[f32])) {
        if !self.rest.is_empty() {
            let missing = (self.frame - self.rest.len()).min(samples.len());
            let (head, tail) = samples.split_at(missing);
            self.rest.extend_from_slice(head);
            if self.rest.len() < self.frame {
                return;
            }
            each(&self.rest);
            self.rest.clear();
            samples = tail;
        }
        let mut frames = samples.chunks_exact(self.frame);
        frames.by_ref().for_each(&mut each);
        self.rest.extend_from_slice(frames.remainder());
    }

    /// Calls `each` with the held back samples, filled up with zeros, if there are any; returns how many there were.
    pub fn finish(&mut self, each: impl FnOnce(&[f32])) -> usize {
        let held = self.rest.len();
        if held > 0 {
            self.rest.resize(self.frame, 0.0);
            each(&self.rest);
            self.rest.clear();
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn mixdown_averages_and_drops_what_is_not_finite() {
        let mut out = vec![];
        mixdown(&[1.0, 0.0, f32::NAN, 1.0, f32::INFINITY, 0.0], 2, &mut out);
        assert_eq!(out, [0.5, 0.0, 0.0]);
    }

    #[test]
    fn frames_do_not_depend_on_how_the_stream_is_cut() {
        let stream: Vec<f32> = (0..100).map(|i| i as f32).collect();
        for piece in 1..=40 {
            let (mut framer, mut got) = (Framer::new(16), vec![]);
            for chunk in stream.chunks(piece) {
                framer.push(chunk, |frame| got.push(frame.to_vec()));
            }
            assert_eq!(framer.finish(|frame| got.push(frame.to_vec())), 4);
            let flat = got.concat();
            assert_eq!(flat.len(), 112);
            assert_eq!(flat[..100], stream);
            assert_eq!(flat[100..], [0.0; 12]);
        }
    }
}
