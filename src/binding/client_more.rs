//! `RemoteExecutionClient`: objects, generators, pipelines, manifests, and what a service says about itself.

use std::future::Future;
use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::client::{RemoteExecutionClient, call_options, object_of};
use super::convert;
use super::duplex;
use super::error::{Outcome, throw};
use super::options::{self, ProcessOptions, Reader};
use super::remote_calls::{self, json, nothing, promise};
use super::remote_options;
use super::settle::Ticket;
use super::value::{Element, Type, Value};
use crate::data::{Map, Packet, Value as Json};
use crate::error::{Error, Result};
use crate::remote::{CustomTask, MethodCall, MethodResult, ObjectSource, PayloadFormat, RemoteStream, Scope};

/// An argument that must be a text.
fn text(value: Value, path: &'static str) -> Outcome<String> {
    let wrong = || Error::config(path, format!("must be a string, got {}", value.get_type().name()));
    Ok(value.text().filter(|text| !text.is_empty()).ok_or_else(wrong)?)
}

/// A text that may be left out.
fn optional_text(value: Value, path: &'static str) -> Outcome<Option<String>> {
    if matches!(value.get_type(), Type::Undefined | Type::Null) { Ok(None) } else { text(value, path).map(Some) }
}

fn bytes(reader: &mut Reader, key: &'static str) -> Outcome<Option<bytes::Bytes>> {
    let Some(value) = reader.any(key)? else { return Ok(None) };
    match value.typed_array() {
        Some((Element::U8, bytes)) => Ok(Some(bytes.to_vec().into())),
        _ => Err(reader.wrong(key, "a Uint8Array", value).into()),
    }
}

/// An object on the remote: the session that names it, or the code package that makes it.
pub(super) fn object(value: Value) -> Outcome<ObjectSource> {
    if let Some(session) = value.text() {
        return Ok(ObjectSource::Session(session));
    }
    let mut reader = Reader::new(value, "object")?;
    let code = bytes(&mut reader, "codePackage")?;
    let dependencies = reader.texts("dependencies")?;
    reader.finish()?;
    let code = code.ok_or_else(|| Error::config("object", "must be a session id, or an object with codePackage"))?;
    Ok(ObjectSource::Package { code, dependencies })
}

/// A method with its arguments, and the options of the call: those of `process`, `kwargs`, `format` and `batchSize`.
fn method(name: Value, args: Value, given: Value) -> Outcome<(MethodCall, Option<u32>, ProcessOptions)> {
    let mut call = MethodCall { method: text(name, "method")?, ..MethodCall::default() };
    if !args.is_undefined() {
        if !args.is_array() {
            return Err(Error::config("args", format!("must be an array, got {}", args.get_type().name())).into());
        }
        for index in 0..args.length() {
            call.args.push(convert::item(args.at(index)?)?);
        }
    }
    let mut reader = Reader::new(given, "")?;
    call.format = remote_options::format(&mut reader)?;
    call.kwargs = remote_options::parameters(&mut reader, "kwargs")?;
    let batch = reader.number("batchSize")?.map(|size| {
        let whole = (size.fract() == 0.0 && (1.0..=10_000.0).contains(&size)).then_some(size as u32);
        whole.ok_or_else(|| Error::config("batchSize", format!("must be a whole number from 1 to 10000, got {size}")))
    });
    let process = options::process_in(&mut reader)?;
    reader.finish()?;
    Ok((call, batch.transpose()?, process))
}

/// A method's result as a packet; what else it gave is in the metadata, where JavaScript takes it out again.
fn described(result: MethodResult) -> Packet {
    let mut packet = result.output;
    let mut metadata = packet.metadata.as_ref().map_or_else(Map::new, |metadata| (**metadata).clone());
    metadata.insert("rm.session".into(), result.session.into());
    if let Some(generator) = result.generator {
        metadata.insert("rm.generator".into(), generator.into());
    }
    packet.metadata = Some(Arc::new(metadata));
    packet
}

