//! Streams: order, backpressure both ways, silence, and exactly one end.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use remotemedia_wasmedge::data::Packet;
use remotemedia_wasmedge::error::{Code, Result};
use remotemedia_wasmedge::remote::{NodeTarget, PayloadFormat, RemoteOptions, RemoteStream, Scope};
use serde_json::json as js;

use super::remote::{self, Stage, drain, json, receive, room, value, within};

/// Sends numbers, with patience, and finishes.
async fn feed(stream: &RemoteStream, count: usize) -> Result<()> {
    for index in 0..count {
        if !stream.try_send(json(js!(index)))? {
            room(stream).await?;
        }
    }
    stream.finish();
    Ok(())
}

fn numbers(packets: &[Packet]) -> Vec<u64> {
    packets.iter().map(|packet| value(packet).as_u64().expect("a number")).collect()
}

async fn through(stage: &Stage, node: &str, count: usize) -> (Vec<Packet>, Result<()>) {
    let stream = stage.client().stream_node(&NodeTarget::new(node), Scope::default());
    let (fed, drained) = tokio::join!(feed(&stream, count), drain(&stream));
    drop(fed);
    drained
}

#[tokio::test]
async fn a_stream_keeps_order_and_ends_once() {
    let stage = Stage::v0().await;
    let stream = stage.client().stream_node(&NodeTarget::new("Echo"), Scope::default());
    let (fed, (packets, end)) = tokio::join!(feed(&stream, 2_000), drain(&stream));
    fed.expect("accepted");
    end.expect("a clean end");
    assert_eq!(numbers(&packets), (0..2_000).collect::<Vec<_>>());
    assert!(packets.iter().enumerate().all(|(index, packet)| packet.sequence == index as u64));
    assert!(receive(&stream, 1).await.expect("still the end").is_none());
    assert_eq!(stream.try_send(json(js!(1))).expect_err("over").code(), Code::Closed);
}

#[tokio::test]
async fn outputs_need_not_match_inputs() {
    let stage = Stage::v0().await;
    let (packets, end) = through(&stage, "Twice", 3).await;
    end.expect("a clean end");
    assert_eq!(packets.iter().map(value).collect::<Vec<_>>(), [js!(0), js!(0), js!(1), js!(1), js!(2), js!(2), js!("flushed")]);
    let (packets, end) = through(&stage, "Even", 5).await;
    end.expect("a clean end");
    assert_eq!(numbers(&packets), [0, 2, 4]);
}

#[tokio::test]
async fn nothing_opens_before_the_first_item() {
    let stage = Stage::v0().await;
    let stream = stage.client().stream_node(&NodeTarget::new("Echo"), Scope::default());
    assert_eq!(stage.book.calls.lock().len(), 0);
    stream.try_send(json(js!(1))).expect("accepted");
    assert_eq!(numbers(&receive(&stream, 9).await.expect("a result").expect("a packet")), [1]);
}

#[tokio::test]
async fn a_stream_of_nothing_ends_well() {
    let stage = Stage::v0().await;
    let (packets, end) = through(&stage, "Twice", 0).await;
    end.expect("a clean end");
    assert_eq!(packets.iter().map(value).collect::<Vec<_>>(), [js!("flushed")]);
}

#[tokio::test]
async fn a_failure_comes_after_the_results_before_it_and_once() {
    let stage = Stage::v0().await;
    let stream = stage.client().stream_node(&NodeTarget::new("FailAtThird"), Scope::default());
    let (_, (packets, end)) = tokio::join!(feed(&stream, 5), drain(&stream));
    assert_eq!(numbers(&packets), [0, 1]);
    let error = end.expect_err("a failure");
    assert_eq!((error.code(), error.message()), (Code::Remote, "ValueError: the third"));
    assert_eq!(error.remote().and_then(|details| details.category.clone()).as_deref(), Some("VALIDATION"));
    assert!(receive(&stream, 1).await.expect("the end").is_none());
    assert_eq!(stream.try_send(json(js!(1))).expect_err("over").message(), "ValueError: the third");
    assert_eq!(room(&stream).await.expect_err("over").message(), "ValueError: the third");
}

