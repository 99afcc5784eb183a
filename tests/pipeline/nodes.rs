//! Nodes written in Rust that count what happens to them, and a caller of streams that waits without blocking a thread.

#![allow(dead_code, reason = "each part of the tests uses its own")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, ready};
use remotemedia_wasmedge::data::{Kind, Packet, SessionId, Value};
use remotemedia_wasmedge::engine::{Mode, NodeOptions};
use remotemedia_wasmedge::error::{Code, Error, Result};
use remotemedia_wasmedge::pipeline::{Generator, GeneratorStage, Node, Pipeline, PipelineStream, StreamScope, WasmStage};
use remotemedia_wasmedge::remote::service::{CallInfo, ItemSink, ItemSource};
use tokio::sync::oneshot;

use crate::support;

/// Longest that anything may take before a test says that it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What has happened to a node.
#[derive(Default)]
pub struct Watch {
    /// Runs that are alive, and that there have been.
    pub alive: AtomicI64,
    pub runs: AtomicU64,
    /// Items that it has taken.
    pub taken: AtomicU64,
    /// Sessions that it was told to forget.
    pub closed: AtomicU64,
}

impl Watch {
    pub fn alive(&self) -> i64 {
        self.alive.load(Ordering::SeqCst)
    }

    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }

    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    pub fn closed(&self) -> u64 {
        self.closed.load(Ordering::SeqCst)
    }
}

/// One run, as long as it lives.
struct Alive(Arc<Watch>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a node takes from, which counts.
#[derive(Clone)]
pub struct Source(ItemSource, Arc<Watch>);

impl Source {
    pub async fn next(&self) -> Result<Option<Packet>> {
        let item = self.0.next().await?;
        self.1.taken.fetch_add(u64::from(item.is_some()), Ordering::SeqCst);
        Ok(item)
    }
}

type Work = dyn Fn(Source, ItemSink) -> BoxFuture<'static, Result<()>> + Send + Sync;

struct Gen {
    name: String,
    watch: Arc<Watch>,
    work: Box<Work>,
}

impl Generator for Gen {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, _info: CallInfo, _ahead: usize, source: ItemSource, sink: ItemSink) -> BoxFuture<'static, Result<()>> {
        self.watch.alive.fetch_add(1, Ordering::SeqCst);
        self.watch.runs.fetch_add(1, Ordering::SeqCst);
        let alive = Alive(Arc::clone(&self.watch));
        let work = (self.work)(Source(source, Arc::clone(&self.watch)), sink);
        Box::pin(async move {
            let _alive = alive;
            work.await
        })
    }

    fn initialize(&self) -> BoxFuture<'static, Result<()>> {
        Box::pin(ready(Ok(())))
    }

    fn close_session(&self, _session: &SessionId) -> BoxFuture<'static, Result<()>> {
        self.watch.closed.fetch_add(1, Ordering::SeqCst);
        Box::pin(ready(Ok(())))
    }

    fn cleanup(&self) -> BoxFuture<'static, Result<()>> {
        Box::pin(ready(Ok(())))
    }
}

