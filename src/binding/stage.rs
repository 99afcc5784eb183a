//! Any node as a part of a pipeline or a router: the one place where JavaScript's nodes become the pipeline floor's.

use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::error::{Outcome, throw};
use super::generator::JsGenerator;
use super::pipeline::NativePipeline;
use super::remote_object_node::RemoteObjectNode;
use super::router::IntelligentRouter;
use super::service_registry::instance;
use super::value::{Type, Value};
use super::wasmedge_node::WasmEdgeNode;
use crate::error::Error;
use crate::pipeline::{GeneratorStage, Node, WasmStage};

/// A node as a part of something larger. Internal.
#[napi]
pub struct NativeStage {
    pub(super) node: Arc<dyn Node>,
}

/// The node behind a value: one of ours, or the functions that `face` of `js/node.js` made of the application's.
fn node_of(value: Value, path: &str) -> Outcome<Arc<dyn Node>> {
    if let Some(node) = instance::<WasmEdgeNode>(value) {
        return Ok(Arc::new(WasmStage::new(Arc::clone(&node.node))));
    }
    if let Some(node) = instance::<RemoteObjectNode>(value) {
        return Ok(Arc::clone(&node.stage) as Arc<dyn Node>);
    }
    if let Some(pipeline) = instance::<NativePipeline>(value) {
        return Ok(Arc::clone(&pipeline.pipeline) as Arc<dyn Node>);
    }
    if let Some(router) = instance::<IntelligentRouter>(value) {
        return Ok(Arc::clone(&router.router) as Arc<dyn Node>);
    }
    let face = |key: &str| value.get(key);
    if value.get_type() == Type::Object && face("stream")?.get_type() == Type::Function {
        let name = face("name")?.text().unwrap_or_else(|| path.to_owned());
        return Ok(Arc::new(GeneratorStage::new(JsGenerator::new(name, path, value)?)));
    }
    let given = if value.is_array() { "an array" } else { value.get_type().name() };
    let problem = match value.get_type() {
        Type::Object if !value.is_array() => "must have a method process(source, options)".to_owned(),
        _ => format!("must be a node: an object with process(source, options) or a generator function, got {given}"),
    };
    Err(Error::config(path, problem).into())
}

#[napi]
impl NativeStage {
    /// The node behind `node`; `path` is where the caller gave it.
    #[napi(constructor)]
    pub fn new(env: Env, node: Unknown<'_>, path: String) -> napi::Result<Self> {
        let raw = env.raw();
        node_of(Value { env: raw, raw: node.raw() }, &path).map(|node| Self { node }).map_err(|failure| throw(raw, failure))
    }

    /// Its name.
    #[napi(getter)]
    pub fn name(&self) -> String {
        self.node.name().to_owned()
    }
}
