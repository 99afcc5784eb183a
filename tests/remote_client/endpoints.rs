//! Several endpoints, shared connections, health.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use remotemedia_wasmedge::data::Packet;
use remotemedia_wasmedge::error::{Code, Result};
use remotemedia_wasmedge::remote::{Api, Balance, Client, HealthOptions, NodeTarget, OutlierOptions, RemoteOptions, Scope, WindowOptions};
use serde_json::json as js;

use super::remote::{self, Book, Speaks, Stage, json};

async fn call(client: &Client, node: &str) -> Result<Packet> {
    client.execute_node(&NodeTarget::new(node), json(js!(1)), &Scope::default()).await
}

fn several(stages: &[&Stage]) -> RemoteOptions {
    let endpoints = stages.iter().map(|stage| stage.address.to_string()).collect();
    RemoteOptions { endpoints, api: Some(Api::V0), max_retries: Some(0.0), ..RemoteOptions::default() }
}

fn counts(stages: &[&Stage]) -> Vec<usize> {
    stages.iter().map(|stage| stage.book.count("ExecuteNode")).collect()
}

fn peers(stage: &Stage) -> usize {
    let mut peers: Vec<_> = stage.book.peers.lock().iter().map(|(_, peer)| *peer).collect();
    peers.sort_unstable();
    peers.dedup();
    peers.len()
}

#[tokio::test]
async fn clients_with_the_same_options_share_a_connection() {
    let stage = Stage::v0().await;
    let clients = [stage.client(), stage.client(), remote::client(RemoteOptions { timeout: Some(5.0), ..stage.options() })];
    for client in &clients {
        call(client, "Echo").await.expect("an output");
    }
    assert_eq!(peers(&stage), 1);
    let windows = WindowOptions { stream_bytes: Some(8_388_608.0), connection_bytes: Some(8_388_608.0) };
    call(&remote::client(RemoteOptions { windows, ..stage.options() }), "Echo").await.expect("an output");
    assert_eq!(peers(&stage), 2);
}

#[tokio::test]
async fn a_connection_ends_with_the_last_client() {
    let stage = Stage::v0().await;
    for _ in 0..3 {
        call(&stage.client(), "Echo").await.expect("an output");
    }
    assert_eq!(peers(&stage), 3);
}

#[tokio::test]
async fn many_calls_at_once_open_one_connection() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let calls = futures_util::future::join_all((0..100).map(|_| call(&client, "Echo"))).await;
    assert!(calls.iter().all(Result::is_ok));
    assert_eq!(peers(&stage), 1);
}

#[tokio::test]
async fn calls_take_turns_among_endpoints() {
    let stages = [Stage::v0().await, Stage::v0().await, Stage::v0().await];
    let stages = stages.each_ref();
    let client = remote::client(several(&stages));
    for _ in 0..9 {
        call(&client, "Echo").await.expect("an output");
    }
    assert_eq!(counts(&stages), [3, 3, 3]);
}

#[tokio::test]
async fn a_busy_endpoint_gets_fewer_calls_if_wanted() {
    let (one, two) = (Stage::v0().await, Stage::v0().await);
    let client = remote::client(RemoteOptions { balance: Balance::LeastRequests, ..several(&[&one, &two]) });
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { call(&client, "Wait").await }
    });
    let (busy, free) = tokio::select! {
        () = one.book.until_waiting(1) => (&one, &two),
        () = two.book.until_waiting(1) => (&two, &one),
    };
    for _ in 0..5 {
        call(&client, "Echo").await.expect("an output");
    }
    assert_eq!(counts(&[busy, free]), [1, 5]);
    busy.book.go.notify_waiters();
    waiting.await.expect("a task").expect("an output");
}

