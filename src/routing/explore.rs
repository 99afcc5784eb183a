//! Trying the side that seems worse, within a budget.
//!
//! Problem: a side that nobody asks may have become better, and asking costs. Answer: a share of the running cost may go into it, so that the
//! regret of exploring is bounded by an option. A try costs what it is expected to be dearer; so sides that are close are tried often, and
//! items for which the difference is small are taken first. A side that was heard of lately needs no try: what is learned from one size moves
//! the others. A side that nothing is known about gets a few tries in any case, or a single one if that shows it to be far dearer.

/// Items since a side was heard of, before it is tried: known, hardly known for such items, and after a signal that it has changed.
const STALE: u64 = 14;
const STALE_UNKNOWN: u64 = 5;
const STALE_CHANGED: u64 = 3;
/// Times the first, where a signal would tell of most changes.
const WATCHED: u64 = 12;
/// Spread of the first, so that many routers do not try together.
const SPREAD: u64 = 6;
/// Times its due after which a try is made with whatever item comes.
const PATIENT: u64 = 4;
/// Share of the better side's cost that the other may be dearer and still be worth a look for its own sake.
const CLOSE: f64 = 0.3;
/// Items before the first try: a short stream is not worth one.
const FIRST: u64 = 16;
/// Observations that are enough to know a side at all, and tries that it has for them.
const ENOUGH: u64 = 4;
const TRIES: u32 = 8;
/// Times the better side's cost that one observation may show the other to be dearer: beyond that, more of them are paid from the budget.
const FAR: f64 = 8.0;
/// Saved up at most, in mean costs of an item.
const SAVED: f64 = 12.0;

/// What a decision to try a side is made of.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    /// Observations of the side, and of such items on it.
    pub side_samples: u64,
    pub near_samples: f64,
    /// Items since it was heard of.
    pub stale: u64,
    /// Whether a signal says that it has changed since.
    pub changed: bool,
    /// Whether a signal would say so.
    pub watched: bool,
    /// What the better side costs, and how much dearer it is expected to be.
    pub best: f64,
    pub excess: f64,
}

/// The budget.
#[derive(Clone, Debug)]
pub struct Explorer {
    limit: f64,
    balance: f64,
    spent: f64,
    running: f64,
    mean: f64,
    tries: [u32; 2],
    random: u64,
}

impl Explorer {
    /// `limit` is the share of the running cost.
    pub fn new(limit: f64, seed: u64) -> Self {
        Self { limit, balance: 0.0, spent: 0.0, running: 0.0, mean: 0.0, tries: [0; 2], random: seed ^ 0x9e37_79b9_7f4a_7c15 }
    }

    /// Whether the side with this index is to be tried now; `decided` is how many items there have been.
    pub fn wants(&self, side: usize, chance: &Chance, decided: u64) -> bool {
        if self.limit == 0.0 {
            return false;
        }
        if chance.side_samples == 0 || chance.side_samples < ENOUGH && chance.excess <= chance.best * FAR {
            // Not with the first items, and not with one after the other: the first answers may say enough.
            let tries = self.tries[side];
            return tries < TRIES && decided >= FIRST + u64::from(tries) * 4;
        }
        let due = match () {
            () if chance.changed => STALE_CHANGED,
            // Hardly seen with such items, but not so dear that what is known of others would have to be far off.
            () if chance.near_samples < 1.5 && chance.excess <= chance.best * CLOSE => STALE_UNKNOWN,
            () if chance.watched => WATCHED * STALE + (self.random >> 33) % SPREAD,
            () => STALE + (self.random >> 33) % SPREAD,
        };
        // The longer it is, the dearer an item may be: a cheaper one mostly comes first.
        let patience = CLOSE * (chance.stale as f64 / due as f64).powi(2);
        chance.stale >= due && chance.excess <= self.balance && (chance.excess <= chance.best * patience || chance.stale >= due * PATIENT)
    }

    /// Share of the running cost that was spent, and may be.
    pub fn share(&self) -> (f64, f64) {
        (if self.running > 0.0 { self.spent / self.running } else { 0.0 }, self.limit)
    }

    /// An item goes its way, for `best` if the better side has it; `tried` is the side that it tries instead and the excess.
    pub fn begin(&mut self, best: f64, tried: Option<(usize, f64)>) {
        self.running += best;
        self.mean += (best - self.mean) * 0.05;
        self.balance = (self.balance + self.limit * best).min(self.mean * SAVED);
        if let Some((side, excess)) = tried {
            self.tries[side] += 1;
            self.balance = (self.balance - excess).max(0.0);
            self.spent += excess;
            // One step of a generator with a period of 2^64; it is only there to scatter.
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        }
    }

    /// What exploring has cost so far.
    pub fn spent(&self) -> f64 {
        self.spent
    }
}
