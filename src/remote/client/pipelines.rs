//! Pipelines that protocol v0's server keeps: registered once, run by id.
//!
//! The stock server runs nodes in the order of the list, whatever the connections say, and answers a failing node with a null: nothing here
//! can tell that from an output.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use serde_json::{Map, Value, json};

use super::catalog::incomplete;
use super::manifest::{field, object, shown, text};
use super::node::stream_format;
use super::stream::{Conversation, Heard, Listen, RemoteStream, Seat, Speak, Speech};
use super::{Client, answer};
use crate::data::{Packet, SessionId};
use crate::error::{Code, Error, Result};
use crate::remote::channel::{Rpc, Scope};
use crate::remote::codec::{self, PayloadFormat, Wire};
use crate::remote::pb::v0;
use crate::remote::pb::v0::stream_pipeline_request::Payload as Asked;
use crate::remote::pb::v0::stream_pipeline_response::Payload as Told;
use crate::remote::status;

const REGISTER: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/RegisterPipeline", name: "RegisterPipeline", safe: false };
const UNREGISTER: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/UnregisterPipeline", name: "UnregisterPipeline", safe: false };
const LIST: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/ListPipelines", name: "ListPipelines", safe: true };
const INFO: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/GetPipelineInfo", name: "GetPipelineInfo", safe: true };
const EXECUTE: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/ExecutePipeline", name: "ExecutePipeline", safe: false };
const STREAM: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/StreamPipeline", name: "StreamPipeline", safe: false };

impl Client {
    /// Keeps a pipeline on the remote: `{ name, nodes, connections?, config?, metadata?, dependencies? }`. Gives
    /// `{ pipelineId, registeredTimestamp }`.
    pub async fn register_pipeline(&self, definition: &Value, scope: &Scope) -> Result<Value> {
        let request = registration(definition)?;
        self.needs_v0(scope, "registerPipeline").await?;
        let reply: v0::RegisterPipelineResponse = self.channels.call(&REGISTER, scope, || request.clone()).await?;
        status::check_v0(reply.status, &reply.error_message, "")?;
        if reply.pipeline_id.is_empty() {
            return Err(incomplete(&REGISTER, "a pipeline's id"));
        }
        Ok(json!({ "pipelineId": reply.pipeline_id, "registeredTimestamp": reply.registered_timestamp }))
    }

    /// Forgets a pipeline.
    pub async fn unregister_pipeline(&self, id: &str, scope: &Scope) -> Result<()> {
        self.needs_v0(scope, "unregisterPipeline").await?;
        let reply: v0::UnregisterPipelineResponse =
            self.channels.call(&UNREGISTER, scope, || v0::UnregisterPipelineRequest { pipeline_id: id.to_owned() }).await?;
        status::check_v0(reply.status, &reply.error_message, "")
    }

    /// The pipelines that the remote keeps, of one category where one is given.
    pub async fn list_pipelines(&self, category: Option<&str>, scope: &Scope) -> Result<Value> {
        self.needs_v0(scope, "listPipelines").await?;
        let category = category.unwrap_or_default();
        let request = || v0::ListPipelinesRequest { category: category.to_owned(), include_definitions: true };
        let reply: v0::ListPipelinesResponse = self.channels.call(&LIST, scope, request).await?;
        Ok(reply.pipelines.into_iter().map(info).collect())
    }

    /// One pipeline, with figures where the remote has them.
    pub async fn get_pipeline_info(&self, id: &str, scope: &Scope) -> Result<Value> {
        self.needs_v0(scope, "getPipelineInfo").await?;
        let request = || v0::GetPipelineInfoRequest { pipeline_id: id.to_owned(), include_definition: true, include_metrics: true };
        let reply: v0::GetPipelineInfoResponse = self.channels.call(&INFO, scope, request).await?;
        status::check_v0(reply.status, &reply.error_message, "")?;
        let mut value = info(reply.pipeline_info.ok_or_else(|| incomplete(&INFO, "the pipeline"))?);
        if let Some(metrics) = reply.metrics {
            value["metrics"] = json!({
                "totalExecutions": metrics.total_executions,
                "totalErrors": metrics.total_errors,
                "averageExecutionTimeMs": metrics.average_execution_time_ms,
                "lastExecutionTimestamp": metrics.last_execution_timestamp,
            });
        }
        Ok(value)
    }

