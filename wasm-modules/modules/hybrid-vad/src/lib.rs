//! Problem: a small model at the edge is sure about most of what it hears and wrong where it is not; a large one in the
//! cloud is better, but sending it everything costs time, money and privacy.
//!
//! Answer: the node `vad`, which asks a remote service about the frames that it is unsure of. A frame whose score is
//! below `low` or above `high` is decided at once. The first one between opens a window of `hopMs`; when the window is
//! over, the service is asked about it in one call, with the `contextMs` of sound before it, and windows that follow
//! each other closely in one input share a call. Only the unsure frames take the service's score. When the service
//! fails, the edge's own scores stand and the log says so, once a window.
//!
//! **The service.** It is called (`env.call_remote_service`) with one packet of audio: 16 kHz, mono, f32. It keeps
//! nothing between calls: a clip stands alone, and its first moments are as good as the rest (Silero VAD, say, is given
//! a moment of silence first). It answers with a JSON array of `{ startMs, endMs, score }`, in order and without gaps,
//! where times count from the start of the clip and scores are 0 (no speech) to 1, 0.5 being the line; 32 ms apiece is
//! what the windows are made for. Anything else counts as a failure.
//!
//! **Scores.** The service's score is squeezed into `low..high`, so that one threshold, the middle unless the config
//! says otherwise, serves the sure and the unsure frames.
//!
//! It is not for `vad`'s uses without a remote: it imports `env`, which only a HybridWasmNode is granted.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod node;
mod options;
mod service;
mod window;

pub use node::HybridVad;

remotemedia_guest::no_std_runtime!();
remotemedia_guest::export_node!(HybridVad);

#[cfg(test)]
mod tests;
