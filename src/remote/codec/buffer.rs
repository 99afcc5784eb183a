//! Packets to the buffers of protocol v1 and back.
//!
//! Problem: v1 has a message for each kind, with fields of its own, and its service decodes audio as f32 whatever the message says. Answer: audio
//! is always written as interleaved f32; tensors of the five types that v1 has a number for as tensors, others as numpy arrays; the few fields
//! that packets have no place for (`language`, `channel`, `mimeType`, `layout`, `schemaType`, `keyframe`) travel in the metadata, under these
//! names. Metadata goes into the map of strings, text as it is and everything else as json; audio also carries it whole. Control messages
//! and references to files are no payloads, and are refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::dtype::{Dtype, Order};
use super::limits::Budget;
use super::value::{NdArray, PyValue};
use super::{audio, json, python, refused};
use crate::data::{Format, Kind, Map, Packet, Value};
use crate::error::Result;
use crate::remote::pb::v1::data_buffer::DataType;
use crate::remote::pb::v1::{
    AudioBuffer, AudioFormat, BinaryBuffer, DataBuffer, JsonData, NumpyBuffer, PixelFormat, TensorBuffer, TensorDtype, TextBuffer, VideoCodec,
    VideoFrame,
};

/// Packets' names of v1's pixel formats; the first of a format is the one that is written when reading.
const PIXELS: [(&str, PixelFormat, VideoCodec); 12] = [
    ("rgb24", PixelFormat::Rgb24, VideoCodec::Unspecified),
    ("rgb", PixelFormat::Rgb24, VideoCodec::Unspecified),
    ("rgba32", PixelFormat::Rgba32, VideoCodec::Unspecified),
    ("rgba", PixelFormat::Rgba32, VideoCodec::Unspecified),
    ("yuv420p", PixelFormat::Yuv420p, VideoCodec::Unspecified),
    ("gray8", PixelFormat::Gray8, VideoCodec::Unspecified),
    ("gray", PixelFormat::Gray8, VideoCodec::Unspecified),
    ("i420", PixelFormat::I420, VideoCodec::Unspecified),
    ("nv12", PixelFormat::Nv12, VideoCodec::Unspecified),
    ("vp8", PixelFormat::Encoded, VideoCodec::Vp8),
    ("h264", PixelFormat::Encoded, VideoCodec::H264),
    ("av1", PixelFormat::Encoded, VideoCodec::Av1),
];

/// Packets' names of v1's tensor types.
const TENSORS: [(&str, TensorDtype); 5] = [
    ("float32", TensorDtype::F32),
    ("float16", TensorDtype::F16),
    ("int32", TensorDtype::I32),
    ("int8", TensorDtype::I8),
    ("uint8", TensorDtype::U8),
];

/// A packet as a buffer.
pub fn to_buffer(packet: &Packet) -> Result<DataBuffer> {
    let mut metadata = packet.metadata.as_deref().cloned().unwrap_or_default();
    let data = match &packet.format {
        Format::Audio { sample_rate, channels } => to_audio(packet, *sample_rate, *channels)?,
        Format::Video { width, height, format } => DataType::Video(to_video(packet, (*width, *height), format, &mut metadata)?),
        Format::Tensor { dtype, shape } => to_tensor(packet, dtype, shape, &mut metadata)?,
        Format::Plain(Kind::Text) => DataType::Text(TextBuffer {
            text_data: Bytes::copy_from_slice(python::text(packet)?.as_bytes()),
            encoding: "utf-8".into(),
            language: field(&mut metadata, "language"),
            channel: field(&mut metadata, "channel"),
        }),
        Format::Plain(Kind::Json) => {
            let text = if packet.bytes.is_empty() { "null" } else { python::text(packet)? };
            if json::strict(text.as_bytes()).is_none() {
                // Says what is wrong with it, unless only Python takes it for json.
                json::loads(text.as_bytes(), &mut Budget::for_message(text.len()))?;
                return Err(refused("the packet's json has numbers that json has no form for"));
            }
            DataType::Json(JsonData { json_payload: text.to_owned(), schema_type: field(&mut metadata, "schemaType") })
        }
        Format::Plain(_) => DataType::Binary(BinaryBuffer { data: packet.bytes.clone(), mime_type: field(&mut metadata, "mimeType") }),
    };
    let metadata = metadata.into_iter().map(|(key, value)| (key, if let Value::String(text) = value { text } else { value.to_string() }));
    Ok(DataBuffer { metadata: metadata.collect::<BTreeMap<_, _>>(), data_type: Some(data) })
}

