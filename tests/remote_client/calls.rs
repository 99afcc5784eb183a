//! Single calls: payloads, deadlines, ways out, metadata, repetition.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use remotemedia_wasmedge::data::{Packet, SessionId, TraceContext};
use remotemedia_wasmedge::error::{Code, Error, Result};
use remotemedia_wasmedge::remote::{
    Api, BoxFuture, Client, Compression, HedgeOptions, NodeTarget, PayloadFormat, RemoteOptions, Scope, Token, TokenSource,
};
use serde_json::{Map, json as js};

use super::remote::{self, Stage, json, value, within};

async fn call(client: &Client, node: &str) -> Result<Packet> {
    client.execute_node(&NodeTarget::new(node), json(js!(1)), &Scope::default()).await
}

#[tokio::test]
async fn an_item_goes_through_a_node_and_comes_back() {
    let stage = Stage::v0().await;
    let mut packet = json(js!({ "a": [1, 2.5, "three", null] }));
    (packet.sequence, packet.timestamp_ms) = (7, Some(12.5));
    let output = stage.client().execute_node(&NodeTarget::new("Echo"), packet, &Scope::default()).await.expect("an output");
    assert_eq!(value(&output), js!({ "a": [1, 2.5, "three", null] }));
    assert_eq!((output.sequence, output.timestamp_ms), (7, Some(12.5)));
}

#[tokio::test]
async fn audio_keeps_its_samples_and_rate() {
    let stage = Stage::v0().await;
    let packet = Packet::audio(&[0.25, -0.5, 1.0, 0.0], 48_000.0, 2);
    let output = stage.client().execute_node(&NodeTarget::new("Echo"), packet.clone(), &Scope::default()).await.expect("an output");
    assert_eq!((output.bytes, output.format), (packet.bytes, packet.format));
}

#[tokio::test]
async fn every_format_of_a_payload_comes_back_as_it_went() {
    let stage = Stage::v0().await;
    let client = stage.client();
    for format in [PayloadFormat::Auto, PayloadFormat::Json, PayloadFormat::Pickle] {
        let target = NodeTarget { format, ..NodeTarget::new("Echo") };
        let output = client.execute_node(&target, json(js!(["x", 1])), &Scope::default()).await.expect("an output");
        assert_eq!(value(&output), js!(["x", 1]), "{format:?}");
    }
    let target = NodeTarget { format: PayloadFormat::Raw, ..NodeTarget::new("Echo") };
    let output = client.execute_node(&target, Packet::binary(&b"\x00\xff"[..]), &Scope::default()).await.expect("an output");
    assert_eq!(&output.bytes[..], b"\x00\xff");
}

#[tokio::test]
async fn parameters_travel_as_the_texts_that_python_reads_back() {
    let stage = Stage::v0().await;
    let config: Map<_, _> = [("flag".to_owned(), js!(true)), ("rate".to_owned(), js!(8000)), ("name".to_owned(), js!("8000"))].into_iter().collect();
    let target = NodeTarget { config, ..NodeTarget::new("ShowConfig") };
    let output = stage.client().execute_node(&target, json(js!(1)), &Scope::default()).await.expect("an output");
    assert_eq!(value(&output)["flag"], js!("True"));
    assert_eq!(value(&output)["rate"], js!("8000"));
    assert_eq!(value(&output)["name"], js!("\"8000\""));
}

#[tokio::test]
async fn a_session_travels_in_the_payload() {
    let stage = Stage::v0().await;
    let scope = Scope { session: Some(SessionId::new("alice").expect("an id")), ..Scope::default() };
    let packet = Packet::audio(&[0.5], 16_000.0, 1);
    let output = stage.client().execute_node(&NodeTarget::new("Echo"), packet, &scope).await.expect("an output");
    assert_eq!(output.metadata.expect("metadata")["session_id"], js!("alice"));
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_at_its_deadline_and_is_given_up() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let error = client.execute_node(&NodeTarget::new("Wait"), json(js!(1)), &within(200)).await.expect_err("no answer");
    assert_eq!(error.code(), Code::Deadline);
    assert!(error.message().contains(&stage.address.to_string()), "{error}");
    assert_eq!(error.remote().and_then(|details| details.grpc_status), Some("DEADLINE_EXCEEDED"));
    // Told to the server in advance, and by resetting the call.
    assert!(stage.book.header("grpc-timeout").is_some());
    stage.book.until_dropped(1).await;
}