    /// One input through a pipeline.
    pub async fn execute_pipeline(&self, id: &str, format: PayloadFormat, input: Packet, scope: &Scope) -> Result<Packet> {
        self.needs_v0(scope, "executePipeline").await?;
        let wire = format.wire_for(&input);
        let payload = codec::encode(&input, wire, scope.session.as_ref())?;
        answer::sent(&self.channels, payload.len());
        let reply: v0::ExecutePipelineResponse = self
            .channels
            .call(&EXECUTE, scope, || v0::ExecutePipelineRequest {
                pipeline_id: id.to_owned(),
                input_data: payload.clone(),
                serialization_format: wire.name().to_owned(),
                // Both ignored by the server.
                options: None,
                runtime_config: BTreeMap::new(),
            })
            .await?;
        status::check_v0(reply.status, &reply.error_message, &reply.error_traceback)?;
        answer::received(&self.channels, reply.output_data.len());
        Ok(answer::to(&input, answer::packet(&reply.output_data, wire, self.keeps_errors())?))
    }

    /// A stream of inputs through a pipeline. It opens with the first input.
    pub fn stream_pipeline(&self, id: &str, format: PayloadFormat, scope: Scope) -> RemoteStream {
        let (client, id, own) = (self.clone(), id.to_owned(), scope.clone());
        RemoteStream::talking(&self.channels, &scope, STREAM.name, move |seat| async move {
            client.needs_v0(&own, "streamPipeline").await?;
            client.stream_pipeline_v0(id, format, own, seat).await
        })
    }

    async fn stream_pipeline_v0(&self, id: String, format: PayloadFormat, scope: Scope, seat: Seat) -> Result<()> {
        let wire = Arc::new(OnceLock::new());
        let speech = PipelineSpeech { id, format, wire: Arc::clone(&wire), session: scope.session.clone() };
        Conversation {
            channels: Arc::clone(&self.channels),
            scope,
            rpc: &STREAM,
            // Its end cleans up nothing, unlike that of a node's stream.
            exclusive: false,
            lane: None,
            seat,
            speak: move || Ok(speech.clone()),
            listen: PipelineAnswers { wire, keep_errors: self.keeps_errors(), next: 0 },
        }
        .run()
        .await
    }
}

#[derive(Clone)]
struct PipelineSpeech {
    id: String,
    format: PayloadFormat,
    wire: Arc<OnceLock<Wire>>,
    session: Option<SessionId>,
}

fn ask(payload: Asked) -> v0::StreamPipelineRequest {
    v0::StreamPipelineRequest { payload: Some(payload) }
}

impl Speak for PipelineSpeech {
    type Message = v0::StreamPipelineRequest;

    fn first(&mut self, packet: Option<&Packet>) -> Result<Option<v0::StreamPipelineRequest>> {
        let wire = *self.wire.get_or_init(|| stream_format(self.format, packet));
        Ok(Some(ask(Asked::Init(v0::StreamPipelineInit {
            pipeline_id: std::mem::take(&mut self.id),
            serialization_format: wire.name().to_owned(),
            runtime_config: BTreeMap::new(),
            bidirectional: true,
        }))))
    }

    fn item(&mut self, packet: &Packet) -> Result<Speech<v0::StreamPipelineRequest>> {
        let wire = self.wire.get().copied().unwrap_or(Wire::Json);
        let payload = codec::encode(packet, wire, self.session.as_ref())?;
        let bytes = payload.len();
        Ok(Speech { message: ask(Asked::Data(payload)), bytes })
    }

    /// The server drains its nodes on this, and ends.
    fn poll_last(&mut self, _cx: &mut Context<'_>) -> Poll<Option<v0::StreamPipelineRequest>> {
        let close = v0::StreamControl { r#type: v0::stream_control::ControlType::Close as i32 };
        Poll::Ready(Some(ask(Asked::Control(close))))
    }
}

struct PipelineAnswers {
    wire: Arc<OnceLock<Wire>>,
    keep_errors: bool,
    next: u64,
}

impl Listen for PipelineAnswers {
    type Message = v0::StreamPipelineResponse;

