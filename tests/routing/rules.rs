//! Each rule of the policy by itself: where it sends an item, its name, and a sentence that people can read.

use remotemedia_wasmedge::routing::{AdaptiveOptions, Decision, FallbackOptions, Item, Load, Reason, Route, RoutingOptions, Target, Verdict};

use super::world::{attempt, fail, ms, options, outcome, policy, sized, teach};

/// A sentence, not a data structure; with the numbers that led there, where there are any.
fn readable(reason: &Reason) -> String {
    let sentence = reason.to_string();
    assert!(sentence.len() > 20 && sentence.contains(' '), "{sentence}");
    for debris in ["{", "}", "::", "Some(", "None", "NaN", "inf", "_ms", "Target"] {
        assert!(!sentence.contains(debris), "{sentence}");
    }
    assert!(!sentence.ends_with('.') && !sentence.contains('\n'), "{sentence}");
    let without_numbers = ["strategy", "split", "unreachable", "realtime", "probe"];
    assert_eq!(sentence.contains(|c: char| c.is_ascii_digit()), !without_numbers.contains(&reason.name()), "{sentence}");
    sentence
}

#[track_caller]
fn decided(decision: &Decision, route: Route, name: &str) -> String {
    assert_eq!((decision.route, decision.reason.name()), (route, name), "{}", decision.reason);
    assert!(Reason::ALL_NAMES.contains(&name));
    assert_eq!(decision.explored, name == "explores");
    readable(&decision.reason)
}

#[test]
fn every_reason_has_a_name_and_a_sentence() {
    let (target, limit) = (Target::Cloud, 1 << 20);
    let all = [
        Reason::Strategy(target),
        Reason::Split,
        Reason::BreakerOpen { refused: target, retry_in_ms: 412.3 },
        Reason::Unreachable(target),
        Reason::BothOpen { retry_in_ms: 5.0 },
        Reason::Probe(target),
        Reason::Deadline { late: target, needs_ms: 80.0, limit_ms: 40.0 },
        Reason::Large { bytes: 2 << 20, limit },
        Reason::Small { bytes: 100, limit },
        Reason::Complex(0.91),
        Reason::Simple(0.1),
        Reason::EdgeBusy { waiting: 9 },
        Reason::EdgeQueue { wait_ms: 20.0, edge_ms: 30.0, cloud_ms: 25.0 },
        Reason::EdgeStrained { cpu: 0.99, memory: 0.4 },
        Reason::Realtime,
        Reason::Surer { edge_ms: 1.0, cloud_ms: 2.0 },
        Reason::Silent { target, since_ms: 800.0 },
        Reason::Learned { target, edge: 1.0, cloud: 2.0 },
        Reason::Stays { target, edge: 1.0, cloud: 2.0 },
        Reason::Explores { target, excess: 3.0, share: 0.005, limit: 0.01 },
    ];
    let mut names: Vec<_> = all.iter().map(Reason::name).collect();
    let mut known = Reason::ALL_NAMES.to_vec();
    let mut sentences: Vec<_> = all.iter().map(readable).collect();
    names.sort_unstable();
    known.sort_unstable();
    sentences.sort();
    assert_eq!(names, known, "each name once, none that does not occur");
    sentences.dedup();
    assert_eq!(sentences.len(), all.len());
    assert_eq!(Reason::Large { bytes: 3 << 19, limit }.to_string(), "1.5 MiB is not below the cloud's 1.0 MiB");
    assert_eq!(Reason::Small { bytes: 100, limit: 100 << 10 }.to_string(), "100 bytes is within the edge's 100.0 KiB");
}

fn with_strategy(name: &str) -> RoutingOptions {
    RoutingOptions { strategy: Some(name.into()), ..options() }
}

#[test]
fn a_strategy_names_its_side_whatever_was_learned() {
    for (name, target) in [("edge-first", Target::Edge), ("cloud-first", Target::Cloud)] {
        let mut policy = policy(with_strategy(name));
        teach(&mut policy, target, 500.0, ms(0));
        teach(&mut policy, target.other(), 1.0, ms(0));
        let item = Item { complexity: Some(if target == Target::Edge { 0.9 } else { 0.1 }), ..sized(50 << 20) };
        assert!(decided(&policy.decide(&item, &Load::default(), ms(1)), target.into(), "strategy").contains(name));
    }
}

