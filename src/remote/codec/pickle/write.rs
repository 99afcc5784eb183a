//! Writes pickles of protocol 4.
//!
//! Problem: numpy 1 and 2 spell the making of an array differently, and an array on top of `bytes` cannot be written to, which nodes do.
//! Answer: `numpy.ndarray`, called for an empty array whose state is then set by BUILD. Both names are public in every version, and what
//! comes out owns its elements. Arrays are written row by row, so interleaved audio is turned into channels on its way into the pickle, in
//! one copy. Nothing is shared or remembered; numbers and lengths take the shortest form.

use bytes::Bytes;

use crate::error::Result;
use crate::remote::codec::array::transpose;
use crate::remote::codec::limits::{MAX_INT_BYTES, check_depth};
use crate::remote::codec::refused;
use crate::remote::codec::value::{NdArray, PyValue};

const MARK: u8 = b'(';

/// A pickle of `value`.
pub fn write(value: &PyValue) -> Result<Bytes> {
    let mut out = Vec::with_capacity(256 + large(value));
    out.extend([0x80, 4]);
    put(value, 0, &mut out)?;
    out.push(b'.');
    Ok(out.into())
}

/// What the one large part of a media item takes, so that it need not be moved when the pickle grows.
fn large(value: &PyValue) -> usize {
    match value {
        PyValue::Str(text) => text.len(),
        PyValue::Bytes(bytes) => bytes.len(),
        PyValue::Array(array) => array.data.len(),
        PyValue::Tuple(items) => items.first().map_or(0, large),
        _ => 0,
    }
}

fn put(value: &PyValue, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    check_depth(depth)?;
    match value {
        PyValue::None => out.push(b'N'),
        PyValue::Bool(flag) => out.push(if *flag { 0x88 } else { 0x89 }),
        PyValue::Int(number) => int(*number, out),
        PyValue::BigInt(number) => {
            let bytes = number.to_signed_bytes_le();
            if bytes.len() > MAX_INT_BYTES {
                return Err(refused(format!("an int of {} bytes; {MAX_INT_BYTES} at most", bytes.len())));
            }
            long(&bytes, out);
        }
        PyValue::Float(number) => float(*number, out),
        PyValue::Complex(real, imaginary) => {
            name("builtins", "complex", out);
            float(*real, out);
            float(*imaginary, out);
            // TUPLE2 and REDUCE.
            out.extend([0x86, b'R']);
        }
        PyValue::Str(content) => text(content, out),
        PyValue::Bytes(content) => bytes(content.len(), out, |out| out.extend_from_slice(content)),
        PyValue::List(items) => {
            out.extend([b']', MARK]);
            all(items, depth, out)?;
            out.push(b'e');
        }
        PyValue::Tuple(items) => match items.len() {
            0 => out.push(b')'),
            count @ 1..=3 => {
                all(items, depth, out)?;
                out.push(0x84 + count as u8);
            }
            _ => {
                out.push(MARK);
                all(items, depth, out)?;
                out.push(b't');
            }
        },
        PyValue::Dict(entries) => {
            out.extend([b'}', MARK]);
            for (key, value) in entries {
                hashable(key, depth + 1, out)?;
                put(value, depth + 1, out)?;
            }
            out.push(b'u');
        }
        PyValue::Set(items) => {
            out.extend([0x8f, MARK]);
            for item in items {
                hashable(item, depth + 1, out)?;
            }
            out.push(0x90);
        }
        PyValue::Array(array) => ndarray(array, out)?,
    }
    Ok(())
}

fn all(items: &[PyValue], depth: usize, out: &mut Vec<u8>) -> Result<()> {
    items.iter().try_for_each(|item| put(item, depth + 1, out))
}

