//! Reads JSON into a small tree. Problem: serde_json's reader, with the path tracking that a helpful config error
//! needs and the float printing that its messages drag in, adds 120 KB to a module. This one adds a tenth of that.
//!
//! Numbers without fraction and exponent are exact within i64; others are correct to the last bit or the one before
//! it. Not for megabytes of JSON: everything is held as a tree. Writing JSON is left to serde_json.

use alloc::{string::String, vec::Vec};

/// Deeper nesting is refused: guests have a small stack.
const MAX_DEPTH: u32 = 64;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    /// In order of appearance; of a repeated key the last counts.
    Map(Vec<(String, Json)>),
}

impl Json {
    pub fn get(&self, key: &str) -> Option<&Json> {
        let Json::Map(entries) = self else {
            return None;
        };
        let (_, value) = entries.iter().rev().find(|(k, _)| k == key)?;
        (*value != Json::Null).then_some(value)
    }

    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Json::Int(n) => Some(n as f64),
            Json::Float(x) => Some(x),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Parses one JSON text; `None` if it is not JSON.
pub(crate) fn parse(text: &[u8]) -> Option<Json> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    (reader.peek_token().is_none() && reader.at == text.len()).then_some(value)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is not white space, left in place.
    fn peek_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, word: &[u8], value: Json) -> Option<Json> {
        let found = self.text[self.at..].starts_with(word);
        self.at += word.len();
        found.then_some(value)
    }

    fn value(&mut self, depth: u32) -> Option<Json> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek_token()? {
            b'n' => self.expect(b"null", Json::Null),
            b't' => self.expect(b"true", Json::Bool(true)),
            b'f' => self.expect(b"false", Json::Bool(false)),
            b'"' => self.string().map(Json::Text),
            b'[' => {
                let mut items = Vec::new();
                self.sequence(b']', |r| {
                    items.push(r.value(depth + 1)?);
                    Some(())
                })?;
                Some(Json::List(items))
            }
            b'{' => {
                let mut entries = Vec::new();
                self.sequence(b'}', |r| {
                    if r.peek_token()? != b'"' {
                        return None;
                    }
                    let key = r.string()?;
                    if r.peek_token()? != b':' {
                        return None;
                    }
                    r.at += 1;
                    entries.push((key, r.value(depth + 1)?));
                    Some(())
                })?;
                Some(Json::Map(entries))
            }
            _ => self.number(),
        }
    }

    /// From the opening bracket to `close`; `item` reads one item.
    fn sequence(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        if self.peek_token()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            item(self)?;
            let next = self.peek_token()?;
            self.at += 1;
            match next {
                b',' => {}
                b if b == close => return Some(()),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                b'"' => return String::from_utf8(bytes).ok(),
                b'\\' => {
                    let plain = match self.byte()? {
                        b'n' => '\n',
                        b't' => '\t',
                        b'r' => '\r',
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'u' => self.escaped()?,
                        c @ (b'"' | b'\\' | b'/') => char::from(c),
                        _ => return None,
                    };
                    bytes.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1f => return None,
                byte => bytes.push(byte),
            }
        }
    }

    /// After `\u`: four digits, or two such groups where the first is one half of a surrogate pair.
    fn escaped(&mut self) -> Option<char> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        if (self.byte()?, self.byte()?) != (b'\\', b'u') {
            return None;
        }
        let second = self.hex4()?.checked_sub(0xdc00)?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)
    }

    fn hex4(&mut self) -> Option<u32> {
        let mut n = 0;
        for _ in 0..4 {
            n = n * 16 + char::from(self.byte()?).to_digit(16)?;
        }
        Some(n)
    }

    fn number(&mut self) -> Option<Json> {
        let negative = self.peek_token()? == b'-';
        self.at += usize::from(negative);
        // Digits beyond 19 change nothing that an f64 could show; they only move the point.
        let (mut digits, mut exponent, mut whole) = (0u64, 0i32, true);
        let first = self.at;
        let mut point = None;
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'0'..=b'9' if digits < 1_000_000_000_000_000_000 => {
                    digits = digits * 10 + u64::from(byte - b'0');
                    exponent -= i32::from(point.is_some());
                }
                b'0'..=b'9' => exponent += i32::from(point.is_none()),
                b'.' if point.is_none() && self.at > first => point = Some(self.at),
                _ => break,
            }
            self.at += 1;
        }
        // At least one digit, no digit missing after the point, no leading zeros.
        let end = point.unwrap_or(self.at);
        if end == first || point.is_some_and(|p| p + 1 == self.at) || (self.text[first] == b'0' && end > first + 1) {
            return None;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            exponent = exponent.saturating_add(self.exponent()?);
            whole = false;
        }
        if whole && point.is_none() && exponent == 0 {
            let n = digits as i64;
            return Some(Json::Int(if negative { -n } else { n }));
        }
        let size = scale(digits as f64, exponent);
        Some(Json::Float(if negative { -size } else { size }))
    }

    fn exponent(&mut self) -> Option<i32> {
        let sign = match self.text.get(self.at)? {
            b'-' => -1,
            b'+' => 1,
            _ => 0,
        };
        self.at += usize::from(sign != 0);
        let first = self.at;
        let mut n = 0i32;
        while let Some(byte @ b'0'..=b'9') = self.text.get(self.at) {
            n = (n * 10 + i32::from(byte - b'0')).min(100_000);
            self.at += 1;
        }
        (self.at > first).then_some(if sign < 0 { -n } else { n })
    }
}

/// `x * 10^exponent`, by exact powers of ten as far as they reach.
fn scale(mut x: f64, mut exponent: i32) -> f64 {
    const EXACT: [f64; 23] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22,
    ];
    while exponent != 0 && x != 0.0 && x.is_finite() {
        let step = exponent.clamp(-22, 22);
        let power = EXACT[step.unsigned_abs() as usize];
        x = if step < 0 { x / power } else { x * power };
        exponent -= step;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::ToString, vec};

    #[test]
    fn values() {
        let text = br#" {"a":[1,-2.5,1e3,true,null],"b":"x\n\u00e9\ud83d\ude00","b":{}} "#;
        let json = parse(text).unwrap();
        let list = vec![Json::Int(1), Json::Float(-2.5), Json::Float(1000.0), Json::Bool(true), Json::Null];
        assert_eq!(json.get("a"), Some(&Json::List(list)));
        assert_eq!(json.get("b"), Some(&Json::Map(vec![])));
        let Json::Map(entries) = json else { panic!() };
        assert_eq!(entries[1].1, Json::Text("x\né😀".to_string()));
    }

    #[test]
    fn numbers_agree_with_the_standard_library() {
        for text in [
            "0",
            "-0.0",
            "0.1",
            "16000.0",
            "0.30000000000000004",
            "1e-7",
            "5e22",
            "123456789012345678901",
            "3.4028235e38",
        ] {
            let want: f64 = text.parse().unwrap();
            let got = parse(text.as_bytes()).unwrap().as_f64().unwrap();
            assert!((got - want).abs() <= want.abs() * 2e-16, "{text}: {got}");
        }
        assert_eq!(parse(b"1e999"), Some(Json::Float(f64::INFINITY)));
        assert_eq!(parse(b"-9007199254740993"), Some(Json::Int(-9007199254740993)));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "1e",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "1 2",
            "[1 2]",
            "\"\n\"",
            "{\"a\" 1}",
            "NaN",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(&[b'"', 0xff, b'"']), None);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(60).as_bytes()).is_some());
        assert!(parse(nested(100_000).as_bytes()).is_none());
    }
}
