//! Which Python object a packet is, and the reverse.
//!
//! Problem: RemoteMedia's nodes expect audio as a tuple of array and rate with metadata in a dict at its end, and take text, dicts and
//! arrays as they are. Answer: those conventions, in one place.
//!
//! | packet | written as | read from |
//! |---|---|---|
//! | audio | `(float32 array (channels, samples), rate[, dict])` | `(array, number[, dict])`, `((array, number), dict)` |
//! | video | `(uint8 array (height, width[, channels]), dict)` with width, height, format | the same |
//! | tensor | array | array |
//! | text | `str` | `str` |
//! | binary | `bytes` | `bytes` |
//! | json | what it says | everything else |
//!
//! Audio and video always carry the packet's metadata and the session, as `session_id`. The others are what a node wants by itself, so they
//! become a pair with the metadata only when it has one of the keys by which Python's own side tells metadata from data; a session alone
//! does not make a pair of them. A pair, or a longer tuple, that ends with such a dict is read as data with metadata.

use std::sync::Arc;

use super::json::{self, Dialect, stand_in};
use super::limits::Budget;
use super::value::{NdArray, PyValue};
use super::{audio, refused};
use crate::data::{Format, Kind, Map, Packet, SessionId, Value};
use crate::error::Result;
use crate::remote::codec::dtype::Dtype;

/// Name of the session in metadata.
const SESSION: &str = "session_id";
/// The keys by which the Python side takes a dict at the end of a tuple for metadata.
const METADATA_KEYS: [&str; 4] = [SESSION, "metadata", "user_name", "timestamp"];

/// The object that RemoteMedia's nodes expect for a packet.
pub fn to_value(packet: &Packet, session: Option<&SessionId>) -> Result<PyValue> {
    let metadata = packet.metadata.as_deref();
    match &packet.format {
        Format::Audio { sample_rate, channels } => {
            let samples = audio::to_array(&packet.bytes, *channels)?;
            let mut items = vec![PyValue::Array(samples), number(*sample_rate)];
            items.extend(dict(metadata, session, Vec::new())?);
            Ok(PyValue::Tuple(items))
        }
        Format::Video { width, height, format } => {
            let pixels = pixels(packet, *width, *height, format)?;
            let about = vec![
                ("width".into(), PyValue::Int((*width).into())),
                ("height".into(), PyValue::Int((*height).into())),
                ("format".into(), format.as_str().into()),
            ];
            let mut items = vec![PyValue::Array(pixels)];
            items.extend(dict(metadata, session, about)?);
            Ok(PyValue::Tuple(items))
        }
        Format::Tensor { dtype, shape } => {
            let numpy = Dtype::parse(dtype).ok_or_else(|| refused(format!("numpy has no dtype '{dtype}'")))?;
            with_metadata(PyValue::Array(NdArray::new(numpy, shape.clone(), false, packet.bytes.clone())?), metadata, session)
        }
        Format::Plain(Kind::Text) => with_metadata(PyValue::Str(text(packet)?.to_owned()), metadata, session),
        Format::Plain(Kind::Json) => with_metadata(json_value(packet)?, metadata, session),
        Format::Plain(_) => with_metadata(PyValue::Bytes(packet.bytes.clone()), metadata, session),
    }
}

/// The packet that an object is.
pub fn from_value(value: PyValue) -> Result<Packet> {
    read(value, &mut Budget::largest())
}

/// The session that a packet's metadata names, where it is a usable id.
pub fn session_of(packet: &Packet) -> Option<SessionId> {
    packet.metadata.as_ref()?.get(SESSION)?.as_str().and_then(|id| SessionId::new(id).ok())
}

/// [`from_value`] within what is left of a message's budget.
pub(super) fn read(value: PyValue, budget: &mut Budget) -> Result<Packet> {
    match value {
        PyValue::Tuple(items) => tuple(items, budget),
        other => data(other, budget),
    }
}

/// The text of a packet of kind `text`.
pub(super) fn text(packet: &Packet) -> Result<&str> {
    std::str::from_utf8(&packet.bytes).map_err(|error| refused(format!("the packet's text is no UTF-8 from byte {} on", error.valid_up_to())))
}

/// A packet of kind `json` that says what `value` is.
pub(super) fn json_packet(value: &PyValue, budget: &mut Budget) -> Result<Packet> {
    Ok(Packet::new(Format::Plain(Kind::Json), json::dumps(value, Dialect::JavaScript, budget)?))
}

fn json_value(packet: &Packet) -> Result<PyValue> {
    if packet.bytes.is_empty() {
        return Ok(PyValue::None);
    }
    stand_in::revive(json::loads(&packet.bytes, &mut Budget::for_message(packet.bytes.len()))?)
}

/// A rate is a whole number to Python wherever it is one.
fn number(number: f64) -> PyValue {
    if number.fract() == 0.0 && number.abs() < 9e15 { PyValue::Int(number as i64) } else { PyValue::Float(number) }
}

/// The dict at the end of a tuple; nothing where it would be empty.
fn dict(metadata: Option<&Map<String, Value>>, session: Option<&SessionId>, mut entries: Vec<(PyValue, PyValue)>) -> Result<Option<PyValue>> {
    for (key, value) in metadata.into_iter().flatten() {
        if !(key == SESSION && session.is_some()) {
            let text = value.to_string();
            let value = json::loads(text.as_bytes(), &mut Budget::for_message(text.len()))?;
            entries.push((key.as_str().into(), stand_in::revive(value)?));
        }
    }
    entries.extend(session.map(|session| (SESSION.into(), session.as_str().into())));
    Ok((!entries.is_empty()).then_some(PyValue::Dict(entries)))
}

