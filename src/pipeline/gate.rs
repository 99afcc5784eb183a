//! A circuit breaker before each endpoint of a client: the policy of `routing` in the place that the remote side has for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::remote::{Gate, Gates};
use crate::routing::{Admission, Breaker, BreakerConfig};

struct BreakerGate {
    breaker: Mutex<Breaker>,
    started: Instant,
}

/// A breaker for each endpoint.
pub fn breakers(config: BreakerConfig) -> Gates {
    Gates(Arc::new(move || Arc::new(BreakerGate { breaker: Mutex::new(Breaker::new(config)), started: Instant::now() }) as Arc<dyn Gate>))
}

impl BreakerGate {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Gate for BreakerGate {
    fn admit(&self) -> Result<(), Duration> {
        match self.breaker.lock().admit(self.now()) {
            Admission::Allowed | Admission::Probe => Ok(()),
            Admission::Refused { retry_in } => Err(retry_in),
        }
    }

    fn succeeded(&self) {
        self.breaker.lock().on_success();
    }

    fn failed(&self) {
        self.breaker.lock().on_failure(self.now());
    }

    fn cancelled(&self) {
        self.breaker.lock().on_cancel();
    }

    fn refuses(&self) -> bool {
        matches!(self.breaker.lock().peek(self.now()), Admission::Refused { .. })
    }

    fn state(&self) -> &'static str {
        self.breaker.lock().state(self.now()).name()
    }
}
