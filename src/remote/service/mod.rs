//! The Remote Processing Service: a server that RemoteMedia's own clients take for theirs.
//!
//! Problem: the whole system should run with nothing else installed, and be usable by clients that know only the stock server. Answer: protocol
//! v0 with health and reflection, whose nodes are behind [`Handler`]. A request passes `connection.rs`, tonic, `gate.rs` (who gets in) and
//! `rpc.rs`; `execute.rs`, `stream.rs` and `pipeline_run.rs` run handlers on packets (`items.rs`, `pipe.rs`), `fault.rs` says how failures are
//! told, `server.rs` is the service's life. It speaks no v1, keeps nothing on disk and executes nothing that clients send.
//!
//! Where it differs from the stock server, on purpose and without a client noticing but by things working:
//!
//! - It listens to this machine only unless told otherwise; TLS, tokens, limits, deadlines and cancellation exist, and a client that leaves
//!   ends its node's work. Health tells the truth, can be watched, and knows only its own names.
//! - Options of an execution count: `timeout_seconds` (answered with status `TIMEOUT`) and `max_output_size_mb`.
//! - Configuration is read alike everywhere: json, else a Python literal, else the string. In streams `true` is true, `name` may be a key,
//!   and a pipeline's nodes get numbers for numbers.
//! - Every node type works with every rpc. `raw` is a third format: bytes as they are. Errors never name folders of the server, carry one
//!   category even in streams and no `Context: {...}`.
//! - A client that half-closes a stream without an item gets an empty stream and no error. The end of one stream leaves others alone.
//! - A stream's node starts with the first item, unless the request's metadata names the session (`x-session-id`): the session stands in it.
//! - Pipelines: errors are errors (the stock server answers `SUCCESS` and `None`); slow nodes lose nothing; connections count and must make
//!   one line; `GetPipelineInfo` has the definition; nodes on other servers are refused. `PAUSE`, `RESUME` and `FLUSH` only tell how far the
//!   stream is; nodes flush at its end.
//! - `ListNodes` tells parameters, `GetStatus` sessions and workers.
//! - Objects, generators and custom tasks need Python: they get answers with status and text, the former of category `SECURITY`.

mod access;
mod body;
mod call;
mod connection;
mod core;
mod describe;
mod execute;
mod fault;
mod gate;
mod handler;
mod items;
mod metrics;
mod objects;
mod options;
mod outgoing;
mod pipe;
mod pipeline_run;
mod pipelines;
mod rpc;
mod server;
mod sessions;
mod stream;
mod tls;

pub use access::{Access, TokenCheck};
pub use handler::{CallInfo, DEFAULT_CATEGORY, Handler, NodeEntry, Parameter};
pub use items::{Collected, EACH_BYTES, ItemLine, ItemSink, ItemSource, Received};
pub use options::{DEFAULT_PORT, ServiceKeepaliveOptions, ServiceLimitOptions, ServiceOptions, ServiceSessionOptions};
pub use pipe::Room;
pub use server::Service;
pub use tls::ServiceTlsOptions;