/// The packet that a buffer is.
pub fn from_buffer(buffer: DataBuffer) -> Result<Packet> {
    let mut metadata: Map<String, Value> = buffer.metadata.into_iter().map(|(key, text)| (key, text.into())).collect();
    let mut packet = match buffer.data_type.ok_or_else(|| refused("a buffer without data"))? {
        DataType::Audio(audio) => from_audio(audio, &mut metadata)?,
        DataType::Video(video) => from_video(video, &mut metadata)?,
        DataType::Tensor(tensor) => from_tensor(tensor, &mut metadata)?,
        DataType::Numpy(array) => from_numpy(array)?,
        DataType::Json(json) => {
            keep(&mut metadata, "schemaType", json.schema_type);
            let bytes = Bytes::from(json.json_payload);
            if json::strict(&bytes).is_some() {
                Packet::new(Format::Plain(Kind::Json), bytes)
            } else {
                let mut budget = Budget::for_message(bytes.len());
                python::json_packet(&json::loads(&bytes, &mut budget)?, &mut budget)?
            }
        }
        DataType::Text(text) => {
            keep(&mut metadata, "language", text.language);
            keep(&mut metadata, "channel", text.channel);
            from_text(text.text_data, &text.encoding)?
        }
        DataType::Binary(binary) => {
            keep(&mut metadata, "mimeType", binary.mime_type);
            Packet::binary(binary.data)
        }
        DataType::Control(_) => return Err(refused("a control message is no payload")),
        DataType::File(_) => return Err(refused("a reference to a file on the other machine is no payload")),
    };
    packet.metadata = (!metadata.is_empty()).then(|| Arc::new(metadata));
    Ok(packet)
}

