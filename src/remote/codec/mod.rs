//! Packets to the bytes of a message and back.
//!
//! Problem: RemoteMedia's services take Python objects as json or as pickles, and their nodes expect certain objects for audio, text and
//! so on. Answer: a packet becomes a [`PyValue`] by their conventions (`python.rs`), and that becomes json (`json/`), a pickle (`pickle/`)
//! or plain bytes. Protocol v1 has messages of its own for each kind (`buffer.rs`). Everything that is read here may come from a stranger:
//! it is bounded (`limits.rs`), never executed, and refused with `ERR_SERIALIZATION`. Nothing here knows the network.

mod array;
mod audio;
pub mod buffer;
mod config;
mod dtype;
mod json;
mod limits;
mod literal;
mod pickle;
mod python;
mod value;

use bytes::Bytes;

pub use config::{config_strings, parse_config};
pub use dtype::{Dtype, Element, Order};
pub use limits::{Budget, MAX_DEPTH, MAX_INT_DIGITS};
pub use python::{from_value, session_of, to_value};
pub use value::{BigInt, NdArray, PyValue};

use crate::data::{Format, Kind, Packet, SessionId};
use crate::error::{Code, Error, Result};

/// How payloads are to be written: the option `format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadFormat {
    /// By the kind of each packet.
    #[default]
    Auto,
    /// As json.
    Json,
    /// As a pickle.
    Pickle,
    /// The packet's bytes as they are.
    Raw,
}

/// How one payload is written: `serialization_format` in protocol v0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Python's json.
    Json,
    /// Python's pickle, protocol 4.
    Pickle,
    /// Bytes without a format.
    Raw,
}

impl PayloadFormat {
    /// The format with this name in options.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "auto" => Self::Auto,
            "json" => Self::Json,
            "pickle" => Self::Pickle,
            "raw" => Self::Raw,
            _ => return None,
        })
    }

    /// What a packet is written as. Text and json go as json, which every language reads; for all else the stock nodes want numpy arrays
    /// or bytes, which only a pickle carries.
    pub fn wire_for(self, packet: &Packet) -> Wire {
        match (self, packet.kind()) {
            (Self::Json, _) | (Self::Auto, Kind::Text | Kind::Json) => Wire::Json,
            (Self::Raw, _) => Wire::Raw,
            (Self::Pickle, _) | (Self::Auto, Kind::Audio | Kind::Tensor | Kind::Video | Kind::Binary) => Wire::Pickle,
        }
    }
}

impl Wire {
    /// The format with this name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "json" => Self::Json,
            "pickle" => Self::Pickle,
            "raw" => Self::Raw,
            _ => return None,
        })
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Pickle => "pickle",
            Self::Raw => "raw",
        }
    }
}

/// A packet as the payload of a message.
pub fn encode(packet: &Packet, wire: Wire, session: Option<&SessionId>) -> Result<Bytes> {
    match (wire, packet.kind()) {
        (Wire::Raw, _) => Ok(packet.bytes.clone()),
        (Wire::Pickle, _) => pickle::dumps(&to_value(packet, session)?),
        // Json has no tuples, so no node would take a list for data with metadata: it goes alone.
        (Wire::Json, Kind::Text) => {
            let mut out = Vec::with_capacity(packet.bytes.len() + 2);
            json::string(python::text(packet)?, &mut out);
            Ok(out.into())
        }
        (Wire::Json, Kind::Json) if packet.bytes.is_empty() => Ok(Bytes::from_static(b"null")),
        (Wire::Json, Kind::Json) if json::strict(&packet.bytes).is_some() => Ok(packet.bytes.clone()),
        (Wire::Json, Kind::Json) => {
            // Numbers that only Python can hold, or no json at all.
            let mut budget = Budget::for_message(packet.bytes.len());
            let value = json::loads(&packet.bytes, &mut budget)?;
            Ok(json::dumps(&value, json::Dialect::Python, &mut budget)?.into())
        }
        (Wire::Json, kind) => Err(refused(format!("json cannot carry a packet of kind '{}'; use format 'pickle' or 'auto'", kind.name()))),
    }
}

/// The packet that a payload is: kind, format, metadata; `sequence` is 0.
pub fn decode(bytes: &Bytes, wire: Wire) -> Result<Packet> {
    let mut budget = Budget::for_message(bytes.len());
    match wire {
        Wire::Raw => Ok(Packet::binary(bytes.clone())),
        Wire::Json if json::strict(bytes) == Some(json::Strict::Other) => Ok(Packet::new(Format::Plain(Kind::Json), bytes.clone())),
        Wire::Json => python::read(json::loads(bytes, &mut budget)?, &mut budget),
        Wire::Pickle => python::read(pickle::loads(bytes, &mut budget)?, &mut budget),
    }
}

/// A value as the payload of a message.
pub fn encode_value(value: &PyValue, wire: Wire) -> Result<Bytes> {
    match (wire, value) {
        (Wire::Json, _) => Ok(json::dumps(value, json::Dialect::Python, &mut Budget::largest())?.into()),
        (Wire::Pickle, _) => pickle::dumps(value),
        (Wire::Raw, PyValue::Bytes(bytes)) => Ok(bytes.clone()),
        (Wire::Raw, PyValue::Str(text)) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        (Wire::Raw, _) => Err(refused(format!("format 'raw' carries bytes, not a {}", value.type_name()))),
    }
}

/// The value that a payload is.
pub fn decode_value(bytes: &Bytes, wire: Wire) -> Result<PyValue> {
    decode_value_within(bytes, wire, &mut Budget::for_message(bytes.len()))
}

/// [`decode_value`] with a budget that the caller keeps, to see what was taken.
pub fn decode_value_within(bytes: &Bytes, wire: Wire, budget: &mut Budget) -> Result<PyValue> {
    match wire {
        Wire::Json => json::loads(bytes, budget),
        Wire::Pickle => pickle::loads(bytes, budget),
        Wire::Raw => Ok(PyValue::Bytes(bytes.clone())),
    }
}

/// A payload that cannot be converted.
fn refused(problem: impl Into<String>) -> Error {
    Error::new(Code::Serialization, problem)
}
