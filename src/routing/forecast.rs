//! The load that is coming: a level and a trend of the arrivals (Holt's linear method), and what it means for the edge (Little's law).

use std::time::Duration;

/// Arrivals are counted in steps of this.
const STEP: Duration = Duration::from_millis(100);
const LEVEL: f64 = 0.3;
const TREND: f64 = 0.1;
/// Making a guest takes tens of milliseconds: this far ahead.
const AHEAD_STEPS: f64 = 3.0;
/// Guests for bursts that a mean does not show.
const SPARE: f64 = 1.5;

/// Counts arrivals.
#[derive(Clone, Debug, Default)]
pub struct Forecast {
    step: u64,
    arrived: u32,
    level: f64,
    trend: f64,
    begun: bool,
}

impl Forecast {
    fn step_of(now: Duration) -> u64 {
        (now.as_millis() / STEP.as_millis()) as u64
    }

    /// An item arrived.
    pub fn arrived(&mut self, now: Duration) {
        self.move_to(now);
        self.arrived += 1;
    }

    fn move_to(&mut self, now: Duration) {
        let step = Self::step_of(now);
        if !self.begun {
            (self.begun, self.step) = (true, step);
        }
        // After a long silence there is nothing to continue.
        if step.saturating_sub(self.step) > 50 {
            (self.level, self.trend, self.arrived, self.step) = (0.0, 0.0, 0, step);
        }
        while self.step < step {
            let before = self.level;
            self.level = LEVEL * f64::from(self.arrived) + (1.0 - LEVEL) * (self.level + self.trend);
            self.trend = TREND * (self.level - before) + (1.0 - TREND) * self.trend;
            (self.arrived, self.step) = (0, self.step + 1);
        }
    }

    /// Arrivals per second, a moment from now. Nothing has come since the last one, and that counts as well.
    pub fn per_second(&self, now: Duration) -> f64 {
        let mut moved = self.clone();
        moved.move_to(now);
        (moved.level + moved.trend * AHEAD_STEPS).max(0.0) / STEP.as_secs_f64()
    }

    /// Items at the same time, if each takes so long.
    pub fn at_once(&self, service_ms: f64, now: Duration) -> f64 {
        self.per_second(now) * service_ms / 1e3 * SPARE
    }
}
