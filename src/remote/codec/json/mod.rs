//! Json, as Python and as JavaScript have it.
//!
//! Problem: Python's json knows `NaN`, `Infinity` and whole numbers of any length, and has no bytes or arrays; JavaScript's knows none of
//! these, and a packet's json must be read by `JSON.parse`. Answer: one reader for both (`read.rs`); one writer with two dialects
//! (`write.rs`); and objects that stand for bytes and arrays inside a packet's json (`stand_in.rs`). What is strict json already is
//! recognised here and passed on as it is.

mod read;
pub mod stand_in;
mod write;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::limits::MAX_DEPTH;
pub use read::loads;
pub use write::{Dialect, dumps, string};

/// What a text is, if it is json by the letter: no `NaN`, no number that no `f64` can hold, not nested more than [`MAX_DEPTH`] deep.
pub fn strict(text: &[u8]) -> Option<Strict> {
    let text = std::str::from_utf8(text).ok()?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = Seed(MAX_DEPTH).deserialize(&mut reader).ok()?;
    reader.end().ok().map(|()| found)
}

/// What stands outermost in a json text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strict {
    /// A string.
    Text,
    /// Anything else.
    Other,
}

/// Walks a value without keeping it; how deep it may still go.
struct Seed(usize);

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Strict;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seed {
    fn inner<E: serde::de::Error>(&self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict::Other)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Strict, E> {
        if number.is_finite() { Ok(Strict::Other) } else { Err(E::custom("not finite")) }
    }

    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        while items.next_element_seed(self.inner()?)?.is_some() {}
        Ok(Strict::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
        while let Some(key) = entries.next_key_seed(self.inner()?)? {
            if key != Strict::Text {
                return Err(A::Error::custom("a key that is no text"));
            }
            entries.next_value_seed(self.inner()?)?;
        }
        Ok(Strict::Other)
    }
}
