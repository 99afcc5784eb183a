//! `RemoteObjectNode`, the JavaScript class.

use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::client_more::object;
use super::duplex::{self, NativeDuplex};
use super::error::{Outcome, throw};
use super::hooks::{self, Hook};
use super::options::{self, Reader};
use super::remote_calls::{self, NativeCalls, Stops, json, nothing, promise};
use super::remote_options;
use super::value::{Thrown, Value};
use crate::data::{SessionId, Value as Json};
use crate::error::Error;
use crate::pipeline::manifest::Manifest;
use crate::pipeline::{RemoteStage, RemoteWork};
use crate::remote::{Client, PayloadFormat, RemoteConfig};

/// A node type of a remote service, an object that lives there, or a whole pipeline, as a media node.
///
/// Each item is a call of its own; with `streaming` all items of a `process` go through one stream, in which the remote node keeps its
/// state and may answer as it likes; an `object` and a `manifest` are always streamed. Errors are `RemoteExecutionError`s with a stable `code`.
#[napi]
pub struct RemoteObjectNode {
    pub(super) stage: Arc<RemoteStage>,
    stops: Stops,
}

fn make(given: Value) -> Outcome<RemoteObjectNode> {
    let mut reader = Reader::new(given, "")?;
    let object = reader.any("object")?.map(object).transpose()?;
    let manifest = reader.json("manifest")?;
    let (work, format, fallback) = match (object, manifest) {
        (Some(_), Some(_)) => return Err(Error::config("manifest", "excludes object").into()),
        (Some(object), None) => (RemoteWork::Object(object), remote_options::format(&mut reader)?, "remote object".to_owned()),
        (None, Some(manifest)) => {
            Manifest::from_value(manifest.clone()).map_err(|error| error.under("manifest"))?;
            (RemoteWork::Manifest(Arc::new(manifest)), PayloadFormat::Auto, "remote pipeline".to_owned())
        }
        (None, None) => {
            let target = remote_options::target(&mut reader)?;
            let (format, name) = (target.format, target.node_type.clone());
            (RemoteWork::Node(Arc::new(target)), format, name)
        }
    };
    let name = reader.string("name")?.unwrap_or(fallback);
    let streaming = reader.boolean("streaming")? || !matches!(work, RemoteWork::Node(_));
    let remote = remote_options::remote(&mut reader)?;
    reader.finish()?;
    let client = Client::new(RemoteConfig::new(remote)?)?;
    Ok(RemoteObjectNode { stage: Arc::new(RemoteStage { name, client, work, format, streaming }), stops: Stops::default() })
}

impl RemoteObjectNode {
    fn open(&self, env: napi::sys::napi_env, source: Value, given: Value) -> Outcome<Value> {
        options::source(env, source)?;
        let calls = NativeCalls::new(&self.stage, options::process(given)?);
        // SAFETY: the environment is the one whose thread this runs on.
        let raw = unsafe { NativeCalls::to_napi_value(env, calls) }.map_err(|_| Thrown)?;
        Ok(Value { env, raw })
    }

    fn single(&self, ticket: u32, item: Value, given: Value) -> Outcome<String> {
        remote_calls::execute(&self.stage, &self.stops, ticket, item, options::process(given)?)
    }

    fn duplex(&self, given: Value) -> Outcome<NativeDuplex> {
        let (scope, metadata, _) = remote_calls::scope(options::process(given)?);
        let session = scope.session.clone().unwrap_or_else(SessionId::anonymous);
        Ok(NativeDuplex::new(self.stage.stream(scope), session, metadata))
    }
}

#[napi]
impl RemoteObjectNode {
    /// Makes a node; nothing is connected before `initialize` or the first item.
    ///
    /// @param options See `RemoteObjectNodeOptions`.
    /// @throws `ConfigurationError` (`ERR_CONFIG`) with the `path` of a wrong or unknown option.
    #[napi(constructor, ts_args_type = "options: RemoteObjectNodeOptions")]
    pub fn new(env: Env, options: Unknown<'_>) -> napi::Result<Self> {
        make(Value { env: env.raw(), raw: options.raw() }).map_err(|failure| throw(env.raw(), failure))
    }

