//! The one signal handler of the process's guest threads.
//!
//! Problem: SIGSEGV, SIGBUS and SIGFPE belong to V8, to WasmEdge and to honest crashes alike, and the
//! same handler has to stop calls from outside and to survive the end of the guest's stack.
//!
//! Answer: a fault goes to WasmEdge only when the thread is a guest thread, is in guest state, and the
//! interrupted instruction is guest code. A request to stop (SIGURG) does the same; in native code it
//! arranges a trap at the return to the guest. Everything else goes to whoever was there before.
//!
//! What it does not do: no allocation, no locks, no thread-local storage, nothing but atomics and
//! `mprotect`, the unwinder being the one exception (see `hijack`).

use super::hijack::{self, Found};
use super::slot::{self, Slot};
use super::{arch, ranges, stack};
use std::ffi::{c_int, c_void};
use std::mem;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::*, compiler_fence};

/// Coalescing, ignored by default, and free of stacking frames under load, unlike real-time signals.
pub(super) const KILL: c_int = libc::SIGURG;
pub(super) const SIGNALS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGTRAP, KILL];

/// Signals that could not be answered by a trapped return before single steps are tried.
const PATIENCE: u32 = 10;
/// Steps per attempt for a kill; the watchdog sends the next.
const KILL_STEPS: u32 = 500;
/// Steps allowed to reach the guest after an overflow in native code.
const OVERFLOW_STEPS: u32 = 20_000;

type Action = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// WasmEdge's handler.
static WASMEDGE: AtomicUsize = AtomicUsize::new(0);
/// Who had the signals before us, in the order of `SIGNALS`.
static PREVIOUS: OnceLock<[libc::sigaction; 5]> = OnceLock::new();

/// Takes over the signals. Called once, with WasmEdge's handler already pinned.
pub(super) fn take_over(wasmedge: usize, previous: &[libc::sigaction; 5]) -> std::io::Result<()> {
    WASMEDGE.store(wasmedge, Release);
    let _ = PREVIOUS.set(*previous);
    for signal in SIGNALS {
        let restart = if signal == libc::SIGTRAP || signal == KILL { libc::SA_RESTART } else { 0 };
        // SAFETY: a zeroed sigaction is valid; the handler has the SA_SIGINFO signature.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = dispatch as *const () as usize;
            // Never SA_NODEFER: frames must not pile up on the signal stack.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | restart;
            libc::sigemptyset(&mut action.sa_mask);
            if libc::sigaction(signal, &action, std::ptr::null_mut()) != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// What the handler of `signal` is now.
pub(super) fn current(signal: c_int) -> libc::sigaction {
    // SAFETY: only reads the disposition.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action);
        action
    }
}

/// Our handler's address, as others see it.
pub(super) fn address() -> usize {
    dispatch as *const () as usize
}

extern "C" fn dispatch(signal: c_int, info: *mut libc::siginfo_t, ctx: *mut c_void) {
    // SAFETY: the kernel calls us with valid pointers; errno is the interrupted code's.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        if !handle(signal, info, ctx) {
            forward(signal, info, ctx);
        }
        *errno = saved;
    }
}

/// True when the signal was ours and has been dealt with.
unsafe fn handle(signal: c_int, info: *mut libc::siginfo_t, ctx: *mut c_void) -> bool {
    let here = 0u8;
    let Some(slot) = slot::by_stack(&raw const here as usize) else {
        return false;
    };
    if signal == KILL {
        on_kill(slot, info, ctx)
    } else if signal == libc::SIGTRAP {
        on_trap(slot, info, ctx)
    } else {
        // SAFETY: valid for the length of the handler.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
        code > 0 && on_fault(slot, signal, address, info, ctx)
    }
}

fn on_signal_stack(slot: &Slot, ctx: *mut c_void) -> bool {
    arch::sp(ctx) < slot.guard_low.load(Relaxed)
}

fn guest_pc(slot: &Slot, pc: usize) -> bool {
    ranges::is_guest(pc, slot.jit.load(Relaxed))
}

/// Someone wants the running call to stop.
fn on_kill(slot: &Slot, info: *mut libc::siginfo_t, ctx: *mut c_void) -> bool {
    let running = slot.gen_now.load(Relaxed);
    let wanted = slot.killed(running).is_some() || slot.overflow.load(Relaxed);
    // Stale, or in a host function, which asks when it returns.
    if !wanted || running == 0 || !slot.in_guest.load(Relaxed) {
        return true;
    }
    // Another signal of the same instant interrupted the guest first, and its handler has not begun:
    // the stack to look at is the guest's. The next request finds it there.
    if on_signal_stack(slot, ctx) {
        return true;
    }
    let pc = arch::pc(ctx);
    if guest_pc(slot, pc) {
        to_wasmedge(slot, info, ctx);
    } else if slot.stepping.load(Relaxed) == 0 && hijack::trap_return(slot, pc) == Found::Unknown && slot.attempts.fetch_add(1, Relaxed) >= PATIENCE {
        step(slot, ctx, KILL_STEPS);
    }
    true
}

