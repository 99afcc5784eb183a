//! How many items a side may have at once (a bulkhead), and how many may wait for it: more are refused at once, for waiting longer than the
//! answer is worth helps nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The entrance of one side.
pub struct Gate {
    /// Nothing where there is no limit.
    places: Option<Arc<Semaphore>>,
    queue_max: u32,
    inside: Arc<AtomicU32>,
    waiting: AtomicU32,
}

/// An item's place; it goes with it.
pub struct Place {
    _permit: Option<OwnedSemaphorePermit>,
    inside: Arc<AtomicU32>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gate {
    /// A side with so many places, and so many who may wait for one.
    pub fn new(places: Option<u32>, queue_max: u32) -> Self {
        let places = places.map(|places| Arc::new(Semaphore::new(places as usize)));
        Self { places, queue_max, inside: Arc::default(), waiting: AtomicU32::new(0) }
    }

    /// Items inside and waiting.
    pub fn in_flight(&self) -> u32 {
        self.inside.load(Ordering::Acquire) + self.waiting.load(Ordering::Acquire)
    }

    /// A place at once, if there is one.
    pub fn try_enter(&self) -> Option<Place> {
        match &self.places {
            None => Some(self.place(None)),
            Some(places) => Arc::clone(places).try_acquire_owned().ok().map(|permit| self.place(Some(permit))),
        }
    }

    /// A place now or later; nothing where too many wait already.
    pub async fn enter(&self) -> Option<Place> {
        if let Some(place) = self.try_enter() {
            return Some(place);
        }
        let places = Arc::clone(self.places.as_ref()?);
        let _waits = Counted::new(&self.waiting);
        if self.waiting.load(Ordering::Acquire) > self.queue_max {
            return None;
        }
        places.acquire_owned().await.ok().map(|permit| self.place(Some(permit)))
    }

    fn place(&self, permit: Option<OwnedSemaphorePermit>) -> Place {
        self.inside.fetch_add(1, Ordering::AcqRel);
        Place { _permit: permit, inside: Arc::clone(&self.inside) }
    }
}

/// Counts one more while it lives.
struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicU32) -> Self {
        counter.fetch_add(1, Ordering::AcqRel);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
