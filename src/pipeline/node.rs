//! What everything that processes packets has in common, whatever it is made of.
//!
//! Problem: a pipeline joins WebAssembly modules, remote services, routers, other pipelines and nodes of the application, and a router must
//! be able to ask any of them for one item. Answer: [`Node`] with two ways in: [`Node::run`] takes a stream from one end of a line to the
//! other, [`Node::open`] answers items one by one ([`Items`]). Unless a node says otherwise, its streams are its items, several under way at
//! a time. How nodes are joined is `flow.rs`'s business.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::line::{Input, Output};
use super::manifest::Ports;
use super::window;
use crate::data::{Map, Packet, SessionId, Trace, Value};
use crate::error::{Error, Result};

/// What becomes of a stream when one of its items fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The stream ends with the error.
    #[default]
    Throw,
    /// The item is left out.
    Skip,
    /// A packet that describes the error takes the item's place.
    Emit,
}

impl OnError {
    /// The option's words in JavaScript.
    pub const WORDS: [(&'static str, Self); 3] = [("throw", Self::Throw), ("skip", Self::Skip), ("emit", Self::Emit)];
}

/// What the nodes of one stream are told about it.
#[derive(Clone, Debug)]
pub struct StreamScope {
    /// Whose stream it is.
    pub session: SessionId,
    /// Whether the session ends with the stream.
    pub own_session: bool,
    /// Time per item and node; the node's own by default.
    pub timeout: Option<Duration>,
    /// What the trace of each of its items is a part of.
    pub trace: Option<Trace>,
    /// What becomes of the stream when an item fails.
    pub on_error: OnError,
    /// Items that each node may have under way, and that may wait between two nodes.
    pub buffer: usize,
    /// Ends it.
    pub cancel: CancellationToken,
    /// What ended it before its time.
    pub failure: Arc<Failure>,
}

impl StreamScope {
    /// A stream of a session, or of one of its own, that nobody has anything special to say about.
    pub fn new(session: Option<SessionId>) -> Self {
        Self {
            own_session: session.is_none(),
            session: session.unwrap_or_else(SessionId::anonymous),
            timeout: None,
            trace: None,
            on_error: OnError::default(),
            buffer: DEFAULT_BUFFER,
            cancel: CancellationToken::new(),
            failure: Arc::default(),
        }
    }
}

/// Enough to hide the way between two threads, few enough to stay close to the reader.
pub const DEFAULT_BUFFER: usize = 8;

/// The first failure of a stream's nodes.
#[derive(Debug, Default)]
pub struct Failure(Mutex<Option<Error>>);

impl Failure {
    /// Leaves it here, unless there is one.
    pub fn note(&self, error: Error) {
        self.0.lock().get_or_insert(error);
    }

    /// Takes it, once.
    pub fn take(&self) -> Option<Error> {
        self.0.lock().take()
    }

    /// The failure, if there is one.
    pub fn get(&self) -> Option<Error> {
        self.0.lock().clone()
    }
}

/// A node.
pub trait Node: Send + Sync + 'static {
    /// Name in errors, metrics and logs.
    fn name(&self) -> &str;

    /// Makes it ready. Idempotent; concurrent calls wait for the same.
    fn initialize(self: Arc<Self>) -> BoxFuture<'static, Result<()>>;

    /// Opens a session's items, on a node that is ready.
    fn open(self: Arc<Self>, scope: &StreamScope) -> Result<Arc<dyn Items>>;

    /// Takes a stream from `input` to `output`, on a node that is ready.
    fn run(self: Arc<Self>, scope: StreamScope, input: Input, output: Output) -> BoxFuture<'static, Result<()>> {
        window::stream(self.open(&scope), scope, input, output)
    }

    /// Items that it can really do at the same time; a router tells from it when a queue forms.
    fn parallelism(&self) -> u32 {
        1
    }

    /// Makes itself ready for so many items at the same time, if it can be.
    fn prewarm(&self, items: usize) {
        let _ = items;
    }

    /// A cheap question to the other side of a network, for how long its answer takes; nothing where there is no network.
    fn probe(&self) -> Option<BoxFuture<'static, Result<()>>> {
        None
    }

    /// What is known of the kinds that it takes in and puts out.
    fn ports(&self) -> Ports {
        Ports::default()
    }

    /// Ends a session.
    fn close_session(&self, session: &SessionId) -> BoxFuture<'static, ()>;

    /// All figures by name; see `docs/metrics.md`.
    fn metrics(&self) -> Map<String, Value>;

    /// Stops all work and lets go of everything. Idempotent.
    fn cleanup(&self) -> BoxFuture<'static, ()>;
}

/// One session's items, answered one by one. Dropping it ends what the stream alone holds.
pub trait Items: Send + Sync + 'static {
    /// Gives an item. Work begins with the call, not with the first poll, and items of a session are begun in the order of the calls.
    /// Dropping the future gives the item up. `timeout` replaces the stream's own.
    fn submit(&self, packet: Packet, timeout: Option<Duration>) -> BoxFuture<'static, Result<Vec<Packet>>>;

    /// Gives items that are to travel together, where the node can do that; each has an answer of its own.
    fn submit_batch(&self, packets: Vec<Packet>, timeout: Option<Duration>) -> BoxFuture<'static, Vec<Result<Vec<Packet>>>> {
        let answers: Vec<_> = packets.into_iter().map(|packet| self.submit(packet, timeout)).collect();
        Box::pin(futures_util::future::join_all(answers))
    }

    /// Has the node put out what it still holds; `inputs` is how many items the stream had.
    fn flush(&self, inputs: u64) -> BoxFuture<'static, Result<Vec<Packet>>>;

    /// Stops what runs and what waits.
    fn cancel(&self);
}
