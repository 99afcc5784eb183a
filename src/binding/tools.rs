//! Functions beside the classes: what runs here, what a module is, and compiling ahead.

use napi::bindgen_prelude::*;
use napi_derive::napi;
use serde_json::json;

use super::error::{Outcome, throw};
use super::options;
use super::promise::Deferred;
use super::value::Value;
use crate::engine::{self, CompileReport, Extern, ModuleReport};

/// Versions, abilities and state of the engine in this process.
#[napi(ts_return_type = "RuntimeInfo")]
pub fn runtime_info<'env>(env: Env) -> napi::Result<Unknown<'env>> {
    let report = engine::runtime_report();
    let text = json!({
        "version": report.version,
        "engine": "WasmEdge",
        "wasmedgeVersion": report.wasmedge,
        "nativeCode": report.native,
        "signalHandlersIntact": report.handlers_intact,
        "cpuFeatures": report.cpu_features,
        "parallelism": report.parallelism,
        "guestThreads": report.threads,
        "cacheFolder": report.cache_folder,
        "cache": {
            "memoryHits": report.cache.memory_hits,
            "diskHits": report.cache.disk_hits,
            "compiled": report.cache.compiled,
            "failed": report.cache.failed,
        },
        "platform": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
    });
    Value::from_json(env.raw(), &text.to_string()).map(Value::unknown).map_err(|thrown| throw(env.raw(), thrown.into()))
}

/// Compiles a module into the cache, so that nodes start with compiled code at once.
///
/// @throws `NodeError` `ERR_MODULE_NOT_FOUND`, `ERR_MODULE_INVALID`.
#[napi(ts_args_type = "module: string | URL | Uint8Array, options?: CompileOptions", ts_return_type = "Promise<CompiledModule>")]
pub fn compile_module<'env>(env: Env, module: Unknown<'env>, options: Unknown<'env>) -> napi::Result<Unknown<'env>> {
    let raw = env.raw();
    compile(Value { env: raw, raw: module.raw() }, Value { env: raw, raw: options.raw() }).map(Value::unknown).map_err(|failure| throw(raw, failure))
}

fn compile(module: Value, options: Value) -> Outcome<Value> {
    let fuel = options::compile(options)?;
    let source = options::module(module)?;
    let (deferred, promise) = Deferred::new(module.env)?;
    engine::compile_module(source, fuel, move |report| {
        deferred.settle(report, |env, report: CompileReport| {
            let text = json!({
                "sha256": report.sha256,
                "cached": report.cached,
                "durationMs": report.total_ms,
                "artifactBytes": report.artifact_bytes,
            });
            Value::from_json(env, &text.to_string())
        });
    });
    Ok(promise)
}

/// Tells what a module imports, exports and needs, without running it.
///
/// @throws `NodeError` `ERR_MODULE_NOT_FOUND`, `ERR_MODULE_INVALID`.
#[napi(ts_args_type = "module: string | URL | Uint8Array", ts_return_type = "Promise<ModuleInfo>")]
pub fn inspect_module(env: Env, module: Unknown<'_>) -> napi::Result<Unknown<'_>> {
    let raw = env.raw();
    inspect(Value { env: raw, raw: module.raw() }).map(Value::unknown).map_err(|failure| throw(raw, failure))
}

fn inspect(module: Value) -> Outcome<Value> {
    let source = options::module(module)?;
    let (deferred, promise) = Deferred::new(module.env)?;
    engine::inspect_module(source, move |report| {
        deferred.settle(report, |env, report| Value::from_json(env, &describe(&report).to_string()));
    });
    Ok(promise)
}

fn describe(report: &ModuleReport) -> serde_json::Value {
    let signature = |one: &Extern| one.signature.as_ref().map(ToString::to_string);
    let declared = &report.declared;
    let imports = declared.imports.iter().zip(&report.grants).map(|(import, grant)| {
        json!({ "module": import.module, "name": import.name, "kind": import.kind, "signature": signature(import), "grant": grant })
    });
    let exports = declared.exports.iter().map(|export| json!({ "name": export.name, "kind": export.kind, "signature": signature(export) }));
    json!({
        "sha256": report.sha256,
        "bytes": report.bytes,
        "functions": declared.functions,
        "memory": { "minBytes": declared.memory_pages * 65_536, "maxBytes": declared.memory_max_pages.map(|pages| pages * 65_536) },
        "imports": imports.collect::<Vec<_>>(),
        "exports": exports.collect::<Vec<_>>(),
        "abi": declared.function("process").is_some(),
    })
}

/// Plays the compiler's process: `node js/compile-child.js` calls it with the arguments that the engine gave. Internal.
#[napi(skip_typescript)]
pub fn compile_child(args: Vec<String>) -> i32 {
    engine::child_main(&args.into_iter().map(Into::into).collect::<Vec<_>>())
}

/// The figures of every node, client and router of this process, and the machine's. Internal to `getMetrics`.
#[napi(skip_typescript)]
pub fn process_metrics(env: Env) -> napi::Result<Unknown<'static>> {
    let text = crate::observe::snapshot().to_string();
    Value::from_json(env.raw(), &text).map(Value::unknown).map_err(|thrown| throw(env.raw(), thrown.into()))
}
