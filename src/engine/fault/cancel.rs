//! Stopping a call from another thread.
//!
//! Problem: a caller hangs up, a stream closes: whatever runs for it must stop now, whichever thread
//! it runs on, and a call that starts a moment later must not start at all.
//!
//! Answer: a token with a flag and a number. A call writes the number into its slot and then looks at
//! the flag; a canceller sets the flag and then looks for the number in all slots. With a process-wide
//! barrier between the canceller's two steps one of them always sees the other.
//!
//! What it does not do: tokens nested deeper than `slot::TOKENS` are noticed only when a call starts
//! or ends, not while it runs.

use super::{Ended, platform, slot, watchdog};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};

/// One call identity that other threads may stop.
#[derive(Clone)]
pub struct CancelToken {
    id: u64,
    cancelled: Arc<AtomicBool>,
}

impl CancelToken {
    pub fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self { id: LAST.fetch_add(1, Relaxed) + 1, cancelled: Arc::new(AtomicBool::new(false)) }
    }

    /// Names the token in the slots.
    #[inline]
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Sets the flag for good and stops every call now running under this token.
    pub fn cancel(&self) {
        self.cancelled.store(true, SeqCst);
        // A starting call either sees the flag or is seen by the scan.
        platform::heavy_barrier();
        let mut found = false;
        for slot in slot::all() {
            if let Some((generation, _)) = slot.running()
                && slot.tokens.iter().any(|id| id.load(Acquire) == self.id)
            {
                slot.request(generation, Ended::Cancelled);
                found = true;
            }
        }
        if found {
            watchdog::nudge(0);
        }
    }

    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Acquire)
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}
