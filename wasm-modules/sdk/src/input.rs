//! One input: its bytes at once, its metadata when asked for.

use crate::{
    Error, Kind, de, host,
    json::{self, Json},
    sys,
};
use alloc::{format, string::String, vec::Vec};
use core::cell::OnceCell;
use serde::de::DeserializeOwned;

/// What the host says about an input. Fields that do not apply to its kind are `None`.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// What the bytes are.
    pub kind: Kind,
    /// Session this input belongs to.
    pub session_id: String,
    /// Index of the input in its stream.
    pub sequence: u64,
    /// Milliseconds, if the sender gave a time.
    pub timestamp_ms: Option<f64>,
    /// Audio: Hz, as the sender gave it; [`Input::audio`] gives the checked integer.
    pub sample_rate: Option<f64>,
    /// Audio: interleaved channels, 1 if absent.
    pub channels: Option<f64>,
    /// Video: pixel format, such as `rgb24`. Audio: sample format of the sender.
    pub format: Option<String>,
    /// Video: pixels.
    pub width: Option<u32>,
    /// Video: pixels.
    pub height: Option<u32>,
    /// Tensor: element type, such as `float32`.
    pub dtype: Option<String>,
    /// Tensor: elements per axis, outermost first.
    pub shape: Option<Vec<u32>>,
}

/// Audio as it lies in the input buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Audio<'a> {
    /// Interleaved samples, nominally -1..1; a whole number of frames. Nobody promises that they are finite.
    pub samples: &'a [f32],
    /// Hz.
    pub sample_rate: u32,
    /// At least 1.
    pub channels: usize,
}

/// One input of a node.
pub struct Input<'a> {
    bytes: &'a [u8],
    meta: OnceCell<Meta>,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, meta: OnceCell::new() }
    }

    /// The payload. Host buffers are 8-byte aligned, the slice is gone after `process` returns.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What the host says about this input; asked for once, at the first call.
    pub fn meta(&self) -> Result<&Meta, Error> {
        match self.meta.get() {
            Some(meta) => Ok(meta),
            None => {
                let meta = Meta::from_json(&meta_json()?)?;
                Ok(self.meta.get_or_init(|| meta))
            }
        }
    }

    /// What the bytes are.
    pub fn kind(&self) -> Result<Kind, Error> {
        Ok(self.meta()?.kind)
    }

    /// The sender's own `metadata` object, deserialized into a type of the node's choice.
    pub fn metadata<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let json = meta_json()?;
        typed(json.get("metadata").unwrap_or(&Json::Null), "input metadata")
    }

    /// The payload as UTF-8.
    pub fn text(&self) -> Result<&'a str, Error> {
        core::str::from_utf8(self.bytes).map_err(|e| Error::new(format!("input is not UTF-8: {e}")))
    }

    /// The payload, parsed as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let json = json::parse(self.bytes).ok_or("input is not JSON")?;
        typed(&json, "input")
    }

    /// The payload as audio; an error if it is of another kind, has no sample rate or ends within a frame.
    pub fn audio(&self) -> Result<Audio<'a>, Error> {
        let meta = self.meta()?;
        if meta.kind != Kind::Audio {
            return Err(Error::new(format!("audio expected, input is {:?}", meta.kind)));
        }
        let rate = meta.sample_rate.ok_or("audio input without a sampleRate")?;
        let sample_rate =
            whole(rate, 1_000_000).ok_or_else(|| Error::new("sampleRate is not a whole number of Hz up to 1000000"))?;
        let channels = meta.channels.unwrap_or(1.0);
        let channels =
            whole(channels, 256).ok_or_else(|| Error::new("channels is not a whole number from 1 to 256"))?;
        let samples = self.f32s()?;
        let channels = channels as usize;
        if samples.len() % channels != 0 {
            return Err(Error::new(format!(
                "{} samples are no whole number of {channels}-channel frames",
                samples.len()
            )));
        }
        Ok(Audio { samples, sample_rate, channels })
    }

    /// The payload as little-endian f32, whatever its kind.
    pub fn f32s(&self) -> Result<&'a [f32], Error> {
        // SAFETY: every bit pattern is an f32, and wasm32 as well as the test hosts are little-endian.
        let (head, samples, tail) = unsafe { self.bytes.align_to::<f32>() };
        match (head, tail) {
            ([], []) => Ok(samples),
            ([], _) => Err(Error::new(format!("{} bytes are no whole number of 32-bit samples", self.bytes.len()))),
            _ => Err("input buffer is not aligned to 4 bytes".into()),
        }
    }
}

