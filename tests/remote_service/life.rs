//! From `listen` to `close`.

use std::time::Duration;

use futures_util::FutureExt;
use remotemedia_wasmedge::error::Code;
use remotemedia_wasmedge::remote::pb::v0::{ExecutionStatus, StatusRequest};
use remotemedia_wasmedge::remote::service::{ItemSink, ItemSource, NodeEntry, ServiceOptions};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::limits::gated;
use super::support::*;

/// Longer than any of these tests.
const LONG: Duration = Duration::from_secs(600);

/// An address that no other test uses, where there is one: ports that are free again are taken by whoever comes first.
fn alone() -> ServiceOptions {
    let host = cfg!(target_os = "linux").then(|| "127.0.0.9".to_owned());
    ServiceOptions { host, ..options() }
}

#[tokio::test]
async fn listening_again_says_the_same_and_closing_again_changes_nothing() {
    let running = Running::with(alone(), vec![("Echo", echo())]).await;
    assert_eq!(running.service.listen().await.expect("listening"), running.address);
    execute(&mut running.client().await, request("Echo", "json", "1")).await;
    within(running.service.close(LONG)).await;
    within(running.service.close(LONG)).await;
    let error = running.service.listen().await.expect_err("closed");
    assert_eq!(error.code(), Code::Closed);
    assert!(running.endpoint().connect().await.is_err(), "nobody is there any more");
    assert_eq!(running.metric(&["connections", "open"]), 0);
    tokio::net::TcpListener::bind(running.address).await.expect("the port is free again");
}

#[tokio::test]
async fn a_service_that_never_listened_closes_too() {
    let service = remotemedia_wasmedge::remote::service::Service::new(options()).expect("options");
    within(service.close(LONG)).await;
    assert_eq!(service.listen().await.expect_err("closed").code(), Code::Closed);
}

#[tokio::test]
async fn calls_under_way_are_finished_and_new_ones_are_not_taken() {
    let (node, gate) = gated();
    let running = Running::with(options(), vec![("Gated", node), ("Echo", echo())]).await;
    let client = running.client().await;
    let mut talk = Talk::begin(&mut client.clone(), init("Echo", "json", &[])).await;
    talk.say("1").await;
    assert_eq!(talk.item().await, "1");
    let mut one = client.clone();
    let waiting = tokio::spawn(async move { execute(&mut one, request("Gated", "json", "2")).await });
    running.until(&["activeCalls"], 2).await;
    let mut health = HealthClient::new(running.endpoint().connect().await.expect("a connection"));
    let mut watch = within(health.watch(HealthCheckRequest::default())).await.expect("a watch").into_inner();
    assert_eq!(within(watch.message()).await.expect("no status").expect("a status").status(), ServingStatus::Serving);

    let closing = running.service.close(LONG);
    let finish = async {
        let change = within(watch.message()).await.expect("no status").expect("a status");
        assert_eq!(change.status(), ServingStatus::NotServing);
        // The watcher hears of it first; whether the next call meets the closed gate or the closed door is the same to it.
        within(async { while client.clone().get_status(StatusRequest::default()).await.is_ok() {} }).await;
        let status = within(client.clone().execute_node(request("Echo", "json", "1"))).await.expect_err("not taken");
        // tonic's client makes a cancelled call of one that the connection's end overtakes.
        assert!(matches!(status.code(), tonic::Code::Unavailable | tonic::Code::Cancelled), "{status:?}");
        assert_eq!(running.metric(&["calls", "ExecuteNode"]), 1);
        talk.say("3").await;
        assert_eq!(talk.item().await, "3", "a stream goes on");
        talk.finish();
        assert_eq!(talk.rest().await, []);
        gate.add_permits(1);
        assert_eq!(within(waiting).await.expect("no panic").output_data, "2");
    };
    within(futures_util::future::join(closing, finish)).await;
    assert!(within(watch.message()).await.is_err(), "a watch ends with the service, and does not hold it");
}

