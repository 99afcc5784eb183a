//! Options as the caller gives them: anything may be left out, nothing is checked yet.

use super::{TlsOptions, Token};
use crate::remote::channel::Gates;
use crate::remote::registry::ServiceRegistry;

/// Which protocol the remote speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `remotemedia.execution`.
    V0,
    /// `remotemedia.v1`.
    V1,
}

impl Api {
    /// The option's words; `auto` finds out.
    pub const WORDS: [(&str, Option<Api>); 3] = [("v0", Some(Api::V0)), ("v1", Some(Api::V1)), ("auto", None)];

    /// The name in options and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Api::V0 => "v0",
            Api::V1 => "v1",
        }
    }

    /// Where RemoteMedia's own servers listen.
    pub(super) fn default_port(api: Option<Api>) -> u16 {
        if api == Some(Api::V1) { 50_051 } else { 50_052 }
    }
}

/// How one of several endpoints is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Balance {
    /// In turn.
    #[default]
    RoundRobin,
    /// The one with the fewest calls under way.
    LeastRequests,
}

impl Balance {
    /// The option's words.
    pub const WORDS: [(&str, Balance); 2] = [("round-robin", Balance::RoundRobin), ("least-requests", Balance::LeastRequests)];
}

/// How requests are compressed; answers are accepted either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Compression {
    /// The option's words.
    pub const WORDS: [(&str, Compression); 3] = [("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
}

/// `keepalive`: HTTP/2 pings.
#[derive(Clone, Debug, Default)]
pub struct KeepaliveOptions {
    /// Silence after which a ping goes out.
    pub interval_ms: Option<f64>,
    /// Time for its answer.
    pub timeout_ms: Option<f64>,
    /// Whether also without calls under way.
    pub while_idle: bool,
}

/// `hedge`: a second attempt for a call that takes long.
#[derive(Clone, Debug, Default)]
pub struct HedgeOptions {
    /// Time after which the second attempt starts.
    pub delay_ms: Option<f64>,
    /// Most second attempts, in percent of the calls.
    pub max_percent: Option<f64>,
}

/// `outlier`: when an endpoint is left alone for a while.
#[derive(Clone, Debug, Default)]
pub struct OutlierOptions {
    /// Failures in a row that eject; 0 never does.
    pub failures: Option<f64>,
    /// Time of the first ejection; the next ones take as many times longer.
    pub eject_ms: Option<f64>,
    /// Longest ejection.
    pub max_eject_ms: Option<f64>,
}

/// `healthWatch`: follows grpc.health.v1.
#[derive(Clone, Debug, Default)]
pub struct HealthOptions {
    /// Service name that is asked for; empty is the server as a whole.
    pub service: String,
    /// Time between two checks of a server that cannot be watched.
    pub interval_ms: Option<f64>,
}

/// `windows`: HTTP/2 flow control, received bytes under way.
#[derive(Clone, Debug, Default)]
pub struct WindowOptions {
    /// Per stream.
    pub stream_bytes: Option<f64>,
    /// Per connection.
    pub connection_bytes: Option<f64>,
}

/// Options as the caller gave them; `None` means the default.
#[derive(Clone, Default)]
pub struct RemoteOptions {
    /// Name or address of the server.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<f64>,
    /// Only `grpc`.
    pub protocol: Option<String>,
    /// See [`Api::WORDS`]; `None` finds out.
    pub api: Option<Api>,
    /// More servers: `host:port`, URLs, or `dns:name:port` for all addresses of a name.
    pub endpoints: Vec<String>,
    /// Where `service` is looked up.
    pub registry: Option<ServiceRegistry>,
    /// Name in the registry, in place of `host` and `endpoints`.
    pub service: Option<String>,
    /// TLS; `false` by default, as the stock server has none.
    pub ssl_enabled: Option<bool>,
    /// Certificates.
    pub tls: Option<TlsOptions>,
    /// Bearer token.
    pub auth_token: Option<Token>,
    /// Sent with every call.
    pub metadata: Vec<(String, String)>,
    /// Seconds per call, and per item of a stream.
    pub timeout: Option<f64>,
    /// Further attempts per call.
    pub max_retries: Option<f64>,
    /// Whether running a node twice does no harm: allows retries after a request was sent, and hedging, for every call.
    pub idempotent: bool,
    /// Bytes of one message, either way.
    pub max_message_size: Option<f64>,
    /// Time to connect, TLS included.
    pub connect_timeout_ms: Option<f64>,
    /// Pings.
    pub keepalive: Option<KeepaliveOptions>,
    /// Second attempts.
    pub hedge: Option<HedgeOptions>,
    /// Of requests.
    pub compression: Compression,
    /// Among endpoints.
    pub balance: Balance,
    /// Ejection of endpoints.
    pub outlier: OutlierOptions,
    /// Makes the circuit breaker of each endpoint; none by default.
    pub gates: Option<Gates>,
    /// Health of endpoints; off by default.
    pub health_watch: Option<HealthOptions>,
    /// Flow control.
    pub windows: WindowOptions,
    /// Whether streams of protocol v0 share the connection; see [`RemoteConfig::shared_streams`].
    pub shared_streams: bool,
    /// Whether an answer such as `{"error": ..., "processed_by": ...}` is an answer like any other.
    pub keep_error_results: bool,
}