#[test]
fn the_hybrid_strategy_splits_items_as_long_as_the_cloud_can_be_asked() {
    let mut policy = policy(with_strategy("hybrid"));
    decided(&policy.decide(&sized(1_000), &Load::default(), ms(0)), Route::Hybrid, "split");
    policy.probed(Target::Cloud, None, ms(0));
    decided(&policy.decide(&sized(1_000), &Load::default(), ms(0)), Route::Edge, "unreachable");
    policy.probed(Target::Cloud, Some(1.0), ms(0));
    fail(&mut policy, Target::Cloud, ms(0));
    let sentence = decided(&policy.decide(&sized(1_000), &Load::default(), ms(1_000)), Route::Edge, "breaker-open");
    assert!(sentence.contains("9000 ms"), "{sentence}");
    decided(&policy.decide(&sized(1_000), &Load::default(), ms(10_000)), Route::Hybrid, "split");
}

#[test]
fn an_open_breaker_sends_to_the_other_side() {
    for (name, target) in [("edge-first", Target::Edge), ("cloud-first", Target::Cloud)] {
        let mut policy = policy(with_strategy(name));
        fail(&mut policy, target, ms(0));
        let sentence = decided(&policy.decide(&sized(1), &Load::default(), ms(2_500)), target.other().into(), "breaker-open");
        assert!(sentence.contains(target.name()) && sentence.contains("7500 ms"), "{sentence}");
        decided(&policy.decide(&sized(1), &Load::default(), ms(10_000)), target.into(), "probe");
        // The probe is on its way: the next item does not wait for what comes of it.
        policy.admit(target, ms(10_000));
        decided(&policy.decide(&sized(1), &Load::default(), ms(10_000)), target.other().into(), "breaker-open");
    }
}

#[test]
fn with_both_breakers_open_the_first_to_be_probed_is_named() {
    let mut policy = policy(with_strategy("cloud-first"));
    fail(&mut policy, Target::Edge, ms(0));
    fail(&mut policy, Target::Cloud, ms(500));
    let sentence = decided(&policy.decide(&sized(1), &Load::default(), ms(1_000)), Route::Edge, "both-breakers-open");
    assert!(sentence.contains("9000 ms"), "{sentence}");
    let mut policy = super::world::policy(with_strategy("cloud-first"));
    fail(&mut policy, Target::Cloud, ms(0));
    fail(&mut policy, Target::Edge, ms(0));
    decided(&policy.decide(&sized(1), &Load::default(), ms(1_000)), Route::Cloud, "both-breakers-open");
}

#[test]
fn a_side_that_does_not_answer_a_cheap_question_is_left() {
    let mut policy = policy(with_strategy("cloud-first"));
    policy.probed(Target::Cloud, None, ms(0));
    decided(&policy.decide(&sized(1), &Load::default(), ms(0)), Route::Edge, "unreachable");
    // Nor is it when the edge cannot be asked at all.
    fail(&mut policy, Target::Edge, ms(0));
    decided(&policy.decide(&sized(1), &Load::default(), ms(0)), Route::Cloud, "strategy");
    policy.probed(Target::Cloud, Some(3.0), ms(1));
    decided(&policy.decide(&sized(1), &Load::default(), ms(1)), Route::Cloud, "strategy");
}

#[test]
fn a_network_that_is_back_does_not_wait_for_the_breaker() {
    let mut policy = policy(with_strategy("cloud-first"));
    fail(&mut policy, Target::Cloud, ms(0));
    assert!(policy.probed(Target::Cloud, None, ms(1)).is_none());
    let change = policy.probed(Target::Cloud, Some(3.0), ms(2)).expect("a change");
    assert_eq!((change.target, change.from.name(), change.to.name()), (Target::Cloud, "open", "half-open"));
    decided(&policy.decide(&sized(1), &Load::default(), ms(2)), Route::Cloud, "probe");
}

#[test]
fn a_side_that_would_be_late_is_left() {
    let mut policy = policy(RoutingOptions { latency_budget_ms: Some(50.0), ..with_strategy("cloud-first") });
    decided(&policy.decide(&sized(1_000), &Load::default(), ms(0)), Route::Cloud, "strategy");
    teach(&mut policy, Target::Cloud, 120.0, ms(0));
    let sentence = decided(&policy.decide(&sized(1_000), &Load::default(), ms(0)), Route::Edge, "deadline");
    assert!(sentence.contains("50 ms") && sentence.contains("120 ms"), "{sentence}");
    // Both would be: the one that is less so.
    teach(&mut policy, Target::Edge, 900.0, ms(0));
    decided(&policy.decide(&sized(1_000), &Load::default(), ms(0)), Route::Cloud, "strategy");
    // An item's own deadline, where it is nearer.
    let mut policy = super::world::policy(with_strategy("edge-first"));
    teach(&mut policy, Target::Edge, 30.0, ms(0));
    let hurried = Item { remaining_ms: Some(10.0), ..sized(1_000) };
    decided(&policy.decide(&hurried, &Load::default(), ms(0)), Route::Cloud, "deadline");
    decided(&policy.decide(&Item { remaining_ms: Some(60.0), ..hurried }, &Load::default(), ms(0)), Route::Edge, "strategy");
}

