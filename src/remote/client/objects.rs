//! Objects that live on protocol v0's server: methods, streams, generators.
//!
//! Problem: the stock server keeps objects until a stream ends on the connection that they were made over, then drops all of those; it has no
//! other way to release one. Answer: each object has a connection to itself, over which its methods are called and nothing is ever streamed;
//! its streams go over other ones. Releasing it is to end a stream on its own connection.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::{Map, Value};

use super::catalog::incomplete;
use super::node::stream_format;
use super::stream::{Conversation, Heard, Listen, RemoteStream, Seat, Speak, Speech};
use super::{Client, answer};
use crate::data::{Format, Kind, Packet, SessionId};
use crate::error::{Code, Error, Result};
use crate::remote::channel::{Endpoint, Lane, Rpc, Scope, open};
use crate::remote::codec::{self, PayloadFormat, PyValue, Wire};
use crate::remote::pb::v0;
use crate::remote::pb::v0::execute_object_method_request::ObjectSpecifier;
use crate::remote::pb::v0::stream_object_init::ObjectSpecifier as StreamSpecifier;
use crate::remote::pb::v0::stream_object_request::Payload as Asked;
use crate::remote::pb::v0::stream_object_response::Payload as Told;
use crate::remote::status;

const METHOD: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/ExecuteObjectMethod", name: "ExecuteObjectMethod", safe: false };
const STREAM: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/StreamObject", name: "StreamObject", safe: false };

/// An object on the remote.
#[derive(Clone, Debug)]
pub enum ObjectSource {
    /// To be made of a code package: a zip with `serialized_object.pkl`.
    Package {
        /// The zip.
        code: Bytes,
        /// Packages for pip.
        dependencies: Vec<String>,
    },
    /// One that was made before.
    Session(String),
}

/// A method's name and arguments.
#[derive(Clone, Debug, Default)]
pub struct MethodCall {
    /// Name; `__init__` does nothing but make the object.
    pub method: String,
    /// By position.
    pub args: Vec<Packet>,
    /// By name.
    pub kwargs: Map<String, Value>,
    /// How arguments and result are written.
    pub format: PayloadFormat,
}

impl MethodCall {
    /// One format for all of it.
    pub(super) fn wire(&self) -> Wire {
        let written = |packet: &Packet| self.format.wire_for(packet);
        if self.args.iter().any(|packet| written(packet) == Wire::Pickle) { Wire::Pickle } else { stream_format(self.format, self.args.first()) }
    }

    /// A list, even of nothing.
    pub(super) fn args(&self, wire: Wire, session: Option<&SessionId>) -> Result<Bytes> {
        let values = self.args.iter().map(|packet| codec::to_value(packet, session)).collect::<Result<Vec<_>>>()?;
        codec::encode_value(&PyValue::List(values), wire)
    }

    /// A dict, or no bytes at all.
    pub(super) fn kwargs(&self, wire: Wire) -> Result<Bytes> {
        if self.kwargs.is_empty() {
            return Ok(Bytes::new());
        }
        let text = serde_json::to_vec(&self.kwargs).map_err(|error| Error::new(Code::Serialization, error.to_string()))?;
        codec::encode_value(&codec::to_value(&Packet::new(Format::Plain(Kind::Json), text), None)?, wire)
    }
}

/// What a method gave.
#[derive(Clone, Debug)]
pub struct MethodResult {
    /// Its result.
    pub output: Packet,
    /// The object's session, for further calls.
    pub session: String,
    /// The id of the generator that the result stands for, if it does.
    pub generator: Option<String>,
}

impl Client {
    /// Calls a method of an object on the remote; makes the object first where a package is given.
    pub async fn execute_object_method(&self, object: &ObjectSource, call: &MethodCall, scope: &Scope) -> Result<MethodResult> {
        self.needs_v0(scope, "executeObjectMethod").await?;
        let wire = call.wire();
        let (args, kwargs) = (call.args(wire, scope.session.as_ref())?, call.kwargs(wire)?);
        let lane = self.object_lane(object).await?;
        answer::sent(&self.channels, args.len() + kwargs.len());
        let make = || {
            let (specifier, dependencies) = match object {
                ObjectSource::Package { code, dependencies } => (ObjectSpecifier::CodePackage(code.clone()), dependencies.clone()),
                ObjectSource::Session(id) => (ObjectSpecifier::SessionId(id.clone()), Vec::new()),
            };
            v0::ExecuteObjectMethodRequest {
                object_specifier: Some(specifier),
                config: BTreeMap::new(),
                serialization_format: wire.name().to_owned(),
                method_name: call.method.clone(),
                method_args_data: args.clone(),
                method_kwargs_data: kwargs.clone(),
                dependencies,
            }
        };
        let reply: v0::ExecuteObjectMethodResponse = self.channels.call_over(Some(&lane), &METHOD, scope, make).await?;
        status::check_v0(reply.status, &reply.error_message, &reply.error_traceback)?;
        let session = match object {
            ObjectSource::Session(id) => id.clone(),
            ObjectSource::Package { .. } if reply.session_id.is_empty() => return Err(incomplete(&METHOD, "the object's session")),
            ObjectSource::Package { .. } => {
                self.objects.lock().put(reply.session_id.clone(), lane);
                reply.session_id
            }
        };
        answer::received(&self.channels, reply.result_data.len());
        let output = answer::packet(&reply.result_data, wire, self.keeps_errors())?;
        Ok(MethodResult { generator: generator_of(&output), output, session })
    }

    /// A stream of items through an object's `process`. It opens with the first item.
    pub fn stream_object(&self, object: &ObjectSource, format: PayloadFormat, scope: Scope) -> RemoteStream {
        let (client, object, own) = (self.clone(), object.clone(), scope.clone());
        RemoteStream::talking(&self.channels, &scope, STREAM.name, move |seat| async move {
            client.needs_v0(&own, "streamObject").await?;
            client.stream_object_v0(object, format, own, seat).await
        })
    }

