//! What clients may ask for at a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use remotemedia_wasmedge::data::{Packet, SessionId};
use remotemedia_wasmedge::error::Result;
use remotemedia_wasmedge::remote::pb::v0::{ExecutionStatus, StatusRequest};
use remotemedia_wasmedge::remote::service::{CallInfo, Handler, NodeEntry, ServiceLimitOptions, ServiceOptions, ServiceSessionOptions};
use tokio::sync::{Semaphore, mpsc};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::support::*;

/// A node that answers when the test lets it.
pub fn gated() -> (NodeEntry, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let open = Arc::clone(&gate);
    let node = Async(move |_, packet| {
        let open = Arc::clone(&open);
        async move {
            open.acquire().await.expect("never closed").forget();
            Ok(vec![packet])
        }
        .boxed()
    });
    (NodeEntry::new(node), gate)
}

#[tokio::test]
async fn one_call_too_many_is_refused_at_once_and_the_place_given_back() {
    let (node, gate) = gated();
    let limits = ServiceLimitOptions { max_concurrent_calls: Some(2.0), ..ServiceLimitOptions::default() };
    let running = Running::with(limited(limits), vec![("Gated", node), ("Echo", echo())]).await;
    let mut client = running.client().await;
    let mut talk = Talk::begin(&mut client.clone(), init("Echo", "json", &[])).await;
    let mut one = client.clone();
    let waiting = tokio::spawn(async move { execute(&mut one, request("Gated", "json", "1")).await });
    running.until(&["activeCalls"], 2).await;

    let status = within(client.execute_node(request("Echo", "json", "1"))).await.expect_err("no place");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("limits.maxConcurrentCalls"), "{status:?}");
    let status = within(client.get_status(StatusRequest::default())).await.expect_err("no place");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let mut health = HealthClient::new(running.endpoint().connect().await.expect("a connection"));
    within(health.check(HealthCheckRequest::default())).await.expect("health needs no place");

    gate.add_permits(1);
    assert_eq!(within(waiting).await.expect("no panic").status(), ExecutionStatus::Success);
    talk.finish();
    assert_eq!(talk.rest().await, []);
    running.until(&["activeCalls"], 0).await;
    assert_eq!(execute(&mut client, request("Echo", "json", "1")).await.output_data, "1");
    assert_eq!(running.metric(&["rejected", "exhausted"]), 2);
}

#[tokio::test]
async fn a_call_that_the_client_gives_up_gives_its_place_back() {
    let (node, _gate) = gated();
    let limits = ServiceLimitOptions { max_concurrent_calls: Some(1.0), ..ServiceLimitOptions::default() };
    let running = Running::with(limited(limits), vec![("Gated", node), ("Echo", echo())]).await;
    let mut client = running.client().await;
    for _ in 0..20 {
        let mut given_up = client.clone();
        let call = tokio::spawn(async move { given_up.execute_node(request("Gated", "json", "1")).await });
        running.until(&["activeCalls"], 1).await;
        call.abort();
        running.until(&["activeCalls"], 0).await;
    }
    assert_eq!(execute(&mut client, request("Echo", "json", "1")).await.output_data, "1");
    assert_eq!(running.metric(&["bufferedBytes"]), 0);
}

#[tokio::test]
async fn connections_are_bounded() {
    let limits = ServiceLimitOptions { max_connections: Some(2.0), ..ServiceLimitOptions::default() };
    let running = Running::with(limited(limits), vec![("Echo", echo())]).await;
    let (mut one, two) = (running.client().await, running.client().await);
    execute(&mut one, request("Echo", "json", "1")).await;
    let refused = async {
        let channel = running.endpoint().connect().await.map_err(|_| ())?;
        Client::new(channel).execute_node(request("Echo", "json", "1")).await.map_err(drop)
    };
    within(refused).await.expect_err("no place");
    // A client may try more than once.
    assert!(running.metric(&["connections", "refused"]) >= 1);
    drop(two);
    running.until(&["connections", "open"], 1).await;
    execute(&mut running.client().await, request("Echo", "json", "1")).await;
    execute(&mut one, request("Echo", "json", "1")).await;
}

