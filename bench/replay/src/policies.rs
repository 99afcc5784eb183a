//! Whoever decides: our policy, and what others would do. Each is told the same about an item, a moment and what came of a choice.

use std::time::Duration;

use crate::routing::{self, Admission, Policy, Route, RoutingConfig, RoutingOptions, Target, Verdict};
use crate::world::{CLOUD, EDGE, Random, SideIndex};

/// What is known before a choice.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    pub now_ms: f64,
    pub bytes: u64,
    pub edge_in_flight: u32,
    pub workers: u32,
    pub cpu: f64,
    /// The last cheap probes of the network.
    pub rtt_ms: Option<f64>,
}

/// What is known after it.
#[derive(Clone, Copy, Debug)]
pub struct Feedback {
    pub side: SideIndex,
    pub bytes: u64,
    pub latency_ms: f64,
    /// By the weights, the other side's help after a failure included.
    pub cost: f64,
    pub ok: bool,
    pub ahead: u32,
}

pub trait Decider {
    fn name(&self) -> &'static str;
    fn choose(&mut self, context: &Context) -> SideIndex;
    /// A cheap question to the cloud was answered, or not.
    fn probed(&mut self, _answer_ms: Option<f64>, _now_ms: f64) {}
    /// An attempt on a side begins that was not chosen: after a failure.
    fn helps(&mut self, _side: SideIndex, _now_ms: f64) {}
    fn learn(&mut self, feedback: &Feedback, now_ms: f64);
}

/// All of them. `best_bytes` is the best fixed size in hindsight.
pub fn all(seed: u64, best_bytes: u64, cloud_call: f64, cloud_byte: f64) -> Vec<Box<dyn Decider>> {
    vec![
        Box::new(Ours::new(seed, cloud_call, cloud_byte)),
        Box::new(Fixed("always-edge", u64::MAX)),
        Box::new(Fixed("always-cloud", 0)),
        Box::new(Fixed("static 100 KiB", 100 << 10)),
        Box::new(Fixed("best static", best_bytes)),
        Box::new(Buckets::new(Kind::Ewma, seed)),
        Box::new(Buckets::new(Kind::EpsilonGreedy, seed)),
        Box::new(LinUcb::new()),
        Box::new(Buckets::new(Kind::Thompson, seed)),
        Box::new(Buckets::new(Kind::HiLcbLite, seed)),
    ]
}

struct Ours {
    policy: Policy,
}

fn duration(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.max(0.0) / 1e3)
}

fn target(side: SideIndex) -> Target {
    if side == EDGE { Target::Edge } else { Target::Cloud }
}

impl Ours {
    fn new(seed: u64, cloud_call: f64, cloud_byte: f64) -> Self {
        let mut options = RoutingOptions { seed: Some(seed as f64), ..RoutingOptions::default() };
        (options.cost.cloud_call, options.cost.cloud_byte) = (Some(cloud_call), Some(cloud_byte));
        Self { policy: Policy::new(RoutingConfig::new(options).expect("options")) }
    }
}

impl Decider for Ours {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn choose(&mut self, context: &Context) -> SideIndex {
        let now = duration(context.now_ms);
        let item = routing::Item { bytes: context.bytes, ..routing::Item::default() };
        let load =
            routing::Load { edge_in_flight: context.edge_in_flight, edge_slots: context.workers, cpu: context.cpu, ..routing::Load::default() };
        let decision = self.policy.decide(&item, &load, now);
        self.policy.begin(&decision, now);
        let side = if decision.route == Route::Edge { EDGE } else { CLOUD };
        match self.policy.admit(target(side), now) {
            Admission::Refused { .. } => {
                self.policy.admit(target(1 - side), now);
                1 - side
            }
            Admission::Allowed | Admission::Probe => side,
        }
    }

    fn probed(&mut self, answer_ms: Option<f64>, now_ms: f64) {
        let _changed = self.policy.probed(Target::Cloud, answer_ms, duration(now_ms));
    }

    fn helps(&mut self, side: SideIndex, now_ms: f64) {
        self.policy.admit(target(side), duration(now_ms));
    }

    fn learn(&mut self, feedback: &Feedback, now_ms: f64) {
        let result = if feedback.ok { Verdict::Ok } else { Verdict::Failed };
        let outcome = routing::Outcome {
            target: target(feedback.side),
            bytes: feedback.bytes,
            complexity: None,
            latency_ms: feedback.latency_ms,
            queue_ms: 0.0,
            result,
            batch: 1,
            ahead: feedback.ahead,
        };
        self.policy.record(&outcome, duration(now_ms));
    }
}

/// By size alone.
struct Fixed(&'static str, u64);

impl Decider for Fixed {
    fn name(&self) -> &'static str {
        self.0
    }

    fn choose(&mut self, context: &Context) -> SideIndex {
        if context.bytes <= self.1 && self.1 > 0 { EDGE } else { CLOUD }
    }

    fn learn(&mut self, _: &Feedback, _: f64) {}
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ewma,
    EpsilonGreedy,
    Thompson,
    HiLcbLite,
}

/// Means of each side for each size bucket, used in four ways.
struct Buckets {
    kind: Kind,
    random: Random,
    decided: f64,
    /// Weight, mean, mean of squares.
    cells: [[(f64, f64, f64); 16]; 2],
}

