//! Routing an item allocates nothing, and neither does observing it while nobody asked for traces: measured by an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use remotemedia_wasmedge::data::{Packet, SessionId, TraceContext};
use remotemedia_wasmedge::engine::{ModuleSource, NodeConfig, NodeOptions, WasmNode};
use remotemedia_wasmedge::error::Code;
use remotemedia_wasmedge::observe::NodeMetrics;
use remotemedia_wasmedge::observe::trace::{self, SpanKind};
use remotemedia_wasmedge::pipeline::{Node, WasmStage};
use remotemedia_wasmedge::routing::{HedgeOptions, Item, Load, Outcome, Policy, Route, RoutingConfig, RoutingOptions, Target, Verdict};

thread_local! {
    /// Of this thread alone: the test's own frame may allocate as it likes.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system allocator's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system allocator's conditions.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system allocator's conditions.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

/// Items of all sizes through all states: learned, explored, failed, with the breaker open and closed again.
fn route(policy: &mut Policy, items: std::ops::Range<u64>) {
    for number in items {
        let now = Duration::from_millis(number * 40);
        let item =
            Item { bytes: 300 << (number % 20), complexity: (number % 3 == 0).then_some(0.5), remaining_ms: (number % 5 == 0).then_some(80.0) };
        let load = Load { edge_in_flight: (number % 6) as u32, edge_slots: 2, cloud_in_flight: 1, cpu: 0.3, memory: 0.5 };
        let decision = policy.decide(&item, &load, now);
        policy.begin(&decision, now);
        let target = if decision.route == Route::Edge { Target::Edge } else { Target::Cloud };
        policy.admit(target, now);
        policy.hedge_after(target);
        policy.may_hedge();
        policy.may_retry();
        policy.prewarm(now);
        let result = match number % 1_000 {
            0..30 => Verdict::Failed,
            30..35 => Verdict::Cancelled,
            35..40 => Verdict::Rejected,
            _ => Verdict::Ok,
        };
        let latency_ms = 5.0 + (item.bytes % 1_000) as f64 / 10.0;
        let outcome = Outcome { target, bytes: item.bytes, complexity: item.complexity, latency_ms, queue_ms: 0.0, result, batch: 1, ahead: 0 };
        policy.record(&outcome, now);
        policy.probed(Target::Cloud, (number % 50 != 0).then_some(12.0), now);
    }
}

#[test]
fn deciding_and_learning_allocate_nothing() {
    // The counter counts, or zero would mean nothing.
    assert!(allocations(|| drop(std::hint::black_box(vec![1_u8; 64]))) > 0);
    let options = RoutingOptions { hedge: Some(HedgeOptions::default()), ..RoutingOptions::default() };
    let mut policy = Policy::new(RoutingConfig::new(options).expect("options"));
    route(&mut policy, 0..1_000);
    assert_eq!(allocations(|| route(&mut policy, 1_000..21_000)), 0);
    assert!(policy.snapshot(Duration::from_secs(900))["decided"] == 21_000);
}

#[test]
fn figures_and_traces_that_nobody_asked_for_allocate_nothing() {
    let (metrics, session) = (NodeMetrics::default(), SessionId::anonymous());
    let theirs = TraceContext { trace_id: 1, span_id: 2, sampled: true };
    let mut packet = Packet::binary(vec![0; 640]);
    let allocated = allocations(|| {
        for _ in 0..10_000 {
            trace::begin(&mut packet, None, Some(&session));
            let spans = [trace::child(Some(theirs), "edge", SpanKind::Internal), trace::child_or_root(None, "edge", SpanKind::Internal)];
            assert!(packet.trace.is_none() && spans.iter().all(Option::is_none));
            metrics.items.add(1);
            metrics.input_bytes.add(640);
            metrics.call("aot");
            metrics.exec.add(Duration::from_micros(20));
            metrics.error(Code::Guest);
        }
    });
    assert_eq!(allocated, 0);
}

/// A router asks at each item, and the standard library's own answer comes out of files.
#[test]
fn how_many_items_a_node_can_do_at_once_is_not_found_out_anew_each_time() {
    let config = NodeConfig::new(NodeOptions::default(), "test").expect("options");
    let stage = WasmStage::new(WasmNode::new(ModuleSource::Bytes(Vec::new()), config).expect("a node"));
    let first = stage.parallelism();
    assert_eq!(allocations(|| assert_eq!(stage.parallelism(), first)), 0);
}
