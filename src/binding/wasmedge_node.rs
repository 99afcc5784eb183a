//! `WasmEdgeNode`, the JavaScript class.

use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::error::{Outcome, throw};
use super::hooks::{self, Hook};
use super::promise::Deferred;
use super::value::Value;
use super::{hybrid, nodes, options, stream};
use crate::data::SessionId;
use crate::engine::{ModuleSource, NodeConfig, WasmNode};
use crate::error::Error;

/// A WebAssembly module as a media node: runs in WasmEdge inside this process, on threads of its own.
///
/// Every session has its own guest instance and memory. Errors are `NodeError`s with a stable `code`; wrong options throw a
/// `ConfigurationError` whose `path` names the option.
#[napi]
pub struct WasmEdgeNode {
    pub(super) node: Arc<WasmNode>,
}

fn make(module: Value, given: Value, hybrid: bool) -> Outcome<WasmEdgeNode> {
    let source = options::module(module)?;
    let name = match &source {
        ModuleSource::Path(path) => path.file_stem().map_or_else(|| "wasm".to_owned(), |stem| stem.to_string_lossy().into_owned()),
        ModuleSource::Bytes(_) => "wasm".to_owned(),
    };
    let node = WasmNode::new(source, NodeConfig::new(if hybrid { hybrid::node(given)? } else { options::node(given)? }, &name)?)?;
    nodes::remember(&node);
    Ok(WasmEdgeNode { node })
}

impl WasmEdgeNode {
    fn ready(&self, env: napi::sys::napi_env) -> Outcome<Value> {
        let (deferred, promise) = Deferred::new(env)?;
        self.node.initialize(Box::new(move |ready| deferred.settle(ready, |env, ()| Ok(Value::undefined(env)))));
        Ok(promise)
    }

    fn open(&self, env: napi::sys::napi_env, source: Value, given: Value) -> Outcome<Value> {
        options::source(env, source)?;
        let given = options::process(given)?;
        let (deferred, promise) = Deferred::new(env)?;
        let node = Arc::clone(&self.node);
        self.node.initialize(Box::new(move |ready| {
            let opened = ready.and_then(|()| stream::open(&node, given));
            deferred.settle(opened, |env, opened| {
                // SAFETY: the environment is the one whose thread this runs on.
                let raw = unsafe { stream::NativeStream::to_napi_value(env, opened) }.map_err(|_| super::value::Thrown)?;
                Ok(Value { env, raw })
            });
        }));
        Ok(promise)
    }

    fn end_session(&self, env: napi::sys::napi_env, session: Value) -> Outcome<Value> {
        let text = session.text().ok_or_else(|| Error::config("sessionId", format!("must be a string, got {}", session.get_type().name())))?;
        let session = SessionId::new(&text)?;
        let (deferred, promise) = Deferred::new(env)?;
        let done = Box::new(move || deferred.settle(Ok(()), |env, ()| Ok(Value::undefined(env))));
        self.node.close_session(&session, "closed", done);
        Ok(promise)
    }

    fn end(&self, env: napi::sys::napi_env) -> Outcome<Value> {
        let (deferred, promise) = Deferred::new(env)?;
        self.node.cleanup(Box::new(move || deferred.settle(Ok(()), |env, ()| Ok(Value::undefined(env)))));
        Ok(promise)
    }
}

#[napi]
impl WasmEdgeNode {
    /// Makes a node; the module is read at `initialize`.
    ///
    /// @param module Path, file URL or bytes of a WebAssembly module.
    /// @param options See `WasmEdgeNodeOptions`.
    /// @throws `ConfigurationError` (`ERR_CONFIG`) with the `path` of a wrong or unknown option.
    // `hybrid` is for JavaScript's HybridWasmNode: the options then have a remote and its services.
    #[napi(constructor, ts_args_type = "module: string | URL | Uint8Array, options?: WasmEdgeNodeOptions")]
    pub fn new(env: Env, module: Unknown<'_>, options: Unknown<'_>, hybrid: Option<bool>) -> napi::Result<Self> {
        let raw = env.raw();
        let given = Value { env: raw, raw: options.raw() };
        make(Value { env: raw, raw: module.raw() }, given, hybrid == Some(true)).map_err(|failure| throw(raw, failure))
    }

