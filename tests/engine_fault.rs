//! The fault isolation against real compiled, just-in-time and interpreted guests.
//!
//! Every scenario that changes the whole process (handlers from before, exit) runs in a child process: the test executes itself again
//! with `FAULT_SCENARIO` set.
#![allow(
    clippy::undocumented_unsafe_blocks,
    clippy::missing_safety_doc,
    clippy::large_stack_arrays,
    clippy::print_stdout,
    clippy::pedantic,
    reason = "the C interface is used by hand here, block after block, and what was measured is printed"
)]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests that panic while they hold a lock have failed anyway")]
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[path = "engine_fault/cancel.rs"]
mod cancel;
#[path = "engine_fault/deadlines.rs"]
mod deadlines;
#[path = "engine_fault/guests.rs"]
mod guests;
#[path = "engine_fault/jit.rs"]
mod jit;
#[path = "engine_fault/process.rs"]
mod process;
#[path = "engine_fault/stress.rs"]
mod stress;
#[path = "engine_fault/support.rs"]
mod support;
#[path = "engine_fault/traps.rs"]
mod traps;

mod prelude {
    pub use remotemedia_wasmedge::engine::fault::{self, Call, CancelToken, Ended, HostGuard, Mode};
    pub use std::cell::Cell;
    pub use std::ffi::{CString, c_void};
    pub use std::path::{Path, PathBuf};
    pub use std::process::Command;
    pub use std::ptr;
    pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
    pub use std::sync::{Arc, Mutex, MutexGuard, OnceLock, mpsc};
    pub use std::time::{Duration, Instant};
    pub use wasmedge_sys::ffi::*;

    pub use crate::deadlines::{STUCK, report};
    pub use crate::guests::*;
    pub use crate::support::*;
}

/// Runs only in the children of the tests in `process.rs` and for compiling.
#[test]
fn scenarios() {
    process::scenarios();
}
