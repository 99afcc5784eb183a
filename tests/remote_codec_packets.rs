//! Packets, values and buffers keep what they say through every wire and back. No Python is needed here: `remote_codec.rs` has it.

#[path = "remote_codec/values.rs"]
mod values;

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use remotemedia_wasmedge::data::{Bytes, Format, Kind, Map, Packet, SessionId};
use remotemedia_wasmedge::error::Code;
use remotemedia_wasmedge::remote::codec::buffer::{from_buffer, to_buffer};
use remotemedia_wasmedge::remote::codec::{
    Dtype, MAX_DEPTH, NdArray, Order, PayloadFormat, PyValue, Wire, decode, decode_value, encode, encode_value, from_value, session_of, to_value,
};
use serde_json::{Value, json};
use values::{any_json_value, any_text, any_value, describe};

fn map(value: Value) -> Arc<Map<String, Value>> {
    let Value::Object(map) = value else { panic!("an object") };
    Arc::new(map)
}

fn through(packet: &Packet, wire: Wire) -> Packet {
    let session = SessionId::new("s-1").expect("an id");
    decode(&encode(packet, wire, Some(&session)).expect("a payload"), wire).expect("a packet")
}

/// Metadata as it comes back when a session went along.
fn with_session(metadata: Option<&Arc<Map<String, Value>>>) -> Value {
    let mut all = metadata.map(|map| (**map).clone()).unwrap_or_default();
    all.insert("session_id".into(), "s-1".into());
    Value::Object(all)
}

fn metadata(packet: &Packet) -> Option<Value> {
    packet.metadata.as_ref().map(|map| Value::Object((**map).clone()))
}

fn any_metadata() -> impl Strategy<Value = Option<Arc<Map<String, Value>>>> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from)
    ];
    let entries = vec(("[a-z]{1,6}", prop_oneof![value.clone(), vec(value, 0..3).prop_map(Value::from)]), 0..4);
    entries.prop_map(|entries| (!entries.is_empty()).then(|| Arc::new(entries.into_iter().collect())))
}

fn any_audio() -> impl Strategy<Value = Packet> {
    (1_u32..5, 0_usize..40, prop_oneof![8000.0..96_000.0, Just(48_000.0), Just(44_100.0)], any_metadata()).prop_flat_map(
        |(channels, frames, rate, metadata)| {
            vec(any::<[u8; 4]>(), frames * channels as usize).prop_map(move |samples| {
                let mut packet = Packet::new(Format::Audio { sample_rate: rate, channels }, samples.concat());
                packet.metadata.clone_from(&metadata);
                packet
            })
        },
    )
}

