//! Names of services and the endpoints behind them.
//!
//! Problem: which machine has a service changes while programs run, and a half-written or wrong file must not take away what worked. Answer:
//! names are a map that is replaced as a whole; a file is looked at each second on the network's threads, by what it is and not by what it
//! is called, so that the symlinks of mounted configuration work; one that cannot be read leaves the old map in force and is reported
//! ([`ServiceRegistry::problem`], a log line). `dns:` endpoints are names for all their addresses, looked up by `channel/balance.rs`.

mod read;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::config::Address;
use crate::error::{Code, Error, Result};

/// Endpoints by name, as they were written.
type Names = BTreeMap<String, Vec<String>>;

/// Where names are looked up. Clones are the same registry.
#[derive(Clone)]
pub struct ServiceRegistry(Arc<Inner>);

struct Inner {
    state: RwLock<State>,
    /// Grows with each change of the names.
    generation: AtomicU64,
    closed: CancellationToken,
    file: Option<PathBuf>,
}

struct State {
    names: Arc<Names>,
    /// What is wrong with the file since it was last read well.
    problem: Option<Error>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

/// Options of a registry.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegistryOptions {
    /// Whether `${NAME}` in a file stands for a variable of the environment.
    pub expand_env: bool,
}

impl ServiceRegistry {
    /// Names that do not change: `{ name: endpoint | [endpoints] | { endpoints } }`.
    pub fn fixed(services: &Value) -> Result<Self> {
        let names = read::names(services, "services", None)?;
        Ok(Self::with(names, None))
    }

    /// The names in a YAML or JSON file, which is watched for changes. Its names are at its root or under `services`.
    pub fn file(path: impl Into<PathBuf>, options: RegistryOptions) -> Result<Self> {
        let path = path.into();
        // The state is taken before the content, so that what changes in between is seen as a change.
        let seen = watch::Stamp::of(&path);
        let names = read::file(&path, options)?;
        let registry = Self::with(names, Some(path));
        watch::start(&registry.0, options, seen)?;
        Ok(registry)
    }

    fn with(names: Names, file: Option<PathBuf>) -> Self {
        let state = RwLock::new(State { names: Arc::new(names), problem: None });
        Self(Arc::new(Inner { state, generation: AtomicU64::new(1), closed: CancellationToken::new(), file }))
    }

    /// The endpoints of a name. What an endpoint's text leaves open comes from the client: its default port, and whether there is TLS.
    pub fn addresses(&self, name: &str, default_port: u16, ssl_enabled: Option<bool>) -> Result<Vec<Address>> {
        let names = Arc::clone(&self.0.state.read().names);
        let Some(endpoints) = names.get(name) else {
            let known: Vec<_> = names.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
            return Err(Error::new(Code::ServiceUnknown, format!("the registry{} has no service '{name}'; {known}", self.place())));
        };
        let parse = |(index, text): (usize, &String)| {
            let wrong = |problem| Error::config(format!("services.{name}.{index}"), format!("{problem}{}", self.place()));
            Address::parse(text, default_port, ssl_enabled).map_err(wrong)
        };
        endpoints.iter().enumerate().map(parse).collect()
    }

    fn place(&self) -> String {
        self.0.file.as_ref().map_or_else(String::new, |file| format!(" ({})", file.display()))
    }

    /// A number that is another one after each change.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// The names and their endpoints as they are.
    pub fn describe(&self) -> Value {
        json!(*self.0.state.read().names)
    }

    /// What is wrong with the file, while older names are in force.
    pub fn problem(&self) -> Option<Error> {
        self.0.state.read().problem.clone()
    }

    /// Stops watching the file; the names stay.
    pub fn close(&self) {
        self.0.closed.cancel();
    }
}

impl Inner {
    /// Takes what a new look at the file gave.
    fn renew(&self, read: Result<Names>) {
        let mut state = self.state.write();
        match read {
            Ok(names) => {
                state.problem = None;
                if *state.names != names {
                    tracing::info!(target: "remote", file = ?self.file, services = names.len(), "the registry changed");
                    state.names = Arc::new(names);
                    self.generation.fetch_add(1, Ordering::Release);
                }
            }
            Err(error) => {
                tracing::warn!(target: "remote", %error, "the registry's file cannot be used; its older names stay");
                state.problem = Some(error);
            }
        }
    }
}
