//! The life of one call: its scope and its host functions.
//!
//! Problem: the handler must know, at any instruction, whether the thread stands in guest code for
//! which WasmEdge has a landing place, and which deadline and cancel token apply, while calls nest
//! (guest, host function, guest) and the whole may cost a few nanoseconds.
//!
//! Answer: [`scope`] writes the call into the thread's slot and puts the surrounding call back when it
//! ends; [`HostGuard`] takes the thread out of guest state for the length of a host function.
//!
//! What it does not do: it does not enter WasmEdge itself, and it cannot tell whether a stop that was
//! asked for at the very end still changed the result: such a call is reported as stopped.

use super::slot::{self, Interpreter, NEVER, Slot, TOKENS};
use super::{Call, CancelToken, Ended, Mode, platform, watchdog};
use std::cell::Cell;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering::*, compiler_fence};
use std::time::{Duration, Instant};
use wasmedge_sys::ffi;

/// Set for good by [`stop_all`].
static STOPPING: AtomicBool = AtomicBool::new(false);

/// A host function is refused when less than this is left of the guest's stack.
const HOST_STACK: usize = 64 * 1024;

thread_local! {
    /// The one thread-local: looking one up costs as much as the rest of a scope.
    static MINE: Cell<Option<&'static Slot>> = const { Cell::new(None) };
}

/// Binds the current thread to its slot (start of a guest thread) or unbinds it.
pub(super) fn bind(slot: Option<&'static Slot>) {
    MINE.set(slot);
}

/// True on a thread from `spawn`.
pub fn on_guest_thread() -> bool {
    MINE.get().is_some()
}

/// What a running call keeps on its own stack.
struct Frame {
    slot: &'static Slot,
    generation: Cell<u64>,
    deadline: u64,
    token: Option<*const CancelToken>,
    depth: usize,
    outer: *const Frame,
    interpreter: bool,
    // State of the surrounding call, to be put back.
    outer_interpreter: Option<Interpreter>,
    was_in_guest: bool,
    was_jit: bool,
    was_overflow: bool,
    outer_sp: usize,
}

impl Frame {
    /// A token in this call or one around it was cancelled.
    #[inline]
    fn is_cancelled(&self) -> bool {
        let mut frame: *const Frame = self;
        while !frame.is_null() {
            // SAFETY: outer frames and their tokens outlive the inner ones on the same stack.
            let (token, outer) = unsafe { ((*frame).token, (*frame).outer) };
            // SAFETY: as above; `Call` borrows the token for the length of the call.
            if token.is_some_and(|token| unsafe { (*token).is_cancelled() }) {
                return true;
            }
            frame = outer;
        }
        false
    }

    /// Publishes this call as the one that runs, and makes sure that nothing asked for earlier is
    /// lost. Used at its start and again when a nested call gives the thread back.
    #[inline]
    fn publish(&self) {
        let slot = self.slot;
        let generation = slot.next_gen();
        self.generation.set(generation);
        slot.deadline.store(self.deadline, Release);
        slot.gen_now.store(generation, Release);
        let planned = watchdog::planned_after_publishing();
        if STOPPING.load(Relaxed) {
            park(slot);
        }
        if self.is_cancelled() {
            slot.request(generation, Ended::Cancelled);
            watchdog::nudge(0);
        } else if self.deadline < planned {
            watchdog::nudge(self.deadline);
        }
    }
}

/// The innermost running call of the calling thread.
#[inline]
fn innermost(slot: &'static Slot) -> *const Frame {
    slot.frame.load(Relaxed) as *const Frame
}

/// The process exits: WasmEdge's statics may be destroyed at any moment, so nothing may enter it.
#[cold]
fn park(slot: &Slot) -> ! {
    slot.gen_now.store(0, Release);
    loop {
        std::thread::park_timeout(Duration::from_secs(3600));
    }
}