fn step(slot: &Slot, ctx: *mut c_void, steps: u32) {
    if arch::single_step(ctx, true) {
        slot.stepping.store(steps, Relaxed);
    }
}

fn on_trap(slot: &Slot, info: *mut libc::siginfo_t, ctx: *mut c_void) -> bool {
    if arch::landed(ctx) {
        let at = slot.hijack_at.swap(0, Relaxed);
        if at == 0 || arch::sp(ctx) != at + size_of::<usize>() {
            return false;
        }
        arch::set_pc(ctx, slot.hijack_original.load(Relaxed));
        to_wasmedge(slot, info, ctx);
        return true;
    }
    let left = slot.stepping.load(Relaxed);
    if left == 0 {
        return false;
    }
    if slot.in_guest.load(Relaxed) && guest_pc(slot, arch::pc(ctx)) {
        to_wasmedge(slot, info, ctx);
    } else if left == 1 || !slot.in_guest.load(Relaxed) {
        slot.stepping.store(0, Relaxed);
        arch::single_step(ctx, false);
    } else {
        slot.stepping.store(left - 1, Relaxed);
    }
    true
}

/// A hardware fault on a guest thread.
fn on_fault(slot: &Slot, signal: c_int, address: usize, info: *mut libc::siginfo_t, ctx: *mut c_void) -> bool {
    let pc = arch::pc(ctx);
    let guest = slot.in_guest.load(Relaxed) && guest_pc(slot, pc);
    let in_stack = signal != libc::SIGFPE && address >= slot.guard_low.load(Relaxed) && address < slot.usable_low.load(Relaxed);
    if in_stack && slot.gen_now.load(Relaxed) != 0 {
        slot.overflow.store(true, Relaxed);
        if !guest {
            return on_native_overflow(slot, address, pc, ctx);
        }
    }
    // A jump to nowhere faults at its own address: that is no guest code, whatever lies there.
    if guest && address != pc {
        to_wasmedge(slot, info, ctx);
        return true;
    }
    false
}

/// The guest used up its stack and native code called by it paid. It finishes on the reserve.
fn on_native_overflow(slot: &Slot, address: usize, pc: usize, ctx: *mut c_void) -> bool {
    let closed = address >= slot.yellow_low.load(Relaxed) && slot.opened.load(Relaxed) == 0;
    if !closed || on_signal_stack(slot, ctx) || !stack::open_yellow(slot, address) {
        return false;
    }
    if hijack::trap_return(slot, pc) != Found::Trapped && slot.in_guest.load(Relaxed) {
        step(slot, ctx, OVERFLOW_STEPS);
    }
    true
}

/// Hands the thread to WasmEdge, whose handler jumps to its landing place and does not come back.
fn to_wasmedge(slot: &Slot, info: *mut libc::siginfo_t, ctx: *mut c_void) {
    slot.in_guest.store(false, Relaxed);
    slot.stepping.store(0, Relaxed);
    compiler_fence(SeqCst);
    // SAFETY: the jump leaves this handler without the kernel's return path, so what the kernel
    // blocked on entry has to be unblocked here. The handler address was observed at install, and the
    // interrupted instruction is guest code: WasmEdge's landing place exists and nothing native lies
    // between.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in SIGNALS {
            libc::sigaddset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        let handler: Action = mem::transmute(WASMEDGE.load(Acquire));
        handler(libc::SIGSEGV, info, ctx);
    }
}

/// Not ours: whoever had the signal before.
unsafe fn forward(signal: c_int, info: *mut libc::siginfo_t, ctx: *mut c_void) {
    let index = SIGNALS.iter().position(|&other| other == signal).unwrap_or(0);
    let (handler, flags) = PREVIOUS.get().map_or((libc::SIG_DFL, 0), |all| (all[index].sa_sigaction, all[index].sa_flags));
    // SAFETY: the previous handler has the signature its flags tell; `info` is valid.
    unsafe {
        // A hardware fault cannot be ignored: returning would only repeat it.
        let fault = (*info).si_code > 0;
        match handler {
            libc::SIG_DFL if signal == KILL => {}
            libc::SIG_IGN if !fault || signal == KILL => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                libc::signal(signal, libc::SIG_DFL);
                // A fault repeats itself; a trap and an asynchronous signal do not.
                if !fault || signal == libc::SIGTRAP {
                    libc::raise(signal);
                }
            }
            handler if flags & libc::SA_SIGINFO != 0 => {
                let handler: Action = mem::transmute(handler);
                handler(signal, info, ctx);
            }
            handler => {
                let handler: unsafe extern "C" fn(c_int) = mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
