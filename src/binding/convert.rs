//! Items of JavaScript to packets.
//!
//! Bytes stay bytes: they are copied once into the packet, since the caller may change its array while the guest still waits its turn,
//! and once out of it (`settle.rs`). Only metadata and `json` payloads pass through JSON text.

use std::sync::Arc;

use super::error::{Failure, Outcome};
use super::value::{Element, Type, Value};
use crate::data::{Format, Kind, Map, Packet, Value as Json};
use crate::error::{Code, Error};

fn refused(problem: impl Into<String>) -> Failure {
    Error::new(Code::Serialization, problem).into()
}

/// A bare payload or a packet.
pub fn item(value: Value) -> Outcome<Packet> {
    // Bytes first: they are the items that come by the hundred thousand.
    if let Some((Element::U8, bytes)) = value.typed_array() {
        return Ok(Packet::binary(bytes.to_vec()));
    }
    if value.get_type() == Type::Object && value.typed_array().is_none() && !value.is_array() {
        let data = value.get("data")?;
        let is_tensor = !value.get("dtype")?.is_undefined() && !value.get("shape")?.is_undefined();
        if !data.is_undefined() && !is_tensor {
            return packet(value, data);
        }
    }
    payload(value, None)
}

fn packet(value: Value, data: Value) -> Outcome<Packet> {
    let kind = value.get("kind")?;
    let kind = match kind.text() {
        Some(name) => Some(Kind::from_name(&name).ok_or_else(|| refused(format!("kind: there is no kind '{name}'")))?),
        None if kind.is_undefined() => None,
        None => return Err(refused(format!("kind: must be a string, got {}", kind.get_type().name()))),
    };
    let mut packet = payload(data, kind)?;
    if let Some(kind) = kind.filter(|kind| *kind != packet.kind()) {
        return Err(refused(format!("kind: says '{}', the data is {}", kind.name(), packet.kind().name())));
    }
    let time = value.get("timestampMs")?;
    if !time.is_undefined() {
        let number = time.as_number().filter(|number| number.is_finite());
        packet.timestamp_ms = Some(number.ok_or_else(|| refused("timestampMs: must be a finite number"))?);
    }
    let metadata = value.get("metadata")?;
    if !metadata.is_undefined() {
        packet.metadata = metadata_of(metadata)?;
    }
    // A router's packet that goes through another node keeps what it says.
    let route = value.get("route")?;
    if route.get_type() == Type::Object {
        packet.route = serde_json::from_str(&json_text(route, "route")?).ok().map(Arc::new);
    }
    Ok(packet)
}

fn metadata_of(value: Value) -> Outcome<Option<Arc<Map<String, Json>>>> {
    let wrong = || refused("metadata: must be an object of JSON values");
    if value.get_type() != Type::Object || value.is_array() {
        return Err(wrong());
    }
    match serde_json::from_str(&json_text(value, "metadata")?) {
        Ok(Json::Object(map)) => Ok((!map.is_empty()).then(|| Arc::new(map))),
        _ => Err(wrong()),
    }
}

fn json_text(value: Value, what: &str) -> Outcome<String> {
    match value.to_json() {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(refused(format!("{what}: {} is no JSON value", value.get_type().name()))),
        Err(_) => {
            let why = Value::take_exception(value.env).and_then(|thrown| thrown.get("message").ok()?.text());
            Err(refused(format!("{what}: {}", why.unwrap_or_else(|| "no JSON value".into()))))
        }
    }
}

/// A payload by its shape. A kind that was stated tells JSON from what looks like text.
fn payload(value: Value, stated: Option<Kind>) -> Outcome<Packet> {
    if stated == Some(Kind::Json) {
        return Ok(Packet::new(Format::Plain(Kind::Json), json_text(value, "item")?.into_bytes()));
    }
    match value.get_type() {
        Type::String => Ok(Packet::new(Format::Plain(Kind::Text), value.text().unwrap_or_default().into_bytes())),
        Type::Object => object(value),
        Type::Number | Type::Boolean | Type::Null => Ok(Packet::new(Format::Plain(Kind::Json), json_text(value, "item")?.into_bytes())),
        other => Err(refused(format!("an item must be bytes, text, audio, a tensor, a video frame or JSON, got {}", other.name()))),
    }
}

fn object(value: Value) -> Outcome<Packet> {
    match value.typed_array() {
        Some((Element::U8, bytes)) => return Ok(Packet::binary(bytes.to_vec())),
        Some((Element::F32 | Element::I16, _)) => {
            return Err(refused("bare samples have no rate; give { samples, sampleRate }"));
        }
        Some((Element::Other, _)) => return Err(refused("of the typed arrays only Uint8Array is a payload by itself")),
        None => {}
    }
    if let Some(bytes) = value.array_buffer_bytes() {
        return Ok(Packet::binary(bytes.to_vec()));
    }
    if value.is_array() {
        return Ok(Packet::new(Format::Plain(Kind::Json), json_text(value, "item")?.into_bytes()));
    }
    let samples = value.get("samples")?;
    if !samples.is_undefined() && !value.get("sampleRate")?.is_undefined() {
        return audio(value, samples);
    }
    let shape = value.get("shape")?;
    if !value.get("data")?.is_undefined() && !value.get("dtype")?.is_undefined() && !shape.is_undefined() {
        return tensor(value, shape);
    }
    let pixels = value.get("pixels")?;
    if !pixels.is_undefined() && !value.get("width")?.is_undefined() && !value.get("height")?.is_undefined() {
        return video(value, pixels);
    }
    Ok(Packet::new(Format::Plain(Kind::Json), json_text(value, "item")?.into_bytes()))
}