/// A key of a dict, or an item of a set: Python fails on others when it reads them.
fn hashable(value: &PyValue, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    check_depth(depth)?;
    match value {
        PyValue::List(_) | PyValue::Dict(_) | PyValue::Array(_) => {
            Err(refused(format!("a {} cannot be a key of a dict or an item of a set", value.type_name())))
        }
        PyValue::Tuple(items) => {
            out.push(MARK);
            items.iter().try_for_each(|item| hashable(item, depth + 1, out))?;
            out.push(b't');
            Ok(())
        }
        // Only frozen ones can be inside others.
        PyValue::Set(items) => {
            out.push(MARK);
            items.iter().try_for_each(|item| hashable(item, depth + 1, out))?;
            out.push(0x91);
            Ok(())
        }
        plain => put(plain, depth, out),
    }
}

fn int(number: i64, out: &mut Vec<u8>) {
    if let Ok(small) = u8::try_from(number) {
        out.extend([b'K', small]);
    } else if let Ok(short) = u16::try_from(number) {
        out.push(b'M');
        out.extend(short.to_le_bytes());
    } else if let Ok(word) = i32::try_from(number) {
        out.push(b'J');
        out.extend(word.to_le_bytes());
    } else {
        long(&number.to_le_bytes(), out);
    }
}

/// LONG1 or LONG4.
fn long(bytes: &[u8], out: &mut Vec<u8>) {
    match u8::try_from(bytes.len()) {
        Ok(count) => out.extend([0x8a, count]),
        Err(_) => {
            out.push(0x8b);
            out.extend((bytes.len() as u32).to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

fn float(number: f64, out: &mut Vec<u8>) {
    out.push(b'G');
    out.extend(number.to_be_bytes());
}

fn text(content: &str, out: &mut Vec<u8>) {
    length(content.len(), [0x8c, b'X', 0x8d], out);
    out.extend_from_slice(content.as_bytes());
}

fn bytes(len: usize, out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    length(len, [b'C', b'B', 0x8e], out);
    content(out);
}

/// The opcode for one, four or eight bytes of length, and the length.
fn length(len: usize, opcodes: [u8; 3], out: &mut Vec<u8>) {
    if let Ok(short) = u8::try_from(len) {
        out.extend([opcodes[0], short]);
    } else if let Ok(word) = u32::try_from(len) {
        out.push(opcodes[1]);
        out.extend(word.to_le_bytes());
    } else {
        out.push(opcodes[2]);
        out.extend((len as u64).to_le_bytes());
    }
}

/// The opcodes that put a name on the stack.
fn name(module: &str, name: &str, out: &mut Vec<u8>) {
    text(module, out);
    text(name, out);
    out.push(0x93);
}

fn ndarray(array: &NdArray, out: &mut Vec<u8>) -> Result<()> {
    let fits = NdArray::new(array.dtype, array.shape.clone(), array.fortran, array.data.clone())?;
    let turned = fits.fortran && fits.shape.len() > 1;
    // Two dimensions are turned on their way out; more are rare enough for a second copy.
    let fits = if turned && fits.shape.len() > 2 { fits.into_standard()? } else { fits };
    let dtype = fits.dtype.to_string();
    // numpy.ndarray((0,), dtype)
    name("numpy", "ndarray", out);
    out.extend([b'K', 0, 0x85]);
    text(&dtype, out);
    out.extend([0x86, b'R']);
    // Its state: (1, shape, numpy.dtype(dtype), False, bytes).
    out.extend([MARK, b'K', 1, MARK]);
    for size in &fits.shape {
        int(i64::try_from(*size).map_err(|_| refused("an array with a size that no Python has"))?, out);
    }
    out.push(b't');
    name("numpy", "dtype", out);
    text(&dtype, out);
    out.extend([0x85, b'R', 0x89]);
    bytes(fits.data.len(), out, |out| match fits.shape[..] {
        [rows, columns] if turned => transpose(&fits.data, columns as usize, rows as usize, fits.dtype.size() as usize, out),
        _ => out.extend_from_slice(&fits.data),
    });
    out.extend([b't', b'b']);
    Ok(())
}
