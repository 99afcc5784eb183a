//! One object of a manifest, read field by field.
//!
//! Problem: every field has a type and a place that an error must name, and what nobody asks for must not be lost. Answer: [`Fields`] hands
//! out each field once, checked, by either spelling (`node_type` as in files, `nodeType` as in JavaScript); what is left over is kept as it
//! is. A field that is null is one that is not given. It does not know which fields there are.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// What is left of an object, and where the object is.
pub struct Fields {
    map: Map<String, Value>,
    path: String,
}

impl Fields {
    /// An object at `path`.
    pub fn new(value: Value, path: &str) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self { map, path: path.to_owned() }),
            other => Err(mismatch(path, "an object", Some(&other))),
        }
    }

    /// The object that a manifest is. Its fields' paths start at themselves.
    pub fn root(value: Value) -> Result<Self> {
        let fields = Self::new(value, "manifest")?;
        Ok(Self { path: String::new(), ..fields })
    }

    /// Where a field is.
    pub fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A field's value.
    pub fn take(&mut self, key: &str) -> Result<Option<Value>> {
        let camel = camel(key);
        let value = match (self.map.shift_remove(key), self.map.shift_remove(&camel)) {
            (Some(_), Some(_)) => return Err(Error::config(self.at(key), format!("is given twice, as {camel} too"))),
            (first, second) => first.or(second),
        };
        Ok(value.filter(|value| !value.is_null()))
    }

    /// Whether something that nobody has asked for yet is there.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(mismatch(&self.at(key), "a string", Some(&other))),
        }
    }

    /// A text that must be there, 1 to `most` bytes of it.
    pub fn name(&mut self, key: &str, most: usize) -> Result<String> {
        match self.text(key)? {
            Some(text) if (1..=most).contains(&text.len()) => Ok(text),
            Some(text) => Err(Error::config(self.at(key), format!("must be 1 to {most} bytes, got {}", text.len()))),
            None => Err(mismatch(&self.at(key), "a string", None)),
        }
    }

    /// A boolean, `false` where there is none.
    pub fn flag(&mut self, key: &str) -> Result<bool> {
        match self.take(key)? {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(mismatch(&self.at(key), "a boolean", Some(&other))),
        }
    }

    /// An object.
    pub fn object(&mut self, key: &str) -> Result<Option<Map<String, Value>>> {
        match self.take(key)? {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(mismatch(&self.at(key), "an object", Some(&other))),
        }
    }

    /// The fields of an object.
    pub fn fields(&mut self, key: &str) -> Result<Option<Fields>> {
        let path = self.at(key);
        self.take(key)?.map(|value| Fields::new(value, &path)).transpose()
    }

    /// A list of at most `most`.
    pub fn list(&mut self, key: &str, most: usize) -> Result<Option<Vec<Value>>> {
        match self.take(key)? {
            None => Ok(None),
            Some(Value::Array(list)) if list.len() <= most => Ok(Some(list)),
            Some(Value::Array(list)) => Err(Error::config(self.at(key), format!("must be {most} at most, got {}", list.len()))),
            Some(other) => Err(mismatch(&self.at(key), "an array", Some(&other))),
        }
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &str, most: usize) -> Result<Option<Vec<String>>> {
        let path = self.at(key);
        let Some(list) = self.list(key, most)? else { return Ok(None) };
        let texts = list.into_iter().enumerate().map(|(index, value)| match value {
            Value::String(text) => Ok(text),
            other => Err(mismatch(&format!("{path}.{index}"), "a string", Some(&other))),
        });
        texts.collect::<Result<_>>().map(Some)
    }

    /// One of the words.
    pub fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(Some(*meaning));
        }
        let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        Err(Error::config(self.at(key), format!("must be one of {known}, got '{}'", short(&text, SHOWN))))
    }

    /// A whole number within a range.
    pub fn whole(&mut self, key: &str, default: u64, low: u64, high: u64) -> Result<u64> {
        let Some(value) = self.take(key)? else { return Ok(default) };
        // JavaScript and some writers of YAML make no difference between 8000 and 8000.0.
        let number = value.as_u64().or_else(|| value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0).map(|number| number as u64));
        let expected = format!("a whole number from {low} to {high}");
        number.filter(|number| (low..=high).contains(number)).ok_or_else(|| mismatch(&self.at(key), &expected, Some(&value)))
    }

    /// What nobody has asked for.
    pub fn rest(self) -> Map<String, Value> {
        self.map
    }
}

/// The error of a value that is not what it must be.
pub fn mismatch(path: &str, expected: &str, got: Option<&Value>) -> Error {
    Error::config(path, format!("must be {expected}, got {}", shown(got)))
}

/// How much of a text an error quotes, in characters.
const SHOWN: usize = 64;

/// What a value is, for a sentence.
fn shown(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Bool(_)) => "a boolean".to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => format!("'{}'", short(text, SHOWN)),
        Some(Value::Array(_)) => "an array".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
    }
}

/// At most so many characters of a text.
pub fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `nodeType` for `node_type`.
fn camel(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for (index, part) in key.split('_').enumerate() {
        match part.split_at_checked(1) {
            Some((first, rest)) if index > 0 => {
                out.push_str(&first.to_ascii_uppercase());
                out.push_str(rest);
            }
            _ => out.push_str(part),
        }
    }
    out
}
