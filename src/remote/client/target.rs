//! What is to run on the remote.

use serde_json::{Map, Value};

use crate::remote::codec::PayloadFormat;

/// A node type with its configuration.
#[derive(Clone, Debug, Default)]
pub struct NodeTarget {
    /// Name that the remote knows it by.
    pub node_type: String,
    /// Its parameters.
    pub config: Map<String, Value>,
    /// How payloads are written.
    pub format: PayloadFormat,
}

impl NodeTarget {
    /// A node without parameters, payloads as their kind has it.
    pub fn new(node_type: impl Into<String>) -> Self {
        Self { node_type: node_type.into(), config: Map::new(), format: PayloadFormat::Auto }
    }
}
