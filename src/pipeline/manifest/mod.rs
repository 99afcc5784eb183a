//! RemoteMedia's pipeline manifests, version v1: read, check, write, and the graph that they describe.
//!
//! Problem: a pipeline comes as YAML or JSON from somewhere else; a mistake in it should be named by its place before anything starts, and a
//! tool that reads it and writes it back must not lose what it does not know. Answer: [`Manifest`] keeps every field, those that are unknown
//! as they are, and what was read has been checked: [`Graph`] says in which order its nodes run and refuses circles,
//! [`Graph::check_kinds`] refuses connections that cannot carry anything, [`RemotePipelineParams`] reads the one node type whose parameters
//! hold a pipeline. It creates no nodes, connects to nothing, and reads no file but the one that [`Manifest::read`] is given.

mod execution;
mod fields;
mod graph;
mod kinds;
mod node;
mod remote;
mod text;

use std::path::Path;

use serde_json::{Map, Value};

pub use execution::{Execution, Placement, RuntimeHint, Side};
pub use graph::Graph;
pub use kinds::{KindSet, Ports};
pub use node::ManifestNode;
pub use remote::{CircuitBreaker, HealthCheck, LoadBalance, REMOTE_PIPELINE_NODE, RemotePipelineParams, Retry};

use crate::error::{Error, Result};
use fields::{Fields, mismatch};

/// Longest text, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Most levels of objects and arrays.
pub const MAX_DEPTH: usize = 64;
/// Most nodes of one manifest.
pub const MAX_NODES: usize = 10_000;
/// Most connections of one manifest.
pub const MAX_CONNECTIONS: usize = 50_000;
/// Longest id and node type, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// How many manifests may be inside each other, the outermost included.
pub const MAX_NESTING: usize = 4;

/// The only version there is.
const VERSION: &str = "v1";

/// A pipeline as text has it.
///
/// Whatever [`Manifest::parse`], [`Manifest::from_value`] and [`Manifest::read`] return has been checked; one that a program puts together is
/// checked by [`Manifest::graph`], as far as ids and connections go.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Always `v1`.
    pub version: String,
    /// What people want to know of it.
    pub metadata: Metadata,
    /// At least one.
    pub nodes: Vec<ManifestNode>,
    /// Between nodes, none twice.
    pub connections: Vec<Connection>,
    /// What RemoteMedia's Python nodes need; nothing here reads it.
    pub python_env: Option<Value>,
    /// Other fields, such as `plugins`.
    pub rest: Map<String, Value>,
}

/// What people want to know of a pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Its name.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// When it was written, as whoever wrote it has put it.
    pub created_at: Option<String>,
    /// Whether RemoteMedia may put converters between nodes; `false` by default. Nothing here does that.
    pub auto_negotiate: bool,
    /// Other fields.
    pub rest: Map<String, Value>,
}

/// One node's output is another's input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    /// Id of the node that puts out.
    pub from: String,
    /// Id of the node that takes in.
    pub to: String,
    /// Other fields, such as the names of ports.
    pub rest: Map<String, Value>,
}

impl Manifest {
    /// A manifest of these, with nothing else set.
    pub fn new(nodes: Vec<ManifestNode>, connections: Vec<Connection>) -> Self {
        Self { version: VERSION.to_owned(), metadata: Metadata::default(), nodes, connections, python_env: None, rest: Map::new() }
    }

