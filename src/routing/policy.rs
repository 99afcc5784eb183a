//! Decides for each item, and learns from what came of it.
//!
//! [`Policy::decide`] changes nothing and answers the same however often it is asked; [`Policy::begin`] says that its answer was acted upon,
//! [`Policy::admit`] and [`Policy::record`] are the beginning and the end of each attempt on a side. In that order: what cannot be (a breaker,
//! a deadline), what was ordered (thresholds and complexity that the options give), what is known (cost by the models, with a little inertia),
//! what is worth knowing (exploring), and as long as little is known, thresholds that are good guesses.

use std::time::Duration;

use serde_json::{Value, json};

use super::breaker::{Admission, BreakerState};
use super::budget::Budget;
use super::config::{COMPLEX, RoutingConfig, SIMPLE};
use super::explore::{Chance, Explorer};
use super::forecast::Forecast;
use super::model::{BUCKETS, bucket};
use super::side::Side;
use super::{BreakerChange, Decision, Estimate, Item, Load, Outcome, Predicted, Reason, Route, Strategy, Target, Verdict, estimate};
use crate::error::Result;

/// Observations of a side below which it is not known.
const KNOWN: u64 = 3;
/// Of a machine that has nothing left to give.
const STRAINED: f64 = 0.95;
/// Change of the processors' load after which what is known of the edge may no longer be true.
const CPU_CHANGED: f64 = 0.2;
/// A side is given up for the other after so many times the 99th percentile of its latency, and this much more.
const PATIENCE: f64 = 4.0;
const PATIENCE_MS: f64 = 100.0;
/// Second requests that may be saved up.
const SAVED: f64 = 10.0;

/// A router's policy.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) config: RoutingConfig,
    pub(super) sides: [Side; 2],
    explorer: Explorer,
    /// Where items of each size went last, for inertia.
    last: [Option<Target>; BUCKETS],
    decided: u64,
    forecast: Forecast,
    hedges: Budget,
    retries: Option<Budget>,
    cpu: f64,
    cpu_at_edge: f64,
    slots: u32,
    /// Expected cost beyond that of the better side, so far.
    regret: f64,
    cost: f64,
}

impl Policy {
    /// A policy that has learned nothing.
    pub fn new(config: RoutingConfig) -> Self {
        let half_life = config.adaptive.half_life_items;
        let sides = [Target::Edge, Target::Cloud].map(|target| Side::new(target, config.breaker, half_life));
        Self {
            sides,
            explorer: Explorer::new(if config.adaptive.enabled { config.adaptive.exploration } else { 0.0 }, config.seed),
            last: [None; BUCKETS],
            decided: 0,
            forecast: Forecast::default(),
            hedges: Budget::new(config.hedge.map_or(0.0, |hedge| hedge.max_percent), SAVED),
            retries: config.fallback_budget_percent.map(|percent| Budget::new(percent, SAVED)),
            cpu: 0.0,
            cpu_at_edge: 0.0,
            slots: 1,
            regret: 0.0,
            cost: 0.0,
            config,
        }
    }

    fn side(&self, target: Target) -> &Side {
        &self.sides[target as usize]
    }

    /// What both sides would take.
    fn predict(&self, item: &Item, load: &Load, now: Duration) -> Predicted {
        let weights = self.config.cost;
        let mut edge = self.side(Target::Edge).estimate(item, load, now);
        let mut cloud = self.side(Target::Cloud).estimate(item, load, now);
        edge.cost = weights.latency_ms * edge.latency_ms + weights.edge_ms * (edge.latency_ms - edge.wait_ms).max(0.0);
        cloud.cost = weights.latency_ms * cloud.latency_ms + weights.cloud_call + weights.cloud_byte * item.bytes as f64;
        let (alone_edge, alone_cloud) = (edge.cost, cloud.cost);
        // A failure costs the attempt and then the other side, or what the options say that it does.
        let failing = |side: &Side, other: f64| {
            let share = if side.breaker.state(now) == BreakerState::Closed { side.fails } else { 0.0 };
            share * if self.config.fallback { other.max(weights.latency_ms) } else { weights.error }
        };
        edge.cost += failing(self.side(Target::Edge), alone_cloud);
        cloud.cost += failing(self.side(Target::Cloud), alone_edge);
        Predicted { edge, cloud }
    }

