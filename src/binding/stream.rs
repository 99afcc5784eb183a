//! The native half of a stream: JavaScript's pull loop (`js/stream.js`) gives it items and gets
//! their outputs as answers to its slots.

use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::convert::{self, dress};
use super::error::{Outcome, throw};
use super::options::ProcessOptions;
use super::settle::Ticket;
use super::value::Value;
use crate::data::{Map, Packet, SessionId, Trace, Value as Json};
use crate::engine::{Reply, Stream, StreamOptions, WasmNode};
use crate::error::{Error, Result};
use crate::observe::trace;

/// A stream of one session on one node. Internal: `process` returns an async iterator over it.
#[napi]
pub struct NativeStream {
    stream: Arc<Stream>,
    metadata: Option<Arc<Map<String, Json>>>,
    /// What each item's trace is a part of.
    trace: Option<Trace>,
}

/// Opens a stream on a node that is ready.
pub fn open(node: &Arc<WasmNode>, options: ProcessOptions) -> Result<NativeStream> {
    let ProcessOptions { session, timeout, metadata, trace, .. } = options;
    let stream = node.open(StreamOptions { session, timeout, ..StreamOptions::default() })?;
    Ok(NativeStream { stream: Arc::new(stream), metadata: metadata.map(Arc::new), trace })
}

impl NativeStream {
    fn send(&self, ticket: u32, item: Value) -> Outcome<()> {
        let mut packet = dress(convert::item(item)?, self.metadata.as_ref());
        packet.sequence = self.stream.next_sequence();
        trace::begin(&mut packet, self.trace.as_ref(), Some(self.stream.session_id()));
        let ticket = Ticket::new(item.env, ticket)?;
        let answer = answered(ticket, packet.trace.clone());
        self.stream.submit(packet, answer);
        Ok(())
    }

    fn finish(&self, env: napi::sys::napi_env, ticket: u32) -> Outcome<()> {
        let ticket = Ticket::new(env, ticket)?;
        self.stream.flush(Box::new(move |result| ticket.answer(result)));
        Ok(())
    }
}

#[napi]
impl NativeStream {
    /// The stream's session.
    #[napi(getter)]
    pub fn session_id(&self) -> String {
        self.stream.session_id().as_str().to_owned()
    }

    /// Gives an item to the guest; its outputs answer the slot `ticket`.
    #[napi]
    pub fn submit(&self, env: Env, ticket: u32, item: Unknown<'_>) -> napi::Result<()> {
        let item = Value { env: env.raw(), raw: item.raw() };
        self.send(ticket, item).map_err(|failure| throw(env.raw(), failure))
    }

    /// Lets the guest put out what it holds, as the answer to the slot `ticket`.
    #[napi]
    pub fn flush(&self, env: Env, ticket: u32) -> napi::Result<()> {
        self.finish(env.raw(), ticket).map_err(|failure| throw(env.raw(), failure))
    }

    /// Stops what runs and what waits.
    #[napi]
    pub fn cancel(&self) {
        self.stream.cancel();
    }

    /// Ends the stream, and with it a session of its own.
    #[napi]
    pub fn end(&self) {
        self.stream.end();
    }
}

/// Ends the item's trace, and answers the slot: whoever hears of the answer finds the trace complete.
fn answered(ticket: Ticket, trace: Option<Trace>) -> Reply {
    let Some(trace) = trace else { return Box::new(move |result| ticket.answer(result)) };
    Box::new(move |result| {
        if let Err(error) = &result {
            trace.failed(error);
        }
        drop(trace);
        ticket.answer(result);
    })
}

/// One item without a stream, as the answer to the slot `ticket`. Without a session it gets one of its own, which ends with it; a
/// stateless node has none. Returns the name of the session that the caller did not name.
pub fn call(node: &Arc<WasmNode>, env: napi::sys::napi_env, ticket: u32, item: Value, options: ProcessOptions) -> Outcome<Option<String>> {
    let packet = convert::item(item)?;
    let ProcessOptions { session, timeout, metadata, has_signal, trace } = options;
    if has_signal {
        return Err(Error::config("signal", "is not an option of call; process listens to signals").into());
    }
    let mut packet = dress(packet, metadata.map(Arc::new).as_ref());
    trace::begin(&mut packet, trace.as_ref(), session.as_ref());
    let ticket = Ticket::new(env, ticket)?;
    let own = (session.is_none() && !node.config().stateless).then(SessionId::anonymous);
    let name = match &session {
        Some(_) => None,
        None => Some(own.as_ref().map_or("stateless", SessionId::as_str).to_owned()),
    };
    let item = Call { session, own, timeout, packet, ticket };
    if node.is_ready() {
        item.perform(node);
    } else {
        let later = Arc::clone(node);
        node.initialize(Box::new(move |ready| match ready {
            Ok(()) => item.perform(&later),
            Err(error) => item.ticket.answer(Err(error)),
        }));
    }
    Ok(name)
}

struct Call {
    session: Option<SessionId>,
    /// A session that ends with the call.
    own: Option<SessionId>,
    timeout: Option<Duration>,
    packet: Packet,
    ticket: Ticket,
}

impl Call {
    fn perform(self, node: &Arc<WasmNode>) {
        let Self { session, own, timeout, packet, ticket } = self;
        let answer = answered(ticket, packet.trace.clone());
        let Some(own) = own else { return node.call(session, timeout, packet, answer) };
        let ends = Arc::clone(node);
        let name = own.clone();
        let reply = move |result| {
            answer(result);
            ends.close_session(&name, "stream-end", Box::new(|| {}));
        };
        node.call(Some(own), timeout, packet, Box::new(reply));
    }
}
