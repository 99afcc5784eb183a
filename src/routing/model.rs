//! How long a side takes for an item, learned one observation at a time.
//!
//! Problem: observations are noisy, come late, cover few sizes, and what was true may end at once: a slower network moves all sizes by the same
//! time, a busier processor by the same factor. Answer: a small regression that forgets ([`Regression`]), in milliseconds for the cloud (so
//! that a change of the network is one of the intercept) and in their logarithm for the edge (so that a busy processor is one of it too),
//! and beside it, for each size and complexity, what the regression misses there. A change detector (CUSUM on the standardised errors) makes
//! the intercept free again, so that one or two observations of a slowed side move all sizes. No allocation, a few dozen multiplications.

use serde::{Deserialize, Serialize};

/// Size buckets: powers of two from 256 bytes to 8 MiB.
const SIZES: usize = 16;
/// Complexity bins: not stated, low, middle, high.
const BINS: usize = 4;
/// Features: one, size, complexity.
const F: usize = 3;

/// Standardised errors beyond this count as this: one straggler says little.
const CLIP: f64 = 4.0;
/// Drift that the change detector lets pass, and the sum at which it is sure; in standard deviations.
const SLACK: f64 = 0.75;
const SURE: f64 = 6.0;
/// Observations after a change that are believed without clipping.
const RELEARN: u32 = 4;
/// Weight of the regression against what a bucket has seen itself, in observations.
const SHRINK: f64 = 4.0;
/// Longest time that is believed, in milliseconds: a day.
const LONGEST_MS: f64 = 86_400_000.0;
/// No number of a model is beyond this: the square of that time.
const BOUND: f64 = LONGEST_MS * LONGEST_MS;
/// Nobody has made so many observations.
const MOST_SAMPLES: u64 = 1 << 53;

/// What a bucket has seen beyond the regression.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Cell {
    samples: f64,
    offset: f64,
}

/// What is known about an item's size and complexity, as features.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    x: [f64; F],
    cell: usize,
}

/// Whether times are learned as they are, or their logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// Changes add.
    Linear,
    /// Changes multiply.
    Logarithmic,
}

/// The size bucket of so many bytes.
pub fn bucket(bytes: u64) -> usize {
    (64 - bytes.leading_zeros() as usize).saturating_sub(9).min(SIZES - 1)
}

/// Number of buckets.
pub const BUCKETS: usize = SIZES;

impl Features {
    fn new(bytes: u64, complexity: Option<f64>, scale: Scale) -> Self {
        // Nothing larger fits into a guest, and a size beyond all measure leaves no digits for the others.
        let kib = bytes.min(4 << 30) as f64 / 1024.0;
        let size = match scale {
            Scale::Linear => kib / 64.0,
            Scale::Logarithmic => (kib + 0.25).ln() / 4.0,
        };
        let bin = complexity.map_or(0, |complexity| 1 + ((complexity * 3.0) as usize).min(2));
        Self { x: [1.0, size, complexity.unwrap_or(0.5)], cell: bin * SIZES + bucket(bytes) }
    }
}

/// Recursive least squares that forgets.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Regression {
    theta: [f64; F],
    p: [[f64; F]; F],
}

/// Uncertainty of coefficients that nothing is known about.
const UNKNOWN: f64 = 1e4;
/// Bound of the same, so that what is never excited does not run away.
const P_MAX: f64 = 1e6;

impl Regression {
    fn new() -> Self {
        let mut p = [[0.0; F]; F];
        for (index, row) in p.iter_mut().enumerate() {
            row[index] = UNKNOWN;
        }
        Self { theta: [0.0; F], p }
    }

    fn predict(&self, x: &[f64; F]) -> f64 {
        self.theta.iter().zip(x).map(|(theta, x)| theta * x).sum()
    }

    fn update(&mut self, x: &[f64; F], error: f64, forget: f64) {
        let mut px = [0.0; F];
        for (out, row) in px.iter_mut().zip(&self.p) {
            *out = row.iter().zip(x).map(|(p, x)| p * x).sum();
        }
        // Less than that only comes of rounding, or of a state from outside.
        let denominator = (forget + x.iter().zip(&px).map(|(x, px)| x * px).sum::<f64>()).max(forget);
        for (index, theta) in self.theta.iter_mut().enumerate() {
            *theta += px[index] / denominator * error;
        }
        for row in 0..F {
            for column in 0..F {
                self.p[row][column] = ((self.p[row][column] - px[row] * px[column] / denominator) / forget).clamp(-P_MAX, P_MAX);
            }
        }
    }
}

/// A side's model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    scale: Scale,
    regression: Regression,
    cells: Vec<Cell>,
    /// Of the errors, in the model's own scale.
    variance: f64,
    /// Observations so far, and since the last change.
    samples: u64,
    fresh: u32,
    up: f64,
    down: f64,
    /// Changes found.
    changes: u64,
    forget: f64,
    cell_limit: f64,
}

/// What the model expects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// Milliseconds.
    pub mean_ms: f64,
    /// Milliseconds that 19 of 20 stay below.
    pub p95_ms: f64,
    /// Observations behind it, older ones counting less.
    pub samples: f64,
}

impl Model {
    /// A model that knows nothing. `half_life` is in observations.
    pub fn new(scale: Scale, half_life: f64) -> Self {
        let variance = match scale {
            Scale::Linear => 100.0,
            Scale::Logarithmic => 0.25,
        };
        Self {
            scale,
            regression: Regression::new(),
            cells: vec![Cell::default(); SIZES * BINS],
            variance,
            samples: 0,
            fresh: 0,
            up: 0.0,
            down: 0.0,
            changes: 0,
            forget: 0.5_f64.powf(1.0 / (half_life * 4.0)),
            cell_limit: half_life,
        }
    }

