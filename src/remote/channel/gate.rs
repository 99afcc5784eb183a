//! Who may be asked at all: the place of a circuit breaker before an endpoint.
//!
//! When an endpoint is left alone, for how long and how it comes back is a matter of policy, which is not decided on this floor: [`Gate`] is
//! asked before each attempt and told what came of it. An attempt that was given up is told as well, so that a probe is never lost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::Code as Grpc;

use super::lane::Lane;
use crate::error::{Code, Error};
use crate::remote::status::{Failed, Reach};

/// Decides for one endpoint.
pub trait Gate: Send + Sync + 'static {
    /// Whether an attempt may be made now; if not, how long until one may.
    fn admit(&self) -> Result<(), Duration>;
    /// An attempt was answered, be it with an error of the node's.
    fn succeeded(&self);
    /// An attempt failed by the endpoint's fault.
    fn failed(&self);
    /// An attempt was given up.
    fn cancelled(&self);
    /// Whether an attempt would be refused now.
    fn refuses(&self) -> bool;
    /// Name of the state, for metrics.
    fn state(&self) -> &'static str;
}

/// Makes the gate of each endpoint.
#[derive(Clone)]
pub struct Gates(pub Arc<dyn Fn() -> Arc<dyn Gate> + Send + Sync>);

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gates")
    }
}

/// An attempt that was admitted. Dropped untold, it was given up.
pub struct Pass<'a>(Option<&'a dyn Gate>);

impl Pass<'_> {
    /// The endpoint answered.
    pub fn succeeded(mut self) {
        if let Some(gate) = self.0.take() {
            gate.succeeded();
        }
    }

    /// What came of it is told by other means.
    pub fn told(mut self) {
        self.0 = None;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.cancelled();
        }
    }
}

impl Lane {
    /// Asks the gate. `alone` is whether there is no other endpoint to turn to: then the call fails at once.
    pub fn admit(&self, alone: bool) -> Result<Pass<'_>, Failed> {
        let Some(gate) = self.gate() else { return Ok(Pass(None)) };
        gate.admit().map(|()| Pass(Some(gate))).map_err(|left| {
            let text = format!("{}: its circuit breaker is open for another {} ms", self.name(), left.as_millis());
            let status = if alone { Grpc::FailedPrecondition } else { Grpc::Unavailable };
            Failed { error: Error::new(Code::BreakerOpen, text), reach: Reach::Unsent, status }
        })
    }
}
