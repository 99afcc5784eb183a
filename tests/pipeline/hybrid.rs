//! Items that both sides have a part in: prepared here and finished there, or asked there only where the answer here is unsure.

use std::future::ready;
use std::sync::Arc;

use futures_util::FutureExt;
use remotemedia_wasmedge::data::{Format, Kind, Packet, SessionId, Value};
use remotemedia_wasmedge::error::{Code, Result};
use remotemedia_wasmedge::pipeline::{Confidence, Escalate, Judge, RouterParts};
use remotemedia_wasmedge::remote::BoxFuture;
use remotemedia_wasmedge::routing::{BreakerOptions, FallbackOptions, RoutingOptions};
use serde_json::json;

use crate::sides::{Heard, ask, away, count, figure, open, parts, router, side, signs, strategy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_prepares_and_the_cloud_finishes() {
    let router = router(parts(&signs("edge"), &signs("+cloud")), strategy("hybrid"));
    let (text, route) = ask(&open(&router), "").await.expect("served");
    assert_eq!((text.as_str(), &route["target"], &route["fallback"]), ("edge+cloud", &"hybrid".into(), &false.into()));
    assert!(route["edgeMs"].is_f64() && route["cloudMs"].is_f64(), "{route}");
    assert_eq!((count(&router, "byTarget.hybrid"), count(&router, "byReason.split")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_before_and_after_the_cloud_take_the_edges_place() {
    let edge = signs("edge");
    let with = |cloud| RouterParts { preprocess: Some(signs("before+")), postprocess: Some(signs("+after")), ..parts(&edge, &cloud) };
    let split = router(with(signs("cloud")), strategy("hybrid"));
    assert_eq!(ask(&open(&split), "").await.expect("served").0, "before+cloud+after");
    assert_eq!(edge.taken(), 0);
    // Without the cloud there is nothing to finish: the edge gets the item as it came.
    let alone = router(with(away("cloud")), strategy("hybrid"));
    let (text, route) = ask(&open(&alone), "item:").await.expect("served");
    assert_eq!((text.as_str(), &route["target"], &route["fallback"]), ("item:edge", &"edge".into(), &true.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_cloud_the_edges_answer_stands_in() {
    let circuit_breaker = BreakerOptions { failure_threshold: Some(3.0), ..BreakerOptions::default() };
    let (edge, cloud) = (signs("edge"), away("cloud"));
    let router = router(parts(&edge, &cloud), RoutingOptions { circuit_breaker, ..strategy("hybrid") });
    let heard = Arc::new(Heard::default());
    router.listen(Some(heard.clone()));
    let items = open(&router);
    for item in 0..20 {
        let (text, route) = ask(&items, "").await.expect("served");
        assert_eq!((text.as_str(), &route["target"]), ("edge", &"edge".into()));
        assert_eq!(route["fallback"], item < 3, "item {item}");
    }
    assert_eq!((cloud.taken(), edge.taken(), count(&router, "fallbacks"), heard.of("fallback").len()), (3, 20, 3, 3));
    assert_eq!((count(&router, "byReason.breaker-open"), figure(&router, "policy.cloud.breaker")), (17, "open".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_edge_fails_the_cloud_gets_the_item_as_it_came() {
    let router = router(parts(&away("edge"), &signs("cloud")), strategy("hybrid"));
    let (text, route) = ask(&open(&router), "item:").await.expect("served");
    assert_eq!((text.as_str(), &route["target"], &route["fallback"]), ("item:cloud", &"cloud".into(), &true.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_fallback_a_split_item_fails_with_the_cloud() {
    let fallback = FallbackOptions { enabled: Some(false), ..FallbackOptions::default() };
    let router = router(parts(&signs("edge"), &away("cloud")), RoutingOptions { fallback, ..strategy("hybrid") });
    assert_eq!(ask(&open(&router), "").await.expect_err("no cloud").code(), Code::Unavailable);
    assert_eq!(count(&router, "errors"), 1);
}

/// An edge that is as sure as the item says.
fn sure() -> Arc<crate::sides::Side> {
    side("edge", |_, packet| ready(Ok(vec![Packet { format: Format::Plain(Kind::Json), ..packet }])))
}

fn speech() -> Escalate {
    Escalate::Confidence(Confidence { path: "speech.probability".to_owned(), low: 0.2, high: 0.8 })
}

fn answer(probability: f64) -> String {
    json!({ "speech": { "probability": probability } }).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_unsure_answers_are_asked_about_in_the_cloud() {
    let (edge, cloud) = (sure(), signs("cloud"));
    let router = router(RouterParts { escalate: Some(speech()), ..parts(&edge, &cloud) }, strategy("hybrid"));
    let items = open(&router);
    for (probability, escalates) in [(0.05, false), (0.2, false), (0.21, true), (0.5, true), (0.79, true), (0.8, false), (0.99, false)] {
        let (text, route) = ask(&items, &answer(probability)).await.expect("served");
        assert_eq!(text.ends_with("cloud"), escalates, "{probability}");
        assert_eq!((&route["target"], &route["fallback"]), (&(if escalates { "cloud" } else { "edge" }).into(), &false.into()));
    }
    // One that does not say how sure it is is not.
    assert!(ask(&items, "{}").await.expect("served").0.ends_with("cloud"));
    assert!(ask(&items, r#"{"speech":{"probability":"yes"}}"#).await.expect("served").0.ends_with("cloud"));
    assert_eq!((count(&router, "escalations"), edge.taken(), cloud.taken()), (5, 9, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsure_answer_stands_when_the_cloud_is_gone() {
    let router = router(RouterParts { escalate: Some(speech()), ..parts(&sure(), &away("cloud")) }, strategy("hybrid"));
    let items = open(&router);
    let (text, route) = ask(&items, &answer(0.5)).await.expect("served");
    assert_eq!((text, &route["target"], &route["fallback"]), (answer(0.5), &"edge".into(), &true.into()));
    assert_eq!((count(&router, "escalations"), count(&router, "fallbacks"), count(&router, "errors")), (1, 1, 0));
}

/// Says of every answer what it was made to say.
struct Says(Value);

impl Judge for Says {
    fn judge(&self, _packet: Packet, _session: &SessionId) -> BoxFuture<'static, Result<Value>> {
        ready(Ok(self.0.clone())).boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_may_judge_answers() {
    for (says, target) in [(json!(true), Some("cloud")), (json!(false), Some("edge")), (json!("perhaps"), None), (json!(1), None)] {
        let escalate = Some(Escalate::Judge(Arc::new(Says(says.clone()))));
        let router = router(RouterParts { escalate, ..parts(&signs("edge"), &signs("cloud")) }, strategy("hybrid"));
        match (ask(&open(&router), "").await, target) {
            (Ok((text, route)), Some(target)) => assert_eq!((text.as_str(), &route["target"]), (target, &target.into())),
            (Err(error), None) => assert!(error.message().contains(&says.to_string()), "{error}"),
            (answer, _) => panic!("{says}: {answer:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_may_judge_items() {
    for (says, route) in [(json!(0.95), Some("cloud")), (json!(0.1), Some("edge")), (Value::Null, Some("edge")), (json!(7), None), (json!("x"), None)]
    {
        let complexity: Option<Arc<dyn Judge>> = Some(Arc::new(Says(says.clone())));
        let router = router(RouterParts { complexity, ..parts(&signs("edge"), &signs("cloud")) }, RoutingOptions::default());
        match (ask(&open(&router), "").await, route) {
            (Ok((text, _)), Some(route)) => assert_eq!(text, route, "{says}"),
            (Err(error), None) => assert!(error.message().contains("complexity"), "{error}"),
            (answer, _) => panic!("{says}: {answer:?}"),
        }
    }
}
