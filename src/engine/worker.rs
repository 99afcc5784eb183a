//! The threads that run guests.
//!
//! Problem: guests must never run on the threads of JavaScript, libuv or an async runtime, should use every processor and no more, and a
//! guest that waits for the application or the network must not keep another from running. Answer: one pool per process, as many guests at
//! once as processors; a thread that waits inside [`blocking`] gives its place to another, made if need be. It does not know what runs:
//! sessions queue themselves.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Once};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{exit, fault};

/// Native stack that a guest may use.
pub const GUEST_STACK_BYTES: usize = 1 << 20;
/// Most threads, those that wait included: half of the slots that the fault isolation has.
const MAX_THREADS: usize = 256;
/// Below the threads of JavaScript: under full load an event loop that wakes up goes first.
const NICE: i32 = 5;
/// How long one idle thread looks for work before it sleeps. Waking a sleeper costs the thread of JavaScript a system call and the work
/// tens of microseconds; a stream of small items would pay both for each. At one item per 16 ms this is 0.3% of a processor.
const LOOKOUT: Duration = Duration::from_micros(50);
/// A turn that lasts longer no longer counts: a few guests that compute for seconds must not keep all others out. From then on the
/// system shares the processors among them.
const LONG_TURN: Duration = Duration::from_millis(20);
/// A thread that had nothing to do for so long ends; one per processor stays.
const SPARE_THREAD_TTL: Duration = Duration::from_secs(10);

/// Something that runs for a while on a guest thread and comes back when there is more to do.
pub trait Runnable: Send + Sync {
    /// Runs one turn.
    fn run(self: Arc<Self>);
}

enum Task {
    Turn(Arc<dyn Runnable>),
    Once(Box<dyn FnOnce() + Send>),
}

struct State {
    queue: VecDeque<Task>,
    /// Threads that run a guest now; those inside `blocking` and those whose turn is long are not counted.
    running: usize,
    /// Turns under way by the number of their thread: when each began, or `None` once it no longer counts.
    turns: HashMap<usize, Option<Instant>>,
    /// Whether the thread that looks for long turns is at it.
    relieving: bool,
    /// Threads that wait for work and were not woken yet.
    idle: usize,
    /// Threads that were woken or started and have not looked at the queue yet.
    waking: usize,
    /// Whether a thread looks out for work right now; it will see what is queued without being woken.
    lookout: bool,
    threads: usize,
    named: usize,
}

thread_local! {
    /// Number of this guest thread.
    static THREAD: Cell<usize> = const { Cell::new(usize::MAX) };
}

struct Workers {
    state: Mutex<State>,
    work: Condvar,
    crowded: Condvar,
    /// Length of the queue, for the lookout that does not hold the lock.
    queued: AtomicUsize,
    processors: usize,
}

fn workers() -> &'static Workers {
    static WORKERS: LazyLock<Workers> = LazyLock::new(|| Workers {
        state: Mutex::new(State {
            queue: VecDeque::new(),
            running: 0,
            turns: HashMap::new(),
            relieving: false,
            idle: 0,
            waking: 0,
            lookout: false,
            threads: 0,
            named: 0,
        }),
        work: Condvar::new(),
        crowded: Condvar::new(),
        queued: AtomicUsize::new(0),
        processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    });
    &WORKERS
}

/// Guests that run at once.
pub fn parallelism() -> usize {
    workers().processors
}

/// Threads that exist now.
pub fn threads() -> usize {
    workers().state.lock().threads
}

/// Queues a turn.
pub fn submit(runnable: Arc<dyn Runnable>) {
    push(Task::Turn(runnable));
}

/// Queues a piece of work that runs once.
pub fn once(work: impl FnOnce() + Send + 'static) {
    push(Task::Once(Box::new(work)));
}

fn push(task: Task) {
    let workers = workers();
    let mut state = workers.state.lock();
    state.queue.push_back(task);
    workers.queued.store(state.queue.len(), Ordering::Relaxed);
    workers.rouse(&mut state);
}

/// Whether others wait for a thread.
pub fn contended() -> bool {
    workers().queued.load(Ordering::Relaxed) > 0
}

