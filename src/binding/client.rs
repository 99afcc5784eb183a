//! `RemoteExecutionClient`, the JavaScript class: calls and streams. What else a server can be asked is in `client_more.rs`.

use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::duplex::{self, NativeDuplex};
use super::error::{Outcome, throw};
use super::options::{self, ProcessOptions, Reader};
use super::remote_calls::{self, Stops, json, nothing, promise};
use super::remote_options;
use super::value::{Type, Value};
use crate::data::{Map, SessionId, Value as Json};
use crate::error::Error;
use crate::pipeline::RemoteStage;
use crate::remote::{Client, NodeTarget, PayloadFormat};

/// A client of a RemoteMedia service: runs its nodes, streams through them, and asks about it.
///
/// Connections are shared by all clients of one endpoint. Errors are `RemoteExecutionError`s with a stable `code`.
#[napi]
pub struct RemoteExecutionClient {
    pub(super) client: Client,
    stops: Stops,
}

/// A node type, its parameters and the options of one call.
fn call_of(node_type: Value, config: Value, given: Value) -> Outcome<(NodeTarget, ProcessOptions)> {
    let (format, process) = call_options(given)?;
    Ok((target_of(node_type, config, format)?, process))
}

pub(super) fn target_of(node_type: Value, config: Value, format: PayloadFormat) -> Outcome<NodeTarget> {
    let wrong = || Error::config("nodeType", format!("must be a string, got {}", node_type.get_type().name()));
    let node_type = remote_options::node_type_of(&node_type.text().ok_or_else(wrong)?, "nodeType")?;
    Ok(NodeTarget { node_type, config: object_of(config, "config")?, format })
}

/// An argument that is an object of JSON values, or left out.
pub(super) fn object_of(value: Value, path: &'static str) -> Outcome<Map<String, Json>> {
    if matches!(value.get_type(), Type::Undefined | Type::Null) {
        return Ok(Map::new());
    }
    match options::json(value, path)? {
        Json::Object(map) => Ok(map),
        _ => Err(Error::config(path, "must be an object of JSON values").into()),
    }
}

/// `CallOptions`: those of `process`, and `format`.
pub(super) fn call_options(given: Value) -> Outcome<(PayloadFormat, ProcessOptions)> {
    if given.is_undefined() {
        return Ok((PayloadFormat::Auto, options::process(given)?));
    }
    let mut reader = Reader::new(given, "")?;
    let format = remote_options::format(&mut reader)?;
    let process = options::process_in(&mut reader)?;
    reader.finish()?;
    Ok((format, process))
}

impl RemoteExecutionClient {
    /// Calls that can be stopped.
    pub(super) fn stops(&self) -> &Stops {
        &self.stops
    }

    /// The stream that an iterator is made over; `open` gets its scope.
    pub(super) fn duplex(given: ProcessOptions, open: impl FnOnce(crate::remote::Scope) -> crate::remote::RemoteStream) -> NativeDuplex {
        let (scope, metadata, _) = remote_calls::scope(given);
        let session = scope.session.clone().unwrap_or_else(SessionId::anonymous);
        NativeDuplex::new(open(scope), session, metadata)
    }
}

#[napi]
impl RemoteExecutionClient {
    /// Makes a client that has not connected yet; `connect` is the usual way.
    ///
    /// @throws `ConfigurationError` (`ERR_CONFIG`) with the `path` of a wrong or unknown option.
    #[napi(constructor, ts_args_type = "config: RemoteExecutorConfig")]
    pub fn new(env: Env, config: Unknown<'_>) -> napi::Result<Self> {
        let raw = env.raw();
        let made = remote_options::config(Value { env: raw, raw: config.raw() }, "").and_then(|config| Ok(Client::new(config)?));
        let client = made.map_err(|failure| throw(raw, failure))?;
        Ok(Self { client, stops: Stops::default() })
    }

    /// Connects and finds out which protocol the service speaks: `v0` or `v1`. Any call does it if nobody did.
    ///
    /// @throws `RemoteExecutionError` `ERR_UNAVAILABLE`, `ERR_DEADLINE`, `ERR_REMOTE`.
    #[napi(ts_return_type = "Promise<'v0' | 'v1'>")]
    pub fn ready<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        let client = self.client.clone();
        let connected = promise(env.raw(), async move { client.connect().await }, |env, api| Value::string(env, api.name()));
        connected.map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }

    /// The native half of `executeNode`: one item, as the answer to the slot `ticket`. Internal.
    #[napi(skip_typescript)]
    pub fn submit_node(
        &self,
        env: Env,
        ticket: u32,
        node_type: Unknown<'_>,
        config: Unknown<'_>,
        item: Unknown<'_>,
        options: Unknown<'_>,
    ) -> napi::Result<String> {
        let raw = env.raw();
        let [node_type, config, item, given] = [node_type.raw(), config.raw(), item.raw(), options.raw()].map(|value| Value { env: raw, raw: value });
        let done = call_of(node_type, config, given).and_then(|(target, given)| {
            remote_calls::execute(&Arc::new(RemoteStage::new(self.client.clone(), target)), &self.stops, ticket, item, given)
        });
        done.map_err(|failure| throw(raw, failure))
    }

    /// Stops the call of the slot `ticket`. Internal.
    #[napi(skip_typescript)]
    pub fn stop(&self, ticket: u32) {
        self.stops.stop(ticket);
    }

    /// Streams items through a node type, which keeps its state for as long as the stream lasts and answers as it likes.
    ///
    /// `timeoutMs` is how long the service may stay silent after an item. `sequence` counts the answers.
    #[napi(
        ts_args_type = "nodeType: string, config: Record<string, Json> | undefined, source: Source, options?: CallOptions",
        ts_return_type = "PacketIterator"
    )]
    pub fn stream_node<'env>(
        &self,
        env: Env,
        node_type: Unknown<'env>,
        config: Unknown<'env>,
        source: Unknown<'env>,
        options: Unknown<'env>,
    ) -> napi::Result<Unknown<'env>> {
        let raw = env.raw();
        let [node_type, config, source, given] =
            [node_type.raw(), config.raw(), source.raw(), options.raw()].map(|value| Value { env: raw, raw: value });
        let made = duplex::iterate(raw, source, given, || {
            let (target, given) = call_of(node_type, config, given)?;
            Ok(Self::duplex(given, |scope| self.client.stream_node(&target, scope)))
        });
        made.map(Value::unknown).map_err(|failure| throw(raw, failure))
    }

    /// Whether the service is serving, by `grpc.health.v1`. An empty name is the server as a whole.
    ///
    /// @throws `RemoteExecutionError` `ERR_UNAVAILABLE`, `ERR_DEADLINE`.
    #[napi(ts_args_type = "service?: string", ts_return_type = "Promise<boolean>")]
    pub fn health<'env>(&self, env: Env, service: Option<String>) -> napi::Result<Unknown<'env>> {
        let client = self.client.clone();
        let work = async move { client.health(service.as_deref().unwrap_or_default(), &crate::remote::Scope::default()).await };
        promise(env.raw(), work, Value::boolean).map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }

    /// The client's figures; the table of names and units is in docs/metrics.md.
    #[napi(ts_return_type = "RemoteMetrics")]
    pub fn metrics<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        json(env.raw(), Json::Object(self.client.metrics())).map(Value::unknown).map_err(|thrown| throw(env.raw(), thrown.into()))
    }

    /// Ends every call and stream with `ERR_CLOSED`; what is asked later fails likewise. Idempotent.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn close<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        self.client.close();
        promise(env.raw(), async { Ok(()) }, nothing).map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }
}
