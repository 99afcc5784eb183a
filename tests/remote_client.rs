//! The remote client against servers in this process that answer as RemoteMedia's do.

#[path = "remote_client/calls.rs"]
mod calls;
#[path = "remote_client/endpoints.rs"]
mod endpoints;
#[path = "remote_client/errors.rs"]
mod errors;
#[path = "remote_client/objects.rs"]
mod objects;
#[path = "remote_client/options.rs"]
mod options;
#[path = "remote_client/registry.rs"]
mod registry;
#[path = "support/remote/mod.rs"]
mod remote;
#[path = "remote_client/streams.rs"]
mod streams;
#[path = "remote_client/v1.rs"]
mod v1;
