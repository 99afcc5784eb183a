//! RemoteMedia's pipeline manifests as protocol v1 has them.
//!
//! Keys are read as the YAML and JSON files spell them (`node_type`) and as JavaScript does (`nodeType`); keys that are not known are ignored,
//! as RemoteMedia does. What is wrong is named by its path below `manifest`.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::NodeTarget;
use crate::error::{Error, Result};
use crate::remote::pb::v1;

/// A pipeline of one node.
pub fn single(target: &NodeTarget) -> v1::PipelineManifest {
    let node = v1::NodeManifest {
        id: "node".to_owned(),
        node_type: target.node_type.clone(),
        params: Value::Object(target.config.clone()).to_string(),
        ..Default::default()
    };
    let metadata = v1::ManifestMetadata { name: target.node_type.clone(), ..Default::default() };
    v1::PipelineManifest { version: "v1".to_owned(), metadata: Some(metadata), nodes: vec![node], connections: Vec::new() }
}

/// The node that takes the input: the first one that nothing leads to.
pub fn source(manifest: &v1::PipelineManifest) -> String {
    let fed: HashSet<_> = manifest.connections.iter().map(|connection| connection.to.as_str()).collect();
    let source = manifest.nodes.iter().find(|node| !fed.contains(node.id.as_str())).or(manifest.nodes.first());
    source.map(|node| node.id.clone()).unwrap_or_default()
}

/// Reads a manifest.
pub fn read(value: &Value) -> Result<v1::PipelineManifest> {
    let root = object(value, "manifest")?;
    match field(root, "version", "version") {
        Some(Value::String(version)) if version == "v1" => {}
        other => return Err(Error::config("manifest.version", format!("must be 'v1', got {}", shown(other)))),
    }
    let metadata = match field(root, "metadata", "metadata") {
        None | Some(Value::Null) => v1::ManifestMetadata::default(),
        Some(metadata) => {
            let (metadata, path) = (object(metadata, "manifest.metadata")?, "manifest.metadata");
            v1::ManifestMetadata {
                name: text(metadata, "name", "name", path)?.unwrap_or_default(),
                description: text(metadata, "description", "description", path)?.unwrap_or_default(),
                created_at: text(metadata, "created_at", "createdAt", path)?.unwrap_or_default(),
            }
        }
    };
    let nodes = list(root, "nodes")?;
    if nodes.is_empty() {
        return Err(Error::config("manifest.nodes", "must name a node at least"));
    }
    let nodes: Vec<_> = nodes.iter().enumerate().map(|(index, node)| read_node(node, &format!("manifest.nodes.{index}"))).collect::<Result<_>>()?;
    let mut ids = HashSet::new();
    for (index, node) in nodes.iter().enumerate() {
        if !ids.insert(node.id.as_str()) {
            return Err(Error::config(format!("manifest.nodes.{index}.id"), format!("must be unique, '{}' is there twice", node.id)));
        }
    }
    let mut connections = Vec::new();
    for (index, connection) in list(root, "connections")?.iter().enumerate() {
        let path = format!("manifest.connections.{index}");
        let connection = object(connection, &path)?;
        let end = |key: &str| {
            let id = text(connection, key, key, &path)?.unwrap_or_default();
            if ids.contains(id.as_str()) {
                Ok(id)
            } else {
                Err(Error::config(format!("{path}.{key}"), format!("must be the id of a node, got '{id}'")))
            }
        };
        connections.push(v1::Connection { from: end("from")?, to: end("to")? });
    }
    drop(ids);
    Ok(v1::PipelineManifest { version: "v1".to_owned(), metadata: Some(metadata), nodes, connections })
}

fn read_node(value: &Value, path: &str) -> Result<v1::NodeManifest> {
    let node = object(value, path)?;
    let needed = |snake: &str, camel: &str| -> Result<String> {
        let found = text(node, snake, camel, path)?.filter(|text| !text.is_empty());
        found.ok_or_else(|| Error::config(format!("{path}.{snake}"), "must be given"))
    };
    let params = match field(node, "params", "params") {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(params @ Value::Object(_)) => params.to_string(),
        // The server would silently take anything else for no parameters.
        Some(Value::String(params)) if matches!(serde_json::from_str(params), Ok(Value::Object(_))) => params.clone(),
        other => return Err(Error::config(format!("{path}.params"), format!("must be an object, got {}", shown(other)))),
    };
    let hint = match text(node, "runtime_hint", "runtimeHint", path)?.as_deref() {
        None => v1::RuntimeHint::Unspecified,
        Some("rust_python") => v1::RuntimeHint::Rustpython,
        Some("cpython") => v1::RuntimeHint::Cpython,
        Some("cpython_wasm") => v1::RuntimeHint::CpythonWasm,
        Some("auto") => v1::RuntimeHint::Auto,
        Some(other) => {
            let problem = format!("must be rust_python, cpython, cpython_wasm or auto, got '{other}'");
            return Err(Error::config(format!("{path}.runtime_hint"), problem));
        }
    };
    let streams = match field(node, "is_streaming", "isStreaming") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(streams)) => *streams,
        other => return Err(Error::config(format!("{path}.is_streaming"), format!("must be a boolean, got {}", shown(other)))),
    };
    Ok(v1::NodeManifest {
        id: needed("id", "id")?,
        node_type: needed("node_type", "nodeType")?,
        params,
        is_streaming: streams,
        host: text(node, "host", "host", path)?.unwrap_or_default(),
        runtime_hint: hint as i32,
        // Dropped by the server when it reads the manifest; what they say is in no message of it.
        capabilities: None,
        input_types: Vec::new(),
        output_types: Vec::new(),
    })
}

/// A field by either spelling.
pub fn field<'a>(map: &'a Map<String, Value>, snake: &str, camel: &str) -> Option<&'a Value> {
    map.get(snake).or_else(|| map.get(camel))
}

/// A field that is text, where it is there.
pub fn text(map: &Map<String, Value>, snake: &str, camel: &str, path: &str) -> Result<Option<String>> {
    match field(map, snake, camel) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        other => Err(Error::config(format!("{path}.{snake}"), format!("must be a string, got {}", shown(other)))),
    }
}

/// An object.
pub fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| Error::config(path, format!("must be an object, got {}", shown(Some(value)))))
}

fn list<'a>(root: &'a Map<String, Value>, key: &str) -> Result<&'a [Value]> {
    match root.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        other => Err(Error::config(format!("manifest.{key}"), format!("must be an array, got {}", shown(other)))),
    }
}

/// What a value is, for a sentence.
pub fn shown(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Bool(_)) => "a boolean".to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => format!("'{text}'"),
        Some(Value::Array(_)) => "an array".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
    }
}
