//! What networks and servers do to calls and streams: every accepted item ends in one result or one typed error, and nothing hangs.

#[path = "support/remote/mod.rs"]
mod remote;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use remote::proxy::{Mood, Proxy};
use remote::{Book, Speaks, Stage, drain, json, options, receive, room, value, within};
use remotemedia_wasmedge::data::Packet;
use remotemedia_wasmedge::error::{Code, Error, Result};
use remotemedia_wasmedge::remote::{Api, Client, KeepaliveOptions, NodeTarget, RemoteOptions, RemoteStream, Scope};
use serde_json::json as js;

/// A client of `proxy` with little patience.
fn client(proxy: &Proxy) -> Client {
    remote::client(RemoteOptions { api: Some(Api::V0), timeout: Some(1.0), connect_timeout_ms: Some(500.0), ..options(proxy.address) })
}

async fn call(client: &Client, node: &str) -> Result<Packet> {
    client.execute_node(&NodeTarget::new(node), json(js!(1)), &Scope::default()).await
}

/// What any fault may become, and how late an end may be after its deadline on a busy machine.
fn typed(error: &Error) -> bool {
    matches!(error.code(), Code::Unavailable | Code::Deadline | Code::Remote)
}
const LATE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn latency_delays_and_loses_nothing() {
    let stage = Stage::v0().await;
    let proxy = Proxy::before(stage.address).await;
    let client = client(&proxy);
    call(&client, "Echo").await.expect("an output");
    proxy.feel(Mood::Late(Duration::from_millis(20)));
    for result in futures_util::future::join_all((0..50).map(|_| call(&client, "Echo"))).await {
        result.expect("an output");
    }
    let stream = client.stream_node(&NodeTarget::new("Echo"), within(5_000));
    for index in 0..50 {
        stream.try_send(json(js!(index))).expect("accepted");
    }
    stream.finish();
    let (packets, end) = drain(&stream).await;
    end.expect("a clean end");
    assert_eq!(packets.iter().map(value).collect::<Vec<_>>(), (0..50).map(|index| js!(index)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_slow_drip_is_put_together() {
    let stage = Stage::v0().await;
    let proxy = Proxy::before(stage.address).await;
    let client = remote::client(RemoteOptions { api: Some(Api::V0), ..options(proxy.address) });
    proxy.feel(Mood::Drip);
    let text = "abc".repeat(3_000);
    let output = client.execute_node(&NodeTarget::new("Echo"), json(js!(text)), &Scope::default()).await.expect("an output");
    assert_eq!(value(&output), js!(text));
}

#[tokio::test]
async fn a_reset_ends_every_call_and_stream_and_the_next_call_connects_again() {
    for tear in [Mood::Reset, Mood::Close] {
        let stage = Stage::v0().await;
        let proxy = Proxy::before(stage.address).await;
        let client = client(&proxy);
        let streams = [(); 3].map(|()| client.stream_node(&NodeTarget::new("Echo"), Scope::default()));
        for stream in &streams {
            stream.try_send(json(js!(1))).expect("accepted");
            assert!(receive(stream, 1).await.expect("a result").is_some());
        }
        let calls: Vec<_> = (0..20)
            .map(|_| {
                tokio::spawn({
                    let client = client.clone();
                    async move { call(&client, "Wait").await }
                })
            })
            .collect();
        stage.book.until_waiting(20).await;
        proxy.feel(tear);
        for one in calls {
            let error = one.await.expect("a task").expect_err("torn");
            assert_eq!(error.code(), Code::Unavailable, "{error:?}");
            assert!(error.message().contains(&proxy.address.to_string()), "{error}");
        }
        for stream in &streams {
            let (packets, end) = drain(stream).await;
            assert_eq!((packets.len(), end.expect_err("torn").code()), (0, Code::Unavailable));
            assert!(receive(stream, 1).await.expect("still the end").is_none());
        }
        proxy.feel(Mood::Fair);
        eventually(&client).await;
    }
}

/// Until calls go well again.
async fn eventually(client: &Client) {
    let wait = async {
        while call(client, "Echo").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(remote::PATIENCE, wait).await.expect("calls go well again");
}

#[tokio::test]
async fn a_black_hole_ends_at_the_deadline_and_is_left() {
    for hole in [Mood::Hole, Mood::HalfOpen] {
        let stage = Stage::v0().await;
        let proxy = Proxy::before(stage.address).await;
        let client = client(&proxy);
        call(&client, "Echo").await.expect("an output");
        let stream = client.stream_node(&NodeTarget::new("Echo"), Scope::default());
        stream.try_send(json(js!(1))).expect("accepted");
        assert!(receive(&stream, 1).await.expect("a result").is_some());
        let before = proxy.connections();

        proxy.feel(hole);
        let begun = Instant::now();
        stream.try_send(json(js!(2))).expect("accepted");
        let calls = futures_util::future::join_all((0..20).map(|_| call(&client, "Echo"))).await;
        for error in calls.into_iter().map(|result| result.expect_err("nothing comes back")) {
            assert_eq!(error.code(), Code::Deadline);
        }
        let (packets, end) = drain(&stream).await;
        let error = end.expect_err("nothing comes back");
        assert_eq!((packets.len(), error.code()), (0, Code::Deadline));
        assert!(begun.elapsed() < Duration::from_secs(1) + LATE);

        // The connection was silent throughout: the next call does not use it again.
        proxy.feel(Mood::Fair);
        call(&client, "Echo").await.expect("an output over a new connection");
        assert!(proxy.connections() > before);
    }
}

#[tokio::test]
async fn a_hole_from_the_start_is_no_connection() {
    let stage = Stage::v0().await;
    let proxy = Proxy::before(stage.address).await;
    proxy.feel(Mood::Hole);
    let client = client(&proxy);
    let error = call(&client, "Echo").await.expect_err("nothing comes back");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("gave no answer within 500 ms"), "{error}");
    let stream = client.stream_node(&NodeTarget::new("Echo"), Scope::default());
    stream.try_send(json(js!(1))).expect("accepted");
    assert!(typed(&drain(&stream).await.1.expect_err("nothing comes back")));
    proxy.feel(Mood::Fair);
    eventually(&client).await;
}

#[tokio::test]
async fn pings_find_a_dead_connection_before_the_deadline() {
    let stage = Stage::v0().await;
    let proxy = Proxy::before(stage.address).await;
    let keepalive = Some(KeepaliveOptions { interval_ms: Some(100.0), timeout_ms: Some(200.0), while_idle: false });
    let client = remote::client(RemoteOptions { api: Some(Api::V0), keepalive, timeout: Some(300.0), ..options(proxy.address) });
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { call(&client, "Wait").await }
    });
    stage.book.until_waiting(1).await;
    proxy.feel(Mood::Hole);
    let error = tokio::time::timeout(remote::PATIENCE, waiting).await.expect("long before its deadline").expect("a task").expect_err("dead");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("keepalive"), "{error}");
}

