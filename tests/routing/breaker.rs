//! The circuit breaker: it bounds its probes, it refuses while it is open, it can always come back, and each way in which breakers are known to
//! go wrong is tried by name (the numbers are those of opossum's issues).

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use remotemedia_wasmedge::routing::{Admission, Breaker, BreakerConfig, BreakerState, MAX_PROBES, MAX_WINDOW};

const SECOND: Duration = Duration::from_secs(1);
const RESET: Duration = Duration::from_secs(10);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One that failed as often as it takes, at `now`.
fn opened(config: BreakerConfig, now: Duration) -> Breaker {
    let mut breaker = Breaker::new(config);
    for _ in 0..config.failure_threshold {
        assert_eq!(breaker.admit(now), Admission::Allowed);
    }
    for _ in 0..config.failure_threshold {
        breaker.on_failure(now);
    }
    assert_eq!(breaker.state(now), BreakerState::Open);
    breaker
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    Success(usize),
    Failure(usize),
    Cancel(usize),
    Pass(u64),
    Recheck,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => Just(Step::Admit),
        2 => any::<usize>().prop_map(Step::Success),
        3 => any::<usize>().prop_map(Step::Failure),
        1 => any::<usize>().prop_map(Step::Cancel),
        3 => (0_u64..4_000).prop_map(Step::Pass),
        1 => Just(Step::Recheck),
    ];
    prop::collection::vec(step, 1..200)
}

fn configs() -> impl Strategy<Value = BreakerConfig> {
    (1_u32..6, prop::option::of(0.05_f64..1.0), 1_u32..20, 1_u32..40, 1_u32..4, 1_u64..8_000, 1_u32..10).prop_map(
        |(failures, failure_rate, minimum_calls, window_items, success_threshold, reset, probes)| BreakerConfig {
            failure_threshold: failures,
            failure_rate,
            minimum_calls,
            window_items,
            success_threshold,
            reset_timeout: ms(reset),
            probes,
        },
    )
}

/// Calls that have begun and have not ended; a probe has the time at which it counts as lost.
#[derive(Default)]
struct Calls {
    ordinary: usize,
    probes: Vec<Duration>,
}

impl Calls {
    /// Takes one of them, if there is one.
    fn take(&mut self, pick: usize, now: Duration) -> bool {
        // What is lost is never reported.
        self.probes.retain(|lost| *lost > now);
        let all = self.ordinary + self.probes.len();
        if all == 0 {
            return false;
        }
        match (pick % all).checked_sub(self.ordinary) {
            None => self.ordinary -= 1,
            // They end in the order in which they began, as the breaker takes it.
            Some(_) => drop(self.probes.remove(0)),
        }
        true
    }

