//! Why an item goes where it goes: a value, a name for counters, and a sentence for people.

use std::fmt;

use super::Target;

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// The strategy names a side.
    Strategy(Target),
    /// The strategy splits items between the sides.
    Split,
    /// The other side's breaker is open.
    BreakerOpen { refused: Target, retry_in_ms: f64 },
    /// The other side does not even answer a cheap question.
    Unreachable(Target),
    /// Both breakers are open; this side's is the first to let a probe through.
    BothOpen { retry_in_ms: f64 },
    /// A side that was left alone is tried.
    Probe(Target),
    /// The other side would be too late.
    Deadline { late: Target, needs_ms: f64, limit_ms: f64 },
    /// From this size on, items are the cloud's.
    Large { bytes: u64, limit: u64 },
    /// Up to this size, items are the edge's.
    Small { bytes: u64, limit: u64 },
    /// Complex items are the cloud's.
    Complex(f64),
    /// Simple items are the edge's.
    Simple(f64),
    /// The edge has more to do than it can do at once, and nothing is known about times yet.
    EdgeBusy { waiting: u32 },
    /// The edge would first have to work off its queue.
    EdgeQueue { wait_ms: f64, edge_ms: f64, cloud_ms: f64 },
    /// The machine has nothing left to give, and nothing is known about times yet.
    EdgeStrained { cpu: f64, memory: f64 },
    /// Items in a hurry stay here until more is known.
    Realtime,
    /// Of two sides in time, the one that is more surely so.
    Surer { edge_ms: f64, cloud_ms: f64 },
    /// A side has stopped answering.
    Silent { target: Target, since_ms: f64 },
    /// Learned: this side is cheaper.
    Learned { target: Target, edge: f64, cloud: f64 },
    /// Learned: the difference is too small to move.
    Stays { target: Target, edge: f64, cloud: f64 },
    /// The side that seems worse is tried, to know whether it still is.
    Explores { target: Target, excess: f64, share: f64, limit: f64 },
}

impl Reason {
    /// Every name.
    pub const ALL_NAMES: &'static [&'static str] = &[
        "strategy",
        "split",
        "breaker-open",
        "both-breakers-open",
        "unreachable",
        "probe",
        "deadline",
        "large",
        "small",
        "complex",
        "simple",
        "edge-busy",
        "edge-queue",
        "edge-strained",
        "realtime",
        "surer",
        "silent",
        "learned",
        "stays",
        "explores",
    ];

    /// A stable name, for counters.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Strategy(_) => "strategy",
            Self::Split => "split",
            Self::BreakerOpen { .. } => "breaker-open",
            Self::Unreachable(_) => "unreachable",
            Self::BothOpen { .. } => "both-breakers-open",
            Self::Probe(_) => "probe",
            Self::Deadline { .. } => "deadline",
            Self::Large { .. } => "large",
            Self::Small { .. } => "small",
            Self::Complex(_) => "complex",
            Self::Simple(_) => "simple",
            Self::EdgeBusy { .. } => "edge-busy",
            Self::EdgeQueue { .. } => "edge-queue",
            Self::EdgeStrained { .. } => "edge-strained",
            Self::Realtime => "realtime",
            Self::Surer { .. } => "surer",
            Self::Silent { .. } => "silent",
            Self::Learned { .. } => "learned",
            Self::Stays { .. } => "stays",
            Self::Explores { .. } => "explores",
        }
    }
}

/// A size for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 => write!(f, "{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
            bytes if bytes >= 1 << 10 => write!(f, "{:.1} KiB", bytes as f64 / 1024.0),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Strategy(target) => write!(f, "the strategy is {target}-first"),
            Self::Split => f.write_str("the strategy has both sides take part"),
            Self::BreakerOpen { refused, retry_in_ms } => write!(f, "the {refused}'s circuit breaker is open, next probe in {retry_in_ms:.0} ms"),
            Self::Unreachable(target) => write!(f, "the {target} does not answer a health check"),
            Self::BothOpen { retry_in_ms } => write!(f, "both circuit breakers are open, the next probe here is in {retry_in_ms:.0} ms"),
            Self::Probe(target) => write!(f, "the {target}'s circuit breaker is half open, this item tries it"),
            Self::Deadline { late, needs_ms, limit_ms } => {
                write!(f, "there are {limit_ms:.0} ms, and the {late} is expected to need {needs_ms:.0} ms")
            }
            Self::Large { bytes, limit } => write!(f, "{} is not below the cloud's {}", Size(bytes), Size(limit)),
            Self::Small { bytes, limit } => write!(f, "{} is within the edge's {}", Size(bytes), Size(limit)),
            Self::Complex(complexity) => write!(f, "a complexity of {complexity:.2} is above {}", super::config::COMPLEX),
            Self::Simple(complexity) => write!(f, "a complexity of {complexity:.2} is below {}", super::config::SIMPLE),
            Self::EdgeBusy { waiting } => write!(f, "{waiting} items wait for the edge already"),
            Self::EdgeQueue { wait_ms, edge_ms, cloud_ms } => {
                write!(f, "the edge's queue would take {wait_ms:.1} ms: edge {edge_ms:.1} ms in all, cloud {cloud_ms:.1} ms")
            }
            Self::EdgeStrained { cpu, memory } => {
                write!(f, "this machine is strained: {:.0}% of its processors, {:.0}% of its memory", cpu * 100.0, memory * 100.0)
            }
            Self::Realtime => f.write_str("real time, and nothing is known about the cloud yet"),
            Self::Surer { edge_ms, cloud_ms } => {
                write!(f, "real time: 19 of 20 items take up to {edge_ms:.1} ms at the edge, {cloud_ms:.1} ms in the cloud")
            }
            Self::Silent { target, since_ms } => write!(f, "the {target} has answered nothing for {since_ms:.0} ms"),
            Self::Learned { target, edge, cloud } => write!(f, "the {target} is cheaper: edge {edge:.1}, cloud {cloud:.1}"),
            Self::Stays { target, edge, cloud } => write!(f, "stays with the {target}, the difference is small: edge {edge:.1}, cloud {cloud:.1}"),
            Self::Explores { target, excess, share, limit } => write!(
                f,
                "tries the {target} to learn about it, {excess:.1} dearer if it is as before: {:.2}% of {:.2}% spent",
                share * 100.0,
                limit * 100.0
            ),
        }
    }
}