#[tokio::test]
async fn calls_that_outlast_the_grace_are_cancelled_and_hear_why() {
    let (notes, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let told = notes.clone();
    let stuck = Async(move |info: remotemedia_wasmedge::remote::service::CallInfo, _| {
        let told = told.clone();
        info.on_end(Box::new(move || assert!(told.send("unary").is_ok()))).expect("a runtime");
        std::future::pending().boxed()
    });
    let stream = Streams(move |info: remotemedia_wasmedge::remote::service::CallInfo, input: ItemSource, _: ItemSink| {
        let told = notes.clone();
        info.on_end(Box::new(move || assert!(told.send("stream").is_ok()))).expect("a runtime");
        async move {
            while input.next().await?.is_some() {}
            Ok(())
        }
        .boxed()
    });
    let running = Running::with(options(), vec![("Stuck", NodeEntry::new(stuck)), ("Stream", NodeEntry::new(stream))]).await;
    let mut client = running.client().await;
    let mut talk = Talk::begin(&mut client, init("Stream", "json", &[])).await;
    talk.say("1").await;
    let mut one = client.clone();
    let waiting = tokio::spawn(async move { one.execute_node(request("Stuck", "json", "1")).await });
    running.until(&["items", "in"], 2).await;
    // A long grace gives way to a shorter one.
    let ((), ()) = within(futures_util::future::join(running.service.close(LONG), running.service.close(Duration::ZERO))).await;
    let status = within(waiting).await.expect("no panic").expect_err("cancelled");
    assert_eq!((status.code(), status.message()), (tonic::Code::Unavailable, "the service is closing"));
    let status = talk.next().await.expect_err("cancelled");
    assert_eq!((status.code(), status.message()), (tonic::Code::Unavailable, "the service is closing"));
    let mut ends = [within(heard.recv()).await, within(heard.recv()).await];
    ends.sort_unstable();
    assert_eq!(ends, [Some("stream"), Some("unary")]);
    assert_eq!((running.metric(&["activeCalls"]), running.metric(&["connections", "open"])), (0, 0));
}

#[tokio::test]
async fn a_service_that_is_dropped_ends_at_once() {
    let (node, _gate) = gated();
    let running = Running::with(alone(), vec![("Gated", node)]).await;
    let client = running.client().await;
    let mut one = client.clone();
    let waiting = tokio::spawn(async move { one.execute_node(request("Gated", "json", "1")).await });
    running.until(&["activeCalls"], 1).await;
    let address = running.address;
    drop(running);
    within(waiting).await.expect("no panic").expect_err("ended");
    within(async {
        while tokio::net::TcpListener::bind(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn health_knows_the_service_by_its_name() {
    let running = Running::with(options(), vec![]).await;
    let mut health = HealthClient::new(running.endpoint().connect().await.expect("a connection"));
    for service in ["", "remotemedia.execution.RemoteExecutionService"] {
        let answer = within(health.check(HealthCheckRequest { service: service.into() })).await.expect("an answer").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    let status = within(health.check(HealthCheckRequest { service: "other".into() })).await.expect_err("unknown");
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert_eq!(running.metric(&["activeCalls"]), 0);
}

#[tokio::test]
async fn counters_tell_what_happened() {
    let running = Running::with(options(), vec![("Echo", echo())]).await;
    let mut client = running.client().await;
    assert_eq!(execute(&mut client, request("Echo", "json", "1")).await.status(), ExecutionStatus::Success);
    assert_eq!(execute(&mut client, request("None", "json", "1")).await.status(), ExecutionStatus::Error);
    running.until(&["activeCalls"], 0).await;
    assert_eq!(running.metric(&["calls", "ExecuteNode"]), 2);
    assert_eq!((running.metric(&["items", "in"]), running.metric(&["items", "out"])), (1, 1));
    assert_eq!(running.metric(&["errors", "VALIDATION"]), 1);
    assert!(running.metric(&["bytes", "in"]) > 20 && running.metric(&["bytes", "out"]) > 20);
    assert_eq!((running.metric(&["connections", "open"]), running.metric(&["connections", "accepted"])), (1, 1));
    // Every figure that the file describes, and no other.
    let source = include_str!("../../src/remote/service/metrics.rs");
    let described: Vec<_> = source.lines().filter_map(|line| line.strip_prefix("//! | `")?.split('`').next()).collect();
    let figures: Vec<_> = running.service.metrics().keys().cloned().collect();
    assert_eq!(figures, described);
}
