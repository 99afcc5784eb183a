//! Many streams at once, and one that is very long: memory stays as it is.

use std::future::ready;
use std::sync::Arc;

use remotemedia_wasmedge::engine::Mode;
use remotemedia_wasmedge::pipeline::{Pipeline, StreamScope};

use crate::nodes::{Caller, each, echo, number, numbered, numbers, same, until};

/// Memory of this process in bytes.
#[cfg(target_os = "linux")]
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux").split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number") * 4_096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_side_by_side() {
    const STREAMS: u32 = 1_000;
    const ITEMS: u32 = 40;
    let stages: Vec<_> = ["a", "b", "c", "d", "e"].map(same).into_iter().collect();
    let (nodes, watches): (Vec<_>, Vec<_>) = stages.into_iter().unzip();
    let pipeline = Arc::new(Pipeline::chain("chain", nodes));
    let callers: Vec<_> = (0..STREAMS).map(|_| Caller::new(&pipeline, |scope| scope.buffer = 2)).collect();
    for (index, caller) in (0..).zip(&callers) {
        caller.send(numbered(index)).await.expect("taken");
    }
    // All of them are there at once before the first one goes on.
    until("all run", || watches.iter().all(|watch| watch.alive() == i64::from(STREAMS))).await;
    #[cfg(target_os = "linux")]
    let before = memory();
    let streams: Vec<_> = (0..)
        .zip(callers)
        .map(|(index, caller)| {
            tokio::spawn(async move {
                let (out, end) = caller.through((1..ITEMS).map(move |item| numbered(index + item * STREAMS))).await;
                end.expect("no failure");
                assert_eq!(numbers(&out), (0..ITEMS).map(|item| index + item * STREAMS).collect::<Vec<_>>());
            })
        })
        .collect();
    for stream in streams {
        stream.await.expect("in order, nothing lost");
    }
    #[cfg(target_os = "linux")]
    {
        let grown = memory().saturating_sub(before);
        assert!(grown < 64 << 20, "{grown} bytes more for streams of 40 items than for streams of one");
    }
    until("all have stopped", || watches.iter().all(|watch| watch.alive() == 0 && watch.taken() == u64::from(STREAMS * ITEMS))).await;
}

/// `RM_SOAK_PACKETS` makes it longer.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_stream_of_small_packets_takes_no_more_memory_than_a_short_one() {
    let packets: u32 = std::env::var("RM_SOAK_PACKETS").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let (middle, watch) = each("middle", |packet| ready(Ok(vec![packet])));
    let pipeline = Arc::new(Pipeline::chain("chain", vec![echo(Mode::Aot), middle, echo(Mode::Aot)]));
    let caller = Caller::new(&pipeline, |scope: &mut StreamScope| scope.buffer = 64);
    let writer = caller.clone();
    let writing = tokio::spawn(async move {
        for number in 0..packets {
            writer.send(numbered(number)).await.expect("taken");
        }
        writer.0.finish();
    });
    // What a warm-up takes once.
    let (warm, mut before, mut next) = (packets / 10, None, 0);
    let started = std::time::Instant::now();
    while let Some(came) = caller.receive(256).await.expect("no failure") {
        for packet in &came {
            assert_eq!((number(packet), packet.sequence), (next, u64::from(next)));
            next += 1;
        }
        if next >= warm && before.is_none() {
            before = Some(memory());
        }
    }
    writing.await.expect("no panic");
    assert_eq!((next, watch.taken()), (packets, u64::from(packets)));
    let (before, after, took) = (before.expect("a warm-up"), memory(), started.elapsed().as_secs_f64());
    eprintln!("{packets} packets in {took:.1} s, {:.0} a second; memory {before} bytes, then {after}", f64::from(packets) / took);
    assert!(after.saturating_sub(before) < 8 << 20, "{before} bytes became {after}");
}
