//! The model of a side's times: learns straight lines and power laws, finds a step at once and for all sizes, takes no noise for a step, and
//! survives whatever is said to it.

use proptest::prelude::*;
use remotemedia_wasmedge::routing::{Model, Scale};

use super::random::Random;

/// Errors of a model that has seen `count` items of a world, as shares of the right times, for all sizes.
fn worst(model: &Model, right: impl Fn(u64) -> f64) -> (f64, u64) {
    (0..15)
        .map(|index| 300_u64 << index)
        .map(|bytes| ((model.expect(bytes, None).mean_ms / right(bytes) - 1.0).abs(), bytes))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .expect("sizes")
}

fn learn(model: &mut Model, random: &mut Random, count: usize, noise: f64, right: impl Fn(u64) -> f64) {
    for _ in 0..count {
        let bytes = random.bytes();
        model.observe(bytes, None, right(bytes) * (noise * random.normal()).exp());
    }
}

#[test]
fn learns_straight_lines() {
    let right = |bytes: u64| 12.0 + bytes as f64 / 40_000.0;
    for seed in 0..50 {
        let (mut model, mut random) = (Model::new(Scale::Linear, 200.0), Random::new(seed));
        learn(&mut model, &mut random, 300, 0.05, right);
        let (error, bytes) = worst(&model, right);
        assert!(error < 0.15, "seed {seed}: {:.1}% off at {bytes} bytes", error * 100.0);
    }
}

#[test]
fn learns_power_laws() {
    for exponent in [0.3, 0.7, 1.0] {
        let right = |bytes: u64| 0.02 * (bytes as f64 + 256.0).powf(exponent);
        for seed in 0..50 {
            let (mut model, mut random) = (Model::new(Scale::Logarithmic, 200.0), Random::new(seed));
            learn(&mut model, &mut random, 300, 0.05, right);
            let (error, bytes) = worst(&model, right);
            assert!(error < 0.2, "exponent {exponent}, seed {seed}: {:.1}% off at {bytes} bytes", error * 100.0);
        }
    }
}

#[test]
fn learns_what_complexity_does() {
    let (mut model, mut random) = (Model::new(Scale::Logarithmic, 200.0), Random::new(1));
    let right = |complexity: f64| 5.0 * (2.0 * complexity).exp();
    for _ in 0..400 {
        let complexity = random.unit();
        model.observe(64 << 10, Some(complexity), right(complexity) * (0.05 * random.normal()).exp());
    }
    for complexity in [0.1, 0.5, 0.9] {
        let error = model.expect(64 << 10, Some(complexity)).mean_ms / right(complexity) - 1.0;
        assert!(error.abs() < 0.15, "complexity {complexity}: {:.1}% off", error * 100.0);
    }
}

/// A side that becomes slower (or quicker) after 300 items: observations of one small size until one of another size is expected right.
fn after_step(scale: Scale, before: impl Fn(u64) -> f64, after: impl Fn(u64) -> f64, seed: u64) -> (u32, u64) {
    let (mut model, mut random) = (Model::new(scale, 200.0), Random::new(seed));
    learn(&mut model, &mut random, 300, 0.05, before);
    let changes = model.changes();
    let (shown, other) = (4 << 10, 256 << 10);
    let mut needed = 0;
    while (model.expect(other, None).mean_ms / after(other) - 1.0).abs() > 0.2 && needed < 100 {
        model.observe(shown, None, after(shown) * (0.05 * random.normal()).exp());
        needed += 1;
    }
    (needed, model.changes() - changes)
}

#[test]
fn a_step_is_found_within_a_few_observations_and_moves_sizes_that_were_not_seen() {
    for seed in 0..50 {
        let (needed, changes) = after_step(Scale::Linear, |bytes| 10.0 + bytes as f64 / 1e5, |bytes| 200.0 + bytes as f64 / 1e5, seed);
        assert!(needed <= 6 && changes >= 1, "a slower network, seed {seed}: {needed} observations, {changes} changes");
        let law = |factor: f64| move |bytes: u64| factor * 0.05 * (bytes as f64 + 256.0).powf(0.5);
        let (needed, changes) = after_step(Scale::Logarithmic, law(1.0), law(5.0), seed);
        assert!(needed <= 8 && changes >= 1, "a busier processor, seed {seed}: {needed} observations, {changes} changes");
        let (needed, changes) = after_step(Scale::Logarithmic, law(5.0), law(1.0), seed);
        assert!(needed <= 8 && changes >= 1, "a freed processor, seed {seed}: {needed} observations, {changes} changes");
    }
}

