//! Stopping a thread where native code returns to the guest.
//!
//! Problem: a call that must stop may stand in native code called by the guest (growing or copying
//! memory, entering a host function), where locks may be held and no jump is allowed. Signals sent
//! again and again meet a guest that spends 99 % of its time there only by luck, and stepping through
//! a long copy instruction by instruction takes many milliseconds.
//!
//! Answer: unwind from the interrupted instruction to the first guest frame and replace the return
//! address that leads there by the address of a trap. Native code finishes undisturbed; its return
//! traps with nothing but guest code on top of the stack.
//!
//! What it does not do: it never guesses. Without a frame that unwinds exactly, nothing is replaced
//! and the caller falls back to single steps or to the next signal.

use super::slot::Slot;
use super::{arch, ranges};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering::*};

/// Result of one attempt.
#[derive(PartialEq, Eq, Clone, Copy)]
pub(super) enum Found {
    /// The return to the guest will trap.
    Trapped,
    /// The call has not reached the guest yet or has left it.
    NoGuest,
    /// The stack could not be unwound.
    Unknown,
}

static USABLE: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn _Unwind_Backtrace(trace: extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
}

const CONTINUE: c_int = 0;
const STOP: c_int = 5; // _URC_END_OF_STACK

struct Walk<'a> {
    slot: &'a Slot,
    interrupted: usize,
    below: bool,
    found: Found,
    at: usize,
    ip: usize,
}

/// Called at install: the unwinder initialises itself on first use, which must not be in a handler.
pub(super) fn prepare() {
    extern "C" fn walk(_: *mut c_void, _: *mut c_void) -> c_int {
        CONTINUE
    }
    // SAFETY: the callback matches the expected signature and touches nothing.
    unsafe { _Unwind_Backtrace(walk, std::ptr::null_mut()) };
    USABLE.store(arch::RETURN_IS_AT_CFA && !arch::shadow_stack(), Release);
}

/// Makes the return from the interrupted native code to the guest trap.
///
/// Runs in the handler. The unwinder takes no lock for code whose tables were loaded with its library
/// (glibc 2.35 and later), and WasmEdge's own handler uses it in the same place.
pub(super) fn trap_return(slot: &Slot, interrupted_pc: usize) -> Found {
    if !USABLE.load(Acquire) {
        return Found::Unknown;
    }
    let mut walk = Walk { slot, interrupted: interrupted_pc, below: false, found: Found::Unknown, at: 0, ip: 0 };
    // SAFETY: `step` gets the pointer to `walk`, which outlives the call.
    unsafe { _Unwind_Backtrace(step, (&raw mut walk).cast()) };
    if walk.found != Found::Trapped || walk.ip == arch::landing() {
        return walk.found;
    }
    undo(slot);
    slot.hijack_original.store(walk.ip, Relaxed);
    slot.hijack_at.store(walk.at, Relaxed);
    // SAFETY: the word was just read by the unwinder as the return address of a live frame of this
    // thread's stack, and compared.
    unsafe { (walk.at as *mut usize).write(arch::landing()) };
    Found::Trapped
}

/// Puts back an earlier replaced return address that was not reached yet.
fn undo(slot: &Slot) {
    let at = slot.hijack_at.load(Relaxed);
    if at == 0 {
        return;
    }
    // SAFETY: inside this thread's stack. A frame that died in a jump leaves either another value
    // there, which stays, or the dead landing address, which nobody reads.
    unsafe {
        let at = at as *mut usize;
        if at.read() == arch::landing() {
            at.write(slot.hijack_original.load(Relaxed));
        }
    }
    slot.hijack_at.store(0, Relaxed);
}

extern "C" fn step(context: *mut c_void, argument: *mut c_void) -> c_int {
    // SAFETY: the unwinder passes back our pointer and a valid context.
    let (walk, ip, cfa) = unsafe {
        let walk = &mut *argument.cast::<Walk<'_>>();
        (walk, _Unwind_GetIP(context), _Unwind_GetCFA(context))
    };
    if !walk.below {
        // Our own frames on the signal stack, up to the interrupted instruction.
        walk.below = ip == walk.interrupted;
        return CONTINUE;
    }
    if cfa > walk.slot.call_sp.load(Relaxed) {
        walk.found = Found::NoGuest;
        return STOP;
    }
    let already = ip == arch::landing();
    if !already && !ranges::is_guest(ip, walk.slot.jit.load(Relaxed)) {
        return CONTINUE;
    }
    let at = cfa.wrapping_sub(size_of::<usize>());
    let open = match walk.slot.opened.load(Relaxed) {
        0 => walk.slot.usable_low.load(Relaxed),
        low => low,
    };
    // SAFETY: between the end of the open stack and the call's own frame, so mapped and readable.
    let exact = at >= open && unsafe { *(at as *const usize) } == ip;
    if exact && (already || arch::follows_call(ip)) {
        walk.found = Found::Trapped;
        walk.at = at;
        walk.ip = ip;
    }
    STOP
}