#[tokio::test]
async fn every_kind_of_failure_ends_a_stream_typed() {
    let stage = Stage::v0().await;
    for (node, code, words) in [
        ("NoSuchNode", Code::Remote, "not supported for remote execution"),
        ("EndEarly", Code::Remote, "before its input was over"),
        ("Abort", Code::Remote, "ABORTED"),
        ("Garbage", Code::Serialization, ""),
        ("BadInput", Code::Remote, "bad"),
    ] {
        let stream = stage.client().stream_node(&NodeTarget::new(node), Scope::default());
        for index in 0..3 {
            let _ = stream.try_send(json(js!(index)));
        }
        let (_, end) = drain(&stream).await;
        let error = end.expect_err(node);
        assert!(error.code() == code && error.message().contains(words), "{node}: {error:?}");
    }
}

#[tokio::test]
async fn an_item_that_cannot_be_written_ends_the_stream() {
    let stage = Stage::v0().await;
    let target = NodeTarget { format: PayloadFormat::Json, ..NodeTarget::new("Echo") };
    let stream = stage.client().stream_node(&target, Scope::default());
    stream.try_send(json(js!(1))).expect("accepted");
    assert!(receive(&stream, 1).await.expect("a result").is_some());
    // Bytes have no form in json.
    stream.try_send(Packet::binary(&b"\xff"[..])).expect("accepted");
    let (_, end) = drain(&stream).await;
    assert_eq!(end.expect_err("no form").code(), Code::Serialization);
}

#[tokio::test]
async fn silence_after_an_item_ends_a_stream() {
    let stage = Stage::v0().await;
    let stream = stage.client().stream_node(&NodeTarget::new("Silent"), within(300));
    stream.try_send(json(js!(1))).expect("accepted");
    let (packets, end) = drain(&stream).await;
    let error = end.expect_err("silence");
    assert_eq!((packets.len(), error.code()), (0, Code::Deadline));
    assert!(error.message().contains("answered nothing within 300 ms") && error.message().contains(&stage.address.to_string()), "{error}");
}

#[tokio::test]
async fn a_whole_stream_has_a_deadline_if_it_is_given_one() {
    let stage = Stage::v0().await;
    let scope = Scope { deadline: Some(Instant::now() + Duration::from_millis(300)), ..Scope::default() };
    let stream = stage.client().stream_node(&NodeTarget::new("Echo"), scope);
    stream.try_send(json(js!(1))).expect("accepted");
    let (packets, end) = drain(&stream).await;
    assert_eq!((numbers(&packets), end.expect_err("late").code()), (vec![1], Code::Deadline));
}

#[tokio::test]
async fn a_server_that_reads_nothing_holds_the_sender_back() {
    let stage = Stage::v0().await;
    let stream = stage.client().stream_node(&NodeTarget::new("Blocked"), Scope::default());
    let large = json(js!("x".repeat(256 << 10)));
    let mut accepted = 0;
    while stream.try_send(large.clone()).expect("accepted") {
        accepted += 1;
        assert!(accepted < 1_000, "nothing holds the sender back");
    }
    stage.book.until_waiting(1).await;
    stage.book.go.notify_waiters();
    // Let go, the server drops what is left and answers; the stream is then over before its input is.
    let (packets, end) = drain(&stream).await;
    assert_eq!((packets.len(), end.expect_err("early").code()), (1, Code::Remote));
}

#[tokio::test]
async fn a_consumer_that_does_not_read_holds_the_server_back() {
    let stage = Stage::v0().await;
    let windows = remotemedia_wasmedge::remote::WindowOptions { stream_bytes: Some(65_535.0), connection_bytes: Some(65_535.0) };
    let client = remote::client(RemoteOptions { windows, ..stage.options() });
    let stream = client.stream_node(&NodeTarget::new("Echo"), Scope::default());
    let large = Packet::binary(vec![7; 64 << 10]);
    let mut sent = 0;
    // Fills everything between here and a consumer that does not come.
    loop {
        if !stream.try_send(large.clone()).expect("accepted") && tokio::time::timeout(Duration::from_millis(500), room(&stream)).await.is_err() {
            sent += 1;
            break;
        }
        sent += 1;
        assert!(sent < 2_000, "nothing holds the sender back");
    }
    let mut got = 0;
    stream.finish();
    while let Some(packets) = receive(&stream, 3).await.expect("results") {
        assert!(packets.len() <= 3 && packets.iter().all(|packet| packet.bytes.len() == 64 << 10));
        got += packets.len();
    }
    assert_eq!(got, sent);
}