impl Meta {
    /// By hand: a derived implementation would be the largest function of a small module.
    fn from_json(json: &Json) -> Result<Self, Error> {
        let text = |key| json.get(key).and_then(Json::as_str).map(String::from);
        let number = |key| json.get(key).and_then(Json::as_f64);
        let pixels = |key| number(key).map(|n| n as u32);
        let kind = json.get("kind").and_then(Json::as_str).unwrap_or("binary");
        Ok(Self {
            kind: Kind::from_name(kind).ok_or_else(|| Error::new(format!("input is of unknown kind '{kind}'")))?,
            session_id: text("sessionId").unwrap_or_default(),
            sequence: number("sequence").unwrap_or_default() as u64,
            timestamp_ms: number("timestampMs"),
            sample_rate: number("sampleRate"),
            channels: number("channels"),
            format: text("format"),
            width: pixels("width"),
            height: pixels("height"),
            dtype: text("dtype"),
            shape: match json.get("shape") {
                Some(Json::List(axes)) => {
                    let axis = |n: &Json| n.as_f64().unwrap_or_default() as u32;
                    Some(axes.iter().map(axis).collect())
                }
                _ => None,
            },
        })
    }
}

fn meta_json() -> Result<Json, Error> {
    // SAFETY: `fetch` passes a buffer of the stated length.
    let text = host::fetch(|out, len| unsafe { sys::input_meta(out, len) });
    let text = text.map_err(host::call_error)?;
    json::parse(&text).ok_or_else(|| "input metadata is not JSON".into())
}

fn typed<T: DeserializeOwned>(json: &Json, what: &str) -> Result<T, Error> {
    de::from_json(json).map_err(|error| {
        let dot = if error.path.is_empty() { "" } else { "." };
        Error::new(format!("{what}{dot}{}: {}", error.path, error.problem))
    })
}

/// `value` as an integer if it is one between 1 and `max`.
fn whole(value: f64, max: u32) -> Option<u32> {
    let int = value as u32;
    (f64::from(int) == value && (1..=max).contains(&int)).then_some(int)
}

/// Deserializes JSON that came from somewhere else than the input, such as a service's answer; `what` names it in the error.
pub fn from_json<T: DeserializeOwned>(text: &[u8], what: &str) -> Result<T, Error> {
    let json = json::parse(text).ok_or_else(|| Error::new(format!("{what} is not JSON")))?;
    typed(&json, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn audio(meta: &str, bytes: &[u8]) -> Result<(usize, u32, usize), Error> {
        testing::reset();
        testing::set_meta(meta);
        // A Vec<u64> keeps the bytes as aligned as a host buffer.
        let mut store = std::vec![0u64; bytes.len() / 8 + 1];
        // SAFETY: the store is at least as long as `bytes`.
        let view = unsafe { core::slice::from_raw_parts_mut(store.as_mut_ptr().cast::<u8>(), bytes.len()) };
        view.copy_from_slice(bytes);
        let input = Input::new(view);
        input.audio().map(|a| (a.samples.len(), a.sample_rate, a.channels))
    }

    #[test]
    fn audio_is_checked() {
        let meta = r#"{"kind":"audio","sampleRate":48000.0,"channels":2}"#;
        assert_eq!(audio(meta, &[0; 16]), Ok((4, 48000, 2)));
        let text = |meta, len| audio(meta, &std::vec![0; len]).unwrap_err().message().into();
        let cases: [(&str, usize, &str); 5] = [
            (meta, 12, "whole number of 2-channel"),
            (meta, 15, "32-bit samples"),
            (r#"{"kind":"text"}"#, 4, "input is Text"),
            (r#"{"kind":"audio"}"#, 4, "sampleRate"),
            (r#"{"kind":"audio","sampleRate":0.5}"#, 4, "sampleRate is not"),
        ];
        for (meta, len, part) in cases {
            let message: String = text(meta, len);
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn channels_default_to_one() {
        assert_eq!(audio(r#"{"kind":"audio","sampleRate":8000}"#, &[0; 8]), Ok((2, 8000, 1)));
    }

    #[test]
    fn the_senders_metadata_takes_the_nodes_type() {
        testing::reset();
        testing::set_meta(r#"{"kind":"text","metadata":{"speaker":7}}"#);
        #[derive(serde::Deserialize)]
        struct Mine {
            speaker: u32,
        }
        assert_eq!(Input::new(b"").metadata::<Mine>().unwrap().speaker, 7);
    }
}
