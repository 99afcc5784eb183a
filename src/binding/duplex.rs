//! The native half of a stream to a remote node: JavaScript's pull loop (`js/duplex.js`) sends items into it and asks it for packets.
//!
//! The two directions know nothing of each other: what a remote node answers need not belong to an item.

use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;
use parking_lot::Mutex;

use super::convert::{self, dress};
use super::error::{Outcome, throw};
use super::hooks::{self, Hook};
use super::options;
use super::settle::Ticket;
use super::value::Value;
use crate::data::{Map, Packet, SessionId, Value as Json};
use crate::error::Result;
use crate::remote::RemoteStream;

/// Packets handed to JavaScript at once.
const RECEIVE: usize = 64;

/// A stream to a remote node. Internal: methods that stream return an async iterator over it.
#[napi]
pub struct NativeDuplex {
    stream: Arc<RemoteStream>,
    session: SessionId,
    metadata: Option<Arc<Map<String, Json>>>,
    /// Told when the stream is over, for whoever counts it.
    ended: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl NativeDuplex {
    /// Wraps a stream of `session`.
    pub fn new(stream: RemoteStream, session: SessionId, metadata: Option<Map<String, Json>>) -> Self {
        Self { stream: Arc::new(stream), session, metadata: metadata.map(Arc::new), ended: Mutex::new(None) }
    }
}

/// What JavaScript gets for `source`: an iterator over the stream that `open` makes. Errors of `open` come out of the iterator.
pub fn iterate(env: napi::sys::napi_env, source: Value, given: Value, open: impl FnOnce() -> Outcome<NativeDuplex>) -> Outcome<Value> {
    let undefined = Value::undefined(env);
    let opened = options::source(env, source).and_then(|()| open());
    let (native, failure) = match opened {
        Ok(native) => {
            // SAFETY: the environment is the one whose thread this runs on.
            let raw = unsafe { NativeDuplex::to_napi_value(env, native) }.map_err(|_| super::value::Thrown)?;
            (Value { env, raw }, undefined)
        }
        Err(failure) => (undefined, super::error::value(env, failure)?),
    };
    Ok(hooks::call(env, Hook::CreateDuplex, &[native, failure, source, given])?)
}

#[napi]
impl NativeDuplex {
    /// The stream's session.
    #[napi(getter)]
    pub fn session_id(&self) -> String {
        self.session.as_str().to_owned()
    }

    /// Sends an item; false when the next one has to wait for `room`.
    #[napi]
    pub fn send(&self, env: Env, item: Unknown<'_>) -> napi::Result<bool> {
        let item = Value { env: env.raw(), raw: item.raw() };
        let sent = convert::item(item).and_then(|packet| Ok(self.stream.try_send(dress(packet, self.metadata.as_ref()))?));
        sent.map_err(|failure| throw(env.raw(), failure))
    }

    /// Answers the slot `ticket` when there is room for another item.
    #[napi]
    pub fn room(&self, env: Env, ticket: u32) -> napi::Result<()> {
        let ticket = Ticket::new(env.raw(), ticket).map_err(|thrown| throw(env.raw(), thrown.into()))?;
        self.stream.room(Box::new(move |room: Result<()>| ticket.answer(room.map(|()| Vec::new()))));
        Ok(())
    }

    /// Answers the slot `ticket` with packets that have come; with none at the end.
    #[napi]
    pub fn receive(&self, env: Env, ticket: u32) -> napi::Result<()> {
        let ticket = Ticket::new(env.raw(), ticket).map_err(|thrown| throw(env.raw(), thrown.into()))?;
        let answer = move |packets: Result<Option<Vec<Packet>>>| ticket.answer(packets.map(Option::unwrap_or_default));
        self.stream.receive(RECEIVE, Box::new(answer));
        Ok(())
    }

    /// Says that no more items come.
    #[napi]
    pub fn finish(&self) {
        self.stream.finish();
    }

    /// Stops the stream in both directions.
    #[napi]
    pub fn cancel(&self) {
        self.stream.cancel();
    }

    /// Lets go of the stream.
    #[napi]
    pub fn end(&self) {
        if let Some(ended) = self.ended.lock().take() {
            ended();
        }
    }
}
