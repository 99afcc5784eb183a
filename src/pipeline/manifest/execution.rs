//! Where a node says that it wants to run.
//!
//! Problem: a manifest's wishes must become decisions of a router. Answer: [`Placement`] says which sides a node may run on and which it
//! prefers. It decides nothing itself: what is known of an item and of both sides at run time is the router's.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::{add, put};
use crate::error::Result;

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This process: the edge.
    Local,
    /// A remote: the cloud.
    Remote,
}

/// Where a node may run, and where it would rather.
///
/// | placement | local | remote | as a strategy |
/// |---|---|---|---|
/// | `local` | yes | no | the edge only |
/// | `remote` | no | yes | the cloud only |
/// | `prefer_local` | first | yes | edge first |
/// | `prefer_remote` | yes | first | cloud first |
/// | `auto` | yes | yes | auto |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Placement {
    /// In this process only.
    Local,
    /// On the remote only.
    Remote,
    /// In this process, on the remote where that fails.
    PreferLocal,
    /// On the remote, in this process where that fails.
    PreferRemote,
    /// Wherever it is better for the item at hand.
    #[default]
    Auto,
}

impl Placement {
    /// The words in a manifest.
    pub const WORDS: [(&str, Placement); 5] = [
        ("local", Placement::Local),
        ("remote", Placement::Remote),
        ("prefer_local", Placement::PreferLocal),
        ("prefer_remote", Placement::PreferRemote),
        ("auto", Placement::Auto),
    ];

    /// The word in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Placement::Local => "local",
            Placement::Remote => "remote",
            Placement::PreferLocal => "prefer_local",
            Placement::PreferRemote => "prefer_remote",
            Placement::Auto => "auto",
        }
    }

    /// Whether the node may run in this process.
    pub fn allows_local(self) -> bool {
        self != Placement::Remote
    }

    /// Whether the node may run on the remote.
    pub fn allows_remote(self) -> bool {
        self != Placement::Local
    }

    /// The side that is tried first; none where it depends on the item.
    pub fn prefers(self) -> Option<Side> {
        match self {
            Placement::Local | Placement::PreferLocal => Some(Side::Local),
            Placement::Remote | Placement::PreferRemote => Some(Side::Remote),
            Placement::Auto => None,
        }
    }
}

/// A node's field `execution`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Execution {
    /// Where it may run; `auto` by default.
    pub placement: Placement,
    /// Why, for people.
    pub reason: Option<String>,
    /// What runs instead where the node cannot. RemoteMedia leaves open what it names, so it is not looked up.
    pub fallback: Option<String>,
    /// Other fields.
    pub rest: Map<String, Value>,
}

impl Execution {
    pub(super) fn read(mut fields: Fields) -> Result<Self> {
        Ok(Self {
            placement: fields.word("placement", &Placement::WORDS)?.unwrap_or_default(),
            reason: fields.text("reason")?,
            fallback: fields.text("fallback")?,
            rest: fields.rest(),
        })
    }

    pub(super) fn to_value(&self) -> Value {
        let mut out = Map::new();
        put(&mut out, "placement", Some(self.placement.name()));
        put(&mut out, "reason", self.reason.clone());
        put(&mut out, "fallback", self.fallback.clone());
        add(&mut out, &self.rest);
        Value::Object(out)
    }
}

/// Which Python runs a node of RemoteMedia. Nothing here runs Python; a remote is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuntimeHint {
    /// `RustPython`.
    RustPython,
    /// `CPython` in the remote's process.
    Cpython,
    /// `CPython` in WebAssembly.
    CpythonWasm,
    /// Whichever the remote takes.
    Auto,
}

impl RuntimeHint {
    /// The words in a manifest.
    pub const WORDS: [(&str, RuntimeHint); 4] = [
        ("rust_python", RuntimeHint::RustPython),
        ("cpython", RuntimeHint::Cpython),
        ("cpython_wasm", RuntimeHint::CpythonWasm),
        ("auto", RuntimeHint::Auto),
    ];

    /// The word in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            RuntimeHint::RustPython => "rust_python",
            RuntimeHint::Cpython => "cpython",
            RuntimeHint::CpythonWasm => "cpython_wasm",
            RuntimeHint::Auto => "auto",
        }
    }
}
