//! Batches: nothing is lost, nothing comes twice, order within a key holds, none is too large, none waits beyond its time.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use remotemedia_wasmedge::routing::Batcher;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An item: its key, its number, when it came.
type Item = (u64, usize, Duration);

/// What came out so far, and what must hold for all of it.
struct Seen {
    next: HashMap<u64, Vec<usize>>,
    count: usize,
    max_items: usize,
}

impl Seen {
    fn batch(&mut self, batch: &[Item]) -> Result<(), TestCaseError> {
        prop_assert!(!batch.is_empty() && batch.len() <= self.max_items, "{} items", batch.len());
        for item in batch {
            prop_assert_eq!(item.0, batch[0].0, "one key in a batch");
            self.next.entry(item.0).or_default().push(item.1);
        }
        self.count += batch.len();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_item_comes_out_once_in_order_and_in_time(
        max_items in 0_usize..9, delay in 0_u64..50, arrivals in prop::collection::vec((0_u64..5, 0_u64..20, any::<bool>()), 0..300)
    ) {
        let delay = ms(delay);
        let mut batcher: Batcher<Item> = Batcher::new(max_items, delay);
        let mut seen = Seen { next: HashMap::new(), count: 0, max_items: max_items.max(1) };
        let mut waiting: Vec<Item> = Vec::new();
        let (mut now, mut pushed) = (Duration::ZERO, HashMap::<u64, Vec<usize>>::new());
        for (number, (key, pause, look)) in arrivals.iter().copied().enumerate() {
            now += ms(pause);
            if look {
                let mut last = Duration::ZERO;
                for batch in batcher.take_due(now) {
                    prop_assert!(batch[0].2 >= last && batch[0].2 + delay <= now, "the longest first, and none too early");
                    last = batch[0].2;
                    waiting.retain(|item| !batch.contains(item));
                    seen.batch(&batch)?;
                }
                prop_assert!(waiting.iter().all(|item| item.2 + delay > now), "one waits beyond its time");
            }
            pushed.entry(key).or_default().push(number);
            waiting.push((key, number, now));
            if let Some(batch) = batcher.push(key, (key, number, now), now) {
                prop_assert_eq!(batch.len(), max_items.max(1), "only a full one goes at once");
                waiting.retain(|item| !batch.contains(item));
                seen.batch(&batch)?;
            }
            prop_assert_eq!(batcher.len(), waiting.len());
            prop_assert_eq!(batcher.is_empty(), waiting.is_empty());
            prop_assert_eq!(batcher.next_due(), waiting.iter().map(|item| item.2 + delay).min());
        }
        for batch in batcher.take_due(Duration::MAX) {
            seen.batch(&batch)?;
        }
        prop_assert_eq!(batcher.next_due(), None);
        prop_assert_eq!(seen.count, arrivals.len());
        prop_assert_eq!(seen.next, pushed, "each key's items, in their order");
    }
}

#[test]
fn a_batch_of_one_never_waits() {
    let mut batcher = Batcher::new(0, ms(5));
    for item in 0..10 {
        assert_eq!(batcher.push(1, item, ms(item)), Some(vec![item]));
        assert!(batcher.next_due().is_none());
    }
}

#[test]
fn the_first_item_says_when_a_batch_is_due() {
    let mut batcher = Batcher::new(10, ms(5));
    for now in 0..5 {
        assert!(batcher.push(7, now, ms(now)).is_none());
        assert_eq!(batcher.next_due(), Some(ms(5)));
    }
    assert!(batcher.take_due(ms(4)).is_empty());
    assert_eq!(batcher.take_due(ms(5)), [vec![0, 1, 2, 3, 4]]);
}
