//! Which kinds of payload a node takes in and puts out.
//!
//! Problem: two nodes that share no kind can be connected on paper, and fail at the first item. Answer: [`Ports`] is what is known of a node
//! beforehand, from its manifest or from what it is; `Graph::check_kinds` compares. It looks at kinds only: sample rates, sizes and other
//! constraints are the nodes' own.

use std::fmt;

use serde_json::{Map, Value};

use super::ManifestNode;
use super::fields::{mismatch, short};
use crate::data::Kind;
use crate::error::Result;

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KindSet(u8);

impl KindSet {
    /// No kind.
    pub const EMPTY: KindSet = KindSet(0);
    /// Every kind.
    pub const ALL: KindSet = KindSet((1 << Kind::ALL.len()) - 1);

    /// This one kind.
    pub const fn only(kind: Kind) -> Self {
        Self(1 << kind as u8)
    }

    /// With this kind as well.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | Self::only(kind).0)
    }

    /// Whether the kind is in it.
    pub const fn contains(self, kind: Kind) -> bool {
        self.intersects(Self::only(kind))
    }

    /// Whether both have a kind in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether no kind is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its kinds, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<Kind> for KindSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// `audio`, or `text or json`.
impl fmt::Display for KindSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (index, kind) in self.iter().enumerate() {
            write!(f, "{}{}", if index > 0 { " or " } else { "" }, kind.name())?;
        }
        Ok(())
    }
}

/// What is known of a node's two sides; `None` is nothing, so that anything may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Kinds that it takes in.
    pub accepts: Option<KindSet>,
    /// Kinds that it may put out.
    pub puts_out: Option<KindSet>,
}

/// RemoteMedia's word for references to files, which no packet here is.
const FILE: &str = "file";

impl Ports {
    /// What a node's `media_capabilities` say: the kinds of all its `inputs`, and of all its `outputs`. A side with a port whose constraint
    /// has no `type`, or the type `file`, counts as unknown. Another type is `ERR_CONFIG` below `path`.
    pub fn of(node: &ManifestNode, path: &str) -> Result<Self> {
        let Some(capabilities) = &node.media_capabilities else { return Ok(Self::default()) };
        Ok(Self { accepts: side(capabilities, "inputs", path)?, puts_out: side(capabilities, "outputs", path)? })
    }
}

fn side(capabilities: &Map<String, Value>, key: &str, path: &str) -> Result<Option<KindSet>> {
    let path = format!("{path}.media_capabilities.{key}");
    let constraints = match capabilities.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(constraints)) => constraints,
        other => return Err(mismatch(&path, "an object of constraints by port", other)),
    };
    let mut kinds = Some(KindSet::EMPTY);
    for (port, constraint) in constraints {
        let at = || format!("{path}.{}", short(port, 64));
        let Value::Object(constraint) = constraint else { return Err(mismatch(&at(), "an object", Some(constraint))) };
        kinds = match constraint.get("type") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if name == FILE => None,
            Some(given) => {
                let kind = given.as_str().and_then(Kind::from_name);
                let kind =
                    kind.ok_or_else(|| mismatch(&format!("{}.type", at()), "binary, text, json, audio, tensor, video or file", Some(given)))?;
                kinds.map(|kinds| kinds.with(kind))
            }
        };
    }
    Ok(kinds.filter(|kinds| !kinds.is_empty()))
}