#[tokio::test]
async fn the_earlier_of_timeout_and_deadline_counts() {
    let stage = Stage::v0().await;
    let soon = Scope { deadline: Some(Instant::now() + Duration::from_millis(150)), ..within(60_000) };
    let error = stage.client().execute_node(&NodeTarget::new("Wait"), json(js!(1)), &soon).await.expect_err("no answer");
    assert_eq!(error.code(), Code::Deadline);
    let past = Scope { deadline: Some(Instant::now()), ..Scope::default() };
    let error = stage.client().execute_node(&NodeTarget::new("Echo"), json(js!(1)), &past).await.expect_err("too late");
    assert_eq!(error.code(), Code::Deadline);
}

#[tokio::test]
async fn cancelling_a_call_resets_it_at_the_server() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let scope = Scope::default();
    let cancel = scope.cancel.clone();
    let task = tokio::spawn(async move { client.execute_node(&NodeTarget::new("Wait"), json(js!(1)), &scope).await });
    stage.book.until_waiting(1).await;
    cancel.cancel();
    assert_eq!(task.await.expect("a task").expect_err("cancelled").code(), Code::Aborted);
    stage.book.until_dropped(1).await;
}

#[tokio::test]
async fn closing_a_client_ends_its_calls_and_refuses_new_ones() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let closing = client.clone();
    let task = tokio::spawn(async move { call(&client, "Wait").await });
    stage.book.until_waiting(1).await;
    closing.close();
    assert_eq!(task.await.expect("a task").expect_err("closed").code(), Code::Closed);
    stage.book.until_dropped(1).await;
    assert_eq!(call(&closing, "Echo").await.expect_err("closed").code(), Code::Closed);
}

#[tokio::test]
async fn metadata_token_and_trace_go_with_each_call() {
    let stage = Stage::v0().await;
    let client = remote::client(RemoteOptions {
        metadata: vec![("X-Tenant".into(), "acme".into())],
        auth_token: Some(Token::Fixed("s3cret".into())),
        ..stage.options()
    });
    let scope = Scope {
        metadata: vec![("x-call".into(), "one".into())],
        trace: Some(Arc::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse::<TraceContext>().expect("a traceparent"))),
        ..Scope::default()
    };
    client.execute_node(&NodeTarget::new("Echo"), json(js!(1)), &scope).await.expect("an output");
    let book = &stage.book;
    assert_eq!(book.header("x-tenant").as_deref(), Some("acme"));
    assert_eq!(book.header("x-call").as_deref(), Some("one"));
    assert_eq!(book.header("authorization").as_deref(), Some("Bearer s3cret"));
    assert!(book.header("traceparent").is_some_and(|parent| parent.starts_with("00-0af7")));
    assert!(book.header("user-agent").is_some_and(|agent| agent.starts_with("remotemedia-wasmedge/")));

    let reserved = Scope { metadata: vec![("grpc-timeout".into(), "1S".into())], ..Scope::default() };
    let error = client.execute_node(&NodeTarget::new("Echo"), json(js!(1)), &reserved).await.expect_err("reserved");
    assert_eq!((error.code(), error.path()), (Code::Config, Some("metadata.grpc-timeout")));
}

struct Counting(AtomicUsize);

impl TokenSource for Counting {
    fn token(&self) -> BoxFuture<'static, Result<String>> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move { if number < 3 { Ok(format!("token-{number}")) } else { Err(Error::new(Code::Remote, "the issuer is down")) } })
    }
}

#[tokio::test]
async fn a_token_is_fetched_afresh_for_each_call() {
    let stage = Stage::v0().await;
    let source = Token::Fresh(Arc::new(Counting(AtomicUsize::new(0))));
    let client = remote::client(RemoteOptions { auth_token: Some(source), api: Some(Api::V0), ..stage.options() });
    for number in 0..3 {
        call(&client, "Echo").await.expect("an output");
        assert_eq!(stage.book.header("authorization"), Some(format!("Bearer token-{number}")));
    }
    assert_eq!(call(&client, "Echo").await.expect_err("no token").message(), "the issuer is down");
    assert_eq!(stage.book.count("ExecuteNode"), 3);
}