#[tokio::test]
async fn a_killed_server_ends_everything_and_is_found_when_it_is_back() {
    let book = Arc::new(Book::default());
    let stage = Stage::start(Speaks::V0, "127.0.0.1:0", Arc::clone(&book), |server| server).await;
    let proxy = Proxy::before(stage.address).await;
    let client = client(&proxy);
    let stream = client.stream_node(&NodeTarget::new("Echo"), Scope::default());
    stream.try_send(json(js!(1))).expect("accepted");
    assert!(receive(&stream, 1).await.expect("a result").is_some());
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { call(&client, "Wait").await }
    });
    book.until_waiting(1).await;
    stage.kill().await;
    assert_eq!(waiting.await.expect("a task").expect_err("killed").code(), Code::Unavailable);
    assert!(typed(&drain(&stream).await.1.expect_err("killed")));
    assert!(typed(&call(&client, "Echo").await.expect_err("nobody there")));

    let again = Stage::start(Speaks::V0, "127.0.0.1:0", Arc::clone(&book), |server| server).await;
    proxy.aim(again.address);
    eventually(&client).await;
}

#[tokio::test]
async fn a_server_that_leaves_finishes_what_it_has_and_new_calls_go_elsewhere() {
    let mut one = Stage::v0().await;
    let two = Stage::v0().await;
    let proxy = Proxy::before(one.address).await;
    let client = client(&proxy);
    let stream = client.stream_node(&NodeTarget::new("Echo"), within(20_000));
    stream.try_send(json(js!(0))).expect("accepted");
    assert!(receive(&stream, 1).await.expect("a result").is_some());
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.execute_node(&NodeTarget::new("Wait"), json(js!(1)), &within(20_000)).await }
    });
    one.book.until_waiting(1).await;

    // GOAWAY in the middle of a stream and a call.
    proxy.aim(two.address);
    one.leave();
    for index in 1..20 {
        // None fails, wherever it is when the news comes.
        call(&client, "Echo").await.expect("an output");
        stream.try_send(json(js!(index))).expect("accepted");
        assert_eq!(value(&receive(&stream, 1).await.expect("a result").expect("a packet")[0]), js!(index));
    }
    assert!(two.book.count("ExecuteNode") > 0);
    one.book.go.notify_waiters();
    waiting.await.expect("a task").expect("an output");
    stream.finish();
    drain(&stream).await.1.expect("a clean end");
}

