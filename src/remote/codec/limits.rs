//! How much a message from outside may make us hold.
//!
//! Problem: a few bytes can stand for a lot: a pickle may refer to one list a million times, brackets may nest until the stack ends.
//! Answer: every reader has one [`Budget`], and pays for what it is about to hold before it holds it. Nesting has a fixed limit. The size of
//! the message itself is the connection's to limit.

use super::refused;
use crate::error::Result;

/// Deepest nesting of lists, tuples and dicts. Python's own pickles and serde's json stop at about this depth, too; and reading, writing
/// and dropping a tree this deep fits any thread's stack.
pub const MAX_DEPTH: usize = 100;

/// Longest `int` in decimal digits: Python's own limit between `int` and text. Conversion takes time that grows with the square.
pub const MAX_INT_DIGITS: usize = 4300;

/// As many bytes as an `int` of [`MAX_INT_DIGITS`] has.
pub(super) const MAX_INT_BYTES: usize = 1786;

/// What every message may use. Small whole numbers in a list are the densest honest payload, with 44 for each byte; 1.2 million of them fit.
const BASE_BYTES: usize = 64 << 20;
/// What each byte of a message may use beyond that: numbers with a fraction, in lists, take 10.
const PER_BYTE: usize = 16;
/// What no message may use beyond its own size.
const MAX_BYTES: usize = 1 << 30;

/// Bytes that the reading of one message may still take.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    left: usize,
}

impl Budget {
    /// The budget of a message of this size.
    pub fn for_message(bytes: usize) -> Self {
        let total = bytes.saturating_mul(PER_BYTE).saturating_add(BASE_BYTES).min(MAX_BYTES);
        Self { total, left: total }
    }

    /// As much as any message may take, for what is in memory already.
    pub fn largest() -> Self {
        Self { total: MAX_BYTES, left: MAX_BYTES }
    }

    /// Pays for `bytes` that are about to be held.
    pub fn take(&mut self, bytes: usize) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(refused(format!("the payload would take more than {} MiB of memory when read", self.total >> 20))),
        }
    }

    /// What was taken.
    pub fn used(&self) -> usize {
        self.total - self.left
    }

    /// What there was to take.
    pub fn total(&self) -> usize {
        self.total
    }
}

/// Refuses what is nested too deeply; `depth` counts from 0.
pub(super) fn check_depth(depth: usize) -> Result<()> {
    if depth > MAX_DEPTH { Err(refused(format!("the payload is nested more than {MAX_DEPTH} deep, or contains itself"))) } else { Ok(()) }
}