    fn read(&mut self, message: v0::StreamPipelineResponse) -> Result<Heard> {
        match message.payload {
            Some(Told::Data(payload)) => {
                let wire = self.wire.get().copied().unwrap_or(Wire::Json);
                let packet = answer::packet(&payload, wire, self.keep_errors)?;
                Ok(Heard::one(packet, payload.len(), &mut self.next))
            }
            Some(Told::Error(text)) => Err(status::from_text(&text, "")),
            Some(Told::Ack(ack)) if !ack.ready => Err(Error::new(Code::Remote, "StreamPipeline: the remote is not ready")),
            Some(Told::Ack(_) | Told::Status(_)) | None => Ok(Heard::nothing()),
        }
    }
}

fn info(info: v0::PipelineInfo) -> Value {
    json!({
        "pipelineId": info.pipeline_id,
        "name": info.name,
        "category": info.category,
        "description": info.description,
        "registeredTimestamp": info.registered_timestamp,
        "usageCount": info.usage_count,
        "metadata": info.metadata,
    })
}

/// Reads a definition. Keys are spelled as in the messages or as in JavaScript.
fn registration(definition: &Value) -> Result<v0::RegisterPipelineRequest> {
    let root = object(definition, "definition")?;
    let name = text(root, "name", "name", "definition")?.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::config("definition.name", "must be given"))?;
    let list = |key: &str| match root.get(key) {
        None | Some(Value::Null) => Ok(&[][..]),
        Some(Value::Array(list)) => Ok(list.as_slice()),
        other => Err(Error::config(format!("definition.{key}"), format!("must be an array, got {}", shown(other)))),
    };
    let nodes: Vec<_> = list("nodes")?.iter().enumerate().map(|(index, node)| read_node(node, index)).collect::<Result<_>>()?;
    if nodes.is_empty() {
        return Err(Error::config("definition.nodes", "must name a node at least"));
    }
    let mut connections = Vec::new();
    for (index, connection) in list("connections")?.iter().enumerate() {
        let path = format!("definition.connections.{index}");
        let connection = object(connection, &path)?;
        let end = |snake: &str, camel: &str, short: &str| -> Result<String> {
            let id = text(connection, snake, camel, &path)?.or(text(connection, short, short, &path)?).unwrap_or_default();
            let known = nodes.iter().any(|node| node.node_id == id);
            if known { Ok(id) } else { Err(Error::config(format!("{path}.{short}"), format!("must be the id of a node, got '{id}'"))) }
        };
        connections.push(v0::PipelineConnection {
            from_node: end("from_node", "fromNode", "from")?,
            to_node: end("to_node", "toNode", "to")?,
            output_port: text(connection, "output_port", "outputPort", &path)?.unwrap_or_else(|| "default".to_owned()),
            input_port: text(connection, "input_port", "inputPort", &path)?.unwrap_or_else(|| "default".to_owned()),
        });
    }
    let metadata = strings(root, "metadata", "definition")?;
    let dependencies = list("dependencies")?.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    Ok(v0::RegisterPipelineRequest {
        pipeline_name: name.clone(),
        metadata: metadata.clone(),
        dependencies: dependencies.ok_or_else(|| Error::config("definition.dependencies", "must be an array of strings"))?,
        definition: Some(v0::PipelineDefinition { name, nodes, connections, config: strings(root, "config", "definition")?, metadata }),
        ..Default::default()
    })
}

fn read_node(node: &Value, index: usize) -> Result<v0::NodeDefinition> {
    let path = format!("definition.nodes.{index}");
    let node = object(node, &path)?;
    let node_type = text(node, "node_type", "nodeType", &path)?.filter(|name| !name.is_empty());
    let flag = |snake: &str, camel: &str| match field(node, snake, camel) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        other => Err(Error::config(format!("{path}.{camel}"), format!("must be a boolean, got {}", shown(other)))),
    };
    Ok(v0::NodeDefinition {
        node_id: text(node, "node_id", "nodeId", &path)?.or(text(node, "id", "id", &path)?).unwrap_or_else(|| format!("node{index}")),
        node_type: node_type.ok_or_else(|| Error::config(format!("{path}.nodeType"), "must be given"))?,
        config: strings(node, "config", &path)?,
        is_remote: flag("is_remote", "isRemote")?,
        remote_endpoint: text(node, "remote_endpoint", "remoteEndpoint", &path)?.unwrap_or_default(),
        is_streaming: flag("is_streaming", "isStreaming")?,
        is_source: flag("is_source", "isSource")?,
        is_sink: flag("is_sink", "isSink")?,
    })
}

/// Values as the server gives them to nodes: it does not read them, so text must be the text itself.
fn strings(map: &Map<String, Value>, key: &str, path: &str) -> Result<BTreeMap<String, String>> {
    let Some(values) = map.get(key).filter(|value| !value.is_null()) else { return Ok(BTreeMap::new()) };
    let plain = |value: &Value| if let Value::String(text) = value { text.clone() } else { value.to_string() };
    Ok(object(values, &format!("{path}.{key}"))?.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
}