#[tokio::test]
async fn connections_that_age_away_lose_no_call() {
    let age = Duration::from_millis(50);
    let stage = Stage::start(Speaks::V0, "127.0.0.1:0", Arc::default(), |server| server.max_connection_age(age)).await;
    let client = remote::client(RemoteOptions { api: Some(Api::V0), max_retries: None, ..stage.options() });
    let begun = Instant::now();
    let mut calls = 0;
    while begun.elapsed() < age * 20 {
        let results = futures_util::future::join_all((0..8).map(|_| call(&client, "Echo"))).await;
        calls += results.len();
        for result in results {
            result.expect("an output");
        }
    }
    let mut peers: Vec<_> = stage.book.peers.lock().iter().map(|(_, peer)| *peer).collect();
    peers.dedup();
    assert!(peers.len() > 3, "{} connections for {calls} calls", peers.len());
    // What was refused was sent again, and what was worked on was not: each call once.
    assert_eq!(stage.book.count("ExecuteNode"), calls);
}

/// Sends `count` numbers and says how many were accepted.
async fn feed(stream: &RemoteStream, count: usize) -> usize {
    for index in 0..count {
        match stream.try_send(json(js!(index))) {
            Ok(true) => {}
            Ok(false) => {
                if room(stream).await.is_err() {
                    return index + 1;
                }
            }
            Err(_) => return index,
        }
    }
    stream.finish();
    count
}

#[tokio::test]
async fn whatever_happens_a_stream_gives_a_prefix_and_one_end() {
    let stage = Stage::v0().await;
    let proxy = Proxy::before(stage.address).await;
    let moods = [Mood::Reset, Mood::Close, Mood::Hole, Mood::HalfOpen, Mood::Late(Duration::from_millis(5)), Mood::Drip];
    for (round, mood) in moods.into_iter().cycle().take(18).enumerate() {
        proxy.feel(Mood::Fair);
        let client = client(&proxy);
        eventually(&client).await;
        let stream = client.stream_node(&NodeTarget::new("Echo"), within(500));
        let trouble = async {
            // After as many items as the round has it.
            let seen = stage.book.received.load(Ordering::SeqCst) + round * 7;
            let wait = async {
                while stage.book.received.load(Ordering::SeqCst) < seen {
                    tokio::task::yield_now().await;
                }
            };
            let _ = tokio::time::timeout(Duration::from_secs(2), wait).await;
            proxy.feel(mood);
        };
        let begun = Instant::now();
        let (accepted, (packets, end), ()) = tokio::join!(feed(&stream, 200), drain(&stream), trouble);
        let got: Vec<_> = packets.iter().map(|packet| value(packet).as_u64().expect("a number")).collect();
        assert_eq!(got, (0..got.len() as u64).collect::<Vec<_>>(), "{mood:?}");
        match end {
            Ok(()) => assert_eq!((got.len(), accepted), (200, 200), "{mood:?}"),
            Err(error) => assert!(typed(&error), "{mood:?}: {error:?}"),
        }
        assert!(receive(&stream, 1).await.expect("still the end").is_none());
        assert!(begun.elapsed() < Duration::from_secs(3) + LATE, "{mood:?}");
    }
}

