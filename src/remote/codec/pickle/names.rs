//! The names of Python that a pickle may use.
//!
//! Problem: plain values need some functions to be put together, and any other function may do harm. Answer: this list. What each name
//! stands for is done by `build.rs`; nothing is looked up or called. It is as long as what Python and numpy themselves write for the
//! values that we read.

use crate::error::Error;
use crate::remote::codec::refused;

/// A function or class that we know how to imitate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `set`
    Set,
    /// `frozenset`
    FrozenSet,
    /// `bytes`, which protocols 0 to 2 use for empty ones only.
    Bytes,
    /// `bytearray`
    ByteArray,
    /// `complex`
    Complex,
    /// `_codecs.encode`: bytes in protocols 0 to 2.
    Encode,
    /// `collections.OrderedDict`
    OrderedDict,
    /// `numpy.ndarray`
    NdArray,
    /// `numpy.dtype`
    Dtype,
    /// An array that BUILD fills.
    Reconstruct,
    /// A number with a dtype.
    Scalar,
    /// `numpy.frombuffer`
    FromBuffer,
    /// What protocol 5 makes arrays with.
    FromPickleBuffer,
}

/// Longest part of a strange name that a message repeats.
const MAX_SHOWN: usize = 100;

/// The name, or that it is refused.
pub fn find(module: &str, name: &str) -> Result<Name, Error> {
    Ok(match (module, name) {
        ("builtins" | "__builtin__", "set") => Name::Set,
        ("builtins" | "__builtin__", "frozenset") => Name::FrozenSet,
        ("builtins" | "__builtin__", "bytes") => Name::Bytes,
        ("builtins" | "__builtin__", "bytearray") => Name::ByteArray,
        ("builtins" | "__builtin__", "complex") => Name::Complex,
        ("_codecs", "encode") => Name::Encode,
        ("collections", "OrderedDict") => Name::OrderedDict,
        ("numpy", "ndarray") => Name::NdArray,
        ("numpy", "dtype") => Name::Dtype,
        ("numpy", "frombuffer") => Name::FromBuffer,
        // Numpy 1 has its insides in `core`, numpy 2 in `_core`.
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Name::Reconstruct,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Name::Scalar,
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Name::FromPickleBuffer,
        _ => {
            let shown: String = format!("{module}.{name}").chars().take(MAX_SHOWN).collect();
            let problem = format!("the pickle wants '{}', which is not among the names that are read; nothing was run", shown.escape_debug());
            return Err(refused(problem));
        }
    })
}