    /// Where an item is to run.
    pub fn decide(&self, item: &Item, load: &Load, now: Duration) -> Decision {
        let predicted = self.predict(item, load, now);
        let (route, reason, explored) = self.choose(item, load, &predicted, now);
        Decision { route, reason, predicted, explored, bucket: bucket(item.bytes), cpu: load.cpu, edge_slots: load.edge_slots }
    }

    fn choose(&self, item: &Item, load: &Load, predicted: &Predicted, now: Duration) -> (Route, Reason, bool) {
        if self.config.strategy == Strategy::Hybrid {
            if self.side(Target::Cloud).unreachable {
                return (Route::Edge, Reason::Unreachable(Target::Cloud), false);
            }
            return match self.side(Target::Cloud).breaker.peek(now) {
                Admission::Refused { retry_in } => (Route::Edge, Reason::BreakerOpen { refused: Target::Cloud, retry_in_ms: ms(retry_in) }, false),
                Admission::Allowed | Admission::Probe => (Route::Hybrid, Reason::Split, false),
            };
        }
        let (wanted, reason, explored) = match self.config.strategy {
            Strategy::EdgeFirst => (Target::Edge, Reason::Strategy(Target::Edge), false),
            Strategy::CloudFirst => (Target::Cloud, Reason::Strategy(Target::Cloud), false),
            Strategy::Auto | Strategy::Hybrid => self.by_rules(item, load, predicted, now),
        };
        let (target, reason, explored) = match self.possible(wanted, item, predicted, now) {
            None => (wanted, reason, explored),
            Some((target, reason)) => (target, reason, false),
        };
        (target.into(), reason, explored)
    }

    /// What overrules a wish: breakers and deadlines.
    fn possible(&self, wanted: Target, item: &Item, predicted: &Predicted, now: Duration) -> Option<(Target, Reason)> {
        let other = wanted.other();
        if self.side(wanted).unreachable && !self.side(other).unreachable && !matches!(self.side(other).breaker.peek(now), Admission::Refused { .. })
        {
            return Some((other, Reason::Unreachable(wanted)));
        }
        match (self.side(wanted).breaker.peek(now), self.side(other).breaker.peek(now)) {
            (Admission::Refused { retry_in: here }, Admission::Refused { retry_in: there }) => {
                let (target, retry_in) = if there < here { (other, there) } else { (wanted, here) };
                return Some((target, Reason::BothOpen { retry_in_ms: ms(retry_in) }));
            }
            (Admission::Refused { retry_in }, _) => return Some((other, Reason::BreakerOpen { refused: wanted, retry_in_ms: ms(retry_in) })),
            (Admission::Probe, _) => return Some((wanted, Reason::Probe(wanted))),
            (Admission::Allowed, Admission::Refused { .. }) => return None,
            (Admission::Allowed, _) => {}
        }
        let limit_ms = match (self.config.latency_budget_ms, item.remaining_ms) {
            (Some(budget), Some(remaining)) => budget.min(remaining),
            (budget, remaining) => budget.or(remaining)?,
        };
        let (here, there) = (estimate(predicted, wanted), estimate(predicted, other));
        let late = |target: Target, estimate: &Estimate| self.side(target).model.samples() >= KNOWN && estimate.latency_ms > limit_ms;
        // Both late: the one that is less so. Nothing is known of the other: it may be in time.
        let better = late(wanted, here) && (!late(other, there) || there.latency_ms < here.latency_ms);
        better.then_some((other, Reason::Deadline { late: wanted, needs_ms: here.latency_ms, limit_ms }))
    }