impl RemoteExecutionClient {
    /// One answer that is a packet, to the slot `ticket`.
    fn answer<F>(&self, env: napi::sys::napi_env, ticket: u32, given: ProcessOptions, ask: impl FnOnce(Scope) -> F) -> Outcome<()>
    where
        F: Future<Output = Result<Packet>> + Send + 'static,
    {
        let (scope, _, has_signal) = remote_calls::scope(given);
        let stop = has_signal.then(|| scope.cancel.clone());
        let work = ask(scope);
        self.stops().run(Ticket::new(env, ticket)?, stop, async move { Ok(vec![work.await?]) })
    }

    /// One answer that is JSON.
    fn told<'env, F>(env: Env, work: Outcome<F>) -> napi::Result<Unknown<'env>>
    where
        F: Future<Output = Result<Json>> + Send + 'static,
    {
        work.and_then(|work| promise(env.raw(), work, json)).map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }

    /// An iterator over a stream of packets.
    fn streamed<'env>(
        env: Env,
        source: Value,
        given: Value,
        open: impl FnOnce() -> Outcome<(ProcessOptions, Box<dyn FnOnce(Scope) -> RemoteStream>)>,
    ) -> napi::Result<Unknown<'env>> {
        let made = duplex::iterate(env.raw(), source, given, || {
            let (process, open) = open()?;
            Ok(Self::duplex(process, open))
        });
        made.map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }
}