    /// Name in errors, metrics and logs.
    #[napi(getter)]
    pub fn name(&self) -> String {
        self.node.config().name.clone()
    }

    /// Reads and checks the module and makes it ready to run. Idempotent; `process` and `call` do it if nobody did.
    ///
    /// @throws `NodeError` `ERR_MODULE_NOT_FOUND`, `ERR_MODULE_INVALID`, `ERR_ABI`, `ERR_IMPORT_DENIED`, `ERR_WASM_MEMORY`, `ERR_CLOSED`.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn initialize<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        self.ready(env.raw()).map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }

    /// Processes a stream of items. Nothing is read from the source before the first `next()`; up to eight items are read ahead.
    ///
    /// Breaking out of the loop, an abort and an error stop the work and close the source. Without `sessionId` the stream is a
    /// session of its own and ends with it; otherwise the session's state is kept, and the end of the stream flushes it.
    #[napi(ts_args_type = "source: Source, options?: ProcessOptions", ts_return_type = "PacketIterator")]
    #[allow(clippy::unused_self, reason = "a method in JavaScript; the pull loop comes back for the node")]
    pub fn process<'env>(&self, env: Env, this: This<'env>, source: Unknown<'env>, options: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let raw = env.raw();
        let args = [this.raw(), source.raw(), options.raw()].map(|value| Value { env: raw, raw: value });
        hooks::call(raw, Hook::CreateStream, &args).map(Value::unknown).map_err(|thrown| throw(raw, thrown.into()))
    }

    /// The native half of `call`: one item without a stream, as the answer to the slot `ticket`. Internal.
    #[napi(skip_typescript)]
    pub fn submit(&self, env: Env, ticket: u32, item: Unknown<'_>, options: Unknown<'_>) -> napi::Result<Option<String>> {
        let raw = env.raw();
        let given = Value { env: raw, raw: options.raw() };
        let item = Value { env: raw, raw: item.raw() };
        let done = options::process(given).and_then(|given| stream::call(&self.node, raw, ticket, item, given));
        done.map_err(|failure| throw(raw, failure))
    }

    /// Opens the native half of a stream. Internal to `process`.
    #[napi(skip_typescript)]
    pub fn open_stream<'env>(&self, env: Env, source: Unknown<'env>, options: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let raw = env.raw();
        let given = Value { env: raw, raw: options.raw() };
        self.open(raw, Value { env: raw, raw: source.raw() }, given).map(Value::unknown).map_err(|failure| throw(raw, failure))
    }

    /// Ends a session after the items that are queued in it; resolves when its guest is gone, at once when there is none.
    #[napi(ts_args_type = "sessionId: string", ts_return_type = "Promise<void>")]
    pub fn close_session<'env>(&self, env: Env, session_id: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        self.end_session(env.raw(), Value { env: env.raw(), raw: session_id.raw() }).map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }

    /// The node's figures; the table of names and units is in docs/metrics.md.
    #[napi(ts_return_type = "NodeMetrics")]
    pub fn metrics<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        let raw = env.raw();
        let text = serde_json::Value::Object(self.node.metrics()).to_string();
        Value::from_json(raw, &text).map(Value::unknown).map_err(|thrown| throw(raw, thrown.into()))
    }

    /// Stops all work and releases every guest; resolves when the last is gone. Idempotent. Work that was queued or running ends with
    /// `ERR_CLOSED`, and so does everything asked later.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn cleanup<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        self.end(env.raw()).map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }
}

impl Drop for WasmEdgeNode {
    fn drop(&mut self) {
        // Collected without `cleanup`: sessions with names go, streams that still run keep what they need until they end.
        self.node.release();
    }
}
