//! The static table that tells everyone about every guest thread.
//!
//! Problem: a signal handler may not touch thread-local storage or take a lock, and the watchdog must
//! be able to look at a call that another thread starts and ends a million times per second.
//!
//! Answer: one statically allocated [`Slot`] of plain atomics per guest thread. The owning thread
//! writes it with ordinary stores (no read-modify-write on the call path), its signal handler finds it
//! by the address of its own stack, and the watchdog and cancellers only read it, except for
//! [`Slot::kill`].
//!
//! Identity of a call: every call gets a generation from a counter that only grows, also when a slot
//! passes to another thread. A request to stop names the generation it means, so a request that
//! arrives late never meets the wrong call.
//!
//! What it does not do: it sends no signals and knows nothing of stacks beyond their bounds.

use super::Ended;
use parking_lot::Mutex;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use wasmedge_sys::ffi;

/// Guest threads that can exist at the same time.
pub(super) const SLOTS: usize = 512;

/// Calls nested in one another (guest, host function, guest ...) whose cancel tokens are watched.
pub(super) const TOKENS: usize = 4;

/// No deadline.
pub(super) const NEVER: u64 = u64::MAX;

const FREE: i32 = 0;
const CLAIMED: i32 = -1;

/// What an interpreter call lends to the watchdog.
pub(super) struct Interpreter {
    pub executor: *mut ffi::WasmEdge_ExecutorContext,
    /// WasmEdge's only way to set an executor's stop token; made when a call is overdue.
    pub handle: *mut ffi::WasmEdge_Async,
}

// SAFETY: both pointers are only used while the mutex around them is held and the call runs.
unsafe impl Send for Interpreter {}

impl Interpreter {
    pub const fn none() -> Self {
        Self { executor: ptr::null_mut(), handle: ptr::null_mut() }
    }
}

/// One guest thread. Aligned so that two threads never share a cache line.
#[repr(align(128))]
pub(super) struct Slot {
    // Identity and bounds; fixed while the thread lives.
    pub tid: AtomicI32,
    pub map_low: AtomicUsize,
    pub map_high: AtomicUsize,
    pub guard_low: AtomicUsize,
    pub yellow_low: AtomicUsize,
    pub usable_low: AtomicUsize,

    // The running call; written by the owner only.
    /// Generation of the running call, 0 when none runs.
    pub gen_now: AtomicU64,
    last_gen: AtomicU64,
    /// Nanoseconds on the watchdog's clock.
    pub deadline: AtomicU64,
    /// Identities of the cancel tokens of the running call and of those around it.
    pub tokens: [AtomicU64; TOKENS],
    /// Guest code may be at the top of the stack: faults are WasmEdge's, kills may jump.
    pub in_guest: AtomicBool,
    /// The guest's code lies in anonymous memory.
    pub jit: AtomicBool,
    /// The innermost `call::Frame`; the owner's own.
    pub frame: AtomicUsize,
    /// Frames above this address belong to the call around this one.
    pub call_sp: AtomicUsize,

    // Written by the owner's signal handler.
    pub overflow: AtomicBool,
    /// Lowest opened address of the yellow zone, 0 when it is closed.
    pub opened: AtomicUsize,
    pub stepping: AtomicU32,
    pub attempts: AtomicU32,
    /// Where a return address was replaced, and what stood there.
    pub hijack_at: AtomicUsize,
    pub hijack_original: AtomicUsize,

    // Written by the watchdog and by cancellers.
    /// `generation << 2 | reason`: that call must stop.
    pub kill: AtomicU64,
    pub interpreter: Mutex<Interpreter>,
}

