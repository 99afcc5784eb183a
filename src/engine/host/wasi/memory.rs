//! The guest's memory as the calls see it.
//!
//! Problem: every address and length comes from the guest, and the memory belongs to an engine this folder must not know.
//!
//! Answer: a trait with three checked operations that the engine implements, and the typed helpers on top of them. There is no way
//! to get a slice of guest memory, so nothing here can hold one across a call that moves the memory.
//!
//! What it does not do: decide what a bad address means. It reports [`Fault`], and `call` turns that into a trap.

use std::fmt;

/// The guest passed an address outside its memory. The engine ends the call with an error of its own kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is outside of the guest's memory")
    }
}

impl std::error::Error for Fault {}

/// Checked access to the guest's linear memory. Every access is all or nothing.
pub trait GuestMemory {
    /// Fills `buf` from the memory at `ptr`.
    fn read(&self, ptr: u32, buf: &mut [u8]) -> Result<(), Fault>;

    /// Copies `bytes` into the memory at `ptr`.
    fn write(&mut self, ptr: u32, bytes: &[u8]) -> Result<(), Fault>;

    /// The size of the memory in bytes, now.
    fn size(&self) -> u64;

    /// Whether `len` bytes at `ptr` lie inside the memory. An empty range lies everywhere: guests pass dangling addresses for
    /// empty slices, and nothing is read from them.
    fn check(&self, ptr: u32, len: u32) -> Result<(), Fault> {
        // Two u32 cannot overflow a u64.
        let end = u64::from(ptr) + u64::from(len);
        if len == 0 || end <= self.size() { Ok(()) } else { Err(Fault) }
    }

    /// Reads a little-endian `u32`.
    fn read_u32(&self, ptr: u32) -> Result<u32, Fault> {
        let mut bytes = [0; 4];
        self.read(ptr, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Writes a little-endian `u32`.
    fn write_u32(&mut self, ptr: u32, value: u32) -> Result<(), Fault> {
        self.write(ptr, &value.to_le_bytes())
    }

    /// Writes a little-endian `u64`.
    fn write_u64(&mut self, ptr: u32, value: u64) -> Result<(), Fault> {
        self.write(ptr, &value.to_le_bytes())
    }
}

/// The address `offset` bytes after `ptr`; past the end of a 32-bit address space is a fault, never a wrap-around.
pub(super) fn after(ptr: u32, offset: usize) -> Result<u32, Fault> {
    u32::try_from(offset).ok().and_then(|offset| ptr.checked_add(offset)).ok_or(Fault)
}
