//! What real Python and numpy write is read right, and they read what is written.
//!
//! The oracle is `remote_codec/oracle.py`, run by `python3` with numpy 2 and, where this Python still has it, numpy 1; both are installed
//! from PyPI into `target/`. `CODEC_PYTHONS`, a list with colons, names more interpreters that have numpy.

#[path = "python/mod.rs"]
mod python;
#[path = "remote_codec/values.rs"]
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use python::Script;
use remotemedia_wasmedge::data::{Bytes, Format, Kind, Map, Packet, SessionId};
use remotemedia_wasmedge::error::Code;
use remotemedia_wasmedge::remote::codec::{PyValue, Wire, config_strings, decode, decode_value, encode, encode_value, parse_config};
use serde_json::{Value, json};
use values::{any_json_value, any_text, any_value, describe, hex, some};

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/remote_codec/oracle.py")
}

/// One interpreter with numpy 2.
fn oracle() -> Script {
    Script::start(&python::with_packages(&["numpy>=2"]), &script())
}

/// All that there are.
fn oracles() -> Vec<Script> {
    let mut pythons = vec![python::with_packages(&["numpy>=2"])];
    // Numpy 1 was given up before Python 3.13.
    if python::version() < (3, 13) {
        pythons.push(python::with_packages(&["numpy<2"]));
    }
    let more = std::env::var("CODEC_PYTHONS").unwrap_or_default();
    pythons.extend(more.split(':').filter(|path| !path.is_empty()).map(PathBuf::from));
    pythons.iter().map(|python| Script::start(python, &script())).collect()
}

fn base64(text: &Value) -> Bytes {
    STANDARD.decode(text.as_str().expect("text")).expect("base64").into()
}

/// Name, pickle and what belongs to it, for everything of a kind in one protocol.
fn pickles(oracle: &mut Script, what: &str, protocol: u32) -> Vec<(String, Bytes, Value)> {
    let answer = oracle.ask(&json!({ "what": what, "protocol": protocol }));
    let cases = answer.as_array().expect("cases").iter();
    cases.map(|case| (case[0].as_str().expect("a name").to_owned(), base64(&case[1]), case[2].clone())).collect()
}

#[test]
fn what_python_pickles_is_read_in_every_protocol() {
    for mut oracle in oracles() {
        let version = oracle.ask(&json!({ "what": "version" }));
        for protocol in 0..=5 {
            let cases = pickles(&mut oracle, "values", protocol);
            assert!(cases.len() > 60, "{} cases", cases.len());
            for (name, pickle, expected) in cases {
                let value = decode_value(&pickle, Wire::Pickle).unwrap_or_else(|error| panic!("{version}, protocol {protocol}, {name}: {error}"));
                assert_eq!(describe(&value), expected, "{version}, protocol {protocol}, {name}");
            }
        }
    }
}

#[test]
fn numpys_names_of_both_generations_are_read() {
    let mut oracle = oracle();
    let mut rewritten = 0;
    for protocol in 0..=5 {
        for (name, pickle, expected) in pickles(&mut oracle, "values", protocol) {
            // GLOBAL has a line; STACK_GLOBAL takes text with its length before it.
            let mut other = replace(&pickle, b"cnumpy._core.", b"cnumpy.core.");
            for (long, short) in [("numpy._core.multiarray", "numpy.core.multiarray"), ("numpy._core.numeric", "numpy.core.numeric")] {
                let with_length = |text: &str| [&[0x8c, text.len() as u8], text.as_bytes()].concat();
                other = replace(&other, &with_length(long), &with_length(short));
            }
            rewritten += usize::from(other != pickle);
            let value = decode_value(&other.into(), Wire::Pickle).unwrap_or_else(|error| panic!("protocol {protocol}, {name}: {error}"));
            assert_eq!(describe(&value), expected, "protocol {protocol}, {name}");
        }
    }
    assert!(rewritten > 150, "only {rewritten} pickles name numpy's insides");
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend([&rest[..at], to].concat());
        rest = &rest[at + from.len()..];
    }
    out.extend(rest);
    out
}

#[test]
fn everything_else_is_refused_by_name_and_nothing_runs() {
    for mut oracle in oracles() {
        for protocol in 0..=5 {
            for (name, pickle, part) in pickles(&mut oracle, "refusals", protocol) {
                let error = decode_value(&pickle, Wire::Pickle).expect_err(&name);
                assert_eq!(error.code(), Code::Serialization, "{name}");
                assert!(error.message().contains(part.as_str().expect("text")), "protocol {protocol}, {name}: {error}");
            }
        }
    }
}