#[tokio::test]
async fn streams_of_one_connection_wait_for_each_other() {
    let limits = ServiceLimitOptions { max_streams: Some(3.0), ..ServiceLimitOptions::default() };
    let running = Running::with(limited(limits), vec![("Echo", echo())]).await;
    let client = running.client().await;
    execute(&mut client.clone(), request("Echo", "json", "1")).await;
    let mut talks = Vec::new();
    for _ in 0..3 {
        talks.push(Talk::begin(&mut client.clone(), init("Echo", "json", &[])).await);
    }
    let mut fourth = client.clone();
    let waiting = tokio::spawn(async move { execute(&mut fourth, request("Echo", "json", "4")).await });
    // Another connection is served meanwhile.
    execute(&mut running.client().await, request("Echo", "json", "1")).await;
    assert_eq!(running.metric(&["activeCalls"]), 3);
    drop(talks.pop());
    assert_eq!(within(waiting).await.expect("no panic").output_data, "4");
}

#[tokio::test]
async fn messages_that_are_too_long_are_refused_in_both_directions() {
    let long = PerItem(|_, _| Ok(vec![Packet::binary(vec![1; 200_000])]));
    let limits = ServiceLimitOptions { max_message_size: Some(100_000.0), ..ServiceLimitOptions::default() };
    let running = Running::with(limited(limits), vec![("Long", NodeEntry::new(long)), ("Echo", echo())]).await;
    let mut client = running.client().await;
    let status = within(client.execute_node(request("Echo", "raw", vec![0; 200_000]))).await.expect_err("too long");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let answer = execute(&mut client, request("Long", "raw", "1")).await;
    assert_eq!(answer.status(), ExecutionStatus::ResourceLimit);
    assert!(answer.error_message.contains("limits.maxMessageSize"), "{}", answer.error_message);

    let mut talk = Talk::begin(&mut client, init("Long", "raw", &[])).await;
    talk.say("1").await;
    let rest = talk.rest().await;
    assert!(matches!(rest.as_slice(), [Err(text)] if text.starts_with("[RESOURCE_LIMIT] ")), "{rest:?}");
    let mut talk = Talk::begin(&mut client, init("Echo", "raw", &[])).await;
    talk.say(vec![1; 1_000]).await;
    talk.say(vec![0; 200_000]).await;
    assert!(talk.next().await.expect("the first item").is_some());
    let status = talk.next().await.expect_err("too long");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    // What is compressed counts by its length after that.
    let mut gzip = client.clone().send_compressed(tonic::codec::CompressionEncoding::Gzip);
    let status = within(gzip.execute_node(request("Echo", "raw", vec![0; 10_000_000]))).await.expect_err("a bomb");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(execute(&mut client, request("Echo", "json", "1")).await.output_data, "1");
}

#[tokio::test]
async fn what_all_calls_hold_together_is_bounded() {
    let (node, gate) = gated();
    let limits = ServiceLimitOptions { max_message_size: Some(100_000.0), max_buffered_bytes: Some(250_000.0), ..ServiceLimitOptions::default() };
    let running = Running::with(limited(limits), vec![("Gated", node), ("Echo", echo())]).await;
    let client = running.client().await;
    let held: Vec<_> = (0..2)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { execute(&mut client, request("Gated", "raw", vec![0; 90_000])).await })
        })
        .collect();
    within(async {
        while running.metric(&["bufferedBytes"]) < 180_000 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let status = within(client.clone().execute_node(request("Echo", "raw", vec![0; 90_000]))).await.expect_err("no room");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("limits.maxBufferedBytes"), "{status:?}");
    let mut talk = Talk::begin(&mut client.clone(), init("Echo", "raw", &[])).await;
    talk.say(vec![0; 90_000]).await;
    let status = talk.next().await.expect_err("no room");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    gate.add_permits(2);
    for call in held {
        assert_eq!(within(call).await.expect("no panic").status(), ExecutionStatus::Success);
    }
    running.until(&["bufferedBytes"], 0).await;
    // A long stream of short items never fills it.
    let mut talk = Talk::begin(&mut client.clone(), init("Echo", "raw", &[])).await;
    for _ in 0..50 {
        talk.say(vec![0; 20_000]).await;
        assert!(talk.next().await.expect("no status").is_some());
    }
}

