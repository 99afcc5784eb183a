//! Text to a value and back: YAML and JSON, within limits.
//!
//! Problem: a manifest comes from anywhere, and a few lines of YAML may stand for gigabytes, a nesting without end, or two different things
//! to two readers. Answer: both formats go through one builder, which counts depth, values and bytes (those that aliases repeat included)
//! and refuses a key that is given twice; scalars mean what they mean to RemoteMedia's reader, so `on` and `0755` are texts. Merge keys and
//! tags of an application are refused: RemoteMedia does not know them. It does not know what a manifest is.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::options::MergeKeyPolicy;

use super::fields::short;
use super::{MAX_BYTES, MAX_DEPTH};
use crate::error::{Code, Error, Result};

/// Values of all kinds in one text: ten thousand nodes of 25 each.
const MAX_VALUES: usize = 250_000;
/// Shared parts save some typing; nobody types more of them than this.
const MAX_ALIASES: usize = 1_000;
/// Of an error's text, which may quote the input.
const MAX_PROBLEM_CHARS: usize = 400;

/// Reads a text: JSON where it starts with `{`, else YAML.
pub fn value(text: &str) -> Result<Value> {
    if text.len() > MAX_BYTES {
        return Err(wrong(format!("the text is longer than {MAX_BYTES} bytes")));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().is_empty() {
        return Err(wrong("the text is empty".to_owned()));
    }
    let tally = Tally::default();
    let builder = Builder { tally: &tally, depth: 0 };
    if text.trim_start().starts_with('{') {
        let mut json = serde_json::Deserializer::from_str(text);
        let value = builder.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
        return value.map_err(|error| wrong(format!("cannot be read as JSON, which its first character says it is: {error}")));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_depth: MAX_DEPTH,
            max_documents: 1,
            max_nodes: MAX_VALUES,
            max_total_scalar_bytes: MAX_BYTES,
        },
        // What RemoteMedia's reader makes of plain scalars.
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        leading_zero_numbers_as_strings: true,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        // Errors are for one line of a log.
        with_snippet: false,
    };
    let value = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| builder.deserialize(yaml));
    value.map_err(|error| wrong(format!("cannot be read as YAML: {error}")))
}

/// Reads a file's text; who is told of a problem learns the file's name.
pub fn file(path: &Path) -> Result<String> {
    let wrong = |problem: String| wrong(format!("{problem} ({})", path.display()));
    let mut text = String::new();
    let opened = File::open(path).map_err(|error| wrong(format!("the file cannot be read: {error}")).because(error))?;
    let read = opened.take(MAX_BYTES as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| wrong(format!("the file cannot be read: {error}")).because(error))?;
    if text.len() > MAX_BYTES {
        return Err(wrong(format!("the file is longer than {MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// Writes a value as YAML.
pub fn yaml(value: &Value) -> Result<String> {
    serde_saphyr::to_string(value).map_err(|error| Error::new(Code::Internal, format!("a manifest cannot be written as YAML: {error}")))
}

fn wrong(problem: String) -> Error {
    Error::config("manifest", short(&problem, MAX_PROBLEM_CHARS))
}

/// What was built so far, of all levels.
#[derive(Default)]
struct Tally {
    values: Cell<usize>,
    bytes: Cell<usize>,
}

impl Tally {
    fn value<E: serde::de::Error>(&self) -> Result<(), E> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > MAX_VALUES { Err(E::custom(format_args!("there are more than {MAX_VALUES} values"))) } else { Ok(()) }
    }

    fn text<E: serde::de::Error>(&self, text: &str) -> Result<(), E> {
        self.bytes.set(self.bytes.get() + text.len());
        // Twice: a few escapes are shorter than what they stand for.
        if self.bytes.get() > 2 * MAX_BYTES { Err(E::custom("aliases make it too long")) } else { Ok(()) }
    }
}

/// Builds a value at one level.
#[derive(Clone, Copy)]
struct Builder<'a> {
    tally: &'a Tally,
    depth: usize,
}

impl Builder<'_> {
    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("there are more than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Builder<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.tally.value()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Builder<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    // JSON's reader makes the same of them.
    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is infinite or none"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.tally.text(value)?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(below)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.tally.text(&key)?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key '{}' is given twice", short(&key, 64))));
            }
            let value = entries.next_value_seed(below)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
