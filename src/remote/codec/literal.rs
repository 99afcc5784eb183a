//! Reads Python literals, as `ast.literal_eval` does.
//!
//! Problem: Python clients send configuration as `str(value)`: `True`, `None`, `{'a': (1, 2)}`. Answer: a reader for literals: numbers,
//! `True`, `False`, `None`, text and bytes with every prefix, quote and escape but `\N{...}`, tuples, lists, dicts and sets. Not read, although
//! `literal_eval` does: complex numbers, `...`, comments and broken lines. Nothing is ever evaluated.

use super::limits::{Budget, MAX_INT_DIGITS, check_depth};
use super::refused;
use super::value::{BigInt, PyValue};
use crate::error::{Error, Result};

/// Reads one literal. Python takes off the white space in front of a text, and lets it begin and end with empty lines; other lines
/// must not be indented, not even the empty last one.
pub fn eval(text: &str, budget: &mut Budget) -> Result<PyValue> {
    let text = text.trim_start_matches([' ', '\t']);
    let inner = text.trim_matches([' ', '\t', '\x0c', '\r', '\n']);
    let mut reader = Reader { text: inner, at: 0, open: 0, budget };
    let (before, after) = text.split_once(inner).filter(|_| !inner.is_empty()).ok_or_else(|| reader.wrong())?;
    let indented = |lines: &str| lines.rsplit_once(['\n', '\r']).is_some_and(|(_, last)| last.contains([' ', '\t']));
    if indented(before) || indented(after) {
        return Err(reader.wrong());
    }
    let value = reader.tuple_or_value(0, &[])?;
    if reader.at < inner.len() { Err(reader.wrong()) } else { Ok(value) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Brackets that are open: between them a line may end.
    open: usize,
    budget: &'a mut Budget,
}

impl<'a> Reader<'a> {
    fn wrong(&self) -> Error {
        refused(format!("no Python literal: byte {} of it is not understood", self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn white(&mut self) {
        let in_brackets = self.open > 0;
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\x0c') || (in_brackets && matches!(byte, b'\n' | b'\r')));
    }

    /// As far as `accept` goes.
    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        self.at += rest.iter().position(|byte| !accept(*byte)).unwrap_or(rest.len());
        // Nothing but ASCII is ever accepted, so both ends lie between letters.
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// A value, or several with commas between them up to one of `ends`, which make a tuple.
    fn tuple_or_value(&mut self, depth: usize, ends: &[u8]) -> Result<PyValue> {
        let first = self.value(depth)?;
        self.white();
        if self.peek() != Some(b',') {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip(b',') {
            self.white();
            if self.peek().is_none_or(|byte| ends.contains(&byte)) {
                break;
            }
            items.push(self.value(depth + 1)?);
            self.white();
        }
        Ok(PyValue::Tuple(items))
    }

    fn value(&mut self, depth: usize) -> Result<PyValue> {
        check_depth(depth)?;
        // Twice, since the vector that it will stand in doubles as it grows.
        self.budget.take(2 * size_of::<PyValue>())?;
        self.white();
        match self.peek().ok_or_else(|| self.wrong())? {
            b'(' => {
                self.open();
                self.white();
                if self.close_if(b')') {
                    return Ok(PyValue::Tuple(Vec::new()));
                }
                let inner = self.tuple_or_value(depth + 1, b")")?;
                self.close(b')')?;
                Ok(inner)
            }
            b'[' => {
                self.open();
                let mut items = Vec::new();
                self.items(b']', |reader| {
                    items.push(reader.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(PyValue::List(items))
            }
            b'{' => self.dict_or_set(depth),
            b'-' | b'+' => self.signed(),
            b'0'..=b'9' | b'.' => self.number(),
            b'"' | b'\'' => self.strings(),
            _ => self.word(),
        }
    }

    fn open(&mut self) {
        self.at += 1;
        self.open += 1;
    }

    fn close_if(&mut self, bracket: u8) -> bool {
        let closed = self.skip(bracket);
        self.open -= usize::from(closed);
        closed
    }

    fn close(&mut self, bracket: u8) -> Result<()> {
        self.white();
        if self.close_if(bracket) { Ok(()) } else { Err(self.wrong()) }
    }

    /// Items with commas between them, and perhaps one behind the last, up to the bracket.
    fn items(&mut self, bracket: u8, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        loop {
            self.white();
            if self.close_if(bracket) {
                return Ok(());
            }
            item(self)?;
            self.white();
            if !self.skip(b',') {
                return self.close(bracket);
            }
        }
    }

    fn dict_or_set(&mut self, depth: usize) -> Result<PyValue> {
        self.open();
        let (mut entries, mut members) = (Vec::new(), Vec::new());
        self.items(b'}', |reader| {
            let key = reader.value(depth + 1)?;
            reader.white();
            if reader.skip(b':') {
                entries.push((key, reader.value(depth + 1)?));
            } else {
                members.push(key);
            }
            // One or the other.
            if entries.is_empty() || members.is_empty() { Ok(()) } else { Err(reader.wrong()) }
        })?;
        Ok(if members.is_empty() { PyValue::Dict(entries) } else { PyValue::Set(members) })
    }

    fn signed(&mut self) -> Result<PyValue> {
        let negative = self.skip(b'-');
        self.at += usize::from(!negative);
        self.white();
        if !matches!(self.peek(), Some(b'0'..=b'9' | b'.')) {
            return Err(self.wrong());
        }
        Ok(match self.number()? {
            PyValue::Int(number) if negative => PyValue::Int(-number),
            PyValue::Float(number) if negative => PyValue::Float(-number),
            PyValue::BigInt(number) if negative => big(-*number),
            number => number,
        })
    }

    fn number(&mut self) -> Result<PyValue> {
        let start = self.at;
        let prefix = self.text.as_bytes()[start..].get(..2).unwrap_or_default().to_ascii_lowercase();
        let radix = match &prefix[..] {
            b"0x" => 16,
            b"0o" => 8,
            b"0b" => 2,
            _ => 10,
        };
        if radix != 10 {
            self.at += 2;
            let digits = self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            // Here an underscore may also follow the prefix.
            return self.whole(digits.strip_prefix('_').unwrap_or(digits), radix);
        }
        let digits = |byte: u8| byte.is_ascii_digit() || byte == b'_';
        self.take_while(digits);
        let mut float = false;
        if self.skip(b'.') {
            float = true;
            self.take_while(digits);
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            float = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.take_while(digits);
        }
        let text = &self.text[start..self.at];
        // `1a` and `1j` are no numbers of ours.
        if self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80) {
            return Err(self.wrong());
        }
        if !float {
            let zero = text.bytes().all(|byte| matches!(byte, b'0' | b'_'));
            return if text.starts_with('0') && !zero { Err(self.wrong()) } else { self.whole(text, 10) };
        }
        if !text.split(['.', 'e', 'E', '+', '-']).filter(|part| !part.is_empty()).all(underscores_fit) {
            return Err(self.wrong());
        }
        // Rust reads `1.` and `.5` as Python does, and refuses a lone point or exponent.
        text.replace('_', "").parse().map(PyValue::Float).map_err(|_| self.wrong())
    }

    fn whole(&self, text: &str, radix: u32) -> Result<PyValue> {
        if !underscores_fit(text) {
            return Err(self.wrong());
        }
        let digits = text.replace('_', "");
        if let Ok(number) = i64::from_str_radix(&digits, radix) {
            return Ok(PyValue::Int(number));
        }
        if digits.len() > MAX_INT_DIGITS {
            return Err(refused(format!("a whole number of {} digits; {MAX_INT_DIGITS} at most", digits.len())));
        }
        BigInt::parse_bytes(digits.as_bytes(), radix).map(big).ok_or_else(|| self.wrong())
    }

    /// Something that starts with a letter: a constant, `set()`, or text with a prefix.
    fn word(&mut self) -> Result<PyValue> {
        let start = self.at;
        let word = self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if word.len() <= 2 && matches!(self.peek(), Some(b'"' | b'\'')) {
            self.at = start;
            return self.strings();
        }
        match word {
            "None" => Ok(PyValue::None),
            "True" => Ok(PyValue::Bool(true)),
            "False" => Ok(PyValue::Bool(false)),
            "set" => {
                self.white();
                if self.peek() != Some(b'(') {
                    return Err(self.wrong());
                }
                self.open();
                self.close(b')')?;
                Ok(PyValue::Set(Vec::new()))
            }
            _ => Err(self.wrong()),
        }
    }

    /// One string, or several in a row, which are one.
    fn strings(&mut self) -> Result<PyValue> {
        let (mut text, mut bytes) = (String::new(), Vec::new());
        let mut is_bytes = None;
        loop {
            let before = self.at;
            let prefix = self.take_while(|byte| byte.is_ascii_alphabetic()).to_ascii_lowercase();
            let (binary, raw) = match prefix.as_str() {
                "" | "u" => (false, false),
                "r" => (false, true),
                "b" => (true, false),
                "br" | "rb" => (true, true),
                _ => return Err(self.wrong()),
            };
            if *is_bytes.get_or_insert(binary) != binary {
                return Err(self.wrong());
            }
            self.one_string(binary, raw, &mut text, &mut bytes)?;
            let after = self.at;
            self.white();
            let next = self.take_while(|byte| byte.is_ascii_alphabetic());
            let more = next.len() <= 2 && matches!(self.peek(), Some(b'"' | b'\''));
            self.at = if more { after } else { self.at - next.len() };
            if !more {
                return Ok(if is_bytes == Some(true) { PyValue::Bytes(bytes.into()) } else { PyValue::Str(text) });
            }
            self.white();
            debug_assert!(self.at > before, "each string has two quotes at least");
        }
    }

    fn one_string(&mut self, binary: bool, raw: bool, text: &mut String, bytes: &mut Vec<u8>) -> Result<()> {
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\'')).ok_or_else(|| self.wrong())?;
        let triple = self.text.as_bytes()[self.at..].starts_with(&[quote; 3]);
        self.at += if triple { 3 } else { 1 };
        loop {
            let rest = &self.text[self.at..];
            let letter = rest.chars().next().ok_or_else(|| self.wrong())?;
            self.budget.take(2 * letter.len_utf8())?;
            if letter == char::from(quote) && (!triple || rest.as_bytes().starts_with(&[quote; 3])) {
                self.at += if triple { 3 } else { 1 };
                return Ok(());
            }
            if (letter == '\n' && !triple) || (binary && !letter.is_ascii()) {
                return Err(self.wrong());
            }
            self.at += letter.len_utf8();
            let letter = match letter {
                '\\' if raw => {
                    // Stays, and so does what it stands before, be it a quote.
                    let next = self.text[self.at..].chars().next().filter(|next| !binary || next.is_ascii()).ok_or_else(|| self.wrong())?;
                    self.at += next.len_utf8();
                    add('\\', binary, text, bytes);
                    Some(next)
                }
                '\\' => self.escape(binary, text, bytes)?,
                letter => Some(letter),
            };
            if let Some(letter) = letter {
                add(letter, binary, text, bytes);
            }
        }
    }

    /// What a backslash and what follows it stand for. An unknown escape stays as it is.
    fn escape(&mut self, binary: bool, text: &mut String, bytes: &mut Vec<u8>) -> Result<Option<char>> {
        let letter = self.text[self.at..].chars().next().ok_or_else(|| self.wrong())?;
        self.at += letter.len_utf8();
        let code = match letter {
            '\n' => return Ok(None),
            '\\' | '\'' | '"' => u32::from(letter),
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            '0'..='7' => {
                let start = self.at - 1;
                let digits = self.text.as_bytes()[start..].iter().take(3).take_while(|digit| matches!(digit, b'0'..=b'7')).count();
                self.at = start + digits;
                let code = u32::from_str_radix(&self.text[start..self.at], 8).map_err(|_| self.wrong())?;
                if binary { code & 0xff } else { code }
            }
            'x' => self.hex(2)?,
            'u' if !binary => self.hex(4)?,
            'U' if !binary => self.hex(8)?,
            'N' if !binary => return Err(self.wrong()),
            other if binary && !other.is_ascii() => return Err(self.wrong()),
            other => {
                add('\\', binary, text, bytes);
                return Ok(Some(other));
            }
        };
        if code > 0x0010_ffff {
            return Err(self.wrong());
        }
        Ok(Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)))
    }

    fn hex(&mut self, count: usize) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + count).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(|| self.wrong())?;
        self.at += count;
        Ok(code)
    }
}

/// One letter more. In bytes each letter is one byte: what is written is ASCII, and an escape is below 256.
fn add(letter: char, binary: bool, text: &mut String, bytes: &mut Vec<u8>) {
    if binary {
        bytes.push(letter as u8);
    } else {
        text.push(letter);
    }
}

/// Whether underscores stand between digits only.
fn underscores_fit(digits: &str) -> bool {
    !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__")
}

/// Whole numbers have one form each: `-9223372036854775808` is read as a large number first.
fn big(number: BigInt) -> PyValue {
    i64::try_from(&number).map_or_else(|_| PyValue::BigInt(Box::new(number)), PyValue::Int)
}
