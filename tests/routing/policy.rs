//! The policy over many items: asking changes nothing, the same seed gives the same answers, exploring keeps to its budget, budgets and
//! forecasts do what they say, and figures are what the documents call them.

use std::time::Duration;

use remotemedia_wasmedge::routing::{AdaptiveOptions, Admission, FallbackOptions, HedgeOptions, Item, Load, Route, RoutingOptions, Target, Verdict};
use serde_json::Value;

use super::random::Random;
use super::world::{attempt, fail, ms, options, outcome, policy, sized, step, teach};

/// Times of a world in which small items are the edge's and large ones the cloud's.
fn times(bytes: u64, random: &mut Random) -> (f64, f64) {
    let noise = (0.1 * random.normal()).exp();
    ((0.5 + bytes as f64 / 20_000.0) * noise, (30.0 + bytes as f64 / 200_000.0) * noise)
}

#[test]
fn asking_changes_nothing() {
    let (mut asked, mut unasked) = (policy(options()), policy(options()));
    let mut random = Random::new(1);
    for count in 0..300 {
        let (item, now) = (sized(random.bytes()), ms(count * 20));
        let (edge, cloud) = times(item.bytes, &mut random);
        if count % 30 == 0 {
            let first = format!("{:?}", asked.decide(&item, &Load::default(), now));
            for _ in 0..1_000 {
                assert_eq!(format!("{:?}", asked.decide(&item, &Load::default(), now)), first);
            }
            asked.decide(&sized(1 << 30), &Load { edge_in_flight: 90, cpu: 1.0, ..Load::default() }, now + ms(1_000_000));
        }
        let (one, other) = (step(&mut asked, &item, edge, cloud, now), step(&mut unasked, &item, edge, cloud, now));
        assert_eq!(format!("{one:?}"), format!("{other:?}"), "item {count}");
    }
    assert_eq!(asked.snapshot(ms(6_000)), unasked.snapshot(ms(6_000)));
}

#[test]
fn beginning_is_what_changes_something() {
    let mut policy = policy(options());
    let decision = policy.decide(&sized(10), &Load::default(), ms(0));
    assert_eq!(policy.snapshot(ms(0))["decided"], 0);
    policy.begin(&decision, ms(0));
    assert_eq!(policy.snapshot(ms(0))["decided"], 1);
}

#[test]
fn the_same_seed_decides_the_same() {
    let run = |seed: f64| {
        let (mut policy, mut random) = (policy(RoutingOptions { seed: Some(seed), ..options() }), Random::new(5));
        let mut routes = Vec::new();
        for count in 0..5_000 {
            let item = sized(random.bytes());
            let (edge, cloud) = times(item.bytes, &mut random);
            let decision = step(&mut policy, &item, edge, cloud, ms(count * 20));
            routes.push((decision.route, decision.reason.name(), decision.explored));
        }
        routes
    };
    assert_eq!(run(1.0), run(1.0));
    assert!(run(1.0).iter().any(|(.., explored)| *explored), "or the seed would not matter");
    assert_ne!(run(1.0), run(2.0), "another seed tries at other times");
}

#[test]
fn one_try_is_enough_to_see_that_a_side_is_far_dearer() {
    let tries = |cloud: f64| {
        let mut policy = policy(options());
        (0..300).filter(|at| step(&mut policy, &sized(1_000), 1.0, cloud, ms(at * 100)).explored).count()
    };
    assert_eq!(tries(30.0), 1, "more of them would have to be saved up for");
    assert!(tries(2.0) >= 4, "one answer may have been an accident");
}

