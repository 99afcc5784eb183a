//! The thread that notices calls past their deadline and stops them.
//!
//! Problem: a call must end within 10 ms of its deadline, but a call that ends in time may pay only a
//! few nanoseconds for having one, and an idle process must not be woken at all.
//!
//! Answer: a call merely stores its deadline in its slot and compares it with the watchdog's planned
//! wake-up. Only a deadline earlier than that plan makes it notify the watchdog. Store-then-load on
//! one side and plan-then-scan on the other need a full fence between them on both sides; the caller's
//! fence is saved with `membarrier`, which makes the watchdog's rare side pay for both.
//!
//! An overdue call is asked through its slot and, when it runs native code, by a signal repeated until
//! it has ended; an interpreter call through WasmEdge's stop token.
//!
//! What it does not do: it never decides whether a thread may be interrupted where it stands. That is
//! the signal handler's part, on the thread itself.

use super::slot::{self, NEVER, Slot};
use super::{Ended, platform};
use parking_lot::{Condvar, Mutex};
use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::*, compiler_fence, fence};
use std::time::{Duration, Instant};
use wasmedge_sys::ffi;

/// Time between two signals to a call that must stop.
const RESEND: u64 = 150_000;
/// The same while the call is inside a host function, which looks for itself when it returns.
const RESEND_IN_HOST: u64 = 1_000_000;
/// Time between two cancels of an interpreter: one is enough unless a nested call consumed it.
const RESEND_INTERPRETER: u64 = 2_000_000;

/// When the watchdog will wake up by itself.
static PLANNED: AtomicU64 = AtomicU64::new(NEVER);
static NUDGED: Mutex<bool> = Mutex::new(false);
static WAKE: Condvar = Condvar::new();

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// `Instant` as nanoseconds on a clock that fits an atomic.
#[inline]
pub(super) fn nanos(at: Instant) -> u64 {
    let since = at.saturating_duration_since(epoch());
    since.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(since.subsec_nanos()))
}

/// The way back; `None` for "no deadline".
pub(super) fn instant(nanos: u64) -> Option<Instant> {
    if nanos == NEVER { None } else { epoch().checked_add(Duration::from_nanos(nanos)) }
}

/// Starts the thread when the first guest thread is made.
pub(super) fn start() -> io::Result<()> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock();
    if !*started {
        epoch();
        platform::prepare_barrier();
        std::thread::Builder::new().name("wasm-watchdog".into()).stack_size(256 * 1024).spawn(|| {
            platform::block_signals();
            platform::be_punctual();
            run();
        })?;
        *started = true;
    }
    Ok(())
}

/// Called by a call that has just published its deadline.
#[inline]
pub(super) fn planned_after_publishing() -> u64 {
    if platform::barrier_is_free() {
        compiler_fence(SeqCst);
    } else {
        fence(SeqCst);
    }
    PLANNED.load(Relaxed)
}

/// Makes the watchdog look at all slots no later than `deadline`.
#[cold]
pub(super) fn nudge(deadline: u64) {
    if PLANNED.fetch_min(deadline, AcqRel) > deadline {
        *NUDGED.lock() = true;
        WAKE.notify_one();
    }
}

fn run() {
    loop {
        let mut plan = scan();
        loop {
            PLANNED.store(plan, Relaxed);
            // A call either sees this plan or its deadline is seen by the scan that follows.
            platform::heavy_barrier();
            let again = scan();
            if again >= plan {
                break;
            }
            plan = again;
        }
        let mut nudged = NUDGED.lock();
        if !*nudged {
            match instant(plan) {
                None => WAKE.wait(&mut nudged),
                Some(at) => {
                    let _ = WAKE.wait_until(&mut nudged, at);
                }
            }
        }
        *nudged = false;
    }
}

/// Stops what is overdue; returns when to look again.
fn scan() -> u64 {
    let now = nanos(Instant::now());
    slot::all().iter().filter_map(|slot| visit(slot, now)).min().unwrap_or(NEVER)
}

fn visit(slot: &Slot, now: u64) -> Option<u64> {
    let (generation, deadline) = slot.running()?;
    if slot.killed(generation).is_none() {
        if deadline > now {
            return Some(deadline);
        }
        slot.request(generation, Ended::Deadline);
    }
    Some(now + push(slot, generation))
}

/// One attempt to stop a call that was asked to; returns how long to wait before the next.
pub(super) fn push(slot: &Slot, generation: u64) -> u64 {
    // The owner holds the lock at the start and the end of a call only, for nanoseconds.
    let interpreted = slot.interpreter.try_lock().is_some_and(|mut running| {
        let lent = !running.executor.is_null();
        if lent && slot.gen_now.load(Acquire) == generation {
            cancel_interpreter(&mut running);
        }
        lent
    });
    if slot.in_guest.load(Acquire) {
        platform::kick(slot);
        RESEND
    } else if interpreted {
        RESEND_INTERPRETER
    } else {
        RESEND_IN_HOST
    }
}

/// Sets the executor's stop token. WasmEdge offers that only through the handle of an asynchronous
/// call, so one is made of a host function that does nothing. It runs on a thread of its own, touches
/// thread-local state and the (still clear) stop token only, and is awaited before the cancel:
/// otherwise it could consume the token itself.
fn cancel_interpreter(running: &mut slot::Interpreter) {
    // SAFETY: the executor is alive: its call holds it until it has taken it out of the slot under
    // the mutex that our caller holds.
    unsafe {
        if running.handle.is_null() {
            let nothing = nothing_function();
            if nothing.is_null() {
                return;
            }
            running.handle = ffi::WasmEdge_ExecutorAsyncInvoke(running.executor, nothing, ptr::null(), 0);
            if running.handle.is_null() {
                return;
            }
            ffi::WasmEdge_AsyncWait(running.handle);
        }
        ffi::WasmEdge_AsyncCancel(running.handle);
    }
}

unsafe extern "C" fn nothing(
    _: *mut c_void,
    _: *const ffi::WasmEdge_CallingFrameContext,
    _: *const ffi::WasmEdge_Value,
    _: *mut ffi::WasmEdge_Value,
) -> ffi::WasmEdge_Result {
    ffi::WasmEdge_Result { Code: 0 }
}

fn nothing_function() -> *const ffi::WasmEdge_FunctionInstanceContext {
    static FUNCTION: OnceLock<usize> = OnceLock::new();
    *FUNCTION.get_or_init(|| {
        // SAFETY: plain constructors; the type is copied into the function.
        unsafe {
            let ty = ffi::WasmEdge_FunctionTypeCreate(ptr::null(), 0, ptr::null(), 0);
            let function = ffi::WasmEdge_FunctionInstanceCreate(ty, Some(nothing), ptr::null_mut(), 0);
            ffi::WasmEdge_FunctionTypeDelete(ty);
            function as usize
        }
    }) as *const ffi::WasmEdge_FunctionInstanceContext
}
