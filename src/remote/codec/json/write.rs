//! Writes json for Python or for JavaScript.
//!
//! Keys of a dict that are no text become text as Python's `json.dumps` does it. White space is left out, letters outside of ASCII are
//! written as they are.

use super::stand_in;
use crate::error::{Error, Result};
use crate::remote::codec::limits::{Budget, MAX_INT_DIGITS, check_depth};
use crate::remote::codec::refused;
use crate::remote::codec::value::PyValue;

/// Who is to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `NaN` and infinities are written bare; what json has no form for is refused, with the advice to use pickle.
    Python,
    /// `NaN`, infinities and whole numbers that no `f64` can hold become null, as `JSON.stringify` does it; bytes and arrays become
    /// [stand-ins](stand_in), a set becomes an array.
    JavaScript,
}

/// The json text of a value. Each byte is paid for, since a tree may share its arrays' bytes.
pub fn dumps(value: &PyValue, dialect: Dialect, budget: &mut Budget) -> Result<Vec<u8>> {
    let mut writer = Writer { out: Vec::new(), paid: 0, dialect, budget };
    writer.value(value, 0)?;
    Ok(writer.out)
}

/// A string in quotes.
pub fn string(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail, nor does text.
    let _ = serde_json::to_writer(out, text);
}

fn no_form(value: &PyValue) -> Error {
    refused(format!("json cannot hold a {}; use format 'pickle'", value.type_name()))
}

struct Writer<'a> {
    out: Vec<u8>,
    paid: usize,
    dialect: Dialect,
    budget: &'a mut Budget,
}

impl Writer<'_> {
    /// Pays for what was written since, and for `more` that will be.
    fn pay(&mut self, more: usize) -> Result<()> {
        let length = self.out.len() + more;
        if length > self.paid {
            // Twice, since the text doubles as it grows.
            self.budget.take(2 * (length - self.paid))?;
            self.paid = length;
        }
        Ok(())
    }

    fn value(&mut self, value: &PyValue, depth: usize) -> Result<()> {
        check_depth(depth)?;
        self.pay(0)?;
        match value {
            PyValue::None => self.out.extend_from_slice(b"null"),
            PyValue::Bool(flag) => self.out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            PyValue::Int(number) => self.out.extend_from_slice(number.to_string().as_bytes()),
            PyValue::BigInt(number) => {
                let digits = number.to_string();
                match self.dialect {
                    Dialect::Python if digits.len() > MAX_INT_DIGITS + 1 => {
                        return Err(refused(format!("an int of {} digits; json for Python has {MAX_INT_DIGITS} at most", digits.len())));
                    }
                    Dialect::JavaScript if !digits.parse::<f64>().is_ok_and(f64::is_finite) => self.out.extend_from_slice(b"null"),
                    _ => self.out.extend_from_slice(digits.as_bytes()),
                }
            }
            PyValue::Float(number) => self.float(*number),
            PyValue::Str(text) => self.string(text)?,
            PyValue::List(items) | PyValue::Tuple(items) => self.items(items, depth)?,
            PyValue::Dict(entries) => self.dict(entries, depth)?,
            _ if self.dialect == Dialect::Python => return Err(no_form(value)),
            PyValue::Set(items) => self.items(items, depth)?,
            PyValue::Complex(real, imaginary) => {
                self.out.extend_from_slice(stand_in::COMPLEX_REAL);
                self.float(*real);
                self.out.extend_from_slice(stand_in::COMPLEX_IMAGINARY);
                self.float(*imaginary);
                self.out.push(b'}');
            }
            PyValue::Bytes(bytes) => {
                self.out.extend_from_slice(stand_in::BYTES);
                self.base64(bytes)?;
                self.out.push(b'}');
            }
            PyValue::Array(array) => {
                // Laying it anew takes a copy.
                self.budget.take(array.data.len())?;
                let array = array.clone().into_standard()?;
                self.out.extend_from_slice(stand_in::ARRAY_DTYPE);
                string(&array.dtype.name(), &mut self.out);
                self.out.extend_from_slice(stand_in::ARRAY_SHAPE);
                for (index, size) in array.shape.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    self.out.extend_from_slice(format!("{comma}{size}").as_bytes());
                }
                self.out.extend_from_slice(stand_in::ARRAY_DATA);
                self.base64(&array.data)?;
                self.out.extend_from_slice(b"}}");
            }
        }
        self.pay(0)
    }

    fn float(&mut self, number: f64) {
        let text = match (number.is_finite(), self.dialect) {
            // Rust's shortest form that reads back the same, which is json.
            (true, _) => format!("{number:?}"),
            (false, Dialect::JavaScript) => "null".into(),
            (false, Dialect::Python) if number.is_nan() => "NaN".into(),
            (false, Dialect::Python) => if number > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        };
        self.out.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, text: &str) -> Result<()> {
        self.pay(text.len())?;
        string(text, &mut self.out);
        self.pay(0)
    }

    fn items(&mut self, items: &[PyValue], depth: usize) -> Result<()> {
        self.out.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.value(item, depth + 1)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn dict(&mut self, entries: &[(PyValue, PyValue)], depth: usize) -> Result<()> {
        self.out.push(b'{');
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            match key {
                PyValue::Str(text) => self.string(text)?,
                PyValue::None | PyValue::Bool(_) | PyValue::Int(_) | PyValue::Float(_) | PyValue::BigInt(_) => {
                    self.out.push(b'"');
                    self.value(key, depth + 1)?;
                    self.out.push(b'"');
                }
                other => {
                    let advice = if self.dialect == Dialect::Python { "; use format 'pickle'" } else { "" };
                    return Err(refused(format!("json cannot hold a dict with a {} as key{advice}", other.type_name())));
                }
            }
            self.out.push(b':');
            self.value(value, depth + 1)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn base64(&mut self, bytes: &[u8]) -> Result<()> {
        self.pay(bytes.len().div_ceil(3) * 4 + 2)?;
        self.out.push(b'"');
        self.out.extend_from_slice(stand_in::encode(bytes).as_bytes());
        self.out.push(b'"');
        Ok(())
    }
}
