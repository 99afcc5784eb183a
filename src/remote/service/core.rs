//! What everything in the service shares: configuration, nodes, counters, and the signals of its life.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::server::HealthReporter;

use super::call::Memory;
use super::handler::NodeEntry;
use super::metrics::Metrics;
use super::options::ServiceConfig;
use super::pipelines::Pipelines;
use super::sessions::{Ended, SessionUse, Sessions};
use crate::data::{Packet, SessionId};
use crate::error::{Code, Error, Result};

/// Shared by the service, its connections and its calls.
pub struct Core {
    pub config: ServiceConfig,
    pub nodes: RwLock<BTreeMap<String, Arc<NodeEntry>>>,
    pub metrics: Arc<Metrics>,
    pub sessions: Arc<Sessions>,
    pub pipelines: Pipelines,
    pub memory: Arc<Memory>,
    pub started: Instant,
    pub health: HealthReporter,
    /// Places for calls, and those under way.
    pub slots: Arc<Semaphore>,
    pub calls: TaskTracker,
    /// Places for connections, and those that are open.
    pub doors: Arc<Semaphore>,
    pub connections: TaskTracker,
    /// The service's end, in this order: nothing new; calls under way end; other streams end; connections break.
    pub closing: CancellationToken,
    pub stop: CancellationToken,
    pub cut: CancellationToken,
    pub kill: CancellationToken,
}

impl Core {
    /// A service without nodes.
    pub fn new(config: ServiceConfig) -> Arc<Self> {
        Arc::new(Self {
            nodes: RwLock::default(),
            metrics: Arc::default(),
            sessions: Arc::new(Sessions::new(config.max_sessions, config.session_ttl)),
            pipelines: Pipelines::default(),
            memory: Memory::new(config.max_buffered_bytes),
            started: Instant::now(),
            health: HealthReporter::new(),
            slots: Arc::new(Semaphore::new(config.max_concurrent_calls)),
            calls: TaskTracker::new(),
            doors: Arc::new(Semaphore::new(config.max_connections)),
            connections: TaskTracker::new(),
            closing: CancellationToken::new(),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            kill: CancellationToken::new(),
            config,
        })
    }

    /// The node of this type.
    pub fn node(&self, node_type: &str) -> Result<Arc<NodeEntry>> {
        /// Names in the message; the rest are in `ListNodes`.
        const NAMED: usize = 20;
        let nodes = self.nodes.read();
        if let Some(entry) = nodes.get(node_type) {
            return Ok(Arc::clone(entry));
        }
        let mut known = nodes.keys().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if nodes.len() > NAMED {
            known.push_str(", ...");
        }
        let asked: String = node_type.chars().take(100).collect();
        Err(Error::new(Code::Config, format!("Node type '{}' is not registered. Available: {known}", asked.escape_debug())))
    }

    /// Says that a call uses a session, if it names one.
    pub fn enter(&self, node_type: &str, entry: &NodeEntry, session: Option<&SessionId>) -> Option<SessionUse> {
        let (used, is_new, ended) = self.sessions.enter(node_type, session?, &entry.handler);
        self.metrics.sessions_opened.add(u64::from(is_new));
        close_sessions(ended);
        Some(used)
    }

    /// Whether the outputs of one item fit an answer.
    pub fn fits(&self, outputs: &[Packet]) -> Result<()> {
        let total: usize = outputs.iter().map(|packet| packet.bytes.len()).sum();
        self.answer_fits(total)
    }

    /// Whether a payload of this length fits an answer.
    pub fn answer_fits(&self, length: usize) -> Result<()> {
        let limit = self.config.max_message_size.saturating_sub(ANSWER_OVERHEAD);
        if length <= limit {
            return Ok(());
        }
        Err(Error::new(Code::OutputTooLarge, format!("the output, {length} bytes, is longer than {limit} bytes (limits.maxMessageSize)")))
    }
}

/// What an answer holds beside its payload: metrics and field headers.
const ANSWER_OVERHEAD: usize = 1_024;

/// Tells handlers that sessions are over. Nobody waits for that here: they may take their time.
pub fn close_sessions(ended: Ended) {
    if !ended.is_empty() {
        tokio::spawn(tell(ended));
    }
}

/// Tells handlers that sessions are over, one after the other.
pub async fn tell(ended: Ended) {
    for (handler, session) in ended {
        let told = async {
            handler.close_session(&session).await;
            Ok(())
        };
        // Its only failure is a panic, which is logged.
        let _ = super::call::guarded("close_session", || told).await;
    }
}

/// Milliseconds since 1970, as the stock server stamps its metrics.
pub fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
