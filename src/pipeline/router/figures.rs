//! The counters of a router.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::data::{Map, Value};
use crate::observe::{Counter, Timer, Visit};
use crate::routing::{Decision, Outcome, Reason, Route, Target, Verdict};

/// What has happened so far; `observe/names.rs` says what each means.
pub struct Figures {
    pub items: Counter,
    pub errors: Counter,
    pub fallbacks: Counter,
    pub hedges: Counter,
    pub hedges_won: Counter,
    pub shed: Counter,
    pub escalations: Counter,
    /// Shared with the lines of sessions.
    pub batches: Arc<Counter>,
    batched: Counter,
    pub breaker_changes: Counter,
    explored: Counter,
    judged: Counter,
    right: Counter,
    routes: [Counter; 3],
    reasons: Vec<Counter>,
    times: [Timer; 2],
    failures: [Counter; 2],
    bytes: [Counter; 2],
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            items: Counter::default(),
            errors: Counter::default(),
            fallbacks: Counter::default(),
            hedges: Counter::default(),
            hedges_won: Counter::default(),
            shed: Counter::default(),
            escalations: Counter::default(),
            batches: Arc::default(),
            batched: Counter::default(),
            breaker_changes: Counter::default(),
            explored: Counter::default(),
            judged: Counter::default(),
            right: Counter::default(),
            routes: Default::default(),
            reasons: Reason::ALL_NAMES.iter().map(|_| Counter::default()).collect(),
            times: Default::default(),
            failures: Default::default(),
            bytes: Default::default(),
        }
    }
}

const ROUTES: [Route; 3] = [Route::Edge, Route::Cloud, Route::Hybrid];

impl Figures {
    /// Counts a decision.
    pub fn decided(&self, decision: &Decision) {
        self.items.add(1);
        self.explored.add(u64::from(decision.explored));
        if let Some(index) = ROUTES.iter().position(|route| *route == decision.route) {
            self.routes[index].add(1);
        }
        let name = decision.reason.name();
        if let Some(index) = Reason::ALL_NAMES.iter().position(|one| *one == name) {
            self.reasons[index].add(1);
        }
    }

    /// Counts an attempt by whether its side turns out to have been the right one.
    pub fn judged(&self, right: bool) {
        self.judged.add(1);
        self.right.add(u64::from(right));
    }

    /// Counts what came of an attempt.
    pub fn ended(&self, outcome: &Outcome) {
        let side = outcome.target as usize;
        self.batched.add(u64::from(outcome.batch > 1));
        self.bytes[side].add(outcome.bytes);
        match outcome.result {
            Verdict::Ok => self.times[side].add(Duration::from_secs_f64((outcome.latency_ms / 1e3).max(0.0))),
            Verdict::Cancelled => {}
            Verdict::Failed | Verdict::TimedOut | Verdict::Rejected => self.failures[side].add(1),
        }
    }

    /// Tells a monitoring system.
    pub fn visit(&self, into: &mut dyn Visit) {
        for (route, counter) in ROUTES.iter().zip(&self.routes) {
            into.counter("remotemedia_routing_decisions_total", &[("target", route.name())], counter.get());
        }
        for (reason, counter) in Reason::ALL_NAMES.iter().zip(&self.reasons).filter(|(_, counter)| counter.get() > 0) {
            into.counter("remotemedia_routing_reasons_total", &[("reason", reason)], counter.get());
        }
        into.counter("remotemedia_routing_explored_total", &[], self.explored.get());
        into.counter("remotemedia_routing_judged_total", &[], self.judged.get());
        into.counter("remotemedia_routing_right_total", &[], self.right.get());
        into.counter("remotemedia_routing_errors_total", &[], self.errors.get());
        into.counter("remotemedia_routing_fallbacks_total", &[], self.fallbacks.get());
        into.counter("remotemedia_routing_hedges_total", &[], self.hedges.get());
        into.counter("remotemedia_routing_hedges_won_total", &[], self.hedges_won.get());
        into.counter("remotemedia_routing_shed_total", &[], self.shed.get());
        into.counter("remotemedia_routing_escalations_total", &[], self.escalations.get());
        into.counter("remotemedia_routing_batched_items_total", &[], self.batched.get());
        for target in [Target::Edge, Target::Cloud] {
            let (labels, side) = ([("target", target.name())], target as usize);
            into.counter("remotemedia_routing_failures_total", &labels, self.failures[side].get());
            into.counter("remotemedia_routing_bytes_total", &labels, self.bytes[side].get());
            into.timer("remotemedia_routing_latency_milliseconds", &labels, &self.times[side]);
        }
    }

    /// All of them by name.
    pub fn snapshot(&self) -> Map<String, Value> {
        let sides = [Target::Edge, Target::Cloud];
        let reasons = Reason::ALL_NAMES.iter().zip(&self.reasons).filter(|(_, counter)| counter.get() > 0);
        let reasons: Map<_, _> = reasons.map(|(name, counter)| ((*name).to_owned(), counter.get().into())).collect();
        let targets: Map<_, _> = ROUTES.iter().zip(&self.routes).map(|(route, counter)| (route.name().to_owned(), counter.get().into())).collect();
        let by_side = |value: &dyn Fn(usize) -> Value| -> Value {
            Value::Object(sides.iter().map(|side| (side.name().to_owned(), value(*side as usize))).collect())
        };
        let values = json!({
            "items": self.items.get(), "errors": self.errors.get(), "byTarget": targets, "byReason": reasons, "explored": self.explored.get(),
            "judged": self.judged.get(), "right": self.right.get(),
            "fallbacks": self.fallbacks.get(), "hedges": self.hedges.get(), "hedgesWon": self.hedges_won.get(), "shed": self.shed.get(),
            "escalations": self.escalations.get(), "batches": self.batches.get(), "batchedItems": self.batched.get(),
            "breakerChanges": self.breaker_changes.get(), "latencyMs": by_side(&|side| self.times[side].snapshot()),
            "failures": by_side(&|side| self.failures[side].get().into()), "bytes": by_side(&|side| self.bytes[side].get().into()),
        });
        match values {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}
