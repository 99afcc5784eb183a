//! What a Python object that travels between services can be, as far as media needs it.
//!
//! Problem: json, pickle and configuration strings all speak of Python's objects, and Rust has no type for them. Answer: [`PyValue`], a
//! tree without sharing or cycles, and [`NdArray`] for numpy's arrays, whose bytes stay where they arrived. This file reads and writes no
//! format; which packet a value is, is `python.rs`.

use bytes::Bytes;
pub use num_bigint::BigInt;

use super::dtype::Dtype;

/// A Python object.
#[derive(Clone, Debug, PartialEq)]
pub enum PyValue {
    /// `None`
    None,
    /// `bool`
    Bool(bool),
    /// `int` that fits.
    Int(i64),
    /// `int` outside the range of [`PyValue::Int`], exact, at most [`MAX_INT_DIGITS`](super::limits::MAX_INT_DIGITS) long; longer ones are
    /// refused. In a packet's json its digits stay, or null stands there where no `f64` can hold it.
    BigInt(Box<BigInt>),
    /// `float`
    Float(f64),
    /// `complex`, real part first.
    Complex(f64, f64),
    /// `str`. A lone surrogate, which no UTF-8 can hold, was replaced by U+FFFD.
    Str(String),
    /// `bytes` and `bytearray`
    Bytes(Bytes),
    /// `list`
    List(Vec<PyValue>),
    /// `tuple`
    Tuple(Vec<PyValue>),
    /// `dict` in its order. A key may stand twice: the last one counts.
    Dict(Vec<(PyValue, PyValue)>),
    /// `set` and `frozenset`, in no particular order.
    Set(Vec<PyValue>),
    /// `numpy.ndarray`
    Array(NdArray),
}

/// A numpy array: its bytes as they are, and how to read them.
#[derive(Clone, Debug, PartialEq)]
pub struct NdArray {
    /// Element type with byte order.
    pub dtype: Dtype,
    /// Sizes, outermost first; empty for a single element.
    pub shape: Vec<u64>,
    /// Whether the first index runs fastest (Fortran's order) instead of the last.
    pub fortran: bool,
    /// The elements, without gaps.
    pub data: Bytes,
}

impl PyValue {
    /// What Python's own messages call this type.
    pub fn type_name(&self) -> &'static str {
        match self {
            PyValue::None => "NoneType",
            PyValue::Bool(_) => "bool",
            PyValue::Int(_) | PyValue::BigInt(_) => "int",
            PyValue::Float(_) => "float",
            PyValue::Complex(..) => "complex",
            PyValue::Str(_) => "str",
            PyValue::Bytes(_) => "bytes",
            PyValue::List(_) => "list",
            PyValue::Tuple(_) => "tuple",
            PyValue::Dict(_) => "dict",
            PyValue::Set(_) => "set",
            PyValue::Array(_) => "ndarray",
        }
    }

    /// The entry of a `dict` with this key.
    pub fn get(&self, key: &str) -> Option<&PyValue> {
        let PyValue::Dict(entries) = self else { return None };
        entries.iter().rev().find(|(name, _)| matches!(name, PyValue::Str(name) if name == key)).map(|(_, value)| value)
    }
}

impl From<&str> for PyValue {
    fn from(text: &str) -> Self {
        PyValue::Str(text.to_owned())
    }
}
