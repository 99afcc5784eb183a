//! The kinds of payload, their numbers in the guest ABI, and what describes each one's bytes.

use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};

/// Kind of a payload; the discriminants are the guest ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Kind {
    /// Bytes as they are.
    Binary = 0,
    /// UTF-8.
    Text = 1,
    /// UTF-8 JSON.
    Json = 2,
    /// Interleaved f32, little-endian.
    Audio = 3,
    /// Row-major, little-endian.
    Tensor = 4,
    /// Pixel data.
    Video = 5,
}

impl Kind {
    /// Every kind, in the order of the ABI's numbers.
    pub const ALL: [Kind; 6] = [Kind::Binary, Kind::Text, Kind::Json, Kind::Audio, Kind::Tensor, Kind::Video];

    /// The kind with this number in the guest ABI.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i32 == number)
    }

    /// The kind with this name in JavaScript.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name in JavaScript and in metadata.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Binary => "binary",
            Kind::Text => "text",
            Kind::Json => "json",
            Kind::Audio => "audio",
            Kind::Tensor => "tensor",
            Kind::Video => "video",
        }
    }
}

/// What, beside its kind, describes a payload's bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Nothing more is known or needed (binary, text, json).
    Plain(Kind),
    /// Samples per second and channel count.
    Audio {
        /// Samples per second of one channel.
        sample_rate: f64,
        /// Interleaved channels, at least 1.
        channels: u32,
    },
    /// Element type and sizes of the dimensions, outermost first.
    Tensor {
        /// Such as `float32`.
        dtype: String,
        /// Sizes, outermost first.
        shape: Vec<u64>,
    },
    /// Size in pixels and pixel format.
    Video {
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
        /// Such as `rgb24`.
        format: String,
    },
}

/// The keys of [`Format`] in metadata; they never appear in a packet's own metadata.
pub const FORMAT_KEYS: [&str; 7] = ["sampleRate", "channels", "dtype", "shape", "width", "height", "format"];

impl Format {
    /// The kind that this describes.
    pub fn kind(&self) -> Kind {
        match self {
            Format::Plain(kind) => *kind,
            Format::Audio { .. } => Kind::Audio,
            Format::Tensor { .. } => Kind::Tensor,
            Format::Video { .. } => Kind::Video,
        }
    }

    /// Reads the description of a `kind` out of a guest's metadata; what it does not say comes from the input that it answers.
    pub fn read(kind: Kind, meta: &Map<String, Value>, input: &Format) -> Result<Self> {
        let bad = |key: &str| Error::new(Code::Abi, format!("the guest's metadata for {} has no usable '{key}'", kind.name()));
        Ok(match kind {
            Kind::Binary | Kind::Text | Kind::Json => Format::Plain(kind),
            Kind::Audio => {
                let (rate, count) = match input {
                    Format::Audio { sample_rate, channels } => (Some(*sample_rate), Some(*channels)),
                    _ => (None, None),
                };
                let sample_rate = number(meta, "sampleRate").or(rate).filter(|rate| *rate > 0.0).ok_or_else(|| bad("sampleRate"))?;
                let channels = meta.get("channels").and_then(whole).or(count).unwrap_or(1);
                if channels == 0 {
                    return Err(bad("channels"));
                }
                Format::Audio { sample_rate, channels }
            }
            Kind::Tensor => {
                let given = (meta.get("dtype").and_then(Value::as_str), meta.get("shape").and_then(Value::as_array));
                match (given, input) {
                    ((Some(dtype), Some(shape)), _) => {
                        let shape = shape.iter().map(Value::as_u64).collect::<Option<Vec<_>>>().ok_or_else(|| bad("shape"))?;
                        Format::Tensor { dtype: dtype.to_owned(), shape }
                    }
                    (_, Format::Tensor { .. }) => input.clone(),
                    ((None, _), _) => return Err(bad("dtype")),
                    _ => return Err(bad("shape")),
                }
            }
            Kind::Video => {
                let (w, h, f) = match input {
                    Format::Video { width, height, format } => (Some(*width), Some(*height), Some(format.as_str())),
                    _ => (None, None, None),
                };
                Format::Video {
                    width: meta.get("width").and_then(whole).or(w).ok_or_else(|| bad("width"))?,
                    height: meta.get("height").and_then(whole).or(h).ok_or_else(|| bad("height"))?,
                    format: meta.get("format").and_then(Value::as_str).or(f).ok_or_else(|| bad("format"))?.to_owned(),
                }
            }
        })
    }

    /// Writes the description into metadata for a guest.
    pub fn write(&self, meta: &mut Map<String, Value>) {
        match self {
            Format::Plain(_) => {}
            Format::Audio { sample_rate, channels } => {
                meta.insert("sampleRate".into(), json_number(*sample_rate));
                meta.insert("channels".into(), (*channels).into());
            }
            Format::Tensor { dtype, shape } => {
                meta.insert("dtype".into(), dtype.as_str().into());
                meta.insert("shape".into(), shape.clone().into());
            }
            Format::Video { width, height, format } => {
                meta.insert("width".into(), (*width).into());
                meta.insert("height".into(), (*height).into());
                meta.insert("format".into(), format.as_str().into());
            }
        }
    }
}

fn number(meta: &Map<String, Value>, key: &str) -> Option<f64> {
    meta.get(key).and_then(Value::as_f64)
}

fn whole(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

/// A whole number stays one (`16000`, not `16000.0`): guests often parse rates as integers.
fn json_number(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "whole and in range, as just checked")]
    if number.fract() == 0.0 && number.abs() < 9e15 { (number as i64).into() } else { number.into() }
}