    fn by_rules(&self, item: &Item, load: &Load, predicted: &Predicted, now: Duration) -> (Target, Reason, bool) {
        let config = &self.config;
        if config.cloud_min_given && item.bytes >= config.cloud_min_bytes {
            return (Target::Cloud, Reason::Large { bytes: item.bytes, limit: config.cloud_min_bytes }, false);
        }
        if let Some(complexity) = item.complexity {
            if complexity > COMPLEX {
                return (Target::Cloud, Reason::Complex(complexity), false);
            }
            if complexity < SIMPLE {
                return (Target::Edge, Reason::Simple(complexity), false);
            }
        }
        if config.edge_max_given && item.bytes <= config.edge_max_bytes {
            return (Target::Edge, Reason::Small { bytes: item.bytes, limit: config.edge_max_bytes }, false);
        }
        let known = config.adaptive.enabled && [Target::Edge, Target::Cloud].iter().all(|target| self.side(*target).model.samples() >= KNOWN);
        let (target, reason) = if known { self.learned(item, predicted, now) } else { self.guess(item, load) };
        if config.adaptive.enabled
            && let Some(reason) = self.worth_a_try(target.other(), item, load, predicted, now)
        {
            return (target.other(), reason, true);
        }
        (target, reason, false)
    }

    /// The cheaper side.
    fn learned(&self, item: &Item, predicted: &Predicted, now: Duration) -> (Target, Reason) {
        let (edge, cloud) = (&predicted.edge, &predicted.cloud);
        if self.config.realtime {
            let target = if edge.p95_ms <= cloud.p95_ms { Target::Edge } else { Target::Cloud };
            return (target, Reason::Surer { edge_ms: edge.p95_ms, cloud_ms: cloud.p95_ms });
        }
        let best = if edge.cost <= cloud.cost { Target::Edge } else { Target::Cloud };
        if let Some(last) = self.last[bucket(item.bytes)]
            && last != best
            && estimate(predicted, last).cost <= estimate(predicted, best).cost * (1.0 + self.config.adaptive.hysteresis)
        {
            return (last, Reason::Stays { target: last, edge: edge.cost, cloud: cloud.cost });
        }
        let worse = best.other();
        if let Some(since_ms) = self.side(worse).silence_ms(estimate(predicted, worse).p95_ms, now)
            && self.side(worse).model.samples() > 8
        {
            return (best, Reason::Silent { target: worse, since_ms });
        }
        if best == Target::Cloud && edge.wait_ms > 0.0 && edge.cost - self.config.cost.latency_ms * edge.wait_ms <= cloud.cost {
            return (best, Reason::EdgeQueue { wait_ms: edge.wait_ms, edge_ms: edge.latency_ms, cloud_ms: cloud.latency_ms });
        }
        (best, Reason::Learned { target: best, edge: edge.cost, cloud: cloud.cost })
    }

    /// Good enough until more is known.
    fn guess(&self, item: &Item, load: &Load) -> (Target, Reason) {
        let (config, bytes) = (&self.config, item.bytes);
        let waiting = load.edge_in_flight.saturating_sub(load.edge_slots.saturating_mul(4));
        if waiting > 0 {
            return (Target::Cloud, Reason::EdgeBusy { waiting: load.edge_in_flight });
        }
        if load.cpu > STRAINED || load.memory > STRAINED {
            return (Target::Cloud, Reason::EdgeStrained { cpu: load.cpu, memory: load.memory });
        }
        if config.realtime {
            return (Target::Edge, Reason::Realtime);
        }
        if bytes >= config.cloud_min_bytes {
            return (Target::Cloud, Reason::Large { bytes, limit: config.cloud_min_bytes });
        }
        // In between, the nearer of the two thresholds, by their ratio.
        let middle = (config.edge_max_bytes.max(1) as f64 * config.cloud_min_bytes as f64).sqrt();
        if bytes > config.edge_max_bytes && bytes as f64 > middle {
            return (Target::Cloud, Reason::Large { bytes, limit: middle as u64 });
        }
        (Target::Edge, Reason::Small { bytes, limit: config.edge_max_bytes.max(middle as u64) })
    }

