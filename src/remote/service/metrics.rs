//! What the service tells about itself.
//!
//! Relaxed counters: each figure is right by itself, a snapshot is not one instant. Names in a snapshot come from fixed lists, never from
//! clients.
//!
//! | name | unit | meaning |
//! |---|---|---|
//! | `calls` | count by method | calls let in |
//! | `activeCalls` | count | calls under way, streams included |
//! | `statuses` | count by name | gRPC statuses other than `OK` that calls ended with; `CANCELLED` is a client that left |
//! | `errors` | count by category | failures told within an answer or a stream |
//! | `rejected` | count by reason | calls not let in: `unauthenticated`, `exhausted`, `closing` |
//! | `streams` | count | streams of items begun |
//! | `activeStreams` | count | streams of items under way |
//! | `items` | count | `in` and `out` |
//! | `bytes` | bytes | `in` and `out`: messages as they are on the wire |
//! | `bufferedBytes` | bytes | requests and answers held now |
//! | `connections` | count | `open` now, `accepted` and `refused` so far |
//! | `sessions` | count | named sessions: `open` now, `opened` so far |
//! | `execMs` | milliseconds | `mean` time of a handler for one item or pipeline run |

use std::time::Duration;

use serde_json::{Map, Value, json};
use tonic::Code;

use crate::observe::{Counter, Timer};
use crate::remote::status::name;

/// The methods of the protocol that may be called, in the order of their counters; the last one stands for all others.
const METHODS: [&str; 19] = [
    "ExecuteNode",
    "StreamNode",
    "ExecutePipeline",
    "StreamPipeline",
    "GetStatus",
    "ListNodes",
    "ExportTypeScriptDefinitions",
    "RegisterPipeline",
    "UnregisterPipeline",
    "ListPipelines",
    "GetPipelineInfo",
    "ExecuteObjectMethod",
    "StreamObject",
    "InitGenerator",
    "GetNextBatch",
    "CloseGenerator",
    "ExecuteCustomTask",
    "ServerReflectionInfo",
    "other",
];

/// gRPC's statuses, 0 to 16.
const STATUSES: usize = 17;

/// Why a call was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No token, or a wrong one.
    Unauthenticated,
    /// A limit.
    Exhausted,
    /// The service ends.
    Closing,
}

/// The service's counters.
#[derive(Default)]
pub struct Metrics {
    calls: [Counter; METHODS.len()],
    statuses: [Counter; STATUSES],
    errors: [Counter; super::fault::CATEGORIES.len()],
    rejected: [Counter; 3],
    pub active_calls: Counter,
    pub streams: Counter,
    pub active_streams: Counter,
    pub items_in: Counter,
    pub items_out: Counter,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    pub connections_open: Counter,
    pub connections_accepted: Counter,
    pub connections_refused: Counter,
    pub sessions_opened: Counter,
    /// Calls that ran a node or a pipeline.
    pub runs: Counter,
    /// Those of them that failed.
    pub failed_runs: Counter,
    pub exec: Timer,
}

impl Metrics {
    /// Counts a call to this path.
    pub fn call(&self, path: &str) {
        let method = Self::method(path);
        let position = METHODS.iter().position(|name| Some(*name) == method).unwrap_or(METHODS.len() - 1);
        self.calls[position].add(1);
    }

    /// The method of this path, if there is one.
    pub fn method(path: &str) -> Option<&'static str> {
        let method = path.rsplit('/').next().unwrap_or_default();
        METHODS[..METHODS.len() - 1].iter().copied().find(|name| *name == method)
    }

    /// Counts how a call ended.
    pub fn ended(&self, status: Code) {
        if let Some(counter) = self.statuses.get(status as usize) {
            counter.add(1);
        }
    }

    /// Counts a failure told within the protocol.
    pub fn error(&self, category: &str) {
        if let Some(position) = super::fault::CATEGORIES.iter().position(|name| *name == category) {
            self.errors[position].add(1);
        }
    }

    /// Counts a call that was not let in.
    pub fn reject(&self, why: Rejection) {
        self.rejected[why as usize].add(1);
    }

    /// Counts a run of a node or a pipeline.
    pub fn ran(&self, took: Duration, ok: bool) {
        self.runs.add(1);
        self.failed_runs.add(u64::from(!ok));
        self.exec.add(took);
    }

    /// All figures by name.
    pub fn snapshot(&self, sessions_open: usize, buffered: usize) -> Map<String, Value> {
        let by_name = |names: &[&str], counters: &[Counter]| -> Value {
            let pairs = names.iter().zip(counters).filter(|(_, counter)| counter.get() > 0);
            Value::Object(pairs.map(|(name, counter)| ((*name).to_owned(), counter.get().into())).collect())
        };
        let statuses: Vec<_> = (0..STATUSES).map(|number| name(Code::from_i32(number as i32))).collect();
        let [unauthenticated, exhausted, closing] = &self.rejected;
        let values = json!({
            "calls": by_name(&METHODS, &self.calls),
            "activeCalls": self.active_calls.get(),
            "statuses": by_name(&statuses[1..], &self.statuses[1..]),
            "errors": by_name(&super::fault::CATEGORIES, &self.errors),
            "rejected": { "unauthenticated": unauthenticated.get(), "exhausted": exhausted.get(), "closing": closing.get() },
            "streams": self.streams.get(),
            "activeStreams": self.active_streams.get(),
            "items": { "in": self.items_in.get(), "out": self.items_out.get() },
            "bytes": { "in": self.bytes_in.get(), "out": self.bytes_out.get() },
            "bufferedBytes": buffered,
            "connections": {
                "open": self.connections_open.get(),
                "accepted": self.connections_accepted.get(),
                "refused": self.connections_refused.get(),
            },
            "sessions": { "open": sessions_open, "opened": self.sessions_opened.get() },
            "execMs": { "mean": self.exec.mean().as_secs_f64() * 1_000.0 },
        });
        match values {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}