    /// Reads a text: JSON where it starts with `{`, else YAML. Every problem is `ERR_CONFIG` with its place in the manifest; one of the text
    /// as a whole is at `manifest` and says line and column.
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_value(text::value(text)?)
    }

    /// Reads a file. Problems are as of [`Manifest::parse`] and name the file; so does the one of a file that cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&text::file(path)?).map_err(|error| {
            let at = error.path().unwrap_or_default();
            let problem = error.message().strip_prefix(at).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(error.message());
            Error::config(at, format!("{problem} ({})", path.display()))
        })
    }

    /// Reads a value. Fields may be spelled as in files (`node_type`) or as in JavaScript (`nodeType`); unknown ones are kept.
    pub fn from_value(value: Value) -> Result<Self> {
        if !is_within(&value, MAX_DEPTH) {
            return Err(Error::config("manifest", format!("has more than {MAX_DEPTH} levels")));
        }
        let manifest = Self::nested(value, 1)?;
        manifest.graph()?.check_kinds(&manifest.ports()?)?;
        Ok(manifest)
    }

    /// Reads a manifest that is the `level`th, counted from the outermost. Kinds are left open: a remote may put converters in.
    fn nested(value: Value, level: usize) -> Result<Self> {
        let mut root = Fields::root(value)?;
        match root.take("version")? {
            Some(Value::String(version)) if version == VERSION => {}
            other => return Err(mismatch("version", "'v1'", other.as_ref())),
        }
        let metadata = root.fields("metadata")?.ok_or_else(|| mismatch("metadata", "an object, which may be empty", None))?;
        let metadata = Metadata::read(metadata)?;
        let nodes = root.list("nodes", MAX_NODES)?.ok_or_else(|| mismatch("nodes", "an array", None))?;
        if nodes.is_empty() {
            return Err(Error::config("nodes", "must have a node at least"));
        }
        let nodes = nodes.into_iter().enumerate().map(|(index, node)| ManifestNode::read(node, &format!("nodes.{index}"), level));
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        let connections = root.list("connections", MAX_CONNECTIONS)?.ok_or_else(|| mismatch("connections", "an array, which may be empty", None))?;
        let connections = connections.into_iter().enumerate().map(|(index, value)| Connection::read(value, &format!("connections.{index}")));
        let connections = connections.collect::<Result<Vec<_>>>()?;
        let python_env = root.take("python_env")?;
        let manifest = Self { version: VERSION.to_owned(), metadata, nodes, connections, python_env, rest: root.rest() };
        manifest.graph()?;
        Ok(manifest)
    }

    /// The nodes' order and neighbours, by their index in [`Manifest::nodes`].
    pub fn graph(&self) -> Result<Graph> {
        let ids: Vec<_> = self.nodes.iter().map(|node| node.id.as_str()).collect();
        let connections: Vec<_> = self.connections.iter().map(|connection| (connection.from.as_str(), connection.to.as_str())).collect();
        Graph::new(&ids, &connections)
    }

    /// What each node says about the kinds that it takes in and puts out.
    pub fn ports(&self) -> Result<Vec<Ports>> {
        self.nodes.iter().enumerate().map(|(index, node)| Ports::of(node, &format!("nodes.{index}"))).collect()
    }

    /// The nodes whose output leaves the pipeline, by index: those that lead to no other, and those that say so of themselves.
    pub fn output_nodes(&self, graph: &Graph) -> Vec<usize> {
        let leaves = |index: &usize| self.nodes[*index].is_output_node || graph.successors(*index).is_empty();
        (0..self.nodes.len()).filter(leaves).collect()
    }

    /// As a value, fields in a fixed order and spelled as in files, only those that are set.
    pub fn to_value(&self) -> Value {
        let mut out = Map::new();
        out.insert("version".to_owned(), self.version.as_str().into());
        out.insert("metadata".to_owned(), self.metadata.to_value());
        out.insert("nodes".to_owned(), self.nodes.iter().map(ManifestNode::to_value).collect());
        out.insert("connections".to_owned(), self.connections.iter().map(Connection::to_value).collect());
        put(&mut out, "python_env", self.python_env.clone());
        add(&mut out, &self.rest);
        Value::Object(out)
    }

    /// As YAML, in the same order.
    pub fn to_yaml(&self) -> Result<String> {
        text::yaml(&self.to_value())
    }
}

impl Metadata {
    fn read(mut fields: Fields) -> Result<Self> {
        Ok(Self {
            name: fields.text("name")?,
            description: fields.text("description")?,
            created_at: fields.text("created_at")?,
            auto_negotiate: fields.flag("auto_negotiate")?,
            rest: fields.rest(),
        })
    }

    fn to_value(&self) -> Value {
        let mut out = Map::new();
        put(&mut out, "name", self.name.clone());
        put(&mut out, "description", self.description.clone());
        put(&mut out, "created_at", self.created_at.clone());
        put(&mut out, "auto_negotiate", self.auto_negotiate.then_some(true));
        add(&mut out, &self.rest);
        Value::Object(out)
    }
}

impl Connection {
    /// From one node to another.
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { from: from.into(), to: to.into(), rest: Map::new() }
    }

    fn read(value: Value, path: &str) -> Result<Self> {
        let mut fields = Fields::new(value, path)?;
        Ok(Self { from: fields.name("from", MAX_NAME_BYTES)?, to: fields.name("to", MAX_NAME_BYTES)?, rest: fields.rest() })
    }

    fn to_value(&self) -> Value {
        let mut out = Map::new();
        put(&mut out, "from", Some(self.from.as_str()));
        put(&mut out, "to", Some(self.to.as_str()));
        add(&mut out, &self.rest);
        Value::Object(out)
    }
}

/// Writes a field that is set.
fn put(out: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        out.insert(key.to_owned(), value.into());
    }
}

/// Writes the fields that are not known; they never hide one that is.
fn add(out: &mut Map<String, Value>, rest: &Map<String, Value>) {
    for (key, value) in rest {
        out.entry(key).or_insert_with(|| value.clone());
    }
}

/// Whether a value has at most so many levels.
fn is_within(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(list) => levels > 0 && list.iter().all(|value| is_within(value, levels - 1)),
        Value::Object(map) => levels > 0 && map.values().all(|value| is_within(value, levels - 1)),
        _ => true,
    }
}
