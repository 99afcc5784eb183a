//! Second requests beside late ones, and items that travel together.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use remotemedia_wasmedge::data::Packet;
use remotemedia_wasmedge::error::{Code, Error};
use remotemedia_wasmedge::routing::{BatchOptions, BreakerOptions, FallbackOptions, HedgeOptions, RoutingOptions};
use tokio::sync::Notify;

use crate::nodes::until;
use crate::sides::{ask, count, figure, open, parts, router, side, signed, signs, strategy, sum};

/// Only the cloud, whose late requests get a second one.
fn hedged(delay_ms: f64, max_percent: f64) -> RoutingOptions {
    RoutingOptions {
        hedge: Some(HedgeOptions { delay_ms: Some(delay_ms), max_percent: Some(max_percent), min_delay_ms: Some(0.0), percentile: None }),
        fallback: FallbackOptions { enabled: Some(false), ..FallbackOptions::default() },
        ..strategy("cloud-first")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_request_answers_and_the_first_is_dropped() {
    let cloud = side("cloud", |call, packet| async move {
        if call == 0 {
            std::future::pending::<()>().await;
        }
        Ok(vec![signed(packet, "cloud")])
    });
    let router = router(parts(&signs("edge"), &cloud), hedged(5.0, 100.0));
    let (text, route) = ask(&open(&router), "").await.expect("served");
    assert_eq!((text.as_str(), &route["hedged"], &route["attempts"], &route["fallback"]), ("cloud", &true.into(), &2.into(), &false.into()));
    assert_eq!((count(&router, "hedges"), count(&router, "hedgesWon")), (1, 1));
    until("the loser has stopped", || cloud.alive() == 0).await;
    assert_eq!((cloud.taken(), sum(&router, "failures"), count(&router, "policy.cloud.samples")), (2, 0, 1), "a loser is no failure");
    assert_eq!(count(&router, "inFlight.cloud"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_request_may_still_win() {
    let begun = Arc::new(Notify::new());
    let cloud = side("cloud", {
        let begun = Arc::clone(&begun);
        move |call, packet| {
            let begun = Arc::clone(&begun);
            async move {
                if call > 0 {
                    begun.notify_one();
                    std::future::pending::<()>().await;
                }
                begun.notified().await;
                Ok(vec![signed(packet, "first")])
            }
        }
    });
    let router = router(parts(&signs("edge"), &cloud), hedged(5.0, 100.0));
    let (text, route) = ask(&open(&router), "").await.expect("served");
    assert_eq!((text.as_str(), &route["hedged"]), ("first", &true.into()));
    assert_eq!((count(&router, "hedges"), count(&router, "hedgesWon"), cloud.taken()), (1, 0, 2));
    until("the loser has stopped", || cloud.alive() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failure_of_two_requests_is_none_and_two_are_one() {
    for both in [false, true] {
        let second = Arc::new(Notify::new());
        let cloud = side("cloud", {
            let second = Arc::clone(&second);
            move |call, packet| {
                let second = Arc::clone(&second);
                async move {
                    if call == 0 {
                        // Fails while the second one is under way.
                        second.notified().await;
                        return Err(Error::new(Code::Unavailable, "the first"));
                    }
                    second.notify_one();
                    tokio::task::yield_now().await;
                    if both { Err(Error::new(Code::Unavailable, "the second")) } else { Ok(vec![signed(packet, "second")]) }
                }
            }
        });
        let router = router(parts(&signs("edge"), &cloud), hedged(5.0, 100.0));
        let answer = ask(&open(&router), "").await;
        assert_eq!(answer.is_err(), both);
        assert_eq!((cloud.taken(), count(&router, "errors")), (2, u64::from(both)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_requests_keep_to_their_budget_though_all_are_late() {
    let cloud = side("cloud", |_, packet| async move {
        // A cloud that takes a while; nothing waits for this to be over but its caller.
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok(vec![signed(packet, "cloud")])
    });
    let router = router(parts(&signs("edge"), &cloud), hedged(0.1, 2.0));
    let items = open(&router);
    for _ in 0..10 {
        join_all((0..50).map(|_| ask(&items, ""))).await.into_iter().for_each(|answer| assert!(answer.is_ok()));
    }
    assert_eq!((count(&router, "items"), count(&router, "hedges"), cloud.taken()), (500, 10, 510));
}

/// Items to the cloud, together.
fn batched(max_items: u32, max_delay_ms: f64, fallback: bool) -> RoutingOptions {
    RoutingOptions {
        batch: Some(BatchOptions { max_items: Some(f64::from(max_items)), max_delay_ms: Some(max_delay_ms) }),
        fallback: FallbackOptions { enabled: Some(fallback), ..FallbackOptions::default() },
        ..strategy("cloud-first")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_that_travel_together_get_their_own_answers_in_their_order() {
    let cloud = signs("cloud");
    // The delay is a minute: only full batches go.
    let router = router(parts(&signs("edge"), &cloud), batched(4, 60_000.0, true));
    let items = open(&router);
    let texts: Vec<_> = (0..32).map(|item| format!("{item}:")).collect();
    let answers = join_all(texts.iter().map(|text| ask(&items, text))).await;
    for (text, answer) in texts.iter().zip(answers) {
        let (answer, route) = answer.expect("served");
        assert_eq!((answer, &route["target"], &route["attempts"]), (format!("{text}cloud"), &"cloud".into(), &1.into()));
    }
    assert_eq!(*cloud.batches.lock(), [4; 8]);
    assert_eq!((count(&router, "batches"), count(&router, "batchedItems")), (8, 32));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_does_not_fill_goes_when_its_first_item_has_waited_enough() {
    let cloud = signs("cloud");
    let router = router(parts(&signs("edge"), &cloud), batched(100, 15.0, true));
    let items = open(&router);
    let answers = join_all((0..3).map(|_| ask(&items, ""))).await;
    for answer in answers {
        assert!(answer.expect("served").1["cloudMs"].as_f64() >= Some(14.0));
    }
    assert_eq!(*cloud.batches.lock(), [3]);
    // A single one goes alone.
    ask(&items, "").await.expect("served");
    assert_eq!((cloud.batches.lock().clone(), count(&router, "batches"), count(&router, "batchedItems")), (vec![3, 1], 1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_item_fails_alone() {
    for fallback in [false, true] {
        let cloud = side("cloud", |_, packet| {
            ready(if packet.bytes[..] == *b"2:" { Err(Error::new(Code::Guest, "it is bad")) } else { Ok(vec![signed(packet, "cloud")]) })
        });
        let router = router(parts(&signs("edge"), &cloud), batched(5, 60_000.0, fallback));
        let items = open(&router);
        let texts: Vec<_> = (0..5).map(|item| format!("{item}:")).collect();
        let answers = join_all(texts.iter().map(|text| ask(&items, text))).await;
        for (item, answer) in answers.into_iter().enumerate() {
            match (item, fallback) {
                (2, false) => assert_eq!(answer.expect_err("it is bad").message(), "it is bad"),
                (2, true) => assert_eq!(answer.expect("served").0, "2:edge"),
                _ => assert_eq!(answer.expect("served").0, format!("{item}:cloud")),
            }
        }
        assert_eq!((cloud.batches.lock().clone(), count(&router, "failures.cloud")), (vec![5], 1));
        assert_eq!(figure(&router, "policy.cloud.breaker"), "closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_items_that_are_alike_travel_together() {
    let cloud = signs("cloud");
    let router = router(parts(&signs("edge"), &cloud), batched(2, 60_000.0, true));
    let items = open(&router);
    let audio = |rate| Packet::audio(&[0.5; 8], rate, 1);
    let packets = [audio(16_000.0), Packet::binary(vec![1]), audio(48_000.0), audio(16_000.0), Packet::binary(vec![2]), audio(48_000.0)];
    for answer in join_all(packets.map(|packet| items.submit(packet, None))).await {
        answer.expect("served");
    }
    assert_eq!(*cloud.batches.lock(), [2, 2, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_fails_as_a_whole_is_served_by_the_edge_item_by_item() {
    let (edge, cloud) = (signs("edge"), crate::sides::away("cloud"));
    let circuit_breaker = BreakerOptions { failure_threshold: Some(4.0), ..BreakerOptions::default() };
    let router = router(parts(&edge, &cloud), RoutingOptions { circuit_breaker, ..batched(4, 60_000.0, true) });
    let items = open(&router);
    for answer in join_all((0..4).map(|_| ask(&items, ""))).await {
        assert_eq!(answer.expect("served").0, "edge");
    }
    assert_eq!((figure(&router, "policy.cloud.breaker"), count(&router, "fallbacks")), ("open".into(), 4));
    // And with the breaker open none waits in a line that does not fill.
    assert_eq!(ask(&items, "").await.expect("served").0, "edge");
}