impl Slot {
    const fn new() -> Self {
        Self {
            tid: AtomicI32::new(FREE),
            map_low: AtomicUsize::new(0),
            map_high: AtomicUsize::new(0),
            guard_low: AtomicUsize::new(0),
            yellow_low: AtomicUsize::new(0),
            usable_low: AtomicUsize::new(0),
            gen_now: AtomicU64::new(0),
            last_gen: AtomicU64::new(0),
            deadline: AtomicU64::new(NEVER),
            tokens: [const { AtomicU64::new(0) }; TOKENS],
            in_guest: AtomicBool::new(false),
            jit: AtomicBool::new(false),
            frame: AtomicUsize::new(0),
            call_sp: AtomicUsize::new(0),
            overflow: AtomicBool::new(false),
            opened: AtomicUsize::new(0),
            stepping: AtomicU32::new(0),
            attempts: AtomicU32::new(0),
            hijack_at: AtomicUsize::new(0),
            hijack_original: AtomicUsize::new(0),
            kill: AtomicU64::new(0),
            interpreter: Mutex::new(Interpreter::none()),
        }
    }

    /// A generation never used before in this slot. Owner only.
    #[inline]
    pub fn next_gen(&self) -> u64 {
        let next = self.last_gen.load(Relaxed) + 1;
        self.last_gen.store(next, Relaxed);
        next
    }

    /// Why the call `generation` must stop, if it must.
    #[inline]
    pub fn killed(&self, generation: u64) -> Option<Ended> {
        let kill = self.kill.load(Acquire);
        (kill >> 2 == generation && generation != 0).then(|| reason(kill))
    }

    /// Asks the call `generation` to stop. Generations only grow, so the maximum keeps a stale
    /// request from erasing a fresh one.
    pub fn request(&self, generation: u64, why: Ended) {
        let bits = if why == Ended::Cancelled { 2 } else { 1 };
        self.kill.fetch_max(generation << 2 | bits, AcqRel);
    }

    /// The running call and its deadline, read as a consistent pair; `None` when no call runs.
    pub fn running(&self) -> Option<(u64, u64)> {
        loop {
            let generation = self.gen_now.load(Acquire);
            if generation == 0 {
                return None;
            }
            let deadline = self.deadline.load(Acquire);
            if self.gen_now.load(Acquire) == generation {
                return Some((generation, deadline));
            }
        }
    }
}

fn reason(kill: u64) -> Ended {
    if kill & 2 != 0 { Ended::Cancelled } else { Ended::Deadline }
}

static TABLE: [Slot; SLOTS] = [const { Slot::new() }; SLOTS];
/// Slots at and above this index were never used.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Every slot that was ever used.
pub(super) fn all() -> &'static [Slot] {
    &TABLE[..USED.load(Acquire)]
}

/// Takes a free slot; the caller fills the bounds and calls [`publish`].
pub(super) fn claim() -> Option<&'static Slot> {
    let index = (0..SLOTS).find(|&i| TABLE[i].tid.compare_exchange(FREE, CLAIMED, AcqRel, Relaxed).is_ok())?;
    let slot = &TABLE[index];
    slot.in_guest.store(false, Relaxed);
    slot.overflow.store(false, Relaxed);
    for word in [&slot.frame, &slot.call_sp, &slot.opened, &slot.hijack_at] {
        word.store(0, Relaxed);
    }
    slot.stepping.store(0, Relaxed);
    slot.tokens.iter().for_each(|id| id.store(0, Relaxed));
    USED.fetch_max(index + 1, AcqRel);
    Some(slot)
}

/// Makes the slot visible to handlers and the watchdog. Called on the thread it describes.
pub(super) fn publish(slot: &Slot, tid: i32) {
    slot.tid.store(tid, Release);
}

/// Gives a slot back when its thread ends. `last_gen` stays, so generations keep growing.
pub(super) fn release(slot: &Slot) {
    slot.gen_now.store(0, Release);
    slot.map_low.store(0, Release);
    slot.map_high.store(0, Release);
    slot.tid.store(FREE, Release);
}

/// The slot of the thread on whose stack (or signal stack) `address` lies. Async-signal-safe, and it
/// asks no thread id: those are reused by the kernel, live stacks are not.
pub(super) fn by_stack(address: usize) -> Option<&'static Slot> {
    all().iter().find(|slot| slot.tid.load(Acquire) > 0 && slot.map_low.load(Relaxed) <= address && address < slot.map_high.load(Relaxed))
}
