//! A service's options, checked once and unchanging afterwards.
//!
//! Problem: options come from untyped JavaScript, and a wrong one must be named by its path before anything listens. Answer:
//! [`ServiceOptions`] is what the caller may leave out; [`ServiceConfig::new`] fills in the defaults, checks ranges and reads certificates.
//! Times are milliseconds and sizes bytes, as the names say. It does not open sockets: a port in use is found by `listen`.

use std::time::Duration;

use super::access::{Accepted, Access};
use super::tls::{ServiceTlsOptions, server_tls};
use crate::error::{Error, Result};
use crate::remote::config::{millis, whole};

/// `limits`: how much clients may ask of the service at a time.
#[derive(Clone, Debug, Default)]
pub struct ServiceLimitOptions {
    /// Calls and streams under way, all clients together; one more is refused at once.
    pub max_concurrent_calls: Option<f64>,
    /// Connections; one more is closed at once.
    pub max_connections: Option<f64>,
    /// Calls and streams under way on one connection; HTTP/2 makes the client wait with one more.
    pub max_streams: Option<f64>,
    /// Bytes of one message, either way.
    pub max_message_size: Option<f64>,
    /// Bytes of messages that the service holds, all calls together; a call that needs more is refused.
    pub max_buffered_bytes: Option<f64>,
}

/// `keepalive`: HTTP/2 pings to clients, which find those that are gone without a word. Pings of clients are answered however often they come.
#[derive(Clone, Debug, Default)]
pub struct ServiceKeepaliveOptions {
    /// Silence after which a ping goes out.
    pub interval_ms: Option<f64>,
    /// Time for its answer, and for a new connection's first bytes.
    pub timeout_ms: Option<f64>,
}

/// `sessions`: those that clients name.
#[derive(Clone, Debug, Default)]
pub struct ServiceSessionOptions {
    /// Most of them; one more closes the one that was unused for longest.
    pub max: Option<f64>,
    /// Time without a call after which one is closed.
    pub ttl_ms: Option<f64>,
}

/// Options as the caller gave them; `None` means the default.
#[derive(Clone, Default)]
pub struct ServiceOptions {
    /// Name or address to listen at. This machine only, unless it says otherwise; the stock server listens to the world.
    pub host: Option<String>,
    /// Port to listen at; 0 takes any free one.
    pub port: Option<f64>,
    /// Certificates; without them connections are not encrypted, as on the stock server.
    pub tls: Option<ServiceTlsOptions>,
    /// Who may call; everybody by default, as on the stock server.
    pub access: Option<Access>,
    /// Limits.
    pub limits: ServiceLimitOptions,
    /// Pings.
    pub keepalive: ServiceKeepaliveOptions,
    /// Sessions.
    pub sessions: ServiceSessionOptions,
}

/// Checked options with every default filled in.
#[derive(Clone)]
pub struct ServiceConfig {
    /// Name or address to listen at.
    pub host: String,
    /// Port to listen at; 0 is any.
    pub port: u16,
    /// Certificates.
    pub tls: Option<tonic::transport::ServerTlsConfig>,
    /// Who may call.
    pub access: Accepted,
    /// Calls under way.
    pub max_concurrent_calls: usize,
    /// Connections.
    pub max_connections: usize,
    /// Calls on one connection.
    pub max_streams: u32,
    /// Bytes of one message.
    pub max_message_size: usize,
    /// Bytes of messages held.
    pub max_buffered_bytes: usize,
    /// Silence before a ping.
    pub ping_interval: Duration,
    /// Time for its answer, and for a new connection's first bytes.
    pub ping_timeout: Duration,
    /// Most named sessions.
    pub max_sessions: usize,
    /// Time without a call.
    pub session_ttl: Duration,
}

/// Where RemoteMedia's own server of this protocol listens.
pub const DEFAULT_PORT: u16 = 50_052;
/// What gRPC's length field holds.
const MAX_MESSAGE_BYTES: f64 = 4_294_967_295.0;
/// Less would be all that the service does.
const LEAST_MS: f64 = 10.0;
/// A thousand live streams are more than one machine's nodes serve. One whose client neither reads nor stops sending holds less than 2 MiB: a
/// window of input, a line of outputs and HTTP/2's send buffer.
const DEFAULT_CALLS: f64 = 1_024.0;
/// Below the usual limit of descriptors, 1024, with room for the process's own.
const DEFAULT_CONNECTIONS: f64 = 512.0;
/// What RFC 9113 advises as the least.
const DEFAULT_STREAMS: f64 = 100.0;
/// The same bound as the client's, for the same reasons.
const DEFAULT_MESSAGE_BYTES: f64 = 67_108_864.0;
/// Or four messages, if that is more: a few long ones at a time beside many short ones.
const DEFAULT_BUFFERED_BYTES: f64 = 268_435_456.0;
/// Within a minute a client that vanished gives back what it held, and mobile radios may sleep in between.
const DEFAULT_PING_MS: f64 = 30_000.0;
const DEFAULT_PING_TIMEOUT_MS: f64 = 20_000.0;
/// The same as sessions at the edge.
const DEFAULT_SESSIONS: f64 = 10_000.0;
const DEFAULT_SESSION_TTL_MS: f64 = 600_000.0;

impl ServiceConfig {
    /// Checks the options.
    pub fn new(options: ServiceOptions) -> Result<Self> {
        let host = options.host.unwrap_or_else(|| "127.0.0.1".to_owned());
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(Error::config("host", format!("must be a host name or an IP address, got '{}'", host.escape_debug())));
        }
        let limits = options.limits;
        let max_message_size: usize = whole("limits.maxMessageSize", limits.max_message_size, DEFAULT_MESSAGE_BYTES, 1_024.0, MAX_MESSAGE_BYTES)?;
        let buffered = DEFAULT_BUFFERED_BYTES.max(4.0 * max_message_size as f64);
        let max_buffered_bytes = whole("limits.maxBufferedBytes", limits.max_buffered_bytes, buffered, 1.0, 9e15)?;
        if max_buffered_bytes < max_message_size {
            return Err(Error::config("limits.maxBufferedBytes", format!("must be at least limits.maxMessageSize, {max_message_size} bytes")));
        }
        Ok(Self {
            host,
            port: whole("port", options.port, f64::from(DEFAULT_PORT), 0.0, 65_535.0)?,
            tls: options.tls.as_ref().map(server_tls).transpose()?,
            access: Accepted::new(options.access)?,
            max_concurrent_calls: whole("limits.maxConcurrentCalls", limits.max_concurrent_calls, DEFAULT_CALLS, 1.0, 1e6)?,
            max_connections: whole("limits.maxConnections", limits.max_connections, DEFAULT_CONNECTIONS, 1.0, 1e6)?,
            max_streams: whole("limits.maxStreams", limits.max_streams, DEFAULT_STREAMS, 1.0, 1e6)?,
            max_message_size,
            max_buffered_bytes,
            ping_interval: millis("keepalive.intervalMs", options.keepalive.interval_ms, DEFAULT_PING_MS, LEAST_MS)?,
            ping_timeout: millis("keepalive.timeoutMs", options.keepalive.timeout_ms, DEFAULT_PING_TIMEOUT_MS, LEAST_MS)?,
            max_sessions: whole("sessions.max", options.sessions.max, DEFAULT_SESSIONS, 1.0, 1e7)?,
            session_ttl: millis("sessions.ttlMs", options.sessions.ttl_ms, DEFAULT_SESSION_TTL_MS, LEAST_MS)?,
        })
    }
}
