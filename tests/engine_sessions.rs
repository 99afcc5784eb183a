//! Sessions and the pool: state stays, order holds, limits hold, and what ends says why.

mod support;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use remotemedia_wasmedge::data::{Packet, SessionId};
use remotemedia_wasmedge::engine::{Mode, NodeOptions, StreamOptions, WasmNode};
use remotemedia_wasmedge::error::Code;
use support::{MODES, call, guest_node, stream, wait};

fn counter(options: NodeOptions) -> std::sync::Arc<WasmNode> {
    guest_node("fixtures/leaky_state", options).unwrap()
}

fn interpreted() -> NodeOptions {
    NodeOptions { mode: Mode::Interpreter, ..NodeOptions::default() }
}

fn count(stream: &remotemedia_wasmedge::engine::Stream) -> u32 {
    let out = call(stream, Packet::binary(vec![0])).unwrap();
    u32::from_le_bytes(out[0].bytes.as_ref().try_into().unwrap())
}

/// Waits for a figure of the node: it changes on another thread.
fn until(node: &WasmNode, what: &str, wanted: u64) {
    let end = Instant::now() + Duration::from_secs(20);
    while node.metrics()[what] != wanted {
        assert!(Instant::now() < end, "{what} never became {wanted}: {:?}", node.metrics());
        std::thread::yield_now();
    }
}

#[test]
fn state_is_per_session_and_outlives_streams() {
    for mode in MODES {
        let node = counter(NodeOptions { mode, ..NodeOptions::default() });
        let (a, b) = (stream(&node, "a"), stream(&node, "b"));
        assert_eq!([count(&a), count(&b), count(&a), count(&a), count(&b)], [1, 1, 2, 3, 2]);
        drop(a);
        assert_eq!(count(&stream(&node, "a")), 4);
        wait::<()>(|done| node.close_session(&SessionId::new("a").unwrap(), "closed", Box::new(move || done(()))));
        assert_eq!(count(&stream(&node, "a")), 1, "a closed session begins anew, in fresh memory");
    }
}

#[test]
fn items_of_a_session_keep_their_order_under_load() {
    let node = counter(interpreted());
    let (sender, receiver) = mpsc::channel();
    let streams: BTreeMap<_, _> = (0..8).map(|index| (index, stream(&node, &format!("s{index}")))).collect();
    for _ in 0..500 {
        for (index, stream) in &streams {
            let (index, sender) = (*index, sender.clone());
            stream.submit(
                Packet::binary(vec![0]),
                Box::new(move |out| {
                    let count = u32::from_le_bytes(out.unwrap()[0].bytes.as_ref().try_into().unwrap());
                    sender.send((index, count)).unwrap();
                }),
            );
        }
    }
    let mut seen = BTreeMap::new();
    for _ in 0..8 * 500 {
        let (index, count) = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
        let last: &mut u32 = seen.entry(index).or_insert(0);
        assert_eq!(count, *last + 1);
        *last = count;
    }
}

#[test]
fn the_least_recently_used_idle_session_makes_room() {
    // Whoever has the answers to all items finds room at once: the turns they were made in may still be ending.
    for _ in 0..50 {
        let node = counter(NodeOptions { sessions_max: Some(2.0), ..interpreted() });
        let (a, b) = (stream(&node, "a"), stream(&node, "b"));
        assert_eq!((count(&a), count(&b), count(&a)), (1, 1, 2));
        assert_eq!(count(&stream(&node, "c")), 1);
        assert_eq!(node.metrics()["sessionsClosed"]["least-recently-used"], 1);
        assert_eq!(count(&a), 3, "the one used last stays");
        let error = call(&b, Packet::binary(vec![0])).unwrap_err();
        assert_eq!(error.code(), Code::Session, "{error:?}");
        assert!(error.message().contains("least-recently-used"), "{error:?}");
    }
}

#[test]
fn sessions_expire() {
    let node = counter(NodeOptions { sessions_ttl_ms: Some(40.0), ..interpreted() });
    let stream = stream(&node, "a");
    assert_eq!(count(&stream), 1);
    until(&node, "instancesLive", 0);
    assert_eq!(node.metrics()["sessionsClosed"]["expired"], 1);
    assert_eq!(call(&stream, Packet::binary(vec![0])).unwrap_err().code(), Code::Session);
}

#[test]
fn a_full_pool_waits_in_a_bounded_line() {
    let node = counter(NodeOptions { pool_max: Some(1.0), pool_max_queue: Some(1.0), ..interpreted() });
    let a = stream(&node, "a");
    assert_eq!(count(&a), 1);
    let (b, c) = (stream(&node, "b"), stream(&node, "c"));
    let (sender, receiver) = mpsc::channel();
    b.submit(Packet::binary(vec![0]), Box::new(move |out| sender.send(out).unwrap()));
    until(&node, "waiting", 1);
    let error = call(&c, Packet::binary(vec![0])).unwrap_err();
    assert_eq!((error.code(), error.code().retryable()), (Code::PoolExhausted, true), "{error:?}");
    wait::<()>(|done| node.close_session(&SessionId::new("a").unwrap(), "closed", Box::new(move || done(()))));
    assert!(receiver.recv_timeout(Duration::from_secs(20)).unwrap().is_ok(), "the place that was given back goes to the next in line");
}

