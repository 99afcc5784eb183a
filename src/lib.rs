//! `@remotemedia/wasmedge`: live media in Node.js, partly at the edge in WebAssembly, partly in the cloud.
//!
//! The floors, lowest first; each imports only from those below it, and `tests/floors.rs` holds them to it.

/// One error type and its table to JavaScript.
pub mod error;

/// Packets: the one currency.
pub mod data;

/// Counters and log lines.
pub mod observe;

/// Runs WebAssembly.
pub mod engine;

/// Speaks gRPC.
pub mod remote;

/// Decides where an item runs.
pub mod routing;

/// Where the engine and the remote side meet.
pub mod pipeline;

/// What Node sees.
#[cfg(feature = "node")]
mod binding;