#[test]
fn thresholds_that_were_given_are_rules_and_defaults_are_not() {
    let given = RoutingOptions { edge_max_bytes: Some(4_096.0), cloud_min_bytes: Some(1_048_576.0), ..options() };
    // Whatever is cheaper: here the opposite of what the rules say.
    for (options, expected) in [(given, ["small", "large"]), (options(), ["learned", "learned"])] {
        let mut policy = policy(options);
        teach(&mut policy, Target::Edge, 20.0, ms(0));
        teach(&mut policy, Target::Cloud, 5.0, ms(0));
        let small = policy.decide(&sized(4_096), &Load::default(), ms(0));
        decided(&small, if expected[0] == "small" { Route::Edge } else { Route::Cloud }, expected[0]);
        teach(&mut policy, Target::Cloud, 900.0, ms(0));
        let large = policy.decide(&sized(1 << 20), &Load::default(), ms(0));
        decided(&large, if expected[1] == "large" { Route::Cloud } else { Route::Edge }, expected[1]);
        // In between what was learned counts in either case.
        decided(&policy.decide(&sized(100_000), &Load::default(), ms(0)), Route::Edge, "learned");
    }
}

#[test]
fn a_cold_start_goes_by_size() {
    let policy = policy(options());
    for bytes in [0, 1, 1_000, 100 << 10] {
        decided(&policy.decide(&sized(bytes), &Load::default(), ms(0)), Route::Edge, "small");
    }
    for bytes in [10 << 20, 11 << 20, u64::MAX] {
        decided(&policy.decide(&sized(bytes), &Load::default(), ms(0)), Route::Cloud, "large");
    }
    decided(&policy.decide(&sized(512 << 10), &Load::default(), ms(0)), Route::Edge, "small");
    decided(&policy.decide(&sized(2 << 20), &Load::default(), ms(0)), Route::Cloud, "large");
}

#[test]
fn complexity_goes_before_what_was_learned() {
    let mut policy = policy(options());
    teach(&mut policy, Target::Edge, 1.0, ms(0));
    teach(&mut policy, Target::Cloud, 50.0, ms(0));
    let complex = |complexity| Item { complexity: Some(complexity), ..sized(1_000) };
    assert!(decided(&policy.decide(&complex(0.81), &Load::default(), ms(0)), Route::Cloud, "complex").contains("0.81"));
    decided(&policy.decide(&complex(0.8), &Load::default(), ms(0)), Route::Edge, "learned");
    decided(&policy.decide(&complex(0.3), &Load::default(), ms(0)), Route::Edge, "learned");
    assert!(decided(&policy.decide(&complex(0.29), &Load::default(), ms(0)), Route::Edge, "simple").contains("0.29"));
}

#[test]
fn real_time_stays_here_until_it_is_known_where_it_is_surer() {
    let mut policy = policy(RoutingOptions { realtime: Some(true), ..options() });
    decided(&policy.decide(&sized(50 << 20), &Load::default(), ms(0)), Route::Edge, "realtime");
    for count in 0..200 {
        // The edge is quicker on the whole, and now and then far slower.
        attempt(&mut policy, Target::Edge, 1_000, if count % 8 == 0 { 150.0 } else { 5.0 }, Verdict::Ok, ms(0));
        attempt(&mut policy, Target::Cloud, 1_000, 24.0 + f64::from(count % 3), Verdict::Ok, ms(0));
    }
    let decision = policy.decide(&sized(1_000), &Load::default(), ms(0));
    decided(&decision, Route::Cloud, "surer");
    assert!(decision.predicted.edge.p95_ms > decision.predicted.cloud.p95_ms);
}

#[test]
fn a_busy_or_strained_edge_is_spared_before_anything_is_known() {
    let policy = policy(options());
    let busy = Load { edge_in_flight: 9, edge_slots: 2, ..Load::default() };
    assert!(decided(&policy.decide(&sized(10), &busy, ms(0)), Route::Cloud, "edge-busy").contains('9'));
    decided(&policy.decide(&sized(10), &Load { edge_in_flight: 8, ..busy }, ms(0)), Route::Edge, "small");
    for (cpu, memory) in [(0.97, 0.1), (0.1, 0.97)] {
        assert!(decided(&policy.decide(&sized(10), &Load { cpu, memory, ..Load::default() }, ms(0)), Route::Cloud, "edge-strained").contains("97%"));
    }
}

