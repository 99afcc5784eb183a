//! One conversation with a guest: its line of work, and its instance.
//!
//! Problem: items of a session must be done in order by one instance, sessions side by side, and everything that can happen meanwhile (an
//! abort, a lost instance, a full pool, the end of the session) must reach exactly the asker it concerns. Answer: a session is a line of
//! jobs that queues itself on the guest threads whenever it has work, one turn at a time; each job is answered once. It does not decide how
//! long a session lives: `node.rs` does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::config::{Mode, NodeConfig};
use super::exit;
use super::instance::{Compiled, Limits};
use super::job::{Job, Reply, StreamShared};
use super::pool::{Held, Pool, Taken};
use super::worker::{self, Runnable};
use crate::data::{Packet, SessionId};
use crate::error::{Code, Error, Result};
use crate::observe::NodeMetrics;

/// Items that a session does before it lets others have the thread.
const TURN_ITEMS: usize = 32;
/// Longest that a session keeps the thread while others wait.
const TURN_TIME: Duration = Duration::from_millis(2);

struct Line {
    jobs: VecDeque<Job>,
    /// Whether the session is queued or running.
    scheduled: bool,
    /// Why the session ended.
    ended: Option<&'static str>,
}

/// A session, or one lane of a stateless node.
pub struct Session {
    id: SessionId,
    config: Arc<NodeConfig>,
    pool: Arc<Pool>,
    metrics: Arc<NodeMetrics>,
    line: Mutex<Line>,
    /// The stream of the running job.
    running: Mutex<Option<Arc<StreamShared>>>,
    /// The instance with its session begun; locked only by the turn.
    held: Mutex<Option<Held>>,
    backlog: AtomicUsize,
    created: Instant,
    /// Nanoseconds from `created` to the end of the last item.
    last_used: AtomicU64,
    /// Set when the node is cleaned up: work that a turn has taken already is not begun.
    stopping: AtomicBool,
    /// Set when the guest cannot move to compiled code, so that it is not tried at every item.
    stays: AtomicBool,
}

impl Session {
    /// A session without an instance; the first item gets one. The lanes of a stateless node are nobody's sessions.
    pub fn new(id: SessionId, config: Arc<NodeConfig>, pool: Arc<Pool>, metrics: Arc<NodeMetrics>) -> Arc<Self> {
        if !config.stateless {
            metrics.sessions_open.add(1);
            metrics.sessions_opened.add(1);
        }
        let line = Line { jobs: VecDeque::new(), scheduled: false, ended: None };
        Arc::new(Self {
            id,
            config,
            pool,
            metrics,
            line: Mutex::new(line),
            running: Mutex::new(None),
            held: Mutex::new(None),
            backlog: AtomicUsize::new(0),
            created: Instant::now(),
            last_used: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            stays: AtomicBool::new(false),
        })
    }

