//! The budget of second requests: a share of the first ones, whatever happens.

use proptest::prelude::*;
use remotemedia_wasmedge::routing::Budget;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_share_is_never_exceeded_over_any_stretch(
        percent in 0.0_f64..=100.0, most in 0.0_f64..20.0, calls in prop::collection::vec((0_usize..30, 0_usize..30), 0..60)
    ) {
        let mut budget = Budget::new(percent, most);
        // Taken from the beginning on, and over a stretch that begins anywhere: what was saved at its beginning comes on top.
        let mut history = vec![(0_usize, 0_usize, 0.0_f64)];
        let (mut earned, mut taken) = (0, 0);
        for (asked, wanted) in calls {
            (0..asked).for_each(|_| budget.earn());
            earned += asked;
            taken += (0..wanted).filter(|_| budget.take()).count();
            prop_assert!(budget.saved() <= most + 1e-6 && budget.saved() > -1e-6, "{} saved", budget.saved());
            for (earned_before, taken_before, saved) in &history {
                let may = (earned - earned_before) as f64 * percent / 100.0 + saved;
                prop_assert!((taken - taken_before) as f64 <= may + 1e-6, "{} of {may}", taken - taken_before);
            }
            history.push((earned, taken, budget.saved()));
        }
    }
}

#[test]
fn two_percent_of_ten_thousand_are_two_hundred() {
    let mut budget = Budget::new(2.0, 10.0);
    let taken = (0..10_000)
        .filter(|_| {
            budget.earn();
            budget.take()
        })
        .count();
    assert_eq!(taken, 200);
}

#[test]
fn a_latency_blip_makes_no_storm() {
    // brpc#3228: as long as all is quick nobody wants a second request; then all want one at once.
    let mut budget = Budget::new(2.0, 10.0);
    (0..1_000_000).for_each(|_| budget.earn());
    assert_eq!((0..1_000).filter(|_| budget.take()).count(), 10, "what may be saved, not 20,000");
    let during_it = (0..1_000)
        .filter(|_| {
            budget.earn();
            budget.take()
        })
        .count();
    assert_eq!(during_it, 20);
}

#[test]
fn nothing_is_nothing_and_all_is_all() {
    let mut none = Budget::new(0.0, 10.0);
    let mut all = Budget::new(100.0, 10.0);
    for _ in 0..1_000 {
        none.earn();
        all.earn();
        assert!(!none.take());
        assert!(all.take());
        assert!(!all.take());
    }
}
