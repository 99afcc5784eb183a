//! One node on the remote: one item, or a stream of them. Under protocol v1, which knows pipelines only, a pipeline of that one node.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::stream::{Conversation, Heard, Listen, RemoteStream, Seat, Speak, Speech};
use super::{Client, NodeTarget, answer, manifest};
use crate::data::{Packet, SessionId};
use crate::error::{Code, Error, Result};
use crate::remote::channel::{Rpc, Scope};
use crate::remote::codec::{self, PayloadFormat, Wire};
use crate::remote::config::Api;
use crate::remote::pb::v0;
use crate::remote::pb::v0::stream_data::Payload;
use crate::remote::status;

const EXECUTE_NODE: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/ExecuteNode", name: "ExecuteNode", safe: false };
const STREAM_NODE: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/StreamNode", name: "StreamNode", safe: false };

impl Client {
    /// One item through a node, which lives for this call only.
    pub async fn execute_node(&self, target: &NodeTarget, input: Packet, scope: &Scope) -> Result<Packet> {
        match self.api(scope).await? {
            Api::V0 => self.execute_node_v0(target, &input, scope).await,
            Api::V1 => self.execute_v1(&manifest::single(target), &input, scope).await,
        }
    }

    async fn execute_node_v0(&self, target: &NodeTarget, input: &Packet, scope: &Scope) -> Result<Packet> {
        let wire = target.format.wire_for(input);
        let payload = codec::encode(input, wire, scope.session.as_ref())?;
        let config = codec::config_strings(&target.config)?;
        answer::sent(&self.channels, payload.len());
        let reply: v0::ExecuteNodeResponse = self
            .channels
            .call(&EXECUTE_NODE, scope, || v0::ExecuteNodeRequest {
                node_type: target.node_type.clone(),
                config: config.clone(),
                input_data: payload.clone(),
                serialization_format: wire.name().to_owned(),
                // The stock server ignores them.
                options: None,
            })
            .await?;
        status::check_v0(reply.status, &reply.error_message, &reply.error_traceback)?;
        answer::received(&self.channels, reply.output_data.len());
        Ok(answer::to(input, answer::packet(&reply.output_data, wire, self.keeps_errors())?))
    }

    /// A stream of items through a node. It opens with the first item.
    pub fn stream_node(&self, target: &NodeTarget, scope: Scope) -> RemoteStream {
        let (client, target, own) = (self.clone(), target.clone(), scope.clone());
        RemoteStream::talking(&self.channels, &scope, STREAM_NODE.name, move |seat| async move {
            match client.api(&own).await? {
                Api::V0 => client.stream_node_v0(&target, own, seat).await,
                Api::V1 => client.stream_v1(manifest::single(&target), own, seat).await,
            }
        })
    }

    async fn stream_node_v0(&self, target: &NodeTarget, scope: Scope, seat: Seat) -> Result<()> {
        let config = codec::config_strings(&target.config)?;
        let wire = Arc::new(OnceLock::new());
        let speech = NodeSpeech { target: target.clone(), config, wire: Arc::clone(&wire), session: scope.session.clone() };
        Conversation {
            channels: Arc::clone(&self.channels),
            scope,
            rpc: &STREAM_NODE,
            exclusive: !self.config().shared_streams,
            lane: None,
            seat,
            speak: move || Ok(speech.clone()),
            listen: NodeAnswers { wire, keep_errors: self.keeps_errors(), next: 0 },
        }
        .run()
        .await
    }
}

#[derive(Clone)]
struct NodeSpeech {
    target: NodeTarget,
    config: BTreeMap<String, String>,
    wire: Arc<OnceLock<Wire>>,
    session: Option<SessionId>,
}

/// One format for a whole stream: the first item's.
pub fn stream_format(format: PayloadFormat, first: Option<&Packet>) -> Wire {
    match (first, format) {
        (Some(packet), _) => format.wire_for(packet),
        (None, PayloadFormat::Pickle) => Wire::Pickle,
        (None, PayloadFormat::Raw) => Wire::Raw,
        (None, PayloadFormat::Auto | PayloadFormat::Json) => Wire::Json,
    }
}

impl Speak for NodeSpeech {
    type Message = v0::StreamData;

    fn first(&mut self, packet: Option<&Packet>) -> Result<Option<v0::StreamData>> {
        let wire = *self.wire.get_or_init(|| stream_format(self.target.format, packet));
        let init = v0::StreamInit {
            node_type: std::mem::take(&mut self.target.node_type),
            config: std::mem::take(&mut self.config),
            serialization_format: wire.name().to_owned(),
        };
        Ok(Some(v0::StreamData { payload: Some(Payload::Init(init)), error_message: String::new() }))
    }

    fn item(&mut self, packet: &Packet) -> Result<Speech<v0::StreamData>> {
        let wire = self.wire.get().copied().unwrap_or(Wire::Json);
        let payload = codec::encode(packet, wire, self.session.as_ref())?;
        let bytes = payload.len();
        Ok(Speech { message: v0::StreamData { payload: Some(Payload::Data(payload)), error_message: String::new() }, bytes })
    }
}

struct NodeAnswers {
    wire: Arc<OnceLock<Wire>>,
    keep_errors: bool,
    next: u64,
}

impl Listen for NodeAnswers {
    type Message = v0::StreamData;

    fn read(&mut self, message: v0::StreamData) -> Result<Heard> {
        if !message.error_message.is_empty() {
            return Err(status::from_text(&message.error_message, ""));
        }
        match message.payload {
            Some(Payload::Data(payload)) => {
                let wire = self.wire.get().copied().unwrap_or(Wire::Json);
                let packet = answer::packet(&payload, wire, self.keep_errors)?;
                Ok(Heard::one(packet, payload.len(), &mut self.next))
            }
            Some(Payload::Init(_)) => Err(Error::new(Code::Remote, "StreamNode: the remote sent an init message")),
            None => Ok(Heard::nothing()),
        }
    }
}