    /// Its id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Items that were accepted and are not done, the running one included.
    pub fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Acquire)
    }

    /// When it was last used, or `None` while it has work.
    pub fn idle_since(&self) -> Option<Instant> {
        let idle = self.line.lock().jobs.is_empty() && self.backlog() == 0;
        idle.then(|| self.created + Duration::from_nanos(self.last_used.load(Ordering::Relaxed)))
    }

    /// Notes that an item is done, just before its asker is told: from then on the session counts as idle, although its turn may take
    /// some microseconds more. Whoever has all answers can rely on finding room for another session.
    fn finish(&self, now: Instant) {
        let since = now.saturating_duration_since(self.created).as_nanos();
        self.last_used.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.backlog.fetch_sub(1, Ordering::Release);
    }

    /// Adds a job to the line. A session that ended answers at once.
    pub fn submit(self: &Arc<Self>, job: Job) {
        let mut line = self.line.lock();
        if let Some(reason) = line.ended {
            drop(line);
            return self.turn_away(job, || self.ended_error(reason));
        }
        if matches!(job, Job::Item { .. } | Job::Flush { .. }) {
            self.metrics.queued.add(1);
            self.backlog.fetch_add(1, Ordering::Relaxed);
        }
        line.jobs.push_back(job);
        self.schedule(&mut line);
    }

    fn schedule(self: &Arc<Self>, line: &mut Line) {
        if !line.scheduled {
            line.scheduled = true;
            worker::submit(Arc::clone(self) as Arc<dyn Runnable>);
        }
    }

    /// Lets go of the instance, if there is one and nothing to do since `ttl`. True when it does.
    pub fn rest(self: &Arc<Self>, now: Instant, ttl: Duration) -> bool {
        let old = self.idle_since().is_some_and(|since| now.saturating_duration_since(since) >= ttl);
        let holds = old && self.held.try_lock().is_some_and(|held| held.is_some());
        if holds {
            self.submit(Job::Rest);
        }
        holds
    }

    /// Ends the session after the work that is in line; `done` is called when its guest is gone. What comes later is turned away.
    pub fn close(self: &Arc<Self>, reason: &'static str, done: Box<dyn FnOnce() + Send>) {
        let mut line = self.line.lock();
        if line.ended.is_some() {
            drop(line);
            return done();
        }
        line.ended = Some(reason);
        if !self.config.stateless {
            self.metrics.session_closed(reason);
        }
        line.jobs.push_back(Job::Close { done });
        self.schedule(&mut line);
    }

    /// Says that the node is being cleaned up, before anything is cancelled for it.
    pub fn mark_stopping(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Stops what runs and what waits, for good.
    pub fn interrupt(&self) {
        self.mark_stopping();
        let line = self.line.lock();
        let waiting = line.jobs.iter().filter_map(|job| match job {
            Job::Item { stream, .. } | Job::Flush { stream, .. } => Some(stream),
            Job::Close { .. } | Job::Rest => None,
        });
        let mut streams: Vec<_> = waiting.map(Arc::clone).collect();
        drop(line);
        streams.extend(self.running.lock().clone());
        for stream in streams {
            stream.cancel.cancel();
        }
    }

    fn ended_error(&self, reason: &str) -> Error {
        let error = match reason {
            "cleanup" => cleaned_up(),
            reason => Error::new(Code::Session, format!("the session ended ({reason}) and its state with it")),
        };
        self.name(error)
    }

    fn name(&self, error: Error) -> Error {
        error.in_node(&self.config.name).in_session(self.id.as_str())
    }

    fn turn_away(&self, job: Job, error: impl FnOnce() -> Error) {
        let error = error();
        if matches!(job, Job::Item { .. } | Job::Flush { .. }) {
            self.metrics.error(error.code());
        }
        job.answer(Err(error));
    }

    /// Does one job that begins `now`, and tells when it ended. Gives it back when the session was put in line for an instance.
    fn work(self: &Arc<Self>, held: &mut Option<Held>, job: Job, now: Instant) -> std::result::Result<Instant, Box<Job>> {
        let (stream, is_flush) = match &job {
            Job::Close { .. } | Job::Rest => {
                self.end(held, job);
                return Ok(now);
            }
            Job::Item { stream, .. } => (Arc::clone(stream), false),
            Job::Flush { stream, .. } => (Arc::clone(stream), true),
        };
        let cancelled = stream.cancel.is_cancelled();
        // Read second: it was set before anything was cancelled for it.
        let stopping = self.stopping.load(Ordering::SeqCst);
        if stopping || cancelled {
            self.metrics.queued.sub(1);
            self.finish(now);
            self.turn_away(job, || self.name(if stopping { cleaned_up() } else { aborted() }));
            return Ok(now);
        }
        if stream.failed.load(Ordering::Acquire) {
            self.metrics.queued.sub(1);
            self.finish(now);
            self.turn_away(job, || self.name(Error::new(Code::Closed, "an earlier item of the stream failed")));
            return Ok(now);
        }
        let timeout = stream.timeout.unwrap_or(self.config.timeout);
        let limits = Limits { deadline: now + timeout, timeout, cancel: Some(&stream.cancel) };
        if held.is_none() && is_flush {
            // Nothing was ever given to a guest, so it holds nothing.
            self.metrics.queued.sub(1);
            self.finish(now);
            job.answer(Ok(Vec::new()));
            return Ok(now);
        }
        let fresh = held.is_none();
        if fresh {
            match self.begin(limits) {
                Ok(Some(begun)) => *held = Some(begun),
                Ok(None) => return Err(Box::new(job)),
                Err(error) => {
                    self.metrics.queued.sub(1);
                    self.finish(now);
                    stream.note_failure();
                    self.turn_away(job, || self.name(error));
                    return Ok(now);
                }
            }
        }
        self.metrics.queued.sub(1);
        // Making an instance took its own time; the item has all of its.
        let started = if fresh { Instant::now() } else { now };
        let limits = Limits { deadline: started + timeout, ..limits };
        let (result, reply) = self.perform(held, job, limits);
        let ended = Instant::now();
        self.metrics.exec.add(ended - started);
        self.settle(held, &stream, result, reply, ended);
        Ok(ended)
    }

    fn perform(&self, held: &mut Option<Held>, job: Job, limits: Limits<'_>) -> (Result<Vec<Packet>>, Option<Reply>) {
        let gone = || Error::new(Code::Internal, "the instance is gone");
        let instance = held.as_mut().ok_or_else(gone).and_then(Held::instance);
        match (instance, job) {
            (Ok(instance), Job::Item { packet, session, reply, .. }) => {
                self.metrics.items.add(1);
                self.metrics.input_bytes.add(packet.bytes.len() as u64);
                self.metrics.call(instance.mode().name());
                if let Some(session) = &session {
                    instance.set_session(session);
                }
                (instance.process(&packet, limits), Some(reply))
            }
            (Ok(instance), Job::Flush { inputs, reply, .. }) => (instance.flush(inputs, limits), Some(reply)),
            (Err(error), Job::Item { reply, .. } | Job::Flush { reply, .. }) => (Err(error), Some(reply)),
            (_, Job::Close { .. } | Job::Rest) => (Ok(Vec::new()), None),
        }
    }

    fn settle(&self, held: &mut Option<Held>, stream: &StreamShared, result: Result<Vec<Packet>>, reply: Option<Reply>, now: Instant) {
        let lost = held.as_mut().is_some_and(|held| held.instance().is_ok_and(|instance| instance.is_dead()));
        if lost {
            self.metrics.instances_lost.add(1);
            *held = None;
        }
        let result = result.map_err(|error| {
            stream.note_failure();
            // A call that the cleanup cut off was not aborted by its caller.
            let error = if error.code() == Code::Aborted && self.stopping.load(Ordering::Acquire) { cleaned_up() } else { error };
            let error = self.name(error);
            let error = if lost && !self.config.stateless { error.state_lost() } else { error };
            self.metrics.error(error.code());
            error
        });
        if let Ok(outputs) = &result {
            self.metrics.outputs.add(outputs.len() as u64);
            self.metrics.output_bytes.add(outputs.iter().map(|output| output.bytes.len() as u64).sum());
        }
        self.finish(now);
        if let Some(reply) = reply {
            reply(result);
        }
    }

    /// Takes an instance and begins the session in it; `None` when the session now waits for one.
    fn begin(self: &Arc<Self>, limits: Limits<'_>) -> Result<Option<Held>> {
        let asker: Arc<dyn Runnable> = Arc::clone(self) as _;
        let mut held = match self.pool.take(&asker, limits)? {
            Taken::Held(held) => *held,
            Taken::InLine => return Ok(None),
        };
        held.instance()?.begin_session(&self.id, limits)?;
        Ok(Some(held))
    }

    /// Moves a guest that is still interpreted to compiled code, between two items.
    fn move_if_compiled(&self, held: &mut Held) {
        if self.config.mode != Mode::Auto || self.stays.load(Ordering::Relaxed) {
            return;
        }
        let interpreted = held.instance().is_ok_and(|instance| instance.mode() == super::config::RunMode::Interpreter);
        if !interpreted {
            self.stays.store(true, Ordering::Relaxed);
            return;
        }
        let code = self.pool.code();
        if matches!(code, Compiled::Interpreter(..)) {
            return;
        }
        if held.move_to(&code) {
            self.metrics.instances_moved.add(1);
        } else {
            tracing::debug!(target: "engine", node = self.config.name, session = %self.id, "the guest stays interpreted: its state cannot be copied");
        }
        self.stays.store(true, Ordering::Relaxed);
    }

    fn end(&self, held: &mut Option<Held>, job: Job) {
        if let Some(mut held) = held.take()
            && let Ok(instance) = held.instance()
        {
            instance.cleanup(Limits::within(self.config.timeout, None));
        }
        if let Job::Close { done } = job {
            done();
        }
    }
}