/// Runs `wait` while another thread may take this one's place. Does nothing special on other threads.
pub fn blocking<R>(wait: impl FnOnce() -> R) -> R {
    if !fault::on_guest_thread() {
        return wait();
    }
    let workers = workers();
    struct Back(&'static Workers);
    impl Drop for Back {
        fn drop(&mut self) {
            // For a moment one more than processors may run; the next thread to finish its turn then waits.
            Workers::begin_turn(&mut self.0.state.lock());
        }
    }
    {
        let mut state = workers.state.lock();
        Workers::end_turn(&mut state);
        workers.rouse(&mut state);
    }
    let _back = Back(workers);
    exit::outside(wait)
}

impl Workers {
    fn begin_turn(state: &mut State) {
        state.running += 1;
        state.turns.insert(THREAD.get(), Some(Instant::now()));
    }

    fn end_turn(state: &mut State) {
        if let Some(Some(_)) = state.turns.remove(&THREAD.get()) {
            state.running -= 1;
        }
    }

    /// Looks, while work waits and all places are taken, for turns that have become long.
    fn relieve(&'static self) {
        let mut state = self.state.lock();
        loop {
            while state.queue.is_empty() {
                state.relieving = false;
                self.crowded.wait(&mut state);
            }
            self.crowded.wait_for(&mut state, LONG_TURN / 2);
            if state.queue.is_empty() {
                continue;
            }
            let long = state.turns.values_mut().filter(|began| began.is_some_and(|began| began.elapsed() > LONG_TURN));
            let relieved = long.map(|began| *began = None).count();
            state.running -= relieved;
            for _ in 0..relieved {
                self.rouse(&mut state);
            }
        }
    }

    /// Has somebody look for long turns, for there is work and no place.
    fn call_relief(&'static self, state: &mut State) {
        if std::mem::replace(&mut state.relieving, true) {
            return;
        }
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            if let Err(error) = std::thread::Builder::new().name("rm-relief".into()).spawn(|| self.relieve()) {
                tracing::error!(target: "engine", %error, "long turns will keep others waiting");
            }
        });
        self.crowded.notify_one();
    }

    /// Wakes or makes a thread when there is work and a free processor.
    fn rouse(&'static self, state: &mut State) {
        if !state.queue.is_empty() && state.running >= self.processors {
            return self.call_relief(state);
        }
        if state.queue.len() <= usize::from(state.lookout) || state.running + state.waking + usize::from(state.lookout) >= self.processors {
            return;
        }
        if state.idle > 0 && self.work.notify_one() {
            state.idle -= 1;
            state.waking += 1;
        } else if state.threads < MAX_THREADS {
            self.start(state);
        }
    }

    fn start(&'static self, state: &mut State) {
        let name = format!("rm-guest-{}", state.named);
        let number = state.named;
        let serve = move || {
            THREAD.set(number);
            self.serve();
        };
        match fault::spawn(&name, GUEST_STACK_BYTES, NICE, serve) {
            Ok(thread) => {
                state.threads += 1;
                state.waking += 1;
                state.named += 1;
                // Nobody waits for these threads: they end by themselves or with the process.
                drop(thread);
            }
            Err(error) if state.threads == 0 => {
                tracing::error!(target: "engine", %error, "no guest thread can be started");
                // Work that nobody will ever do is dropped: its replies are dropped with it and tell their askers.
                state.queue.clear();
            }
            Err(error) => tracing::warn!(target: "engine", %error, "no further guest thread can be started"),
        }
    }

    fn look_out(&self) {
        let end = Instant::now() + LOOKOUT;
        while self.queued.load(Ordering::Relaxed) == 0 && Instant::now() < end {
            for _ in 0..16 {
                std::hint::spin_loop();
            }
        }
    }

    fn serve(&'static self) {
        let mut state = self.state.lock();
        state.waking -= 1;
        loop {
            while state.queue.is_empty() || state.running >= self.processors {
                // While another thread works it is the one to take what comes; a second that looks out would only take its processor.
                if state.queue.is_empty() && !state.lookout && state.running == 0 {
                    state.lookout = true;
                    drop(state);
                    self.look_out();
                    state = self.state.lock();
                    state.lookout = false;
                    if !state.queue.is_empty() {
                        continue;
                    }
                }
                state.idle += 1;
                if !self.work.wait_for(&mut state, SPARE_THREAD_TTL).timed_out() {
                    // Whoever woke us has counted us as waking.
                    state.waking -= 1;
                    continue;
                }
                state.idle -= 1;
                if state.queue.is_empty() && state.threads > self.processors {
                    state.threads -= 1;
                    return;
                }
            }
            let Some(task) = state.queue.pop_front() else { continue };
            self.queued.store(state.queue.len(), Ordering::Relaxed);
            Self::begin_turn(&mut state);
            // What the lookout left to others: now that it works itself, they are woken.
            self.rouse(&mut state);
            drop(state);
            // A panic here is a fault of this library; it must not take the thread's place with it.
            let inside = exit::enter();
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match task {
                Task::Turn(runnable) => runnable.run(),
                Task::Once(work) => work(),
            }));
            if done.is_err() {
                tracing::error!(target: "engine", "a guest thread's turn panicked");
            }
            drop(inside);
            state = self.state.lock();
            Self::end_turn(&mut state);
        }
    }
}
