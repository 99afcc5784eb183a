//! One endpoint as one client sees it: its calls under way, its failures in a row, its health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Uri;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::gate::{Gate, Gates};
use crate::remote::config::{Address, Outlier, Transport};

/// An endpoint in use by a client.
pub struct Lane {
    endpoint: Arc<Endpoint>,
    origin: Uri,
    name: String,
    flights: AtomicUsize,
    ejection: Mutex<Ejection>,
    unhealthy: AtomicBool,
    /// Where somebody decides who may be asked.
    gate: Option<Arc<dyn Gate>>,
    /// Told when nobody uses it any more.
    gone: CancellationToken,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

/// Failures in a row, and what came of them.
#[derive(Default)]
struct Ejection {
    row: u32,
    times: u32,
    until: Option<Instant>,
}

impl Ejection {
    fn is_out(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Counts a failure; `alone` is whether there is no other endpoint to turn to. True when it ejects.
    fn failed(&mut self, now: Instant, rule: &Outlier, alone: bool) -> bool {
        self.row = self.row.saturating_add(1);
        if rule.failures == 0 || self.row < rule.failures || alone || self.is_out(now) {
            return false;
        }
        // One that behaved for as long as the longest ejection begins anew.
        if self.until.is_some_and(|until| now.saturating_duration_since(until) > rule.max_eject) {
            self.times = 0;
        }
        self.times = self.times.saturating_add(1);
        self.until = Some(now + rule.eject.saturating_mul(self.times).min(rule.max_eject));
        self.row = 0;
        true
    }
}

impl Lane {
    /// To this server.
    pub fn new(address: &Address, transport: &Arc<Transport>, gates: Option<&Gates>) -> Arc<Self> {
        Self::gated(Endpoint::shared(address, transport), gates.map(|gates| (gates.0)()))
    }

    /// Over this endpoint.
    pub fn over(endpoint: Arc<Endpoint>) -> Arc<Self> {
        Self::gated(endpoint, None)
    }

    fn gated(endpoint: Arc<Endpoint>, gate: Option<Arc<dyn Gate>>) -> Arc<Self> {
        let scheme = if endpoint.address.tls { "https" } else { "http" };
        let name = endpoint.address.authority();
        // Checked when the address was read; an empty origin would only lose the request its authority.
        let origin = Uri::builder().scheme(scheme).authority(endpoint.address.origin()).path_and_query("/").build().unwrap_or_default();
        let (flights, ejection, unhealthy) = (AtomicUsize::new(0), Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { endpoint, origin, name, flights, ejection, unhealthy, gate, gone: CancellationToken::new() })
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Who decides whether it may be asked.
    pub fn gate(&self) -> Option<&dyn Gate> {
        self.gate.as_deref()
    }

    /// Told when nobody uses it any more.
    pub fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    /// Scheme and authority of its requests.
    pub fn origin(&self) -> Uri {
        self.origin.clone()
    }

    /// `host:port`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A call begins; it is over when the guard goes.
    pub fn enter(self: &Arc<Self>) -> Flight {
        self.flights.fetch_add(1, Ordering::Relaxed);
        Flight(Arc::clone(self))
    }

    /// Calls under way.
    pub fn flights(&self) -> usize {
        self.flights.load(Ordering::Relaxed)
    }

    /// Whether a call had better go elsewhere.
    pub fn is_out(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.refuses())
            || self.unhealthy.load(Ordering::Relaxed)
            || self.endpoint.pausing().is_some()
            || self.ejection.lock().is_out(Instant::now())
    }

    /// Whether it was ejected.
    pub fn is_ejected(&self) -> bool {
        self.ejection.lock().is_out(Instant::now())
    }

    /// A call went well.
    pub fn succeeded(&self) {
        self.ejection.lock().row = 0;
    }

    /// A call failed through the endpoint's fault.
    pub fn failed(&self, rule: &Outlier, alone: bool) -> bool {
        if let Some(gate) = &self.gate {
            gate.failed();
        }
        let ejected = self.ejection.lock().failed(Instant::now(), rule, alone);
        if ejected {
            tracing::info!(target: "remote", endpoint = %self.name, "ejected after failures in a row");
        }
        ejected
    }

    /// What the health service says.
    pub fn set_healthy(&self, healthy: bool) {
        if self.unhealthy.swap(!healthy, Ordering::Relaxed) == healthy {
            tracing::info!(target: "remote", endpoint = %self.name, healthy, "health changed");
        }
    }

    /// For metrics.
    pub fn snapshot(&self) -> Value {
        let breaker = self.gate.as_ref().map(|gate| gate.state());
        json!({
            "endpoint": self.name,
            "breaker": breaker,
            "state": self.endpoint.state_name(),
            "inFlight": self.flights(),
            "ejected": self.is_ejected(),
            "healthy": !self.unhealthy.load(Ordering::Relaxed),
        })
    }

    /// How long until it may connect again.
    pub fn pausing(&self) -> Option<Duration> {
        self.endpoint.pausing()
    }
}

/// A call under way.
pub struct Flight(Arc<Lane>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.flights.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Outlier = Outlier { failures: 3, eject: Duration::from_secs(30), max_eject: Duration::from_secs(70) };

    #[test]
    fn failures_in_a_row_eject_for_longer_each_time() {
        let (mut ejection, mut now) = (Ejection::default(), Instant::now());
        for seconds in [30, 60, 70, 70] {
            assert!(!ejection.failed(now, &RULE, false) && !ejection.failed(now, &RULE, false));
            assert!(ejection.failed(now, &RULE, false));
            assert!(ejection.is_out(now + Duration::from_secs(seconds - 1)) && !ejection.is_out(now + Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
        }
    }

    #[test]
    fn a_success_in_between_begins_the_row_anew() {
        let (mut ejection, now) = (Ejection::default(), Instant::now());
        for _ in 0..10 {
            assert!(!ejection.failed(now, &RULE, false) && !ejection.failed(now, &RULE, false));
            ejection.row = 0;
        }
    }

    #[test]
    fn the_last_endpoint_is_never_ejected() {
        let (mut ejection, now) = (Ejection::default(), Instant::now());
        assert!((0..100).all(|_| !ejection.failed(now, &RULE, true)));
    }

    #[test]
    fn long_good_behaviour_is_rewarded() {
        let (mut ejection, now) = (Ejection::default(), Instant::now());
        assert_eq!((0..3).filter(|_| ejection.failed(now, &RULE, false)).count(), 1);
        let later = now + Duration::from_secs(30 + 71);
        assert_eq!((0..3).filter(|_| ejection.failed(later, &RULE, false)).count(), 1);
        assert!(ejection.is_out(later + Duration::from_secs(29)) && !ejection.is_out(later + Duration::from_secs(30)));
    }
}
