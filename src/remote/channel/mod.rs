//! Calls over the network: endpoints, connections, deadlines, further attempts. Knows messages only as messages.
//!
//! From below: `watched.rs` and `connect.rs` make a connection, `endpoint.rs` shares it, `lane.rs` and `balance.rs` choose among several,
//! `hop.rs` and `message.rs` fit one request to tonic, `call.rs` makes a call of attempts, `budget.rs` bounds them.

mod balance;
mod budget;
mod call;
mod connect;
mod endpoint;
mod gate;
mod health;
mod hop;
mod lane;
mod message;
mod metrics;
mod scope;
mod watched;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

pub use call::{FREE, Settings, check_size, open};
pub use connect::{Conn, dial};
pub use endpoint::Endpoint;
pub use gate::{Gate, Gates};
pub use health::CHECK;
pub use lane::{Flight, Lane};
pub use message::Garbled;
pub use metrics::ClientMetrics;
pub use scope::{Scope, aborted, closed};

use serde_json::{Map, Value};

use super::config::{Api, RemoteConfig, Token, bearer};
use super::runtime;
use crate::data::TraceContext;
use crate::error::Result;
use crate::observe::trace::{self, Span, SpanKind};
use crate::observe::{self, Area, Source, Visit};
use balance::Balancer;
use budget::Budget;

/// A method of the remote.
#[derive(Clone, Copy)]
pub struct Rpc {
    /// Path on the wire.
    pub path: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// Whether calling it twice does no harm.
    pub safe: bool,
}

impl Rpc {
    /// What a call of it is in a trace: by OpenTelemetry's conventions for clients of gRPC. Only what belongs to an item is traced, unless
    /// it `begins` a trace.
    pub fn span(&self, scope: &Scope, begins: bool) -> Option<Arc<Span>> {
        let parent = scope.context();
        let span = if begins || parent.is_some() { trace::child_or_root(parent, &self.path[1..], SpanKind::Client)? } else { return None };
        span.set("rpc.system", "grpc");
        span.set("rpc.method", self.name);
        Some(span)
    }
}

/// Further attempts as a share of the calls, as in Finagle; saved up for bursts of failures.
const RETRY_SHARE: f64 = 0.2;
const RETRIES_SAVED: u32 = 20;
/// Saved up for bursts of slow answers.
const HEDGES_SAVED: u32 = 10;

/// What one client calls through.
pub struct Channels {
    pub config: RemoteConfig,
    pub metrics: ClientMetrics,
    pub settings: Settings,
    balancer: Arc<Balancer>,
    retries: Budget,
    hedges: Budget,
    closed: CancellationToken,
    /// Whether it is among the figures of the process.
    listed: bool,
}

impl Drop for Channels {
    fn drop(&mut self) {
        if self.listed {
            observe::retire(self);
        }
    }
}

impl Source for Channels {
    fn area(&self) -> Area {
        Area::Cloud
    }

    /// Where it leads.
    fn name(&self) -> String {
        match &self.config.source {
            crate::remote::config::Source::Service(named) => named.service.clone(),
            crate::remote::config::Source::Fixed(addresses) => addresses.first().map_or_else(String::new, crate::remote::config::Address::authority),
        }
    }

    fn figures(&self) -> Map<String, Value> {
        self.figures_with(self.known_api())
    }

    fn visit(&self, into: &mut dyn Visit) {
        self.metrics.visit(&self.lanes(), into);
    }
}

impl Channels {
    /// Which protocol is spoken, as far as that is known.
    pub fn known_api(&self) -> Option<Api> {
        self.config.api.or_else(|| self.lanes().iter().find_map(|lane| lane.endpoint().api()))
    }

    /// All figures by name.
    pub fn figures_with(&self, api: Option<Api>) -> Map<String, Value> {
        self.metrics.snapshot(api.map(Api::name), &self.lanes())
    }

    /// For this configuration, among the figures of the process. Connects to nothing.
    pub fn listed(config: RemoteConfig) -> Result<Arc<Self>> {
        let mut channels = Self::new(config)?;
        channels.listed = true;
        let channels = Arc::new(channels);
        observe::register(&channels);
        Ok(channels)
    }

    /// For this configuration. Connects to nothing.
    pub fn new(config: RemoteConfig) -> Result<Self> {
        let _threads = runtime::handle()?.enter();
        Ok(Self {
            metrics: ClientMetrics::default(),
            settings: Settings::from(&config),
            balancer: Arc::new(Balancer::new(&config)),
            retries: Budget::new(RETRY_SHARE, RETRIES_SAVED, RETRIES_SAVED),
            hedges: Budget::new(config.hedge.map_or(0.0, |hedge| hedge.max_percent / 100.0), HEDGES_SAVED, 0),
            closed: CancellationToken::new(),
            listed: false,
            config,
        })
    }

    /// Ends what is under way; nothing new begins.
    pub fn close(&self) {
        self.closed.cancel();
        self.balancer.clear();
    }

    /// Told when the client is closed.
    pub fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// The endpoints as they are.
    pub fn lanes(&self) -> Arc<[Arc<Lane>]> {
        self.balancer.known()
    }

    /// A lane for a stream or an object: one that is in, if there is one.
    pub async fn lane(&self, tried: &[Arc<Lane>]) -> Result<Arc<Lane>> {
        let lanes = self.balancer.lanes().await?;
        self.balancer.pick(&lanes, tried).ok_or_else(|| crate::error::Error::new(crate::error::Code::Unavailable, "there is no endpoint"))
    }

    /// Whether there is no other endpoint to turn to.
    pub fn is_alone(&self, lane: &Arc<Lane>) -> bool {
        self.balancer.is_alone(lane)
    }

    /// The metadata of one call, with a fresh token. `parent` is what the call is to those who answer it.
    pub async fn metadata(&self, scope: &Scope, parent: Option<TraceContext>) -> Result<MetadataMap> {
        let mut metadata = self.config.metadata.of_call(&scope.metadata, parent)?;
        // Payloads of text and plain values have no place for it. A name that is no header text goes in payloads only.
        if let Some(session) = scope.session.as_ref().and_then(|session| session.as_str().parse::<AsciiMetadataValue>().ok())
            && !metadata.contains_key("x-session-id")
        {
            metadata.insert("x-session-id", session);
        }
        if let Some(Token::Fresh(source)) = &self.config.token {
            metadata.insert("authorization", bearer(&source.token().await?)?);
        }
        Ok(metadata)
    }
}
