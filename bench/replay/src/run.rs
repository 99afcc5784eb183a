//! One trace through every policy and the oracle.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::policies::{self, Context, Decider, Feedback};
use crate::traces::Trace;
use crate::world::{CLOUD, EDGE, SideIndex};

/// How one policy did.
pub struct Outcome {
    pub trace: &'static str,
    pub policy: &'static str,
    pub items: usize,
    /// Expected cost of each item as it was decided.
    pub costs: Vec<f64>,
    pub oracle: Vec<f64>,
    pub sides: Vec<SideIndex>,
    /// Indices of the first items after a change.
    pub changes: Vec<usize>,
}

/// Something that happens later.
enum Later {
    /// An answer, or a failure.
    Ends(Feedback),
    /// The cloud has failed this item, and the edge begins with it.
    Helps(usize),
}

struct Pending {
    at_ms: f64,
    later: Later,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Pending {}
impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Pending {
    fn cmp(&self, other: &Self) -> Ordering {
        // The earliest first.
        other.at_ms.total_cmp(&self.at_ms)
    }
}

/// The edge's workers, each with the moment from which it is free.
struct Workers(Vec<f64>);

impl Workers {
    fn wait(&self, now: f64) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min).max(now) - now
    }

    fn take(&mut self, now: f64, service: f64) -> f64 {
        let first = self.0.iter_mut().min_by(|a, b| a.total_cmp(b)).expect("a worker");
        *first = first.max(now) + service;
        *first - now
    }
}

/// Time between two cheap probes of the network.
const PROBE_MS: f64 = 1_000.0;

/// A replay of one policy; the oracle is one that looks at the world.
fn through(trace: &Trace, decider: Option<&mut dyn Decider>) -> (Vec<f64>, Vec<SideIndex>) {
    let mut decider = decider;
    let mut workers = Workers(vec![0.0; (trace.world)(0.0).workers]);
    let mut pending: BinaryHeap<Pending> = BinaryHeap::new();
    let (mut costs, mut sides) = (Vec::with_capacity(trace.items.len()), Vec::with_capacity(trace.items.len()));
    let mut edge_ends: Vec<f64> = Vec::new();
    let (mut probes, mut probed) = ([None::<f64>; 2], f64::NEG_INFINITY);
    for (index, item) in trace.items.iter().enumerate() {
        let (now, world) = (item.at_ms, (trace.world)(item.at_ms));
        while pending.peek().is_some_and(|first| first.at_ms <= now) {
            let Some(Pending { at_ms, later }) = pending.pop() else { break };
            match later {
                Later::Ends(feedback) => {
                    if let Some(decider) = decider.as_deref_mut() {
                        decider.learn(&feedback, at_ms);
                    }
                }
                Later::Helps(failed) => {
                    let item = &trace.items[failed];
                    let ahead = edge_ends.iter().filter(|end| **end > at_ms).count() as u32;
                    let took = workers.take(at_ms, (trace.world)(at_ms).real_edge(item));
                    edge_ends.push(at_ms + took);
                    if let Some(decider) = decider.as_deref_mut() {
                        decider.helps(EDGE, at_ms);
                    }
                    let feedback = Feedback { side: EDGE, bytes: item.bytes, latency_ms: took, cost: took, ok: true, ahead };
                    pending.push(Pending { at_ms: at_ms + took, later: Later::Ends(feedback) });
                }
            }
        }
        edge_ends.retain(|end| *end > now);
        let recorded = trace.recorded.as_ref().map(|all| all[index]);
        // The answer is a matter of the network alone; the first is only asked for with the first item.
        if now - probed >= PROBE_MS && recorded.is_none() {
            probed = now;
            let answer = world.dead.is_none().then_some(world.rtt_ms * 1.02);
            probes = [answer.or(probes[0]), probes[0]];
            if let Some(decider) = decider.as_deref_mut() {
                decider.probed(answer, now);
            }
        }
        let rtt_ms = probes.iter().flatten().copied().reduce(f64::min);
        let wait = if recorded.is_some() { 0.0 } else { workers.wait(now) };
        let expected = |side: SideIndex| match recorded {
            Some(recorded) => recorded.expected[side] + if side == CLOUD { world.cloud_price(item.bytes) } else { 0.0 },
            None => world.expected(side, item.bytes, wait),
        };
        let in_flight = edge_ends.len() as u32;
        let side = match decider.as_deref_mut() {
            None => usize::from(expected(CLOUD) < expected(EDGE)),
            Some(decider) => {
                let context =
                    Context { now_ms: now, bytes: item.bytes, edge_in_flight: in_flight, workers: world.workers as u32, cpu: world.cpu, rtt_ms };
                decider.choose(&context)
            }
        };
        costs.push(expected(side));
        sides.push(side);
        let feedback = |side, latency_ms, cost, ok, ahead| Feedback { side, bytes: item.bytes, latency_ms, cost, ok, ahead };
        if let Some(recorded) = recorded {
            let price = if side == CLOUD { world.cloud_price(item.bytes) } else { 0.0 };
            let cost = recorded.ms[side] + price + if recorded.ok[side] { 0.0 } else { recorded.ms[1 - side] };
            pending
                .push(Pending { at_ms: now + recorded.ms[side], later: Later::Ends(feedback(side, recorded.ms[side], cost, recorded.ok[side], 0)) });
            if side == EDGE {
                edge_ends.push(now + recorded.ms[EDGE]);
            }
            continue;
        }
        if side == EDGE {
            let took = workers.take(now, world.real_edge(item));
            edge_ends.push(now + took);
            pending.push(Pending { at_ms: now + took, later: Later::Ends(feedback(EDGE, took, took, true, in_flight)) });
            continue;
        }
        let (took, ok) = world.real_cloud(item);
        let price = world.cloud_price(item.bytes);
        // The edge serves what the cloud has failed; who learns by cost is told what that takes on average.
        let cost = took + price + if ok { 0.0 } else { wait + world.edge_service(item.bytes) };
        pending.push(Pending { at_ms: now + took, later: Later::Ends(feedback(CLOUD, took, cost, ok, 0)) });
        if !ok {
            pending.push(Pending { at_ms: now + took, later: Later::Helps(index) });
        }
    }
    (costs, sides)
}