#[test]
fn a_queue_at_the_edge_sends_to_the_cloud_as_long_as_it_is_there() {
    let mut policy = policy(options());
    teach(&mut policy, Target::Edge, 10.0, ms(0));
    teach(&mut policy, Target::Cloud, 25.0, ms(0));
    decided(&policy.decide(&sized(1_000), &Load::default(), ms(0)), Route::Edge, "learned");
    let queue = Load { edge_in_flight: 4, edge_slots: 2, ..Load::default() };
    let decision = policy.decide(&sized(1_000), &Load { edge_in_flight: 8, ..queue }, ms(0));
    decided(&decision, Route::Cloud, "edge-queue");
    assert!(decision.predicted.edge.wait_ms > 30.0, "{:?}", decision.predicted.edge);
    decided(&policy.decide(&sized(1_000), &Load { edge_in_flight: 2, ..queue }, ms(0)), Route::Edge, "learned");
}

#[test]
fn a_side_that_has_fallen_silent_is_left() {
    let mut policy = policy(options());
    teach(&mut policy, Target::Edge, 40.0, ms(0));
    teach(&mut policy, Target::Cloud, 10.0, ms(0));
    let decision = policy.decide(&sized(1_000), &Load::default(), ms(100));
    decided(&decision, Route::Cloud, "learned");
    policy.begin(&decision, ms(100));
    policy.admit(Target::Cloud, ms(100));
    decided(&policy.decide(&sized(1_000), &Load::default(), ms(110)), Route::Cloud, "learned");
    let sentence = decided(&policy.decide(&sized(1_000), &Load::default(), ms(900)), Route::Edge, "silent");
    assert!(sentence.contains("800 ms"), "{sentence}");
    policy.record(&outcome(Target::Cloud, 1_000, 10.0, Verdict::Ok), ms(900));
    decided(&policy.decide(&sized(1_000), &Load::default(), ms(901)), Route::Cloud, "learned");
}

#[test]
fn a_small_difference_moves_nothing() {
    let hysteresis = |hysteresis| AdaptiveOptions { hysteresis: Some(hysteresis), exploration: Some(0.0), ..AdaptiveOptions::default() };
    for (share, route, name) in [(0.2, Route::Edge, "stays"), (0.01, Route::Cloud, "learned")] {
        let mut policy = policy(RoutingOptions { adaptive: hysteresis(share), ..options() });
        teach(&mut policy, Target::Edge, 10.0, ms(0));
        teach(&mut policy, Target::Cloud, 20.0, ms(0));
        let first = policy.decide(&sized(1_000), &Load::default(), ms(0));
        decided(&first, Route::Edge, "learned");
        policy.begin(&first, ms(0));
        // The cloud becomes a little cheaper than the edge.
        (0..8).for_each(|_| teach(&mut policy, Target::Cloud, 9.2, ms(0)));
        decided(&policy.decide(&sized(1_000), &Load::default(), ms(0)), route, name);
    }
}

#[test]
fn without_learning_it_never_learns() {
    let off = AdaptiveOptions { enabled: Some(false), ..AdaptiveOptions::default() };
    let mut policy = policy(RoutingOptions { adaptive: off, ..options() });
    teach(&mut policy, Target::Edge, 500.0, ms(0));
    teach(&mut policy, Target::Cloud, 1.0, ms(0));
    for count in 0..5_000 {
        let decision = super::world::step(&mut policy, &sized(1_000), 500.0, 1.0, ms(count));
        decided(&decision, Route::Edge, "small");
    }
}

#[test]
fn failures_make_a_side_dear() {
    // Without the other side to fall back to, a failure costs what the options say.
    let alone = FallbackOptions { enabled: Some(false), ..FallbackOptions::default() };
    let mut policy = policy(RoutingOptions { fallback: alone, ..options() });
    teach(&mut policy, Target::Edge, 30.0, ms(0));
    teach(&mut policy, Target::Cloud, 10.0, ms(0));
    decided(&policy.decide(&sized(1_000), &Load::default(), ms(0)), Route::Cloud, "learned");
    for count in 0..12 {
        attempt(&mut policy, Target::Cloud, 1_000, 10.0, if count % 3 == 0 { Verdict::Failed } else { Verdict::Ok }, ms(0));
    }
    decided(&policy.decide(&sized(1_000), &Load::default(), ms(0)), Route::Edge, "learned");
}
