//! How many more attempts calls may cause: a bucket that each call fills a little and each further attempt empties by one.
//!
//! Problem: when a server is in trouble, every call's retries multiply its load. Answer: retries are a share of the calls, whatever each
//! single call would like. Counting calls and not time keeps it exact and testable.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Thousandths of an attempt.
const ONE: i64 = 1_000;

/// A bucket of attempts.
pub struct Budget {
    level: AtomicI64,
    most: i64,
    per_call: i64,
}

impl Budget {
    /// Each call adds `share` of an attempt; at most `most` are saved up, and `start` are there to begin with.
    pub fn new(share: f64, most: u32, start: u32) -> Self {
        let most = i64::from(most) * ONE;
        // Rounded down: a share is a promise.
        let per_call = (share.clamp(0.0, 1.0) * ONE as f64).floor() as i64;
        Self { level: AtomicI64::new((i64::from(start) * ONE).min(most)), most, per_call }
    }

    /// A call begins.
    pub fn call(&self) {
        // Read first: a full bucket, the usual case, must not be written by every call on every thread.
        if self.level.load(Ordering::Relaxed) < self.most {
            let _ = self.level.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |level| Some((level + self.per_call).min(self.most)));
        }
    }

    /// Takes one attempt, if there is one.
    pub fn take(&self) -> bool {
        self.level.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |level| (level >= ONE).then_some(level - ONE)).is_ok()
    }
}

/// `time`, shorter or longer by up to `share` of it.
pub fn jittered(time: Duration, share: f64) -> Duration {
    // Without randomness clients only come back together.
    let random = getrandom::u32().map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX));
    time.mul_f64(1.0 - share + 2.0 * share * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_attempts_stay_below_their_share() {
        let budget = Budget::new(0.2, 10, 0);
        let taken = (0..1_000).filter(|_| (budget.call(), budget.take()).1).count();
        assert_eq!(taken, 200);
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let budget = Budget::new(1.0, 10, 3);
        assert_eq!((0..20).filter(|_| budget.take()).count(), 3);
        (0..1_000).for_each(|_| budget.call());
        assert_eq!((0..20).filter(|_| budget.take()).count(), 10);
    }

    #[test]
    fn a_share_of_nothing_allows_nothing() {
        let budget = Budget::new(0.0, 10, 0);
        (0..1_000).for_each(|_| budget.call());
        assert!(!budget.take());
    }
}