#[test]
fn a_minimum_is_kept_ready_and_given_out_unused() {
    let node = counter(NodeOptions { pool_min: Some(2.0), pool_max: Some(4.0), pool_idle_ttl_ms: Some(20.0), ..interpreted() });
    until(&node, "instancesLive", 2);
    assert_eq!(count(&stream(&node, "a")), 1, "fresh memory");
    until(&node, "instancesLive", 3);
    wait::<()>(|done| node.cleanup(Box::new(move || done(()))));
    assert_eq!(node.metrics()["instancesLive"], 0);
}

#[test]
fn a_stateless_node_serves_any_session_from_few_instances() {
    let node = guest_node("echo", NodeOptions { stateless: true, ..interpreted() }).unwrap();
    for index in 0..50 {
        let out = call(&stream(&node, &format!("s{index}")), Packet::binary(vec![index])).unwrap();
        assert_eq!(out[0].bytes.as_ref(), [index]);
    }
    let live = node.metrics()["instancesLive"].as_u64().unwrap();
    assert!(live <= std::thread::available_parallelism().unwrap().get() as u64, "{live}");
}

#[test]
fn an_interpreted_session_moves_to_compiled_code_with_its_state() {
    let node = counter(NodeOptions { mode: Mode::Auto, memory_limit: Some(f64::from(1 << 20)), fuel: Some(1e9), ..NodeOptions::default() });
    let stream = stream(&node, "a");
    let end = Instant::now() + Duration::from_secs(60);
    let mut expected = 0;
    // Found in the cache of an earlier run it is compiled from the start; then there is nothing to move.
    while node.metrics()["callsByMode"]["aot"] == 0 {
        expected += 1;
        assert_eq!(count(&stream), expected, "no item is lost or done twice");
        assert!(Instant::now() < end, "never compiled: {:?}", node.metrics());
    }
    assert_eq!(count(&stream), expected + 1);
    let moved = node.metrics()["instancesMoved"].as_u64().unwrap();
    assert_eq!(moved, u64::from(node.metrics()["callsByMode"]["interpreter"] != 0));
}

#[test]
fn fuel_runs_out_in_every_mode() {
    for mode in MODES {
        let node = guest_node("fixtures/spin", NodeOptions { mode, fuel: Some(100_000.0), ..NodeOptions::default() }).unwrap();
        let error = call(&stream(&node, "a"), Packet::binary(vec![0])).unwrap_err();
        assert_eq!(error.code(), Code::WasmFuel, "{mode:?} {error:?}");
        let node = guest_node("echo", NodeOptions { mode, fuel: Some(100_000.0), ..NodeOptions::default() }).unwrap();
        let stream = stream(&node, "a");
        for _ in 0..100 {
            assert!(call(&stream, Packet::binary(vec![0])).is_ok(), "{mode:?}: each item has fuel of its own");
        }
    }
}

#[test]
fn cancelling_a_stream_stops_what_runs() {
    for mode in MODES {
        let node = guest_node("fixtures/spin", NodeOptions { mode, ..NodeOptions::default() }).unwrap();
        let stream = node.open(StreamOptions::default()).unwrap();
        let (sender, receiver) = mpsc::channel();
        stream.submit(Packet::binary(vec![0]), Box::new(move |out| sender.send(out).unwrap()));
        until(&node, "items", 1);
        stream.cancel();
        let error = receiver.recv_timeout(Duration::from_secs(10)).unwrap().unwrap_err();
        assert_eq!(error.code(), Code::Aborted, "{mode:?}");
    }
}

#[test]
fn a_stream_that_was_opened_before_the_end_begins_no_session_after_it() {
    let node = counter(interpreted());
    let late = stream(&node, "late");
    wait::<()>(|done| node.cleanup(Box::new(move || done(()))));
    let error = call(&late, Packet::binary(vec![0])).expect_err("the node has ended");
    assert_eq!((error.code(), error.node()), (Code::Closed, Some(node.config().name.as_str())));
    let metrics = node.metrics();
    assert_eq!([&metrics["sessionsOpen"], &metrics["sessionsOpened"], &metrics["queued"]], [0, 0, 0]);
}

#[test]
fn cleanup_ends_what_runs_and_what_waits() {
    let node = guest_node("fixtures/spin", interpreted()).unwrap();
    let stream = stream(&node, "a");
    let (sender, receiver) = mpsc::channel();
    for _ in 0..3 {
        let sender = sender.clone();
        stream.submit(Packet::binary(vec![0]), Box::new(move |out| sender.send(out).unwrap()));
    }
    until(&node, "items", 1);
    wait::<()>(|done| node.cleanup(Box::new(move || done(()))));
    for _ in 0..3 {
        assert_eq!(receiver.recv_timeout(Duration::from_secs(10)).unwrap().unwrap_err().code(), Code::Closed);
    }
    assert_eq!(node.metrics()["instancesLive"], 0);
    assert_eq!(node.open(StreamOptions::default()).err().unwrap().code(), Code::Closed);
}