/// Runs `f`, which enters WasmEdge, on the current guest thread.
#[inline]
pub fn scope<R>(call: &Call<'_>, f: impl FnOnce() -> R) -> (R, Ended) {
    let slot = MINE.get().expect("fault::scope outside of a guest thread");
    let outer = innermost(slot);
    // SAFETY: a non-null frame is that of a call that still runs on this thread.
    let around = unsafe { outer.as_ref() };
    let own = call.deadline.map_or(NEVER, watchdog::nanos);
    let interpreter = call.interpreter.unwrap_or(ptr::null_mut());
    // Native calls inside native calls, by far the most, take no lock. A native call inside an
    // interpreted one hides its executor, which must outlive the inner call's deadline.
    let lends = !interpreter.is_null() || around.is_some_and(|frame| frame.interpreter);
    let running = Running {
        frame: Frame {
            slot,
            generation: Cell::new(0),
            deadline: around.map_or(own, |frame| frame.deadline.min(own)),
            token: call.cancel.map(|token| token as *const CancelToken),
            depth: around.map_or(0, |frame| frame.depth + 1),
            outer,
            interpreter: lends,
            outer_interpreter: lends.then(|| lend_interpreter(slot, interpreter)),
            was_in_guest: slot.in_guest.load(Relaxed),
            was_jit: slot.jit.load(Relaxed),
            was_overflow: slot.overflow.load(Relaxed),
            outer_sp: slot.call_sp.load(Relaxed),
        },
    };
    let frame = &running.frame;
    slot.in_guest.store(false, Relaxed);
    slot.frame.store(frame as *const Frame as usize, Relaxed);
    if frame.depth < TOKENS {
        slot.tokens[frame.depth].store(call.cancel.map_or(0, super::cancel::CancelToken::id), Relaxed);
    }
    slot.overflow.store(false, Relaxed);
    slot.attempts.store(0, Relaxed);
    slot.call_sp.store(frame as *const Frame as usize, Relaxed);
    slot.jit.store(call.mode == Mode::Jit, Relaxed);
    frame.publish();
    slot.in_guest.store(call.mode != Mode::Interpreter, Relaxed);
    compiler_fence(SeqCst);
    let result = f();
    let ended = running.end();
    (result, ended)
}

/// Lends the interpreter of a call to the watchdog; returns what the surrounding call had lent.
#[cold]
fn lend_interpreter(slot: &Slot, executor: *mut ffi::WasmEdge_ExecutorContext) -> Interpreter {
    let mine = Interpreter { executor, handle: ptr::null_mut() };
    mem::replace(&mut *slot.interpreter.lock(), mine)
}

struct Running {
    frame: Frame,
}

impl Running {
    #[inline]
    fn end(self) -> Ended {
        let ended = self.finish();
        mem::forget(self);
        ended
    }

    #[inline]
    fn finish(&self) -> Ended {
        let frame = &self.frame;
        let slot = frame.slot;
        compiler_fence(SeqCst);
        slot.in_guest.store(false, Relaxed);
        compiler_fence(SeqCst);
        if frame.interpreter {
            take_back_interpreter(frame);
        }
        let ended = if slot.overflow.load(Relaxed) { Ended::StackOverflow } else { slot.killed(frame.generation.get()).unwrap_or(Ended::Returned) };
        slot.gen_now.store(0, Release);
        slot.frame.store(frame.outer as usize, Relaxed);
        if slot.opened.load(Relaxed) != 0 {
            platform::close_yellow(slot);
        }
        // A replaced return address of this call is dead now; one of the surrounding call is not.
        if slot.hijack_at.load(Relaxed) < slot.call_sp.load(Relaxed) {
            slot.hijack_at.store(0, Relaxed);
        }
        if !frame.outer.is_null() {
            give_back(frame, ended);
        } else if frame.depth < TOKENS {
            slot.tokens[frame.depth].store(0, Relaxed);
        }
        ended
    }
}

impl Drop for Running {
    /// Only when `f` panicked before or after WasmEdge.
    fn drop(&mut self) {
        self.finish();
    }
}

#[cold]
fn take_back_interpreter(frame: &Frame) {
    let outer = frame.outer_interpreter.as_ref().map_or(Interpreter::none(), |outer| Interpreter { executor: outer.executor, handle: outer.handle });
    let mine = mem::replace(&mut *frame.slot.interpreter.lock(), outer);
    if !mine.handle.is_null() {
        // SAFETY: made by the watchdog for this call, now out of its reach.
        unsafe { ffi::WasmEdge_AsyncDelete(mine.handle) };
    }
}