#[tokio::test]
async fn compressed_requests_are_taken() {
    let running = Running::with(options(), vec![("Echo", echo())]).await;
    for encoding in [tonic::codec::CompressionEncoding::Gzip, tonic::codec::CompressionEncoding::Zstd] {
        let mut client = running.client().await.send_compressed(encoding);
        assert_eq!(execute(&mut client, request("Echo", "raw", vec![9; 100_000])).await.output_data, vec![9; 100_000]);
        assert!(running.metric(&["bytes", "in"]) < 10_000, "it was compressed");
    }
}

/// A node that tells which sessions are over; one of them makes it panic.
struct Keeps(mpsc::UnboundedSender<String>);

impl Handler for Keeps {
    fn execute(&self, _: CallInfo, packet: Packet) -> BoxFuture<'static, Result<Vec<Packet>>> {
        async { Ok(vec![packet]) }.boxed()
    }

    fn close_session(&self, session: &SessionId) -> BoxFuture<'static, ()> {
        let _ = self.0.send(session.as_str().to_owned());
        assert_ne!(session.as_str(), "b", "boom");
        std::future::ready(()).boxed()
    }
}

#[tokio::test]
async fn sessions_are_bounded_and_their_handlers_told() {
    let (ended, mut told) = mpsc::unbounded_channel();
    let sessions = ServiceSessionOptions { max: Some(2.0), ttl_ms: Some(86_400_000.0) };
    let node = NodeEntry::new(Keeps(ended));
    let running = Running::with(ServiceOptions { sessions, ..options() }, vec![("Node", node)]).await;
    let mut client = running.client().await;
    let mut use_session = async |name: &'static str| {
        let mut call = Request::new(request("Node", "json", "1"));
        call.metadata_mut().insert("x-session-id", name.parse().expect("a value"));
        within(client.execute_node(call)).await.expect("an answer");
    };
    for name in ["a", "b", "a", "c"] {
        use_session(name).await;
    }
    assert_eq!(within(told.recv()).await.as_deref(), Some("b"), "unused for longest");
    let status = running.client().await.get_status(StatusRequest { include_sessions: true, include_metrics: true }).await;
    let status = status.expect("an answer").into_inner();
    let mut known: Vec<_> = status.active_sessions.iter().map(|one| (one.session_id.as_str(), one.node_type.as_str(), one.processed_items)).collect();
    known.sort_unstable();
    assert_eq!(known, [("a", "Node", 2), ("c", "Node", 1)]);
    assert_eq!(status.metrics.expect("metrics").active_sessions, 2);
    within(running.service.close(Duration::ZERO)).await;
    let mut rest = [within(told.recv()).await.expect("told"), within(told.recv()).await.expect("told")];
    rest.sort_unstable();
    assert_eq!(rest, ["a", "c"]);
}

#[tokio::test]
async fn sessions_that_nobody_uses_expire() {
    let (ended, mut told) = mpsc::unbounded_channel();
    let sessions = ServiceSessionOptions { max: None, ttl_ms: Some(20.0) };
    let running = Running::with(ServiceOptions { sessions, ..options() }, vec![("Node", NodeEntry::new(Keeps(ended)))]).await;
    let mut call = Request::new(request("Node", "json", "1"));
    call.metadata_mut().insert("x-session-id", "brief".parse().expect("a value"));
    running.client().await.execute_node(call).await.expect("an answer");
    assert_eq!(within(told.recv()).await.as_deref(), Some("brief"));
    running.until(&["sessions", "open"], 0).await;
}
