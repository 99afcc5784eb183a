//! A remote node in a pipeline: single calls or one stream, as the node was told.
//!
//! Problem: a call must go on while a slow reader holds its stage up, and must stop when nobody wants its answer any more; a stream's answers
//! need not belong to an item. Answer: each call is a task that ends with the future that waits for it; a stream is two loops, one for each
//! direction, and what it answers belongs to the item that was sent last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};
use tokio::sync::oneshot;

use super::line::{Element, Input, Output};
use super::node::{Items, Node, OnError, StreamScope};
use super::task::tasked;
use super::window::{self, ends_stream, fail, inherit};
use crate::data::{Map, Packet, SessionId, Value};
use crate::error::{Code, Error, Result};
use crate::remote::{Client, NodeTarget, ObjectSource, PayloadFormat, RemoteStream, Scope};

/// A probe that takes longer says that the remote cannot be reached in a time that is of use.
const PROBE: Duration = Duration::from_secs(1);
/// Packets taken from a stream at once.
const RECEIVE: usize = 64;

/// What a remote node runs there.
#[derive(Clone)]
pub enum RemoteWork {
    /// A node type.
    Node(Arc<NodeTarget>),
    /// An object that lives there; it is streamed only.
    Object(ObjectSource),
    /// A whole pipeline, by protocol v1.
    Manifest(Arc<Value>),
}

/// Something on a service as a node of a pipeline.
#[derive(Clone)]
pub struct RemoteStage {
    /// Name in errors and metrics.
    pub name: String,
    /// Who reaches it.
    pub client: Client,
    /// What it is.
    pub work: RemoteWork,
    /// How payloads are written, for objects.
    pub format: PayloadFormat,
    /// Whether a stream of items is one stream there.
    pub streaming: bool,
}

impl RemoteStage {
    /// A node type, asked item by item.
    pub fn new(client: Client, target: NodeTarget) -> Self {
        Self { name: target.node_type.clone(), client, format: target.format, work: RemoteWork::Node(Arc::new(target)), streaming: false }
    }

    fn scope(scope: &StreamScope) -> Scope {
        Scope {
            timeout: scope.timeout,
            session: Some(scope.session.clone()),
            trace: scope.trace.clone(),
            cancel: scope.cancel.child_token(),
            ..Scope::default()
        }
    }

    /// Opens a stream.
    pub fn stream(&self, scope: Scope) -> RemoteStream {
        match &self.work {
            RemoteWork::Node(target) => self.client.stream_node(target, scope),
            RemoteWork::Object(object) => self.client.stream_object(object, self.format, scope),
            RemoteWork::Manifest(manifest) => self.client.stream_manifest(manifest, scope),
        }
    }

    /// Asks for one item.
    pub async fn execute(&self, packet: Packet, scope: &Scope) -> Result<Packet> {
        let own = packet.trace.clone().map(|trace| Scope { trace: Some(trace), ..scope.clone() });
        let scope = own.as_ref().unwrap_or(scope);
        match &self.work {
            RemoteWork::Node(target) => self.client.execute_node(target, packet, scope).await,
            RemoteWork::Object(_) => Err(Self::streamed_only()),
            RemoteWork::Manifest(manifest) => self.client.execute_manifest(manifest, packet, scope).await,
        }
    }

    fn streamed_only() -> Error {
        Error::config("object", "is streamed: use process")
    }
}

impl Node for RemoteStage {
    fn name(&self) -> &str {
        &self.name
    }

    /// Nothing: a remote that is away now may be there when the first item comes, and a fallback must be able to work without it.
    fn initialize(self: Arc<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(ready(Ok(())))
    }

    fn open(self: Arc<Self>, scope: &StreamScope) -> Result<Arc<dyn Items>> {
        if matches!(self.work, RemoteWork::Object(_)) {
            return Err(Self::streamed_only().in_node(&self.name));
        }
        Ok(Arc::new(Calls { scope: Self::scope(scope), stage: self }))
    }

    fn run(self: Arc<Self>, scope: StreamScope, input: Input, output: Output) -> BoxFuture<'static, Result<()>> {
        if self.streaming {
            return Box::pin(streamed(self, scope, input, output));
        }
        window::stream(self.open(&scope), scope, input, output)
    }

    /// As many as anybody asks for: the other side says when it is too much.
    fn parallelism(&self) -> u32 {
        u32::MAX
    }

    /// `grpc.health.v1`: the way there and back, without the node's own work.
    fn probe(&self) -> Option<BoxFuture<'static, Result<()>>> {
        let client = self.client.clone();
        let scope = Scope { timeout: Some(PROBE), ..Scope::default() };
        Some(Box::pin(async move { client.health("", &scope).await.map(drop) }))
    }

    /// Nothing: a remote node keeps nothing beyond its stream.
    fn close_session(&self, _session: &SessionId) -> BoxFuture<'static, ()> {
        Box::pin(ready(()))
    }

    fn metrics(&self) -> Map<String, Value> {
        self.client.metrics()
    }

    fn cleanup(&self) -> BoxFuture<'static, ()> {
        self.client.close();
        Box::pin(ready(()))
    }
}

struct Calls {
    stage: Arc<RemoteStage>,
    scope: Scope,
}

