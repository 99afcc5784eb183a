//! A client's options, checked once and unchanging afterwards.
//!
//! Problem: options come from untyped JavaScript, and a wrong one must be named by its path before anything connects. Answer:
//! [`RemoteOptions`] is what the caller may leave out; [`RemoteConfig::new`] fills in the defaults, checks ranges and contradictions and reads
//! certificates. Times are milliseconds and sizes bytes, as the names say, except `timeout`, which RemoteMedia gives in seconds. It does not
//! resolve names or open connections.

mod address;
mod metadata;
mod options;
mod tls;

use std::sync::Arc;
use std::time::Duration;

pub use address::Address;
pub use metadata::{Token, TokenSource};
pub use options::{Api, Balance, Compression, HealthOptions, HedgeOptions, KeepaliveOptions, OutlierOptions, RemoteOptions, WindowOptions};
pub use tls::{TlsOptions, TlsSetup};

pub(super) use metadata::{CallMetadata, bearer};
pub(super) use tls::certificates;

use super::registry::ServiceRegistry;
use crate::error::{Error, Result};
use crate::remote::channel::Gates;

/// Pings of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keepalive {
    /// Silence after which a ping goes out.
    pub interval: Duration,
    /// Time for its answer.
    pub timeout: Duration,
    /// Whether also without calls under way.
    pub while_idle: bool,
}

/// Second attempts.
#[derive(Clone, Copy, Debug)]
pub struct Hedge {
    /// Time after which the second attempt starts.
    pub delay: Duration,
    /// Most second attempts, in percent of the calls.
    pub max_percent: f64,
}

/// Ejection of endpoints.
#[derive(Clone, Copy, Debug)]
pub struct Outlier {
    /// Failures in a row; 0 is never.
    pub failures: u32,
    /// Time of the first ejection.
    pub eject: Duration,
    /// Longest ejection.
    pub max_eject: Duration,
}

/// Health of endpoints.
#[derive(Clone, Debug)]
pub struct HealthWatch {
    /// Service name that is asked for.
    pub service: String,
    /// Between two checks.
    pub interval: Duration,
}

/// What two clients must have in common to share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transport {
    /// Certificates, where a connection has TLS.
    pub tls: TlsSetup,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Pings.
    pub keepalive: Keepalive,
    /// Flow control per stream, bytes.
    pub stream_window: u32,
    /// Flow control per connection, bytes.
    pub connection_window: u32,
}

/// A service of a registry, and what its endpoints' texts leave open.
#[derive(Clone)]
pub struct Named {
    /// Where it is looked up.
    pub registry: ServiceRegistry,
    /// Its name.
    pub service: String,
    default_port: u16,
    ssl_enabled: Option<bool>,
}

impl Named {
    /// Its endpoints as they are.
    pub fn addresses(&self) -> Result<Vec<Address>> {
        self.registry.addresses(&self.service, self.default_port, self.ssl_enabled)
    }
}

/// Where the endpoints come from.
#[derive(Clone)]
pub enum Source {
    /// These.
    Fixed(Vec<Address>),
    /// A name in a registry.
    Service(Named),
}

/// Checked options with every default filled in.
#[derive(Clone)]
pub struct RemoteConfig {
    /// The endpoints.
    pub source: Source,
    /// `None` finds out.
    pub api: Option<Api>,
    /// Of connections.
    pub transport: Arc<Transport>,
    /// Bearer token.
    pub token: Option<Token>,
    /// Per call, and per item of a stream.
    pub timeout: Duration,
    /// Further attempts per call.
    pub max_retries: u32,
    /// See [`RemoteOptions::idempotent`].
    pub idempotent: bool,
    /// Bytes.
    pub max_message_size: usize,
    /// Second attempts.
    pub hedge: Option<Hedge>,
    /// Of requests.
    pub compression: Compression,
    /// Among endpoints.
    pub balance: Balance,
    /// Ejection.
    pub outlier: Outlier,
    /// See [`RemoteOptions::gates`].
    pub gates: Option<Gates>,
    /// Health.
    pub health_watch: Option<HealthWatch>,
    /// Whether streams of protocol v0 share the connection. The stock server cleans up everything that came over a connection when one
    /// stream on it ends, other streams' nodes included; so by default each such stream has a connection to itself while it lasts.
    pub shared_streams: bool,
    /// See [`RemoteOptions::keep_error_results`].
    pub keep_error_results: bool,
    pub(super) metadata: CallMetadata,
}