fn values<const N: usize>(env: Env, given: [&Unknown<'_>; N]) -> [Value; N] {
    given.map(|value| Value { env: env.raw(), raw: value.raw() })
}

/// `{ format, process options }` around a payload.
type Options = (PayloadFormat, ProcessOptions);

#[napi]
impl RemoteExecutionClient {
    /// The native half of `executeObjectMethod`. Internal.
    #[napi(skip_typescript)]
    pub fn submit_method(
        &self,
        env: Env,
        ticket: u32,
        object_: Unknown<'_>,
        method_: Unknown<'_>,
        args: Unknown<'_>,
        options: Unknown<'_>,
    ) -> napi::Result<()> {
        let [source, name, args, given] = values(env, [&object_, &method_, &args, &options]);
        let done = object(source).and_then(|source| {
            let (call, _, process) = method(name, args, given)?;
            let client = self.client.clone();
            self.answer(env.raw(), ticket, process, |scope| async move { client.execute_object_method(&source, &call, &scope).await.map(described) })
        });
        done.map_err(|failure| throw(env.raw(), failure))
    }

    /// The native half of `executePipeline`. Internal.
    #[napi(skip_typescript)]
    pub fn submit_pipeline(&self, env: Env, ticket: u32, id: Unknown<'_>, item: Unknown<'_>, options: Unknown<'_>) -> napi::Result<()> {
        let [id, item, given] = values(env, [&id, &item, &options]);
        let done = text(id, "pipelineId").and_then(|id| {
            let ((format, process), packet): (Options, _) = (call_options(given)?, convert::item(item)?);
            let client = self.client.clone();
            self.answer(env.raw(), ticket, process, |scope| async move { client.execute_pipeline(&id, format, packet, &scope).await })
        });
        done.map_err(|failure| throw(env.raw(), failure))
    }

    /// The native half of `executeManifest`. Internal.
    #[napi(skip_typescript)]
    pub fn submit_manifest(&self, env: Env, ticket: u32, manifest: Unknown<'_>, item: Unknown<'_>, options: Unknown<'_>) -> napi::Result<()> {
        let [manifest, item, given] = values(env, [&manifest, &item, &options]);
        let done = options::json(manifest, "manifest").and_then(|manifest| {
            let ((_, process), packet): (Options, _) = (call_options(given)?, convert::item(item)?);
            let client = self.client.clone();
            self.answer(env.raw(), ticket, process, |scope| async move { client.execute_manifest(&manifest, packet, &scope).await })
        });
        done.map_err(|failure| throw(env.raw(), failure))
    }

    /// The native half of `executeCustomTask`. Internal.
    #[napi(skip_typescript)]
    pub fn submit_task(&self, env: Env, ticket: u32, task: Unknown<'_>, item: Unknown<'_>, options: Unknown<'_>) -> napi::Result<()> {
        let [task, item, given] = values(env, [&task, &item, &options]);
        let done = (|| {
            let mut reader = Reader::new(task, "task")?;
            let missing = |key: &str| Error::config(format!("task.{key}"), "must be given");
            let task = CustomTask {
                code_package: bytes(&mut reader, "codePackage")?.ok_or_else(|| missing("codePackage"))?,
                entry_point: reader.string("entryPoint")?.ok_or_else(|| missing("entryPoint"))?,
                dependencies: reader.texts("dependencies")?,
            };
            reader.finish()?;
            let ((format, process), packet): (Options, _) = (call_options(given)?, convert::item(item)?);
            let client = self.client.clone();
            self.answer(env.raw(), ticket, process, |scope| async move { client.execute_custom_task(&task, format, packet, &scope).await })
        })();
        done.map_err(|failure| throw(env.raw(), failure))
    }

    /// Streams items through the `process` of an object on the service: one that `executeObjectMethod` made, by its session, or a new one.
    #[napi(ts_args_type = "object: string | CodePackage, source: Source, options?: CallOptions", ts_return_type = "PacketIterator")]
    pub fn stream_object<'env>(
        &self,
        env: Env,
        object_: Unknown<'env>,
        source: Unknown<'env>,
        options: Unknown<'env>,
    ) -> napi::Result<Unknown<'env>> {
        let [of, source, given] = values(env, [&object_, &source, &options]);
        let client = self.client.clone();
        Self::streamed(env, source, given, move || {
            let (of, (format, process)) = (object(of)?, call_options(given)?);
            Ok((process, Box::new(move |scope| client.stream_object(&of, format, scope))))
        })
    }

    /// The values of a generator method of an object on the service, read `batchSize` (10) at a time and closed whatever happens.
    #[napi(
        ts_args_type = "sessionId: string, method: string, args?: Item[], options?: MethodOptions & { batchSize?: number }",
        ts_return_type = "PacketIterator"
    )]
    pub fn generator<'env>(
        &self,
        env: Env,
        session_id: Unknown<'env>,
        method_: Unknown<'env>,
        args: Unknown<'env>,
        options: Unknown<'env>,
    ) -> napi::Result<Unknown<'env>> {
        let [session, name, args, given] = values(env, [&session_id, &method_, &args, &options]);
        let client = self.client.clone();
        let nothing = Value::array(env.raw(), 0).map_err(|thrown| throw(env.raw(), thrown.into()))?;
        Self::streamed(env, nothing, given, move || {
            let session = text(session, "sessionId")?;
            let (call, batch, process) = method(name, args, given)?;
            Ok((process, Box::new(move |scope| client.generator(&session, &call, batch, scope))))
        })
    }

    /// Lets the service drop an object, with everything that it holds.
    #[napi(ts_args_type = "sessionId: string", ts_return_type = "Promise<void>")]
    pub fn release_object<'env>(&self, env: Env, session_id: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let [session] = values(env, [&session_id]);
        let client = self.client.clone();
        let done = text(session, "sessionId")
            .and_then(|session| promise(env.raw(), async move { client.release_object(&session, &Scope::default()).await }, nothing));
        done.map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }

    /// Keeps a pipeline on the service: `{ name, nodes: [{ nodeId, nodeType, config? }], connections?, config?, metadata?, dependencies? }`.
    #[napi(ts_args_type = "definition: Record<string, Json>", ts_return_type = "Promise<{ pipelineId: string; registeredTimestamp: number }>")]
    pub fn register_pipeline<'env>(&self, env: Env, definition: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let [definition] = values(env, [&definition]);
        let client = self.client.clone();
        let work = object_of(definition, "definition")
            .map(|definition| async move { client.register_pipeline(&Json::Object(definition), &Scope::default()).await });
        Self::told(env, work)
    }

    /// Forgets a pipeline of the service.
    #[napi(ts_args_type = "pipelineId: string", ts_return_type = "Promise<void>")]
    pub fn unregister_pipeline<'env>(&self, env: Env, pipeline_id: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let [id] = values(env, [&pipeline_id]);
        let client = self.client.clone();
        let done = text(id, "pipelineId")
            .and_then(|id| promise(env.raw(), async move { client.unregister_pipeline(&id, &Scope::default()).await }, nothing));
        done.map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }

    /// The pipelines that the service keeps.
    #[napi(ts_args_type = "category?: string", ts_return_type = "Promise<Record<string, any>[]>")]
    pub fn list_pipelines<'env>(&self, env: Env, category: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let [category] = values(env, [&category]);
        let client = self.client.clone();
        let work =
            optional_text(category, "category").map(|category| async move { client.list_pipelines(category.as_deref(), &Scope::default()).await });
        Self::told(env, work)
    }

    /// What the service knows about a pipeline.
    #[napi(ts_args_type = "pipelineId: string", ts_return_type = "Promise<Record<string, any>>")]
    pub fn get_pipeline_info<'env>(&self, env: Env, pipeline_id: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let [id] = values(env, [&pipeline_id]);
        let client = self.client.clone();
        Self::told(env, text(id, "pipelineId").map(|id| async move { client.get_pipeline_info(&id, &Scope::default()).await }))
    }

    /// Streams items through a pipeline of the service.
    #[napi(ts_args_type = "pipelineId: string, source: Source, options?: CallOptions", ts_return_type = "PacketIterator")]
    pub fn stream_pipeline<'env>(
        &self,
        env: Env,
        pipeline_id: Unknown<'env>,
        source: Unknown<'env>,
        options: Unknown<'env>,
    ) -> napi::Result<Unknown<'env>> {
        let [id, source, given] = values(env, [&pipeline_id, &source, &options]);
        let client = self.client.clone();
        Self::streamed(env, source, given, move || {
            let (id, (format, process)) = (text(id, "pipelineId")?, call_options(given)?);
            Ok((process, Box::new(move |scope| client.stream_pipeline(&id, format, scope))))
        })
    }

    /// Streams items through a pipeline that the manifest describes (protocol v1).
    #[napi(ts_args_type = "manifest: Record<string, Json>, source: Source, options?: CallOptions", ts_return_type = "PacketIterator")]
    pub fn stream_manifest<'env>(
        &self,
        env: Env,
        manifest: Unknown<'env>,
        source: Unknown<'env>,
        options: Unknown<'env>,
    ) -> napi::Result<Unknown<'env>> {
        let [manifest, source, given] = values(env, [&manifest, &source, &options]);
        let client = self.client.clone();
        Self::streamed(env, source, given, move || {
            let (manifest, (_, process)) = (options::json(manifest, "manifest")?, call_options(given)?);
            Ok((process, Box::new(move |scope| client.stream_manifest(&manifest, scope))))
        })
    }

    /// The node types that the service offers.
    #[napi(ts_args_type = "category?: string", ts_return_type = "Promise<RemoteNodeInfo[]>")]
    pub fn list_nodes<'env>(&self, env: Env, category: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let [category] = values(env, [&category]);
        let client = self.client.clone();
        let work = optional_text(category, "category").map(|category| async move { client.list_nodes(category.as_deref(), &Scope::default()).await });
        Self::told(env, work)
    }

    /// How the service is (protocol v0).
    #[napi(ts_args_type = "options?: { includeMetrics?: boolean; includeSessions?: boolean }", ts_return_type = "Promise<Record<string, any>>")]
    pub fn get_status<'env>(&self, env: Env, options: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let [given] = values(env, [&options]);
        let client = self.client.clone();
        let work = Reader::new(given, "").and_then(|mut reader| {
            let (metrics, sessions) = (reader.boolean("includeMetrics")?, reader.boolean("includeSessions")?);
            reader.finish()?;
            Ok(async move { client.get_status(metrics, sessions, &Scope::default()).await })
        });
        Self::told(env, work)
    }

    /// What the service says about its nodes for code generators (protocol v0).
    #[napi(ts_return_type = "Promise<Record<string, any>>")]
    pub fn export_type_script_definitions<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        let client = self.client.clone();
        Self::told(env, Ok(async move { client.export_definitions(&Scope::default()).await }))
    }

    /// Versions and node types of the service (protocol v1).
    #[napi(ts_return_type = "Promise<Record<string, any>>")]
    pub fn get_version<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        let client = self.client.clone();
        Self::told(env, Ok(async move { client.get_version(&Scope::default()).await }))
    }
}
