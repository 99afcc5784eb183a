//! `RemoteProcessingService`, the JavaScript class.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi_derive::napi;
use parking_lot::Mutex;

use super::door::{self, Door};
use super::error::{Outcome, throw};
use super::function::{Function, thrown};
use super::options::Reader;
use super::remote_calls::{json, nothing, promise};
use super::remote_options::pem;
use super::service_call::JsHandler;
use super::value::{Js, Type, Value};
use crate::data::Value as Json;
use crate::engine::timeout;
use crate::error::{Code, Error, Result};
use crate::remote::service::{
    Access, NodeEntry, Parameter, Service, ServiceKeepaliveOptions, ServiceLimitOptions, ServiceOptions, ServiceSessionOptions, ServiceTlsOptions,
    TokenCheck,
};
use crate::remote::{BoxFuture, oneshot};

/// How long calls under way have at `close`, unless it is told otherwise: as long as most load balancers drain.
const GRACE: Duration = Duration::from_secs(10);

/// A server whose nodes are functions, node objects or WebAssembly modules of this application, for clients of RemoteMedia's protocol v0.
///
/// It answers `grpc.health.v1` and server reflection as well. While it listens it keeps the process alive.
#[napi]
pub struct RemoteProcessingService {
    service: Arc<Service>,
    /// Held while it listens.
    listening: Arc<Mutex<Option<Arc<Door>>>>,
}

/// The application's own check of tokens.
struct JsCheck(Arc<Function>);

impl TokenCheck for JsCheck {
    fn check(&self, token: String) -> BoxFuture<'static, Result<bool>> {
        let (sender, receiver) = oneshot::channel();
        let function = Arc::clone(&self.0);
        self.0.door().run(move |env| {
            let done = move |env, returned: std::result::Result<Value, Value>| {
                let answer = match returned {
                    // Only a plain yes lets anybody in.
                    Ok(value) => Ok(value.as_boolean() == Some(true)),
                    Err(error) => Err(thrown(env, Code::Remote, "authToken", error)),
                };
                let _ = sender.send(answer);
            };
            let asked = Value::string(env, &token).and_then(|token| function.call(env, [token, Value::undefined(env)], Box::new(done)));
            // Not called: the sender is dropped, and the check fails.
            drop(asked);
        });
        Box::pin(async move { receiver.await.unwrap_or_else(|_| Err(Error::new(Code::Closed, "the environment that checks tokens is gone"))) })
    }
}

fn access(reader: &mut Reader) -> Outcome<Option<Access>> {
    let Some(value) = reader.any("authToken")? else { return Ok(None) };
    if let Some(text) = value.text() {
        return Ok(Some(Access::Tokens(vec![text])));
    }
    if value.get_type() == Type::Function {
        return Ok(Some(Access::Check(Arc::new(JsCheck(Arc::new(Function::keep(value)?))))));
    }
    if value.is_array() {
        return Ok(Some(Access::Tokens(reader.texts("authToken")?)));
    }
    Err(reader.wrong("authToken", "a string, an array of strings or a function", value).into())
}

fn make(given: Value) -> Outcome<Service> {
    let mut reader = Reader::new(given, "")?;
    let mut options = ServiceOptions { host: reader.string("host")?, port: reader.number("port")?, ..ServiceOptions::default() };
    options.access = access(&mut reader)?;
    if let Some(mut tls) = reader.object("tls")? {
        let (cert, key, client_ca) = (pem(&mut tls, "cert")?, pem(&mut tls, "key")?, pem(&mut tls, "clientCa")?);
        options.tls = Some(ServiceTlsOptions { cert, key, client_ca });
        tls.finish()?;
    }
    if let Some(mut limits) = reader.object("limits")? {
        options.limits = ServiceLimitOptions {
            max_concurrent_calls: limits.number("maxConcurrentCalls")?,
            max_connections: limits.number("maxConnections")?,
            max_streams: limits.number("maxStreams")?,
            max_message_size: limits.number("maxMessageSize")?,
            max_buffered_bytes: limits.number("maxBufferedBytes")?,
        };
        limits.finish()?;
    }
    if let Some(mut keepalive) = reader.object("keepalive")? {
        options.keepalive = ServiceKeepaliveOptions { interval_ms: keepalive.number("intervalMs")?, timeout_ms: keepalive.number("timeoutMs")? };
        keepalive.finish()?;
    }
    if let Some(mut sessions) = reader.object("sessions")? {
        options.sessions = ServiceSessionOptions { max: sessions.number("max")?, ttl_ms: sessions.number("ttlMs")? };
        sessions.finish()?;
    }
    reader.finish()?;
    Ok(Service::new(options)?)
}

