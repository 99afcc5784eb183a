//! Reads a pickle's bytes: numbers, stretches of bytes, and the lines of text that the old protocols are made of.

use super::heap::Span;
use crate::error::Result;
use crate::remote::codec::refused;
use crate::remote::codec::value::BigInt;

/// Where reading is.
pub struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    /// From the start of `bytes`. A [`Span`] reaches 4 GiB far, and so may they.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(refused("a pickle of more than 4 GiB"));
        }
        Ok(Self { bytes, at: 0 })
    }

    /// All the bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the next byte is.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next `count` bytes.
    pub fn span(&mut self, count: u64) -> Result<Span> {
        let left = (self.bytes.len() - self.at) as u64;
        if count > left {
            return Err(refused(format!("the pickle ends too early: {count} bytes wanted at byte {}, {left} are there", self.at)));
        }
        let span = Span { start: self.at as u32, len: count as u32 };
        self.at += count as usize;
        Ok(span)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let span = self.span(N as u64)?;
        let mut array = [0; N];
        array.copy_from_slice(span.of(self.bytes));
        Ok(array)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes as a number.
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes as a number.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes as a number.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Up to the next line feed, without it.
    pub fn line(&mut self) -> Result<Span> {
        let rest = &self.bytes[self.at..];
        let Some(len) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(refused(format!("the pickle ends too early: a line at byte {} has no end", self.at)));
        };
        let span = self.span(len as u64)?;
        self.at += 1;
        Ok(span)
    }

    /// The next line, if it is ASCII.
    pub fn ascii_line(&mut self) -> Result<&'a str> {
        let at = self.at;
        let span = self.line()?;
        let text = std::str::from_utf8(span.of(self.bytes)).ok().filter(|text| text.is_ascii());
        text.ok_or_else(|| refused(format!("the pickle's line at byte {at} is no ASCII text")))
    }

    /// The next line, if it is UTF-8.
    pub fn utf8_line(&mut self) -> Result<&'a str> {
        let at = self.at;
        let span = self.line()?;
        std::str::from_utf8(span.of(self.bytes)).map_err(|_| refused(format!("the pickle's line at byte {at} is no UTF-8")))
    }
}

/// The text of a `str` in UTF-8, in which Python also writes lone surrogates; each becomes U+FFFD, since no Rust text can hold it.
pub fn text(mut bytes: &[u8]) -> Result<std::borrow::Cow<'_, str>> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(text.into());
    }
    let mut out = String::with_capacity(bytes.len());
    loop {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                out.push_str(text);
                return Ok(out.into());
            }
            Err(error) => {
                let (good, rest) = bytes.split_at(error.valid_up_to());
                // As just checked; nothing is lost where it should be wrong.
                out.push_str(&String::from_utf8_lossy(good));
                bytes = match rest {
                    [0xed, 0xa0..=0xbf, 0x80..=0xbf, rest @ ..] => rest,
                    _ => return Err(refused("the pickle has a str that is no UTF-8")),
                };
                out.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }
}

/// The text of opcode UNICODE: Latin-1 with `\u` and `\U`, the only escapes of Python's raw-unicode-escape.
pub fn raw_unicode_escape(line: &[u8]) -> Result<String> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let [byte, behind @ ..] = rest {
        let digits = match rest {
            [b'\\', b'u', ..] => 4,
            [b'\\', b'U', ..] => 8,
            // A backslash before a backslash is not the start of an escape, and both stay.
            [b'\\', b'\\', behind @ ..] => {
                out.push_str("\\\\");
                rest = behind;
                continue;
            }
            _ => {
                out.push(char::from(*byte));
                rest = behind;
                continue;
            }
        };
        let (code, behind) = hex(&rest[2..], digits).ok_or_else(|| refused("the pickle has a str with a broken \\u escape"))?;
        rest = behind;
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    Ok(out)
}

/// The bytes of opcode STRING: in quotes, with the escapes of Python's `repr`.
pub fn quoted(line: &[u8]) -> Result<Vec<u8>> {
    let broken = || refused("the pickle has a quoted string that does not end or has a broken escape");
    let line = line.trim_ascii();
    let ([b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"']) = line else { return Err(broken()) };
    let mut rest = inner;
    let mut out = Vec::with_capacity(rest.len());
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let [escape, behind @ ..] = rest else { return Err(broken()) };
        rest = behind;
        out.push(match escape {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'\\' | b'\'' | b'"' => *escape,
            b'x' => {
                let (code, behind) = hex(rest, 2).ok_or_else(broken)?;
                rest = behind;
                code as u8
            }
            _ => return Err(broken()),
        });
    }
    Ok(out)
}

/// A number of exactly `digits` hexadecimal digits, and what is behind it.
fn hex(bytes: &[u8], digits: usize) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_at_checked(digits)?;
    let number = std::str::from_utf8(number).ok().filter(|number| number.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    Some((u32::from_str_radix(number, 16).ok()?, rest))
}

/// A whole number in two's complement, as LONG1 and LONG4 have it.
pub fn long(bytes: &[u8]) -> Result<i64, Box<BigInt>> {
    if bytes.len() > 8 {
        let number = BigInt::from_signed_bytes_le(bytes);
        return i64::try_from(&number).map_err(|_| Box::new(number));
    }
    let filler = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut whole = [filler; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    Ok(i64::from_le_bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_texts_are_read_as_python_writes_them() {
        assert_eq!(raw_unicode_escape(b"caf\xe9 \\u20ac \\U0001f600 \\n").unwrap(), "café € \u{1f600} \\n");
        assert_eq!(raw_unicode_escape(b"\\ud800").unwrap(), "\u{fffd}");
        assert!(raw_unicode_escape(b"\\u20").is_err());
        assert_eq!(quoted(b"'a\\x00\\n\\'\\\\'").unwrap(), b"a\0\n'\\");
        for broken in ["'", "'a", "a'", "'\\'", "'\\x1'", "'\\q'", ""] {
            assert!(quoted(broken.as_bytes()).is_err(), "{broken}");
        }
        assert_eq!(text(b"a\xed\xa0\x80b").unwrap(), "a\u{fffd}b");
        assert!(text(b"a\xff").is_err());
    }

    #[test]
    fn long_numbers_keep_their_sign() {
        assert_eq!(long(&[]), Ok(0));
        assert_eq!(long(&[0xff]), Ok(-1));
        assert_eq!(long(&[0xff, 0]), Ok(255));
        assert_eq!(long(&[0, 0, 0, 0, 0, 0, 0, 0x80, 0xff]), Ok(i64::MIN));
        assert_eq!(long(&[0, 0, 0, 0, 0, 0, 0, 0x80, 0]).unwrap_err().to_string(), "9223372036854775808");
    }
}
