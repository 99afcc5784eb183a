//! A module as a node: loaded once, many sessions.
//!
//! Problem: a node is made before its module is read, may be asked by many at once while it loads, changes its run mode while it works, and
//! must end cleanly at any of these moments. Answer: [`WasmNode`] is a small state machine (new, loading, ready or failed, closed) around
//! the pool and the sessions. Callers give callbacks and never wait. It does not run items: `session/` does.

mod load;
mod stream;

pub use stream::Stream;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::data::{Map, Packet, SessionId, Value};
use crate::engine::config::{Mode, NodeConfig, RunMode};
use crate::engine::fault;
use crate::engine::job::{Job, Reply, StreamShared};
use crate::engine::module::Module;
use crate::engine::pool::Pool;
use crate::engine::session::Session;
use crate::engine::worker;
use crate::error::{Code, Error, Result};
use crate::observe::{self, Area, NodeMetrics, Source, Visit};

/// Items quicker than this are short.
const SHORT_ITEM: Duration = Duration::from_micros(20);
/// So many short items may wait in one lane before the next lane helps.
const SHORT_LINE: usize = 32;

/// Where a module comes from.
pub enum ModuleSource {
    /// A file.
    Path(PathBuf),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Tells whoever waits for a node to be ready.
pub type Ready = Box<dyn FnOnce(Result<()>) + Send>;

/// Tells whoever waits for an end.
pub type Done = Box<dyn FnOnce() + Send>;

enum Phase {
    New(ModuleSource),
    /// Who waits, and what is there already while the first of them are told: until all are, later ones wait behind them.
    Loading(Vec<Ready>, Option<Loaded>),
    Ready(Loaded),
    Failed(Error),
    Closed,
}

#[derive(Clone)]
struct Loaded {
    pool: Arc<Pool>,
    module: Arc<Module>,
    lanes: Arc<Vec<Arc<Session>>>,
}

/// A WebAssembly node.
pub struct WasmNode {
    config: Arc<NodeConfig>,
    phase: Mutex<Phase>,
    sessions: Mutex<HashMap<SessionId, Arc<Session>>>,
    metrics: Arc<NodeMetrics>,
    next_lane: AtomicUsize,
    /// What calls without a stream share.
    calls: Arc<StreamShared>,
    /// Set before the sessions are ended: no further one begins. Looked at under their lock.
    ended: AtomicBool,
    /// Who waits for the end; `None` once it has come.
    ending: Mutex<Option<Vec<Done>>>,
}

/// Held by every session that still ends. When the last lets go, whoever waits for the cleanup is told.
struct Last(Arc<WasmNode>);

impl Drop for Last {
    fn drop(&mut self) {
        for done in self.0.ending.lock().take().unwrap_or_default() {
            done();
        }
    }
}

/// Options of a stream.
#[derive(Default)]
pub struct StreamOptions {
    /// The session, or `None` for one of its own.
    pub session: Option<SessionId>,
    /// Whether a named session ends with the stream as well.
    pub ends_session: bool,
    /// Time per item, when it differs from the node's.
    pub timeout: Option<Duration>,
    /// Whether the stream goes on after an item that failed.
    pub continue_on_error: bool,
}

impl WasmNode {
    /// A node that has not touched its module yet.
    pub fn new(source: ModuleSource, config: NodeConfig) -> Result<Arc<Self>> {
        if matches!(config.mode, Mode::Aot | Mode::Jit) && !fault::native_supported() {
            return Err(Error::config("mode", "compiled code needs Linux on x86-64 or aarch64 for now; use 'auto' or 'interpreter'"));
        }
        let node = Arc::new(Self {
            config: Arc::new(config),
            phase: Mutex::new(Phase::New(source)),
            sessions: Mutex::new(HashMap::new()),
            metrics: Arc::default(),
            next_lane: AtomicUsize::new(0),
            calls: Arc::new(StreamShared::new(None, false)),
            ended: AtomicBool::new(false),
            ending: Mutex::new(Some(Vec::new())),
        });
        observe::register(&node);
        Ok(node)
    }

    /// The node's options.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// Loads the module if nobody did, and tells `ready` when it is there.
    pub fn initialize(self: &Arc<Self>, ready: Ready) {
        let mut phase = self.phase.lock();
        match &mut *phase {
            Phase::Ready(_) => {
                drop(phase);
                ready(Ok(()));
            }
            Phase::Failed(error) => {
                let error = error.clone();
                drop(phase);
                ready(Err(error));
            }
            Phase::Closed => {
                drop(phase);
                ready(Err(self.closed()));
            }
            Phase::Loading(waiting, _) => waiting.push(ready),
            Phase::New(_) => {
                let Phase::New(source) = std::mem::replace(&mut *phase, Phase::Loading(vec![ready], None)) else { return };
                drop(phase);
                let node = Arc::clone(self);
                worker::once(move || node.load(source));
            }
        }
    }

