//! A percentile of a stream of times, in constant memory, that forgets.
//!
//! A histogram of logarithmic buckets, each a sixteenth of a power of two wide, so that an answer is right to 4%; all counts are halved when
//! there are enough, so that what was long ago counts little.

/// Sixteen buckets for each power of two, from a microsecond on.
const STEPS: usize = 16;
const OCTAVES: usize = 32;
/// Counts are halved at this many.
const FULL: u32 = 2_000;

/// Times and how often they came.
#[derive(Clone, Debug)]
pub struct Quantile {
    counts: Vec<u32>,
    total: u32,
}

impl Default for Quantile {
    fn default() -> Self {
        Self { counts: vec![0; STEPS * OCTAVES], total: 0 }
    }
}

impl Quantile {
    /// Adds a time in milliseconds.
    pub fn add(&mut self, ms: f64) {
        let index = ((ms * 1e3).max(1.0).log2() * STEPS as f64) as usize;
        self.counts[index.min(STEPS * OCTAVES - 1)] += 1;
        self.total += 1;
        if self.total >= FULL {
            self.total = 0;
            for count in &mut self.counts {
                *count /= 2;
                self.total += *count;
            }
        }
    }

    /// The time that `percent` of all stay below, in milliseconds; nothing before there are enough to tell.
    pub fn at(&self, percent: f64) -> Option<f64> {
        // One in (100 - percent) percent must have been seen a few times.
        let enough = (300.0 / (100.0 - percent).max(0.05)).clamp(20.0, 1_000.0);
        if f64::from(self.total) < enough {
            return None;
        }
        let wanted = (f64::from(self.total) * percent / 100.0).ceil() as u32;
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(2.0_f64.powf((index + 1) as f64 / STEPS as f64) / 1e3)
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.total
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}