#[test]
fn noise_is_no_step() {
    let (mut changes, mut observations) = ([0, 0], 0);
    for seed in 0..100 {
        for (index, scale) in [Scale::Linear, Scale::Logarithmic].into_iter().enumerate() {
            let (mut model, mut random) = (Model::new(scale, 200.0), Random::new(seed));
            learn(&mut model, &mut random, 2_000, 0.2, |bytes| 20.0 + bytes as f64 / 1e6);
            changes[index] += model.changes();
        }
        observations += 2_000;
    }
    // Each one taken for a step costs accuracy for a few items: one in some hundred observations does no harm.
    for (index, scale) in ["times", "their logarithm"].iter().enumerate() {
        assert!(changes[index] * 400 < observations, "{scale}: {} changes in {observations} observations of none", changes[index]);
    }
}

#[test]
fn knows_nothing_before_it_was_told_anything() {
    let mut model = Model::new(Scale::Linear, 200.0);
    let expected = model.expect(1_000, Some(0.5));
    assert_eq!((expected.mean_ms, expected.p95_ms, expected.samples, model.samples()), (0.0, 0.0, 0.0, 0));
    // Nothing is there that could be shifted.
    model.shift(-50.0);
    model.observe(1_000, None, 20.0);
    assert!((model.expect(1_000, None).mean_ms - 20.0).abs() < 1e-9);
    assert!((model.expect(1 << 20, None).mean_ms - 20.0).abs() < 1e-9, "the only guess there is for other sizes");
    assert_eq!((model.samples(), model.expect(1 << 20, None).samples), (1, 0.0), "and it is known to be one");
}

#[test]
fn a_shift_moves_all_sizes() {
    let (mut model, mut random) = (Model::new(Scale::Linear, 200.0), Random::new(3));
    learn(&mut model, &mut random, 100, 0.02, |bytes| 100.0 + bytes as f64 / 1e5);
    let before: Vec<_> = (0..15).map(|index| model.expect(300 << index, None).mean_ms).collect();
    model.shift(-30.0);
    for (index, before) in before.into_iter().enumerate() {
        let moved = before - model.expect(300 << index, None).mean_ms;
        assert!((moved - 30.0).abs() < 1e-6, "{moved}");
    }
}

/// Times as broken clocks, broken callers and enemies give them.
fn hostile_time() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0_f64..1e4,
        1 => any::<f64>(),
        1 => prop::sample::select(vec![0.0, -0.0, -1.0, -1e300, f64::MAX, f64::MIN, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-300, 1e18]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_it_is_told_it_expects_a_number(
        linear in any::<bool>(), half_life in 4.0_f64..1e6,
        told in prop::collection::vec((any::<u64>(), prop::option::of(0.0_f64..=1.0), hostile_time()), 1..200)
    ) {
        let mut model = Model::new(if linear { Scale::Linear } else { Scale::Logarithmic }, half_life);
        for (bytes, complexity, time) in told {
            model.observe(bytes, complexity, time);
            for (bytes, complexity) in [(0, None), (bytes, complexity), (u64::MAX, Some(1.0)), (1 << 20, Some(0.0))] {
                let expected = model.expect(bytes, complexity);
                prop_assert!(expected.mean_ms.is_finite() && expected.mean_ms >= 0.0, "mean {} after {time}", expected.mean_ms);
                prop_assert!(expected.p95_ms.is_finite() && expected.p95_ms >= 0.0, "p95 {} after {time}", expected.p95_ms);
                prop_assert!(expected.samples.is_finite());
            }
            prop_assert!(model.is_sound(), "after {time}");
        }
    }
}

#[test]
fn one_hostile_time_spoils_nothing() {
    for hostile in [0.0, -1e300, f64::MAX, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let right = |bytes: u64| 20.0 + bytes as f64 / 1e6;
            let (mut model, mut random) = (Model::new(scale, 200.0), Random::new(5));
            learn(&mut model, &mut random, 100, 0.05, right);
            model.observe(1 << 10, None, hostile);
            let (error, bytes) = worst(&model, right);
            assert!(error < 0.3, "{scale:?} after {hostile}: {:.0}% off at {bytes} bytes", error * 100.0);
        }
    }
}

#[test]
fn a_stall_is_forgotten() {
    // All that was under way waited for half a minute; then everything is as before.
    for (scale, within) in [(Scale::Linear, 20.0), (Scale::Logarithmic, 0.2)] {
        for seed in 0..50 {
            let right = |bytes: u64| 20.0 + bytes as f64 / 1e6;
            let (mut model, mut random) = (Model::new(scale, 200.0), Random::new(seed));
            learn(&mut model, &mut random, 100, 0.05, right);
            learn(&mut model, &mut random, 8, 0.05, |_| 30_000.0);
            let (stalled, _) = worst(&model, right);
            assert!(stalled > 1_000.0, "{scale:?}, seed {seed}: the stall was not even seen");
            learn(&mut model, &mut random, 200, 0.05, right);
            let (error, bytes) = worst(&model, right);
            // In milliseconds it is learned that sizes differ before it is forgotten what they were.
            assert!(error < within, "{scale:?}, seed {seed}: {:.0}% off at {bytes} bytes", error * 100.0);
        }
    }
}
