//! WASI preview 1 for untrusted modules.
//!
//! Problem: nearly every compiler for WebAssembly emits imports from `wasi_snapshot_preview1`, if only to print or to exit, so a
//! module without them would not even load. The engine's own implementation hands out the process's real standard streams,
//! clocks and random source, and its path checks are C++ that we can neither test nor bound.
//!
//! Answer: all 46 functions, written here against two small traits (the guest's memory and the host of the call), so that they
//! are tested without an engine. Nothing is there until it is granted: no directory, no variable, no argument, no clock, no
//! random byte. What is granted goes through `cap-std`, which resolves every path beneath the granted directory, symbolic links
//! included. Output to descriptors 1 and 2 becomes log lines.
//!
//! Everything the guest passes in is hostile: addresses, lengths, counts, flags and descriptors are checked before use, each call
//! has a fixed bound on the memory it takes from the host (see [`types`]), and no call waits other than through
//! [`WasiHost::sleep`], which knows the deadline of the call.
//!
//! What it does not do: sockets, signals, CPU-time clocks, `fd_allocate`, waiting for descriptors to become ready. There is no
//! quota on disk space, and a slow disk or network mount below a granted directory is as slow for the guest as for anyone. A
//! granted directory tells the time through its files, whatever the `clock` grant says.
#![forbid(unsafe_code)]

mod call;
mod clock;
mod errno;
mod fds;
mod grants;
mod imports;
mod memory;
mod open;
mod paths;
mod process;
mod readdir;
mod streams;
mod table;
mod types;

pub use call::Outcome;
pub use errno::Errno;
pub use grants::WasiGrants;
pub use imports::{Import, ValType, imports};
pub use memory::{Fault, GuestMemory};
pub use types::{MAX_FDS, MAX_IO, MAX_IOVECS, MAX_LOG, MAX_PATH, MAX_SUBSCRIPTIONS};

use std::io;
use std::time::{Duration, Instant};

/// What the calls need from whoever runs the guest.
pub trait WasiHost {
    /// Bytes the guest wrote to descriptor 1 or 2: any number up to [`MAX_LOG`], not necessarily a whole line or valid UTF-8.
    fn log(&mut self, fd: u32, bytes: &[u8]);

    /// Waits, but no longer than the call of the guest may last. False: its deadline passed or it was cancelled, and the guest is
    /// to be stopped. A zero duration only asks whether the call may go on; long loops do that from time to time.
    fn sleep(&mut self, how_long: Duration) -> bool;
}

/// The WASI state of one instance: its descriptors and what it may ask for.
///
/// Without grants this is a few machine words and owns nothing: no allocation, no descriptor of the process.
pub struct Wasi {
    table: table::Table,
    args: process::Strings,
    environ: process::Strings,
    clock: bool,
    random: bool,
    /// The monotonic clock counts from here, so a guest learns nothing about how long the machine or the process has been up.
    started: Instant,
}

impl Wasi {
    /// A fresh state. The granted directories are opened here rather than at first use: a missing one is an error before the guest
    /// runs, and replacing the directory on the host later does not change what the guest holds.
    pub fn new(grants: &WasiGrants) -> io::Result<Wasi> {
        Ok(Wasi {
            table: table::Table::new(&grants.preopens)?,
            args: process::Strings::new(grants.args.iter().map(|arg| [arg.as_str(), "", ""])),
            environ: process::Strings::new(grants.env.iter().map(|(key, value)| [key.as_str(), "=", value.as_str()])),
            clock: grants.clock,
            random: grants.random,
            started: Instant::now(),
        })
    }

    /// The number of descriptors the guest has open, the three standard streams included.
    pub fn open_fds(&self) -> usize {
        self.table.len()
    }
}
