//! What was learned goes to another policy whole, and nothing that comes in its place does harm.

use std::fmt::Write;
use std::time::Duration;

use proptest::prelude::*;
use remotemedia_wasmedge::routing::{Item, Load, Outcome, Policy, RoutingConfig, RoutingOptions, Target, Verdict};
use serde_json::{Value, json};

use super::random::Random;

fn fresh() -> Policy {
    Policy::new(RoutingConfig::new(RoutingOptions { seed: Some(7.0), ..RoutingOptions::default() }).expect("options"))
}

/// One that has seen 200 items on each side.
fn learned(seed: u64) -> Policy {
    let (mut policy, mut random) = (fresh(), Random::new(seed));
    policy.probed(Target::Cloud, Some(12.0), Duration::ZERO);
    for number in 0..400 {
        let now = Duration::from_millis(number * 10);
        let (target, bytes) = (if number % 2 == 0 { Target::Edge } else { Target::Cloud }, random.bytes());
        let noise = (0.1 * random.normal()).exp();
        let latency_ms = if target == Target::Edge { 0.5 + bytes as f64 / 20_000.0 } else { 30.0 + bytes as f64 / 200_000.0 } * noise;
        let result = if number % 50 == 49 { Verdict::Failed } else { Verdict::Ok };
        policy.admit(target, now);
        policy.record(&Outcome { target, bytes, complexity: None, latency_ms, queue_ms: 0.0, result, batch: 1, ahead: 0 }, now);
    }
    policy
}

/// What a policy says of every size and complexity.
fn answers(policy: &Policy) -> String {
    let mut text = String::new();
    for size in 0..24 {
        for complexity in [None, Some(0.5), Some(0.9)] {
            let item = Item { bytes: 100 << size, complexity, remaining_ms: None };
            writeln!(text, "{:?}", policy.decide(&item, &Load::default(), Duration::from_secs(100))).expect("a string takes all");
        }
    }
    text
}

#[test]
fn a_policy_that_takes_it_over_predicts_and_decides_the_same() {
    for seed in 0..20 {
        let first = learned(seed);
        // Through text, as it goes through a file.
        let state: Value = serde_json::from_str(&first.export().to_string()).expect("its own JSON");
        let mut second = fresh();
        assert_ne!(answers(&first), answers(&second), "a policy that knows nothing says something else");
        second.import(&state).expect("its own state");
        assert_eq!(answers(&first), answers(&second));
        assert_eq!(second.export(), state, "and again");
    }
}

#[test]
fn what_is_of_its_moment_is_not_taken_over() {
    let mut first = learned(1);
    for _ in 0..10 {
        let failed = Outcome {
            target: Target::Cloud,
            bytes: 1,
            complexity: None,
            latency_ms: 1.0,
            queue_ms: 0.0,
            result: Verdict::Failed,
            batch: 1,
            ahead: 0,
        };
        first.record(&failed, Duration::from_secs(99));
    }
    let mut second = fresh();
    second.import(&first.export()).expect("its own state");
    let breaker = |policy: &Policy| policy.snapshot(Duration::from_secs(100))["cloud"]["breaker"].clone();
    assert_eq!((breaker(&first), breaker(&second)), (json!("open"), json!("closed")));
}

/// A state that is refused: what is wrong, and where that is said to be.
fn wrong() -> Vec<(&'static str, Value)> {
    let good = learned(1).export();
    let with = |path: &str, value: Value| {
        let mut state = good.clone();
        *state.pointer_mut(path).expect(path) = value;
        state
    };
    let without = |path: &str, key: &str| {
        let mut state = good.clone();
        state.pointer_mut(path).and_then(Value::as_object_mut).expect(path).shift_remove(key).expect(key);
        state
    };
    let (edge, cloud) = (good["edge"].clone(), good["cloud"].clone());
    vec![
        ("warmStart", Value::Null),
        ("warmStart", json!([])),
        ("warmStart", json!("{}")),
        ("warmStart", json!(1)),
        ("warmStart.version", json!({})),
        ("warmStart.version", with("/version", json!(2))),
        ("warmStart.version", with("/version", json!("1"))),
        ("warmStart.edge", without("", "edge")),
        ("warmStart.cloud", without("", "cloud")),
        ("warmStart.edge.failureShare", with("/edge", json!(null))),
        ("warmStart.edge.failureShare", with("/edge/failureShare", json!(1.5))),
        ("warmStart.edge.failureShare", with("/edge/failureShare", json!(-0.1))),
        ("warmStart.cloud.failureShare", with("/cloud/failureShare", json!("0"))),
        ("warmStart.cloud.roundTripMs", with("/cloud/roundTripMs", json!(-1))),
        ("warmStart.cloud.roundTripMs", with("/cloud/roundTripMs", json!(1e7))),
        ("warmStart.edge.roundTripMs", without("/edge", "roundTripMs")),
        ("warmStart.edge.model", without("/edge", "model")),
        ("warmStart.edge.model", with("/edge", cloud)),
        ("warmStart.cloud.model", with("/cloud", edge)),
        ("warmStart.cloud.model", with("/cloud/model/cells", json!([]))),
        ("warmStart.cloud.model", with("/cloud/model/cells/0/samples", json!(-1))),
        ("warmStart.cloud.model", with("/cloud/model/cells/63/offset", json!(1e300))),
        ("warmStart.cloud.model", with("/cloud/model/regression/theta", json!([1.0, 2.0]))),
        ("warmStart.cloud.model", with("/cloud/model/regression/theta/1", json!(1e300))),
        ("warmStart.cloud.model", with("/cloud/model/regression/p/2/2", json!(null))),
        ("warmStart.cloud.model", with("/cloud/model/variance", json!(-1))),
        ("warmStart.cloud.model", with("/cloud/model/forget", json!(1.5))),
        ("warmStart.cloud.model", with("/cloud/model/forget", json!(0))),
        ("warmStart.cloud.model", with("/cloud/model/samples", json!(-1))),
        ("warmStart.cloud.model", with("/cloud/model/samples", json!(u64::MAX))),
        ("warmStart.cloud.model", with("/cloud/model/changes", json!(u64::MAX))),
        ("warmStart.edge.model", with("/edge/model/scale", json!("Cubic"))),
    ]
}

