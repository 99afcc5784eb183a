//! The parameters of the node type that runs a pipeline on a remote.
//!
//! Problem: they are one large object with a pipeline in it, defaults that are RemoteMedia's, and choices that exclude each other. Answer:
//! [`RemotePipelineParams`] reads them once: every default filled in, every contradiction named by its place, the pipeline checked like the
//! one that it is in. What would have to be fetched over HTTP first (`manifest_url`, `pipeline_name`) is refused, as nothing here speaks
//! HTTP; so is a transport other than gRPC. It connects to nothing, and what the variables of the environment are its caller says.

use std::time::Duration;

use serde_json::{Map, Value};

use super::fields::{Fields, mismatch, short};
use super::{MAX_NESTING, Manifest};
use crate::error::{Error, Result};
use crate::remote::{Address, Token};

/// The node type.
pub const REMOTE_PIPELINE_NODE: &str = "RemotePipelineNode";

/// For the check of endpoints alone; the client that connects has its own.
const ANY_PORT: u16 = 1;
/// Most endpoints of one node.
const MAX_ENDPOINTS: usize = 1_000;
/// Most retries, as the client has it.
const MAX_RETRIES: u64 = 100;
/// Most calls that a breaker counts.
const MAX_THRESHOLD: u64 = 1_000_000;
/// A day: longer is surely a mistake of units.
const DAY_MS: u64 = 86_400_000;

/// What a `RemotePipelineNode` is to do. Fields that are not known are ignored, as RemoteMedia does.
#[derive(Clone, Debug)]
pub struct RemotePipelineParams {
    /// `host:port` or URLs, at least one; from `endpoint` or `endpoints`.
    pub endpoints: Vec<String>,
    /// The pipeline that the remote runs.
    pub manifest: Manifest,
    /// For one item; 30 s by default.
    pub timeout: Duration,
    /// After failures that may pass.
    pub retry: Retry,
    /// For a remote that keeps failing.
    pub circuit_breaker: CircuitBreaker,
    /// Among several endpoints; in turn by default.
    pub load_balance_strategy: LoadBalance,
    /// Of the endpoints; none by default.
    pub health_check: Option<HealthCheck>,
    /// Bearer token, variables put in; none by default. Debugging output does not show it.
    pub auth_token: Option<Token>,
    /// Goes with every call.
    pub metadata: Vec<(String, String)>,
}

/// Further attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// At most this many; 3 by default, 0 is none.
    pub max_retries: u32,
    /// Pause before the first, doubled for each further one; 1 s by default.
    pub backoff: Duration,
}

/// When a remote is left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Failures in a row that open it; 5 by default.
    pub failure_threshold: u32,
    /// Successes in a row that close it again; 2 by default.
    pub success_threshold: u32,
    /// How long it stays open before a call is let through as a test; 60 s by default.
    pub reset_timeout: Duration,
}

/// Which endpoint takes a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LoadBalance {
    /// In turn.
    #[default]
    RoundRobin,
    /// The one with the fewest calls under way.
    LeastConnections,
    /// Any.
    Random,
}

impl LoadBalance {
    /// The words in a manifest.
    pub const WORDS: [(&str, LoadBalance); 3] =
        [("round_robin", LoadBalance::RoundRobin), ("least_connections", LoadBalance::LeastConnections), ("random", LoadBalance::Random)];
}

/// Whether an endpoint still answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Between two checks; 5 s by default.
    pub interval: Duration,
    /// For one check; 2 s by default.
    pub timeout: Duration,
}

impl RemotePipelineParams {
    /// Reads them. `path` is where they are, such as `nodes.1.params`; `env` gives the values of variables that `auth_token` names as
    /// `${NAME}`, and one that it does not know is an error.
    pub fn read(params: &Map<String, Value>, path: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut fields = Fields::new(Value::Object(params.clone()), path)?;
        match fields.text("transport")?.as_deref() {
            None | Some("grpc") => {}
            Some(other) => return Err(mismatch(&fields.at("transport"), "'grpc'", Some(&other.into()))),
        }
        let endpoints = endpoints(&mut fields)?;
        let manifest = pipeline(&mut fields)?;
        let timeout = millis(&mut fields, "timeout_ms", 30_000, 1)?;
        let mut part = |key: &str| fields.fields(key)?.map_or_else(|| Fields::new(Map::new().into(), ""), Ok);
        let (mut retry, mut breaker) = (part("retry")?, part("circuit_breaker")?);
        let retry =
            Retry { max_retries: retry.whole("max_retries", 3, 0, MAX_RETRIES)? as u32, backoff: millis(&mut retry, "backoff_ms", 1_000, 0)? };
        let circuit_breaker = CircuitBreaker {
            failure_threshold: breaker.whole("failure_threshold", 5, 1, MAX_THRESHOLD)? as u32,
            success_threshold: breaker.whole("success_threshold", 2, 1, MAX_THRESHOLD)? as u32,
            reset_timeout: millis(&mut breaker, "reset_timeout_ms", 60_000, 1)?,
        };
        let load_balance_strategy = fields.word("load_balance_strategy", &LoadBalance::WORDS)?.unwrap_or_default();
        let health_check = match fields.fields("health_check")? {
            None => None,
            Some(mut check) => {
                Some(HealthCheck { interval: millis(&mut check, "interval_ms", 5_000, 10)?, timeout: millis(&mut check, "timeout_ms", 2_000, 1)? })
            }
        };
        let auth_token = auth_token(&mut fields, env)?;
        let metadata = metadata(&mut fields)?;
        Ok(Self { endpoints, manifest, timeout, retry, circuit_breaker, load_balance_strategy, health_check, auth_token, metadata })
    }
}