    /// Whether an item is to try the side that seems worse.
    fn worth_a_try(&self, target: Target, item: &Item, load: &Load, predicted: &Predicted, now: Duration) -> Option<Reason> {
        let (side, best) = (self.side(target), estimate(predicted, target.other()));
        if side.breaker.state(now) != BreakerState::Closed || side.in_flight > 0 || side.unreachable {
            return None;
        }
        let expected = estimate(predicted, target);
        let samples = side.model.samples();
        let limit_ms = self.config.latency_budget_ms.unwrap_or(f64::INFINITY).min(item.remaining_ms.unwrap_or(f64::INFINITY));
        if samples > 0 && expected.latency_ms > limit_ms || samples == 0 && limit_ms.is_finite() && best.latency_ms * 4.0 > limit_ms {
            return None;
        }
        let excess = if samples == 0 { best.cost } else { (expected.cost - best.cost).max(0.0) };
        let changed = target == Target::Edge && (load.cpu - self.cpu_at_edge).abs() > CPU_CHANGED;
        let watched = if target == Target::Edge { load.cpu > 0.0 } else { side.rtt_ms > 0.0 };
        let stale = self.decided.saturating_sub(side.heard_at);
        let chance = Chance { side_samples: samples, near_samples: expected.samples, stale, changed, watched, best: best.cost, excess };
        let (share, limit) = self.explorer.share();
        self.explorer.wants(target as usize, &chance, self.decided).then_some(Reason::Explores { target, excess, share, limit })
    }

    /// A decision is acted upon.
    pub fn begin(&mut self, decision: &Decision, now: Duration) {
        self.decided += 1;
        self.forecast.arrived(now);
        self.hedges.earn();
        if let Some(retries) = &mut self.retries {
            retries.earn();
        }
        (self.cpu, self.slots) = (decision.cpu, decision.edge_slots.max(1));
        let target = match decision.route {
            Route::Edge => Target::Edge,
            Route::Cloud => Target::Cloud,
            Route::Hybrid => return,
        };
        self.sides[target as usize].expects(estimate(&decision.predicted, target).p95_ms);
        let (chosen, other) = (estimate(&decision.predicted, target).cost, estimate(&decision.predicted, target.other()).cost);
        let known = self.sides.iter().all(|side| side.model.samples() >= KNOWN);
        let best = if known { chosen.min(other) } else { chosen };
        self.cost += chosen;
        self.regret += (chosen - best).max(0.0);
        let tried = match decision.reason {
            Reason::Explores { excess, .. } => Some((target as usize, excess)),
            _ => None,
        };
        self.explorer.begin(if tried.is_some() { other } else { best }, tried);
        if !decision.explored {
            self.last[decision.bucket.min(BUCKETS - 1)] = Some(target);
        }
    }

    /// A cheap question to a side was answered after so many milliseconds, or not at all.
    pub fn probed(&mut self, target: Target, answer_ms: Option<f64>, now: Duration) -> Option<BreakerChange> {
        let side = &mut self.sides[target as usize];
        let from = side.breaker.state(now);
        side.probed(answer_ms, now);
        let to = side.breaker.state(now);
        (from != to).then_some(BreakerChange { target, from, to })
    }

    /// Whether an attempt may begin on a side; it has begun, unless it was refused.
    pub fn admit(&mut self, target: Target, now: Duration) -> Admission {
        let side = &mut self.sides[target as usize];
        let admission = side.breaker.admit(now);
        if !matches!(admission, Admission::Refused { .. }) {
            side.begins(now);
        }
        admission
    }

    /// An attempt that had begun has ended. A breaker that changed with it is told.
    pub fn record(&mut self, outcome: &Outcome, now: Duration) -> Option<BreakerChange> {
        let side = &mut self.sides[outcome.target as usize];
        let from = side.breaker.state(now);
        side.ended(outcome, self.slots, now, self.decided);
        let to = side.breaker.state(now);
        if outcome.target == Target::Edge && outcome.result == Verdict::Ok {
            self.cpu_at_edge = self.cpu;
        }
        (from != to).then_some(BreakerChange { target: outcome.target, from, to })
    }

    /// When a request to a side is late enough for a second one.
    pub fn hedge_after(&self, target: Target) -> Option<Duration> {
        let hedge = self.config.hedge?;
        let percentile = || self.side(target).latency.at(hedge.percentile).map(|ms| Duration::from_secs_f64(ms / 1e3));
        hedge.delay.or_else(percentile).map(|delay| delay.max(hedge.min_delay))
    }