#[test]
fn exploring_keeps_to_its_budget_in_a_world_that_stays_as_it_is() {
    for (limit, seed) in [(0.01, 1), (0.01, 2), (0.01, 3), (0.05, 4), (0.0, 5)] {
        let adaptive = AdaptiveOptions { exploration: Some(limit), ..AdaptiveOptions::default() };
        let (mut policy, mut random) = (policy(RoutingOptions { adaptive, ..options() }), Random::new(seed));
        let (mut best, mut wasted, mut tries) = (0.0, 0.0, 0);
        for count in 0..20_000 {
            let item = sized(random.bytes());
            let (edge, cloud) = times(item.bytes, &mut random);
            let decision = step(&mut policy, &item, edge, cloud, ms(count * 50));
            best += edge.min(cloud);
            if decision.explored {
                tries += 1;
                let took = if decision.route == Route::Edge { edge } else { cloud };
                wasted += took - edge.min(cloud);
            }
        }
        // By what really was, not by what the policy believed; the first tries of a side are free.
        assert!(wasted <= best * limit * 1.1 + 2_000.0, "limit {limit}, seed {seed}: {wasted:.0} of {best:.0} ms in {tries} tries");
        assert_eq!(tries > 0, limit > 0.0, "seed {seed}");
        let said = policy.snapshot(ms(1_000_000))["exploration"]["share"].as_f64().expect("a share");
        assert!(said <= limit + 0.005, "it says {said} of {limit}");
    }
}

#[test]
fn it_learns_which_side_is_better_for_which_size() {
    let (mut policy, mut random) = (policy(options()), Random::new(9));
    let (mut right, mut wrong) = (0, 0);
    for count in 0..4_000 {
        let item = sized(random.bytes());
        let (edge, cloud) = times(item.bytes, &mut random);
        let decision = step(&mut policy, &item, edge, cloud, ms(count * 50));
        // Where there is hardly a difference neither is wrong.
        if count > 500 && !(0.7..1.4).contains(&(edge / cloud)) {
            let better = if edge < cloud { Route::Edge } else { Route::Cloud };
            *(if decision.route == better { &mut right } else { &mut wrong }) += 1;
        }
    }
    assert!(right > 2_000 && f64::from(wrong) < 0.05 * f64::from(right), "{right} right, {wrong} wrong");
    let snapshot = policy.snapshot(ms(200_000));
    let crossover = snapshot["thresholds"]["learnedBytes"].as_u64().expect("a crossover");
    // Both take as long at 655 KB.
    assert!((1 << 19..=1 << 21).contains(&crossover), "{crossover}");
    let regret = snapshot["regret"]["share"].as_f64().expect("a share");
    assert!((0.0..0.05).contains(&regret), "{regret}");
}

#[test]
fn with_the_cloud_gone_every_item_goes_to_the_edge() {
    let (mut policy, mut random) = (policy(options()), Random::new(3));
    for count in 0..500 {
        let item = sized(random.bytes());
        let (edge, cloud) = times(item.bytes, &mut random);
        step(&mut policy, &item, edge, cloud, ms(count * 50));
    }
    fail(&mut policy, Target::Cloud, ms(25_000));
    policy.probed(Target::Cloud, None, ms(25_000));
    for count in 0..10_000 {
        let now = ms(25_000 + count * 50);
        let item = Item { complexity: (count % 7 == 0).then_some(0.95), ..sized(random.bytes() * 4) };
        let decision = policy.decide(&item, &Load::default(), now);
        policy.begin(&decision, now);
        assert_eq!(decision.route, Route::Edge, "item {count}: {}", decision.reason);
        assert!(attempt(&mut policy, Target::Edge, item.bytes, times(item.bytes, &mut random).0, Verdict::Ok, now));
    }
}

#[test]
fn a_lost_cloud_costs_one_probe_for_each_of_the_breakers_times() {
    let mut policy = policy(RoutingOptions { strategy: Some("cloud-first".into()), ..options() });
    fail(&mut policy, Target::Cloud, ms(0));
    let mut asked = 0;
    for count in 1..=10_000 {
        let now = ms(count * 10);
        let decision = policy.decide(&sized(10), &Load::default(), now);
        policy.begin(&decision, now);
        if decision.route == Route::Cloud {
            asked += u32::from(attempt(&mut policy, Target::Cloud, 10, 5.0, Verdict::TimedOut, now));
        }
    }
    assert_eq!(asked, 10, "100 seconds of a breaker that waits for ten");
}

