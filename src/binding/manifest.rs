//! Manifests for `Pipeline.fromManifest` and `toManifest` (`js/manifest.js`): read, checked and sorted here, made into nodes there.

use std::path::{Path, PathBuf};

use napi::bindgen_prelude::*;
use napi_derive::napi;
use serde_json::json;

use super::error::{Outcome, throw};
use super::options;
use super::remote_calls::json as to_js;
use super::value::Value;
use crate::data::Value as Json;
use crate::error::Error;
use crate::pipeline::manifest::{LoadBalance, Manifest, RemotePipelineParams};
use crate::remote::Token;

/// What a caller means by a text: a manifest, where it can be nothing else, or the path of one.
fn read(value: Value) -> Outcome<(Manifest, Option<PathBuf>)> {
    if let Some(text) = value.text() {
        if text.trim_start().starts_with('{') || text.contains('\n') {
            return Ok((Manifest::parse(&text)?, None));
        }
        let path = PathBuf::from(text);
        return Ok((Manifest::read(&path)?, path.parent().map(Path::to_path_buf)));
    }
    Ok((Manifest::from_value(options::json(value, "manifest")?)?, None))
}

/// The manifest, its nodes in an order in which they can run, and how they are connected.
fn describe(value: Value) -> Outcome<Json> {
    let (manifest, folder) = read(value)?;
    let graph = manifest.graph()?;
    let order = graph.order();
    let mut place = vec![0; order.len()];
    for (position, index) in order.iter().enumerate() {
        place[*index] = position;
    }
    let successors: Vec<Vec<_>> = order.iter().map(|index| graph.successors(*index).iter().map(|next| place[*next]).collect()).collect();
    let outputs: Vec<_> = manifest.output_nodes(&graph).into_iter().map(|index| place[index]).collect();
    let names: Vec<_> = order.iter().map(|index| graph.id(*index)).collect();
    Ok(json!({
        "manifest": manifest.to_value(), "order": order, "graph": { "successors": successors, "outputs": outputs, "names": names },
        "folder": folder.map(|folder| folder.to_string_lossy().into_owned()),
    }))
}

/// The options of a `RemoteObjectNode` that does what a `RemotePipelineNode` with these parameters is to do.
fn remote_pipeline(params: Value, path: &str) -> Outcome<Json> {
    let Json::Object(params) = options::json(params, path)? else { return Err(Error::config(path, "must be an object").into()) };
    let read = RemotePipelineParams::read(&params, path, &|name| std::env::var(name).ok())?;
    let mut options = json!({
        "endpoints": read.endpoints, "api": "v1", "manifest": read.manifest.to_value(), "timeout": read.timeout.as_secs_f64(),
        "maxRetries": read.retry.max_retries, "metadata": read.metadata.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "circuitBreaker": {
            "failureThreshold": read.circuit_breaker.failure_threshold, "successThreshold": read.circuit_breaker.success_threshold,
            "resetTimeoutMs": read.circuit_breaker.reset_timeout.as_secs_f64() * 1e3,
        },
        "balance": match read.load_balance_strategy {
            LoadBalance::RoundRobin => "round-robin",
            // Two at random and the one that has less to do: closer to what is asked for than a blind choice.
            LoadBalance::LeastConnections | LoadBalance::Random => "least-requests",
        },
    });
    if let Some(health) = read.health_check {
        options["healthWatch"] = json!({ "intervalMs": health.interval.as_secs_f64() * 1e3 });
    }
    if let Some(Token::Fixed(token)) = read.auth_token {
        options["authToken"] = token.into();
    }
    Ok(options)
}

/// Reads a manifest: text, a path or an object. Internal.
#[napi(skip_typescript)]
pub fn read_manifest(env: Env, manifest: Unknown<'_>) -> napi::Result<Unknown<'_>> {
    let raw = env.raw();
    let described = describe(Value { env: raw, raw: manifest.raw() }).and_then(|about| Ok(to_js(raw, about)?));
    described.map(Value::unknown).map_err(|failure| throw(raw, failure))
}

/// Checks an object as a manifest and writes it, as YAML or as an object of JSON. Internal.
#[napi(skip_typescript)]
pub fn write_manifest(env: Env, manifest: Unknown<'_>, yaml: bool) -> napi::Result<Unknown<'_>> {
    let raw = env.raw();
    let write = || -> Outcome<Value> {
        let manifest = Manifest::from_value(options::json(Value { env: raw, raw: manifest.raw() }, "manifest")?)?;
        Ok(if yaml { Value::string(raw, &manifest.to_yaml()?)? } else { to_js(raw, manifest.to_value())? })
    };
    write().map(Value::unknown).map_err(|failure| throw(raw, failure))
}

/// Parameters of a `RemotePipelineNode` as options of a `RemoteObjectNode`. Internal.
#[napi(skip_typescript)]
pub fn remote_pipeline_options(env: Env, params: Unknown<'_>, path: String) -> napi::Result<Unknown<'_>> {
    let raw = env.raw();
    let options = remote_pipeline(Value { env: raw, raw: params.raw() }, &path).and_then(|options| Ok(to_js(raw, options)?));
    options.map(Value::unknown).map_err(|failure| throw(raw, failure))
}
