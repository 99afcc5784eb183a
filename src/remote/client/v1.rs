//! Protocol v1: pipelines given as manifests, for one input or a stream.
//!
//! Problem: a failing node is silent, outputs may be none or several per input, warm-up messages look like results, and closing the stream
//! throws away what is still under way. Answer: only results count as signs of life; after the last input the stream is held open until
//! results have ceased, and only then closed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, Sleep};

use super::stream::{Conversation, Heard, Listen, RemoteStream, Seat, Speak, Speech};
use super::{Client, answer, manifest};
use crate::data::{Packet, SessionId};
use crate::error::{Code, Error, Result};
use crate::remote::channel::{Rpc, Scope};
use crate::remote::codec::buffer::{from_buffer, to_buffer};
use crate::remote::config::Api;
use crate::remote::pb::v1;
use crate::remote::pb::v1::execute_response::Outcome;
use crate::remote::pb::v1::stream_request::Request as Asked;
use crate::remote::pb::v1::stream_response::Response as Told;
use crate::remote::status;

const EXECUTE: Rpc = Rpc { path: "/remotemedia.v1.PipelineExecutionService/ExecutePipeline", name: "ExecutePipeline", safe: false };
const STREAM: Rpc = Rpc { path: "/remotemedia.v1.StreamingPipelineService/StreamPipeline", name: "StreamPipeline", safe: false };
/// Key of results that tell of a node's warm-up.
const WARM_UP: &str = "_status";
/// How long results must have ceased after the last input was answered: one input may have several.
const QUIET: Duration = Duration::from_millis(200);
/// The same when the last input was not answered, but others were: nodes may swallow inputs.
const LONG_QUIET: Duration = Duration::from_secs(2);

impl Client {
    /// One input through a pipeline that lives for this call only.
    pub async fn execute_manifest(&self, manifest: &Value, input: Packet, scope: &Scope) -> Result<Packet> {
        let manifest = manifest::read(manifest)?;
        self.needs_v1(scope, "executeManifest").await?;
        self.execute_v1(&manifest, &input, scope).await
    }

    /// A stream of inputs through a pipeline. It opens with the first input.
    pub fn stream_manifest(&self, manifest: &Value, scope: Scope) -> RemoteStream {
        let (client, manifest, own) = (self.clone(), manifest::read(manifest), scope.clone());
        RemoteStream::talking(&self.channels, &scope, STREAM.name, move |seat| async move {
            let manifest = manifest?;
            client.needs_v1(&own, "streamManifest").await?;
            client.stream_v1(manifest, own, seat).await
        })
    }

    async fn needs_v1(&self, scope: &Scope, what: &str) -> Result<()> {
        match self.api(scope).await? {
            Api::V1 => Ok(()),
            Api::V0 => Err(Error::config("api", format!("{what} is for protocol v1; this remote speaks v0, which has registerPipeline"))),
        }
    }

    pub(super) async fn execute_v1(&self, manifest: &v1::PipelineManifest, input: &Packet, scope: &Scope) -> Result<Packet> {
        let buffer = buffer(input, scope.session.as_ref())?;
        let source = manifest::source(manifest);
        answer::sent(&self.channels, input.bytes.len());
        let reply: v1::ExecuteResponse = self
            .channels
            .call(&EXECUTE, scope, || v1::ExecuteRequest {
                manifest: Some(manifest.clone()),
                data_inputs: BTreeMap::from([(source.clone(), buffer.clone())]),
                resource_limits: None,
                client_version: env!("CARGO_PKG_VERSION").to_owned(),
            })
            .await?;
        let mut result = match reply.outcome {
            Some(Outcome::Result(result)) => result,
            Some(Outcome::Error(error)) => return Err(status::from_v1(error)),
            None => return Err(Error::new(Code::Remote, "ExecutePipeline: the remote answered with neither a result nor an error")),
        };
        if result.status == v1::ExecutionStatus::Failed as i32 {
            let told = result.node_results.into_iter().find_map(|node| node.error).map(status::from_v1);
            return Err(told.unwrap_or_else(|| Error::new(Code::Remote, "ExecutePipeline: the pipeline failed; the remote did not say why")));
        }
        let output = result.data_outputs.remove("output").or_else(|| result.data_outputs.pop_first().map(|(_, output)| output));
        let output = output.ok_or_else(|| Error::new(Code::Remote, "ExecutePipeline: the pipeline has put nothing out"))?;
        let packet = answer::checked(from_buffer(output)?, self.keeps_errors())?;
        answer::received(&self.channels, packet.bytes.len());
        Ok(answer::to(input, packet))
    }

    pub(super) async fn stream_v1(&self, manifest: v1::PipelineManifest, scope: Scope, seat: Seat) -> Result<()> {
        let limit = scope.timeout.unwrap_or(self.config().timeout);
        let progress = Arc::new(Mutex::new(Progress::new(limit)));
        let source = manifest::source(&manifest);
        let (session, told) = (scope.session.clone(), Arc::clone(&progress));
        let speak = move || {
            *told.lock() = Progress::new(limit);
            let (manifest, source, session, progress) = (manifest.clone(), source.clone(), session.clone(), Arc::clone(&told));
            Ok(Speech1 { manifest, source, session, progress, next: 0, pause: None })
        };
        Conversation {
            channels: Arc::clone(&self.channels),
            scope,
            rpc: &STREAM,
            exclusive: false,
            lane: None,
            seat,
            speak,
            listen: Answers { progress, keep_errors: self.keeps_errors() },
        }
        .run()
        .await
    }