    fn all(&mut self) -> usize {
        std::mem::take(&mut self.ordinary) + std::mem::take(&mut self.probes).len()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn probes_are_bounded_and_an_open_one_refuses_until_its_time(config in configs(), steps in steps()) {
        let places = (config.probes as usize).min(MAX_PROBES);
        let lease = config.reset_timeout.max(SECOND);
        let (mut breaker, mut now, mut calls) = (Breaker::new(config), Duration::ZERO, Calls::default());
        // Until when it has to refuse.
        let mut until = None;
        for step in steps {
            let before = breaker.state(now);
            match step {
                Step::Pass(time) => now += ms(time),
                Step::Recheck => {
                    breaker.recheck(now);
                    until = until.map(|until: Duration| until.min(now));
                }
                Step::Admit => {
                    let peeked = breaker.peek(now);
                    let admission = breaker.admit(now);
                    prop_assert_eq!(peeked, admission, "asking says what taking gives");
                    calls.probes.retain(|lost| *lost > now);
                    match admission {
                        Admission::Allowed => {
                            prop_assert_eq!(before, BreakerState::Closed);
                            calls.ordinary += 1;
                        }
                        Admission::Probe => {
                            prop_assert_eq!(before, BreakerState::HalfOpen);
                            prop_assert!(until.is_none_or(|until| until <= now), "no probe before its time");
                            calls.probes.push(now + lease);
                            prop_assert!(calls.probes.len() <= places, "{} probes at once", calls.probes.len());
                        }
                        Admission::Refused { retry_in } => {
                            prop_assert_ne!(before, BreakerState::Closed);
                            prop_assert!(retry_in <= lease);
                            prop_assert!(!matches!(breaker.peek(now + retry_in), Admission::Refused { .. }), "it keeps its word");
                        }
                    }
                }
                Step::Success(pick) if calls.take(pick, now) => breaker.on_success(),
                Step::Cancel(pick) if calls.take(pick, now) => breaker.on_cancel(),
                Step::Failure(pick) if calls.take(pick, now) => breaker.on_failure(now),
                // There was no such call.
                Step::Success(_) | Step::Cancel(_) | Step::Failure(_) => {}
            }
            let after = breaker.state(now);
            if before != BreakerState::Open && after == BreakerState::Open {
                until = Some(now + config.reset_timeout);
                // All that was under way ends after it opened: late failures must not move its time.
                for _ in 0..calls.all() {
                    breaker.on_failure(now + config.reset_timeout / 2);
                }
            } else if before == BreakerState::HalfOpen && after == BreakerState::Closed {
                until = None;
                calls.all();
            }
            if let Some(until) = until.filter(|until| now < *until) {
                prop_assert_eq!(breaker.peek(now), Admission::Refused { retry_in: until.saturating_sub(now) });
            }
        }
    }

    #[test]
    fn it_comes_back_from_wherever_it_is(config in configs(), steps in steps()) {
        // Worse than anybody's calls: ends that have no beginning, probes that nobody reports.
        let (mut breaker, mut now) = (Breaker::new(config), Duration::ZERO);
        for step in steps {
            match step {
                Step::Admit => drop(breaker.admit(now)),
                Step::Success(_) => breaker.on_success(),
                Step::Failure(_) => breaker.on_failure(now),
                Step::Cancel(_) => breaker.on_cancel(),
                Step::Pass(time) => now += ms(time),
                Step::Recheck => breaker.recheck(now),
            }
        }
        now += config.reset_timeout.max(SECOND);
        for _ in 0..config.success_threshold {
            prop_assert!(!matches!(breaker.admit(now), Admission::Refused { .. }), "refused after all its time");
            breaker.on_success();
        }
        prop_assert_eq!(breaker.state(now), BreakerState::Closed);
        prop_assert!(breaker.is_closed());
    }

    #[test]
    fn the_share_of_failures_is_that_of_the_last_calls(
        window in 1_u32..=MAX_WINDOW, minimum in 1_u32..200, percent in 1_u32..=100, seed in any::<u64>(), likely in 0_u64..100
    ) {
        let rate = f64::from(percent) / 100.0;
        let config = BreakerConfig {
            failure_rate: Some(rate), window_items: window, minimum_calls: minimum.min(window), failure_threshold: u32::MAX,
            success_threshold: 1, ..BreakerConfig::default()
        };
        let (mut breaker, mut model, mut random, mut now) = (Breaker::new(config), VecDeque::new(), seed | 1, Duration::ZERO);
        for call in 0..3_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let failed = random % 100 < likely;
            if model.len() == window as usize {
                model.pop_front();
            }
            model.push_back(failed);
            if failed { breaker.on_failure(now) } else { breaker.on_success() }
            let failures = model.iter().filter(|failed| **failed).count();
            // Only a failure opens it: a share that grows because an old success drops out needs one more.
            let opens = failed && model.len() >= config.minimum_calls as usize && failures as f64 / model.len() as f64 >= rate;
            prop_assert_eq!(!breaker.is_closed(), opens, "call {}: {} of {} failed", call, failures, model.len());
            if opens {
                now += config.reset_timeout;
                prop_assert_eq!(breaker.admit(now), Admission::Probe);
                breaker.on_success();
                prop_assert!(breaker.is_closed());
                // What was before the outage is not counted again.
                model.clear();
            }
        }
    }
}

#[test]
fn failures_that_arrive_together_do_not_keep_it_from_half_open_385() {
    let mut breaker = Breaker::new(BreakerConfig { failure_threshold: 3, ..BreakerConfig::default() });
    for _ in 0..100 {
        assert_eq!(breaker.admit(SECOND), Admission::Allowed);
    }
    for _ in 0..100 {
        breaker.on_failure(SECOND);
    }
    assert_eq!(breaker.state(ms(10_999)), BreakerState::Open);
    assert_eq!(breaker.state(SECOND + RESET), BreakerState::HalfOpen);
    assert_eq!(breaker.admit(SECOND + RESET), Admission::Probe);
}

#[test]
fn failures_of_calls_that_began_before_it_opened_do_not_begin_its_time_anew() {
    let mut breaker = opened(BreakerConfig::default(), SECOND);
    for late in 1..10 {
        breaker.on_failure(SECOND * (late + 1));
        assert_eq!(breaker.peek(SECOND * (late + 1)), Admission::Refused { retry_in: RESET.saturating_sub(SECOND * late) });
    }
    assert_eq!(breaker.admit(SECOND + RESET), Admission::Probe);
}

#[test]
fn a_late_success_does_not_close_an_open_one() {
    let config = BreakerConfig { success_threshold: 1, ..BreakerConfig::default() };
    let mut breaker = opened(config, SECOND);
    breaker.on_success();
    assert_eq!(breaker.state(SECOND), BreakerState::Open);
}

#[test]
fn a_probe_that_nobody_reports_does_not_leave_it_half_open_276_277() {
    let mut breaker = opened(BreakerConfig::default(), Duration::ZERO);
    assert_eq!(breaker.admit(RESET), Admission::Probe);
    // Its place is taken for as long as it may still come back.
    assert_eq!(breaker.admit(ms(19_999)), Admission::Refused { retry_in: ms(1) });
    assert_eq!(breaker.admit(RESET * 2), Admission::Probe);
    assert!(matches!(breaker.admit(RESET * 2), Admission::Refused { .. }), "one place, not two");
    // Again and again: never for ever.
    for round in 3..100 {
        assert_eq!(breaker.admit(RESET * round), Admission::Probe);
    }
}

