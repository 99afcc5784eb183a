//! The engine: runs WebAssembly media nodes, safely and fast. Knows nothing of networks, routing or Node.
//!
//! Glossary: a *module* is bytes that were checked; *code* is a module in the form of one run mode; an *instance* is a guest with its own
//! memory; a *session* is one conversation and owns at most one instance; a *stream* is one caller's sequence of items in a session.
//!
//! ```text
//!  WasmNode ── load ──> Module ── rewrite ──> compile (child process) ──> cache ──> Compiled
//!     │                                                                               │
//!     │ open                                                                          ▼
//!  Stream ── submit ──> Session (a line of jobs) ── turn on a guest thread ──> Pool ──> Instance
//!                          ▲                                                              │ abi: bytes in
//!                          └────────────── reply: packets or one typed error ◄────────────┤ fault: deadline, traps
//!                                                                                         ▼ host: imports
//! ```

mod abi;
mod bridge;
mod cache;
mod compile;
mod config;
mod cpu;
mod exit;
pub mod fault;
pub mod host;
mod housekeeping;
mod info;
mod instance;
mod job;
mod log;
mod module;
mod node;
mod outcome;
mod pool;
mod rewrite;
mod session;
mod sys;
mod worker;

pub use bridge::{Answers, Patience, RemoteCall, RemoteFailure, RemoteServices};
pub use cache::CacheCounts;
pub use compile::{Launcher, child_main, set_launcher};
pub use config::{DEFAULT_MEMORY_BYTES, ExportNames, Mode, NodeConfig, NodeOptions, RunMode, timeout};
pub use host::wasi::WasiGrants;
pub use host::{HostCall, HostFailure, HostFunctions};
pub use info::{CompileReport, ModuleReport, RuntimeReport, compile_module, inspect_module, runtime_report, stop_all};
pub use job::Reply;
pub use module::{Extern, Module, Signature, limits};
pub use node::{ModuleSource, Ready, Stream, StreamOptions, WasmNode};
