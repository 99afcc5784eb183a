//! Systems without native guest code (anything but Linux on x86-64 and aarch64): the same face.
//!
//! Problem: signals, stacks and code ranges are handled in ways that only Linux offers here.
//!
//! Answer: guests are interpreted. Threads are ordinary ones, deadlines and cancels go through the
//! interpreter's stop token, and `native_supported()` tells the engine not to load compiled code.
//!
//! What it does not do: it survives no native fault and no overflow of the native stack. The
//! interpreter causes neither: it keeps the guest's frames on the heap.

use super::slot::{self, Slot};
use super::{call, watchdog};
use std::io;
use std::path::Path;
use std::sync::atomic::{Ordering::*, fence};
use std::thread::JoinHandle;

/// The interpreter's own recursion is shallow; host functions need some.
const MIN_STACK: usize = 1024 * 1024;

pub fn native_supported() -> bool {
    false
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "compiled guest code is supported on Linux x86-64 and aarch64 only"))
}

pub fn install(_park_artifact: &Path) -> io::Result<()> {
    unsupported()
}

/// There is nothing that anybody could have replaced.
pub fn handlers_intact() -> bool {
    true
}

/// Never made here.
#[derive(Debug)]
pub struct CodeRange(());

pub fn register_artifact(_path: &Path) -> io::Result<CodeRange> {
    unsupported()
}

pub fn rescan_native_ranges() -> io::Result<()> {
    unsupported()
}

/// A running guest thread.
pub struct GuestThread {
    thread: JoinHandle<()>,
}

impl GuestThread {
    /// Waits for the thread to end.
    pub fn join(self) {
        let _ = self.thread.join();
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts a thread that may interpret guest code.
pub fn spawn(name: &str, usable_stack_bytes: usize, _nice: i32, f: impl FnOnce() + Send + 'static) -> io::Result<GuestThread> {
    watchdog::start()?;
    let slot = slot::claim().ok_or_else(|| io::Error::other("too many guest threads"))?;
    let thread = std::thread::Builder::new().name(name.into()).stack_size(usable_stack_bytes.max(MIN_STACK)).spawn(move || {
        let _slot = Bound(slot);
        slot::publish(slot, 1);
        call::bind(Some(slot));
        f();
    });
    match thread {
        Ok(thread) => Ok(GuestThread { thread }),
        Err(error) => {
            slot::release(slot);
            Err(error)
        }
    }
}

/// Gives the slot back, also when the thread's body panics.
struct Bound(&'static Slot);

impl Drop for Bound {
    fn drop(&mut self) {
        call::bind(None);
        slot::release(self.0);
    }
}

pub(super) fn kick(_: &Slot) {}

pub(super) fn close_yellow(_: &Slot) {}

pub(super) fn block_signals() {}

pub(super) fn be_punctual() {}

pub(super) fn prepare_barrier() {}

#[inline]
pub(super) fn barrier_is_free() -> bool {
    false
}

pub(super) fn heavy_barrier() {
    fence(SeqCst);
}

pub(super) fn is_forked_child() -> bool {
    false
}
