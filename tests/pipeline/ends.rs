//! How streams end: by their nodes, by their caller, by being forgotten; and how far ahead of a slow reader they run.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use remotemedia_wasmedge::engine::Mode;
use remotemedia_wasmedge::error::Code;
use remotemedia_wasmedge::pipeline::{Node, OnError, Pipeline};

use crate::nodes::{Caller, each, echo, generator, numbered, numbers, same, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_had_enough_ends_those_before_it() {
    let (before, upstream) = same("before");
    let (takes_three, middle) = generator("three", |source, sink| async move {
        for _ in 0..3 {
            let Some(item) = source.next().await? else { return Ok(()) };
            sink.send(item).await?;
        }
        Ok(())
    });
    let (behind, downstream) = same("behind");
    let pipeline = Arc::new(Pipeline::chain("chain", vec![echo(Mode::Interpreter), before, takes_three, behind]));
    // As many items as there are: only an end from within ends it.
    let (out, end) = Caller::new(&pipeline, |scope| scope.buffer = 4).through((0..).map(numbered)).await;
    end.expect("an end is no failure");
    assert_eq!(numbers(&out), [0, 1, 2]);
    until("all nodes have stopped", || [&upstream, &middle, &downstream].iter().all(|watch| watch.alive() == 0)).await;
    assert_eq!(middle.taken(), 3);
    // What the others may have taken on the way to it.
    assert!(upstream.taken() < 3 + 4 * 6, "{}", upstream.taken());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_holds_comes_out_at_the_end() {
    let (sums, _) = generator("sums", |source, sink| async move {
        let mut sum = 0;
        while let Some(item) = source.next().await? {
            sum += crate::nodes::number(&item);
        }
        sink.send(numbered(sum)).await
    });
    let pipeline = Arc::new(Pipeline::chain("chain", vec![echo(Mode::Interpreter), sums, echo(Mode::Interpreter)]));
    let (out, end) = Caller::new(&pipeline, |_| {}).through((0..100).map(numbered)).await;
    end.expect("no failure");
    assert_eq!(numbers(&out), [4_950]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_or_forgetting_a_stream_stops_every_node() {
    for forget in [false, true] {
        let (first, one) = same("one");
        let (stuck, two) = generator("stuck", |source, _sink| async move {
            source.next().await?;
            pending().await
        });
        let (last, three) = same("three");
        let pipeline = Arc::new(Pipeline::chain("chain", vec![first, stuck, last]));
        let caller = Caller::new(&pipeline, |_| {});
        caller.send(numbered(0)).await.expect("taken");
        until("it is stuck", || two.taken() == 1 && one.alive() == 1 && three.alive() == 1).await;
        if forget {
            drop(caller);
        } else {
            caller.0.cancel();
            assert!(caller.receive(1).await.expect("the caller's own wish is no failure").is_none());
            caller.send(numbered(1)).await.expect("passed over");
        }
        until("all nodes have stopped", || [&one, &two, &three].iter().all(|watch| watch.alive() == 0)).await;
        until("all nodes have forgotten the stream's own session", || [&one, &two, &three].iter().all(|watch| watch.closed() == 1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_nothing_for_too_long_fails() {
    let (stuck, watch) = generator("stuck", |source, _sink| async move {
        source.next().await?;
        pending().await
    });
    let pipeline = Arc::new(Pipeline::chain("chain", vec![same("before").0, stuck]));
    let caller = Caller::new(&pipeline, |scope| scope.timeout = Some(Duration::from_millis(50)));
    caller.send(numbered(0)).await.expect("taken");
    let error = caller.receive(1).await.expect_err("a failure");
    assert_eq!((error.code(), error.node()), (Code::NodeFailed, Some("stuck")));
    assert!(error.message().contains("50 ms"), "{error}");
    until("it has stopped", || watch.alive() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generator_that_fails_before_it_takes_anything_is_not_begun_for_ever() {
    let (broken, watch) = generator("broken", |_source, _sink| ready(Err(crate::nodes::failure("from the start"))));
    let pipeline = Arc::new(Pipeline::chain("chain", vec![broken]));
    let (out, end) = Caller::new(&pipeline, |scope| scope.on_error = OnError::Skip).through((0..10).map(numbered)).await;
    assert_eq!((out.len(), end.expect_err("it ends").message()), (0, "from the start"));
    assert_eq!(watch.runs(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleaned_up_pipeline_begins_nothing() {
    let (node, watch) = same("node");
    let pipeline = Arc::new(Pipeline::chain("chain", vec![node]));
    pipeline.cleanup().await;
    let (out, end) = Caller::new(&pipeline, |_| {}).through((0..10).map(numbered)).await;
    assert_eq!((out.len(), end.expect_err("it is closed").code(), watch.runs()), (0, Code::Closed, 0));
}

/// How many items may be under way in a chain of generators at most: in each line, each sink, and in each node's hands.
fn most_under_way(stages: u64, buffer: u64) -> u64 {
    (stages + 1) * buffer + stages * (buffer + 2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_holds_everything_back() {
    for buffer in [1_usize, 4] {
        let pipeline = Arc::new(Pipeline::chain("chain", vec![same("a").0, same("b").0, same("c").0]));
        let caller = Caller::new(&pipeline, |scope| scope.buffer = buffer);
        let (given, most) = (Arc::new(AtomicU64::new(0)), most_under_way(3, buffer as u64));
        let (writer, counter) = (caller.clone(), Arc::clone(&given));
        let writing = tokio::spawn(async move {
            for number in 0..3_000 {
                counter.fetch_add(1, Ordering::SeqCst);
                writer.send(numbered(number)).await.expect("taken");
            }
            writer.0.finish();
        });
        // Nobody reads: it runs ahead as far as there is room in the lines, and the test would be none if it did not.
        until("all lines are full", || given.load(Ordering::SeqCst) >= 4 * buffer as u64).await;
        for read in 0..3_000 {
            let ahead = given.load(Ordering::SeqCst) - u64::from(read);
            assert!(ahead <= most, "{ahead} items under way, {most} may be");
            let packets = caller.receive(1).await.expect("no failure").expect("no end");
            assert_eq!(numbers(&packets), [read]);
        }
        assert!(caller.receive(1).await.expect("no failure").is_none());
        writing.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_wait_for_a_node_that_is_slow_to_become_ready() {
    // Nothing is made ready before the first item, and items are taken until there is no more room.
    let (node, watch) = each("node", |packet| ready(Ok(vec![packet])));
    let pipeline = Arc::new(Pipeline::chain("chain", vec![node]));
    let caller = Caller::new(&pipeline, |scope| scope.buffer = 2);
    assert_eq!(watch.runs(), 0);
    assert!(caller.0.try_send(numbered(0)).expect("taken"), "there is room for another");
    caller.send(numbered(1)).await.expect("taken");
    caller.0.finish();
    assert!(!caller.0.try_send(numbered(2)).expect("passed over"), "no item after the end");
    let (out, end) = caller.rest().await;
    end.expect("no failure");
    assert_eq!((numbers(&out), watch.runs()), (vec![0, 1], 1));
}
