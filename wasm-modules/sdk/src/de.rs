//! Deserializes serde types from a [`Json`] tree, with errors that say where: `config.bands[2].hz: expected f32`.
//!
//! Whole floats serve as integers: JavaScript has only one kind of number, and hosts write `16000.0`.

use crate::json::Json;
use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt;
use serde::de::{self, DeserializeOwned, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

/// What is wrong, and where.
#[derive(Debug)]
pub(crate) struct DeError {
    /// Such as `a.b[3]`; empty for the outermost value.
    pub path: String,
    pub problem: String,
}

impl DeError {
    fn within(mut self, key: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{key}{dot}{}", self.path);
        self
    }
}

impl fmt::Display for DeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl core::error::Error for DeError {}

impl de::Error for DeError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self { path: String::new(), problem: problem.to_string() }
    }

    // The values themselves are left out: printing a float alone costs a module 20 KB.
    fn invalid_type(got: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let got = match got {
            Unexpected::Bool(_) => "a boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Str(_) => "a string",
            Unexpected::Seq => "an array",
            Unexpected::Map => "an object",
            _ => "null",
        };
        Self::custom(format_args!("expected {expected}, got {got}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!("expected {expected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom("is missing").within(field)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let known = expected.join(", ");
        Self::custom(format_args!("is not known, known are: {known}")).within(field)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let known = expected.join(", ");
        Self::custom(format_args!("'{variant}' is not one of {known}"))
    }
}

pub(crate) fn from_json<T: DeserializeOwned>(json: &Json) -> Result<T, DeError> {
    T::deserialize(json)
}

/// Whole numbers of whatever spelling as integers.
macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
            self.integer(visitor)
        })*
    };
}

impl Json {
    fn integer<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, DeError> {
        match *self {
            Json::Float(x) if (x as i64) as f64 == x => visitor.visit_i64(x as i64),
            Json::Int(n) => visitor.visit_i64(n),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn unexpected(&self, expected: &dyn de::Expected) -> DeError {
        let got = match self {
            Json::Null => Unexpected::Unit,
            Json::Bool(b) => Unexpected::Bool(*b),
            Json::Int(n) => Unexpected::Signed(*n),
            Json::Float(x) => Unexpected::Float(*x),
            Json::Text(text) => Unexpected::Str(text),
            Json::List(_) => Unexpected::Seq,
            Json::Map(_) => Unexpected::Map,
        };
        de::Error::invalid_type(got, expected)
    }
}

impl<'de> de::Deserializer<'de> for &Json {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match self {
            Json::Null => visitor.visit_unit(),
            Json::Bool(b) => visitor.visit_bool(*b),
            Json::Int(n) => visitor.visit_i64(*n),
            Json::Float(x) => visitor.visit_f64(*x),
            Json::Text(text) => visitor.visit_str(text),
            Json::List(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            Json::Map(entries) => visitor.visit_map(Entries { rest: entries.iter(), value: None }),
        }
    }

    integers!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
              deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match self {
            Json::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, DeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        // Variants with content are better written as tagged structs; they would double this file.
        match self {
            Json::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    forward_to_deserialize_any! {
        bool f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

struct Items<'a>(core::iter::Enumerate<core::slice::Iter<'a, Json>>);

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = DeError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DeError> {
        let Some((index, item)) = self.0.next() else {
            return Ok(None);
        };
        let value = seed.deserialize(item);
        value.map(Some).map_err(|e| e.within(&format!("[{index}]")))
    }
}

struct Entries<'a> {
    rest: core::slice::Iter<'a, (String, Json)>,
    value: Option<(&'a str, &'a Json)>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = DeError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DeError> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some((key, value));
        seed.deserialize(key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DeError> {
        let Some((key, value)) = self.value.take() else {
            return Err(de::Error::custom("value asked for before its key"));
        };
        seed.deserialize(value).map_err(|e| e.within(key))
    }
}
