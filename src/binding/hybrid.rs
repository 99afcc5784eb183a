//! Options of `HybridWasmNode`: those of a WebAssembly node, a remote, and the services that its guests may use.

use std::collections::HashMap;
use std::sync::Arc;

use super::client::RemoteExecutionClient;
use super::error::Outcome;
use super::options::{self, Reader};
use super::remote_options;
use super::service_registry::instance;
use super::value::{Type, Value};
use crate::engine::{NodeOptions, RemoteServices, timeout};
use crate::error::Error;
use crate::pipeline::{Service, Services};
use crate::remote::{Client, NodeTarget, RemoteConfig, RemoteOptions};

/// The remote of a node: what was given to reach it, for services elsewhere that are reached the same way, and the client.
struct Remote {
    options: Option<RemoteOptions>,
    client: Client,
}

/// Reads all of them.
pub fn node(value: Value) -> Outcome<NodeOptions> {
    let mut reader = Reader::new(value, "")?;
    let mut options = options::node_in(&mut reader)?;
    let remote = reader.any("remote")?.ok_or_else(|| Error::config("remote", "must be given: a configuration or a RemoteExecutionClient"))?;
    let remote = remote_of(remote)?;
    let services = reader.any("services")?.ok_or_else(|| Error::config("services", "must be given: the services that guests may use, by name"))?;
    if services.get_type() != Type::Object || services.is_array() {
        return Err(reader.wrong("services", "an object of services", services).into());
    }
    let mut named = HashMap::new();
    for name in services.keys()? {
        let service = service(services.get(&name)?, &format!("services.{name}"), &remote)?;
        named.insert(name, service);
    }
    reader.finish()?;
    options.remote = Some(Arc::new(Services::new(named)) as Arc<dyn RemoteServices>);
    Ok(options)
}

fn remote_of(value: Value) -> Outcome<Remote> {
    let client = instance::<RemoteExecutionClient>(value).map(|instance| instance.client.clone());
    if let Some(client) = client {
        return Ok(Remote { options: None, client });
    }
    let mut reader = Reader::new(value, "remote")?;
    let options = remote_options::remote(&mut reader)?;
    reader.finish()?;
    let config = RemoteConfig::new(options.clone()).map_err(|error| error.under("remote"))?;
    Ok(Remote { options: Some(options), client: Client::new(config)? })
}

fn service(value: Value, path: &str, remote: &Remote) -> Outcome<Service> {
    if let Some(text) = value.text() {
        let target = NodeTarget::new(remote_options::node_type_of(&text, path)?);
        return Ok(Service { client: remote.client.clone(), target, timeout: None });
    }
    if value.get_type() != Type::Object || value.is_array() {
        return Err(Error::config(path, format!("must be a node type or an object, got {}", value.get_type().name())).into());
    }
    let mut reader = Reader::new(value, path)?;
    let target = remote_options::target(&mut reader)?;
    let limit = timeout("timeoutMs", reader.number("timeoutMs")?).map_err(|error| error.under(path))?;
    let client = match reader.string("endpoint")? {
        None => remote.client.clone(),
        Some(endpoint) => elsewhere(endpoint, &reader.full("endpoint"), remote)?,
    };
    reader.finish()?;
    Ok(Service { client, target, timeout: limit })
}

/// A client for another endpoint, with everything else as the node's remote has it.
fn elsewhere(endpoint: String, path: &str, remote: &Remote) -> Outcome<Client> {
    let Some(options) = &remote.options else {
        return Err(Error::config(path, "needs the option remote to be a configuration, not a client").into());
    };
    let options = RemoteOptions { host: None, port: None, service: None, registry: None, endpoints: vec![endpoint], ..options.clone() };
    let config = RemoteConfig::new(options).map_err(|error| Error::config(path, error.message().trim_start_matches("endpoints.0: ")))?;
    Ok(Client::new(config)?)
}
