//! The remote side: speaks RemoteMedia's gRPC protocols. Knows nothing of WebAssembly, policy or Node.
//!
//! `config/` checks the options, `channel/` makes calls over connections that `runtime.rs` drives, `codec/` turns packets into payloads, `pb/`
//! has the messages, `status.rs` makes errors of failures, and `client/` puts them together. `registry/` knows names for endpoints.
//! `service/` is the other side: a server for RemoteMedia's clients. `telemetry/` sends what `observe` has noted to a collector.

pub mod codec;
pub mod pb;
pub mod service;

mod channel;
mod client;
mod config;
mod registry;
mod runtime;
mod status;
mod telemetry;

pub use channel::{Gate, Gates, Scope};
pub use client::{Client, CustomTask, MethodCall, MethodResult, NodeTarget, ObjectSource, Received, RemoteStream, Room};
pub use codec::PayloadFormat;
pub use config::{
    Address, Api, Balance, Compression, HealthOptions, HedgeOptions, KeepaliveOptions, OutlierOptions, RemoteConfig, RemoteOptions, TlsOptions,
    Token, TokenSource, WindowOptions,
};
pub use futures_util::future::BoxFuture;
pub use registry::{RegistryOptions, ServiceRegistry};
pub use runtime::{handle as runtime, spawn};
pub use telemetry::{
    Protocol as TelemetryProtocol, TelemetryOptions, configure as configure_telemetry, flush as flush_telemetry, shutdown as shutdown_telemetry,
};
pub use tokio::sync::oneshot;
pub use tokio_util::sync::CancellationToken;