    fn closed(&self) -> Error {
        Error::new(Code::Closed, "the node was cleaned up").in_node(&self.config.name)
    }

    /// Opens a stream on a node that is ready.
    pub fn open(self: &Arc<Self>, options: StreamOptions) -> Result<Stream> {
        let loaded = self.loaded()?;
        let own_session = options.session.is_none() || options.ends_session;
        let shared = Arc::new(StreamShared::new(options.timeout, !options.continue_on_error));
        Ok(Stream {
            node: Arc::clone(self),
            loaded,
            session: options.session.unwrap_or_else(SessionId::anonymous),
            own_session,
            bound: Mutex::new(None),
            shared,
            inputs: AtomicU64::new(0),
        })
    }

    fn session(&self, id: &SessionId, loaded: &Loaded) -> Result<Arc<Session>> {
        let mut evicted = None;
        let session = {
            let mut sessions = self.sessions.lock();
            if let Some(session) = sessions.get(id) {
                return Ok(Arc::clone(session));
            }
            // Whoever asked saw the node open; since then it may have ended, and with it all sessions that there were.
            if self.ended.load(Ordering::SeqCst) {
                return Err(self.closed());
            }
            if sessions.len() >= self.config.sessions_max {
                let oldest = sessions.values().filter_map(|session| session.idle_since().map(|since| (since, session.id().clone()))).min();
                let Some((_, oldest)) = oldest else {
                    let message = format!("all {} sessions (sessions.max) are at work", self.config.sessions_max);
                    self.metrics.error(Code::PoolExhausted);
                    return Err(Error::new(Code::PoolExhausted, message).in_node(&self.config.name).in_session(id.as_str()));
                };
                evicted = sessions.remove(&oldest);
            }
            let session = Session::new(id.clone(), Arc::clone(&self.config), Arc::clone(&loaded.pool), Arc::clone(&self.metrics));
            sessions.insert(id.clone(), Arc::clone(&session));
            session
        };
        if let Some(evicted) = evicted {
            tracing::info!(target: "engine", node = self.config.name, session = %evicted.id(), "session evicted: least recently used");
            evicted.close("least-recently-used", Box::new(|| {}));
        }
        Ok(session)
    }

    /// One item in a named session, or in any on a stateless node, without a stream: `reply` gets its outputs.
    pub fn call(&self, session: Option<SessionId>, timeout: Option<Duration>, packet: Packet, reply: Reply) {
        let loaded = match self.loaded() {
            Ok(loaded) => loaded,
            Err(error) => return reply(Err(error)),
        };
        let stream = match timeout {
            None => Arc::clone(&self.calls),
            Some(_) => Arc::new(StreamShared::new(timeout, false)),
        };
        if self.config.stateless {
            return self.submit_to_lane(&loaded.lanes, Job::Item { packet, session, stream, reply });
        }
        match self.session(&session.unwrap_or_else(SessionId::anonymous), &loaded) {
            Ok(session) => session.submit(Job::Item { packet, session: None, stream, reply }),
            Err(error) => reply(Err(error)),
        }
    }

    fn loaded(&self) -> Result<Loaded> {
        match &*self.phase.lock() {
            Phase::Ready(loaded) | Phase::Loading(_, Some(loaded)) => Ok(loaded.clone()),
            Phase::Failed(error) => Err(error.clone()),
            Phase::Closed => Err(self.closed()),
            Phase::New(_) | Phase::Loading(_, None) => Err(Error::new(Code::Internal, "the node is not initialised")),
        }
    }

    fn submit_to_lane(&self, lanes: &[Arc<Session>], job: Job) {
        let lane = self.lane(lanes);
        let queue = self.config.pool_max_queue;
        if lane.backlog() > queue {
            let error = Error::new(Code::PoolExhausted, format!("{queue} items (pool.maxQueue) wait already")).in_node(&self.config.name);
            self.metrics.error(error.code());
            return job.answer(Err(error));
        }
        lane.submit(job);
    }

