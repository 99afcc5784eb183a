//! The Remote Processing Service, seen by clients over real sockets.

#[path = "remote_service/access.rs"]
mod access;
#[path = "remote_service/describe.rs"]
mod describe;
#[path = "remote_service/execute.rs"]
mod execute;
#[path = "remote_service/flow.rs"]
mod flow;
#[path = "remote_service/hostile.rs"]
mod hostile;
#[path = "remote_service/life.rs"]
mod life;
#[path = "remote_service/limits.rs"]
mod limits;
#[path = "remote_service/options.rs"]
mod options;
#[path = "remote_service/pipelines.rs"]
mod pipelines;
#[path = "python/mod.rs"]
mod python;
#[path = "remote_service/python.rs"]
mod python_client;
#[path = "remote_service/streams.rs"]
mod streams;
#[path = "remote_service/support.rs"]
mod support;