fn with_metadata(data: PyValue, metadata: Option<&Map<String, Value>>, session: Option<&SessionId>) -> Result<PyValue> {
    if !metadata.is_some_and(|metadata| METADATA_KEYS.iter().any(|key| metadata.contains_key(*key))) {
        return Ok(data);
    }
    let mut items = vec![data];
    items.extend(dict(metadata, session, Vec::new())?);
    Ok(PyValue::Tuple(items))
}

/// Pixels as rows where the format says how long one is, else as one stretch of bytes.
fn pixels(packet: &Packet, width: u32, height: u32, format: &str) -> Result<NdArray> {
    let (width, height) = (u64::from(width), u64::from(height));
    let length = packet.bytes.len() as u64;
    let shape = match format {
        "rgb24" | "rgb" => vec![height, width, 3],
        "rgba32" | "rgba" => vec![height, width, 4],
        "gray8" | "gray" => vec![height, width],
        "yuv420p" | "i420" | "nv12" if height.is_multiple_of(2) => vec![height / 2 * 3, width],
        _ => vec![length],
    };
    let fits = shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size)) == Some(length);
    NdArray::new(Dtype::U8, if fits { shape } else { vec![length] }, false, packet.bytes.clone())
}

fn tuple(mut items: Vec<PyValue>, budget: &mut Budget) -> Result<Packet> {
    if let [PyValue::Tuple(inner), PyValue::Dict(_)] = &mut items[..]
        && sound(inner).is_some()
    {
        // What the stock voice detector answers: ((array, rate), dict).
        let inner = std::mem::take(inner);
        let about = items.pop();
        items = inner.into_iter().chain(about).collect();
    }
    if let Some((rate, channels)) = sound(&items) {
        let about = if items.len() == 3 { items.pop() } else { None };
        return named(audio::to_packet(array(items.swap_remove(0))?, rate, channels)?, about, budget);
    }
    if let Some(format) = picture(&items) {
        let about = items.pop().map(|about| without(about, &["width", "height", "format"]));
        return named(Packet::new(format, array(items.swap_remove(0))?.into_standard()?.data), about, budget);
    }
    let ends_with_metadata = items.last().is_some_and(|last| METADATA_KEYS.iter().any(|key| last.get(key).is_some()));
    if items.len() < 2 || !ends_with_metadata {
        return data(PyValue::Tuple(items), budget);
    }
    let about = items.pop();
    let packet = match items.len() {
        1 => data(items.remove(0), budget)?,
        _ => data(PyValue::Tuple(items), budget)?,
    };
    named(packet, about, budget)
}

fn array(value: PyValue) -> Result<NdArray> {
    match value {
        PyValue::Array(array) => Ok(array),
        other => Err(refused(format!("a {} where an array should be", other.type_name()))),
    }
}

/// Rate and channels, if the items are audio.
fn sound(items: &[PyValue]) -> Option<(f64, u32)> {
    let ([PyValue::Array(samples), rate] | [PyValue::Array(samples), rate, PyValue::Dict(_)]) = items else { return None };
    let rate = match rate {
        PyValue::Int(rate) => *rate as f64,
        PyValue::Float(rate) => *rate,
        _ => return None,
    };
    Some((rate, audio::channels(samples, rate)?))
}

/// The format, if the items are a picture.
fn picture(items: &[PyValue]) -> Option<Format> {
    let [PyValue::Array(pixels), about @ PyValue::Dict(_)] = items else { return None };
    let size = |key: &str| match about.get(key) {
        Some(PyValue::Int(size)) => u32::try_from(*size).ok().filter(|size| *size > 0),
        _ => None,
    };
    let (width, height) = (size("width")?, size("height")?);
    let Some(PyValue::Str(format)) = about.get("format") else { return None };
    (pixels.dtype.size() == 1).then(|| Format::Video { width, height, format: format.clone() })
}

fn without(dict: PyValue, keys: &[&str]) -> PyValue {
    let PyValue::Dict(mut entries) = dict else { return dict };
    entries.retain(|(key, _)| !matches!(key, PyValue::Str(key) if keys.contains(&key.as_str())));
    PyValue::Dict(entries)
}

/// A packet of an object that carries no metadata.
fn data(value: PyValue, budget: &mut Budget) -> Result<Packet> {
    match value {
        PyValue::Str(text) => Ok(Packet::new(Format::Plain(Kind::Text), text)),
        PyValue::Bytes(bytes) => Ok(Packet::binary(bytes)),
        PyValue::Array(array) => {
            let array = array.into_standard()?;
            Ok(Packet::new(Format::Tensor { dtype: array.dtype.name(), shape: array.shape }, array.data))
        }
        other => json_packet(&other, budget),
    }
}

/// The packet with a dict as its metadata.
fn named(mut packet: Packet, about: Option<PyValue>, budget: &mut Budget) -> Result<Packet> {
    if let Some(about) = about {
        let text = json::dumps(&about, Dialect::JavaScript, budget)?;
        let map: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| refused(format!("metadata: {error}")))?;
        packet.metadata = (!map.is_empty()).then(|| Arc::new(map));
    }
    Ok(packet)
}