    /// How it takes times.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Observations so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Changes found so far.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    fn level(&self, features: &Features) -> f64 {
        let cell = self.cells.get(features.cell).copied().unwrap_or_default();
        self.regression.predict(&features.x) + cell.offset * cell.samples / (cell.samples + SHRINK)
    }

    /// What an item takes.
    pub fn expect(&self, bytes: u64, complexity: Option<f64>) -> Expected {
        if self.samples == 0 {
            return Expected::default();
        }
        let features = Features::new(bytes, complexity, self.scale);
        let (level, sigma) = (self.level(&features), self.variance.sqrt());
        let near = self.cells.get(features.cell).map_or(0.0, |cell| cell.samples);
        let (mean_ms, p95_ms) = match self.scale {
            Scale::Linear => (level.max(0.01), (level + 1.65 * sigma).max(0.01)),
            // The mean of a log-normal variable, its skew bounded: the variance right after a change is not noise.
            Scale::Logarithmic => ((level + self.variance.min(0.5) / 2.0).min(20.0).exp(), (level + 1.65 * sigma).min(20.0).exp()),
        };
        Expected { mean_ms, p95_ms, samples: near }
    }

    /// An item took so long.
    pub fn observe(&mut self, bytes: u64, complexity: Option<f64>, took_ms: f64) {
        // What is no time says nothing, and one beyond all measure would be remembered for ever.
        if took_ms.is_nan() {
            return;
        }
        let took_ms = took_ms.clamp(-LONGEST_MS, LONGEST_MS);
        let features = Features::new(bytes, complexity, self.scale);
        let value = match self.scale {
            Scale::Linear => took_ms,
            Scale::Logarithmic => took_ms.max(1e-3).ln(),
        };
        self.samples += 1;
        if self.samples == 1 {
            self.regression.theta[0] = value;
            self.regression.p[0][0] = 1.0;
            self.touch(&features, 0.0);
            return;
        }
        let level = self.level(&features);
        let error = value - level;
        // By what was expected: a time beyond all measure must not be the measure of itself.
        let sigma = self.variance.sqrt().max(self.floor(level));
        let z = (error / sigma).clamp(-CLIP, CLIP);
        self.fresh = self.fresh.saturating_add(1);
        if self.samples > 8 {
            self.up = (self.up + z - SLACK).max(0.0);
            self.down = (self.down - z - SLACK).max(0.0);
            if self.up > SURE || self.down > SURE {
                self.changed();
            }
        }
        let believed = if self.fresh <= RELEARN || self.samples <= 8 { error } else { z * sigma };
        self.regression.update(&features.x, believed, self.forget);
        if !self.regression.theta.iter().all(|theta| theta.abs() <= BOUND) {
            // Only a state from outside leads here: better nothing than that.
            self.regression = Regression { theta: [value, 0.0, 0.0], ..Regression::new() };
        }
        // What remains is the bucket's.
        let left = value - self.regression.predict(&features.x);
        let bound = CLIP * sigma;
        self.touch(&features, left.clamp(-bound, bound));
        if self.fresh > RELEARN || self.samples <= 8 {
            let rate = if self.samples < 20 { 0.15 } else { 0.04 };
            self.variance = (self.variance + rate * ((z * sigma).powi(2) - self.variance)).min(BOUND);
        }
    }

    fn floor(&self, level: f64) -> f64 {
        match self.scale {
            Scale::Linear => (level.abs() * 0.02).max(0.05),
            Scale::Logarithmic => 0.02,
        }
    }

    fn touch(&mut self, features: &Features, left: f64) {
        let limit = self.cell_limit;
        if let Some(cell) = self.cells.get_mut(features.cell) {
            cell.samples = (cell.samples + 1.0).min(limit);
            cell.offset += (left - cell.offset) / cell.samples;
        }
    }

    /// All times are that much longer or shorter, without having been seen to be.
    pub fn shift(&mut self, by: f64) {
        if self.samples > 0 {
            self.regression.theta[0] += by;
        }
    }

    /// Something else is true now: the intercept is free, and what buckets had seen counts little.
    fn changed(&mut self) {
        self.changes += 1;
        (self.up, self.down, self.fresh) = (0.0, 0.0, 0);
        self.regression.p[0][0] += 4.0;
        self.regression.p[1][1] += 0.05;
        for cell in &mut self.cells {
            cell.samples = cell.samples.min(3.0);
            cell.offset *= 0.25;
        }
    }

    /// Whether all of it can be used, as it came from outside.
    pub fn is_sound(&self) -> bool {
        let numbers = self.regression.theta.iter().chain(self.regression.p.iter().flatten());
        let fine = |number: &f64| number.is_finite() && number.abs() <= BOUND;
        numbers.chain([&self.variance, &self.up, &self.down, &self.forget, &self.cell_limit]).all(fine)
            && self.cells.len() == SIZES * BINS
            && self.cells.iter().all(|cell| fine(&cell.samples) && fine(&cell.offset) && cell.samples >= 0.0)
            && (0.5..=1.0).contains(&self.forget)
            && self.variance >= 0.0
            && self.samples.max(self.changes) <= MOST_SAMPLES
            && self.cell_limit >= 1.0
    }
}