#[test]
fn what_says_nothing_about_a_side_is_not_held_against_it() {
    let mut policy = policy(options());
    for count in 0..1_000 {
        assert!(attempt(&mut policy, Target::Cloud, 10, 5.0, if count % 2 == 0 { Verdict::Rejected } else { Verdict::Cancelled }, ms(count)));
    }
    let cloud = policy.snapshot(ms(1_000))["cloud"].clone();
    assert_eq!((&cloud["breaker"], &cloud["failureShare"], &cloud["samples"]), (&"closed".into(), &0.0.into(), &0.into()));
}

#[test]
fn record_tells_of_each_change_of_a_breaker_once() {
    let mut policy = policy(options());
    let failed = |policy: &mut remotemedia_wasmedge::routing::Policy, now| {
        policy.admit(Target::Edge, now);
        policy.record(&outcome(Target::Edge, 1, 1.0, Verdict::Failed), now)
    };
    assert!((0..4).all(|_| failed(&mut policy, ms(0)).is_none()));
    let opened = failed(&mut policy, ms(0)).expect("a change");
    assert_eq!((opened.target, opened.from.name(), opened.to.name()), (Target::Edge, "closed", "open"));
    assert!(policy.record(&outcome(Target::Edge, 1, 1.0, Verdict::Failed), ms(1)).is_none(), "a late one");
    assert_eq!(policy.admit(Target::Edge, ms(10_000)), Admission::Probe);
    assert!(policy.record(&outcome(Target::Edge, 1, 1.0, Verdict::Ok), ms(10_000)).is_none(), "one of two");
    assert_eq!(policy.admit(Target::Edge, ms(10_001)), Admission::Probe);
    let closed = policy.record(&outcome(Target::Edge, 1, 1.0, Verdict::Ok), ms(10_001)).expect("a change");
    assert_eq!((closed.from.name(), closed.to.name()), ("half-open", "closed"));
}

#[test]
fn a_second_request_is_made_when_it_is_late() {
    let hedged = |hedge| policy(RoutingOptions { hedge, ..options() });
    assert_eq!(hedged(None).hedge_after(Target::Cloud), None);
    let fixed = HedgeOptions { delay_ms: Some(30.0), ..HedgeOptions::default() };
    assert_eq!(hedged(Some(fixed)).hedge_after(Target::Cloud), Some(ms(30)));
    let mut learning = hedged(Some(HedgeOptions { percentile: Some(90.0), min_delay_ms: Some(5.0), ..HedgeOptions::default() }));
    assert_eq!(learning.hedge_after(Target::Cloud), None, "nobody knows yet what late is");
    for count in 1_i32..=200 {
        attempt(&mut learning, Target::Cloud, 10, f64::from(count), Verdict::Ok, ms(0));
    }
    let delay = learning.hedge_after(Target::Cloud).expect("enough was seen").as_secs_f64() * 1e3;
    assert!((delay / 180.0 - 1.0).abs() < 0.05, "{delay} ms, nine of ten take up to 180");
    // A cloud of a millisecond is not hedged at once.
    let mut quick = hedged(Some(HedgeOptions { min_delay_ms: Some(5.0), ..HedgeOptions::default() }));
    assert!((0..200).all(|_| attempt(&mut quick, Target::Cloud, 10, 1.0, Verdict::Ok, ms(0))));
    assert_eq!(quick.hedge_after(Target::Cloud), Some(ms(5)));
}

#[test]
fn second_requests_and_retries_have_budgets() {
    let both = RoutingOptions {
        hedge: Some(HedgeOptions { max_percent: Some(5.0), ..HedgeOptions::default() }),
        fallback: FallbackOptions { budget_percent: Some(10.0), ..FallbackOptions::default() },
        ..options()
    };
    let (mut limited, mut free) = (policy(both), policy(options()));
    let (mut hedges, mut retries) = (0, 0);
    for count in 0..1_000 {
        for policy in [&mut limited, &mut free] {
            let decision = policy.decide(&sized(10), &Load::default(), ms(count));
            policy.begin(&decision, ms(count));
        }
        hedges += u32::from(limited.may_hedge());
        retries += u32::from(limited.may_retry());
        assert!(free.may_retry(), "no budget was given");
        assert!(!free.may_hedge(), "nothing was to be hedged");
    }
    assert_eq!((hedges, retries), (50, 100));
}

