//! A router between two sides: falls back, gives up what is late, keeps to its limits, learns from each attempt once, and says what it did.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use remotemedia_wasmedge::engine::Mode;
use remotemedia_wasmedge::error::{Code, Error};
use remotemedia_wasmedge::pipeline::{Node, Pipeline, RouterParts};
use remotemedia_wasmedge::routing::{BreakerOptions, BulkheadOptions, FallbackOptions, RoutingOptions};
use tokio::sync::Semaphore;

use crate::nodes::{Caller, each, echo, numbered, numbers, until};
use crate::sides::{Heard, ask, ask_within, away, count, figure, hangs, open, parts, router, side, signed, signs, strategy, sum};

const SECOND: Option<Duration> = Some(Duration::from_secs(1));

fn without_fallback() -> FallbackOptions {
    FallbackOptions { enabled: Some(false), ..FallbackOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_one_side_fails_is_served_by_the_other() {
    for (name, from, to) in [("cloud-first", "cloud", "edge"), ("edge-first", "edge", "cloud")] {
        let (good, bad) = (signs(to), away(from));
        let router = router(if from == "cloud" { parts(&good, &bad) } else { parts(&bad, &good) }, strategy(name));
        let heard = Arc::new(Heard::default());
        router.listen(Some(heard.clone()));
        let (text, route) = ask(&open(&router), "item:").await.expect("served");
        assert_eq!(text, format!("item:{to}"));
        assert_eq!((&route["target"], &route["fallback"], &route["attempts"]), (&to.into(), &true.into(), &2.into()));
        assert_eq!(route["reason"], format!("the strategy is {from}-first"));
        assert!(route["edgeMs"].is_f64() && route["cloudMs"].is_f64() && route.get("hedged").is_none(), "{route}");
        assert_eq!((count(&router, "items"), count(&router, "fallbacks"), count(&router, "errors")), (1, 1, 0));
        assert_eq!((count(&router, &format!("failures.{from}")), count(&router, &format!("failures.{to}"))), (1, 0));
        let told = heard.of("fallback");
        assert_eq!(told.len(), 1);
        assert_eq!((&told[0]["from"], &told[0]["to"], &told[0]["error"]["code"]), (&from.into(), &to.into(), &"ERR_UNAVAILABLE".into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generators_are_sides_as_well() {
    let answers = |name: &'static str| each(name, move |packet| ready(Ok(vec![signed(packet, name)])));
    let fails = |name| each(name, |_| ready(Err(crate::nodes::failure("it throws"))));
    for cloud_fails in [true, false] {
        let (edge, cloud) = if cloud_fails { (answers("edge").0, fails("cloud").0) } else { (fails("edge").0, answers("cloud").0) };
        let parts = RouterParts { edge, cloud, ..parts(&signs("-"), &signs("-")) };
        let router = router(parts, strategy(if cloud_fails { "cloud-first" } else { "edge-first" }));
        let items = open(&router);
        for item in 0..4 {
            let (text, route) = ask(&items, &format!("{item}:")).await.expect("served");
            assert_eq!(text, format!("{item}:{}", if cloud_fails { "edge" } else { "cloud" }));
            assert_eq!(route["fallback"], true);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_both_fail_the_last_failure_is_told_and_the_first_is_its_cause() {
    let router = router(parts(&away("edge"), &away("cloud")), strategy("cloud-first"));
    let error = ask(&open(&router), "item").await.expect_err("nobody is there");
    assert_eq!((error.code(), error.message()), (Code::Unavailable, "edge is away"));
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert_eq!(cause, "cloud is away");
    assert_eq!((count(&router, "errors"), sum(&router, "failures")), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_fallback_a_failure_is_the_answer() {
    let (edge, cloud) = (signs("edge"), away("cloud"));
    let router = router(parts(&edge, &cloud), RoutingOptions { fallback: without_fallback(), ..strategy("cloud-first") });
    let error = ask(&open(&router), "item").await.expect_err("it failed");
    assert_eq!((error.message(), edge.taken(), count(&router, "errors")), ("cloud is away", 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_is_late_is_given_up_for_the_other() {
    let (edge, cloud) = (signs("edge"), hangs("cloud"));
    let fallback = FallbackOptions { after_ms: Some(20.0), ..FallbackOptions::default() };
    let router = router(parts(&edge, &cloud), RoutingOptions { fallback, ..strategy("cloud-first") });
    let (text, route) = ask(&open(&router), "").await.expect("served");
    assert_eq!((text.as_str(), &route["fallback"]), ("edge", &true.into()));
    assert!(route["cloudMs"].as_f64() >= Some(20.0), "{route}");
    assert_eq!((cloud.taken(), cloud.alive()), (1, 0), "its work was dropped");
    assert_eq!(count(&router, "failures.cloud"), 1, "late is failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_leaves_time_for_the_other_side() {
    let (edge, cloud) = (signs("edge"), hangs("cloud"));
    let router = router(parts(&edge, &cloud), strategy("cloud-first"));
    let (text, _) = ask_within(&open(&router), "", Some(Duration::from_millis(200))).await.expect("in time");
    assert_eq!((text.as_str(), cloud.alive()), ("edge", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_nobody_keeps_is_an_error() {
    for fallback in [FallbackOptions::default(), without_fallback()] {
        let (edge, cloud) = (hangs("edge"), hangs("cloud"));
        let router = router(parts(&edge, &cloud), RoutingOptions { fallback, ..strategy("edge-first") });
        let error = ask_within(&open(&router), "", Some(Duration::from_millis(60))).await.expect_err("late");
        assert_eq!(error.code(), Code::Deadline, "{error}");
        assert_eq!((edge.alive(), cloud.alive(), count(&router, "errors")), (0, 0, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fallbacks_to_the_cloud_keep_to_their_budget() {
    let (edge, cloud) = (away("edge"), signs("cloud"));
    let options = RoutingOptions {
        fallback: FallbackOptions { budget_percent: Some(10.0), ..FallbackOptions::default() },
        circuit_breaker: BreakerOptions { failure_threshold: Some(1e6), ..BreakerOptions::default() },
        ..strategy("edge-first")
    };
    let router = router(parts(&edge, &cloud), options);
    let items = open(&router);
    let mut served = 0;
    for _ in 0..200 {
        served += u64::from(ask(&items, "").await.is_ok());
    }
    assert_eq!((served, cloud.taken(), edge.taken(), count(&router, "errors")), (20, 20, 200, 180));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_that_is_gone_costs_a_few_failures_and_comes_back_by_a_probe() {
    let there = Arc::new(AtomicBool::new(false));
    let is_there = Arc::clone(&there);
    let cloud = side("cloud", move |_, packet| {
        ready(if is_there.load(Ordering::SeqCst) { Ok(vec![signed(packet, "cloud")]) } else { Err(Error::new(Code::Unavailable, "gone")) })
    });
    let edge = signs("edge");
    let circuit_breaker = BreakerOptions { failure_threshold: Some(3.0), reset_timeout_ms: Some(2_000.0), ..BreakerOptions::default() };
    let router = router(parts(&edge, &cloud), RoutingOptions { circuit_breaker, ..strategy("cloud-first") });
    let heard = Arc::new(Heard::default());
    router.listen(Some(heard.clone()));
    let items = open(&router);
    for item in 0..100 {
        let (text, route) = ask(&items, "").await.expect("every item is served");
        assert_eq!(text, "edge");
        assert_eq!(route["fallback"], item < 3, "item {item}: {route}");
    }
    assert_eq!((cloud.taken(), edge.taken(), count(&router, "byReason.breaker-open")), (3, 100, 97));
    there.store(true, Ordering::SeqCst);
    until("its time is over", || figure(&router, "policy.cloud.breaker") == "half-open").await;
    for _ in 0..10 {
        let (text, route) = ask(&items, "").await.expect("served");
        assert_eq!((text.as_str(), &route["fallback"]), ("cloud", &false.into()));
    }
    assert_eq!((cloud.taken(), count(&router, "byReason.probe"), figure(&router, "policy.cloud.breaker")), (13, 2, "closed".into()));
    let changes: Vec<_> = heard.of("breaker").iter().map(|change| format!("{}: {} to {}", change["target"], change["from"], change["to"])).collect();
    assert_eq!(changes, [r#""cloud": "closed" to "open""#, r#""cloud": "half-open" to "closed""#]);
    assert_eq!(count(&router, "breakerChanges"), 2);
    assert_eq!(heard.of("decision").len(), 110);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_items_own_failure_opens_no_breaker() {
    let cloud = side("cloud", |_, _| ready(Err(Error::new(Code::Guest, "it is no picture"))));
    let router = router(parts(&signs("edge"), &cloud), RoutingOptions { fallback: without_fallback(), ..strategy("cloud-first") });
    let items = open(&router);
    for _ in 0..50 {
        assert_eq!(ask(&items, "").await.expect_err("it fails").code(), Code::Guest);
    }
    assert_eq!((cloud.taken(), figure(&router, "policy.cloud.breaker")), (50, "closed".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_has_so_many_items_and_so_many_wait_and_more_are_refused() {
    for falls_back in [false, true] {
        let gate = Arc::new(Semaphore::new(0));
        let door = Arc::clone(&gate);
        let edge = side("edge", move |_, packet| {
            let door = Arc::clone(&door);
            async move {
                door.acquire().await.expect("open").forget();
                Ok(vec![signed(packet, "edge")])
            }
        });
        let options = RoutingOptions {
            bulkhead: BulkheadOptions { edge: Some(1.0), cloud: None, max_queue: Some(1.0) },
            fallback: FallbackOptions { enabled: Some(falls_back), ..FallbackOptions::default() },
            ..strategy("edge-first")
        };
        let router = router(parts(&edge, &signs("cloud")), options);
        let items = open(&router);
        let both: Vec<_> = (0..2)
            .map(|_| {
                let items = Arc::clone(&items);
                tokio::spawn(async move { ask(&items, "").await })
            })
            .collect();
        until("one is at work, one waits", || count(&router, "inFlight.edge") == 2 && edge.taken() == 1).await;
        let third = ask(&items, "").await;
        if falls_back {
            assert_eq!(third.expect("served").0, "cloud");
        } else {
            let error = third.expect_err("refused");
            assert_eq!((error.code(), error.node(), error.code().retryable()), (Code::PoolExhausted, Some("edge"), true));
        }
        assert_eq!((count(&router, "shed"), figure(&router, "policy.edge.failureShare")), (1, 0.0.into()));
        gate.add_permits(2);
        for one in both {
            assert_eq!(one.await.expect("no panic").expect("served").0, "edge");
        }
        assert_eq!((edge.taken(), count(&router, "inFlight.edge")), (2, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_given_up_item_stops_its_side_and_is_held_against_nobody() {
    let (edge, cloud) = (signs("edge"), hangs("cloud"));
    let router = router(parts(&edge, &cloud), strategy("cloud-first"));
    let items = open(&router);
    for _ in 0..20 {
        let asked = tokio::spawn({
            let items = Arc::clone(&items);
            async move { ask(&items, "").await }
        });
        until("it has begun", || cloud.alive() == 1).await;
        asked.abort();
        until("it has stopped", || cloud.alive() == 0 && count(&router, "inFlight.cloud") == 0).await;
    }
    assert_eq!((edge.taken(), sum(&router, "failures"), count(&router, "errors")), (0, 0, 0));
    assert_eq!(figure(&router, "policy.cloud.breaker"), "closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attempt_is_counted_once() {
    let flaky = |name, every| {
        side(name, move |call, packet| {
            ready(if call % every == 0 { Err(Error::new(Code::Unavailable, "now and then")) } else { Ok(vec![signed(packet, name)]) })
        })
    };
    let (edge, cloud) = (flaky("edge", 7), flaky("cloud", 5));
    let router = router(parts(&edge, &cloud), RoutingOptions::default());
    let items = open(&router);
    let mut failed = 0;
    for round in 0..100 {
        let text = "x".repeat(1 << (round % 18));
        let answers = futures_util::future::join_all((0..8).map(|_| ask_within(&items, &text, SECOND))).await;
        failed += answers.iter().filter(|answer| answer.is_err()).count() as u64;
    }
    assert_eq!((count(&router, "items"), sum(&router, "byTarget"), sum(&router, "byReason")), (800, 800, 800));
    assert_eq!((count(&router, "errors"), count(&router, "policy.decided")), (failed, 800));
    assert!(count(&router, "failures.edge") > 0 && count(&router, "policy.cloud.samples") > 0, "both were asked: {:?}", router.metrics());
    for (name, side) in [("edge", &edge), ("cloud", &cloud)] {
        let (well, badly) = (count(&router, &format!("policy.{name}.samples")), count(&router, &format!("failures.{name}")));
        assert_eq!(well + badly, side.taken(), "{name}");
        assert_eq!(count(&router, &format!("inFlight.{name}")), 0);
    }
    // Each item is one attempt, and one more for each fallback that its breaker let through.
    let attempts = edge.taken() + cloud.taken();
    assert!((800..=800 + count(&router, "fallbacks")).contains(&attempts), "{attempts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_is_a_node_of_a_pipeline() {
    let (edge, cloud) = (echo(Mode::Interpreter), each("cloud", |packet| ready(Ok(vec![packet]))).0);
    let router = router(RouterParts { edge, cloud, ..parts(&signs("-"), &signs("-")) }, strategy("edge-first"));
    let pipeline = Arc::new(Pipeline::chain("chain", vec![echo(Mode::Interpreter), router.clone(), echo(Mode::Interpreter)]));
    let (out, end) = Caller::new(&pipeline, |_| {}).through((0..300).map(numbered)).await;
    end.expect("no failure");
    assert_eq!(numbers(&out), (0..300).collect::<Vec<_>>());
    assert!(out.iter().all(|packet| packet.route.as_ref().is_some_and(|route| route["target"] == "edge")), "its way is told after other nodes");
    assert_eq!(count(&router, "byTarget.edge"), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_who_no_longer_listens() {
    let router = router(parts(&signs("edge"), &signs("cloud")), strategy("edge-first"));
    let heard = Arc::new(Heard::default());
    let items = open(&router);
    router.listen(Some(heard.clone()));
    ask(&items, "abc").await.expect("served");
    router.listen(None);
    ask(&items, "abc").await.expect("served");
    let told = heard.of("decision");
    assert_eq!(told.len(), 1);
    let (target, rule, bytes) = (&told[0]["target"], &told[0]["rule"], &told[0]["bytes"]);
    assert_eq!((target, rule, bytes), (&"edge".into(), &"strategy".into(), &3.into()));
    assert!(told[0]["predicted"]["cloud"]["latencyMs"].is_f64() && told[0]["sessionId"].is_string(), "{}", told[0]);
}