impl Items for Calls {
    fn submit(&self, packet: Packet, timeout: Option<Duration>) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let (stage, scope) = (Arc::clone(&self.stage), Scope { timeout: timeout.or(self.scope.timeout), ..self.scope.clone() });
        let call = async move {
            let answer = stage.execute(packet, &scope).await;
            answer.map(|packet| vec![packet]).map_err(|error| error.in_node(&stage.name))
        };
        tasked(call)
    }

    /// One stream instead of as many calls. What it left unanswered is asked for by itself, so that one bad item fails alone.
    fn submit_batch(&self, packets: Vec<Packet>, timeout: Option<Duration>) -> BoxFuture<'static, Vec<Result<Vec<Packet>>>> {
        let calls = Self { stage: Arc::clone(&self.stage), scope: Scope { timeout: timeout.or(self.scope.timeout), ..self.scope.clone() } };
        Box::pin(async move {
            let mut answers = if packets.len() > 1 { calls.together(&packets).await } else { Vec::new() }.into_iter();
            let mut results = Vec::with_capacity(packets.len());
            for packet in packets {
                results.push(match answers.next() {
                    Some(answer) => Ok(vec![Packet { sequence: packet.sequence, ..answer }]),
                    None => calls.submit(packet, timeout).await,
                });
            }
            results
        })
    }

    fn flush(&self, _inputs: u64) -> BoxFuture<'static, Result<Vec<Packet>>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn cancel(&self) {
        self.scope.cancel.cancel();
    }
}

impl Calls {
    /// The answers of one stream, as far as it came: one for each item, or none at all where they cannot be told apart.
    async fn together(&self, packets: &[Packet]) -> Vec<Packet> {
        let stream = Arc::new(self.stage.stream(self.scope.clone()));
        let mut answers = Vec::new();
        for packet in packets {
            match stream.try_send(packet.clone()) {
                Ok(true) => {}
                Ok(false) => room(&stream).await.unwrap_or_default(),
                Err(_) => return answers,
            }
        }
        stream.finish();
        loop {
            match arrived(&stream).await {
                Ok(Some(packets)) => answers.extend(packets),
                Ok(None) if answers.len() == packets.len() => return answers,
                Err(_) if answers.len() < packets.len() => return answers,
                Ok(None) | Err(_) => return Vec::new(),
            }
        }
    }
}

async fn room(stream: &Arc<RemoteStream>) -> Result<()> {
    let (sender, room) = oneshot::channel();
    stream.room(Box::new(move |room| drop(sender.send(room))));
    room.await.unwrap_or(Ok(()))
}

async fn arrived(stream: &Arc<RemoteStream>) -> Result<Option<Vec<Packet>>> {
    let (sender, arrived) = oneshot::channel();
    stream.receive(RECEIVE, Box::new(move |packets| drop(sender.send(packets))));
    arrived.await.unwrap_or(Ok(None))
}

/// A stream's items. One that failed took its stream along: where the pipeline goes on, the next item opens another.
async fn streamed(stage: Arc<RemoteStage>, scope: StreamScope, mut input: Input, output: Output) -> Result<()> {
    let last = AtomicU64::new(0);
    loop {
        let stream = Arc::new(stage.stream(RemoteStage::scope(&scope)));
        let outcome = {
            let mut sending = std::pin::pin!(send(&stream, &mut input, &output, &last));
            let mut receiving = std::pin::pin!(receive(&stream, &output, &last));
            tokio::select! {
                biased;
                received = &mut receiving => received.and_then(|end| match end {
                    Ended::ByReader => Ok(()),
                    Ended::ByRemote => Err(Error::new(Code::Remote, "the remote ended the stream before all of its items were sent")),
                }),
                sent = &mut sending => match sent {
                    Ok(()) => receiving.await.map(drop),
                    Err(error) => Err(error),
                },
            }
        };
        let Err(failure) = outcome.map_err(|error| error.in_node(&stage.name)) else { return Ok(()) };
        if scope.on_error == OnError::Throw || ends_stream(&failure) {
            return Err(failure);
        }
        let origin = Packet { sequence: last.load(Ordering::Relaxed), ..Packet::binary(Vec::new()) };
        if fail(&origin, &failure, &scope, &output).await.is_err() {
            return Ok(());
        }
    }
}

async fn send(stream: &Arc<RemoteStream>, input: &mut Input, output: &Output, last: &AtomicU64) -> Result<()> {
    while let Some(element) = input.next().await {
        let packet = match element {
            Element::Packet(packet) => packet,
            Element::Failed(packet) => {
                let _passed = output.put(Element::Failed(packet)).await;
                continue;
            }
        };
        last.store(packet.sequence, Ordering::Relaxed);
        if !stream.try_send(packet)? {
            room(stream).await?;
        }
    }
    stream.finish();
    Ok(())
}

/// Why a stream has no more answers.
enum Ended {
    ByRemote,
    ByReader,
}

async fn receive(stream: &Arc<RemoteStream>, output: &Output, last: &AtomicU64) -> Result<Ended> {
    loop {
        let Some(packets) = arrived(stream).await? else { return Ok(Ended::ByRemote) };
        let origin = Packet { sequence: last.load(Ordering::Relaxed), ..Packet::binary(Vec::new()) };
        for packet in packets {
            if output.send(inherit(packet, &origin)).await.is_err() {
                stream.cancel();
                return Ok(Ended::ByReader);
            }
        }
    }
}