/// The fixed size that would have been best.
fn best_static(trace: &Trace) -> u64 {
    struct Size(u64);
    impl Decider for Size {
        fn name(&self) -> &'static str {
            "size"
        }
        fn choose(&mut self, context: &Context) -> SideIndex {
            usize::from(context.bytes > self.0)
        }
        fn learn(&mut self, _: &Feedback, _: f64) {}
    }
    let sizes = (0..48).map(|step| (512.0 * 2.0_f64.powf(f64::from(step) / 4.0)) as u64).chain([u64::MAX]);
    let total = |size: u64| through(trace, Some(&mut Size(size))).0.iter().sum::<f64>();
    sizes.map(|size| (size, total(size))).min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(size, _)| size)
}

/// Replays a trace.
pub fn replay(trace: &Trace, seed: u64) -> Vec<Outcome> {
    let (oracle, _) = through(trace, None);
    let world = (trace.world)(0.0);
    let changes: Vec<_> = trace.changes_ms.iter().filter_map(|at| trace.items.iter().position(|item| item.at_ms >= *at)).collect();
    policies::all(seed, best_static(trace), world.cloud_call, world.cloud_byte)
        .into_iter()
        .map(|mut policy| {
            let (costs, sides) = through(trace, Some(&mut *policy));
            Outcome { trace: trace.name, policy: policy.name(), items: costs.len(), costs, oracle: oracle.clone(), sides, changes: changes.clone() }
        })
        .collect()
}

impl Outcome {
    /// Regret in percent of the oracle's cost, over the first `items`.
    pub fn regret_percent(&self, items: usize) -> f64 {
        let sum = |costs: &[f64]| costs.iter().take(items).sum::<f64>();
        100.0 * (sum(&self.costs) / sum(&self.oracle) - 1.0)
    }

    /// Items after each change until the cost of twenty is within 10% of the oracle's.
    pub fn recovery(&self) -> Vec<usize> {
        self.changes
            .iter()
            .map(|change| {
                (0..self.items.saturating_sub(change + 20))
                    .find(|after| {
                        let range = change + after..change + after + 20;
                        self.costs[range.clone()].iter().sum::<f64>() <= 1.1 * self.oracle[range].iter().sum::<f64>()
                    })
                    .unwrap_or(self.items)
            })
            .collect()
    }
}
