//! Threads that may run guest code, and their stacks.
//!
//! Problem: compiled guest code probes no stack, so its frames can jump over an ordinary guard page;
//! native code called near the end of the stack must still be able to finish; and a handler needs a
//! stack of its own.
//!
//! Answer: one mapping per thread, from low to high addresses:
//!
//! ```text
//! | guard | signal stack 256 K | guard | reserve 256 K | yellow 64 M, closed | usable |
//! ```
//!
//! The yellow zone costs address space only and is larger than any frame. A fault in it is the
//! overflow; native code gets part of it opened to finish on.
//!
//! What it does not do: it does not bound the size of a guest frame; the loader must refuse functions
//! with more locals than fit the yellow zone.

use super::slot::{self, Slot};
use super::{call, handler, platform, watchdog};
use parking_lot::Mutex;
use std::ffi::{CString, c_void};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::mpsc;

const GUARD: usize = 64 * 1024;
const SIGNAL_STACK: usize = 256 * 1024;
const RESERVE: usize = 256 * 1024;
const YELLOW: usize = 64 * 1024 * 1024;
/// How far below a fault the yellow zone is opened.
const OPEN_BELOW: usize = 512 * 1024;
const MIN_USABLE: usize = 256 * 1024;
const PAGE: usize = 64 * 1024;

struct Stack {
    base: usize,
    len: usize,
}

impl Stack {
    fn new(usable: usize) -> io::Result<Self> {
        let usable = usable.max(MIN_USABLE).next_multiple_of(PAGE);
        let len = GUARD + SIGNAL_STACK + GUARD + RESERVE + YELLOW + usable;
        // SAFETY: a fresh private mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { base: base as usize, len };
        let usable_low = stack.usable_low();
        for (low, len) in [(stack.signal_low(), SIGNAL_STACK), (stack.reserve_low(), RESERVE), (usable_low, stack.high() - usable_low)] {
            // SAFETY: inside the mapping just made.
            let rc = unsafe { libc::mprotect(low as *mut c_void, len, libc::PROT_READ | libc::PROT_WRITE) };
            if rc != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(stack)
    }

    fn signal_low(&self) -> usize {
        self.base + GUARD
    }

    fn reserve_low(&self) -> usize {
        self.signal_low() + SIGNAL_STACK + GUARD
    }

    fn yellow_low(&self) -> usize {
        self.reserve_low() + RESERVE
    }

    fn usable_low(&self) -> usize {
        self.yellow_low() + YELLOW
    }

    fn high(&self) -> usize {
        self.base + self.len
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the thread that used it has been joined or never started.
        unsafe { libc::munmap(self.base as *mut c_void, self.len) };
    }
}

/// Opens the part of the yellow zone that lies above the fault and a little below it. Runs in the
/// handler.
pub(super) fn open_yellow(slot: &Slot, fault: usize) -> bool {
    let yellow_low = slot.yellow_low.load(Relaxed);
    let low = (fault & !(PAGE - 1)).saturating_sub(OPEN_BELOW).max(yellow_low);
    let len = slot.usable_low.load(Relaxed) - low;
    // SAFETY: part of this thread's own mapping.
    let rc = unsafe { libc::mprotect(low as *mut c_void, len, libc::PROT_READ | libc::PROT_WRITE) };
    if rc == 0 {
        slot.opened.store(low, Relaxed);
    }
    rc == 0
}

/// Closes the yellow zone again when a call ends.
#[cold]
pub(super) fn close_yellow(slot: &Slot) {
    let here = 0u8;
    let usable_low = slot.usable_low.load(Relaxed);
    if (&raw const here as usize) < usable_low + PAGE {
        return; // We still stand on it: an outer call near the end of the stack.
    }
    let low = slot.opened.swap(0, Relaxed);
    // SAFETY: part of this thread's own mapping, below the live stack.
    unsafe {
        libc::madvise(low as *mut c_void, usable_low - low, libc::MADV_DONTNEED);
        libc::mprotect(low as *mut c_void, usable_low - low, libc::PROT_NONE);
    }
}

struct Start {
    slot: &'static Slot,
    name: CString,
    nice: i32,
    signal_low: usize,
    started: mpsc::SyncSender<io::Result<()>>,
    ended: Arc<AtomicBool>,
    body: Box<dyn FnOnce() + Send>,
}

struct Thread {
    id: libc::pthread_t,
    ended: Arc<AtomicBool>,
    _stack: Stack,
}

/// Threads whose handle was dropped; their stacks are freed when they have ended.
static ORPHANS: Mutex<Vec<Thread>> = Mutex::new(Vec::new());

/// A running guest thread.
pub struct GuestThread {
    thread: Option<Thread>,
}

impl GuestThread {
    /// Waits for the thread to end and frees its stack.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            join(thread);
        }
    }

    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(|thread| thread.ended.load(Acquire))
    }
}