    /// How long a side may take before the other is tried, where the options leave that open: well beyond what it ever takes.
    pub fn patience(&self, target: Target) -> Option<Duration> {
        let slow_ms = self.side(target).latency.at(99.0)?;
        Some(Duration::from_secs_f64(slow_ms.mul_add(PATIENCE, PATIENCE_MS) / 1e3))
    }

    /// A request was outrun by its second one after so long: its latency would have been more.
    pub fn outrun(&mut self, target: Target, after_ms: f64) {
        self.sides[target as usize].latency.add(after_ms);
    }

    /// Whether a second request may be made; takes it from the budget.
    pub fn may_hedge(&mut self) -> bool {
        self.hedges.take()
    }

    /// Whether a failure may be tried again in the cloud; takes it from the budget, where there is one.
    pub fn may_retry(&mut self) -> bool {
        self.retries.as_mut().is_none_or(Budget::take)
    }

    /// Guests that the edge will have use for soon.
    pub fn prewarm(&self, now: Duration) -> u32 {
        let edge = self.side(Target::Edge);
        match edge.latency.at(50.0) {
            None => 0,
            Some(service_ms) => self.forecast.at_once(service_ms, now).ceil().min(f64::from(u16::MAX)) as u32,
        }
    }

    /// Everything that people may want to see of it.
    pub fn snapshot(&self, now: Duration) -> Value {
        let crossover = self.crossover();
        let side = |target: Target| {
            let side = self.side(target);
            let times: Vec<_> =
                (0..BUCKETS).map(|index| 256_u64 << index).map(|bytes| (bytes, side.model.expect(bytes, self.config.complexity))).collect();
            let times = times.iter().filter(|(_, expected)| expected.samples > 0.0);
            json!({
                "breaker": side.breaker.state(now).name(), "failureShare": side.fails, "samples": side.model.samples(), "changes": side.model.changes(),
                "roundTripMs": side.rtt_ms, "unreachable": side.unreachable, "p50Ms": side.latency.at(50.0), "p95Ms": side.latency.at(95.0),
                "bySize": times.map(|(bytes, expected)| json!({ "bytes": bytes, "meanMs": expected.mean_ms + side.rtt_ms, "samples": expected.samples })).collect::<Vec<_>>(),
            })
        };
        let (share, limit) = self.explorer.share();
        json!({
            "decided": self.decided,
            "thresholds": { "edgeMaxBytes": self.config.edge_max_bytes, "cloudMinBytes": self.config.cloud_min_bytes, "learnedBytes": crossover },
            "exploration": { "share": share, "limit": limit, "cost": self.explorer.spent() },
            "regret": { "cost": self.regret, "share": self.regret_share() },
            "arrivalsPerSecond": self.forecast.per_second(now),
            "edge": side(Target::Edge), "cloud": side(Target::Cloud),
        })
    }

    /// Where a side's breaker stands.
    pub fn breaker(&self, target: Target, now: Duration) -> BreakerState {
        self.side(target).breaker.state(now)
    }

    /// Expected cost beyond that of the better side, as a share of the cost so far.
    pub fn regret_share(&self) -> f64 {
        if self.cost > 0.0 { self.regret / self.cost } else { 0.0 }
    }

    /// Share of the cost so far that exploring took.
    pub fn exploration_share(&self) -> f64 {
        self.explorer.share().0
    }

    /// The smallest size bucket from which on the cloud is cheaper, if there is one and both sides are known.
    pub fn crossover(&self) -> Option<u64> {
        if self.sides.iter().any(|side| side.model.samples() < KNOWN) {
            return None;
        }
        let load = Load { edge_slots: self.slots, ..Load::default() };
        (0..BUCKETS).map(|index| 256_u64 << index).find(|bytes| {
            let item = Item { bytes: *bytes, complexity: self.config.complexity, remaining_ms: None };
            // At the beginning of time nobody has been silent yet: it is about times, not about this moment.
            let predicted = self.predict(&item, &load, Duration::ZERO);
            predicted.cloud.cost < predicted.edge.cost
        })
    }

    /// What was learned, for another policy.
    pub fn export(&self) -> Value {
        super::state::export(self)
    }

    /// Starts from what another policy has learned.
    pub fn import(&mut self, state: &Value) -> Result<()> {
        super::state::import(self, state)
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
