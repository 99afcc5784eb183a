//! What goes through: in order, to everybody who is to have it, with its number and its marks.

use std::future::ready;
use std::sync::Arc;

use remotemedia_wasmedge::data::{Packet, Value};
use remotemedia_wasmedge::engine::Mode;
use remotemedia_wasmedge::pipeline::{NODE_KEY, OnError, Pipeline};

use crate::nodes::{Caller, each, echo, failure, is_failure, number, numbered, numbers, same};

fn mark(packet: &Packet) -> Option<&str> {
    packet.metadata.as_ref()?.get(NODE_KEY)?.as_str()
}

/// A node that adds to each number.
fn adds(name: &str, by: u32) -> Arc<dyn remotemedia_wasmedge::pipeline::Node> {
    each(name, move |packet| ready(Ok(vec![numbered(number(&packet) + by)]))).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_come_out_in_order_through_modules_and_generators() {
    let nodes = vec![echo(Mode::Interpreter), adds("adds", 10_000), echo(Mode::Interpreter)];
    let pipeline = Arc::new(Pipeline::chain("chain", nodes));
    let (out, end) = Caller::new(&pipeline, |_| {}).through((0..1_000).map(numbered)).await;
    end.expect("no failure");
    assert_eq!(numbers(&out), (10_000..11_000).collect::<Vec<_>>());
    assert!(out.iter().enumerate().all(|(index, packet)| packet.sequence == index as u64), "each has its item's number");
    assert!(out.iter().all(|packet| mark(packet).is_none()), "one way out needs no mark");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_may_have_no_answer_or_several() {
    let (many, _) = each("many", |packet| ready(Ok(vec![packet.clone(); packet.sequence as usize % 4])));
    let pipeline = Arc::new(Pipeline::chain("chain", vec![same("before").0, many, echo(Mode::Interpreter)]));
    let (out, end) = Caller::new(&pipeline, |_| {}).through((0..200).map(numbered)).await;
    end.expect("no failure");
    let expected: Vec<u32> = (0..200).flat_map(|number| vec![number; number as usize % 4]).collect();
    assert_eq!(numbers(&out), expected);
    assert!(out.iter().all(|packet| packet.sequence == u64::from(number(packet))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_of_nothing_lets_everything_pass() {
    let pipeline = Arc::new(Pipeline::chain("nothing", Vec::new()));
    let (out, end) = Caller::new(&pipeline, |_| {}).through((0..100).map(numbered)).await;
    end.expect("no failure");
    assert_eq!(numbers(&out), (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_items_ends() {
    let pipeline = Arc::new(Pipeline::chain("chain", vec![same("a").0, echo(Mode::Interpreter)]));
    let (out, end) = Caller::new(&pipeline, |_| {}).through(Vec::new()).await;
    end.expect("no failure");
    assert!(out.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ways_that_part_and_meet_again_bring_each_item_over_both() {
    let nodes = vec![same("first").0, adds("left", 1_000), echo(Mode::Interpreter), same("last").0];
    let pipeline = Arc::new(Pipeline::graph("diamond", nodes, vec![vec![1, 2], vec![3], vec![3], Vec::new()], vec![3]));
    let (out, end) = Caller::new(&pipeline, |_| {}).through((0..500).map(numbered)).await;
    end.expect("no failure");
    let (left, right): (Vec<u32>, Vec<u32>) = numbers(&out).into_iter().partition(|number| *number >= 1_000);
    assert_eq!(left, (1_000..1_500).collect::<Vec<_>>(), "in order, as they came over one way");
    assert_eq!(right, (0..500).collect::<Vec<_>>(), "and over the other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_ways_in_and_out_and_each_packet_says_by_which_it_left() {
    let nodes = vec![adds("left", 1_000), echo(Mode::Interpreter), same("middle").0];
    let pipeline = Pipeline::graph("several", nodes, vec![vec![2], Vec::new(), Vec::new()], vec![0, 1, 2]);
    let pipeline = Arc::new(pipeline.named(vec!["l".to_owned(), "r".to_owned(), "m".to_owned()]));
    let items = (0..200).map(|number| {
        let metadata = [("mine".to_owned(), Value::from(number))].into_iter().collect();
        Packet { metadata: Some(Arc::new(metadata)), ..numbered(number) }
    });
    let (out, end) = Caller::new(&pipeline, |_| {}).through(items).await;
    end.expect("no failure");
    let of = |name: &str| -> Vec<u32> { out.iter().filter(|packet| mark(packet) == Some(name)).map(number).collect() };
    let (high, low): (Vec<_>, Vec<_>) = ((1_000..1_200).collect(), (0..200).collect());
    assert_eq!((of("l"), of("m"), of("r")), (high.clone(), high, low));
    assert_eq!(out.len(), 600);
    let kept = |packet: &Packet| packet.metadata.as_ref().and_then(|map| map.get("mine")).is_some();
    assert!(out.iter().filter(|packet| mark(packet) == Some("r")).all(kept), "a mark does not replace what is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_comes_after_the_answers_before_it() {
    let (fails, watch) = each("fails", |packet| ready(if packet.sequence == 50 { Err(failure("no more")) } else { Ok(vec![packet]) }));
    let (before, upstream) = same("before");
    let pipeline = Arc::new(Pipeline::chain("chain", vec![before, fails, echo(Mode::Interpreter)]));
    let (out, end) = Caller::new(&pipeline, |_| {}).through((0..10_000).map(numbered)).await;
    let error = end.expect_err("it failed");
    assert_eq!((error.message(), error.node()), ("no more", Some("fails")));
    assert!(error.session().is_some());
    assert_eq!(numbers(&out), (0..50).collect::<Vec<_>>(), "all before it, none after it");
    crate::nodes::until("all nodes have stopped", || watch.alive() == 0 && upstream.alive() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_told_once_and_then_the_end() {
    let (fails, _) = each("fails", |_| ready(Err(failure("at once"))));
    let pipeline = Arc::new(Pipeline::chain("chain", vec![fails]));
    let caller = Caller::new(&pipeline, |_| {});
    caller.send(numbered(1)).await.expect("taken");
    assert!(caller.receive(1).await.is_err());
    for _ in 0..3 {
        assert!(caller.receive(1).await.expect("told already").is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_items_are_left_out_or_described_in_their_place() {
    for on_error in [OnError::Skip, OnError::Emit] {
        let (fails, watch) = each("fails", |packet| ready(if packet.sequence % 10 == 3 { Err(failure("three")) } else { Ok(vec![packet]) }));
        let (behind, seen) = same("behind");
        let pipeline = Arc::new(Pipeline::chain("chain", vec![echo(Mode::Interpreter), fails, behind, echo(Mode::Interpreter)]));
        let (out, end) = Caller::new(&pipeline, |scope| scope.on_error = on_error).through((0..100).map(numbered)).await;
        end.expect("the stream outlives it");
        let (failed, answers): (Vec<_>, Vec<_>) = out.iter().cloned().partition(is_failure);
        assert_eq!(numbers(&answers), (0..100).filter(|number| number % 10 != 3).collect::<Vec<_>>());
        assert_eq!((watch.taken(), seen.taken()), (100, 90), "no node behind it gets a failed item");
        assert_eq!(watch.runs(), 11, "a generator that failed is begun anew");
        if on_error == OnError::Skip {
            assert!(failed.is_empty());
            continue;
        }
        assert!(out.is_sorted_by_key(|packet| packet.sequence), "in their places");
        assert_eq!(failed.iter().map(|packet| packet.sequence).collect::<Vec<_>>(), (3..100).step_by(10).collect::<Vec<_>>());
        let about: Value = serde_json::from_slice(&failed[0].bytes).expect("JSON");
        assert_eq!((&about["error"]["message"], &about["error"]["nodeName"]), (&"three".into(), &"fails".into()));
        assert_eq!(about["error"]["code"], "ERR_NODE");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_is_a_node_of_another() {
    let inner = Pipeline::chain("inner", vec![adds("one", 1), echo(Mode::Interpreter)]);
    let pipeline = Arc::new(Pipeline::chain("outer", vec![Arc::new(inner), adds("ten", 10)]));
    let (out, end) = Caller::new(&pipeline, |_| {}).through((0..300).map(numbered)).await;
    end.expect("no failure");
    assert_eq!(numbers(&out), (11..311).collect::<Vec<_>>());
}
