//! `IntelligentRouter`, the JavaScript class.

use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::convert;
use super::duplex::{self, NativeDuplex};
use super::error::{Outcome, throw};
use super::function::Function;
use super::options;
use super::pipeline::{scope, session_of, settle};
use super::remote_calls::json;
use super::router_options;
use super::value::Value;
use crate::data::Value as Json;
use crate::error::{Code, Error};
use crate::pipeline::{Event, Listener, Node, Pipeline, PipelineStream, Router, described};
use crate::remote::CancellationToken;
use crate::routing;

/// Runs each item at the edge or in the cloud: decides by size, complexity, latency, load and what it has learned, and falls back when a
/// side fails.
///
/// Every packet carries `route`, which says where it was made and why. Wrong options throw a `ConfigurationError` whose `path` names the
/// option.
#[napi]
pub struct IntelligentRouter {
    pub(super) router: Arc<Router>,
    /// A pipeline of the router alone: its streams are the router's.
    alone: Arc<Pipeline>,
    open: CancellationToken,
}

fn make(given: Value) -> Outcome<IntelligentRouter> {
    let router_options::Options { parts, config, warm_start } = router_options::read(given)?;
    let router = Router::new(parts, config, warm_start.as_ref())?;
    let alone = Pipeline::chain(router.name(), vec![Arc::clone(&router) as Arc<dyn Node>]);
    Ok(IntelligentRouter { router, alone: Arc::new(alone), open: CancellationToken::new() })
}

/// Tells one function of JavaScript.
struct JsListener(Arc<Function>);

impl Listener for JsListener {
    fn tell(&self, event: Event) {
        let function = Arc::clone(&self.0);
        self.0.door().run(move |env| {
            let told = Value::string(env, event.name).and_then(|name| Ok([name, json(env, event.about)?]));
            // What a listener throws is the application's, and reported by JavaScript's half.
            let _ = told.and_then(|args| function.call(env, args, Box::new(|_, _| {})));
        });
    }
}

impl IntelligentRouter {
    fn closed(&self) -> Error {
        Error::new(Code::Closed, "the router was cleaned up").in_node(self.router.name())
    }

    fn stream(&self, given: Value) -> Outcome<NativeDuplex> {
        if self.open.is_cancelled() {
            return Err(self.closed().into());
        }
        let mut given = options::process(given)?;
        let metadata = given.metadata.take();
        let scope = scope(given, &self.open);
        let session = scope.session.clone();
        Ok(NativeDuplex::new(PipelineStream::new(Arc::clone(&self.alone), scope), session, metadata))
    }

    fn decision(&self, item: Value, complexity: Value) -> Outcome<Json> {
        let packet = convert::item(item)?;
        if complexity.as_number().is_some_and(|number| !(0.0..=1.0).contains(&number)) {
            return Err(Error::new(Code::NodeFailed, "complexity must give a number from 0 to 1").in_node(self.router.name()).into());
        }
        let item = routing::Item { bytes: packet.bytes.len() as u64, complexity: complexity.as_number(), remaining_ms: None };
        Ok(described(&self.router.decide(&item)))
    }
}

#[napi]
impl IntelligentRouter {
    /// Makes a router over two nodes.
    ///
    /// @param options See `IntelligentRouterOptions`.
    /// @throws `ConfigurationError` (`ERR_CONFIG`) with the `path` of a wrong, unknown or contradictory option.
    #[napi(constructor, ts_args_type = "options: IntelligentRouterOptions")]
    pub fn new(env: Env, options: Unknown<'_>) -> napi::Result<Self> {
        make(Value { env: env.raw(), raw: options.raw() }).map_err(|failure| throw(env.raw(), failure))
    }

    /// Name in errors, metrics and logs.
    #[napi(getter)]
    pub fn name(&self) -> String {
        self.router.name().to_owned()
    }

    /// Makes both sides ready. With a fallback one of them may be out of reach; it is tried again item by item.
    ///
    /// @throws What the nodes throw: of a side that can never be ready, such as one without its module, always.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn initialize<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        let (router, closed) = (Arc::clone(&self.router), self.open.is_cancelled().then(|| self.closed()));
        settle(env.raw(), async move {
            closed.map_or(Ok(()), Err)?;
            router.initialize().await
        })
    }

    /// Processes a stream of items, each where it is decided for it. Nothing is read from the source before the first `next()`.
    ///
    /// `timeoutMs` is the time for an item in all, fallback included.
    #[napi(ts_args_type = "source: Source, options?: ProcessOptions", ts_return_type = "PacketIterator")]
    pub fn process<'env>(&self, env: Env, source: Unknown<'env>, options: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let raw = env.raw();
        let [source, given] = [source.raw(), options.raw()].map(|value| Value { env: raw, raw: value });
        duplex::iterate(raw, source, given, || self.stream(given)).map(Value::unknown).map_err(|failure| throw(raw, failure))
    }

    /// The native half of `decide`. Internal.
    #[napi(skip_typescript)]
    pub fn decide_for<'env>(&self, env: Env, item: Unknown<'env>, complexity: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let raw = env.raw();
        let [item, complexity] = [item.raw(), complexity.raw()].map(|value| Value { env: raw, raw: value });
        let decided = self.decision(item, complexity).and_then(|about| Ok(json(raw, about)?));
        decided.map(Value::unknown).map_err(|failure| throw(raw, failure))
    }

    /// Has a function told `(name, about)` of what happens; nobody, without one. Internal.
    #[napi(skip_typescript)]
    pub fn listen(&self, env: Env, function: Unknown<'_>) -> napi::Result<()> {
        let value = Value { env: env.raw(), raw: function.raw() };
        let listener = if value.is_undefined() { Ok(None) } else { Function::keep(value).map(|function| Some(Arc::new(function))) };
        let listener = listener.map_err(|thrown| throw(env.raw(), thrown.into()))?;
        self.router.listen(listener.map(|function| Arc::new(JsListener(function)) as Arc<dyn Listener>));
        Ok(())
    }

    /// Ends a session on both sides.
    #[napi(ts_args_type = "sessionId: string", ts_return_type = "Promise<void>")]
    pub fn close_session<'env>(&self, env: Env, session_id: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let session = session_of(Value { env: env.raw(), raw: session_id.raw() });
        let closing = session.map(|session| self.router.close_session(&session));
        settle(env.raw(), async move {
            closing?.await;
            Ok(())
        })
    }

    /// The router's figures and those of both sides; the table of names and units is in docs/metrics.md.
    #[napi(ts_return_type = "RouterMetrics")]
    pub fn metrics<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        json(env.raw(), Json::Object(self.router.metrics())).map(Value::unknown).map_err(|thrown| throw(env.raw(), thrown.into()))
    }

    /// What it has learned, for another router's `warmStart`.
    #[napi(ts_return_type = "Record<string, Json>")]
    pub fn export_state<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        json(env.raw(), self.router.export()).map(Value::unknown).map_err(|thrown| throw(env.raw(), thrown.into()))
    }

    /// Stops all work and cleans both sides up. Idempotent. Afterwards `process` fails with `ERR_CLOSED`.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn cleanup<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        self.open.cancel();
        let done = self.router.cleanup();
        settle(env.raw(), async move {
            done.await;
            Ok(())
        })
    }
}