fn cleaned_up() -> Error {
    Error::new(Code::Closed, "the node was cleaned up")
}

fn aborted() -> Error {
    Error::new(Code::Aborted, "the call was aborted")
}

impl Runnable for Session {
    fn run(self: Arc<Self>) {
        let mut held = self.held.lock();
        let started = Instant::now();
        // One clock reading an item: the end of one is the start of the next.
        let mut now = started;
        loop {
            let mut turn = VecDeque::new();
            {
                let mut line = self.line.lock();
                let count = line.jobs.len().min(TURN_ITEMS);
                if count == 0 {
                    line.scheduled = false;
                    return;
                }
                turn.extend(line.jobs.drain(..count));
            }
            while let Some(job) = turn.pop_front() {
                if exit::is_closed() {
                    return;
                }
                if let Job::Item { stream, .. } | Job::Flush { stream, .. } = &job {
                    *self.running.lock() = Some(Arc::clone(stream));
                }
                if let Some(held) = held.as_mut() {
                    self.move_if_compiled(held);
                }
                match self.work(&mut held, job, now) {
                    Ok(ended) => now = ended,
                    Err(job) => {
                        // In line for an instance: still scheduled, the pool queues the session again.
                        turn.push_front(*job);
                        return self.put_back(turn);
                    }
                }
                if now - started > TURN_TIME && worker::contended() {
                    break;
                }
            }
            *self.running.lock() = None;
            self.put_back(turn);
            if worker::contended() {
                drop(held);
                return worker::submit(self);
            }
        }
    }
}

impl Session {
    /// Jobs that this turn did not come to are first in line again.
    fn put_back(&self, turn: VecDeque<Job>) {
        if !turn.is_empty() {
            let mut line = self.line.lock();
            for job in turn.into_iter().rev() {
                line.jobs.push_front(job);
            }
        }
    }
}