/// `category`, `description` and `parameters` of what was registered, where it has them.
fn described(mut entry: NodeEntry, given: Value) -> Outcome<NodeEntry> {
    if given.get_type() != Type::Object {
        return Ok(entry);
    }
    let text = |key: &str| -> Outcome<Option<String>> {
        let value = given.get(key)?;
        match value.text() {
            Some(text) => Ok(Some(text)),
            None if value.is_undefined() => Ok(None),
            None => Err(Error::config(key, format!("must be a string, got {}", value.get_type().name())).into()),
        }
    };
    if let Some(category) = text("category")? {
        entry.category = category;
    }
    if let Some(description) = text("description")? {
        entry.description = description;
    }
    let parameters = given.get("parameters")?;
    if parameters.is_array() {
        for index in 0..parameters.length() {
            let mut reader = Reader::new(parameters.at(index)?, &format!("parameters.{index}"))?;
            let name = reader.string("name")?.ok_or_else(|| Error::config(reader.full("name"), "must be given"))?;
            entry.parameters.push(Parameter {
                name,
                kind: reader.string("type")?.unwrap_or_else(|| "any".to_owned()),
                description: reader.string("description")?.unwrap_or_default(),
                required: reader.boolean("required")?,
                default: reader.json("default")?.map(|value| value.to_string()),
            });
            reader.finish()?;
        }
    }
    Ok(entry)
}

impl RemoteProcessingService {
    fn offer(&self, node_type: Value, handlers: Value, entry: Value) -> Outcome<()> {
        let wrong = || Error::config("nodeType", format!("must be a string, got {}", node_type.get_type().name()));
        let name = node_type.text().ok_or_else(wrong)?;
        if handlers.is_undefined() {
            let problem = "must be a function, a generator function, a node, or an object with execute, stream or create";
            return Err(Error::config("node", problem).into());
        }
        let entry = described(NodeEntry::new(JsHandler::new(handlers)?), entry)?;
        Ok(self.service.register(&name, entry)?)
    }

    fn start(&self, env: napi::sys::napi_env) -> Outcome<Value> {
        let door = door::here(env)?;
        let (service, listening) = (Arc::clone(&self.service), Arc::clone(&self.listening));
        let work = async move { service.listen().await };
        let made = move |env: napi::sys::napi_env, address: SocketAddr| -> Js<Value> {
            let mut held = listening.lock();
            if held.is_none() {
                door.expect(env);
                *held = Some(door);
            }
            let answer = Value::object(env)?;
            answer.set("host", Value::string(env, &address.ip().to_string())?)?;
            answer.set("port", Value::number(env, f64::from(address.port()))?)?;
            Ok(answer)
        };
        promise(env, work, made)
    }

    fn stop(&self, env: napi::sys::napi_env, given: Value) -> Outcome<Value> {
        let mut reader = Reader::new(given, "")?;
        let grace = timeout("graceMs", reader.number("graceMs")?)?.unwrap_or(GRACE);
        reader.finish()?;
        let (service, listening) = (Arc::clone(&self.service), Arc::clone(&self.listening));
        let work = async move {
            service.close(grace).await;
            Ok(())
        };
        promise(env, work, move |env, ()| {
            if let Some(door) = listening.lock().take() {
                door.settled(env, 1);
            }
            nothing(env, ())
        })
    }
}

#[napi]
impl RemoteProcessingService {
    /// Makes a service that does not listen yet.
    ///
    /// @throws `ConfigurationError` (`ERR_CONFIG`) with the `path` of a wrong or unknown option.
    #[napi(constructor, ts_args_type = "options?: RemoteProcessingServiceOptions")]
    pub fn new(env: Env, options: Unknown<'_>) -> napi::Result<Self> {
        let raw = env.raw();
        let service = make(Value { env: raw, raw: options.raw() }).map_err(|failure| throw(raw, failure))?;
        Ok(Self { service: Arc::new(service), listening: Arc::default() })
    }

    /// The native half of `register`. Internal.
    #[napi(skip_typescript)]
    pub fn add(&self, env: Env, node_type: Unknown<'_>, handlers: Unknown<'_>, entry: Unknown<'_>) -> napi::Result<()> {
        let raw = env.raw();
        let [node_type, handlers, entry] = [node_type.raw(), handlers.raw(), entry.raw()].map(|value| Value { env: raw, raw: value });
        self.offer(node_type, handlers, entry).map_err(|failure| throw(raw, failure))
    }

    /// Starts to serve, and says where. Again, it says it again.
    ///
    /// @throws `ConfigurationError` (`ERR_CONFIG`), path `port` or `host`, when the address is taken, not allowed or not this machine's.
    #[napi(ts_return_type = "Promise<{ host: string; port: number }>")]
    pub fn listen<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        self.start(env.raw()).map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }

    /// Stops: health says so, new calls are turned away, those under way have `graceMs` (10000), then they are ended. Idempotent.
    #[napi(ts_args_type = "options?: { graceMs?: number }", ts_return_type = "Promise<void>")]
    pub fn close<'env>(&self, env: Env, options: Unknown<'env>) -> napi::Result<Unknown<'env>> {
        let given = Value { env: env.raw(), raw: options.raw() };
        self.stop(env.raw(), given).map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
    }

    /// The service's figures; the table of names and units is in docs/metrics.md.
    #[napi(ts_return_type = "Record<string, any>")]
    pub fn metrics<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        json(env.raw(), Json::Object(self.service.metrics())).map(Value::unknown).map_err(|thrown| throw(env.raw(), thrown.into()))
    }
}
