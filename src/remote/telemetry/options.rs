//! Where spans and figures go, and how many: options of the application, or else the environment's, as OpenTelemetry names them.

use std::time::Duration;

use http::Uri;

use crate::error::{Error, Result};
use crate::remote::config::{RemoteConfig, RemoteOptions};

/// How OTLP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf in a POST.
    Http = 0,
    /// gRPC.
    Grpc = 1,
}

impl Protocol {
    /// The option's words, which are OpenTelemetry's.
    pub const WORDS: [(&'static str, Self); 2] = [("http/protobuf", Self::Http), ("grpc", Self::Grpc)];
}

/// Options as the caller gives them; `None` means the environment's, or else the default.
#[derive(Clone, Default)]
pub struct TelemetryOptions {
    /// URL of the collector: `OTEL_EXPORTER_OTLP_ENDPOINT`, or `http://localhost:4318`.
    pub endpoint: Option<String>,
    /// `OTEL_EXPORTER_OTLP_PROTOCOL`, or whichever the collector takes.
    pub protocol: Option<Protocol>,
    /// Sent along with every request: `OTEL_EXPORTER_OTLP_HEADERS`.
    pub headers: Vec<(String, String)>,
    /// `OTEL_SERVICE_NAME`, or `remotemedia-wasmedge`.
    pub service_name: Option<String>,
    /// Share of the traces that begin here and are recorded, 0 to 1; all by default.
    pub sample_ratio: Option<f64>,
    /// Traces that begin here and are recorded, each second. 1,000 by default.
    pub max_traces_per_second: Option<f64>,
    /// Between two times that figures are sent; 0 sends none. A minute by default.
    pub metrics_interval_ms: Option<f64>,
    /// For one request. 10 s by default.
    pub timeout_ms: Option<f64>,
}

/// Checked options with every default filled in.
pub struct Telemetry {
    pub endpoint: String,
    pub uri: Uri,
    pub protocol: Option<Protocol>,
    pub headers: Vec<(String, String)>,
    pub service_name: String,
    pub sample_ratio: f64,
    pub max_traces_per_second: f64,
    pub metrics_interval: Option<Duration>,
    pub timeout: Duration,
}

const DEFAULT_ENDPOINT: &str = "http://localhost:4318";
const DEFAULT_SERVICE: &str = "remotemedia-wasmedge";
/// Where collectors take gRPC.
const GRPC_PORT: u16 = 4317;
/// Those of the paths that a whole URL of one signal ends in.
const SIGNALS: [&str; 2] = ["/v1/traces", "/v1/metrics"];
/// What a collector takes without being built for it, and sixteen sessions of 16 ms frames.
const DEFAULT_TRACES: f64 = 1_000.0;
const DEFAULT_INTERVAL_MS: f64 = 60_000.0;
const DEFAULT_TIMEOUT_MS: f64 = 10_000.0;
const DAY_MS: f64 = 86_400_000.0;

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn ranged(path: &str, value: f64, least: f64, most: f64) -> Result<f64> {
    if value >= least && value <= most { Ok(value) } else { Err(Error::config(path, format!("must be from {least} to {most}, got {value}"))) }
}

impl Telemetry {
    pub fn new(options: TelemetryOptions) -> Result<Self> {
        let (path, endpoint) = match options.endpoint {
            Some(endpoint) => ("otlpEndpoint", endpoint),
            None => ("OTEL_EXPORTER_OTLP_ENDPOINT", environment("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned())),
        };
        let uri = uri(path, &endpoint)?;
        let protocol = match (options.protocol, environment("OTEL_EXPORTER_OTLP_PROTOCOL")) {
            (Some(protocol), _) => Some(protocol),
            (None, None) => None,
            (None, Some(word)) => {
                let known = Protocol::WORDS.iter().find(|(known, _)| *known == word);
                let wrong = || Error::config("OTEL_EXPORTER_OTLP_PROTOCOL", format!("must be 'http/protobuf' or 'grpc', got '{word}'"));
                Some(known.ok_or_else(wrong)?.1)
            }
        };
        let mut headers = headers(environment("OTEL_EXPORTER_OTLP_HEADERS").as_deref().unwrap_or_default())?;
        headers.extend(options.headers);
        let interval = ranged("metricsIntervalMs", options.metrics_interval_ms.unwrap_or(DEFAULT_INTERVAL_MS), 0.0, DAY_MS)?;
        let timeout = ranged("timeoutMs", options.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS), 1.0, DAY_MS)?;
        let service_name = options.service_name.or_else(|| environment("OTEL_SERVICE_NAME")).unwrap_or_else(|| DEFAULT_SERVICE.to_owned());
        if service_name.is_empty() {
            return Err(Error::config("serviceName", "must not be empty"));
        }
        Ok(Self {
            endpoint,
            uri,
            protocol,
            headers,
            service_name,
            sample_ratio: ranged("sampleRatio", options.sample_ratio.unwrap_or(1.0), 0.0, 1.0)?,
            max_traces_per_second: ranged("maxTracesPerSecond", options.max_traces_per_second.unwrap_or(DEFAULT_TRACES), 1.0, 1e6)?,
            metrics_interval: (interval > 0.0).then(|| Duration::from_secs_f64(interval / 1e3)),
            timeout: Duration::from_secs_f64(timeout / 1e3),
        })
    }

    /// Which one is tried first, where the caller does not say.
    pub fn first_protocol(&self) -> Protocol {
        self.protocol.unwrap_or(if self.uri.port_u16() == Some(GRPC_PORT) { Protocol::Grpc } else { Protocol::Http })
    }

    /// For a POST: what stands before `/v1/traces`.
    pub fn base_path(&self) -> &str {
        let path = self.uri.path();
        SIGNALS.iter().find_map(|signal| path.strip_suffix(signal)).unwrap_or(path).trim_end_matches('/')
    }

    /// A client for gRPC. It tries nothing again by itself, and stands in nobody's figures.
    pub fn remote(&self) -> Result<RemoteConfig> {
        let tls = self.uri.scheme_str() == Some("https");
        RemoteConfig::new(RemoteOptions {
            host: self.uri.host().map(str::to_owned),
            port: Some(self.uri.port_u16().unwrap_or(GRPC_PORT).into()),
            ssl_enabled: Some(tls),
            metadata: self.headers.clone(),
            timeout: Some(self.timeout.as_secs_f64()),
            max_retries: Some(0.0),
            ..RemoteOptions::default()
        })
        .map_err(|error| match error.path() {
            Some(path) if path.starts_with("metadata.") => Error::config(path.replacen("metadata", "headers", 1), error.message().to_owned()),
            _ => Error::config("otlpEndpoint", format!("is unusable: {}", error.message())),
        })
    }
}

fn uri(path: &str, endpoint: &str) -> Result<Uri> {
    let wrong = || Error::config(path, format!("must be a URL such as {DEFAULT_ENDPOINT}, got '{endpoint}'"));
    let uri: Uri = endpoint.parse().map_err(|_| wrong())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
        return Err(wrong());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Error::config(path, "must not hold a user or password; headers are for that"));
    }
    Ok(uri)
}

/// `name=value,name=value`.
fn headers(text: &str) -> Result<Vec<(String, String)>> {
    let wrong = || Error::config("OTEL_EXPORTER_OTLP_HEADERS", "must be name=value, several separated by commas");
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).ok_or_else(wrong)).collect()
}
