//! A world with two sides, and a policy in it.

use std::time::Duration;

use remotemedia_wasmedge::routing::{Admission, Decision, Item, Load, Outcome, Policy, Route, RoutingConfig, RoutingOptions, Target, Verdict};

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn options() -> RoutingOptions {
    RoutingOptions { seed: Some(1.0), ..RoutingOptions::default() }
}

pub fn policy(options: RoutingOptions) -> Policy {
    Policy::new(RoutingConfig::new(options).expect("options"))
}

/// An item of this size that nothing else is known about.
pub fn sized(bytes: u64) -> Item {
    Item { bytes, ..Item::default() }
}

/// What came of an attempt with an item of this size.
pub fn outcome(target: Target, bytes: u64, latency_ms: f64, result: Verdict) -> Outcome {
    Outcome { target, bytes, complexity: None, latency_ms, queue_ms: 0.0, result, batch: 1, ahead: 0 }
}

/// Makes one attempt that ends at once, unless it is refused.
pub fn attempt(policy: &mut Policy, target: Target, bytes: u64, latency_ms: f64, result: Verdict, now: Duration) -> bool {
    if matches!(policy.admit(target, now), Admission::Refused { .. }) {
        return false;
    }
    policy.record(&outcome(target, bytes, latency_ms, result), now);
    true
}

/// Tells a policy that a side takes so long, for items of many sizes.
pub fn teach(policy: &mut Policy, target: Target, latency_ms: f64, now: Duration) {
    for count in 0..60 {
        assert!(attempt(policy, target, 512 << (count % 14), latency_ms, Verdict::Ok, now));
    }
}

/// Fails a side until its breaker is open.
pub fn fail(policy: &mut Policy, target: Target, now: Duration) {
    while attempt(policy, target, 1_000, 1.0, Verdict::Failed, now) {}
}

/// An item's way through a world in which the sides take `edge` and `cloud` milliseconds.
pub fn step(policy: &mut Policy, item: &Item, edge: f64, cloud: f64, now: Duration) -> Decision {
    let decision = policy.decide(item, &Load::default(), now);
    policy.begin(&decision, now);
    let (target, took) = match decision.route {
        Route::Edge => (Target::Edge, edge),
        Route::Cloud | Route::Hybrid => (Target::Cloud, cloud),
    };
    attempt(policy, target, item.bytes, took, Verdict::Ok, now + Duration::from_secs_f64(took / 1e3));
    decision
}