#[test]
fn a_wrong_state_is_refused_by_its_path_and_changes_nothing() {
    let mut policy = learned(2);
    let (before, kept) = (answers(&policy), policy.export());
    for (path, state) in wrong() {
        let error = policy.import(&state).expect_err(path);
        assert_eq!(error.path(), Some(path), "{error}");
        assert_eq!((answers(&policy), policy.export()), (before.clone(), kept.clone()), "{path}");
    }
}

#[test]
fn a_state_that_no_policy_can_have_does_no_harm() {
    // Each number by itself could be; together they would make coefficients grow without end.
    let unsound: [[[f64; 3]; 3]; 3] =
        [[[-1.0, 0.0, 0.0], [0.0; 3], [0.0; 3]], [[1e6, -1e6, 1e6], [1e6, 1e6, -1e6], [-1e6; 3]], [[-1e6; 3], [-1e6; 3], [-1e6; 3]]];
    for p in unsound {
        for target in [Target::Edge, Target::Cloud] {
            let mut state = learned(1).export();
            state[target.name()]["model"]["regression"]["p"] = json!(p);
            let mut policy = fresh();
            if policy.import(&state).is_err() {
                continue;
            }
            let (mut random, now) = (Random::new(1), Duration::from_secs(1));
            for _ in 0..2_000 {
                let bytes = random.bytes();
                policy.admit(target, now);
                policy.record(
                    &Outcome { target, bytes, complexity: None, latency_ms: 20.0, queue_ms: 0.0, result: Verdict::Ok, batch: 1, ahead: 0 },
                    now,
                );
                let predicted = policy.decide(&Item { bytes, ..Item::default() }, &Load::default(), now).predicted;
                assert!(predicted.edge.cost.is_finite() && predicted.cloud.cost.is_finite(), "{p:?}: {predicted:?}");
            }
        }
    }
}

/// Any JSON value, the numbers rather odd.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0.0_f64..10.0).prop_map(Value::from),
        prop::sample::select(vec!["", "Linear", "Logarithmic", "1"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z]{0,4}", inner), 0..4).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Paths of all values in a value.
fn paths(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| paths(value, &format!("{at}/{key}"), all)),
        Value::Array(values) => values.iter().enumerate().for_each(|(index, value)| paths(value, &format!("{at}/{index}"), all)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_states_are_refused_or_harmless(changes in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 1..4)) {
        let mut state = learned(3).export();
        for (place, value) in changes {
            let mut all = Vec::new();
            paths(&state, "", &mut all);
            if let Some(found) = state.pointer_mut(place.get::<String>(&all).as_str()) {
                *found = value;
            }
        }
        let mut policy = learned(2);
        let before = (answers(&policy), policy.export());
        match policy.import(&state) {
            Err(error) => {
                let path = error.path().unwrap_or_default();
                prop_assert!(path == "warmStart" || path.starts_with("warmStart."), "{path}");
                prop_assert_eq!((answers(&policy), policy.export()), before);
            }
            Ok(()) => {
                // What passed for a state must work like one.
                for size in 0..40 {
                    let item = Item { bytes: 1 << size, complexity: Some(0.5), remaining_ms: Some(50.0) };
                    let decision = policy.decide(&item, &Load::default(), Duration::from_secs(200));
                    for side in [decision.predicted.edge, decision.predicted.cloud] {
                        prop_assert!(side.latency_ms.is_finite() && side.latency_ms >= 0.0 && side.cost.is_finite(), "{:?}", side);
                        prop_assert!(side.p95_ms.is_finite() && side.samples.is_finite(), "{:?}", side);
                    }
                    policy.begin(&decision, Duration::from_secs(200));
                    let target = if size % 2 == 0 { Target::Edge } else { Target::Cloud };
                    policy.admit(target, Duration::from_secs(200));
                    policy.record(
                        &Outcome { target, bytes: 1 << size, complexity: None, latency_ms: 20.0, queue_ms: 0.0, result: Verdict::Ok, batch: 1, ahead: 0 },
                        Duration::from_secs(200),
                    );
                }
                let own = policy.export();
                prop_assert!(learned(1).import(&own).is_ok(), "its own state after it");
            }
        }
    }
}