#[test]
fn what_is_pickled_is_loaded_by_python() {
    let values = some(any_value(), 400);
    for mut oracle in oracles() {
        for value in &values {
            let pickle = encode_value(value, Wire::Pickle).unwrap_or_else(|error| panic!("{value:?}: {error}"));
            let answer = oracle.ask(&json!({ "what": "loads", "pickle": STANDARD.encode(&pickle) }));
            assert_eq!(answer[0], describe(value), "{value:?}");
            assert_eq!(answer[1], true, "a node cannot write to an array of {value:?}");
        }
    }
}

#[test]
fn audio_reaches_python_as_nodes_expect_it() {
    let mut packet = Packet::audio(&[0.0, 0.5, 1.0, -0.5, -1.0, 0.25], 48_000.0, 2);
    let metadata: Map<String, Value> = serde_json::from_value(json!({ "n": 1, "deep": [true, null] })).expect("a map");
    packet.metadata = Some(metadata.into());
    let session = SessionId::new("alice").expect("an id");
    let bits = |samples: &[f32]| hex(&samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<_>>());
    for mut oracle in oracles() {
        let mut loaded = |packet: &Packet, session| {
            let pickle = encode(packet, Wire::Pickle, session).expect("a pickle");
            oracle.ask(&json!({ "what": "loads", "pickle": STANDARD.encode(&pickle) }))
        };
        let array = json!(["array", "<f4", [2, 3], bits(&[0.0, 1.0, -1.0, 0.5, -0.5, 0.25])]);
        let about = vec![
            (PyValue::from("n"), PyValue::Int(1)),
            (PyValue::from("deep"), PyValue::List(vec![PyValue::Bool(true), PyValue::None])),
            (PyValue::from("session_id"), PyValue::from("alice")),
        ];
        let expected = json!(["tuple", [array, ["int", "48000"], describe(&PyValue::Dict(about))]]);
        assert_eq!(loaded(&packet, Some(&session)), json!([expected, true]));

        let mono = Packet::audio(&[0.5, -0.5], 22_050.5, 1);
        let expected = json!(["tuple", [["array", "<f4", [1, 2], bits(&[0.5, -0.5])], describe(&PyValue::Float(22_050.5))]]);
        assert_eq!(loaded(&mono, None), json!([expected, true]));
    }
}

#[test]
fn json_goes_both_ways_with_python() {
    let mut oracle = oracle();
    for value in some(any_json_value(), 600) {
        let text = encode_value(&value, Wire::Json).unwrap_or_else(|error| panic!("{value:?}: {error}"));
        let text = std::str::from_utf8(&text).expect("UTF-8");
        assert_eq!(oracle.ask(&json!({ "what": "json", "text": text })), describe(&value), "{text}");
    }
    let written = oracle.ask(&json!({ "what": "json.dumps" }));
    for text in written.as_array().expect("texts").iter().map(|text| text.as_str().expect("text")) {
        let value = decode_value(&Bytes::copy_from_slice(text.as_bytes()), Wire::Json).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(oracle.ask(&json!({ "what": "json", "text": text })), describe(&value), "{text}");
        // As a packet it is json that JavaScript reads.
        let packet = decode(&Bytes::copy_from_slice(text.as_bytes()), Wire::Json).expect("a packet");
        assert_eq!(packet.format, Format::Plain(Kind::Json));
        serde_json::from_slice::<Value>(&packet.bytes).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

/// Json values as configuration has them.
fn any_config() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any_text(), inner), 0..5).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

#[test]
fn configuration_is_read_as_meant_by_both_ways_of_the_server() {
    let mut oracle = oracle();
    let config: Map<String, Value> = some(any_config(), 1500).into_iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect();
    let strings = config_strings(&config).expect("strings");
    let keys: Vec<&String> = config.keys().collect();
    let texts: Vec<&String> = keys.iter().map(|key| &strings[*key]).collect();
    let answers = oracle.ask(&json!({ "what": "config", "texts": texts }));
    for (index, key) in keys.iter().enumerate() {
        let meant = decode_value(&config[*key].to_string().into(), Wire::Json).expect("json");
        for way in 0..2 {
            assert_eq!(answers[index][way], describe(&meant), "way {way}: {} was written as {}", config[*key], strings[*key]);
        }
    }
    // Our own service takes them the same way.
    assert_eq!(Value::Object(parse_config(&strings)), Value::Object(config.clone().into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()));
}

