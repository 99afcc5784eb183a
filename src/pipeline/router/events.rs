//! What a router tells those who listen: each decision, each fallback, each change of a breaker.

use serde_json::{Value, json};

use crate::data::{Packet, SessionId};
use crate::error::Error;
use crate::routing::{BreakerChange, Decision, Target};

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// `decision`, `fallback` or `breaker`.
    pub name: &'static str,
    /// What JavaScript gets.
    pub about: Value,
}

/// Is told.
pub trait Listener: Send + Sync + 'static {
    /// Called on whatever thread it happened; must not wait.
    fn tell(&self, event: Event);
}

/// What JavaScript sees of a decision.
pub fn described(decision: &Decision) -> Value {
    let estimate =
        |estimate: &crate::routing::Estimate| json!({ "latencyMs": estimate.latency_ms, "cost": estimate.cost, "samples": estimate.samples });
    json!({
        "target": decision.route.name(), "reason": decision.reason.to_string(), "rule": decision.reason.name(), "explored": decision.explored,
        "predicted": { "edge": estimate(&decision.predicted.edge), "cloud": estimate(&decision.predicted.cloud) },
    })
}

impl Event {
    pub(super) fn decision(decision: &Decision, packet: &Packet, session: &SessionId) -> Self {
        let mut about = described(decision);
        about["sessionId"] = session.as_str().into();
        about["sequence"] = packet.sequence.into();
        about["bytes"] = packet.bytes.len().into();
        Self { name: "decision", about }
    }

    pub(super) fn fallback(from: Target, to: Target, error: Option<&Error>, packet: &Packet, session: &SessionId) -> Self {
        let why = error.map(|error| json!({ "code": error.code().as_str(), "message": error.message() }));
        let about = json!({
            "from": from.name(), "to": to.name(), "error": why, "sessionId": session.as_str(), "sequence": packet.sequence,
        });
        Self { name: "fallback", about }
    }

    pub(super) fn breaker(change: BreakerChange) -> Self {
        Self { name: "breaker", about: json!({ "target": change.target.name(), "from": change.from.name(), "to": change.to.name() }) }
    }
}
