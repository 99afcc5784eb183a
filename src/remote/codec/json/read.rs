//! Reads json as Python's `json.loads` does.
//!
//! Beyond the standard: `NaN`, `Infinity`, `-Infinity`; whole numbers stay whole up to [`MAX_INT_DIGITS`] digits and are refused beyond, as
//! Python does; a `float` too large becomes infinite; a lone surrogate becomes U+FFFD, which is what JavaScript makes of it in UTF-8.

use crate::error::{Error, Result};
use crate::remote::codec::limits::{Budget, MAX_INT_DIGITS, check_depth};
use crate::remote::codec::refused;
use crate::remote::codec::value::{BigInt, PyValue};

/// Reads one value and nothing behind it but white space.
pub fn loads(text: &[u8], budget: &mut Budget) -> Result<PyValue> {
    let text = std::str::from_utf8(text).map_err(|error| refused(format!("no json: byte {} is no UTF-8", error.valid_up_to())))?;
    let mut reader = Reader { text, at: 0, budget };
    let value = reader.value(0)?;
    reader.white();
    if reader.at < text.len() { Err(reader.wrong("the end")) } else { Ok(value) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    budget: &'a mut Budget,
}

impl Reader<'_> {
    fn wrong(&self, expected: &str) -> Error {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => refused(format!("no json: '{}' at byte {}, where {expected} should be", found.escape_debug(), self.at)),
            None => refused(format!("no json: it ends where {expected} should be")),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn white(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Goes on behind `word`, if it is next.
    fn skip(&mut self, word: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Result<PyValue> {
        check_depth(depth)?;
        // Twice, since the vector that it will stand in doubles as it grows.
        self.budget.take(2 * size_of::<PyValue>())?;
        self.white();
        match self.peek() {
            Some(b'{') => self.dict(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(PyValue::Str),
            Some(b'-' | b'0'..=b'9') if !self.text[self.at..].starts_with("-I") => self.number(),
            _ => {
                let words = [
                    ("null", PyValue::None),
                    ("true", PyValue::Bool(true)),
                    ("false", PyValue::Bool(false)),
                    ("NaN", PyValue::Float(f64::NAN)),
                    ("Infinity", PyValue::Float(f64::INFINITY)),
                    ("-Infinity", PyValue::Float(f64::NEG_INFINITY)),
                ];
                let found = words.into_iter().find(|(word, _)| self.skip(word));
                found.map(|(_, value)| value).ok_or_else(|| self.wrong("a value"))
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<PyValue> {
        self.at += 1;
        let mut items = Vec::new();
        self.white();
        if self.skip("]") {
            return Ok(PyValue::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.white();
            if self.skip("]") {
                return Ok(PyValue::List(items));
            }
            if !self.skip(",") {
                return Err(self.wrong("',' or ']'"));
            }
        }
    }

    fn dict(&mut self, depth: usize) -> Result<PyValue> {
        self.at += 1;
        let mut entries = Vec::new();
        self.white();
        if self.skip("}") {
            return Ok(PyValue::Dict(entries));
        }
        loop {
            self.white();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a key"));
            }
            self.budget.take(2 * size_of::<PyValue>())?;
            let key = PyValue::Str(self.string()?);
            self.white();
            if !self.skip(":") {
                return Err(self.wrong("':'"));
            }
            entries.push((key, self.value(depth + 1)?));
            self.white();
            if self.skip("}") {
                return Ok(PyValue::Dict(entries));
            }
            if !self.skip(",") {
                return Err(self.wrong("',' or '}'"));
            }
        }
    }

    fn string(&mut self) -> Result<String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len());
            // What ends a plain stretch is ASCII, so it ends between two letters. Twice, since the text doubles as it grows.
            self.budget.take(2 * plain)?;
            out.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.budget.take(8)?;
                    out.push(self.escape()?);
                }
                _ => return Err(self.wrong("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let letter = match self.peek() {
            Some(letter @ (b'"' | b'\\' | b'/')) => letter.into(),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let first = self.hex()?;
                // Two escapes make one letter beyond the first 65,536; each half alone is none.
                let before = self.at;
                if (0xd800..0xdc00).contains(&first) && self.skip("\\u") {
                    let second = self.hex()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = before;
                }
                return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            _ => return Err(self.wrong("an escape")),
        };
        self.at += 1;
        Ok(letter)
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(|| self.wrong("four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }

    fn digits(&mut self) -> Result<usize> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong("a digit")) } else { Ok(self.at - start) }
    }

    fn number(&mut self) -> Result<PyValue> {
        let start = self.at;
        self.skip("-");
        let first = self.peek();
        let count = self.digits()?;
        if first == Some(b'0') && count > 1 {
            self.at = start;
            return Err(self.wrong("a number without leading zeros"));
        }
        let mut whole = true;
        if self.skip(".") {
            whole = false;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if !whole {
            return text.parse().map(PyValue::Float).map_err(|_| self.wrong("a number"));
        }
        if let Ok(number) = text.parse() {
            return Ok(PyValue::Int(number));
        }
        if count > MAX_INT_DIGITS {
            return Err(refused(format!("a whole number of {count} digits in json; {MAX_INT_DIGITS} at most")));
        }
        self.budget.take(count)?;
        text.parse::<BigInt>().map(|number| PyValue::BigInt(Box::new(number))).map_err(|_| self.wrong("a number"))
    }
}