/// Puts the surrounding call back in charge. It gets a new generation: whatever was asked of the old
/// one while the nested call ran is found again from its deadline and its token.
#[cold]
fn give_back(frame: &Frame, ended: Ended) {
    let slot = frame.slot;
    if frame.depth < TOKENS {
        slot.tokens[frame.depth].store(0, Relaxed);
    }
    slot.call_sp.store(frame.outer_sp, Relaxed);
    slot.jit.store(frame.was_jit, Relaxed);
    // Still on the reserve: the surrounding call is out of stack too.
    let overflow = frame.was_overflow || slot.opened.load(Relaxed) != 0;
    slot.overflow.store(overflow, Relaxed);
    // SAFETY: the outer frame lives above us on this stack.
    let outer = unsafe { &*frame.outer };
    outer.publish();
    if ended == Ended::Deadline && outer.deadline == frame.deadline {
        // It was the surrounding call's own deadline; its host function must see that at once.
        slot.request(outer.generation.get(), Ended::Deadline);
    }
    slot.in_guest.store(frame.was_in_guest, Relaxed);
}

/// Out of guest state while a host function runs.
pub struct HostGuard {
    slot: Option<&'static Slot>,
    was_in_guest: bool,
}

impl HostGuard {
    #[inline]
    pub fn enter() -> Self {
        let slot = MINE.get();
        let was_in_guest = slot.is_some_and(|slot| {
            let was = slot.in_guest.load(Relaxed);
            slot.in_guest.store(false, Relaxed);
            compiler_fence(SeqCst);
            was
        });
        Self { slot, was_in_guest }
    }

    /// Why the call is over already, if it is: the host function then returns an error at once.
    #[inline]
    pub fn stop(&self) -> Option<Ended> {
        let slot = self.slot?;
        let marker = 0u8;
        if &raw const marker as usize - HOST_STACK < slot.usable_low.load(Relaxed) {
            slot.overflow.store(true, Relaxed);
        }
        must_stop(slot)
    }
}

impl Drop for HostGuard {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            compiler_fence(SeqCst);
            slot.in_guest.store(self.was_in_guest, Relaxed);
            // Not left to the watchdog, which looks rarely at a call in a host function.
            if self.was_in_guest && must_stop(slot).is_some() {
                platform::kick(slot);
            }
        }
    }
}

#[inline]
fn must_stop(slot: &Slot) -> Option<Ended> {
    if slot.overflow.load(Relaxed) {
        return Some(Ended::StackOverflow);
    }
    slot.killed(slot.gen_now.load(Relaxed))
}

/// Why the calling thread's running call must stop, if it must. For blocking host functions.
pub fn stop_requested() -> Option<Ended> {
    must_stop(MINE.get()?)
}

/// The deadline of the calling thread's running call.
pub fn current_deadline() -> Option<Instant> {
    // SAFETY: a non-null frame is that of a call that still runs on this thread.
    let frame = unsafe { innermost(MINE.get()?).as_ref() }?;
    watchdog::instant(frame.deadline)
}

/// Asks every running call in the process to stop and waits until none runs. For the exit path: calls
/// that start later never run (their threads sleep until the process is gone).
pub fn stop_all(grace: Duration) -> bool {
    STOPPING.store(true, SeqCst);
    platform::heavy_barrier();
    let end = Instant::now() + grace;
    loop {
        let mine = MINE.get().map(|slot| slot as *const Slot);
        let mut left = false;
        for slot in slot::all().iter().filter(|slot| mine != Some(*slot as *const Slot)) {
            if let Some((generation, _)) = slot.running() {
                slot.request(generation, Ended::Cancelled);
                watchdog::push(slot, generation);
                left = true;
            }
        }
        if !left || platform::is_forked_child() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        #[expect(clippy::disallowed_methods, reason = "guests stop within milliseconds and nothing tells when")]
        std::thread::sleep(Duration::from_micros(200));
    }
}