/// As in RemoteMedia.
const DEFAULT_TIMEOUT_S: f64 = 30.0;
/// A day: longer is surely a mistake of units.
const MAX_TIMEOUT_S: f64 = 86_400.0;
const DAY_MS: f64 = 86_400_000.0;
/// As in RemoteMedia, whose own client never uses it.
const DEFAULT_RETRIES: f64 = 3.0;
/// The same bound as for outputs at the edge: a minute of stereo audio at 48 kHz, or a 4K frame. The stock server has none, but a length
/// prefix alone must not make this process reserve gigabytes.
const DEFAULT_MESSAGE_BYTES: f64 = 67_108_864.0;
/// Three of these, with their pauses, end before the default timeout: an unreachable host is told from a slow one.
const DEFAULT_CONNECT_MS: f64 = 5_000.0;
/// gRPC's core closes connections that ping without data more than twice within five minutes each. TCP's own probes find a dead peer sooner
/// and count for nothing (see channel/connect.rs).
const DEFAULT_PING_MS: f64 = 310_000.0;
const DEFAULT_PING_TIMEOUT_MS: f64 = 20_000.0;
/// hyper's own defaults, which keep a 1 Gbit/s link of 16 ms busy.
const DEFAULT_STREAM_WINDOW: f64 = 2_097_152.0;
const DEFAULT_CONNECTION_WINDOW: f64 = 5_242_880.0;
/// What HTTP/2 allows.
const MAX_WINDOW: f64 = 2_147_483_647.0;
/// Envoy's defaults.
const DEFAULT_FAILURES: f64 = 5.0;
const DEFAULT_EJECT_MS: f64 = 30_000.0;
const DEFAULT_MAX_EJECT_MS: f64 = 300_000.0;

impl RemoteConfig {
    /// Checks the options.
    pub fn new(options: RemoteOptions) -> Result<Self> {
        if let Some(protocol) = options.protocol.as_deref().filter(|protocol| *protocol != "grpc") {
            return Err(Error::config("protocol", format!("must be 'grpc', got '{protocol}'")));
        }
        let tls = TlsSetup::new(options.tls.as_ref(), options.ssl_enabled)?;
        let source = source(&options)?;
        let hedge = options.hedge.map(|hedge| {
            let delay = hedge.delay_ms.ok_or_else(|| Error::config("hedge.delayMs", "must be given"))?;
            Ok::<_, Error>(Hedge {
                delay: millis("hedge.delayMs", Some(delay), delay, 1.0)?,
                max_percent: ranged("hedge.maxPercent", hedge.max_percent.unwrap_or(2.0), 0.0, 100.0)?,
            })
        });
        let outlier = Outlier {
            failures: whole("outlier.failures", options.outlier.failures, DEFAULT_FAILURES, 0.0, 1e6)?,
            eject: millis("outlier.ejectMs", options.outlier.eject_ms, DEFAULT_EJECT_MS, 1.0)?,
            max_eject: millis("outlier.maxEjectMs", options.outlier.max_eject_ms, DEFAULT_MAX_EJECT_MS, 1.0)?,
        };
        let health_watch = options.health_watch.map(|health| {
            let interval = millis("healthWatch.intervalMs", health.interval_ms, 5_000.0, 10.0)?;
            Ok::<_, Error>(HealthWatch { service: health.service, interval })
        });
        let keepalive = options.keepalive.unwrap_or_default();
        let transport = Transport {
            tls,
            connect_timeout: millis("connectTimeoutMs", options.connect_timeout_ms, DEFAULT_CONNECT_MS, 1.0)?,
            keepalive: Keepalive {
                interval: millis("keepalive.intervalMs", keepalive.interval_ms, DEFAULT_PING_MS, 10.0)?,
                timeout: millis("keepalive.timeoutMs", keepalive.timeout_ms, DEFAULT_PING_TIMEOUT_MS, 10.0)?,
                while_idle: keepalive.while_idle,
            },
            stream_window: whole("windows.streamBytes", options.windows.stream_bytes, DEFAULT_STREAM_WINDOW, 65_535.0, MAX_WINDOW)?,
            connection_window: whole("windows.connectionBytes", options.windows.connection_bytes, DEFAULT_CONNECTION_WINDOW, 65_535.0, MAX_WINDOW)?,
        };
        let token = options.auth_token;
        if let Some(Token::Fixed(text)) = &token {
            bearer(text)?;
        }
        let seconds = ranged("timeout", options.timeout.unwrap_or(DEFAULT_TIMEOUT_S), 0.001, MAX_TIMEOUT_S)?;
        Ok(Self {
            source,
            api: options.api,
            transport: Arc::new(transport),
            metadata: CallMetadata::new(&options.metadata, token.as_ref())?,
            token,
            timeout: Duration::from_secs_f64(seconds),
            max_retries: whole("maxRetries", options.max_retries, DEFAULT_RETRIES, 0.0, 100.0)?,
            idempotent: options.idempotent,
            max_message_size: whole("maxMessageSize", options.max_message_size, DEFAULT_MESSAGE_BYTES, 1.0, 4_294_967_295.0)?,
            hedge: hedge.transpose()?,
            compression: options.compression,
            balance: options.balance,
            outlier,
            gates: options.gates,
            health_watch: health_watch.transpose()?,
            shared_streams: options.shared_streams,
            keep_error_results: options.keep_error_results,
        })
    }
}

