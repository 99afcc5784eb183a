//! One call from the guest: its arguments, and how it ends.
//!
//! Problem: 46 functions receive raw 64-bit values and end in one of four ways. Written out each time, that is where checks get
//! forgotten.
//!
//! Answer: [`Call`] hands out arguments by position, already cut to their type, and reads paths with all their checks. A function
//! returns `Result<(), Stop>`, so that `?` carries a bad address, an OS error or an error number to the right end.

use super::errno::Errno;
use super::memory::{Fault, GuestMemory};
use super::types::MAX_PATH;
use super::{Wasi, WasiHost};
use std::io;
use std::time::Duration;

/// How a call ended, for the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The call returns this number to the guest; 0 is success.
    Errno(u16),
    /// The guest asked to end, with this code.
    Exit(i32),
    /// The guest must not go on: a bad address, or the host stopped the call.
    Trap(String),
}

/// The same, on the way out of a function.
pub(super) enum Stop {
    Errno(Errno),
    Exit(i32),
    Fault,
    Interrupted,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Stop {
        Stop::Errno(errno)
    }
}

impl From<Fault> for Stop {
    fn from(_: Fault) -> Stop {
        Stop::Fault
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Errno(error.into())
    }
}

pub(super) type Done = Result<(), Stop>;

/// What a function works on. The fields are separate borrows so that a descriptor can be held while memory is written.
pub(super) struct Call<'a> {
    pub wasi: &'a mut Wasi,
    pub memory: &'a mut (dyn GuestMemory + 'a),
    pub host: &'a mut (dyn WasiHost + 'a),
    pub args: &'a [u64],
}

impl Call<'_> {
    /// The argument at `index` as an `i64` parameter's bits. A missing one reads as 0: the engine checks the count by type, and a
    /// mistake there must not become a panic here.
    pub fn u64(&self, index: usize) -> u64 {
        self.args.get(index).copied().unwrap_or(0)
    }

    /// The argument at `index` as an `i32` parameter's bits, whatever the upper half of the raw value holds.
    pub fn u32(&self, index: usize) -> u32 {
        (self.u64(index) & u64::from(u32::MAX)) as u32
    }

    /// The argument at `index` as a 16-bit flag set. Bits beyond it mean nothing and are refused.
    pub fn u16(&self, index: usize) -> Result<u16, Stop> {
        u16::try_from(self.u32(index)).map_err(|_| Errno::INVAL.into())
    }

    /// The path whose address and length are the arguments at `index` and the next.
    pub fn path(&self, index: usize) -> Result<String, Stop> {
        let (ptr, len) = (self.u32(index), self.u32(index.saturating_add(1)));
        self.memory.check(ptr, len)?;
        if len > MAX_PATH {
            return Err(Errno::NAMETOOLONG.into());
        }
        let mut bytes = vec![0; len as usize];
        self.memory.read(ptr, &mut bytes)?;
        let path = String::from_utf8(bytes).map_err(|_| Errno::ILSEQ)?;
        if path.is_empty() {
            return Err(Errno::NOENT.into());
        }
        if path.contains('\0') {
            return Err(Errno::INVAL.into());
        }
        // These separate parts of a path (and `:` names streams of a file) on Windows only, so a name that contains one means
        // something else there than the guest meant.
        if cfg!(windows) && path.contains(['\\', ':']) {
            return Err(Errno::INVAL.into());
        }
        Ok(path)
    }
}

/// Waits through the host; false from it ends the call.
pub(super) fn sleep(host: &mut dyn WasiHost, how_long: Duration) -> Done {
    if host.sleep(how_long) { Ok(()) } else { Err(Stop::Interrupted) }
}

/// Runs one function and says how it ended.
pub(super) fn run(name: &str, call: &mut Call<'_>, function: fn(&mut Call<'_>) -> Done) -> Outcome {
    match function(call) {
        Ok(()) => Outcome::Errno(Errno::SUCCESS.0),
        Err(Stop::Errno(errno)) => Outcome::Errno(errno.0),
        Err(Stop::Exit(code)) => Outcome::Exit(code),
        Err(Stop::Fault) => Outcome::Trap(format!("{name} was given an address outside of memory")),
        Err(Stop::Interrupted) => Outcome::Trap(format!("{name} was stopped by the host")),
    }
}
