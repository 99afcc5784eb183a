//! Python values for the codec's tests: any of them, and a description that Python's own can be compared with (`oracle.py`).

#![allow(dead_code, reason = "each test binary uses its part")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use remotemedia_wasmedge::remote::codec::{BigInt, Dtype, NdArray, Order, PyValue};
use serde_json::{Value, json};

/// Bytes as Python's `bytes.hex()` has them.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn float_bits(number: f64) -> String {
    let number = if number.is_nan() { f64::NAN } else { number };
    hex(&number.to_be_bytes())
}

/// The value as `describe` of `oracle.py` has it.
pub fn describe(value: &PyValue) -> Value {
    let all = |items: &[PyValue]| items.iter().map(describe).collect::<Vec<_>>();
    match value {
        PyValue::None => json!(["none"]),
        PyValue::Bool(flag) => json!(["bool", flag]),
        PyValue::Int(number) => json!(["int", number.to_string()]),
        PyValue::BigInt(number) => json!(["int", number.to_string()]),
        PyValue::Float(number) => json!(["float", float_bits(*number)]),
        PyValue::Complex(real, imaginary) => json!(["complex", float_bits(*real), float_bits(*imaginary)]),
        PyValue::Str(text) => json!(["str", hex(text.as_bytes())]),
        PyValue::Bytes(bytes) => json!(["bytes", hex(bytes)]),
        PyValue::List(items) => json!(["list", all(items)]),
        PyValue::Tuple(items) => json!(["tuple", all(items)]),
        PyValue::Dict(entries) => json!(["dict", entries.iter().map(|(key, value)| [describe(key), describe(value)]).collect::<Vec<_>>()]),
        PyValue::Set(items) => {
            let mut items = all(items);
            items.sort_by_key(Value::to_string);
            json!(["set", items])
        }
        PyValue::Array(array) => {
            let array = array.clone().into_standard().expect("an array that fits its bytes");
            json!(["array", array.dtype.to_string(), array.shape, hex(&array.data)])
        }
    }
}

/// The first `count` values of a strategy, the same ones each time; `CODEC_MORE=10` makes them ten times as many.
pub fn some<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    let more: usize = std::env::var("CODEC_MORE").map_or(1, |more| more.parse().expect("a number"));
    (0..count * more).map(|_| strategy.new_tree(&mut runner).expect("a value").current()).collect()
}

/// Text of every kind: plain, with quotes and escapes, beyond ASCII, and what looks like something else.
pub fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_./:-]{0,12}",
        any::<String>(),
        "[\\\\'\"{}\\[\\]():,0-9 .a-f\n\t#+-]{0,10}",
        prop::sample::select(vec![
            "True",
            "none",
            "null",
            "NaN",
            "-Infinity",
            "1e5",
            "0x10",
            "1_0",
            "'a'",
            "r\"x\"",
            "b'y'",
            "u'z'",
            "set()",
            "[1]",
            "\u{1f600}\"",
            " 5",
            "5 ",
            "\n5",
            "\u{feff}1",
            "#\n5",
            "\\\n5"
        ])
        .prop_map(str::to_owned),
    ]
}

pub fn any_array() -> impl Strategy<Value = NdArray> {
    const DTYPES: &[&str] = &[
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
        "complex64",
        "complex128",
        "S3",
        "U2",
    ];
    (prop::sample::select(DTYPES), vec(0_u64..5, 0..4), any::<bool>(), any::<bool>()).prop_flat_map(|(name, shape, fortran, big)| {
        let dtype = Dtype::parse(name).expect("a dtype");
        let dtype = if big { dtype.with_order(Order::Big) } else { dtype };
        let size = shape.iter().product::<u64>() as usize * dtype.size() as usize;
        // ASCII, zeros and ones are elements of every type: text has to be letters.
        let element = if name == "U2" { Just(0_u8).boxed() } else { any::<u8>().boxed() };
        vec(element, size).prop_map(move |data| {
            let data = if name == "bool" { data.into_iter().map(|byte| byte & 1).collect() } else { data };
            NdArray::new(dtype, shape.clone(), fortran, data.into()).expect("an array")
        })
    })
}

fn big_int() -> impl Strategy<Value = PyValue> {
    vec(any::<u8>(), 9..300).prop_filter_map("beyond 64 bits", |bytes| {
        let number = BigInt::from_signed_bytes_le(&bytes);
        i64::try_from(&number).is_err().then(|| PyValue::BigInt(Box::new(number)))
    })
}

/// What may be a key of a dict, without what Python takes for equal: `1`, `1.0` and `True`.
fn any_key() -> impl Strategy<Value = PyValue> {
    let leaf = prop_oneof![
        any_text().prop_map(PyValue::Str),
        any::<i64>().prop_map(PyValue::Int),
        vec(any::<u8>(), 0..5).prop_map(|bytes| PyValue::Bytes(bytes.into()))
    ];
    prop_oneof![leaf.clone(), vec(leaf, 0..3).prop_map(PyValue::Tuple)]
}

/// Each key once.
fn distinct(entries: Vec<(PyValue, PyValue)>) -> Vec<(PyValue, PyValue)> {
    let mut kept: Vec<(PyValue, PyValue)> = Vec::new();
    for entry in entries {
        if kept.iter().all(|(key, _)| *key != entry.0) {
            kept.push(entry);
        }
    }
    kept
}

/// Values that json holds as well as Python.
pub fn any_json_value() -> impl Strategy<Value = PyValue> {
    let leaf = prop_oneof![
        Just(PyValue::None),
        any::<bool>().prop_map(PyValue::Bool),
        any::<i64>().prop_map(PyValue::Int),
        big_int(),
        any::<f64>().prop_map(PyValue::Float),
        prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e22]).prop_map(PyValue::Float),
        any_text().prop_map(PyValue::Str),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(PyValue::List),
            vec((any_text().prop_map(PyValue::Str), inner), 0..6).prop_map(|entries| PyValue::Dict(distinct(entries))),
        ]
    })
}

/// Any value at all.
pub fn any_value() -> impl Strategy<Value = PyValue> {
    let leaf = prop_oneof![
        4 => any_json_value(),
        1 => vec(any::<u8>(), 0..400).prop_map(|bytes| PyValue::Bytes(bytes.into())),
        1 => (any::<f64>(), any::<f64>()).prop_map(|(real, imaginary)| PyValue::Complex(real, imaginary)),
        2 => any_array().prop_map(PyValue::Array),
        1 => vec(any_key(), 0..5).prop_map(|keys| PyValue::Set(distinct(keys.into_iter().map(|key| (key, PyValue::None)).collect()).into_iter().map(|(key, _)| key).collect())),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(PyValue::List),
            vec(inner.clone(), 0..5).prop_map(PyValue::Tuple),
            vec((any_key(), inner), 0..5).prop_map(|entries| PyValue::Dict(distinct(entries))),
        ]
    })
}
