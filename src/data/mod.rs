//! The one currency of all floors: packets of bytes with a kind, a description and a place in a session.
//!
//! Problem: an item passes from JavaScript through a guest, a network call and back, and must neither lose its description nor be
//! converted at each step. Answer: [`Packet`] carries the bytes in the guest ABI's layout from end to end. It does not convert between
//! JavaScript values and bytes (`binding/convert.rs`) nor between bytes and wire messages (`remote/codec/`).

mod id;
mod kind;
mod trace;

pub use bytes::Bytes;
pub use id::{MAX_SESSION_ID_BYTES, SessionId};
pub use kind::{FORMAT_KEYS, Format, Kind};
pub use serde_json::{Map, Value};
use std::sync::Arc;
pub use trace::{Trace, TraceContext, Traced};

/// One item: what goes into a node and what comes out.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The payload in the guest ABI's byte layout.
    pub bytes: Bytes,
    /// Kind and description of the bytes.
    pub format: Format,
    /// Position in its stream of the input that this is or answers, counted from 0.
    pub sequence: u64,
    /// The caller's own time stamp in milliseconds, carried along.
    pub timestamp_ms: Option<f64>,
    /// The caller's and the guest's own entries, carried along; never the keys of [`Format`].
    pub metadata: Option<Arc<Map<String, Value>>>,
    /// What the last router that it went through did with it, for `packet.route` in JavaScript.
    pub route: Option<Arc<Value>>,
    /// What done with it is a part of; nothing where nobody asked. It ends when the last packet that belongs to it goes.
    pub trace: Option<Trace>,
}

impl Packet {
    /// A packet with nothing but its payload.
    pub fn new(format: Format, bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), format, sequence: 0, timestamp_ms: None, metadata: None, route: None, trace: None }
    }

    /// A binary packet.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::new(Format::Plain(Kind::Binary), bytes)
    }

    /// Interleaved f32 samples.
    pub fn audio(samples: &[f32], sample_rate: f64, channels: u32) -> Self {
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        Self::new(Format::Audio { sample_rate, channels }, bytes)
    }

    /// The kind of the payload.
    pub fn kind(&self) -> Kind {
        self.format.kind()
    }
}
