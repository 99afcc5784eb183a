//! Everything known about one side: how long it takes, how often it fails, whether it answers at all.

use std::time::Duration;

use super::breaker::{Breaker, BreakerConfig};
use super::model::{Model, Scale};
use super::quantile::Quantile;
use super::{Estimate, Item, Load, Outcome, Target, Verdict};

/// Weight of the newest attempt in the share of failures.
const FAIL_RATE: f64 = 0.15;
/// Share of failures that is left of an outage.
const RECOVERED: f64 = 0.05;
/// What an answer leaves of the time that the slowest item under way may take.
const PASSES: f64 = 0.8;
/// A side is silent when nothing has come for this many times what 19 of 20 items take, and for this long at least.
const SILENT_TIMES: f64 = 1.5;
const SILENT_MS: f64 = 10.0;

/// One side.
#[derive(Clone, Debug)]
pub struct Side {
    target: Target,
    pub model: Model,
    pub breaker: Breaker,
    /// Share of attempts that failed lately.
    pub fails: f64,
    /// Attempts under way.
    pub in_flight: u32,
    /// Since when there has been one under way, and when the last answer came.
    busy_since: Duration,
    last_answer: Duration,
    /// What 19 of 20 items like the slowest one under way stay below; less with each answer.
    slowest_ms: f64,
    /// How many items had been decided for when it was last heard of.
    pub heard_at: u64,
    pub latency: Quantile,
    /// Round trip that the model's times leave out.
    pub rtt_ms: f64,
    /// The last two cheap questions' answers.
    probes: [Option<f64>; 2],
    /// Whether the last one failed.
    pub unreachable: bool,
}

impl Side {
    /// One that nothing is known about.
    pub fn new(target: Target, breaker: BreakerConfig, half_life: f64) -> Self {
        let scale = match target {
            Target::Edge => Scale::Logarithmic,
            Target::Cloud => Scale::Linear,
        };
        Self {
            target,
            model: Model::new(scale, half_life),
            breaker: Breaker::new(breaker),
            fails: 0.0,
            in_flight: 0,
            busy_since: Duration::ZERO,
            last_answer: Duration::ZERO,
            slowest_ms: 0.0,
            heard_at: 0,
            latency: Quantile::default(),
            rtt_ms: 0.0,
            probes: [None; 2],
            unreachable: false,
        }
    }

    /// An item that is expected to take this long at most is on its way here.
    pub fn expects(&mut self, p95_ms: f64) {
        let before = if self.in_flight == 0 { 0.0 } else { self.slowest_ms };
        self.slowest_ms = before.max(p95_ms);
    }

    /// An attempt begins.
    pub fn begins(&mut self, now: Duration) {
        if self.in_flight == 0 {
            self.busy_since = now;
        }
        self.in_flight += 1;
    }

    /// An attempt ended.
    pub fn ended(&mut self, outcome: &Outcome, slots: u32, now: Duration, decided: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome.result {
            Verdict::Ok => {
                let before = self.breaker.is_closed();
                self.breaker.on_success();
                if !before && self.breaker.is_closed() {
                    // Its failures were those of an outage that is over.
                    self.fails = self.fails.min(RECOVERED);
                }
                self.heard(now, decided);
                self.fails -= FAIL_RATE * self.fails;
                self.latency.add(outcome.latency_ms);
                let alone = (outcome.latency_ms - outcome.queue_ms).max(0.0);
                // Those that were ahead of it had their turn first.
                let service = match self.target {
                    Target::Edge if outcome.ahead >= slots => alone * f64::from(slots) / f64::from(outcome.ahead + 1),
                    Target::Edge => alone,
                    Target::Cloud => alone - self.rtt_ms,
                };
                self.model.observe(outcome.bytes, outcome.complexity, service);
            }
            Verdict::Failed | Verdict::TimedOut => {
                self.breaker.on_failure(now);
                self.heard(now, decided);
                self.fails += FAIL_RATE * (1.0 - self.fails);
            }
            // It answered, or was never asked: either says that it is not down.
            Verdict::Rejected | Verdict::Cancelled => self.breaker.on_cancel(),
        }
    }

    fn heard(&mut self, now: Duration, decided: u64) {
        (self.last_answer, self.heard_at) = (now, decided);
        // Whose answer it was is not known; the slowest one's comes in the end.
        self.slowest_ms *= PASSES;
    }

    /// A cheap question was answered after so long, or failed.
    pub fn probed(&mut self, answer: Option<f64>, now: Duration) {
        let Some(rtt_ms) = answer else {
            self.unreachable = true;
            return;
        };
        if std::mem::take(&mut self.unreachable) {
            // It was the network, and that is back: no need to wait for the breaker's time.
            self.breaker.recheck(now);
        }
        self.probes = [Some(rtt_ms), self.probes[0]];
        // One slow answer says little, a quick one cannot lie.
        let rtt_ms = self.probes.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        // The first one was in the times so far.
        if self.rtt_ms == 0.0 && rtt_ms > 0.0 {
            self.model.shift(-rtt_ms);
        }
        self.rtt_ms = rtt_ms;
    }

    /// How long it has answered nothing although it is asked; nothing while that is not unusual.
    pub fn silence_ms(&self, p95_ms: f64, now: Duration) -> Option<f64> {
        if self.in_flight == 0 {
            return None;
        }
        let since = now.saturating_sub(self.last_answer.max(self.busy_since)).as_secs_f64() * 1e3;
        (since > p95_ms.max(self.slowest_ms).mul_add(SILENT_TIMES, SILENT_MS)).then_some(since)
    }

    /// What an item takes here, without what it costs.
    pub fn estimate(&self, item: &Item, load: &Load, now: Duration) -> Estimate {
        let mut expected = self.model.expect(item.bytes, item.complexity);
        if self.model.samples() == 0 {
            return Estimate::default();
        }
        let mut wait_ms = 0.0;
        match self.target {
            Target::Edge => {
                let slots = load.edge_slots.max(1);
                let ahead = (load.edge_in_flight + 1).saturating_sub(slots);
                wait_ms = f64::from(ahead) / f64::from(slots) * expected.mean_ms;
            }
            Target::Cloud => {
                expected.mean_ms = (expected.mean_ms + self.rtt_ms).max(0.01);
                expected.p95_ms = (expected.p95_ms + self.rtt_ms).max(expected.mean_ms);
            }
        }
        let mut latency_ms = expected.mean_ms + wait_ms;
        // Only of a side whose times are known well can silence be told from a long item.
        if self.model.samples() > 8
            && let Some(silence) = self.silence_ms(expected.p95_ms + wait_ms, now)
        {
            latency_ms = latency_ms.max(silence);
        }
        Estimate { latency_ms, cost: 0.0, samples: expected.samples, p95_ms: expected.p95_ms + wait_ms, wait_ms }
    }
}