    /// Where the next item of a stateless node goes. Items that take microseconds stay together while few wait: one thread that keeps
    /// going is quicker than two that wake each other.
    fn lane<'a>(&self, lanes: &'a [Arc<Session>]) -> &'a Arc<Session> {
        if self.metrics.exec.mean() < SHORT_ITEM
            && let Some(first) = lanes.first()
            && first.backlog() < SHORT_LINE
        {
            return first;
        }
        let start = self.next_lane.fetch_add(1, Ordering::Relaxed);
        let (one, two) = (&lanes[start % lanes.len()], &lanes[(start + 1) % lanes.len()]);
        // The shorter of two neighbours: nearly as good as the shortest of all, without looking at all.
        if one.backlog() <= two.backlog() { one } else { two }
    }

    /// Ends a session once its queued items are done; `done` is called when its guest is gone, at once when there is no such session.
    pub fn close_session(&self, id: &SessionId, reason: &'static str, done: Done) {
        let session = self.sessions.lock().remove(id);
        match session {
            Some(session) => session.close(reason, done),
            None => done(),
        }
    }

    /// Stops all work and lets go of everything; `done` is called when the last guest is gone, whoever asked first.
    pub fn cleanup(self: &Arc<Self>, done: Done) {
        {
            let mut ending = self.ending.lock();
            match &mut *ending {
                Some(waiting) => waiting.push(done),
                None => {
                    drop(ending);
                    return done();
                }
            }
        }
        self.ended.store(true, Ordering::SeqCst);
        let phase = std::mem::replace(&mut *self.phase.lock(), Phase::Closed);
        let loaded = match phase {
            Phase::Loading(waiting, early) => {
                for ready in waiting {
                    ready(Err(self.closed()));
                }
                early
            }
            Phase::Ready(loaded) => Some(loaded),
            Phase::New(_) | Phase::Failed(_) => None,
            // Somebody else ends it; all are told together.
            Phase::Closed => return,
        };
        let last = Arc::new(Last(Arc::clone(self)));
        let Some(loaded) = loaded else { return };
        let mut sessions: Vec<_> = self.sessions.lock().drain().map(|(_, session)| session).collect();
        sessions.extend(loaded.lanes.iter().cloned());
        // All of them first: calls of several sessions share what cancels them, and none must take that for an abort of its caller.
        for session in &sessions {
            session.mark_stopping();
        }
        for session in sessions {
            let last = Arc::clone(&last);
            session.close("cleanup", Box::new(move || drop(last)));
            session.interrupt();
        }
        loaded.pool.close();
    }

    /// Ends sessions and instances that nobody used for too long.
    pub(super) fn tidy(&self, now: Instant) {
        let Phase::Ready(loaded) = &*self.phase.lock() else { return };
        loaded.pool.evict_idle(now);
        for lane in loaded.lanes.iter() {
            if lane.rest(now, self.config.pool_idle_ttl) {
                self.metrics.instances_idle_evicted.add(1);
            }
        }
        let ttl = self.config.sessions_ttl;
        let mut expired = Vec::new();
        self.sessions.lock().retain(|_, session| {
            let old = session.idle_since().is_some_and(|since| now.saturating_duration_since(since) >= ttl);
            if old {
                expired.push(Arc::clone(session));
            }
            !old
        });
        for session in expired {
            tracing::info!(target: "engine", node = self.config.name, session = %session.id(), "session ended: expired");
            session.close("expired", Box::new(|| {}));
        }
    }

    /// Makes guests ready until there are so many, if the module is loaded; for a load that is about to come.
    pub fn prewarm(&self, instances: usize) {
        if self.config.stateless || instances == 0 {
            return;
        }
        let pool = match &*self.phase.lock() {
            Phase::Ready(loaded) => Arc::clone(&loaded.pool),
            _ => return,
        };
        pool.prewarm(instances);
    }

    /// Whether the module is loaded and checked.
    pub fn is_ready(&self) -> bool {
        matches!(&*self.phase.lock(), Phase::Ready(_))
    }

    /// The node's owner is gone: sessions that nothing uses end, those at work when their streams do.
    pub fn release(self: &Arc<Self>) {
        let node = Arc::clone(self);
        let idle: Vec<_> =
            node.sessions.lock().values().filter(|session| session.idle_since().is_some()).map(|session| session.id().clone()).collect();
        for id in idle {
            node.close_session(&id, "cleanup", Box::new(|| {}));
        }
    }

    /// Whether the node still needs tidying.
    pub(super) fn is_open(&self) -> bool {
        !matches!(&*self.phase.lock(), Phase::Closed | Phase::Failed(_))
    }

    /// A snapshot of the node's figures; `observe/names.rs` says what they mean.
    pub fn metrics(&self) -> Map<String, Value> {
        let mode = match &*self.phase.lock() {
            Phase::Ready(loaded) => loaded.pool.code().mode().name(),
            _ => match self.config.mode {
                Mode::Aot => RunMode::Aot.name(),
                Mode::Jit => RunMode::Jit.name(),
                Mode::Interpreter | Mode::Auto => RunMode::Interpreter.name(),
            },
        };
        self.metrics.snapshot(mode)
    }

    /// SHA-256 of the module, once it is loaded.
    pub fn module_hash(&self) -> Option<String> {
        match &*self.phase.lock() {
            Phase::Ready(loaded) => Some(loaded.module.hash_text()),
            _ => None,
        }
    }
}

impl Drop for WasmNode {
    fn drop(&mut self) {
        observe::retire(self);
    }
}

impl Source for WasmNode {
    fn area(&self) -> Area {
        Area::Edge
    }

    fn name(&self) -> String {
        self.config.name.clone()
    }

    fn figures(&self) -> Map<String, Value> {
        self.metrics()
    }

    fn visit(&self, into: &mut dyn Visit) {
        self.metrics.visit(into);
    }
}