#[tokio::test]
async fn a_dead_endpoint_costs_no_call_when_there_is_another() {
    let alive = Stage::v0().await;
    let dead = { tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address") };
    let mut options = several(&[&alive]);
    options.endpoints.insert(0, dead.to_string());
    options.max_retries = Some(1.0);
    let client = remote::client(options);
    for _ in 0..10 {
        call(&client, "Echo").await.expect("an output");
    }
    assert_eq!(alive.book.count("ExecuteNode"), 10);
}

#[tokio::test]
async fn an_endpoint_that_fails_in_a_row_is_left_alone() {
    let (good, bad) = (Stage::v0().await, Stage::v0().await);
    bad.book.failing.store(usize::MAX, Ordering::SeqCst);
    let outlier = OutlierOptions { failures: Some(3.0), ..OutlierOptions::default() };
    let client = remote::client(RemoteOptions { outlier, ..several(&[&good, &bad]) });
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(call(&client, "Echo").await.is_err());
    }
    assert_eq!((failed, bad.book.count("ExecuteNode")), (3, 3));
    let endpoints = &client.metrics()["endpoints"];
    assert_eq!((&endpoints[0]["ejected"], &endpoints[1]["ejected"]), (&js!(false), &js!(true)));

    // Never the last one.
    good.book.failing.store(usize::MAX, Ordering::SeqCst);
    for _ in 0..10 {
        assert_eq!(call(&client, "Echo").await.expect_err("all fail").code(), Code::Unavailable);
    }
    assert_eq!(client.metrics()["endpoints"][0]["ejected"], js!(false));
}

#[tokio::test]
async fn an_unhealthy_endpoint_gets_no_calls_until_it_is_well() {
    let stages = [Stage::v0().await, Stage::v0().await];
    let stages = stages.each_ref();
    let health_watch = Some(HealthOptions { interval_ms: Some(20.0), ..HealthOptions::default() });
    let client = remote::client(RemoteOptions { health_watch, ..several(&stages) });
    let sick = async |sick: bool| {
        let status = if sick { tonic_health::ServingStatus::NotServing } else { tonic_health::ServingStatus::Serving };
        stages[0].health.set_service_status("", status).await;
        let wait = async {
            while client.metrics()["endpoints"][0]["healthy"] != js!(!sick) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(remote::PATIENCE, wait).await.expect("the health is followed");
    };
    sick(true).await;
    for _ in 0..4 {
        call(&client, "Echo").await.expect("an output");
    }
    assert_eq!(counts(&stages), [0, 4]);
    sick(false).await;
    for _ in 0..4 {
        call(&client, "Echo").await.expect("an output");
    }
    assert_eq!(counts(&stages), [2, 6]);
}

#[tokio::test]
async fn all_addresses_of_a_name_are_endpoints() {
    let stage = Stage::v0().await;
    let name = format!("dns:localhost:{}", stage.address.port());
    let options = RemoteOptions { endpoints: vec![name], api: Some(Api::V0), max_retries: Some(2.0), ..RemoteOptions::default() };
    let client = remote::client(options);
    for _ in 0..4 {
        call(&client, "Echo").await.expect("an output");
    }
    let endpoints = client.metrics()["endpoints"].clone();
    assert!(endpoints.as_array().expect("a list").iter().any(|one| one["endpoint"] == js!(stage.address.to_string())), "{endpoints}");
}

#[tokio::test]
async fn a_server_that_was_restarted_is_found_again() {
    let book = Arc::new(Book::default());
    let stage = Stage::start(Speaks::V0, "127.0.0.1:0", Arc::clone(&book), |server| server).await;
    let address = stage.address;
    let client = remote::client(RemoteOptions { max_retries: None, ..stage.options() });
    call(&client, "Echo").await.expect("an output");
    stage.kill().await;
    assert_eq!(call(&client, "Echo").await.expect_err("nobody there").code(), Code::Unavailable);
    let _stage = Stage::start(Speaks::V0, &address.to_string(), Arc::clone(&book), |server| server).await;
    // It may be in a pause between attempts, of a second at most by now.
    let wait = async {
        while call(&client, "Echo").await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(remote::PATIENCE, wait).await.expect("it is found again");
}