fn audio(value: Value, samples: Value) -> Outcome<Packet> {
    let rate = value.get("sampleRate")?.as_number().filter(|rate| rate.is_finite() && *rate > 0.0 && *rate <= 1e7);
    let sample_rate = rate.ok_or_else(|| refused("sampleRate: must be a number above 0"))?;
    let channels = value.get("channels")?;
    let channels = if channels.is_undefined() { Some(1.0) } else { channels.as_number() };
    let channels = channels.and_then(|count| whole(count, 1.0, 1024.0)).ok_or_else(|| refused("channels: must be a whole number from 1"))?;
    let bytes = match samples.typed_array() {
        // Little-endian on every processor that Node runs on.
        Some((Element::F32, bytes)) => bytes.to_vec(),
        Some((Element::I16, bytes)) => {
            bytes.chunks_exact(2).flat_map(|pair| (f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0).to_le_bytes()).collect()
        }
        _ => return Err(refused("samples: must be a Float32Array or an Int16Array")),
    };
    if !(bytes.len() / 4).is_multiple_of(channels as usize) {
        return Err(refused(format!("samples: {} values do not divide into {channels} channels", bytes.len() / 4)));
    }
    Ok(Packet::new(Format::Audio { sample_rate, channels }, bytes))
}

fn tensor(value: Value, shape: Value) -> Outcome<Packet> {
    let data = value.get("data")?;
    let Some((Element::U8, bytes)) = data.typed_array() else {
        return Err(refused("data: a tensor's data must be a Uint8Array"));
    };
    let dtype = value.get("dtype")?.text().filter(|dtype| !dtype.is_empty()).ok_or_else(|| refused("dtype: must be text such as 'float32'"))?;
    if !shape.is_array() {
        return Err(refused("shape: must be an array of sizes"));
    }
    let mut sizes = Vec::new();
    for index in 0..shape.length() {
        let size = shape.at(index)?.as_number().and_then(|size| whole(size, 0.0, f64::from(u32::MAX)));
        sizes.push(u64::from(size.ok_or_else(|| refused(format!("shape.{index}: must be a whole number")))?));
    }
    let elements = sizes.iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
    let wanted = element_bytes(&dtype).and_then(|size| elements.and_then(|elements| elements.checked_mul(size)));
    if wanted.is_some_and(|wanted| wanted != bytes.len() as u64) {
        return Err(refused(format!("data: {} bytes are no {dtype} tensor of shape {sizes:?}", bytes.len())));
    }
    Ok(Packet::new(Format::Tensor { dtype, shape: sizes }, bytes.to_vec()))
}

/// Bytes of one element of the types that everybody knows; of others the guest makes what it will.
fn element_bytes(dtype: &str) -> Option<u64> {
    match dtype {
        "float64" | "int64" | "uint64" => Some(8),
        "float32" | "int32" | "uint32" => Some(4),
        "float16" | "bfloat16" | "int16" | "uint16" => Some(2),
        "int8" | "uint8" | "bool" => Some(1),
        _ => None,
    }
}

fn video(value: Value, pixels: Value) -> Outcome<Packet> {
    let Some((Element::U8, bytes)) = pixels.typed_array() else {
        return Err(refused("pixels: must be a Uint8Array"));
    };
    let size = |key: &str| -> Outcome<u32> {
        let number = value.get(key)?.as_number().and_then(|number| whole(number, 1.0, 65_536.0));
        number.ok_or_else(|| refused(format!("{key}: must be a whole number from 1 to 65536")))
    };
    let (width, height) = (size("width")?, size("height")?);
    let format = value.get("format")?.text().filter(|format| !format.is_empty()).ok_or_else(|| refused("format: must be text such as 'rgb24'"))?;
    Ok(Packet::new(Format::Video { width, height, format }, bytes.to_vec()))
}

/// Adds the stream's metadata beneath the item's own.
pub fn dress(mut packet: Packet, base: Option<&Arc<Map<String, Json>>>) -> Packet {
    if let Some(base) = base {
        packet.metadata = Some(match packet.metadata.take() {
            None => Arc::clone(base),
            Some(own) => {
                let mut merged = (**base).clone();
                merged.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
                Arc::new(merged)
            }
        });
    }
    packet
}

fn whole(number: f64, low: f64, high: f64) -> Option<u32> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in the range of u32, as just checked")]
    (number.fract() == 0.0 && number >= low && number <= high).then_some(number as u32)
}