fn source(options: &RemoteOptions) -> Result<Source> {
    let port = options.port.map(|port| whole::<u16>("port", Some(port), port, 1.0, 65_535.0)).transpose()?;
    if let Some(service) = &options.service {
        let registry = options.registry.clone().ok_or_else(|| Error::config("service", "needs a registry to be looked up in"))?;
        if options.host.is_some() || !options.endpoints.is_empty() {
            return Err(Error::config("service", "excludes host and endpoints: the registry has them"));
        }
        let default_port = port.unwrap_or(Api::default_port(options.api));
        return Ok(Source::Service(Named { registry, service: service.clone(), default_port, ssl_enabled: options.ssl_enabled }));
    }
    if options.registry.is_some() {
        return Err(Error::config("registry", "needs the name of a service"));
    }
    let default_port = Api::default_port(options.api);
    let mut addresses = Vec::new();
    if let Some(host) = &options.host {
        addresses.push(Address::host(host, port.unwrap_or(default_port), options.ssl_enabled == Some(true))?);
    } else if port.is_some() {
        return Err(Error::config("port", "needs a host"));
    }
    for (index, text) in options.endpoints.iter().enumerate() {
        let path = format!("endpoints.{index}");
        let address = Address::parse(text, default_port, options.ssl_enabled).map_err(|problem| Error::config(path, problem))?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(Error::config("host", "must be given, or endpoints, or a service of a registry"));
    }
    Ok(Source::Fixed(addresses))
}

pub(super) fn millis(path: &str, given: Option<f64>, default: f64, low: f64) -> Result<Duration> {
    let value = ranged(path, given.unwrap_or(default), low, DAY_MS)?;
    Ok(Duration::from_secs_f64(value / 1_000.0))
}

fn ranged(path: &str, value: f64, low: f64, high: f64) -> Result<f64> {
    if value >= low && value <= high { Ok(value) } else { Err(Error::config(path, format!("must be {low} to {high}, got {value}"))) }
}

/// A whole number within a range that the type holds.
pub(super) fn whole<T: TryFrom<u64>>(path: &str, given: Option<f64>, default: f64, low: f64, high: f64) -> Result<T> {
    let value = ranged(path, given.unwrap_or(default), low, high)?;
    let not_whole = || Error::config(path, format!("must be a whole number, got {value}"));
    if value.fract() != 0.0 {
        return Err(not_whole());
    }
    T::try_from(value as u64).map_err(|_| not_whole())
}
