//! A node that pulls: a function from a stream to a stream, as the application's own nodes are.
//!
//! Problem: such a node runs elsewhere (on JavaScript's thread), says nothing about which item an output answers, may throw, and may never
//! come back. Answer: a stream is one run of its [`Generator`] between two lines; behind a router, which needs an answer to each item, an
//! item is answered when the node asks for the next one ([`lane`]). A node that holds an item and does nothing for too long fails.

mod lane;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::line::{Input, Output};
use super::manifest::Ports;
use super::node::{Items, Node, StreamScope};
use crate::data::{Map, SessionId, Value};
use crate::error::{Code, Error, Result};
use crate::remote;
use crate::remote::service::{CallInfo, ItemSink, ItemSource};
use lane::Lane;

/// Time that a node may do nothing while it holds an item, unless the stream says otherwise: as for modules.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A function from a stream to a stream, and what belongs to it.
pub trait Generator: Send + Sync + 'static {
    /// Name in errors, metrics and logs.
    fn name(&self) -> &str;

    /// Runs it to its end: it takes from `source`, at most `ahead` items at once, and puts into `sink`. An output has the number of the item
    /// that was taken last, unless the node says another. Dropping the future gives it up.
    fn run(&self, info: CallInfo, ahead: usize, source: ItemSource, sink: ItemSink) -> BoxFuture<'static, Result<()>>;

    /// What is known of the kinds that it takes in and puts out.
    fn ports(&self) -> Ports {
        Ports::default()
    }

    /// Makes it ready.
    fn initialize(&self) -> BoxFuture<'static, Result<()>>;

    /// Ends a session.
    fn close_session(&self, session: &SessionId) -> BoxFuture<'static, Result<()>>;

    /// Lets go of everything.
    fn cleanup(&self) -> BoxFuture<'static, Result<()>>;
}

/// A generator as a node of a pipeline.
pub struct GeneratorStage {
    generator: Box<dyn Generator>,
    ready: tokio::sync::OnceCell<()>,
}

impl GeneratorStage {
    /// A node that is not ready yet.
    pub fn new(generator: impl Generator) -> Self {
        Self { generator: Box::new(generator), ready: tokio::sync::OnceCell::new() }
    }

    fn begin(
        &self,
        scope: &StreamScope,
        over: CancellationToken,
        ahead: usize,
        source: ItemSource,
        sink: ItemSink,
    ) -> BoxFuture<'static, Result<()>> {
        let info = CallInfo {
            node_type: self.generator.name().to_owned(),
            config: Map::new(),
            session: Some(scope.session.clone()),
            metadata: Vec::new(),
            traceparent: scope.trace.as_ref().map(|trace| trace.context().to_string()),
            deadline: None,
            peer: None,
            cancel: over,
        };
        self.generator.run(info, ahead, source, sink)
    }

    fn silent(&self, timeout: Duration, when: &str) -> Error {
        let name = self.generator.name();
        Error::new(Code::NodeFailed, format!("node '{name}' did nothing for {} ms {when}", timeout.as_millis())).in_node(name)
    }
}

/// Has the node forget a session that ends with its stream, however that does.
struct EndSession {
    stage: Arc<GeneratorStage>,
    session: SessionId,
}

impl EndSession {
    fn of(stage: &Arc<GeneratorStage>, scope: &StreamScope) -> Option<Self> {
        scope.own_session.then(|| Self { stage: Arc::clone(stage), session: scope.session.clone() })
    }
}

impl Drop for EndSession {
    fn drop(&mut self) {
        let closing = self.stage.close_session(&self.session);
        // Nobody waits for it; without the network's threads there was no stream.
        let _no_threads = remote::spawn(closing);
    }
}

/// Lets go of what a generator reads when its run is over. Its own side may hold on to the source until it is collected.
struct Closes(ItemSource);

impl Drop for Closes {
    fn drop(&mut self) {
        let source = self.0.clone();
        let _no_threads = remote::spawn(async move { source.close().await });
    }
}

async fn told(what: &'static str, name: String, done: BoxFuture<'static, Result<()>>) {
    if let Err(error) = done.await {
        tracing::warn!(target: "pipeline", node = name, %error, "{what} of a node failed");
    }
}

impl Node for GeneratorStage {
    fn name(&self) -> &str {
        self.generator.name()
    }

    fn initialize(self: Arc<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.ready.get_or_try_init(|| self.generator.initialize()).await.copied() })
    }

    fn open(self: Arc<Self>, scope: &StreamScope) -> Result<Arc<dyn Items>> {
        Ok(Arc::new(Lane::open(self, scope)?))
    }

    fn run(self: Arc<Self>, scope: StreamScope, input: Input, output: Output) -> BoxFuture<'static, Result<()>> {
        Box::pin(whole::run(self, scope, input, output))
    }

    fn close_session(&self, session: &SessionId) -> BoxFuture<'static, ()> {
        Box::pin(told("closeSession", self.name().to_owned(), self.generator.close_session(session)))
    }

    fn ports(&self) -> Ports {
        self.generator.ports()
    }

    /// Whoever made the generator knows them.
    fn metrics(&self) -> Map<String, Value> {
        Map::new()
    }

    fn cleanup(&self) -> BoxFuture<'static, ()> {
        Box::pin(told("cleanup", self.name().to_owned(), self.generator.cleanup()))
    }
}
