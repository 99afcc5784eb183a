//! One node of a manifest.
//!
//! Problem: a node's fields are for several readers: the factory that makes it, the router, and RemoteMedia, which knows more of them than
//! are of use here. Answer: [`ManifestNode`] types those that something here asks for and keeps the others as they are. It does not know
//! which node types there are, nor their parameters, with one exception: where [`REMOTE_PIPELINE_NODE`] holds a manifest, that one is
//! checked as well.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::remote::{self, REMOTE_PIPELINE_NODE};
use super::{Execution, MAX_NAME_BYTES, RuntimeHint, add, put};
use crate::error::Result;

/// Most Python packages of one node.
const MAX_DEPS: usize = 1_000;

/// One node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManifestNode {
    /// Unique in its manifest, 1 to 256 bytes.
    pub id: String,
    /// What makes it, 1 to 256 bytes.
    pub node_type: String,
    /// For what makes it; empty by default.
    pub params: Map<String, Value>,
    /// Whether it keeps a generator per stream in RemoteMedia; `false` by default.
    pub is_streaming: bool,
    /// Whether its output leaves the pipeline although other nodes take it; `false` by default.
    pub is_output_node: bool,
    /// Hardware that it needs: `gpu`, `cpu`, `memory_gb`.
    pub capabilities: Option<Map<String, Value>>,
    /// What it takes in and puts out: `inputs` and `outputs`, each an object of constraints by port. Of a constraint, [`super::Ports`] reads
    /// the `type`.
    pub media_capabilities: Option<Map<String, Value>>,
    /// Host that it wants to run on.
    pub host: Option<String>,
    /// Which Python it needs.
    pub runtime_hint: Option<RuntimeHint>,
    /// Where it may run.
    pub execution: Option<Execution>,
    /// Its container.
    pub docker: Option<Value>,
    /// Python packages that it needs.
    pub python_deps: Option<Vec<String>>,
    /// Other fields, such as `fast_path`.
    pub rest: Map<String, Value>,
}

impl ManifestNode {
    /// A node with nothing else set.
    pub fn new(id: impl Into<String>, node_type: impl Into<String>) -> Self {
        Self { id: id.into(), node_type: node_type.into(), ..Self::default() }
    }

    /// Reads a node of a manifest that is the `level`th, counted from the outermost.
    pub(super) fn read(value: Value, path: &str, level: usize) -> Result<Self> {
        let mut fields = Fields::new(value, path)?;
        let node = Self {
            id: fields.name("id", MAX_NAME_BYTES)?,
            node_type: fields.name("node_type", MAX_NAME_BYTES)?,
            params: fields.object("params")?.unwrap_or_default(),
            is_streaming: fields.flag("is_streaming")?,
            is_output_node: fields.flag("is_output_node")?,
            capabilities: fields.object("capabilities")?,
            media_capabilities: fields.object("media_capabilities")?,
            host: fields.text("host")?,
            runtime_hint: fields.word("runtime_hint", &RuntimeHint::WORDS)?,
            execution: fields.fields("execution")?.map(Execution::read).transpose()?,
            docker: fields.take("docker")?,
            python_deps: fields.texts("python_deps", MAX_DEPS)?,
            rest: fields.rest(),
        };
        if node.node_type == REMOTE_PIPELINE_NODE
            && let Some(inner) = node.params.get("manifest").filter(|inner| !inner.is_null())
        {
            remote::manifest(inner.clone(), &format!("{path}.params.manifest"), level + 1)?;
        }
        Ok(node)
    }

    pub(super) fn to_value(&self) -> Value {
        let mut out = Map::new();
        put(&mut out, "id", Some(self.id.as_str()));
        put(&mut out, "node_type", Some(self.node_type.as_str()));
        put(&mut out, "params", (!self.params.is_empty()).then(|| self.params.clone()));
        put(&mut out, "is_streaming", self.is_streaming.then_some(true));
        put(&mut out, "is_output_node", self.is_output_node.then_some(true));
        put(&mut out, "capabilities", self.capabilities.clone());
        put(&mut out, "media_capabilities", self.media_capabilities.clone());
        put(&mut out, "host", self.host.clone());
        put(&mut out, "runtime_hint", self.runtime_hint.map(RuntimeHint::name));
        put(&mut out, "execution", self.execution.as_ref().map(Execution::to_value));
        put(&mut out, "docker", self.docker.clone());
        put(&mut out, "python_deps", self.python_deps.clone());
        add(&mut out, &self.rest);
        Value::Object(out)
    }
}