/// A node that runs `work` over each stream.
pub fn generator<F>(name: &str, work: impl Fn(Source, ItemSink) -> F + Send + Sync + 'static) -> (Arc<dyn Node>, Arc<Watch>)
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let watch = Arc::new(Watch::default());
    let work = Box::new(move |source, sink| Box::pin(work(source, sink)) as BoxFuture<'static, Result<()>>);
    let stage = GeneratorStage::new(Gen { name: name.to_owned(), watch: Arc::clone(&watch), work });
    (Arc::new(stage), watch)
}

/// A node that answers item by item.
pub fn each<F>(name: &str, answer: impl Fn(Packet) -> F + Clone + Send + Sync + 'static) -> (Arc<dyn Node>, Arc<Watch>)
where
    F: Future<Output = Result<Vec<Packet>>> + Send + 'static,
{
    generator(name, move |source, sink| {
        let answer = answer.clone();
        async move {
            while let Some(item) = source.next().await? {
                let sequence = item.sequence;
                for packet in answer(item).await? {
                    sink.send(Packet { sequence, ..packet }).await?;
                }
            }
            Ok(())
        }
    })
}

/// A node that lets everything pass.
pub fn same(name: &str) -> (Arc<dyn Node>, Arc<Watch>) {
    each(name, |packet| ready(Ok(vec![packet])))
}

/// The guest that echoes, as a node.
pub fn echo(mode: Mode) -> Arc<dyn Node> {
    Arc::new(WasmStage::new(support::guest_node("echo", NodeOptions { mode, ..NodeOptions::default() }).expect("the guest")))
}

/// An item with a number for its payload.
pub fn numbered(number: u32) -> Packet {
    Packet::binary(number.to_le_bytes().to_vec())
}

/// The number in it.
pub fn number(packet: &Packet) -> u32 {
    u32::from_le_bytes(packet.bytes[..4].try_into().expect("a number"))
}

pub fn failure(text: &str) -> Error {
    Error::new(Code::NodeFailed, text)
}

/// What stands for a failed item.
pub fn is_failure(packet: &Packet) -> bool {
    packet.kind() == Kind::Json && packet.metadata.as_ref().and_then(|map| map.get("error")).is_some_and(Value::is_string)
}

/// A stream's caller.
#[derive(Clone)]
pub struct Caller(pub Arc<PipelineStream>);

impl Caller {
    pub fn new(pipeline: &Arc<Pipeline>, change: impl FnOnce(&mut StreamScope)) -> Self {
        let mut scope = StreamScope::new(None);
        change(&mut scope);
        Self(Arc::new(PipelineStream::new(Arc::clone(pipeline), scope)))
    }

    /// Gives it an item and waits until there is room for another.
    pub async fn send(&self, packet: Packet) -> Result<()> {
        if self.0.try_send(packet)? {
            return Ok(());
        }
        let (sender, room) = oneshot::channel();
        self.0.room(Box::new(move |there| drop(sender.send(there))));
        room.await.unwrap_or(Ok(()))
    }

    /// What has come out; nothing at the end.
    pub async fn receive(&self, max: usize) -> Result<Option<Vec<Packet>>> {
        let (sender, came) = oneshot::channel();
        self.0.receive(max, Box::new(move |came| drop(sender.send(came))));
        tokio::time::timeout(PATIENCE, came).await.expect("an answer within a minute").expect("an answer")
    }

    /// All that comes out, and the failure after it.
    pub async fn rest(&self) -> (Vec<Packet>, Result<()>) {
        let mut all = Vec::new();
        loop {
            match self.receive(64).await {
                Ok(Some(packets)) => all.extend(packets),
                Ok(None) => return (all, Ok(())),
                Err(error) => return (all, Err(error)),
            }
        }
    }

    /// Gives it all these items while it takes what comes out.
    pub async fn through(&self, items: impl IntoIterator<Item = Packet, IntoIter: Send> + Send + 'static) -> (Vec<Packet>, Result<()>) {
        let (writer, items) = (self.clone(), items.into_iter());
        let writing = tokio::spawn(async move {
            for item in items {
                writer.send(item).await?;
            }
            writer.0.finish();
            Ok::<_, Error>(())
        });
        let out = self.rest().await;
        // Where the stream ended before its items did, the writer waits for room that never comes.
        self.0.cancel();
        writing.abort();
        match writing.await {
            Err(stopped) => assert!(stopped.is_cancelled(), "{stopped}"),
            Ok(written) => written.expect("items are taken or passed over"),
        }
        out
    }
}

/// Waits until something is so, which other threads bring about.
pub async fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::task::yield_now().await;
    }
}

pub fn numbers(packets: &[Packet]) -> Vec<u32> {
    packets.iter().map(number).collect()
}