fn any_tensor() -> impl Strategy<Value = Packet> {
    const DTYPES: &[&str] =
        &["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "complex64"];
    (prop::sample::select(DTYPES), vec(0_u64..5, 0..4)).prop_flat_map(|(dtype, shape)| {
        let size = shape.iter().product::<u64>() as usize * Dtype::parse(dtype).expect("a dtype").size() as usize;
        vec(any::<u8>(), size).prop_map(move |data| Packet::new(Format::Tensor { dtype: dtype.to_owned(), shape: shape.clone() }, data))
    })
}

fn any_video() -> impl Strategy<Value = Packet> {
    (1_u32..6, 1_u32..6, prop::sample::select(vec![("rgb24", 3), ("rgba32", 4), ("gray8", 1)]), any_metadata()).prop_flat_map(
        |(width, height, (format, depth), metadata)| {
            vec(any::<u8>(), (width * height * depth) as usize).prop_map(move |pixels| {
                let mut packet = Packet::new(Format::Video { width, height, format: format.to_owned() }, pixels);
                packet.metadata.clone_from(&metadata);
                packet
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_comes_back_from_a_pickle(value in any_value()) {
        let pickle = encode_value(&value, Wire::Pickle).unwrap();
        prop_assert_eq!(describe(&decode_value(&pickle, Wire::Pickle).unwrap()), describe(&value));
    }

    #[test]
    fn any_value_of_json_comes_back_from_it(value in any_json_value()) {
        let text = encode_value(&value, Wire::Json).unwrap();
        prop_assert_eq!(describe(&decode_value(&text, Wire::Json).unwrap()), describe(&value));
    }

    #[test]
    fn any_value_becomes_a_packet_and_any_packet_a_value_again(value in any_value()) {
        let packet = match from_value(value) {
            Ok(packet) => packet,
            // Text is the only key that json has, and numbers and constants become text.
            Err(error) => {
                prop_assert!(error.message().ends_with("as key"), "{}", error);
                return Ok(());
            }
        };
        if packet.kind() == Kind::Json {
            prop_assert!(serde_json::from_slice::<Value>(&packet.bytes).is_ok());
        }
        let again = from_value(to_value(&packet, None).unwrap()).unwrap();
        prop_assert_eq!((&again.format, &again.bytes), (&packet.format, &packet.bytes));
    }

    #[test]
    fn audio_comes_back_from_a_pickle_and_from_a_buffer(packet in any_audio()) {
        let back = through(&packet, Wire::Pickle);
        prop_assert_eq!((&back.format, &back.bytes), (&packet.format, &packet.bytes));
        prop_assert_eq!(metadata(&back), Some(with_session(packet.metadata.as_ref())));
        prop_assert_eq!(session_of(&back), Some(SessionId::new("s-1").unwrap()));

        let Format::Audio { sample_rate, .. } = packet.format else { unreachable!() };
        if sample_rate.fract() == 0.0 {
            let back = from_buffer(to_buffer(&packet).unwrap()).unwrap();
            prop_assert_eq!((&back.format, &back.bytes, metadata(&back)), (&packet.format, &packet.bytes, metadata(&packet)));
        } else {
            prop_assert_eq!(to_buffer(&packet).unwrap_err().code(), Code::Serialization);
        }
    }

    #[test]
    fn tensors_come_back_from_a_pickle_and_from_a_buffer(packet in any_tensor()) {
        for back in [through(&packet, Wire::Pickle), from_buffer(to_buffer(&packet).unwrap()).unwrap()] {
            prop_assert_eq!((&back.format, &back.bytes), (&packet.format, &packet.bytes));
        }
    }

    #[test]
    fn video_comes_back_from_a_pickle_and_from_a_buffer(packet in any_video()) {
        let back = through(&packet, Wire::Pickle);
        prop_assert_eq!((&back.format, &back.bytes), (&packet.format, &packet.bytes));
        prop_assert_eq!(metadata(&back), Some(with_session(packet.metadata.as_ref())));
        let back = from_buffer(to_buffer(&packet).unwrap()).unwrap();
        prop_assert_eq!((&back.format, &back.bytes), (&packet.format, &packet.bytes));
    }

    #[test]
    fn text_and_json_and_bytes_come_back_from_every_wire_that_carries_them(text in any_text(), value in any_json_value(), bytes in vec(any::<u8>(), 0..50)) {
        let json = from_value(PyValue::List(vec![value])).unwrap();
        for packet in [Packet::new(Format::Plain(Kind::Text), text), json] {
            for back in [through(&packet, Wire::Json), through(&packet, Wire::Pickle), from_buffer(to_buffer(&packet).unwrap()).unwrap()] {
                prop_assert_eq!((&back.format, &back.bytes), (&packet.format, &packet.bytes));
            }
        }
        let packet = Packet::binary(bytes);
        for back in [through(&packet, Wire::Raw), through(&packet, Wire::Pickle), from_buffer(to_buffer(&packet).unwrap()).unwrap()] {
            prop_assert_eq!((&back.format, &back.bytes), (&packet.format, &packet.bytes));
        }
    }
}

#[test]
fn the_wire_follows_the_kind_unless_it_is_said() {
    let packet = |kind| Packet::new(Format::Plain(kind), Vec::new());
    let audio = Packet::audio(&[0.0], 8000.0, 1);
    assert_eq!(PayloadFormat::Auto.wire_for(&packet(Kind::Text)), Wire::Json);
    assert_eq!(PayloadFormat::Auto.wire_for(&packet(Kind::Json)), Wire::Json);
    assert_eq!(PayloadFormat::Auto.wire_for(&packet(Kind::Binary)), Wire::Pickle);
    assert_eq!(PayloadFormat::Auto.wire_for(&audio), Wire::Pickle);
    assert_eq!(PayloadFormat::Json.wire_for(&audio), Wire::Json);
    for (name, format, wire) in
        [("json", PayloadFormat::Json, Wire::Json), ("pickle", PayloadFormat::Pickle, Wire::Pickle), ("raw", PayloadFormat::Raw, Wire::Raw)]
    {
        assert_eq!((PayloadFormat::from_name(name), Wire::from_name(name), wire.name()), (Some(format), Some(wire), name));
        assert_eq!(format.wire_for(&audio), wire);
    }
    assert_eq!((PayloadFormat::from_name("auto"), Wire::from_name("auto"), Wire::from_name("")), (Some(PayloadFormat::Auto), None, None));
}

#[test]
fn json_says_what_it_cannot_carry() {
    for packet in [Packet::audio(&[0.0], 8000.0, 1), Packet::binary(vec![1])] {
        let error = encode(&packet, Wire::Json, None).unwrap_err();
        assert_eq!(error.code(), Code::Serialization);
        assert!(error.message().contains("use format 'pickle'"), "{error}");
    }
    let error = encode_value(&PyValue::List(vec![PyValue::Bytes(Bytes::from_static(b"x"))]), Wire::Json).unwrap_err();
    assert!(error.message().contains("json cannot hold a bytes; use format 'pickle'"), "{error}");
    let error = encode(&Packet::new(Format::Plain(Kind::Json), &b"{'a': 1}"[..]), Wire::Json, None).unwrap_err();
    assert!(error.message().contains("no json: '\\'' at byte 1"), "{error}");
    let error = decode(&Bytes::new(), Wire::Json).unwrap_err();
    assert!(error.message().contains("no json"), "{error}");
    assert_eq!(encode_value(&PyValue::None, Wire::Json).unwrap(), "null");
    assert_eq!(encode(&Packet::new(Format::Plain(Kind::Json), Vec::new()), Wire::Json, None).unwrap(), "null");
}

#[test]
fn numbers_that_only_python_knows_become_null() {
    let packet = decode(&Bytes::from_static(b"{\"a\": NaN, \"b\": [Infinity, -Infinity, 1e999], \"NaN\": 1e2}"), Wire::Json).unwrap();
    assert_eq!(packet.bytes, r#"{"a":null,"b":[null,null,null],"NaN":100.0}"#);
    let strict = Bytes::from_static(b"{\"a\": 12345678901234567890123, \"b\":[1.5] }");
    let packet = decode(&strict, Wire::Json).unwrap();
    assert_eq!(packet.bytes.as_ptr(), strict.as_ptr(), "strict json is not copied");
    let text = decode(&Bytes::from_static(br#""a\ud83d\ude00\ud800\"""#), Wire::Json).unwrap();
    assert_eq!((text.kind(), &text.bytes[..]), (Kind::Text, "a\u{1f600}\u{fffd}\"".as_bytes()));
}

#[test]
fn bytes_of_audio_are_not_copied_where_they_lie_right() {
    let mono = encode(&Packet::audio(&[0.5; 480], 48_000.0, 1), Wire::Pickle, None).unwrap();
    let within = |inner: &Bytes, outer: &Bytes| outer.as_ptr_range().contains(&inner.as_ptr());
    assert!(within(&decode(&mono, Wire::Pickle).unwrap().bytes, &mono));
    let array = PyValue::Array(NdArray::new(Dtype::F32, vec![2, 3], true, vec![0; 24].into()).unwrap());
    let PyValue::Array(planned) = &array else { unreachable!() };
    let packet = from_value(PyValue::Tuple(vec![array.clone(), PyValue::Int(8000)])).unwrap();
    assert_eq!(packet.bytes.as_ptr(), planned.data.as_ptr(), "columns first is interleaved");
    let stereo = Packet::audio(&[0.0; 6], 8000.0, 2);
    let PyValue::Tuple(items) = to_value(&stereo, None).unwrap() else { panic!("a tuple") };
    let PyValue::Array(samples) = &items[0] else { panic!("an array") };
    assert_eq!((samples.data.as_ptr(), samples.fortran, &samples.shape[..]), (stereo.bytes.as_ptr(), true, &[2, 3][..]));
}

fn array(dtype: &str, shape: &[u64], data: Vec<u8>) -> PyValue {
    PyValue::Array(NdArray::new(Dtype::parse(dtype).unwrap(), shape.to_vec(), false, data.into()).unwrap())
}

fn samples(packet: &Packet) -> Vec<f32> {
    packet.bytes.chunks_exact(4).map(|sample| f32::from_le_bytes(sample.try_into().unwrap())).collect()
}

#[test]
fn audio_of_every_element_type_becomes_f32() {
    let cases: Vec<(&str, Vec<u8>, Vec<f32>)> = vec![
        ("<i2", [0_i16, 16_384, -32_768].iter().flat_map(|n| n.to_le_bytes()).collect(), vec![0.0, 0.5, -1.0]),
        (">i2", [0_i16, 16_384, -32_768].iter().flat_map(|n| n.to_be_bytes()).collect(), vec![0.0, 0.5, -1.0]),
        ("<i4", [1_i32 << 30, i32::MIN].iter().flat_map(|n| n.to_le_bytes()).collect(), vec![0.5, -1.0]),
        ("|i1", vec![64, 128], vec![0.5, -1.0]),
        ("|u1", vec![128, 192, 0], vec![0.0, 0.5, -1.0]),
        ("<f8", [0.25_f64, -1.0].iter().flat_map(|n| n.to_le_bytes()).collect(), vec![0.25, -1.0]),
        ("<f2", vec![0x00, 0x38, 0x00, 0xbc], vec![0.5, -1.0]),
        ("<i8", [3_i64, -2].iter().flat_map(|n| n.to_le_bytes()).collect(), vec![3.0, -2.0]),
        ("<u8", [3_u64, 2].iter().flat_map(|n| n.to_le_bytes()).collect(), vec![3.0, 2.0]),
        ("|b1", vec![1, 0], vec![1.0, 0.0]),
    ];
    for (dtype, data, expected) in cases {
        let packet = from_value(PyValue::Tuple(vec![array(dtype, &[expected.len() as u64], data), PyValue::Float(16_000.0)])).unwrap();
        assert_eq!(packet.format, Format::Audio { sample_rate: 16_000.0, channels: 1 }, "{dtype}");
        assert_eq!(samples(&packet), expected, "{dtype}");
    }
    let planar: Vec<u8> = [1_i16, 2, 3, -1, -2, -3].iter().flat_map(|n| (n * 8192).to_le_bytes()).collect();
    let packet = from_value(PyValue::Tuple(vec![array("<i2", &[2, 3], planar), PyValue::Int(8000)])).unwrap();
    assert_eq!(samples(&packet), [0.25, -0.25, 0.5, -0.5, 0.75, -0.75]);
}

#[test]
fn tuples_are_told_apart() {
    let tone = || array("<f4", &[1, 2], vec![0; 8]);
    let about = |entries: &[(&str, PyValue)]| PyValue::Dict(entries.iter().map(|(key, value)| ((*key).into(), value.clone())).collect());
    let voice = about(&[("is_speech", PyValue::Bool(true)), ("speech_ratio", PyValue::Float(f64::NAN)), ("frames", array("|u1", &[1], vec![7]))]);
    let kind = |value: PyValue| {
        let packet = from_value(value).unwrap();
        let text = if packet.kind() == Kind::Json { String::from_utf8(packet.bytes.to_vec()).unwrap() } else { String::new() };
        (packet.kind(), text, metadata(&packet))
    };

    // What the stock voice detector answers.
    let detected = PyValue::Tuple(vec![PyValue::Tuple(vec![tone(), PyValue::Int(16_000)]), voice.clone()]);
    let frames = json!({ "__numpy__": true, "array": { "meta": { "dtype": "uint8", "shape": [1] }, "data": "Bw==" } });
    let metadata_of_voice = Some(json!({ "is_speech": true, "speech_ratio": null, "frames": frames }));
    assert_eq!(kind(detected), (Kind::Audio, String::new(), metadata_of_voice.clone()));
    assert_eq!(kind(PyValue::Tuple(vec![tone(), PyValue::Int(16_000), voice.clone()])), (Kind::Audio, String::new(), metadata_of_voice));

    // A dict at the end is metadata by its keys only.
    let meta = about(&[("session_id", "a".into())]);
    assert_eq!(kind(PyValue::Tuple(vec!["hi".into(), meta.clone()])), (Kind::Text, String::new(), Some(json!({ "session_id": "a" }))));
    assert_eq!(
        kind(PyValue::Tuple(vec![PyValue::Int(1), PyValue::Int(2), meta.clone()])),
        (Kind::Json, "[1,2]".into(), Some(json!({ "session_id": "a" })))
    );
    assert_eq!(kind(PyValue::Tuple(vec!["hi".into(), about(&[("a", PyValue::Int(1))])])), (Kind::Json, r#"["hi",{"a":1}]"#.into(), None));
    assert_eq!(kind(PyValue::Tuple(vec![meta.clone()])), (Kind::Json, r#"[{"session_id":"a"}]"#.into(), None));
    assert_eq!(kind(PyValue::List(vec!["hi".into(), meta.clone()])), (Kind::Json, r#"["hi",{"session_id":"a"}]"#.into(), None));
    assert_eq!(kind(PyValue::Tuple(vec![tone(), meta])), (Kind::Tensor, String::new(), Some(json!({ "session_id": "a" }))));

    // An array and a number that cannot be a rate are no audio.
    for number in [PyValue::Float(0.93), PyValue::Int(0), PyValue::Float(f64::NAN), PyValue::Bool(true)] {
        assert_eq!(kind(PyValue::Tuple(vec![tone(), number])).0, Kind::Json);
    }
    assert_eq!(kind(PyValue::Tuple(vec![array("<f4", &[1, 1, 1], vec![0; 4]), PyValue::Int(8000)])).0, Kind::Json);
    assert_eq!(kind(PyValue::Tuple(vec![array("<c8", &[1], vec![0; 8]), PyValue::Int(8000)])).0, Kind::Json);
    assert_eq!(kind(PyValue::Tuple(vec![PyValue::Int(3)])), (Kind::Json, "[3]".into(), None));
}

#[test]
fn metadata_makes_a_pair_only_where_python_takes_it_apart_again() {
    let session = SessionId::new("a").unwrap();
    let mut text = Packet::new(Format::Plain(Kind::Text), "hi".to_owned());
    assert_eq!(to_value(&text, Some(&session)).unwrap(), "hi".into());
    text.metadata = Some(map(json!({ "n": 1 })));
    assert_eq!(to_value(&text, Some(&session)).unwrap(), "hi".into());
    text.metadata = Some(map(json!({ "n": 1, "timestamp": 2 })));
    let about = PyValue::Dict(vec![("n".into(), PyValue::Int(1)), ("timestamp".into(), PyValue::Int(2)), ("session_id".into(), "a".into())]);
    assert_eq!(to_value(&text, Some(&session)).unwrap(), PyValue::Tuple(vec!["hi".into(), about]));
    assert_eq!(encode(&text, Wire::Json, Some(&session)).unwrap(), "\"hi\"");
    assert_eq!(metadata(&through(&text, Wire::Pickle)), Some(json!({ "n": 1, "timestamp": 2, "session_id": "s-1" })));
}

#[test]
fn arrays_inside_of_dicts_go_both_ways() {
    let inner = NdArray::new(Dtype::parse(">i2").unwrap(), vec![2], false, vec![0, 1, 0, 2].into()).unwrap();
    let value = PyValue::Dict(vec![
        ("scores".into(), PyValue::Array(inner)),
        ("raw".into(), PyValue::Bytes(Bytes::from_static(b"\0\xff"))),
        ("z".into(), PyValue::Complex(1.0, -2.0)),
        (PyValue::Int(1), PyValue::Set(vec![PyValue::Int(2)])),
        (PyValue::None, PyValue::Tuple(vec![])),
    ]);
    let packet = from_value(value).unwrap();
    let expected = concat!(
        r#"{"scores":{"__numpy__":true,"array":{"meta":{"dtype":"int16","shape":[2]},"data":"AQACAA=="}},"#,
        r#""raw":{"__bytes__":true,"data":"AP8="},"z":{"__complex__":true,"real":1.0,"imag":-2.0},"1":[2],"null":[]}"#
    );
    assert_eq!(std::str::from_utf8(&packet.bytes).unwrap(), expected);
    let PyValue::Dict(entries) = to_value(&packet, None).unwrap() else { panic!("a dict") };
    assert_eq!(entries[0].1, array("<i2", &[2], vec![1, 0, 2, 0]));
    assert_eq!(entries[1].1, PyValue::Bytes(Bytes::from_static(b"\0\xff")));
    assert_eq!(entries[2].1, PyValue::Complex(1.0, -2.0));
    // On the json wire they stay what they are.
    assert_eq!(encode(&packet, Wire::Json, None).unwrap(), packet.bytes);

    for (text, part) in [
        (r#"{"__numpy__":true}"#, "array: missing"),
        (r#"{"__numpy__":true,"array":{"meta":{"dtype":"object","shape":[1]},"data":""}}"#, "dtype"),
        (r#"{"__numpy__":true,"array":{"meta":{"dtype":"int8","shape":[-1]},"data":""}}"#, "shape"),
        (r#"{"__numpy__":true,"array":{"meta":{"dtype":"int8","shape":[3]},"data":"AA=="}}"#, "1 bytes are no int8 array of shape [3]"),
        (r#"{"__bytes__":true,"data":"%"}"#, "__bytes__: data"),
    ] {
        let packet = Packet::new(Format::Plain(Kind::Json), text.to_owned());
        let error = encode(&packet, Wire::Pickle, None).unwrap_err();
        assert!(error.message().contains(part), "{text}: {error}");
    }
}

#[test]
fn nesting_is_limited_both_ways() {
    let nested = |depth: usize| (0..depth).fold(PyValue::List(Vec::new()), |inner, _| PyValue::List(vec![inner]));
    for wire in [Wire::Pickle, Wire::Json] {
        let deepest = nested(MAX_DEPTH);
        assert_eq!(decode_value(&encode_value(&deepest, wire).unwrap(), wire).unwrap(), deepest);
        assert!(encode_value(&nested(MAX_DEPTH + 1), wire).unwrap_err().message().contains("nested"));
    }
    let text = |depth: usize| Bytes::from(["[".repeat(depth), "]".repeat(depth)].concat());
    assert!(decode(&text(MAX_DEPTH + 1), Wire::Json).is_ok());
    assert!(decode(&text(MAX_DEPTH + 2), Wire::Json).unwrap_err().message().contains("nested"));
}

#[test]
fn keys_that_python_cannot_have_are_refused() {
    let error = encode_value(&PyValue::Dict(vec![(PyValue::List(vec![]), PyValue::None)]), Wire::Pickle).unwrap_err();
    assert!(error.message().contains("a list cannot be a key"), "{error}");
    let error = encode_value(&PyValue::Dict(vec![(PyValue::Tuple(vec![]), PyValue::None)]), Wire::Json).unwrap_err();
    assert!(error.message().contains("tuple as key"), "{error}");
    let big = Dtype::parse("float32").unwrap().with_order(Order::Big);
    assert!(NdArray::new(big, vec![u64::MAX, u64::MAX], false, Bytes::new()).is_err());
    assert!(
        encode(&Packet::new(Format::Tensor { dtype: "bfloat16".into(), shape: vec![1] }, vec![0, 0]), Wire::Pickle, None)
            .unwrap_err()
            .message()
            .contains("bfloat16")
    );
    assert!(encode(&Packet::new(Format::Audio { sample_rate: 1.0, channels: 2 }, vec![0; 4]), Wire::Pickle, None).is_err());
    assert!(encode(&Packet::new(Format::Audio { sample_rate: 1.0, channels: 0 }, vec![]), Wire::Pickle, None).is_err());
    assert!(encode(&Packet::new(Format::Plain(Kind::Text), vec![0xff]), Wire::Json, None).is_err());
}
