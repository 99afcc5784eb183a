//! The instances of one node: made, kept ready, waited for.
//!
//! Problem: an instance costs address space and microseconds, untrusted load must not make any number of them, and none may reach a second
//! session with the first one's memory in it. Answer: a pool with a minimum kept ready, a maximum, and a bounded line of sessions that wait.
//! Instances leave the pool for good: what comes back is only the place that they took. It does not run guests' items; `session/` does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::instance::{Blueprint, Compiled, Instance, Limits};
use super::sys;
use super::worker::{self, Runnable};
use crate::error::{Code, Error, Result};
use crate::observe::NodeMetrics;

/// Instances of all nodes together. Each reserves 12.9 GB of the 128 TB of address space; at 10,907 the reservation fails.
const PROCESS_MAX: usize = 8_192;
static PROCESS_LIVE: AtomicUsize = AtomicUsize::new(0);

/// One node's instances.
pub struct Pool {
    state: Mutex<State>,
    min: usize,
    max: usize,
    max_waiting: usize,
    blueprint: Arc<Blueprint>,
    metrics: Arc<NodeMetrics>,
}

struct State {
    code: Compiled,
    ready: Vec<(Instance, Instant)>,
    /// Places taken: by sessions, by ready instances, by instances being made.
    live: usize,
    /// Instances being made for the minimum.
    making: usize,
    /// Whether the last of these could not be made.
    unmakable: bool,
    waiting: VecDeque<Arc<dyn Runnable>>,
    closed: bool,
}

/// An instance that holds one of the pool's places until it is dropped.
pub struct Held {
    /// Taken out only by `drop`.
    instance: Option<Instance>,
    /// None once the place belongs to the pool's ready instances.
    pool: Option<Arc<Pool>>,
    /// Of linear memory, as the metrics have it.
    bytes: u64,
}

/// What a session gets that asks for an instance.
pub enum Taken {
    /// An instance.
    Held(Box<Held>),
    /// Nothing yet: the session was put in line and is queued again when a place is free.
    InLine,
}

/// A place in the pool that an instance is being made for.
struct Place(Option<Arc<Pool>>);

impl Place {
    fn fill(mut self, instance: Instance) -> Held {
        let pool = self.0.take();
        if let Some(pool) = &pool {
            pool.metrics.instances_created.add(1);
        }
        Held { instance: Some(instance), pool, bytes: 0 }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.give_back();
        }
    }
}

impl Pool {
    /// An empty pool whose instances run `code`.
    pub fn new(code: Compiled, blueprint: Arc<Blueprint>, metrics: Arc<NodeMetrics>) -> Arc<Self> {
        let config = &blueprint.config;
        let (min, max, max_waiting) = (config.pool_min, config.pool_max, config.pool_max_queue);
        let state = State { code, ready: Vec::new(), live: 0, making: 0, unmakable: false, waiting: VecDeque::new(), closed: false };
        Arc::new(Self { state: Mutex::new(state), min, max, max_waiting, blueprint, metrics })
    }

    /// What new instances run.
    pub fn code(&self) -> Compiled {
        self.state.lock().code.clone()
    }

    /// Instances made from now on run `code`; those that are ready and unused are replaced.
    pub fn set_code(self: &Arc<Self>, code: Compiled) {
        let old = {
            let mut state = self.state.lock();
            state.code = code;
            std::mem::take(&mut state.ready)
        };
        for (instance, _) in old {
            drop(Held::of(instance, Arc::clone(self)));
        }
        self.refill();
    }

    /// Makes the instances that are missing from the minimum. Errors show when a session needs one.
    pub fn refill(self: &Arc<Self>) {
        self.have_ready(self.min);
    }

    /// Makes instances ready until there are so many in all, those at work included. Unused ones go after a while.
    pub fn prewarm(self: &Arc<Self>, instances: usize) {
        let at_work = {
            let state = self.state.lock();
            state.live.saturating_sub(state.ready.len() + state.making)
        };
        self.have_ready(instances.saturating_sub(at_work).max(self.min));
    }

    fn have_ready(self: &Arc<Self>, wanted: usize) {
        let missing = {
            let mut state = self.state.lock();
            let missing = wanted.saturating_sub(state.ready.len() + state.making).min(self.max.saturating_sub(state.live));
            let missing = if state.closed || state.unmakable { 0 } else { missing };
            state.live += missing;
            state.making += missing;
            missing
        };
        for _ in 0..missing {
            let pool = Arc::clone(self);
            worker::once(move || {
                let made = pool.place().and_then(|place| pool.make(place, Limits::within(pool.blueprint.config.timeout, None)));
                {
                    let mut state = pool.state.lock();
                    state.making -= 1;
                    // A guest that cannot be made is not tried again and again: the next session that needs one tells why.
                    state.unmakable = made.is_err();
                }
                if let Ok(held) = made {
                    held.keep_ready();
                }
            });
        }
    }