#[test]
fn what_python_clients_write_into_configuration_is_understood() {
    let mut oracle = oracle();
    let answer = oracle.ask(&json!({ "what": "str" }));
    for case in answer.as_array().expect("cases") {
        let text = case[0].as_str().expect("text").to_owned();
        let parsed = parse_config(&BTreeMap::from([("key".to_owned(), text.clone())]));
        let parsed = decode_value(&parsed["key"].to_string().into(), Wire::Json).expect("json");
        let expected = json_form(&case[1]).expect("json");
        assert_eq!(describe(&parsed), expected, "{text}");
    }
}

#[test]
fn literals_mean_what_python_says() {
    let mut oracle = oracle();
    let made = "((-?[0-9_.e]{1,4}|True|None|[rbu]?'[a-z\\\\x0-9]{0,4}'|\"\"\"a\"\"\"|[\\[\\](){},: ]){0,8})";
    let texts = some(prop_oneof![made, any_text(), any_value().prop_map(|value| literal(&value).unwrap_or_default())], 3000);
    let mut understood = 0;
    for text in &texts {
        let python = oracle.ask(&json!({ "what": "meaning", "text": text }));
        let ours = parse_config(&BTreeMap::from([("key".to_owned(), text.clone())]));
        let ours = describe(&decode_value(&ours["key"].to_string().into(), Wire::Json).expect("json"));
        let itself = describe(&PyValue::Str(text.clone()));
        let expected = json_form(&python).unwrap_or_else(|| itself.clone());
        understood += usize::from(ours == expected && ours != itself);
        // What is left out on purpose keeps the string.
        let left_out = ours == itself && ["...", "j", "J", "#", "\\\n", "\\N"].iter().any(|part| text.contains(part));
        assert!(ours == expected || left_out, "Python reads {text:?} as {python}, this as {ours}");
    }
    assert!(understood > 300, "only {understood} literals");
}

/// What json makes of a described value: arrays of tuples and sets, text of keys. Nothing for what it cannot hold.
fn json_form(described: &Value) -> Option<Value> {
    let items = |at: usize| described[at].as_array().into_iter().flatten();
    Some(match described[0].as_str()? {
        "bytes" | "complex" | "array" => return None,
        "list" | "tuple" | "set" => json!(["list", items(1).map(json_form).collect::<Option<Vec<_>>>()?]),
        "dict" => {
            let mut entries: Vec<(Value, Value)> = Vec::new();
            for entry in items(1) {
                let key = match (entry[0][0].as_str()?, entry[0][1].as_str()) {
                    ("str", _) => entry[0].clone(),
                    ("int", Some(digits)) => describe(&PyValue::from(digits)),
                    ("none", _) => describe(&PyValue::from("null")),
                    ("bool", _) => describe(&PyValue::from(entry[0][1].to_string().as_str())),
                    // Floats may be written in more than one way, and tuples are no keys.
                    _ => return None,
                };
                entries.retain(|(known, _)| *known != key);
                entries.push((key.clone(), json!([key, json_form(&entry[1])?])));
            }
            json!(["dict", entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>()])
        }
        "int" => {
            let digits = described[1].as_str()?;
            let exact = digits.parse::<i64>().is_ok() || digits.parse::<u64>().is_ok();
            if exact { described.clone() } else { describe(&finite(digits.parse().ok()?)) }
        }
        "float" => {
            let bits = u64::from_str_radix(described[1].as_str()?, 16).ok()?;
            describe(&finite(f64::from_bits(bits)))
        }
        _ => described.clone(),
    })
}

/// JavaScript's json has null for numbers that are not finite.
fn finite(number: f64) -> PyValue {
    if number.is_finite() { PyValue::Float(number) } else { PyValue::None }
}

/// A value as Python writes it, if it can be a literal.
fn literal(value: &PyValue) -> Option<String> {
    let all = |items: &[PyValue]| items.iter().map(literal).collect::<Option<Vec<_>>>().map(|items| items.join(", "));
    Some(match value {
        PyValue::None => "None".into(),
        PyValue::Bool(flag) => if *flag { "True" } else { "False" }.into(),
        PyValue::Int(number) => number.to_string(),
        PyValue::Float(number) if number.is_finite() => format!("{number:?}"),
        PyValue::Str(text) => Value::from(text.as_str()).to_string(),
        PyValue::List(items) => format!("[{}]", all(items)?),
        PyValue::Tuple(items) if items.len() == 1 => format!("({},)", literal(&items[0])?),
        PyValue::Tuple(items) => format!("({})", all(items)?),
        PyValue::Dict(entries) if entries.iter().all(|(key, _)| matches!(key, PyValue::Str(_))) => {
            let entries = entries.iter().map(|(key, value)| Some(format!("{}: {}", literal(key)?, literal(value)?))).collect::<Option<Vec<_>>>()?;
            format!("{{{}}}", entries.join(", "))
        }
        _ => return None,
    })
}
