//! Percentiles in constant memory: close to the exact ones, forgetful, and silent before there is enough to tell.

use remotemedia_wasmedge::routing::Quantile;

use super::random::Random;

/// The exact one of the same times, and both a little further on: a percentile of few samples is one of its neighbours.
fn exact(sorted: &[f64], percent: f64) -> f64 {
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn close_to_exact(name: &str, mut time: impl FnMut(&mut Random) -> f64) {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut quantile = Quantile::default();
        // One below the number at which it begins to forget.
        let mut times: Vec<f64> = (0..1_999).map(|_| time(&mut random)).collect();
        for time in &times {
            quantile.add(*time);
        }
        times.sort_by(f64::total_cmp);
        for percent in [50.0, 75.0, 90.0, 95.0, 99.0] {
            let (found, right) = (quantile.at(percent).expect("enough"), exact(&times, percent));
            assert!((found / right - 1.0).abs() <= 0.05, "{name}, seed {seed}: {percent}% is {found}, rightly {right}");
        }
    }
}

#[test]
fn within_a_twentieth_of_the_exact_ones() {
    close_to_exact("even", |random| 1.0 + 99.0 * random.unit());
    close_to_exact("exponential", |random| 0.01 - 20.0 * (1.0 - random.unit()).ln());
    close_to_exact("log-normal", |random| (3.0 + random.normal()).exp());
    close_to_exact("two humps", |random| if random.unit() < 0.8 { 2.0 + random.unit() } else { 200.0 + random.unit() });
    close_to_exact("Pareto", |random| 5.0 / (1.0 - random.unit()).powf(0.7));
    close_to_exact("always the same", |_| 12.5);
    close_to_exact("microseconds", |random| 0.05 + 0.05 * random.unit());
    close_to_exact("hours", |random| 1e6 * (1.0 + random.unit()));
}

#[test]
fn it_forgets() {
    let mut quantile = Quantile::default();
    (0..100_000).for_each(|_| quantile.add(10.0));
    let long_ago = quantile.at(50.0).expect("enough");
    assert!((long_ago / 10.0 - 1.0).abs() <= 0.05, "{long_ago}");
    // Far fewer than the hundred thousand before.
    (0..2_500).for_each(|_| quantile.add(1_000.0));
    let now = quantile.at(50.0).expect("enough");
    assert!((now / 1_000.0 - 1.0).abs() <= 0.05, "{now}");
    assert!(quantile.len() < 2_000 && !quantile.is_empty());
}

#[test]
fn nothing_before_there_is_enough() {
    let mut quantile = Quantile::default();
    assert!(quantile.is_empty());
    // How many times have to be known: the rarer what is asked for, the more.
    for (percent, enough) in [(50.0, 20), (95.0, 60), (99.0, 300), (99.9, 1_000)] {
        let mut quantile = Quantile::default();
        for count in 1..=enough {
            assert!(quantile.at(percent).is_none(), "{percent}% after {} times", count - 1);
            quantile.add(f64::from(count));
        }
        assert!(quantile.at(percent).is_some(), "{percent}% after {enough} times");
    }
    assert!(quantile.at(50.0).is_none());
    quantile.add(1.0);
    assert_eq!(quantile.len(), 1);
}

#[test]
fn times_that_cannot_be_are_times_at_the_edge_of_what_can() {
    let mut quantile = Quantile::default();
    for time in [f64::NAN, -1.0, 0.0, f64::NEG_INFINITY, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE].repeat(20) {
        quantile.add(time);
    }
    for percent in [50.0, 75.0, 95.0] {
        let found = quantile.at(percent).expect("enough");
        assert!(found.is_finite() && found > 0.0, "{found}");
    }
}