#[test]
fn guests_are_made_ready_for_what_is_coming_and_for_nothing_when_nothing_comes() {
    let mut policy = policy(options());
    assert_eq!(policy.prewarm(ms(0)), 0);
    teach(&mut policy, Target::Edge, 50.0, ms(0));
    assert_eq!(policy.prewarm(ms(0)), 0, "nothing has come");
    let (mut now, mut counts) = (Duration::ZERO, Vec::new());
    for every in [100, 20, 4] {
        let until = now + ms(5_000);
        while now < until {
            let decision = policy.decide(&sized(10), &Load::default(), now);
            policy.begin(&decision, now);
            now += ms(every);
        }
        counts.push(policy.prewarm(now));
    }
    assert!(counts.is_sorted() && counts[0] < counts[2], "{counts:?}");
    // 250 a second for 50 ms each, and half as many again.
    assert!((15..=25).contains(&counts[2]), "{counts:?}");
    assert_eq!(policy.prewarm(now + ms(60_000)), 0, "a minute of nothing");
    assert_eq!(policy.snapshot(now + ms(60_000))["arrivalsPerSecond"], 0.0);
    assert!(policy.prewarm(now + ms(500)) < counts[2], "half a second of nothing");
}

/// Keys of a snapshot, those of objects in it by their paths.
fn keys(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| keys(value, &format!("{at}.{key}"), all)),
        Value::Array(values) => values.first().into_iter().for_each(|value| keys(value, &format!("{at}[]"), all)),
        _ => all.push(at.trim_start_matches('.').to_owned()),
    }
}

#[test]
fn a_snapshot_has_its_keys_from_the_beginning_and_all_are_numbers_that_json_has() {
    let side = ["breaker", "failureShare", "samples", "changes", "roundTripMs", "unreachable", "p50Ms", "p95Ms"];
    let mut expected: Vec<_> = ["edge", "cloud"].iter().flat_map(|name| side.iter().map(move |key| format!("{name}.{key}"))).collect();
    expected.extend(
        [
            "decided",
            "thresholds.edgeMaxBytes",
            "thresholds.cloudMinBytes",
            "thresholds.learnedBytes",
            "exploration.share",
            "exploration.limit",
            "exploration.cost",
            "regret.cost",
            "regret.share",
            "arrivalsPerSecond",
        ]
        .map(str::to_owned),
    );
    expected.sort();
    let found = |policy: &remotemedia_wasmedge::routing::Policy| {
        let mut all = Vec::new();
        keys(&policy.snapshot(ms(5_000)), "", &mut all);
        all.retain(|key| !key.contains("bySize"));
        all.sort();
        all
    };
    let mut policy = policy(options());
    assert_eq!(found(&policy), expected);
    teach(&mut policy, Target::Edge, 10.0, ms(0));
    teach(&mut policy, Target::Cloud, 20.0, ms(0));
    for count in 0..500 {
        step(&mut policy, &sized(1 << (count % 24)), 10.0, 20.0, ms(count * 9));
    }
    assert_eq!(found(&policy), expected);
    let snapshot = policy.snapshot(ms(5_000));
    for name in ["edge", "cloud"] {
        let sizes = snapshot[name]["bySize"].as_array().expect("a list");
        assert!(!sizes.is_empty());
        for size in sizes {
            assert!(size["bytes"].is_u64() && size["meanMs"].as_f64() > Some(0.0) && size["samples"].as_f64() > Some(0.0), "{size}");
        }
        // A number that JSON has not would have become null.
        assert!(snapshot[name]["p50Ms"].is_f64() && snapshot[name]["p95Ms"].is_f64(), "{}", snapshot[name]);
    }
}