#[test]
fn a_cancelled_probe_gives_its_place_back_at_once_57() {
    let mut breaker = opened(BreakerConfig::default(), Duration::ZERO);
    for _ in 0..1_000 {
        assert_eq!(breaker.admit(RESET), Admission::Probe);
        assert!(matches!(breaker.admit(RESET), Admission::Refused { .. }));
        breaker.on_cancel();
        assert_eq!(breaker.state(RESET), BreakerState::HalfOpen);
    }
}

#[test]
fn time_passes_only_by_the_caller_719() {
    // No timer and no thread: a value that owns nothing, the same however often it is looked at.
    assert!(!std::mem::needs_drop::<Breaker>(), "it owns neither a timer nor memory");
    let breaker = opened(BreakerConfig::default(), Duration::ZERO);
    for _ in 0..1_000 {
        assert_eq!(breaker.peek(ms(9_999)), Admission::Refused { retry_in: ms(1) });
        assert_eq!(breaker.peek(RESET), Admission::Probe);
    }
    assert_eq!(breaker.state(ms(9_999)), BreakerState::Open, "looking at later times has not moved it");
    // A process that slept for a century, and a clock that is at its end.
    let mut late = breaker.clone();
    assert_eq!(late.admit(Duration::from_secs(3_153_600_000)), Admission::Probe);
}

#[test]
fn a_cancelled_call_counts_neither_way_780_861_892() {
    let config = BreakerConfig { failure_threshold: 2, success_threshold: 2, ..BreakerConfig::default() };
    let mut breaker = Breaker::new(config);
    for _ in 0..1_000 {
        assert_eq!(breaker.admit(SECOND), Admission::Allowed);
        breaker.on_cancel();
    }
    assert!(breaker.is_closed());
    // One failure, cancelled ones between: they break no row and make none.
    breaker.on_failure(SECOND);
    breaker.on_cancel();
    assert!(breaker.is_closed());
    breaker.on_failure(SECOND);
    assert_eq!(breaker.state(SECOND), BreakerState::Open);
    // The abort of one call is that call's: the next probe is as good as the first.
    let now = SECOND + RESET;
    for _ in 0..2 {
        assert_eq!(breaker.admit(now), Admission::Probe);
        breaker.on_cancel();
        assert_eq!(breaker.admit(now), Admission::Probe);
        breaker.on_success();
    }
    assert!(breaker.is_closed());
}

#[test]
fn long_use_does_not_grow_it_635() {
    assert!(size_of::<Breaker>() <= 256 + MAX_WINDOW as usize / 8, "{} bytes", size_of::<Breaker>());
    assert!(!std::mem::needs_drop::<Breaker>(), "nothing of it is on the heap");
    let mut breaker = Breaker::new(BreakerConfig { failure_rate: Some(0.5), ..BreakerConfig::default() });
    for call in 0_u32..1_000_000 {
        // Two of five: below the share, and never five in a row.
        if call % 5 < 2 {
            breaker.on_failure(ms(u64::from(call)));
        } else {
            breaker.on_success();
        }
        assert!(breaker.is_closed(), "call {call}");
    }
}

#[test]
fn a_failed_probe_opens_it_for_the_whole_time_again() {
    let mut breaker = opened(BreakerConfig { probes: 3, ..BreakerConfig::default() }, Duration::ZERO);
    for _ in 0..3 {
        assert_eq!(breaker.admit(RESET), Admission::Probe);
    }
    breaker.on_success();
    breaker.on_failure(RESET + SECOND);
    assert_eq!(breaker.peek(RESET + SECOND), Admission::Refused { retry_in: RESET });
    // The success before it is forgotten: two new ones are needed.
    let now = RESET * 2 + SECOND;
    assert_eq!(breaker.admit(now), Admission::Probe);
    breaker.on_success();
    assert_eq!(breaker.state(now), BreakerState::HalfOpen);
    breaker.on_success();
    assert_eq!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn recheck_lets_a_probe_through_at_once_and_only_that() {
    let mut breaker = opened(BreakerConfig::default(), Duration::ZERO);
    breaker.recheck(SECOND);
    assert_eq!(breaker.state(SECOND), BreakerState::HalfOpen);
    assert_eq!(breaker.admit(SECOND), Admission::Probe);
    assert!(matches!(breaker.admit(SECOND), Admission::Refused { .. }), "one probe, not a flood");
    breaker.on_failure(SECOND);
    assert_eq!(breaker.peek(SECOND), Admission::Refused { retry_in: RESET });
    // On a closed one it means nothing.
    let mut closed = Breaker::new(BreakerConfig::default());
    closed.recheck(SECOND);
    assert!(closed.is_closed());
}

#[test]
fn a_success_ends_the_row() {
    let mut breaker = Breaker::new(BreakerConfig { failure_threshold: 3, ..BreakerConfig::default() });
    for _ in 0..100 {
        breaker.on_failure(SECOND);
        breaker.on_failure(SECOND);
        breaker.on_success();
    }
    assert!(breaker.is_closed());
    (0..3).for_each(|_| breaker.on_failure(SECOND));
    assert_eq!(breaker.state(SECOND).name(), "open");
}