#[tokio::test]
async fn whatever_happens_each_call_ends_once_and_in_time() {
    let stage = Stage::v0().await;
    let proxy = Arc::new(Proxy::before(stage.address).await);
    let client = remote::client(RemoteOptions {
        api: Some(Api::V0),
        timeout: Some(1.0),
        connect_timeout_ms: Some(300.0),
        max_retries: Some(2.0),
        ..options(proxy.address)
    });
    let weather = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move {
            for mood in [Mood::Fair, Mood::Reset, Mood::Fair, Mood::Hole, Mood::Fair, Mood::Close, Mood::Drip, Mood::HalfOpen, Mood::Reset] {
                proxy.feel(mood);
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            proxy.feel(Mood::Fair);
        }
    });
    let (mut good, mut bad) = (0, 0);
    while !weather.is_finished() {
        let begun = Instant::now();
        for result in futures_util::future::join_all((0..16).map(|_| call(&client, "Echo"))).await {
            match result {
                Ok(_) => good += 1,
                Err(error) => {
                    assert!(typed(&error), "{error:?}");
                    bad += 1;
                }
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(1) + LATE);
        tokio::task::yield_now().await;
    }
    assert!(good > 0 && bad > 0, "{good} good, {bad} bad");
    eventually(&client).await;
    assert_eq!(client.metrics()["endpoints"][0]["inFlight"], js!(0));
}

/// Resident memory in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") << 10
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_stays_flat_over_a_hundred_thousand_calls() {
    let stage = Stage::v0().await;
    let client = remote::client(RemoteOptions { api: Some(Api::V0), ..stage.options() });
    let run = async |calls: usize| {
        let mut left = calls;
        while left > 0 {
            let some = left.min(64);
            for result in futures_util::future::join_all((0..some).map(|_| call(&client, "Echo"))).await {
                result.expect("an output");
            }
            left -= some;
            stage.book.calls.lock().clear();
            stage.book.peers.lock().clear();
        }
    };
    run(10_000).await;
    let before = resident();
    run(90_000).await;
    let grown = resident().saturating_sub(before);
    // 100 bytes kept per call would be 9 MB.
    assert!(grown < 4 << 20, "{grown} bytes more after 90,000 calls");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_stays_flat_over_thousands_of_streams_and_failures() {
    let stage = Stage::v0().await;
    let client = remote::client(RemoteOptions { api: Some(Api::V0), ..stage.options() });
    let run = async |rounds: usize| {
        for round in 0..rounds {
            let stream = client.stream_node(&NodeTarget::new("Echo"), Scope::default());
            stream.try_send(json(js!(1))).expect("accepted");
            if round % 2 == 0 {
                stream.finish();
                drain(&stream).await.1.expect("a clean end");
            }
            // Others are dropped in the middle.
            drop(stream);
            assert!(call(&client, "Denied").await.is_err());
            stage.book.calls.lock().clear();
            stage.book.peers.lock().clear();
        }
    };
    run(500).await;
    let before = resident();
    run(3_000).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more after 3,000 streams");
}