impl Buckets {
    fn new(kind: Kind, seed: u64) -> Self {
        Self { kind, random: Random::new(seed ^ 0xbadc), decided: 0.0, cells: [[(0.0, 0.0, 0.0); 16]; 2] }
    }

    fn bucket(bytes: u64) -> usize {
        (64 - bytes.leading_zeros() as usize).saturating_sub(9).min(15)
    }

    fn score(&mut self, side: SideIndex, bucket: usize) -> f64 {
        let (weight, mean, squares) = self.cells[side][bucket];
        if weight == 0.0 {
            return f64::NEG_INFINITY;
        }
        let sigma = (squares - mean * mean).max(0.01 * mean * mean).sqrt();
        match self.kind {
            Kind::Ewma | Kind::EpsilonGreedy => mean,
            Kind::Thompson => mean + sigma / weight.sqrt() * self.random.normal(),
            // A lower confidence bound whose width shrinks with the logarithm of time.
            Kind::HiLcbLite => mean - sigma * (2.0 * self.decided.max(2.0).ln() / weight).sqrt() * 0.5,
        }
    }
}

impl Decider for Buckets {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Ewma => "EWMA threshold",
            Kind::EpsilonGreedy => "epsilon-greedy",
            Kind::Thompson => "discounted Thompson",
            Kind::HiLcbLite => "HI-LCB-lite",
        }
    }

    fn choose(&mut self, context: &Context) -> SideIndex {
        self.decided += 1.0;
        if self.kind == Kind::EpsilonGreedy && self.random.uniform() < 0.03 {
            return (self.random.next() & 1) as usize;
        }
        let bucket = Self::bucket(context.bytes);
        let (edge, cloud) = (self.score(EDGE, bucket), self.score(CLOUD, bucket));
        if edge <= cloud { EDGE } else { CLOUD }
    }

    fn learn(&mut self, feedback: &Feedback, _: f64) {
        let bucket = Self::bucket(feedback.bytes);
        if self.kind == Kind::Thompson {
            // What was long ago fades, also where nothing new comes.
            for side in &mut self.cells {
                for cell in side.iter_mut() {
                    cell.0 *= 0.997;
                }
            }
        }
        let cell = &mut self.cells[feedback.side][bucket];
        cell.0 += 1.0;
        let rate = match self.kind {
            Kind::Ewma | Kind::EpsilonGreedy => (1.0 / cell.0).max(0.1),
            Kind::Thompson => 1.0 / cell.0.max(1.0),
            Kind::HiLcbLite => 1.0 / cell.0,
        };
        cell.1 += rate * (feedback.cost - cell.1);
        cell.2 += rate * (feedback.cost * feedback.cost - cell.2);
    }
}

const D: usize = 5;

/// A linear model of each side's cost, with the same signals as ours, and its upper (here lower) confidence bound.
struct LinUcb {
    inverse: [[[f64; D]; D]; 2],
    b: [[f64; D]; 2],
    pending: Vec<(u64, SideIndex, [f64; D])>,
    last: [f64; D],
}

impl LinUcb {
    fn new() -> Self {
        let mut inverse = [[[0.0; D]; D]; 2];
        for side in &mut inverse {
            for (index, row) in side.iter_mut().enumerate() {
                row[index] = 1.0;
            }
        }
        Self { inverse, b: [[0.0; D]; 2], pending: Vec::new(), last: [0.0; D] }
    }

    fn features(context: &Context) -> [f64; D] {
        let waiting = f64::from((context.edge_in_flight + 1).saturating_sub(context.workers));
        [1.0, context.bytes as f64 / 65_536.0, waiting, context.rtt_ms.unwrap_or(0.0) / 50.0, context.cpu]
    }

    fn times(matrix: &[[f64; D]; D], x: &[f64; D]) -> [f64; D] {
        let mut out = [0.0; D];
        for (out, row) in out.iter_mut().zip(matrix) {
            *out = row.iter().zip(x).map(|(a, b)| a * b).sum();
        }
        out
    }
}

impl Decider for LinUcb {
    fn name(&self) -> &'static str {
        "LinUCB"
    }

    fn choose(&mut self, context: &Context) -> SideIndex {
        let x = Self::features(context);
        let score = |side: SideIndex| {
            let px = Self::times(&self.inverse[side], &x);
            let theta = Self::times(&self.inverse[side], &self.b[side]);
            let mean: f64 = theta.iter().zip(&x).map(|(a, b)| a * b).sum();
            mean - 10.0 * x.iter().zip(&px).map(|(a, b)| a * b).sum::<f64>().max(0.0).sqrt()
        };
        self.last = x;
        let side = if score(EDGE) <= score(CLOUD) { EDGE } else { CLOUD };
        self.pending.push((context.bytes, side, x));
        side
    }

    fn learn(&mut self, feedback: &Feedback, _: f64) {
        let at = self.pending.iter().position(|(bytes, side, _)| *bytes == feedback.bytes && *side == feedback.side);
        let x = at.map_or(self.last, |at| self.pending.swap_remove(at).2);
        let side = feedback.side;
        let px = Self::times(&self.inverse[side], &x);
        let denominator = 1.0 + x.iter().zip(&px).map(|(a, b)| a * b).sum::<f64>();
        for row in 0..D {
            for column in 0..D {
                self.inverse[side][row][column] -= px[row] * px[column] / denominator;
            }
            self.b[side][row] += feedback.cost * x[row];
        }
    }
}
