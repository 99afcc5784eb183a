//! A WebAssembly node in a pipeline: the engine's callbacks as futures.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::manifest::{KindSet, Ports};
use super::node::{Items, Node, OnError, StreamScope};
use crate::data::{Map, Packet, SessionId, Value};
use crate::engine::{Reply, Stream, StreamOptions, WasmNode};
use crate::error::{Code, Error, Result};

/// A module as a node of a pipeline.
pub struct WasmStage(Arc<WasmNode>);

impl WasmStage {
    /// The node as it is elsewhere: its sessions are the same.
    pub fn new(node: Arc<WasmNode>) -> Self {
        Self(node)
    }
}

/// What the engine answers by callback.
fn answer<T: Send + 'static>(give: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> impl Future<Output = Option<T>> + Send + 'static {
    let (sender, receiver) = oneshot::channel();
    give(Box::new(move |value| drop(sender.send(value))));
    async move { receiver.await.ok() }
}

fn lost() -> Error {
    Error::new(Code::Internal, "the work was dropped before it was done")
}

impl Node for WasmStage {
    fn name(&self) -> &str {
        &self.0.config().name
    }

    fn initialize(self: Arc<Self>) -> BoxFuture<'static, Result<()>> {
        if self.0.is_ready() {
            return Box::pin(std::future::ready(Ok(())));
        }
        let ready = answer(|then| self.0.initialize(then));
        Box::pin(async move { ready.await.unwrap_or_else(|| Err(lost())) })
    }

    fn open(self: Arc<Self>, scope: &StreamScope) -> Result<Arc<dyn Items>> {
        let stream = self.0.open(StreamOptions {
            session: Some(scope.session.clone()),
            ends_session: scope.own_session,
            timeout: scope.timeout,
            continue_on_error: scope.on_error != OnError::Throw,
        })?;
        Ok(Arc::new(WasmItems(stream)))
    }

    /// One guest a session; sessions side by side, as many as there are processors.
    fn parallelism(&self) -> u32 {
        // Asked for at each item, and the standard library reads the control group's files each time.
        static PROCESSORS: LazyLock<u32> =
            LazyLock::new(|| std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)));
        *PROCESSORS
    }

    fn prewarm(&self, items: usize) {
        self.0.prewarm(items);
    }

    fn ports(&self) -> Ports {
        Ports { accepts: None, puts_out: self.0.config().output_kind.map(KindSet::only) }
    }

    fn close_session(&self, session: &SessionId) -> BoxFuture<'static, ()> {
        let done = answer(|then: Box<dyn FnOnce(()) + Send>| self.0.close_session(session, "closed", Box::new(move || then(()))));
        Box::pin(async move {
            let _told = done.await;
        })
    }

    fn metrics(&self) -> Map<String, Value> {
        self.0.metrics()
    }

    fn cleanup(&self) -> BoxFuture<'static, ()> {
        let done = answer(|then: Box<dyn FnOnce(()) + Send>| self.0.cleanup(Box::new(move || then(()))));
        Box::pin(async move {
            let _told = done.await;
        })
    }
}

struct WasmItems(Stream);

impl WasmItems {
    fn ask(give: impl FnOnce(Reply)) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let answered = answer(give);
        Box::pin(async move { answered.await.unwrap_or_else(|| Err(lost())) })
    }
}

impl Items for WasmItems {
    fn submit(&self, packet: Packet, timeout: Option<Duration>) -> BoxFuture<'static, Result<Vec<Packet>>> {
        Self::ask(|reply| match timeout {
            None => self.0.submit(packet, reply),
            Some(timeout) => self.0.submit_within(packet, timeout, reply),
        })
    }

    fn flush(&self, _inputs: u64) -> BoxFuture<'static, Result<Vec<Packet>>> {
        Self::ask(|reply| self.0.flush(reply))
    }

    fn cancel(&self) {
        self.0.cancel();
    }
}
