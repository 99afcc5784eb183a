//! Counters of one node.
//!
//! Relaxed atomics: each figure is right by itself, a snapshot is not one instant. Times fall into buckets of powers of two, so a
//! percentile is known to within a factor of two at no cost per item but one increment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::registry::Visit;
use crate::error::Code;

/// A number that only grows, or goes up and down by whole steps.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Takes away what was added before.
    pub fn sub(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    /// Reads.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Buckets up to 2^39 ns, nine minutes.
const BUCKETS: usize = 40;

/// Durations: total, longest and a coarse distribution.
pub struct Timer {
    count: Counter,
    total_ns: Counter,
    longest_ns: AtomicU64,
    buckets: [Counter; BUCKETS],
}

impl Default for Timer {
    fn default() -> Self {
        Self {
            count: Counter::default(),
            total_ns: Counter::default(),
            longest_ns: AtomicU64::new(0),
            buckets: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl Timer {
    /// Adds one duration.
    pub fn add(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.count.add(1);
        self.total_ns.add(ns);
        self.longest_ns.fetch_max(ns, Ordering::Relaxed);
        let bucket = (64 - ns.leading_zeros() as usize).min(BUCKETS - 1);
        self.buckets[bucket].add(1);
    }

    /// Mean duration; zero when there is none yet.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.total_ns.get().checked_div(self.count.get()).unwrap_or(0))
    }

    /// Upper bound in milliseconds of the bucket that holds the share `quantile` of all durations.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "statistics")]
    fn quantile_ms(&self, quantile: f64) -> f64 {
        let wanted = (self.count.get() as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.get();
            if seen >= wanted && wanted > 0 {
                return ((1_u64 << index) as f64).min(self.longest_ns.load(Ordering::Relaxed) as f64) / 1e6;
            }
        }
        0.0
    }

    /// Sum in milliseconds, count, and counts by the upper bounds of buckets in milliseconds: powers of four, from a microsecond on.
    #[expect(clippy::cast_precision_loss, reason = "statistics")]
    pub fn histogram(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bound_ms = |index: usize| (1_u64 << index) as f64 / 1e6;
        let mut buckets = Vec::with_capacity(BUCKETS / 2);
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.get();
            if index >= 10 && index % 2 == 0 {
                buckets.push((bound_ms(index), std::mem::take(&mut seen)));
            }
        }
        buckets.push((f64::MAX, seen));
        (self.total_ns.get() as f64 / 1e6, self.count.get(), buckets)
    }

    #[expect(clippy::cast_precision_loss, reason = "statistics")]
    /// Total, mean, longest and percentiles, in milliseconds.
    pub fn snapshot(&self) -> Value {
        let (count, total) = (self.count.get(), self.total_ns.get() as f64 / 1e6);
        let mean = if count == 0 { 0.0 } else { total / count as f64 };
        let longest = self.longest_ns.load(Ordering::Relaxed) as f64 / 1e6;
        json!({ "total": total, "mean": mean, "max": longest, "p50": self.quantile_ms(0.5), "p99": self.quantile_ms(0.99) })
    }
}

/// Why sessions end, in the order of their counters.
pub const CLOSE_REASONS: [&str; 5] = ["closed", "stream-end", "least-recently-used", "expired", "cleanup"];
/// Run modes, in the order of their counters.
const MODES: [&str; 3] = ["aot", "jit", "interpreter"];

/// The counters of one node; see `names.rs` for their meaning.
#[derive(Default)]
pub struct NodeMetrics {
    pub items: Counter,
    pub outputs: Counter,
    pub input_bytes: Counter,
    pub output_bytes: Counter,
    errors: [Counter; Code::ALL.len()],
    calls: [Counter; MODES.len()],
    pub exec: Timer,
    pub instances_live: Counter,
    pub memory_bytes: Counter,
    pub instances_created: Counter,
    pub instances_lost: Counter,
    pub instances_moved: Counter,
    pub instances_idle_evicted: Counter,
    pub sessions_open: Counter,
    pub sessions_opened: Counter,
    closed: [Counter; CLOSE_REASONS.len()],
    pub queued: Counter,
    pub waiting: Counter,
    pub compile_us: Counter,
}

impl NodeMetrics {
    /// Counts an item that ended in an error.
    pub fn error(&self, code: Code) {
        if let Some(position) = Code::ALL.iter().position(|one| *one == code) {
            self.errors[position].add(1);
        }
    }

    /// Counts an item by the mode that served it.
    pub fn call(&self, mode: &str) {
        if let Some(position) = MODES.iter().position(|one| *one == mode) {
            self.calls[position].add(1);
        }
    }

    /// Counts a session that ended.
    pub fn session_closed(&self, reason: &str) {
        self.sessions_open.sub(1);
        if let Some(position) = CLOSE_REASONS.iter().position(|one| *one == reason) {
            self.closed[position].add(1);
        }
    }

    /// Tells a monitoring system.
    #[expect(clippy::cast_precision_loss, reason = "statistics")]
    pub fn visit(&self, into: &mut dyn Visit) {
        into.counter("remotemedia_edge_items_total", &[], self.items.get());
        into.counter("remotemedia_edge_outputs_total", &[], self.outputs.get());
        into.counter("remotemedia_edge_input_bytes_total", &[], self.input_bytes.get());
        into.counter("remotemedia_edge_output_bytes_total", &[], self.output_bytes.get());
        for (code, counter) in Code::ALL.iter().zip(&self.errors).filter(|(_, counter)| counter.get() > 0) {
            into.counter("remotemedia_edge_errors_total", &[("code", code.as_str())], counter.get());
        }
        for (mode, counter) in MODES.iter().zip(&self.calls) {
            into.counter("remotemedia_edge_calls_total", &[("mode", mode)], counter.get());
        }
        into.timer("remotemedia_edge_exec_milliseconds", &[], &self.exec);
        into.gauge("remotemedia_edge_instances", &[], self.instances_live.get() as f64);
        into.gauge("remotemedia_edge_memory_bytes", &[], self.memory_bytes.get() as f64);
        into.counter("remotemedia_edge_instances_created_total", &[], self.instances_created.get());
        into.counter("remotemedia_edge_instances_lost_total", &[], self.instances_lost.get());
        into.gauge("remotemedia_edge_sessions", &[], self.sessions_open.get() as f64);
        into.counter("remotemedia_edge_sessions_opened_total", &[], self.sessions_opened.get());
        for (reason, counter) in CLOSE_REASONS.iter().zip(&self.closed) {
            into.counter("remotemedia_edge_sessions_closed_total", &[("reason", reason)], counter.get());
        }
        into.gauge("remotemedia_edge_queued", &[], self.queued.get() as f64);
        into.gauge("remotemedia_edge_waiting", &[], self.waiting.get() as f64);
        into.gauge("remotemedia_edge_compile_milliseconds", &[], self.compile_us.get() as f64 / 1e3);
    }

    /// All figures by name; `mode` is the run mode that new instances get.
    #[expect(clippy::cast_precision_loss, reason = "statistics")]
    pub fn snapshot(&self, mode: &str) -> Map<String, Value> {
        let by_name = |names: &[&str], counters: &[Counter], zeros: bool| -> Value {
            let pairs = names.iter().zip(counters).filter(|(_, counter)| zeros || counter.get() > 0);
            Value::Object(pairs.map(|(name, counter)| ((*name).to_owned(), counter.get().into())).collect())
        };
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let values = json!({
            "items": self.items.get(),
            "outputs": self.outputs.get(),
            "inputBytes": self.input_bytes.get(),
            "outputBytes": self.output_bytes.get(),
            "errors": by_name(&codes, &self.errors, false),
            "callsByMode": by_name(&MODES, &self.calls, true),
            "execMs": self.exec.snapshot(),
            "instancesLive": self.instances_live.get(),
            "memoryBytes": self.memory_bytes.get(),
            "instancesCreated": self.instances_created.get(),
            "instancesLost": self.instances_lost.get(),
            "instancesMoved": self.instances_moved.get(),
            "instancesIdleEvicted": self.instances_idle_evicted.get(),
            "sessionsOpen": self.sessions_open.get(),
            "sessionsOpened": self.sessions_opened.get(),
            "sessionsClosed": by_name(&CLOSE_REASONS, &self.closed, true),
            "queued": self.queued.get(),
            "waiting": self.waiting.get(),
            "compileMs": self.compile_us.get() as f64 / 1_000.0,
            "mode": mode,
        });
        match values {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}