    /// What the remote is: protocol, version, the node types it supports where it says so.
    pub async fn get_version(&self, scope: &Scope) -> Result<Value> {
        if self.api(scope).await? == Api::V0 {
            let status = self.get_status(false, false, scope).await?;
            return Ok(json!({ "protocolVersion": "v0", "runtimeVersion": status["version"], "compatible": true }));
        }
        let reply: v1::VersionResponse = self.channels.call(&super::GET_VERSION, scope, super::version_request).await?;
        let info = reply.version_info.unwrap_or_default();
        Ok(json!({
            "protocolVersion": info.protocol_version,
            "runtimeVersion": info.runtime_version,
            "supportedNodeTypes": info.supported_node_types,
            "supportedProtocols": info.supported_protocols,
            "buildTimestamp": info.build_timestamp,
            "compatible": reply.compatible,
            "compatibilityMessage": reply.compatibility_message,
        }))
    }
}

/// An input with the session where the nodes look for it.
fn buffer(input: &Packet, session: Option<&SessionId>) -> Result<v1::DataBuffer> {
    let mut buffer = to_buffer(input)?;
    if let Some(session) = session {
        buffer.metadata.entry("session_id".to_owned()).or_insert_with(|| session.as_str().to_owned());
    }
    Ok(buffer)
}

/// What was sent and what came back.
struct Progress {
    /// Number of the last input.
    sent: Option<u64>,
    /// Number that the last result answers.
    answered: Option<u64>,
    heard: Option<Instant>,
    /// How long the remote may be silent at all.
    limit: Duration,
}

impl Progress {
    fn new(limit: Duration) -> Self {
        Self { sent: None, answered: None, heard: None, limit }
    }

    /// When the stream may be closed without losing results; never while nothing at all has come back.
    fn quiet_at(&self) -> Option<Instant> {
        let heard = self.heard?;
        Some(heard + if self.answered >= self.sent { QUIET } else { LONG_QUIET }.min(self.limit / 2))
    }
}

struct Speech1 {
    manifest: v1::PipelineManifest,
    source: String,
    session: Option<SessionId>,
    progress: Arc<Mutex<Progress>>,
    next: u64,
    pause: Option<Pin<Box<Sleep>>>,
}

fn ask(request: Asked) -> v1::StreamRequest {
    v1::StreamRequest { request: Some(request) }
}

impl Speak for Speech1 {
    type Message = v1::StreamRequest;

    fn first(&mut self, _packet: Option<&Packet>) -> Result<Option<v1::StreamRequest>> {
        Ok(Some(ask(Asked::Init(v1::StreamInit {
            manifest: Some(std::mem::take(&mut self.manifest)),
            data_inputs: BTreeMap::new(),
            resource_limits: None,
            // The server refuses an empty one.
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
            expected_chunk_size: 0,
        }))))
    }

    fn item(&mut self, packet: &Packet) -> Result<Speech<v1::StreamRequest>> {
        let buffer = buffer(packet, self.session.as_ref())?;
        let sequence = self.next;
        self.next += 1;
        self.progress.lock().sent = Some(sequence);
        let chunk = v1::DataChunk {
            node_id: self.source.clone(),
            buffer: Some(buffer),
            named_buffers: BTreeMap::new(),
            sequence,
            timestamp_ms: packet.timestamp_ms.map_or(0, |at| at as u64),
        };
        Ok(Speech { message: ask(Asked::DataChunk(chunk)), bytes: packet.bytes.len() })
    }

    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<Option<v1::StreamRequest>> {
        loop {
            let (sent, quiet_at) = {
                let progress = self.progress.lock();
                (progress.sent, progress.quiet_at())
            };
            let now = Instant::now();
            if sent.is_none() || quiet_at.is_some_and(|at| at <= now) {
                let close = v1::StreamControl { command: v1::stream_control::Command::Close as i32 };
                return Poll::Ready(Some(ask(Asked::Control(close))));
            }
            // Without any result yet it is looked at again; the stream's own limit ends a remote that stays silent.
            let mut pause = Box::pin(tokio::time::sleep_until(quiet_at.unwrap_or(now + QUIET)));
            let elapsed = pause.as_mut().poll(cx).is_ready();
            self.pause = Some(pause);
            if !elapsed {
                return Poll::Pending;
            }
        }
    }
}

struct Answers {
    progress: Arc<Mutex<Progress>>,
    keep_errors: bool,
}

impl Listen for Answers {
    type Message = v1::StreamResponse;

    fn read(&mut self, message: v1::StreamResponse) -> Result<Heard> {
        let result = match message.response {
            Some(Told::Result(result)) => result,
            Some(Told::Error(error)) => return Err(status::from_v1(error)),
            Some(Told::Closed(_)) => return Ok(Heard { over: true, ..Heard::nothing() }),
            Some(Told::Ready(_) | Told::Metrics(_)) | None => return Ok(Heard::nothing()),
        };
        let mut packets = Vec::new();
        for (node, buffer) in result.data_outputs {
            if node == WARM_UP {
                continue;
            }
            let mut packet = answer::checked(from_buffer(buffer)?, self.keep_errors)?;
            packet.sequence = result.sequence;
            // Which of several outputs it is, nothing else tells.
            let mut metadata = packet.metadata.take().map_or_else(Map::new, |metadata| (*metadata).clone());
            metadata.entry("nodeId").or_insert_with(|| node.into());
            packet.metadata = Some(Arc::new(metadata));
            packets.push(packet);
        }
        if packets.is_empty() {
            return Ok(Heard::nothing());
        }
        let mut progress = self.progress.lock();
        progress.answered = progress.answered.max(Some(result.sequence));
        progress.heard = Some(Instant::now());
        drop(progress);
        let bytes = packets.iter().map(|packet| packet.bytes.len()).sum();
        Ok(Heard { packets, bytes, answers: true, over: false })
    }
}
