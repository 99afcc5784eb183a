//! Where a node's output goes: to the host at once (`emit_*`), or into the host's result buffer (`result*`).
//!
//! A node that answers each input with one payload uses the result buffer: no import, no copy. If the answer is
//! larger than the buffer it is kept, and the runtime serves it when the host comes back with a larger one.

use crate::{Error, Kind, host, sys};
use alloc::{format, string::String, vec::Vec};
use core::fmt::Write;
use serde::Serialize;

/// Receives the output of one call.
pub struct Output<'a> {
    buffer: &'a mut [u8],
    kept: &'a mut Vec<u8>,
    len: usize,
}

impl<'a> Output<'a> {
    pub(crate) fn new(buffer: &'a mut [u8], kept: &'a mut Vec<u8>) -> Self {
        Self { buffer, kept, len: 0 }
    }

    /// Length of the result, and whether it had to be kept because the buffer is too small.
    pub(crate) fn finish(self) -> (usize, bool) {
        (self.len, self.len > self.buffer.len())
    }

    /// Sets the result of this call; a second call replaces the first. Unless the node's `outputKind` option says
    /// otherwise the host takes it as JSON if it parses as such, else as binary.
    pub fn result(&mut self, bytes: &[u8]) {
        self.result_mut(bytes.len()).copy_from_slice(bytes);
    }

    /// Sets the result to `len` bytes and returns them to be filled in; what they hold before is unspecified.
    pub fn result_mut(&mut self, len: usize) -> &mut [u8] {
        self.len = len;
        if len <= self.buffer.len() {
            &mut self.buffer[..len]
        } else {
            self.kept.clear();
            self.kept.resize(len, 0);
            self.kept
        }
    }

    /// Sets the result to `value` as JSON.
    pub fn result_json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        self.result(&to_json(value)?);
        Ok(())
    }

    /// Emits any payload; `meta` is a JSON object, or empty for none.
    pub fn emit(&mut self, kind: Kind, data: &[u8], meta: &str) -> Result<(), Error> {
        // SAFETY: both are slices that outlive the call.
        let code = unsafe { sys::emit(kind as i32, data.as_ptr(), data.len(), meta.as_ptr(), meta.len()) };
        match code {
            code if code < 0 => Err(host::call_error(code).into()),
            _ => Ok(()),
        }
    }

    /// Emits bytes.
    pub fn emit_binary(&mut self, data: &[u8]) -> Result<(), Error> {
        self.emit(Kind::Binary, data, "")
    }

    /// Emits text.
    pub fn emit_text(&mut self, text: &str) -> Result<(), Error> {
        self.emit(Kind::Text, text.as_bytes(), "")
    }

    /// Emits `value` as JSON.
    pub fn emit_json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        self.emit(Kind::Json, &to_json(value)?, "")
    }

    /// Emits interleaved samples in -1..1 at `sample_rate` Hz; their number is a multiple of `channels`.
    pub fn emit_audio(&mut self, samples: &[f32], sample_rate: u32, channels: usize) -> Result<(), Error> {
        let meta = format!("{{\"sampleRate\":{sample_rate},\"channels\":{channels}}}");
        self.emit(Kind::Audio, f32_bytes(samples), &meta)
    }

    /// Emits a float32 tensor, row-major, `shape` outermost axis first.
    pub fn emit_tensor(&mut self, data: &[f32], shape: &[usize]) -> Result<(), Error> {
        self.emit_tensor_bytes(f32_bytes(data), "float32", shape)
    }

    /// Emits a tensor of any element type, row-major and little-endian.
    pub fn emit_tensor_bytes(&mut self, data: &[u8], dtype: &str, shape: &[usize]) -> Result<(), Error> {
        let mut meta = format!("{{\"dtype\":\"{dtype}\",\"shape\":[");
        for (axis, len) in shape.iter().enumerate() {
            let comma = if axis == 0 { "" } else { "," };
            let _ = write!(meta, "{comma}{len}");
        }
        meta.push_str("]}");
        self.emit(Kind::Tensor, data, &meta)
    }

    /// Emits one picture; `format` names the layout of `pixels`, such as `rgb24`.
    pub fn emit_video(&mut self, pixels: &[u8], width: u32, height: u32, format: &str) -> Result<(), Error> {
        let meta: String = format!("{{\"width\":{width},\"height\":{height},\"format\":\"{format}\"}}");
        self.emit(Kind::Video, pixels, &meta)
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::new(format!("output: {error}")))
}

/// Samples as the bytes of an audio payload.
pub(crate) fn f32_bytes(samples: &[f32]) -> &[u8] {
    // SAFETY: f32 has no padding, u8 no alignment, and the length is that of the same slice in bytes.
    unsafe { core::slice::from_raw_parts(samples.as_ptr().cast(), size_of_val(samples)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn emitted_metadata_is_json_of_the_documented_shape() {
        testing::reset();
        let mut kept = Vec::new();
        let mut out = Output::new(&mut [], &mut kept);
        out.emit_audio(&[0.0, 0.5], 16000, 2).unwrap();
        out.emit_tensor(&[1.0; 6], &[2, 3]).unwrap();
        out.emit_video(&[0; 3], 1, 1, "rgb24").unwrap();
        out.emit_json(&[1, 2]).unwrap();
        let got = testing::take_emitted();
        let metas: Vec<&str> = got.iter().map(|e| e.meta.as_str()).collect();
        assert_eq!(
            metas,
            [
                r#"{"sampleRate":16000,"channels":2}"#,
                r#"{"dtype":"float32","shape":[2,3]}"#,
                r#"{"width":1,"height":1,"format":"rgb24"}"#,
                ""
            ]
        );
        assert_eq!(got[0].data, [0, 0, 0, 0, 0, 0, 0, 63]);
        assert_eq!(got[3].data, b"[1,2]");
    }
}