#[tokio::test]
async fn dropping_a_stream_ends_it_at_the_server() {
    let stage = Stage::v0().await;
    let stream = stage.client().stream_node(&NodeTarget::new("Blocked"), Scope::default());
    stream.try_send(json(js!(1))).expect("accepted");
    stage.book.until_waiting(1).await;
    drop(stream);
    stage.book.until_dropped(1).await;
}

#[tokio::test]
async fn every_way_of_ending_a_stream_is_told() {
    let stage = Stage::v0().await;
    for way in 0..4 {
        let client = stage.client();
        let scope = Scope::default();
        let cancel = scope.cancel.clone();
        let stream = client.stream_node(&NodeTarget::new("Blocked"), scope);
        if way < 3 {
            stream.try_send(json(js!(1))).expect("accepted");
            stage.book.until_waiting(1).await;
        }
        match way {
            0 | 3 => stream.cancel(),
            1 => cancel.cancel(),
            _ => client.close(),
        }
        let (packets, end) = drain(&stream).await;
        let code = end.expect_err("ended").code();
        assert_eq!((packets.len(), code), (0, if way == 2 { Code::Closed } else { Code::Aborted }));
        if way < 3 {
            stage.book.until_dropped(way + 1).await;
        }
    }
}

#[tokio::test]
async fn callbacks_may_use_the_stream_that_calls_them() {
    let stage = Stage::v0().await;
    let stream = std::sync::Arc::new(stage.client().stream_node(&NodeTarget::new("Echo"), Scope::default()));
    let (tell, told) = tokio::sync::oneshot::channel();
    let inner = std::sync::Arc::clone(&stream);
    stream.receive(
        1,
        Box::new(move |first| {
            let first = first.expect("a result").expect("a packet");
            inner.try_send(json(js!("again"))).expect("accepted");
            let last = std::sync::Arc::clone(&inner);
            inner.receive(1, Box::new(move |second| drop((tell.send((first, second)), last))));
        }),
    );
    stream.try_send(json(js!("once"))).expect("accepted");
    let (first, second) = told.await.expect("both");
    assert_eq!((value(&first[0]), value(&second.expect("a result").expect("a packet")[0])), (js!("once"), js!("again")));
}

#[tokio::test]
async fn misuse_is_refused_and_does_no_harm() {
    let stage = Stage::v0().await;
    let stream = stage.client().stream_node(&NodeTarget::new("Echo"), Scope::default());
    let (tell, told) = tokio::sync::oneshot::channel();
    stream.receive(1, Box::new(move |answer| drop(tell.send(answer))));
    assert_eq!(receive(&stream, 1).await.expect_err("two wait").code(), Code::Internal);
    stream.try_send(json(js!(1))).expect("accepted");
    assert_eq!(numbers(&told.await.expect("an answer").expect("a result").expect("a packet")), [1]);
}

#[tokio::test]
async fn streams_of_the_stock_server_do_not_share_connections_by_default() {
    let stage = Stage::v0().await;
    let peers = |book: &remote::Book| {
        let mut peers: Vec<_> = book.peers.lock().iter().filter(|(method, _)| method == "StreamNode").map(|(_, peer)| *peer).collect();
        peers.dedup();
        peers.len()
    };
    for (shared, wanted) in [(false, 2), (true, 1)] {
        stage.book.peers.lock().clear();
        let client = remote::client(RemoteOptions { shared_streams: shared, ..stage.options() });
        let streams = [(); 2].map(|()| client.stream_node(&NodeTarget::new("Echo"), Scope::default()));
        for stream in &streams {
            stream.try_send(json(js!(1))).expect("accepted");
            assert!(receive(stream, 1).await.expect("a result").is_some());
        }
        assert_eq!(peers(&stage.book), wanted);
        // One after the other use the same.
        for stream in streams {
            stream.finish();
            drain(&stream).await.1.expect("a clean end");
        }
        stage.book.peers.lock().clear();
        for _ in 0..5 {
            through_client(&client).await;
        }
        assert_eq!(peers(&stage.book), 1);
    }
    assert!(stage.book.received.load(Ordering::SeqCst) > 0);
}

async fn through_client(client: &remotemedia_wasmedge::remote::Client) {
    let stream = client.stream_node(&NodeTarget::new("Echo"), Scope::default());
    feed(&stream, 3).await.expect("accepted");
    drain(&stream).await.1.expect("a clean end");
}