    async fn stream_object_v0(&self, object: ObjectSource, format: PayloadFormat, scope: Scope, seat: Seat) -> Result<()> {
        // The server that has the object, by a connection other than the object's own.
        let lane = match &object {
            ObjectSource::Package { .. } => None,
            ObjectSource::Session(_) => {
                let own = self.object_lane(&object).await?;
                Some(Lane::new(&own.endpoint().address, &self.config().transport, None))
            }
        };
        let wire = Arc::new(OnceLock::new());
        let speech = ObjectSpeech { object, format, wire: Arc::clone(&wire), session: scope.session.clone() };
        Conversation {
            channels: Arc::clone(&self.channels),
            scope,
            rpc: &STREAM,
            exclusive: !self.config().shared_streams,
            lane,
            seat,
            speak: move || Ok(speech.clone()),
            listen: ObjectAnswers { wire, keep_errors: self.keeps_errors(), next: 0 },
        }
        .run()
        .await
    }

    /// Lets the remote drop an object, with everything that it holds. Later calls of it fail.
    pub async fn release_object(&self, session: &str, scope: &Scope) -> Result<()> {
        let Some(lane) = self.objects.lock().pop(session) else { return Ok(()) };
        let deadline = self.channels.deadline(scope);
        let work = async {
            let conn = lane.endpoint().conn().await?;
            let metadata = self.channels.metadata(scope, scope.context()).await?;
            let none = futures_util::stream::empty::<v0::StreamObjectRequest>();
            let opened = open::<_, v0::StreamObjectResponse>(&lane, &conn, &STREAM, &self.channels.settings, none, metadata, Some(deadline));
            let mut answers = opened.await.map_err(|failed| failed.error)?;
            // It complains about the missing beginning; what matters is that it ends.
            while let Ok(Some(_)) = answers.message().await {}
            Ok(())
        };
        let overdue = || Error::new(Code::Deadline, format!("StreamObject: {} did not release the object in time", lane.name()));
        self.channels.within(STREAM.name, scope, deadline, work).await.unwrap_or_else(|| Err(overdue()))
    }

    /// The connection of an object; a new one for one that is to be made, or was made elsewhere.
    pub(super) async fn object_lane(&self, object: &ObjectSource) -> Result<Arc<Lane>> {
        if let ObjectSource::Session(id) = object
            && let Some(lane) = self.objects.lock().get(id)
        {
            return Ok(Arc::clone(lane));
        }
        let address = self.channels.lane(&[]).await?.endpoint().address.clone();
        let lane = Lane::over(Endpoint::own(&address, &self.config().transport));
        if let ObjectSource::Session(id) = object {
            self.objects.lock().put(id.clone(), Arc::clone(&lane));
        }
        Ok(lane)
    }
}

/// `{"__generator__": true, "generator_id": ...}` stands for a generator.
fn generator_of(output: &Packet) -> Option<String> {
    if output.kind() != Kind::Json || !output.bytes.windows(15).any(|window| window == b"\"__generator__\"") {
        return None;
    }
    let Ok(Value::Object(map)) = serde_json::from_slice(&output.bytes) else { return None };
    (map.get("__generator__") == Some(&Value::Bool(true))).then(|| map.get("generator_id")?.as_str().map(str::to_owned))?
}

#[derive(Clone)]
struct ObjectSpeech {
    object: ObjectSource,
    format: PayloadFormat,
    wire: Arc<OnceLock<Wire>>,
    session: Option<SessionId>,
}

fn ask(payload: Asked) -> v0::StreamObjectRequest {
    v0::StreamObjectRequest { payload: Some(payload) }
}

impl Speak for ObjectSpeech {
    type Message = v0::StreamObjectRequest;

    fn first(&mut self, packet: Option<&Packet>) -> Result<Option<v0::StreamObjectRequest>> {
        let wire = *self.wire.get_or_init(|| stream_format(self.format, packet));
        let (specifier, dependencies) = match &self.object {
            ObjectSource::Package { code, dependencies } => (StreamSpecifier::CodePackage(code.clone()), dependencies.clone()),
            ObjectSource::Session(id) => (StreamSpecifier::SessionId(id.clone()), Vec::new()),
        };
        Ok(Some(ask(Asked::Init(v0::StreamObjectInit {
            object_specifier: Some(specifier),
            config: BTreeMap::new(),
            serialization_format: wire.name().to_owned(),
            dependencies,
        }))))
    }

    fn item(&mut self, packet: &Packet) -> Result<Speech<v0::StreamObjectRequest>> {
        let wire = self.wire.get().copied().unwrap_or(Wire::Json);
        let payload = codec::encode(packet, wire, self.session.as_ref())?;
        let bytes = payload.len();
        Ok(Speech { message: ask(Asked::Data(payload)), bytes })
    }
}

struct ObjectAnswers {
    wire: Arc<OnceLock<Wire>>,
    keep_errors: bool,
    next: u64,
}

impl Listen for ObjectAnswers {
    type Message = v0::StreamObjectResponse;

    fn read(&mut self, message: v0::StreamObjectResponse) -> Result<Heard> {
        match message.payload {
            Some(Told::Data(payload)) => {
                let wire = self.wire.get().copied().unwrap_or(Wire::Json);
                let packet = answer::packet(&payload, wire, self.keep_errors)?;
                Ok(Heard::one(packet, payload.len(), &mut self.next))
            }
            Some(Told::Error(text)) => Err(status::from_text(&text, "")),
            None => Ok(Heard::nothing()),
        }
    }
}
