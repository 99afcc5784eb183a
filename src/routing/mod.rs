//! Where an item runs: decides, learns, and knows neither nodes nor a clock.
//!
//! Problem: which side is better depends on the item, on both sides' state and on what nobody announces; and what decides must be testable
//! to the microsecond. Answer: [`Policy`] is told what there is to know, the time included, and answers with a [`Decision`] that carries its
//! [`Reason`]. [`Breaker`], [`Batcher`] and [`Budget`] are parts that stand alone. Nothing here waits, and `pipeline/router` acts.

mod batcher;
mod breaker;
mod budget;
mod config;
mod explore;
mod forecast;
mod model;
mod policy;
mod quantile;
mod reason;
mod side;
mod state;

use std::fmt;

pub use batcher::Batcher;
pub use breaker::{Admission, Breaker, BreakerConfig, BreakerState, MAX_PROBES, MAX_WINDOW};
pub use budget::Budget;
pub use config::{
    Adaptive, AdaptiveOptions, BatchConfig, BatchOptions, BreakerOptions, BulkheadOptions, Cost, CostOptions, FallbackOptions, HedgeConfig,
    HedgeOptions, RoutingConfig, RoutingOptions, breaker,
};
pub use model::{Expected, Model, Scale};
pub use policy::Policy;
pub use quantile::Quantile;
pub use reason::Reason;

/// A side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Here.
    Edge,
    /// Elsewhere.
    Cloud,
}

impl Target {
    /// Its name in JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Cloud => "cloud",
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Edge => Self::Cloud,
            Self::Cloud => Self::Edge,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where an item goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// To the edge.
    Edge,
    /// To the cloud.
    Cloud,
    /// To both.
    Hybrid,
}

impl Route {
    /// Its name in JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Cloud => "cloud",
            Self::Hybrid => "hybrid",
        }
    }
}

impl From<Target> for Route {
    fn from(target: Target) -> Self {
        match target {
            Target::Edge => Self::Edge,
            Target::Cloud => Self::Cloud,
        }
    }
}

/// How items are routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The edge, the cloud after a failure.
    EdgeFirst,
    /// The cloud, the edge after a failure.
    CloudFirst,
    /// By rules and by what was learned.
    Auto,
    /// Both have a part in each item.
    Hybrid,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EdgeFirst, Self::CloudFirst, Self::Auto, Self::Hybrid];

    /// The strategy of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == name)
    }

    /// Its name in JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdgeFirst => "edge-first",
            Self::CloudFirst => "cloud-first",
            Self::Auto => "auto",
            Self::Hybrid => "hybrid",
        }
    }
}

/// What is known about an item before it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Item {
    /// Of its payload.
    pub bytes: u64,
    /// 0 to 1, where somebody says so.
    pub complexity: Option<f64>,
    /// Until it must be answered, where it must.
    pub remaining_ms: Option<f64>,
}

/// What is known about this moment.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Items at the edge, waiting ones included.
    pub edge_in_flight: u32,
    /// Items that the edge can really do at once.
    pub edge_slots: u32,
    /// Items in the cloud.
    pub cloud_in_flight: u32,
    /// Share of the processors in use, 0 to 1.
    pub cpu: f64,
    /// Share of the memory in use, 0 to 1.
    pub memory: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self { edge_in_flight: 0, edge_slots: 1, cloud_in_flight: 0, cpu: 0.0, memory: 0.0 }
    }
}

/// What a side is expected to take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Estimate {
    /// Queue included.
    pub latency_ms: f64,
    /// By the weights of the options.
    pub cost: f64,
    /// Observations of such items behind it, older ones counting less; 0 is a guess.
    pub samples: f64,
    /// Milliseconds that 19 of 20 stay below.
    pub p95_ms: f64,
    /// Of which waiting for others.
    pub wait_ms: f64,
}

/// What both sides are expected to take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Predicted {
    /// Here.
    pub edge: Estimate,
    /// There.
    pub cloud: Estimate,
}

/// What a side is expected to take.
fn estimate(predicted: &Predicted, target: Target) -> &Estimate {
    match target {
        Target::Edge => &predicted.edge,
        Target::Cloud => &predicted.cloud,
    }
}

/// Where an item is to run, and why.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// Where.
    pub route: Route,
    /// Why.
    pub reason: Reason,
    /// What each side was expected to take.
    pub predicted: Predicted,
    /// Whether it is to learn from.
    pub explored: bool,
    /// The item's size bucket.
    pub bucket: usize,
    /// Share of the processors in use.
    pub cpu: f64,
    /// Items that the edge can do at once.
    pub edge_slots: u32,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answered.
    Ok,
    /// Not answered, by the side's fault.
    Failed,
    /// Not answered in time.
    TimedOut,
    /// Refused for the item's own sake, or before it began: says nothing about the side.
    Rejected,
    /// Given up: says nothing at all.
    Cancelled,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// On which side.
    pub target: Target,
    /// Of the item's payload.
    pub bytes: u64,
    /// See [`Item`].
    pub complexity: Option<f64>,
    /// From its beginning to its end.
    pub latency_ms: f64,
    /// Of which waiting here, such as for a batch.
    pub queue_ms: f64,
    /// How it ended.
    pub result: Verdict,
    /// Items that travelled together.
    pub batch: u32,
    /// Items that were under way on the side when it began.
    pub ahead: u32,
}

/// A breaker that opened, closed or lets probes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerChange {
    /// Whose.
    pub target: Target,
    /// From where.
    pub from: BreakerState,
    /// To where.
    pub to: BreakerState,
}
