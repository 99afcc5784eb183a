//! Options of everything that reaches a remote service, read from JavaScript. Types are checked here, ranges in `remote/config`.

use std::sync::Arc;

use super::error::Outcome;
use super::options::Reader;
use super::service_registry::ServiceRegistry;
use super::token::JsToken;
use super::value::{Element, Type, Value};
use crate::data::{Map, Value as Json};
use crate::error::Error;
use crate::pipeline::breakers;
use crate::remote::{
    Api, Balance, Compression, HealthOptions, HedgeOptions, KeepaliveOptions, NodeTarget, OutlierOptions, PayloadFormat, RemoteConfig, RemoteOptions,
    TlsOptions, Token, WindowOptions,
};
use crate::routing::{self, BreakerOptions};

/// The option `format`.
pub const FORMATS: [(&str, PayloadFormat); 4] =
    [("auto", PayloadFormat::Auto), ("json", PayloadFormat::Json), ("pickle", PayloadFormat::Pickle), ("raw", PayloadFormat::Raw)];

/// A configuration of its own, such as the argument of `connect` or the option `remote`.
pub fn config(value: Value, path: &'static str) -> Outcome<RemoteConfig> {
    if value.is_undefined() {
        return Err(Error::config(if path.is_empty() { "config" } else { path }, "must be an object with host and port").into());
    }
    let mut reader = Reader::new(value, path)?;
    let options = remote(&mut reader)?;
    reader.finish()?;
    let config = RemoteConfig::new(options).map_err(|error| if path.is_empty() { error } else { error.under(path) })?;
    Ok(config)
}

/// Takes the options of a connection out of an object that may hold others.
pub fn remote(reader: &mut Reader) -> Outcome<RemoteOptions> {
    let mut options = RemoteOptions {
        host: reader.string("host")?,
        port: reader.number("port")?,
        protocol: reader.string("protocol")?,
        api: reader.word("api", &Api::WORDS)?.flatten(),
        endpoints: reader.texts("endpoints")?,
        service: reader.string("service")?,
        ssl_enabled: reader.flag("sslEnabled")?,
        metadata: reader.strings("metadata")?,
        timeout: reader.number("timeout")?,
        max_retries: reader.number("maxRetries")?,
        idempotent: reader.boolean("idempotent")?,
        max_message_size: reader.number("maxMessageSize")?,
        connect_timeout_ms: reader.number("connectTimeoutMs")?,
        compression: reader.word("compression", &Compression::WORDS)?.unwrap_or_default(),
        balance: reader.word("balance", &Balance::WORDS)?.unwrap_or_default(),
        shared_streams: reader.boolean("sharedStreams")?,
        keep_error_results: reader.boolean("keepErrorResults")?,
        ..RemoteOptions::default()
    };
    if let Some(mut tls) = reader.object("tls")? {
        let (ca, cert, key) = (pem(&mut tls, "ca")?, pem(&mut tls, "cert")?, pem(&mut tls, "key")?);
        options.tls = Some(TlsOptions { ca, cert, key, server_name: tls.string("serverName")? });
        tls.finish()?;
    }
    if let Some(mut keepalive) = reader.object("keepalive")? {
        options.keepalive = Some(KeepaliveOptions {
            interval_ms: keepalive.number("intervalMs")?,
            timeout_ms: keepalive.number("timeoutMs")?,
            while_idle: keepalive.boolean("whileIdle")?,
        });
        keepalive.finish()?;
    }
    if let Some(mut hedge) = reader.object("hedge")? {
        options.hedge = Some(HedgeOptions { delay_ms: hedge.number("delayMs")?, max_percent: hedge.number("maxPercent")? });
        hedge.finish()?;
    }
    if let Some(mut outlier) = reader.object("outlier")? {
        options.outlier = OutlierOptions {
            failures: outlier.number("failures")?,
            eject_ms: outlier.number("ejectMs")?,
            max_eject_ms: outlier.number("maxEjectMs")?,
        };
        outlier.finish()?;
    }
    if let Some(mut options_of) = reader.object("circuitBreaker")? {
        let read = breaker(&mut options_of)?;
        options_of.finish()?;
        options.gates = Some(breakers(routing::breaker(&read, &reader.full("circuitBreaker"))?));
    }
    if let Some(mut health) = reader.object("healthWatch")? {
        let service = health.string("service")?.unwrap_or_default();
        options.health_watch = Some(HealthOptions { service, interval_ms: health.number("intervalMs")? });
        health.finish()?;
    }
    if let Some(mut windows) = reader.object("windows")? {
        options.windows = WindowOptions { stream_bytes: windows.number("streamBytes")?, connection_bytes: windows.number("connectionBytes")? };
        windows.finish()?;
    }
    if let Some(value) = reader.any("authToken")? {
        options.auth_token = Some(match value.text() {
            Some(text) => Token::Fixed(text),
            None if value.get_type() == Type::Function => Token::Fresh(Arc::new(JsToken::new(value)?)),
            None => return Err(reader.wrong("authToken", "a string or a function", value).into()),
        });
    }
    if let Some(value) = reader.any("registry")? {
        let registry = ServiceRegistry::of(value).ok_or_else(|| reader.wrong("registry", "a ServiceRegistry", value))?;
        options.registry = Some(registry);
    }
    Ok(options)
}

/// Options of a circuit breaker.
pub fn breaker(reader: &mut Reader) -> Outcome<BreakerOptions> {
    Ok(BreakerOptions {
        failure_threshold: reader.number("failureThreshold")?,
        failure_rate: reader.number("failureRate")?,
        minimum_calls: reader.number("minimumCalls")?,
        window_items: reader.number("windowItems")?,
        success_threshold: reader.number("successThreshold")?,
        reset_timeout_ms: reader.number("resetTimeoutMs")?,
        probes: reader.number("probes")?,
    })
}

/// A certificate or key: PEM as text or bytes.
pub fn pem(reader: &mut Reader, key: &'static str) -> Outcome<Option<Vec<u8>>> {
    let Some(value) = reader.any(key)? else { return Ok(None) };
    let bytes = match value.typed_array() {
        Some((Element::U8, bytes)) => Some(bytes.to_vec()),
        _ => value.text().map(String::into_bytes),
    };
    Ok(Some(bytes.ok_or_else(|| reader.wrong(key, "PEM text or a Uint8Array", value))?))
}

/// A node type on a service: `nodeType`, `config`, `format`.
pub fn target(reader: &mut Reader) -> Outcome<NodeTarget> {
    let node_type = reader.string("nodeType")?.ok_or_else(|| Error::config(reader.full("nodeType"), "must be given"))?;
    let config = parameters(reader, "config")?;
    Ok(NodeTarget { node_type: node_type_of(&node_type, &reader.full("nodeType"))?, config, format: format(reader)? })
}

/// A node type's name.
pub fn node_type_of(text: &str, path: &str) -> Outcome<String> {
    if text.is_empty() || text.len() > 256 {
        return Err(Error::config(path, "must be the name of a node type, 1 to 256 bytes").into());
    }
    Ok(text.to_owned())
}

/// An object of parameters.
pub fn parameters(reader: &mut Reader, key: &'static str) -> Outcome<Map<String, Json>> {
    match reader.json(key)? {
        None => Ok(Map::new()),
        Some(Json::Object(map)) => Ok(map),
        Some(_) => Err(Error::config(reader.full(key), "must be an object of JSON values").into()),
    }
}

/// The option `format`.
pub fn format(reader: &mut Reader) -> Outcome<PayloadFormat> {
    Ok(reader.word("format", &FORMATS)?.unwrap_or(PayloadFormat::Auto))
}
