//! Second requests as a share of the first ones.
//!
//! A fixed number is wrong at every load, and under a latency blip each request would have a backup: the storm makes the blip worse. A share
//! of what is asked cannot. Little is saved up, for a burst that follows a quiet time.

/// A budget in requests.
#[derive(Clone, Debug)]
pub struct Budget {
    share: f64,
    saved: f64,
    most: f64,
}

impl Budget {
    /// `percent` of the requests, of which `most` may be saved up.
    pub fn new(percent: f64, most: f64) -> Self {
        Self { share: percent / 100.0, saved: 0.0, most }
    }

    /// A first request was made.
    pub fn earn(&mut self) {
        self.saved = (self.saved + self.share).min(self.most);
    }

    /// Whether a second one may be made; takes it.
    pub fn take(&mut self) -> bool {
        // Adding a share a hundred times must not miss a whole by a rounding.
        let may = self.saved >= 1.0 - 1e-9;
        if may {
            self.saved -= 1.0;
        }
        may
    }

    /// What is saved.
    pub fn saved(&self) -> f64 {
        self.saved
    }
}