/// Takes a field of v1's out of the metadata.
fn field(metadata: &mut Map<String, Value>, key: &str) -> String {
    if !metadata.get(key).is_some_and(Value::is_string) {
        return String::new();
    }
    match metadata.shift_remove(key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// Puts a field of v1's into the metadata, unless it says nothing.
fn keep(metadata: &mut Map<String, Value>, key: &str, text: String) {
    if !text.is_empty() {
        metadata.insert(key.into(), text.into());
    }
}

fn to_audio(packet: &Packet, rate: f64, channels: u32) -> Result<DataType> {
    // Checks that the bytes are whole samples of all channels.
    audio::to_array(&packet.bytes, channels)?;
    let sample_rate = rate as u32;
    if f64::from(sample_rate).to_bits() != rate.to_bits() || sample_rate == 0 {
        return Err(refused(format!("protocol v1 has whole sample rates only, and not {rate}")));
    }
    let metadata_json = packet.metadata.as_deref().map(|metadata| Value::Object(metadata.clone()).to_string().into());
    let num_samples = packet.bytes.len() as u64 / 4;
    Ok(DataType::Audio(AudioBuffer {
        samples: packet.bytes.clone(),
        sample_rate,
        channels,
        format: AudioFormat::F32.into(),
        num_samples,
        metadata_json,
    }))
}

fn from_audio(buffer: AudioBuffer, metadata: &mut Map<String, Value>) -> Result<Packet> {
    let samples = match AudioFormat::try_from(buffer.format) {
        // Who says nothing means what is usual.
        Ok(AudioFormat::F32 | AudioFormat::Unspecified) => Some(buffer.samples),
        Ok(AudioFormat::I16) if buffer.samples.len().is_multiple_of(2) => audio::whole_to_f32(2, &buffer.samples).map(Bytes::from),
        Ok(AudioFormat::I32) if buffer.samples.len().is_multiple_of(4) => audio::whole_to_f32(4, &buffer.samples).map(Bytes::from),
        Ok(_) => None,
        Err(_) => return Err(refused(format!("audio in format {}, which is not known", buffer.format))),
    };
    let samples = samples.ok_or_else(|| refused("audio whose bytes are no whole samples"))?;
    let channels = buffer.channels.max(1);
    audio::to_array(&samples, channels)?;
    if buffer.sample_rate == 0 {
        return Err(refused("audio without a sample rate"));
    }
    if let Some(text) = buffer.metadata_json.filter(|text| !text.is_empty()) {
        let mut budget = Budget::for_message(text.len());
        let value = json::loads(&text, &mut budget)?;
        if !matches!(value, PyValue::Dict(_)) {
            return Err(refused("the metadata of audio is no json object"));
        }
        let text = json::dumps(&value, json::Dialect::JavaScript, &mut budget)?;
        let more: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| refused(format!("the metadata of audio: {error}")))?;
        metadata.extend(more);
    }
    Ok(Packet::new(Format::Audio { sample_rate: buffer.sample_rate.into(), channels }, samples))
}

fn to_video(packet: &Packet, size: (u32, u32), format: &str, metadata: &mut Map<String, Value>) -> Result<VideoFrame> {
    let known = PIXELS.iter().find(|(name, ..)| *name == format);
    let (_, pixels, codec) = known.ok_or_else(|| refused(format!("protocol v1 has no pixel format '{format}'")))?;
    let is_keyframe = metadata.get("keyframe") == Some(&Value::Bool(true));
    if is_keyframe {
        metadata.shift_remove("keyframe");
    }
    Ok(VideoFrame {
        pixel_data: packet.bytes.clone(),
        width: size.0,
        height: size.1,
        format: (*pixels).into(),
        frame_number: packet.sequence,
        // A time before the start is none: v1 has only later ones.
        timestamp_us: packet.timestamp_ms.map_or(0, |time| (time * 1000.0).round() as u64),
        codec: (*codec).into(),
        is_keyframe,
    })
}

fn from_video(frame: VideoFrame, metadata: &mut Map<String, Value>) -> Result<Packet> {
    let found = PIXELS.iter().find(|(_, pixels, codec)| {
        let codec = if *pixels == PixelFormat::Encoded { i32::from(*codec) == frame.codec } else { true };
        i32::from(*pixels) == frame.format && codec
    });
    let (format, ..) = found.ok_or_else(|| refused(format!("video in format {} with codec {}, which is not known", frame.format, frame.codec)))?;
    if frame.is_keyframe {
        metadata.insert("keyframe".into(), true.into());
    }
    let mut packet = Packet::new(Format::Video { width: frame.width, height: frame.height, format: (*format).to_owned() }, frame.pixel_data);
    packet.sequence = frame.frame_number;
    packet.timestamp_ms = (frame.timestamp_us > 0).then(|| frame.timestamp_us as f64 / 1000.0);
    Ok(packet)
}

fn to_tensor(packet: &Packet, dtype: &str, shape: &[u64], metadata: &mut Map<String, Value>) -> Result<DataType> {
    let numpy = Dtype::parse(dtype).ok_or_else(|| refused(format!("protocol v1 has no dtype '{dtype}'")))?;
    let array = NdArray::new(numpy, shape.to_vec(), false, packet.bytes.clone())?;
    let name = numpy.name();
    if let Some((_, number)) = TENSORS.iter().find(|(known, _)| *known == name) {
        let layout = field(metadata, "layout");
        return Ok(DataType::Tensor(TensorBuffer { data: array.data, shape: array.shape, dtype: (*number).into(), layout }));
    }
    let strides = super::array::row_strides(shape, numpy.size() as usize);
    let f_contiguous = shape.len() < 2;
    Ok(DataType::Numpy(NumpyBuffer { data: array.data, shape: array.shape, dtype: name, strides, c_contiguous: true, f_contiguous }))
}

fn from_tensor(tensor: TensorBuffer, metadata: &mut Map<String, Value>) -> Result<Packet> {
    let known = TENSORS.iter().find(|(_, number)| i32::from(*number) == tensor.dtype);
    let (name, _) = known.ok_or_else(|| refused(format!("a tensor of type {}, which is not known", tensor.dtype)))?;
    keep(metadata, "layout", tensor.layout);
    let dtype = Dtype::parse(name).ok_or_else(|| refused(format!("a tensor of type '{name}'")))?;
    array_packet(NdArray::new(dtype, tensor.shape, false, tensor.data)?)
}

fn from_numpy(buffer: NumpyBuffer) -> Result<Packet> {
    let dtype = Dtype::parse(&buffer.dtype).ok_or_else(|| {
        let shown: String = buffer.dtype.chars().take(60).collect();
        refused(format!("numpy's dtype '{}' has no meaning outside of Python", shown.escape_debug()))
    })?;
    let contiguous = buffer.c_contiguous || buffer.f_contiguous || buffer.strides.is_empty();
    let array = if contiguous {
        NdArray::new(dtype, buffer.shape, buffer.f_contiguous && !buffer.c_contiguous, buffer.data)?
    } else {
        NdArray::from_strides(dtype, buffer.shape, &buffer.strides, &buffer.data)?
    };
    array_packet(array)
}

fn array_packet(array: NdArray) -> Result<Packet> {
    let array = array.into_standard()?;
    Ok(Packet::new(Format::Tensor { dtype: array.dtype.with_order(Order::Little).name(), shape: array.shape }, array.data))
}

fn from_text(bytes: Bytes, encoding: &str) -> Result<Packet> {
    let format = Format::Plain(Kind::Text);
    match encoding.to_ascii_lowercase().replace('_', "-").as_str() {
        "" | "utf-8" | "utf8" | "ascii" | "us-ascii" => {
            let packet = Packet::new(format, bytes);
            python::text(&packet)?;
            Ok(packet)
        }
        "latin-1" | "latin1" | "iso-8859-1" => Ok(Packet::new(format, bytes.iter().map(|byte| char::from(*byte)).collect::<String>())),
        other => Err(refused(format!("text in encoding '{}'; only UTF-8 and Latin-1 are read", other.escape_debug()))),
    }
}