#[tokio::test]
async fn compressed_requests_and_answers_are_understood() {
    let stage = Stage::v0().await;
    for compression in [Compression::Gzip, Compression::Zstd] {
        let client = remote::client(RemoteOptions { compression, ..stage.options() });
        let long = "x".repeat(100_000);
        let output = client.execute_node(&NodeTarget::new("Echo"), json(js!(long)), &Scope::default()).await.expect("an output");
        assert_eq!(value(&output), js!(long));
        let name = if compression == Compression::Gzip { "gzip" } else { "zstd" };
        assert_eq!(stage.book.header("grpc-encoding").as_deref(), Some(name));
    }
}

#[tokio::test]
async fn the_protocol_is_found_out_once() {
    let stage = Stage::v0().await;
    let (one, two) = (stage.client(), stage.client());
    let calls = (0..8).map(|_| call(&one, "Echo"));
    assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
    call(&two, "Echo").await.expect("an output");
    assert_eq!(stage.book.count("GetStatus"), 1);
    assert_eq!(one.connect().await.expect("a protocol"), Api::V0);

    let other = Stage::v1().await;
    assert_eq!(other.client().connect().await.expect("a protocol"), Api::V1);

    let neither = Stage::start(remote::Speaks::Nothing, "127.0.0.1:0", Arc::default(), |server| server).await;
    let error = neither.client().connect().await.expect_err("neither");
    assert!(error.message().contains("neither protocol v0 nor v1"), "{error}");
}

#[tokio::test]
async fn health_says_whether_a_service_serves() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let health = &stage.health;
    assert!(client.health("", &Scope::default()).await.expect("an answer"));
    health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    assert!(!client.health("", &Scope::default()).await.expect("an answer"));
    let error = client.health("nothing", &Scope::default()).await.expect_err("unknown");
    assert_eq!(error.remote().and_then(|details| details.grpc_status), Some("NOT_FOUND"));
}

#[tokio::test]
async fn only_what_does_no_harm_is_sent_again() {
    let stage = Stage::v0().await;
    let options = || RemoteOptions { max_retries: Some(3.0), api: Some(Api::V0), ..stage.options() };
    let (book, client) = (&stage.book, remote::client(options()));

    book.failing.store(2, Ordering::SeqCst);
    let error = call(&client, "Echo").await.expect_err("unavailable");
    assert_eq!((error.code(), book.count("ExecuteNode")), (Code::Unavailable, 1));

    book.failing.store(2, Ordering::SeqCst);
    let scope = Scope { idempotent: true, ..Scope::default() };
    client.execute_node(&NodeTarget::new("Echo"), json(js!(1)), &scope).await.expect("the third attempt");
    assert_eq!(book.count("ExecuteNode"), 1 + 3);

    book.failing.store(2, Ordering::SeqCst);
    let client = remote::client(RemoteOptions { idempotent: true, ..options() });
    call(&client, "Echo").await.expect("the third attempt");
    assert_eq!(book.count("ExecuteNode"), 4 + 3);
    assert_eq!(client.metrics()["retries"], js!(2));

    // A refusal is no trouble of the network: nothing is gained by asking again.
    assert!(call(&client, "Denied").await.is_err());
    assert_eq!(book.count("ExecuteNode"), 7 + 1);
}

#[tokio::test]
async fn the_last_failure_keeps_those_before_it_as_causes() {
    let stage = Stage::v0().await;
    stage.book.failing.store(9, Ordering::SeqCst);
    let client = remote::client(RemoteOptions { max_retries: Some(2.0), idempotent: true, api: Some(Api::V0), ..stage.options() });
    let error = call(&client, "Echo").await.expect_err("unavailable");
    let mut attempts = 0;
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = next {
        attempts += usize::from(error.downcast_ref::<Error>().is_some_and(|error| error.code() == Code::Unavailable));
        next = error.source();
    }
    assert_eq!((attempts, stage.book.count("ExecuteNode")), (3, 3));
}

