//! The end of the process, with guests at work.
//!
//! Problem: when a process ends, the destructors of libwasmedge and LLVM run while our threads may be inside them, compiling, making an
//! instance or running a guest, and crash what had ended well. Answer: a gate around all work in the library. [`stop`] closes it, stops
//! running guests and waits for those inside; who comes later is parked for good. When one stays inside past the grace (a just-in-time
//! compilation takes seconds), it says so, and the process must end without running destructors. It does not end the process itself.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::fault;

static CLOSED: AtomicBool = AtomicBool::new(false);
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// Held while a thread works in the library.
pub struct Inside(());

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Passes the gate. Once it is closed, never returns.
pub fn enter() -> Inside {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let inside = Inside(());
    if CLOSED.load(Ordering::SeqCst) {
        drop(inside);
        loop {
            std::thread::park();
        }
    }
    inside
}

/// Runs `wait`, in which nothing of the library is touched, outside the gate.
pub fn outside<R>(wait: impl FnOnce() -> R) -> R {
    // Given back by hand: the guard of this thread's turn counts again once we are back inside.
    INSIDE.fetch_sub(1, Ordering::SeqCst);
    let result = wait();
    std::mem::forget(enter());
    result
}

/// Whether the process is ending: whoever loops looks and leaves.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Closes the gate, stops running guests and waits until nobody is inside, at most `grace`. True when nobody is.
pub fn stop(grace: Duration) -> bool {
    let end = Instant::now() + grace;
    CLOSED.store(true, Ordering::SeqCst);
    fault::stop_all(grace);
    while INSIDE.load(Ordering::SeqCst) > 0 {
        if Instant::now() >= end {
            return false;
        }
        #[expect(clippy::disallowed_methods, reason = "threads leave within milliseconds and must not need a lock to do so at the end")]
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}
