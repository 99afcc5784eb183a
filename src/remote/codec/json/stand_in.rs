//! Objects that stand for Python values in a packet's json.
//!
//! Problem: a node may answer with a dict that holds an array, and a packet of kind `json` has no place for bytes. Answer: the form that
//! RemoteMedia's browser build used, `{"__numpy__": true, "array": {"meta": {"dtype", "shape"}, "data": base64}}`; likewise `{"__bytes__":
//! true, "data": base64}` and `{"__complex__": true, "real", "imag"}`. They go both ways: a packet's json with such an object becomes a
//! pickle with an array. They are used only where a json packet meets a pickle; on the json wire they are plain objects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, Result};
use crate::remote::codec::dtype::Dtype;
use crate::remote::codec::refused;
use crate::remote::codec::value::{NdArray, PyValue};

/// How an array starts, up to its dtype.
pub const ARRAY_DTYPE: &[u8] = br#"{"__numpy__":true,"array":{"meta":{"dtype":"#;
/// Between its dtype and its sizes.
pub const ARRAY_SHAPE: &[u8] = br#","shape":["#;
/// Between its sizes and its bytes.
pub const ARRAY_DATA: &[u8] = br#"]},"data":"#;
/// How bytes start.
pub const BYTES: &[u8] = br#"{"__bytes__":true,"data":"#;
/// How a complex number starts.
pub const COMPLEX_REAL: &[u8] = br#"{"__complex__":true,"real":"#;
/// Between its parts.
pub const COMPLEX_IMAGINARY: &[u8] = br#","imag":"#;

/// Bytes as text.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Puts the values in the place of their stand-ins.
pub fn revive(value: PyValue) -> Result<PyValue> {
    match value {
        PyValue::List(items) => Ok(PyValue::List(items.into_iter().map(revive).collect::<Result<_>>()?)),
        PyValue::Dict(entries) => {
            let dict = PyValue::Dict(entries);
            let marked = |key: &str| matches!(dict.get(key), Some(PyValue::Bool(true)));
            if marked("__numpy__") {
                return array(&dict).map(PyValue::Array);
            }
            if marked("__bytes__") {
                return bytes(&dict, "__bytes__").map(|bytes| PyValue::Bytes(bytes.into()));
            }
            if marked("__complex__") {
                return complex(&dict);
            }
            let PyValue::Dict(entries) = dict else { return Ok(dict) };
            Ok(PyValue::Dict(entries.into_iter().map(|(key, value)| Ok((key, revive(value)?))).collect::<Result<_>>()?))
        }
        other => Ok(other),
    }
}

fn wrong(mark: &str, problem: &str) -> Error {
    refused(format!("an object with {mark}: {problem}"))
}

fn bytes(holder: &PyValue, mark: &str) -> Result<Vec<u8>> {
    match holder.get("data") {
        Some(PyValue::Str(text)) => STANDARD.decode(text).map_err(|error| wrong(mark, &format!("data: {error}"))),
        _ => Err(wrong(mark, "data: must be text in base64")),
    }
}

fn array(dict: &PyValue) -> Result<NdArray> {
    const MARK: &str = "__numpy__";
    let array = dict.get("array").ok_or_else(|| wrong(MARK, "array: missing"))?;
    let meta = array.get("meta").ok_or_else(|| wrong(MARK, "array.meta: missing"))?;
    let dtype = match meta.get("dtype") {
        Some(PyValue::Str(name)) => Dtype::parse(name),
        _ => None,
    };
    let dtype = dtype.ok_or_else(|| wrong(MARK, "array.meta.dtype: must be a type such as 'float32'"))?;
    let shape = match meta.get("shape") {
        Some(PyValue::List(sizes)) => sizes.iter().map(|size| if let PyValue::Int(size) = size { u64::try_from(*size).ok() } else { None }).collect(),
        _ => None,
    };
    let shape: Vec<u64> = shape.ok_or_else(|| wrong(MARK, "array.meta.shape: must be an array of sizes"))?;
    NdArray::new(dtype, shape, false, bytes(array, MARK)?.into())
}

fn complex(dict: &PyValue) -> Result<PyValue> {
    let part = |key: &str| match dict.get(key) {
        Some(PyValue::Float(number)) => Ok(*number),
        Some(PyValue::Int(number)) => Ok(*number as f64),
        // What is not finite was written as null.
        Some(PyValue::None) => Ok(f64::NAN),
        _ => Err(wrong("__complex__", &format!("{key}: must be a number"))),
    };
    Ok(PyValue::Complex(part("real")?, part("imag")?))
}