#[tokio::test]
async fn retries_end_with_their_budget() {
    let stage = Stage::v0().await;
    stage.book.failing.store(usize::MAX, Ordering::SeqCst);
    let client = remote::client(RemoteOptions { max_retries: Some(1.0), idempotent: true, api: Some(Api::V0), ..stage.options() });
    for _ in 0..100 {
        assert_eq!(call(&client, "Echo").await.expect_err("unavailable").code(), Code::Unavailable);
    }
    // Twenty saved up, and a fifth of the calls.
    let extra = stage.book.count("ExecuteNode") - 100;
    assert!((20..=40).contains(&extra), "{extra} retries");
}

#[tokio::test]
async fn a_slow_call_is_hedged_and_the_loser_given_up() {
    let stage = Stage::v0().await;
    let soon = || Some(HedgeOptions { delay_ms: Some(50.0), max_percent: Some(100.0) });
    let client = remote::client(RemoteOptions { hedge: soon(), idempotent: true, api: Some(Api::V0), ..stage.options() });
    // The first attempt waits for ever, the second answers.
    stage.book.slow_first.store(1, Ordering::SeqCst);
    call(&client, "SlowOnce").await.expect("the second attempt's answer");
    stage.book.until_dropped(1).await;
    assert_eq!((stage.book.count("ExecuteNode"), &client.metrics()["hedges"]), (2, &js!(1)));

    // Without the caller's word nothing runs twice.
    let client = remote::client(RemoteOptions { hedge: soon(), api: Some(Api::V0), ..stage.options() });
    stage.book.slow_first.store(1, Ordering::SeqCst);
    let error = client.execute_node(&NodeTarget::new("SlowOnce"), json(js!(1)), &within(300)).await.expect_err("slow");
    assert_eq!((error.code(), stage.book.count("ExecuteNode")), (Code::Deadline, 3));
}

#[tokio::test]
async fn hedges_stay_within_their_share() {
    let stage = Stage::v0().await;
    let hedge = Some(HedgeOptions { delay_ms: Some(1.0), max_percent: Some(10.0) });
    let client = remote::client(RemoteOptions { hedge, idempotent: true, api: Some(Api::V0), ..stage.options() });
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn({
                let client = client.clone();
                async move { call(&client, "Wait").await }
            })
        })
        .collect();
    stage.book.until_waiting(50).await;
    let waiting = stage.book.until_quiet().await;
    assert!(waiting <= 55, "{waiting} calls at the server");
    assert!(client.metrics()["hedges"].as_u64().expect("a number") <= 5);
    client.close();
    for task in tasks {
        assert_eq!(task.await.expect("a task").expect_err("closed").code(), Code::Closed);
    }
}

#[tokio::test]
async fn what_happened_is_counted() {
    let stage = Stage::v0().await;
    let client = remote::client(RemoteOptions { api: Some(Api::V0), ..stage.options() });
    call(&client, "Echo").await.expect("an output");
    call(&client, "Echo").await.expect("an output");
    assert!(call(&client, "Denied").await.is_err());
    let metrics = client.metrics();
    assert_eq!(metrics["calls"], js!(3));
    assert_eq!(metrics["errors"], js!({ "ERR_REMOTE": 1 }));
    assert_eq!((&metrics["itemsSent"], &metrics["itemsReceived"]), (&js!(3), &js!(2)));
    assert_eq!((&metrics["bytesSent"], &metrics["bytesReceived"]), (&js!(3), &js!(2)));
    assert!(metrics["latencyMs"]["max"].as_f64().expect("a number") > 0.0);
    assert_eq!(metrics["api"], js!("v0"));
    let endpoint = &metrics["endpoints"][0];
    assert_eq!((&endpoint["endpoint"], &endpoint["state"], &endpoint["inFlight"]), (&js!(stage.address.to_string()), &js!("ready"), &js!(0)));
    let named: Vec<_> = remotemedia_wasmedge::observe::REMOTE_NAMES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(metrics.keys().map(String::as_str).collect::<Vec<_>>(), named);
    let page = include_str!("../../docs/metrics.md");
    for (name, unit, meaning) in remotemedia_wasmedge::observe::REMOTE_NAMES {
        assert!(page.contains(&format!("| `{name}` | {unit} | {meaning} |")), "docs/metrics.md has no line for {name}");
    }
}
