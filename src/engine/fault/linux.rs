//! Linux: threads, signals and the process-wide memory barrier.
//!
//! Problem: the portable parts (slots, calls, watchdog) need a handful of things from the system.
//!
//! Answer: this face of them; `other.rs` has the same one for systems without native guest code.
//!
//! What it does not do: anything clever. See `stack`, `handler`, `ranges` and `install`.

use super::slot::Slot;
use super::{handler, stack};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::*, fence};

pub use super::install::{handlers_intact, install};
pub use super::ranges::{CodeRange, register_artifact, rescan_native_ranges};
pub(super) use super::stack::close_yellow;
pub use super::stack::{GuestThread, spawn};

pub fn native_supported() -> bool {
    true
}

pub(super) fn thread_id() -> i32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Sends the stop signal to the slot's thread. A thread that has just ended leaves no slot, and a
/// stranger with its id ignores the signal.
pub(super) fn kick(slot: &Slot) {
    let tid = slot.tid.load(Acquire);
    if tid > 0 {
        // SAFETY: a signal to a thread of this process.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, handler::KILL) };
    }
}

/// Blocks every asynchronous signal on the calling thread; returns the mask before. A handler of
/// somebody else, run on a nearly full guest stack, would kill the process.
pub(super) fn block_signals() -> libc::sigset_t {
    // SAFETY: the sets are initialised before use.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut set);
        for signal in stack::wanted_signals() {
            libc::sigdelset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, &mut before);
        before
    }
}

/// Lets the calling thread wake up on time: without the kernel's 50 us of slack and, where the
/// process may, ahead of the guests that it has to stop.
pub(super) fn be_punctual() {
    // SAFETY: plain system calls about the calling thread; a refusal changes nothing.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_000);
        libc::setpriority(libc::PRIO_PROCESS, thread_id() as libc::id_t, -10);
    }
}

const MEMBARRIER_PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const MEMBARRIER_REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
static BARRIER: AtomicBool = AtomicBool::new(false);

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Finds out whether the kernel (or a sandbox around us) has the expedited barrier.
pub(super) fn prepare_barrier() {
    let usable = membarrier(MEMBARRIER_REGISTER_PRIVATE_EXPEDITED) && membarrier(MEMBARRIER_PRIVATE_EXPEDITED);
    BARRIER.store(usable, SeqCst);
}

/// The watchdog's barriers cover the calls' side too.
#[inline]
pub(super) fn barrier_is_free() -> bool {
    BARRIER.load(Relaxed)
}

/// A full fence on every running thread of the process.
pub(super) fn heavy_barrier() {
    fence(SeqCst);
    if barrier_is_free() {
        membarrier(MEMBARRIER_PRIVATE_EXPEDITED);
    }
}

static PROCESS: OnceLock<u32> = OnceLock::new();

/// Remembers which process the threads belong to.
pub(super) fn remember_process() {
    PROCESS.get_or_init(std::process::id);
}

/// In a forked child the slots describe threads of the parent.
pub(super) fn is_forked_child() -> bool {
    PROCESS.get().is_some_and(|&pid| pid != std::process::id())
}
