//! A circuit breaker without a clock and without a timer.
//!
//! Problem: a side that is down costs every item its timeout, and one that comes back must be found out without flooding it; breakers are
//! known to stay half-open for ever when a probe is lost, to miss failures that arrive together, and to keep a process alive with a timer.
//! Answer: three states and no timer. *Closed* counts failures in a row and, if wanted, their share among the last calls. *Open* refuses until
//! its time is over, which is noticed by the next caller. *Half-open* lets a bounded number of probes through; a probe that nobody reports
//! is given up after a while, and its place is free again. What is a failure is for the caller to say: a call that was cancelled is none.

use std::time::Duration;

/// When a breaker opens, and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerConfig {
    /// Failures in a row that open it.
    pub failure_threshold: u32,
    /// Share of failures among the last `window_items` calls that opens it as well.
    pub failure_rate: Option<f64>,
    /// Calls in the window before the share counts.
    pub minimum_calls: u32,
    /// Calls in the window; at most [`MAX_WINDOW`].
    pub window_items: u32,
    /// Successful probes that close it.
    pub success_threshold: u32,
    /// How long it stays open.
    pub reset_timeout: Duration,
    /// Probes at the same time.
    pub probes: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            failure_rate: None,
            minimum_calls: 20,
            window_items: 100,
            success_threshold: 2,
            reset_timeout: Duration::from_secs(10),
            probes: 1,
        }
    }
}

/// Longest window: a bit for each call.
pub const MAX_WINDOW: u32 = 1_024;

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed = 0,
    /// Probes pass.
    HalfOpen = 1,
    /// Calls are refused.
    Open = 2,
}

impl BreakerState {
    /// Its name in JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Allowed,
    /// Yes, and much depends on it.
    Probe,
    /// No.
    Refused {
        /// Time until a probe may be made.
        retry_in: Duration,
    },
}

#[derive(Clone, Debug)]
enum Phase {
    Closed { row: u32, window: Window },
    Open { until: Duration },
    HalfOpen { leases: [Option<Duration>; MAX_PROBES], successes: u32 },
}

/// Most probes at the same time.
pub const MAX_PROBES: usize = 8;

/// The last calls, a bit each: set where one failed.
#[derive(Clone, Debug)]
struct Window {
    bits: [u64; MAX_WINDOW as usize / 64],
    next: u32,
    filled: u32,
    failed: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self { bits: [0; MAX_WINDOW as usize / 64], next: 0, filled: 0, failed: 0 }
    }
}

impl Window {
    fn push(&mut self, failed: bool, length: u32) {
        let (word, bit) = ((self.next / 64) as usize, 1_u64 << (self.next % 64));
        if self.filled == length {
            self.failed -= u32::from(self.bits[word] & bit != 0);
        } else {
            self.filled += 1;
        }
        self.failed += u32::from(failed);
        if failed {
            self.bits[word] |= bit;
        } else {
            self.bits[word] &= !bit;
        }
        self.next = (self.next + 1) % length;
    }
}

/// A breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    phase: Phase,
}

impl Breaker {
    /// A closed one.
    pub fn new(config: BreakerConfig) -> Self {
        Self { config, phase: Phase::Closed { row: 0, window: Window::default() } }
    }

    /// Where it stands.
    pub fn state(&self, now: Duration) -> BreakerState {
        match &self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { until } if now < *until => BreakerState::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether calls pass as ever.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    /// Whether a call may be made, without making it.
    pub fn peek(&self, now: Duration) -> Admission {
        match &self.phase {
            Phase::Closed { .. } => Admission::Allowed,
            Phase::Open { until } if now < *until => Admission::Refused { retry_in: until.saturating_sub(now) },
            Phase::Open { .. } => Admission::Probe,
            Phase::HalfOpen { leases, .. } => {
                let places = &leases[..self.places()];
                if places.iter().any(|lease| lease.is_none_or(|ends| ends <= now)) {
                    return Admission::Probe;
                }
                let first = places.iter().flatten().min().copied().unwrap_or(now);
                Admission::Refused { retry_in: first.saturating_sub(now) }
            }
        }
    }

    /// Whether a call may be made; takes a probe's place.
    pub fn admit(&mut self, now: Duration) -> Admission {
        let admission = self.peek(now);
        if admission == Admission::Probe {
            let ends = now + self.lease();
            if let Phase::Open { .. } = self.phase {
                self.phase = Phase::HalfOpen { leases: [None; MAX_PROBES], successes: 0 };
            }
            let places = self.places();
            if let Phase::HalfOpen { leases, .. } = &mut self.phase
                && let Some(lease) = leases[..places].iter_mut().find(|lease| lease.is_none_or(|ends| ends <= now))
            {
                *lease = Some(ends);
            }
        }
        admission
    }

    /// There is reason to believe that the side is back: a probe may be made at once.
    pub fn recheck(&mut self, now: Duration) {
        if let Phase::Open { until } = &mut self.phase {
            *until = (*until).min(now);
        }
    }

    /// A call went well.
    pub fn on_success(&mut self) {
        match &mut self.phase {
            Phase::Closed { row, window } => {
                *row = 0;
                window.push(false, self.config.window_items.clamp(1, MAX_WINDOW));
            }
            // One that was begun before it opened: it says nothing about now.
            Phase::Open { .. } => {}
            Phase::HalfOpen { leases, successes } => {
                free(leases);
                *successes += 1;
                if *successes >= self.config.success_threshold {
                    self.phase = Phase::Closed { row: 0, window: Window::default() };
                }
            }
        }
    }

    /// A call failed.
    pub fn on_failure(&mut self, now: Duration) {
        let config = self.config;
        match &mut self.phase {
            Phase::Closed { row, window } => {
                *row = row.saturating_add(1);
                window.push(true, config.window_items.clamp(1, MAX_WINDOW));
                let share = f64::from(window.failed) / f64::from(window.filled.max(1));
                let too_many = window.filled >= config.minimum_calls && config.failure_rate.is_some_and(|rate| share >= rate);
                if *row >= config.failure_threshold || too_many {
                    self.phase = Phase::Open { until: now + config.reset_timeout };
                }
            }
            // Calls that were begun before it opened fail one by one: its time does not begin anew with each.
            Phase::Open { .. } => {}
            Phase::HalfOpen { .. } => self.phase = Phase::Open { until: now + config.reset_timeout },
        }
    }

    /// A call was given up by its caller: nobody knows how it would have ended.
    pub fn on_cancel(&mut self) {
        if let Phase::HalfOpen { leases, .. } = &mut self.phase {
            free(leases);
        }
    }

    fn places(&self) -> usize {
        (self.config.probes as usize).clamp(1, MAX_PROBES)
    }

    /// A probe that is not reported for this long is lost.
    fn lease(&self) -> Duration {
        self.config.reset_timeout.max(Duration::from_secs(1))
    }
}

/// Gives the oldest probe's place back.
fn free(leases: &mut [Option<Duration>; MAX_PROBES]) {
    if let Some(oldest) = leases.iter_mut().filter(|lease| lease.is_some()).min_by_key(|lease| **lease) {
        *oldest = None;
    }
}
