//! The native half of a `Pipeline` (`js/pipeline.js` is the other): made when its nodes are known for good.

use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::duplex::{self, NativeDuplex};
use super::error::{Outcome, throw};
use super::options::{self, ProcessOptions, Reader};
use super::remote_calls::{json, nothing, promise};
use super::service_registry::instance;
use super::stage::NativeStage;
use super::value::Value;
use crate::data::{SessionId, Value as Json};
use crate::error::{Code, Error, Result};
use crate::pipeline::{DEFAULT_BUFFER, Node, OnError, Pipeline, PipelineStream, StreamScope};
use crate::remote::CancellationToken;

/// Most items between two nodes: more is surely a mistake of units.
const MAX_BUFFER: f64 = 65_536.0;

/// What a pipeline was told about its streams.
#[derive(Clone, Copy)]
struct Settings {
    buffer: usize,
    on_error: OnError,
}

/// Nodes joined for good. Internal to `Pipeline`.
#[napi]
pub struct NativePipeline {
    pub(super) pipeline: Arc<Pipeline>,
    settings: Settings,
    /// Cancelled with the pipeline: its streams' work ends.
    open: CancellationToken,
}

fn settings(reader: &mut Reader) -> Outcome<Settings> {
    let buffer = match reader.number("bufferSize")? {
        None => DEFAULT_BUFFER,
        Some(size) if size.fract() == 0.0 && (1.0..=MAX_BUFFER).contains(&size) => size as usize,
        Some(size) => return Err(Error::config("bufferSize", format!("must be a whole number from 1 to {MAX_BUFFER}, got {size}")).into()),
    };
    Ok(Settings { buffer, on_error: reader.word("onError", &OnError::WORDS)?.unwrap_or_default() })
}

fn indices(list: Value) -> Outcome<Vec<usize>> {
    let mut indices = Vec::new();
    for index in 0..list.length() {
        indices.push(list.at(index)?.as_number().map_or(0, |number| number as usize));
    }
    Ok(indices)
}

/// `graph` is `{ successors, outputs }`, by index, of nodes that stand behind those that they follow; a chain without it.
fn make(stages: Value, given: Value, graph: Value) -> Outcome<NativePipeline> {
    let mut reader = Reader::new(given, "")?;
    let name = reader.string("name")?.unwrap_or_else(|| "pipeline".to_owned());
    let settings = settings(&mut reader)?;
    reader.finish()?;
    let mut nodes = Vec::new();
    for index in 0..stages.length() {
        let stage = instance::<NativeStage>(stages.at(index)?).ok_or_else(|| Error::config(format!("nodes.{index}"), "must be a node"))?;
        nodes.push(Arc::clone(&stage.node));
    }
    let pipeline = if graph.is_undefined() {
        Pipeline::chain(name, nodes)
    } else {
        let lists = graph.get("successors")?;
        let mut successors = Vec::new();
        for index in 0..lists.length() {
            successors.push(indices(lists.at(index)?)?);
        }
        let (names, texts) = (graph.get("names")?, &mut Vec::new());
        for index in 0..names.length() {
            texts.push(names.at(index)?.text().unwrap_or_default());
        }
        Pipeline::graph(name, nodes, successors, indices(graph.get("outputs")?)?).named(std::mem::take(texts))
    };
    Ok(NativePipeline { pipeline: Arc::new(pipeline), settings, open: CancellationToken::new() })
}

impl NativePipeline {
    fn stream(&self, given: Value) -> Outcome<NativeDuplex> {
        if self.open.is_cancelled() {
            return Err(Error::new(Code::Closed, "the pipeline was cleaned up").in_node(self.pipeline.name()).into());
        }
        self.pipeline.check_kinds()?;
        let mut given = options::process(given)?;
        let metadata = given.metadata.take();
        let Settings { buffer, on_error } = self.settings;
        let scope = StreamScope { on_error, buffer, ..scope(given, &self.open) };
        let session = scope.session.clone();
        Ok(NativeDuplex::new(PipelineStream::new(Arc::clone(&self.pipeline), scope), session, metadata))
    }
}

/// A stream of something that is cancelled with `open`.
pub fn scope(given: ProcessOptions, open: &CancellationToken) -> StreamScope {
    let ProcessOptions { session, timeout, trace, .. } = given;
    StreamScope { timeout, trace, cancel: open.child_token(), ..StreamScope::new(session) }
}

/// The argument of `closeSession`.
pub fn session_of(value: Value) -> Result<SessionId> {
    let wrong = || Error::config("sessionId", format!("must be a string, got {}", value.get_type().name()));
    value.text().ok_or_else(wrong).and_then(|text| SessionId::new(&text))
}

/// A promise of the end of `work`.
pub fn settle<'env>(env: napi::sys::napi_env, work: impl Future<Output = Result<()>> + Send + 'static) -> napi::Result<Unknown<'env>> {
    promise(env, work, nothing).map(Value::unknown).map_err(|failure| throw(env, failure))
}

#[napi]
impl NativePipeline {
    /// Joins `stages`.
    #[napi(constructor)]
    pub fn new(env: Env, stages: Unknown<'_>, options: Unknown<'_>, graph: Unknown<'_>) -> napi::Result<Self> {
        let raw = env.raw();
        let [stages, given, graph] = [stages.raw(), options.raw(), graph.raw()].map(|value| Value { env: raw, raw: value });
        make(stages, given, graph).map_err(|failure| throw(raw, failure))
    }

    /// Makes all nodes ready.
    #[napi]
    pub fn initialize<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        let (pipeline, open) = (Arc::clone(&self.pipeline), self.open.clone());
        settle(env.raw(), async move {
            if open.is_cancelled() {
                return Err(Error::new(Code::Closed, "the pipeline was cleaned up").in_node(pipeline.name()));
            }
            pipeline.check_kinds()?;
            pipeline.initialize().await
        })
    }

    /// Refuses neighbours that have no kind in common.
    #[napi]
    pub fn check(&self, env: Env) -> napi::Result<()> {
        self.pipeline.check_kinds().map_err(|error| throw(env.raw(), error.into()))
    }

    /// An iterator over what leaves the pipeline.
    #[napi]
    pub fn process<'env>(&self, env: Env, source: Unknown<'env>, options: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let raw = env.raw();
        let [source, given] = [source.raw(), options.raw()].map(|value| Value { env: raw, raw: value });
        duplex::iterate(raw, source, given, || self.stream(given)).map(Value::unknown).map_err(|failure| throw(raw, failure))
    }

    /// Ends a session in all nodes.
    #[napi]
    pub fn close_session<'env>(&self, env: Env, session_id: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let session = session_of(Value { env: env.raw(), raw: session_id.raw() });
        let closing = session.map(|session| self.pipeline.close_session(&session));
        settle(env.raw(), async move {
            closing?.await;
            Ok(())
        })
    }

    /// The figures of native nodes.
    #[napi]
    pub fn metrics<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        json(env.raw(), Json::Object(self.pipeline.metrics())).map(Value::unknown).map_err(|thrown| throw(env.raw(), thrown.into()))
    }

    /// Stops all streams and cleans all nodes up.
    #[napi]
    pub fn cleanup<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        self.open.cancel();
        let done = self.pipeline.cleanup();
        settle(env.raw(), async move {
            done.await;
            Ok(())
        })
    }
}
