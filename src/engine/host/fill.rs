//! How imports read a guest's memory and fill its buffers.
//!
//! Problem: a guest's pointers may point anywhere, and an answer may be longer than the guest had guessed. Answer: every access is checked
//! and ends the call like a trap when it is outside; an answer that does not fit is kept, and a second call gets it without the work being
//! done again. What the answers are is the imports' own business.

use super::{HostState, MAX_TEXT_BYTES, Stop, rm};
use crate::engine::sys::Memory;
use crate::error::{Error, Result, Trap};

/// What an import that fills a buffer answered, kept when the buffer was too small.
pub struct Kept {
    import: &'static str,
    name: Vec<u8>,
    data: Vec<u8>,
    answer: Vec<u8>,
}

/// A call of an import that fills a buffer.
pub struct Asked<'a> {
    pub import: &'static str,
    pub name: &'a [u8],
    pub data: &'a [u8],
    pub out: u32,
    pub out_len: u32,
}

impl Asked<'_> {
    /// A call that takes nothing but the buffer: its address and that of its length are the arguments.
    pub fn plain(import: &'static str, args: &[u64]) -> Self {
        Self { import, name: &[], data: &[], out: rm::arg(args, 0), out_len: rm::arg(args, 1) }
    }
}

impl HostState {
    /// The answer of a former call with a buffer that was too small, if this is its second call: of the same import and name, with the
    /// same data or, as the answer is there already, with none.
    pub(super) fn take_kept(&mut self, import: &'static str, name: &[u8], data: &[u8]) -> Option<Vec<u8>> {
        let position = self.kept.iter().position(|kept| kept.import == import && kept.name == name)?;
        let kept = self.kept.swap_remove(position);
        (data.is_empty() || data == kept.data).then_some(kept.answer)
    }

    /// Hands `answer` to the guest by the two-call rule: 0 when it fits; 1 with the size needed when it does not, and the answer is kept.
    pub(super) fn fill(&mut self, asked: &Asked<'_>, memory: Memory, answer: Vec<u8>) -> Result<u64, Stop> {
        let capacity = read_u32(memory, asked.out_len)?;
        #[expect(clippy::cast_possible_truncation, reason = "answers are bounded by maxOutputBytes, below 4 GB")]
        let needed = answer.len() as u32;
        write(memory, asked.out_len, &needed.to_le_bytes())?;
        if needed <= capacity {
            write(memory, asked.out, &answer)?;
            return Ok(0);
        }
        self.kept.push(Kept { import: asked.import, name: asked.name.to_vec(), data: asked.data.to_vec(), answer });
        Ok(1)
    }
}

pub fn bad_pointer(what: &str, at: u32, len: u32) -> Stop {
    Error::trap(Trap::BadPointer, format!("the guest gave {what} outside its memory: {len} bytes at {at}"))
}

pub fn read(memory: Memory, at: u32, len: u32) -> Result<Vec<u8>, Stop> {
    memory.slice(at, len).map(<[u8]>::to_vec).ok_or_else(|| bad_pointer("a range", at, len))
}

/// A guest's name or message, cut to a bearable length.
pub fn read_text(memory: Memory, at: u32, len: u32) -> Result<Vec<u8>, Stop> {
    let bytes = memory.slice(at, len).ok_or_else(|| bad_pointer("a text", at, len))?;
    Ok(bytes[..bytes.len().min(MAX_TEXT_BYTES as usize)].to_vec())
}

pub fn read_u32(memory: Memory, at: u32) -> Result<u32, Stop> {
    let bytes = memory.slice(at, 4).ok_or_else(|| bad_pointer("a pointer", at, 4))?;
    bytes.try_into().map(u32::from_le_bytes).map_err(|_| bad_pointer("a pointer", at, 4))
}

/// Checks the whole buffer that a guest offers, for imports whose work must not be done when its answer has no place to go.
pub fn check_buffer(memory: Memory, out: u32, out_len: u32) -> Result<(), Stop> {
    let capacity = read_u32(memory, out_len)?;
    memory.slice(out, capacity).map(|_| ()).ok_or_else(|| bad_pointer("a buffer", out, capacity))
}

fn write(memory: Memory, at: u32, data: &[u8]) -> Result<(), Stop> {
    #[expect(clippy::cast_possible_truncation, reason = "only for the message")]
    if memory.write(at, data) { Ok(()) } else { Err(bad_pointer("a buffer", at, data.len() as u32)) }
}