    /// Name in errors, metrics and logs.
    #[napi(getter)]
    pub fn name(&self) -> String {
        self.stage.name.clone()
    }

    /// Connects. Idempotent; the first item does it if nobody did.
    ///
    /// @throws `RemoteExecutionError` `ERR_UNAVAILABLE`, `ERR_DEADLINE`.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn initialize<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        let client = self.stage.client.clone();
        let connected = promise(env.raw(), async move { client.connect().await.map(drop) }, nothing);
        connected.map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }

    /// Processes a stream of items. Nothing is read from the source before the first `next()`.
    ///
    /// Without `streaming` up to eight calls are under way, and packets come in the order of the items; `timeoutMs` is per call. With it the
    /// remote node answers as it likes, `sequence` counts its answers, and `timeoutMs` is how long it may stay silent after an item.
    #[napi(ts_args_type = "source: Source, options?: ProcessOptions", ts_return_type = "PacketIterator")]
    pub fn process<'env>(&self, env: Env, this: This<'env>, source: Unknown<'env>, options: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let raw = env.raw();
        let [this, source, given] = [this.raw(), source.raw(), options.raw()].map(|value| Value { env: raw, raw: value });
        let made = if self.stage.streaming {
            duplex::iterate(raw, source, given, || self.duplex(given))
        } else {
            hooks::call(raw, Hook::CreateStream, &[this, source, given]).map_err(Into::into)
        };
        made.map(Value::unknown).map_err(|failure| throw(raw, failure))
    }

    /// The native half of `call`: one item, as the answer to the slot `ticket`. Internal.
    #[napi(skip_typescript)]
    pub fn submit(&self, env: Env, ticket: u32, item: Unknown<'_>, options: Unknown<'_>) -> napi::Result<String> {
        let raw = env.raw();
        let item = Value { env: raw, raw: item.raw() };
        let given = Value { env: raw, raw: options.raw() };
        self.single(ticket, item, given).map_err(|failure| throw(raw, failure))
    }

    /// Stops the call of the slot `ticket`. Internal.
    #[napi(skip_typescript)]
    pub fn stop(&self, ticket: u32) {
        self.stops.stop(ticket);
    }

    /// Opens the native half of a stream of calls. Internal to `process`.
    #[napi(skip_typescript)]
    pub fn open_stream<'env>(&self, env: Env, source: Unknown<'env>, options: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let raw = env.raw();
        let given = Value { env: raw, raw: options.raw() };
        self.open(raw, Value { env: raw, raw: source.raw() }, given).map(Value::unknown).map_err(|failure| throw(raw, failure))
    }

    /// Ends a session. A remote node keeps nothing beyond its stream, so there is nothing to wait for.
    #[napi(ts_args_type = "sessionId: string", ts_return_type = "Promise<void>")]
    #[allow(clippy::unused_self, reason = "a method of every node in JavaScript")]
    pub fn close_session<'env>(&self, env: Env, session_id: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let session = Value { env: env.raw(), raw: session_id.raw() };
        let wrong = || Error::config("sessionId", format!("must be a string, got {}", session.get_type().name()));
        let checked = session.text().ok_or_else(wrong).and_then(|text| SessionId::new(&text)).map(drop);
        let done = promise(env.raw(), async move { checked }, nothing);
        done.map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }

    /// The node's figures; the table of names and units is in docs/metrics.md.
    #[napi(ts_return_type = "RemoteMetrics")]
    pub fn metrics<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        json(env.raw(), Json::Object(self.stage.client.metrics())).map(Value::unknown).map_err(|thrown| throw(env.raw(), thrown.into()))
    }

    /// Stops all work and lets go of the connection. Idempotent. Work under way ends with `ERR_CLOSED`, and so does everything asked later.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn cleanup<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        self.stage.client.close();
        promise(env.raw(), async { Ok(()) }, nothing).map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }
}
