//! How long the remote has been silent although it was asked.
//!
//! An item need not have an output, so an answer to any item counts as one to all before it; time runs from the first item after the last
//! answer. The clock is read by one task; senders only set it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The clock.
pub struct Silence {
    begun: Instant,
    limit: Duration,
    /// Microseconds after `begun`, plus one; 0 when nothing is expected.
    since: AtomicU64,
    finished: AtomicBool,
}

impl Silence {
    /// With this much patience.
    pub fn new(limit: Duration) -> Self {
        Self { begun: Instant::now(), limit, since: AtomicU64::new(0), finished: AtomicBool::new(false) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Something was sent.
    pub fn expect(&self) {
        if self.since.load(Ordering::Relaxed) == 0 {
            // One that lost the race was only a little later.
            let _ = self.since.compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Nothing more will be sent: from now on it is the remote that has to go on.
    pub fn expect_end(&self) {
        self.finished.store(true, Ordering::Relaxed);
        self.expect();
    }

    /// Something came back.
    pub fn heard(&self) {
        if self.finished.load(Ordering::Relaxed) {
            self.since.store(self.now(), Ordering::Relaxed);
        } else if self.since.load(Ordering::Relaxed) != 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }

    /// It is us who do not listen; whether something is expected.
    pub fn suspend(&self) -> bool {
        self.since.swap(0, Ordering::Relaxed) != 0
    }

    /// The limit.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns when it has been silent for too long.
    pub async fn broken(&self) {
        loop {
            let wait = match self.since.load(Ordering::Relaxed) {
                0 => self.limit,
                since => {
                    let over = self.begun + Duration::from_micros(since - 1) + self.limit;
                    let left = over.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    left
                }
            };
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is broken `after` from now.
    async fn breaks(silence: &Silence, after: u64) -> bool {
        tokio::time::timeout(Duration::from_secs(after), silence.broken()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn time_runs_from_the_first_item_after_the_last_answer() {
        let silence = Silence::new(Duration::from_secs(30));
        assert!(!breaks(&silence, 3_600).await, "nothing was asked");
        silence.expect();
        assert!(!breaks(&silence, 20).await);
        // A second item does not make the first one younger.
        silence.expect();
        assert!(!breaks(&silence, 9).await);
        assert!(breaks(&silence, 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_the_wait_until_something_is_asked_again() {
        let silence = Silence::new(Duration::from_secs(30));
        silence.expect();
        assert!(!breaks(&silence, 29).await);
        silence.heard();
        assert!(!breaks(&silence, 3_600).await);
        silence.expect();
        assert!(!breaks(&silence, 29).await);
        assert!(breaks(&silence, 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_last_item_an_answer_only_gives_more_time() {
        let silence = Silence::new(Duration::from_secs(30));
        silence.expect_end();
        assert!(!breaks(&silence, 29).await);
        silence.heard();
        assert!(!breaks(&silence, 29).await);
        assert!(breaks(&silence, 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_we_do_not_listen_does_not_count() {
        let silence = Silence::new(Duration::from_secs(30));
        silence.expect();
        assert!(silence.suspend());
        assert!(!breaks(&silence, 3_600).await);
        silence.expect();
        assert!(!breaks(&silence, 29).await);
        assert!(breaks(&silence, 2).await);
    }
}
