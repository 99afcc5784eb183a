//! RemoteMedia's services as methods.
//!
//! Problem: two protocols, of which each real server speaks one, with failures in four places and streams without sequence numbers. Answer:
//! [`Client`] speaks both and finds out which; each method gives packets or JSON, or one typed error. Calls themselves are `channel/`'s business,
//! payloads `codec/`'s. Methods are futures for the network's threads ([`spawn`](super::spawn)); streams are told by callbacks.

mod answer;
mod catalog;
mod generator;
mod manifest;
mod node;
mod objects;
mod pipelines;
mod stream;
mod target;
mod v1;

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tonic::Code as Grpc;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

pub use catalog::CustomTask;
pub use objects::{MethodCall, MethodResult, ObjectSource};
pub use stream::{Received, RemoteStream, Room};
pub use target::NodeTarget;

use super::channel::{CHECK, Channels, Lane, Rpc, Scope};
use super::config::{Api, RemoteConfig};
use super::pb::{v0, v1 as pb1};
use super::runtime;
use crate::data::Traced;
use crate::error::{Error, Result};
use crate::observe::trace::{self, SpanKind};

const GET_STATUS: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/GetStatus", name: "GetStatus", safe: true };
const GET_VERSION: Rpc = Rpc { path: "/remotemedia.v1.PipelineExecutionService/GetVersion", name: "GetVersion", safe: true };

/// A client of one remote, or of several that are alike. Clones are the same client.
#[derive(Clone)]
pub struct Client {
    channels: Arc<Channels>,
    /// One at a time finds out which protocol is spoken.
    asking: Arc<tokio::sync::Mutex<()>>,
    /// Connections of objects on the remote, by session. An object whose connection went from here is still there for its session.
    objects: Arc<Mutex<LruCache<String, Arc<Lane>>>>,
}

/// Objects whose connections are kept, per client.
const OBJECTS: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

impl Client {
    /// A client; connects to nothing yet.
    pub fn new(config: RemoteConfig) -> Result<Self> {
        Ok(Self { channels: Channels::listed(config)?, asking: Arc::default(), objects: Arc::new(Mutex::new(LruCache::new(OBJECTS))) })
    }

    /// The configuration.
    pub fn config(&self) -> &RemoteConfig {
        &self.channels.config
    }

    /// Connects, and finds out which protocol the remote speaks. Any call does that by itself; this one says early what is wrong.
    pub async fn connect(&self) -> Result<Api> {
        let scope = Scope::default();
        // Known from another client of the endpoint, it says nothing yet about this one's token.
        match self.known_api() {
            None => self.api(&scope).await,
            Some(api) => self.probe(api, &scope).await.map(|()| api),
        }
    }

    /// The protocol: as configured, or found out by one cheap call per endpoint.
    async fn api(&self, scope: &Scope) -> Result<Api> {
        match self.known_api() {
            Some(api) => Ok(api),
            // Boxed: it is needed once, and every call would carry it along.
            None => Box::pin(self.find_out(scope)).await,
        }
    }

    async fn find_out(&self, scope: &Scope) -> Result<Api> {
        // Asked once for all calls: a part of this one's trace only if that is where it ends.
        let span = trace::child(scope.context(), "connect", SpanKind::Client);
        let found = self.ask_for_api(&Scope { trace: None, ..scope.clone() }).await;
        match (&span, &found) {
            (Some(span), Ok(_)) => span.discard(),
            (Some(span), Err(error)) => span.failed(error),
            (None, _) => {}
        }
        found
    }

    async fn ask_for_api(&self, scope: &Scope) -> Result<Api> {
        let what = "finding out the protocol";
        let deadline = self.channels.deadline(scope);
        let _one = self.channels.within(what, scope, deadline, async { Ok(self.asking.lock().await) }).await;
        if let Some(api) = self.known_api() {
            return Ok(api);
        }
        let api = match self.probe(Api::V0, scope).await {
            Ok(()) => Api::V0,
            Err(error) if is_unimplemented(&error) => self.probe(Api::V1, scope).await.map(|()| Api::V1).map_err(|error| {
                if is_unimplemented(&error) { Error::new(error.code(), "the remote speaks neither protocol v0 nor v1").because(error) } else { error }
            })?,
            Err(error) => return Err(error),
        };
        for lane in self.channels.lanes().iter() {
            lane.endpoint().set_api(api);
        }
        Ok(api)
    }

    fn known_api(&self) -> Option<Api> {
        self.channels.known_api()
    }

    async fn probe(&self, api: Api, scope: &Scope) -> Result<()> {
        match api {
            Api::V0 => self.channels.call::<_, v0::StatusResponse>(&GET_STATUS, scope, v0::StatusRequest::default).await.map(drop),
            Api::V1 => self.channels.call::<_, pb1::VersionResponse>(&GET_VERSION, scope, version_request).await.map(drop),
        }
    }

    /// Whether `service` is serving, by grpc.health.v1; an empty name is the server as a whole.
    pub async fn health(&self, service: &str, scope: &Scope) -> Result<bool> {
        let answer: HealthCheckResponse = self.channels.call(&CHECK, scope, || HealthCheckRequest { service: service.to_owned() }).await?;
        Ok(answer.status == ServingStatus::Serving as i32)
    }

    /// All figures by name; see `docs/metrics.md`.
    pub fn metrics(&self) -> Map<String, Value> {
        self.channels.figures_with(self.known_api())
    }

    /// Ends every call and stream; later ones fail with `ERR_CLOSED`.
    pub fn close(&self) {
        self.channels.close();
        self.objects.lock().clear();
    }

    /// Runs `future` where the network is.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        runtime::spawn(future).map(drop)
    }
}

fn version_request() -> pb1::VersionRequest {
    pb1::VersionRequest { client_version: env!("CARGO_PKG_VERSION").to_owned() }
}

fn is_unimplemented(error: &Error) -> bool {
    error.remote().is_some_and(|details| details.grpc_code == Some(Grpc::Unimplemented as i32))
}