    /// An instance for `asker`, on a guest thread.
    pub fn take(self: &Arc<Self>, asker: &Arc<dyn Runnable>, limits: Limits<'_>) -> Result<Taken> {
        {
            let mut state = self.state.lock();
            if state.closed {
                return Err(Error::new(Code::Closed, "the node was cleaned up"));
            }
            if let Some((instance, _)) = state.ready.pop() {
                drop(state);
                self.refill();
                return Ok(Taken::Held(Box::new(Held::of(instance, Arc::clone(self)))));
            }
            if state.live >= self.max {
                if state.waiting.len() >= self.max_waiting {
                    let message = format!("all {} instances (pool.max) are taken and {} sessions wait (pool.maxQueue)", self.max, self.max_waiting);
                    return Err(Error::new(Code::PoolExhausted, message));
                }
                state.waiting.push_back(Arc::clone(asker));
                self.metrics.waiting.set(state.waiting.len() as u64);
                return Ok(Taken::InLine);
            }
            state.live += 1;
        }
        self.make(self.place()?, limits).map(|held| Taken::Held(Box::new(held)))
    }

    /// Turns a place that was just counted as live into one that gives itself back.
    fn place(self: &Arc<Self>) -> Result<Place> {
        self.metrics.instances_live.add(1);
        let place = Place(Some(Arc::clone(self)));
        if PROCESS_LIVE.fetch_add(1, Ordering::Relaxed) >= PROCESS_MAX {
            let message = format!("this process has {PROCESS_MAX} guest instances, more would not fit in its address space");
            return Err(Error::new(Code::PoolExhausted, message));
        }
        Ok(place)
    }

    fn make(&self, place: Place, limits: Limits<'_>) -> Result<Held> {
        Instance::new(&self.code(), &self.blueprint, limits).map(|instance| place.fill(instance))
    }

    fn give_back(self: &Arc<Self>) {
        PROCESS_LIVE.fetch_sub(1, Ordering::Relaxed);
        self.metrics.instances_live.sub(1);
        let next = {
            let mut state = self.state.lock();
            state.live -= 1;
            let next = state.waiting.pop_front();
            self.metrics.waiting.set(state.waiting.len() as u64);
            next
        };
        match next {
            Some(next) => worker::submit(next),
            // Nobody waits, so the place may be one that the minimum lacks.
            None => self.refill(),
        }
    }

    /// Lets go of ready instances above the minimum that nobody used for too long.
    pub fn evict_idle(self: &Arc<Self>, now: Instant) {
        let ttl = self.blueprint.config.pool_idle_ttl;
        let mut old = Vec::new();
        {
            let mut state = self.state.lock();
            while state.ready.len() > self.min {
                // The oldest is at the front: the pool gives out the newest.
                match state.ready.first() {
                    Some((_, since)) if now.saturating_duration_since(*since) >= ttl => old.push(state.ready.remove(0).0),
                    _ => break,
                }
            }
        }
        for instance in old {
            self.metrics.instances_idle_evicted.add(1);
            drop(Held::of(instance, Arc::clone(self)));
        }
    }

    /// Gives out no more and wakes all that wait, so that they see it.
    pub fn close(self: &Arc<Self>) {
        let (ready, waiting) = {
            let mut state = self.state.lock();
            state.closed = true;
            (std::mem::take(&mut state.ready), std::mem::take(&mut state.waiting))
        };
        for (instance, _) in ready {
            drop(Held::of(instance, Arc::clone(self)));
        }
        for waiter in waiting {
            worker::submit(waiter);
        }
    }
}

impl Held {
    fn of(instance: Instance, pool: Arc<Pool>) -> Self {
        Self { instance: Some(instance), pool: Some(pool), bytes: 0 }
    }

    /// Notes how much memory the guest has now.
    pub fn note_memory(&mut self) {
        let (Some(instance), Some(pool)) = (&self.instance, &self.pool) else { return };
        let bytes = instance.memory().pages() * sys::PAGE_BYTES;
        if bytes != self.bytes {
            pool.metrics.memory_bytes.add(bytes);
            pool.metrics.memory_bytes.sub(self.bytes);
            self.bytes = bytes;
        }
    }

    /// The instance.
    pub fn instance(&mut self) -> Result<&mut Instance> {
        self.instance.as_mut().ok_or_else(|| Error::new(Code::Internal, "the instance is gone"))
    }

    /// Back into the pool, unused; its place goes with it.
    fn keep_ready(mut self) {
        let Some(pool) = self.pool.clone() else { return };
        let mut state = pool.state.lock();
        if !state.closed
            && let Some(instance) = self.instance.take()
        {
            state.ready.push((instance, Instant::now()));
            self.pool = None;
            // While it was being made, its place may have kept a session waiting.
            if let Some(next) = state.waiting.pop_front() {
                pool.metrics.waiting.set(state.waiting.len() as u64);
                worker::submit(next);
            }
        }
    }

    /// Puts the guest into other code if it can move there. True when it did.
    pub fn move_to(&mut self, code: &Compiled) -> bool {
        let moved = self.instance.as_mut().and_then(|instance| instance.moved_to(code));
        let did = moved.is_some();
        if did {
            self.instance = moved;
        }
        did
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The memory is gone before the place is given to the next.
        drop(self.instance.take());
        if let Some(pool) = self.pool.take() {
            pool.metrics.memory_bytes.sub(self.bytes);
            pool.give_back();
        }
    }
}
