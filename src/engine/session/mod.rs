//! One conversation with a guest: its line of work, and its instance.
//!
//! Problem: items of a session must be done in order by one instance, sessions side by side, and everything that can happen meanwhile (an
//! abort, a lost instance, a full pool, the end of the session) must reach exactly the asker it concerns. Answer: a session is a line of
//! jobs that queues itself on the guest threads whenever it has work, one turn at a time; each job is answered once. How a job is done is
//! `turn.rs`; how long a session lives is `node`'s to decide.

mod turn;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::bridge::Bridge;
use super::config::NodeConfig;
use super::job::{Job, StreamShared};
use super::pool::{Held, Pool};
use super::worker::{self, Runnable};
use crate::data::SessionId;
use crate::error::{Code, Error};
use crate::observe::NodeMetrics;

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
    /// Its way to remote services: outlives the instance.
    bridge: Option<Arc<Bridge>>,
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
        let bridge = config.remote.as_ref().map(|services| Bridge::new(Arc::clone(services), id.clone()));
        Arc::new(Self {
            id,
            config,
            pool,
            metrics,
            line: Mutex::new(line),
            running: Mutex::new(None),
            held: Mutex::new(None),
            bridge,
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
}

fn cleaned_up() -> Error {
    Error::new(Code::Closed, "the node was cleaned up")
}

fn aborted() -> Error {
    Error::new(Code::Aborted, "the call was aborted")
}
