//! Buffers of protocol v1, as this writes them and as other programs do.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use remotemedia_wasmedge::data::{Bytes, Format, Kind, Map, Packet};
use remotemedia_wasmedge::error::Code;
use remotemedia_wasmedge::remote::codec::buffer::{from_buffer, to_buffer};
use remotemedia_wasmedge::remote::codec::{Dtype, NdArray};
use remotemedia_wasmedge::remote::pb::v1::data_buffer::DataType;
use remotemedia_wasmedge::remote::pb::v1::{
    AudioBuffer, AudioFormat, ControlMessage, DataBuffer, FileBuffer, JsonData, NumpyBuffer, PixelFormat, TensorBuffer, TextBuffer, VideoCodec,
    VideoFrame,
};
use serde_json::{Value, json};

fn map(value: Value) -> Arc<Map<String, Value>> {
    let Value::Object(map) = value else { panic!("an object") };
    Arc::new(map)
}

fn metadata(packet: &Packet) -> Option<Value> {
    packet.metadata.as_ref().map(|map| Value::Object((**map).clone()))
}

fn samples(packet: &Packet) -> Vec<f32> {
    packet.bytes.chunks_exact(4).map(|sample| f32::from_le_bytes(sample.try_into().unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arrays_with_any_strides_are_read_or_refused(shape in vec(0_u64..4, 0..4), strides in vec(-40_i64..40, 0..4), len in 0_usize..300) {
        let data: Bytes = (0..len).map(|index| index as u8).collect::<Vec<_>>().into();
        let element = Dtype::parse("int16").unwrap();
        if let Ok(array) = NdArray::from_strides(element, shape.clone(), &strides, &data) {
            // Each element is where its indices lead to.
            let mut at = 0;
            let mut index = vec![0; shape.len()];
            for element in array.data.chunks_exact(2) {
                let offset: i64 = index.iter().zip(&strides).map(|(index, stride): (&u64, _)| *index as i64 * stride).sum();
                prop_assert_eq!(element, &data[offset as usize..][..2]);
                for dimension in (0..shape.len()).rev() {
                    index[dimension] += 1;
                    if index[dimension] < shape[dimension] { break; }
                    index[dimension] = 0;
                }
                at += 1;
            }
            prop_assert_eq!(at, shape.iter().product::<u64>());
        }
    }

    #[test]
    fn any_numpy_buffer_is_read_or_refused(
        data in vec(any::<u8>(), 0..100), shape in vec(prop_oneof![0_u64..6, any::<u64>()], 0..4), dtype in any::<String>(), strides in vec(any::<i64>(), 0..4),
        c in any::<bool>(), f in any::<bool>(), usual in prop::sample::select(vec!["float32", "<i2", "|S0", ">f8"]), use_usual in any::<bool>(),
    ) {
        let dtype = if use_usual { usual.to_owned() } else { dtype };
        let buffer = NumpyBuffer { data: data.into(), shape, dtype, strides, c_contiguous: c, f_contiguous: f };
        if let Err(error) = from_buffer(DataBuffer { data_type: Some(DataType::Numpy(buffer)), ..DataBuffer::default() }) {
            prop_assert_eq!(error.code(), Code::Serialization);
        }
    }
}

fn buffer(data: DataType) -> DataBuffer {
    DataBuffer { data_type: Some(data), ..DataBuffer::default() }
}

#[test]
fn buffers_say_what_the_service_of_v1_reads() {
    let mut packet = Packet::audio(&[0.5, -0.5], 16_000.0, 2);
    packet.metadata = Some(map(json!({ "speaker": "a", "n": 2 })));
    let written = to_buffer(&packet).unwrap();
    assert_eq!(written.metadata.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect::<Vec<_>>(), [("n", "2"), ("speaker", "a")]);
    let Some(DataType::Audio(audio)) = written.data_type else { panic!("audio") };
    assert_eq!((audio.sample_rate, audio.channels, audio.format, audio.num_samples), (16_000, 2, AudioFormat::F32 as i32, 2));
    assert_eq!(serde_json::from_slice::<Value>(&audio.metadata_json.unwrap()).unwrap(), json!({ "speaker": "a", "n": 2 }));

    let mut text = Packet::new(Format::Plain(Kind::Text), "hé".to_owned());
    text.metadata = Some(map(json!({ "language": "fr", "channel": "tts", "x": [1] })));
    let written = to_buffer(&text).unwrap();
    let Some(DataType::Text(content)) = &written.data_type else { panic!("text") };
    assert_eq!((content.encoding.as_str(), content.language.as_str(), content.channel.as_str()), ("utf-8", "fr", "tts"));
    assert_eq!(metadata(&from_buffer(written).unwrap()), Some(json!({ "x": "[1]", "language": "fr", "channel": "tts" })));

    let mut frame = Packet::new(Format::Video { width: 2, height: 1, format: "h264".into() }, vec![1, 2, 3]);
    (frame.sequence, frame.timestamp_ms, frame.metadata) = (7, Some(1.5), Some(map(json!({ "keyframe": true }))));
    let written = to_buffer(&frame).unwrap();
    let Some(DataType::Video(video)) = &written.data_type else { panic!("video") };
    assert_eq!((video.format, video.codec, video.is_keyframe), (PixelFormat::Encoded as i32, VideoCodec::H264 as i32, true));
    assert_eq!((video.frame_number, video.timestamp_us), (7, 1500));
    let back = from_buffer(written).unwrap();
    assert_eq!((back.sequence, back.timestamp_ms, &back.format, metadata(&back)), (7, Some(1.5), &frame.format, Some(json!({ "keyframe": true }))));

    let wide = Packet::new(Format::Tensor { dtype: "float64".into(), shape: vec![1, 2] }, vec![0; 16]);
    let Some(DataType::Numpy(array)) = to_buffer(&wide).unwrap().data_type else { panic!("numpy") };
    assert_eq!((array.dtype.as_str(), &array.strides[..], array.c_contiguous, array.f_contiguous), ("float64", &[16, 8][..], true, false));
}

#[test]
fn buffers_of_other_writers_are_read() {
    let audio = |format, samples: Vec<u8>| {
        buffer(DataType::Audio(AudioBuffer { samples: samples.into(), sample_rate: 8000, channels: 0, format, ..AudioBuffer::default() }))
    };
    assert_eq!(samples(&from_buffer(audio(AudioFormat::I16 as i32, vec![0, 0x40, 0, 0x80])).unwrap()), [0.5, -1.0]);
    assert_eq!(samples(&from_buffer(audio(AudioFormat::I32 as i32, vec![0, 0, 0, 0x40])).unwrap()), [0.5]);
    assert_eq!(samples(&from_buffer(audio(0, vec![0, 0, 0, 0x3f])).unwrap()), [0.5]);
    for (format, bytes) in [(AudioFormat::I16 as i32, 3), (AudioFormat::I32 as i32, 6), (AudioFormat::F32 as i32, 5), (9, 4)] {
        assert_eq!(from_buffer(audio(format, vec![0; bytes])).unwrap_err().code(), Code::Serialization);
    }

    let numpy = |dtype: &str, strides: &[i64], c, f, data: Vec<u8>| {
        let array =
            NumpyBuffer { data: data.into(), shape: vec![2, 2], dtype: dtype.into(), strides: strides.to_vec(), c_contiguous: c, f_contiguous: f };
        from_buffer(buffer(DataType::Numpy(array))).map(|packet| packet.bytes.to_vec())
    };
    assert_eq!(numpy("uint8", &[], true, false, vec![1, 2, 3, 4]).unwrap(), [1, 2, 3, 4]);
    assert_eq!(numpy("uint8", &[1, 2], false, true, vec![1, 2, 3, 4]).unwrap(), [1, 3, 2, 4]);
    assert_eq!(numpy("uint8", &[3, 1], false, false, vec![1, 2, 9, 3, 4]).unwrap(), [1, 2, 3, 4]);
    assert_eq!(numpy(">u2", &[4, 2], true, false, vec![0, 1, 0, 2, 0, 3, 0, 4]).unwrap(), [1, 0, 2, 0, 3, 0, 4, 0]);
    for (dtype, strides) in [("object", &[][..]), ("uint8", &[100, 1]), ("uint8", &[-1, 1]), ("uint8", &[i64::MAX, i64::MAX]), ("uint8", &[1])] {
        assert_eq!(numpy(dtype, strides, dtype == "object", false, vec![0; 5]).unwrap_err().code(), Code::Serialization, "{dtype} {strides:?}");
    }

    let json = |text: &str| from_buffer(buffer(DataType::Json(JsonData { json_payload: text.into(), schema_type: "t".into() })));
    let packet = json("[NaN]").unwrap();
    assert_eq!((&packet.bytes[..], metadata(&packet)), (&b"[null]"[..], Some(json!({ "schemaType": "t" }))));
    assert!(json("{").is_err());
    let text = |encoding: &str, bytes: &[u8]| {
        from_buffer(buffer(DataType::Text(TextBuffer {
            text_data: Bytes::copy_from_slice(bytes),
            encoding: encoding.into(),
            ..TextBuffer::default()
        })))
    };
    assert_eq!(text("", "é".as_bytes()).unwrap().bytes, "é");
    assert_eq!(text("Latin-1", &[0xe9]).unwrap().bytes, "é");
    assert!(text("utf-8", &[0xe9]).is_err() && text("utf-16", &[0xe9, 0]).is_err());

    let tensor = TensorBuffer { data: vec![0; 4].into(), shape: vec![2, 1], dtype: 2, layout: "NC".into() };
    let packet = from_buffer(buffer(DataType::Tensor(tensor.clone()))).unwrap();
    assert_eq!(
        (&packet.format, metadata(&packet)),
        (&Format::Tensor { dtype: "float16".into(), shape: vec![2, 1] }, Some(json!({ "layout": "NC" })))
    );
    assert!(from_buffer(buffer(DataType::Tensor(TensorBuffer { dtype: 0, ..tensor.clone() }))).is_err());
    assert!(from_buffer(buffer(DataType::Tensor(TensorBuffer { shape: vec![3], ..tensor }))).is_err());
    assert!(from_buffer(buffer(DataType::Video(VideoFrame { format: 77, ..VideoFrame::default() }))).is_err());
    for (data, part) in [
        (Some(DataType::Control(ControlMessage::default())), "control"),
        (Some(DataType::File(FileBuffer::default())), "file"),
        (None, "without data"),
    ] {
        let error = from_buffer(DataBuffer { data_type: data, ..DataBuffer::default() }).unwrap_err();
        assert!(error.message().contains(part), "{error}");
    }
}