impl Drop for GuestThread {
    /// Without a join the thread goes on; its stack is freed by the next `spawn` after its end.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            ORPHANS.lock().push(thread);
        }
        reap();
    }
}

fn join(thread: Thread) {
    // SAFETY: joined once: the handle is consumed. The stack is freed after the join.
    unsafe { libc::pthread_join(thread.id, ptr::null_mut()) };
}

fn reap() {
    let ended: Vec<_> = ORPHANS.lock().extract_if(.., |thread| thread.ended.load(Acquire)).collect();
    ended.into_iter().for_each(join);
}

/// Starts a thread that may run guest code.
pub fn spawn(name: &str, usable_stack_bytes: usize, nice: i32, f: impl FnOnce() + Send + 'static) -> io::Result<GuestThread> {
    watchdog::start()?;
    reap();
    let stack = Stack::new(usable_stack_bytes)?;
    let slot = slot::claim().ok_or_else(|| io::Error::other("too many guest threads"))?;
    slot.guard_low.store(stack.reserve_low() - GUARD, Relaxed);
    slot.yellow_low.store(stack.yellow_low(), Relaxed);
    slot.usable_low.store(stack.usable_low(), Relaxed);
    slot.map_low.store(stack.base, Relaxed);
    slot.map_high.store(stack.high(), Relaxed);
    let ended = Arc::new(AtomicBool::new(false));
    let (started, has_started) = mpsc::sync_channel(1);
    let short: Vec<u8> = name.bytes().filter(|&byte| byte != 0).take(15).collect();
    let start = Box::new(Start {
        slot,
        name: CString::new(short).unwrap_or_default(),
        nice,
        signal_low: stack.signal_low(),
        started,
        ended: ended.clone(),
        body: Box::new(f),
    });
    match create(&stack, start) {
        Ok(id) => {
            let handle = GuestThread { thread: Some(Thread { id, ended, _stack: stack }) };
            has_started.recv().map_err(io::Error::other)??;
            Ok(handle)
        }
        Err(error) => {
            slot::release(slot);
            Err(error)
        }
    }
}

fn create(stack: &Stack, start: Box<Start>) -> io::Result<libc::pthread_t> {
    let argument = Box::into_raw(start);
    // SAFETY: the attributes are initialised before use; the stack outlives the thread because its
    // owner joins before it frees; `argument` passes to the thread, or back to us if it never starts.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        libc::pthread_attr_init(&mut attributes);
        let low = stack.reserve_low();
        libc::pthread_attr_setstack(&mut attributes, low as *mut c_void, stack.high() - low);
        let mut id = std::mem::zeroed();
        // The thread inherits the mask: no asynchronous signal ever finds it unprepared.
        let before = platform::block_signals();
        let rc = libc::pthread_create(&mut id, &attributes, enter, argument.cast());
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
        libc::pthread_attr_destroy(&mut attributes);
        if rc != 0 {
            drop(Box::from_raw(argument));
            return Err(io::Error::from_raw_os_error(rc));
        }
        Ok(id)
    }
}

extern "C" fn enter(argument: *mut c_void) -> *mut c_void {
    // SAFETY: made by `spawn` for this thread alone.
    let start = unsafe { Box::from_raw(argument.cast::<Start>()) };
    let Start { slot, name, nice, signal_low, started, ended, body } = *start;
    let tid = platform::thread_id();
    // SAFETY: plain system calls about the calling thread; the signal stack lies in its mapping.
    let rc = unsafe {
        libc::pthread_setname_np(libc::pthread_self(), name.as_ptr());
        if nice != 0 {
            // A wish: without the permission the thread runs as it is.
            libc::setpriority(libc::PRIO_PROCESS, tid as libc::id_t, nice);
        }
        let signal_stack = libc::stack_t { ss_sp: signal_low as *mut c_void, ss_flags: 0, ss_size: SIGNAL_STACK };
        libc::sigaltstack(&signal_stack, ptr::null_mut())
    };
    if rc == 0 {
        slot::publish(slot, tid);
        call::bind(Some(slot));
        let _ = started.send(Ok(()));
        // The panic hook has reported it; the thread's end is all there is left to do.
        let _ = panic::catch_unwind(AssertUnwindSafe(body));
        call::bind(None);
    } else {
        let _ = started.send(Err(io::Error::last_os_error()));
    }
    slot::release(slot);
    ended.store(true, Release);
    ptr::null_mut()
}

/// Signals a guest thread must receive: the faults, and ours.
pub(super) fn wanted_signals() -> impl Iterator<Item = libc::c_int> {
    handler::SIGNALS.into_iter().chain([libc::SIGILL, libc::SIGSYS, libc::SIGABRT])
}
