//! Single calls on a remote service: given by ticket, answered through the door, stopped by ticket.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use napi::bindgen_prelude::*;
use napi_derive::napi;
use parking_lot::Mutex;

use super::convert::{self, dress};
use super::error::{Outcome, throw};
use super::options::ProcessOptions;
use super::promise::Deferred;
use super::settle::Ticket;
use super::value::{Js, Value};
use crate::data::{Map, Packet, SessionId, Value as Json};
use crate::error::Result;
use crate::observe::trace;
use crate::pipeline::RemoteStage;
use crate::remote::{self, CancellationToken, Scope};

/// Calls that can be stopped, by ticket.
#[derive(Clone, Default)]
pub struct Stops(Arc<Mutex<HashMap<u32, CancellationToken>>>);

impl Stops {
    /// Stops the call of this ticket, if it is still under way.
    pub fn stop(&self, ticket: u32) {
        if let Some(token) = self.0.lock().remove(&ticket) {
            token.cancel();
        }
    }

    /// Runs `work` and answers the slot `ticket` with what comes of it. The ticket is forgotten before it is answered: JavaScript uses its
    /// number again.
    pub fn run<F>(&self, ticket: Ticket, stop: Option<CancellationToken>, work: F) -> Outcome<()>
    where
        F: Future<Output = Result<Vec<Packet>>> + Send + 'static,
    {
        let number = ticket.number();
        let stops = stop.map(|token| {
            self.0.lock().insert(number, token);
            self.clone()
        });
        remote::spawn(async move {
            let answer = work.await;
            if let Some(stops) = stops {
                stops.0.lock().remove(&number);
            }
            ticket.answer(answer);
        })?;
        Ok(())
    }
}

/// The scope of a call, and the entries that every item gets beneath its own. Its place in a trace travels as gRPC metadata.
pub fn scope(options: ProcessOptions) -> (Scope, Option<Map<String, Json>>, bool) {
    let ProcessOptions { session, timeout, has_signal, metadata, trace } = options;
    (Scope { timeout, session, trace, ..Scope::default() }, metadata, has_signal)
}

/// An item of JavaScript's that a call is made for, with the trace that begins with it.
fn traced(item: Value, sequence: u64, metadata: Option<&Arc<Map<String, Json>>>, scope: &Scope, session: Option<&SessionId>) -> Outcome<Packet> {
    let mut packet = Packet { sequence, ..dress(convert::item(item)?, metadata) };
    trace::begin(&mut packet, scope.trace.as_ref(), session);
    Ok(packet)
}

/// Asks a remote node for one item, as the answer to the slot `ticket`. Returns the name of a session that the caller did not name.
pub fn execute(stage: &Arc<RemoteStage>, stops: &Stops, ticket: u32, item: Value, options: ProcessOptions) -> Outcome<String> {
    let (scope, metadata, has_signal) = scope(options);
    let packet = traced(item, 0, metadata.map(Arc::new).as_ref(), &scope, scope.session.as_ref())?;
    let name = scope.session.as_ref().map_or_else(String::new, |session| session.as_str().to_owned());
    let stop = has_signal.then(|| scope.cancel.clone());
    let stage = Arc::clone(stage);
    stops.run(Ticket::new(item.env, ticket)?, stop, async move { Ok(vec![stage.execute(packet, &scope).await?]) })?;
    Ok(name)
}

/// A promise of what `work` gives, made into a value on the JavaScript thread.
pub fn promise<T, F>(env: napi::sys::napi_env, work: F, make: impl FnOnce(napi::sys::napi_env, T) -> Js<Value> + Send + 'static) -> Outcome<Value>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let (deferred, promise) = Deferred::new(env)?;
    remote::spawn(async move { deferred.settle(work.await, make) })?;
    Ok(promise)
}

/// A JSON value for JavaScript.
pub fn json(env: napi::sys::napi_env, value: Json) -> Js<Value> {
    Value::from_json(env, &value.to_string())
}

/// Nothing for JavaScript.
#[expect(clippy::unnecessary_wraps, reason = "the shape of whatever makes a promise's value")]
pub fn nothing(env: napi::sys::napi_env, _done: ()) -> Js<Value> {
    Ok(Value::undefined(env))
}

/// A stream of single calls, side by side, answered in the order of the items. Internal: `process` returns an async iterator over it.
#[napi]
pub struct NativeCalls {
    stage: Arc<RemoteStage>,
    stops: Stops,
    scope: Scope,
    metadata: Option<Arc<Map<String, Json>>>,
    session: SessionId,
    items: AtomicU64,
}

impl NativeCalls {
    /// A stream for `options`; without a session it has one of its own, for its name only: calls keep nothing at the far end.
    pub fn new(stage: &Arc<RemoteStage>, options: ProcessOptions) -> Self {
        let (scope, metadata, _) = scope(options);
        let session = scope.session.clone().unwrap_or_else(SessionId::anonymous);
        Self { stage: Arc::clone(stage), stops: Stops::default(), scope, metadata: metadata.map(Arc::new), session, items: AtomicU64::new(0) }
    }

    fn give(&self, ticket: u32, item: Value) -> Outcome<()> {
        let sequence = self.items.load(Ordering::Relaxed);
        let packet = traced(item, sequence, self.metadata.as_ref(), &self.scope, Some(&self.session))?;
        self.items.store(sequence + 1, Ordering::Relaxed);
        let (stage, scope) = (Arc::clone(&self.stage), self.scope.clone());
        let work = async move {
            let mut answer = stage.execute(packet, &scope).await?;
            answer.sequence = sequence;
            Ok(vec![answer])
        };
        self.stops.run(Ticket::new(item.env, ticket)?, None, work)
    }
}

#[napi]
impl NativeCalls {
    /// The stream's session.
    #[napi(getter)]
    pub fn session_id(&self) -> String {
        self.session.as_str().to_owned()
    }

    /// Gives an item to the service; its output answers the slot `ticket`.
    #[napi]
    pub fn submit(&self, env: Env, ticket: u32, item: Unknown<'_>) -> napi::Result<()> {
        let item = Value { env: env.raw(), raw: item.raw() };
        self.give(ticket, item).map_err(|failure| throw(env.raw(), failure))
    }

    /// Answers the slot `ticket` at once: calls hold nothing back.
    #[napi]
    #[allow(clippy::unused_self, reason = "a method in JavaScript, as that of the guests' streams")]
    pub fn flush(&self, env: Env, ticket: u32) -> napi::Result<()> {
        let ticket = Ticket::new(env.raw(), ticket).map_err(|thrown| throw(env.raw(), thrown.into()))?;
        ticket.answer(Ok(Vec::new()));
        Ok(())
    }

    /// Stops what runs.
    #[napi]
    pub fn cancel(&self) {
        self.scope.cancel.cancel();
    }

    /// Nothing to let go of.
    #[napi]
    #[allow(clippy::unused_self, reason = "a method in JavaScript, as that of the guests' streams")]
    pub fn end(&self) {}
}