/// Reads a manifest that is inside others, as the `level`th counted from the outermost.
pub(super) fn manifest(value: Value, path: &str, level: usize) -> Result<Manifest> {
    if level > MAX_NESTING {
        return Err(Error::config(path, format!("must not be inside more than {} others", MAX_NESTING - 1)));
    }
    if !value.is_object() {
        return Err(mismatch(path, "an object", Some(&value)));
    }
    Manifest::nested(value, level).map_err(|error| error.under(path))
}

fn endpoints(fields: &mut Fields) -> Result<Vec<String>> {
    // A name that RemoteMedia's documents have and its code does not read.
    let hint = if fields.has("server_url") { "; server_url is not read" } else { "" };
    let (one, several) = (fields.text("endpoint")?, fields.texts("endpoints", MAX_ENDPOINTS)?);
    let check = |path: String, text: &str| Address::parse(text, ANY_PORT, None).map_err(|problem| Error::config(path, problem));
    match (one, several) {
        (Some(_), Some(_)) => Err(Error::config(fields.at("endpoints"), "excludes endpoint: one of the two says it all")),
        (None, None) => Err(Error::config(fields.at("endpoint"), format!("must be given, or endpoints{hint}"))),
        (Some(endpoint), None) => {
            check(fields.at("endpoint"), &endpoint)?;
            Ok(vec![endpoint])
        }
        (None, Some(endpoints)) => {
            if endpoints.is_empty() {
                return Err(Error::config(fields.at("endpoints"), "must have an endpoint at least"));
            }
            for (index, endpoint) in endpoints.iter().enumerate() {
                check(format!("{}.{index}", fields.at("endpoints")), endpoint)?;
            }
            Ok(endpoints)
        }
    }
}

/// The one pipeline out of the three ways to say it.
fn pipeline(fields: &mut Fields) -> Result<Manifest> {
    let hint = if fields.has("pipeline_manifest") { "; pipeline_manifest is not read" } else { "" };
    let given = ["manifest", "manifest_url", "pipeline_name"].into_iter().map(|key| Ok((key, fields.take(key)?)));
    let given = given.collect::<Result<Vec<_>>>()?;
    let mut given = given.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
    let Some((key, value)) = given.next() else {
        return Err(Error::config(fields.at("manifest"), format!("must be given{hint}")));
    };
    if let Some((other, _)) = given.next() {
        return Err(Error::config(fields.at(other), format!("excludes {key}: only one of them can be the pipeline")));
    }
    match key {
        "manifest" => {}
        "manifest_url" => {
            return Err(Error::config(fields.at(key), "is not supported, as nothing is fetched over HTTP: put the pipeline itself in manifest"));
        }
        _ => {
            let problem = "is not supported, as it stands for a manifest that manifest_endpoint has over HTTP: put the pipeline itself in manifest";
            return Err(Error::config(fields.at(key), problem));
        }
    }
    for key in ["manifest_endpoint", "auth_header"] {
        if fields.take(key)?.is_some() {
            return Err(Error::config(fields.at(key), "is for pipeline_name, and manifest excludes that"));
        }
    }
    manifest(value, &fields.at("manifest"), 2)
}

fn millis(fields: &mut Fields, key: &str, default: u64, low: u64) -> Result<Duration> {
    fields.whole(key, default, low, DAY_MS).map(Duration::from_millis)
}

fn auth_token(fields: &mut Fields, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Token>> {
    let path = fields.at("auth_token");
    let text = match fields.take("auth_token")? {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        // Whatever it is, it may be secret.
        Some(_) => return Err(Error::config(path, "must be a string")),
    };
    let token = expand(&text, env).map_err(|problem| Error::config(&path, problem))?;
    if token.is_empty() || token.len() > 8_192 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::config(path, "must be 1 to 8192 visible ASCII characters"));
    }
    Ok(Some(Token::Fixed(token)))
}

/// Puts variables in for `${NAME}`.
fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("has ${ without }")?;
        // Anything else between the braces may be a part of the secret.
        if name.is_empty() || name.len() > 256 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err("has a ${...} that is no name of a variable".to_owned());
        }
        out.push_str(before);
        out.push_str(&env(name).ok_or_else(|| format!("wants the variable {name}, which is not set"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn metadata(fields: &mut Fields) -> Result<Vec<(String, String)>> {
    let path = fields.at("metadata");
    let entries = fields.object("metadata")?.unwrap_or_default().into_iter().map(|(key, value)| match value {
        Value::String(text) => Ok((key, text)),
        other => Err(mismatch(&format!("{path}.{}", short(&key, 64)), "a string", Some(&other))),
    });
    entries.collect()
}
