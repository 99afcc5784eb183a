//! The native half of a stream to a remote node or through a pipeline: JavaScript's pull loop (`js/duplex.js`) sends items into it and asks it for packets.
//!
//! The two directions know nothing of each other: what a remote node answers need not belong to an item.

use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::convert::{self, dress};
use super::error::{Outcome, throw};
use super::hooks::{self, Hook};
use super::options;
use super::settle::Ticket;
use super::value::Value;
use crate::data::{Map, Packet, SessionId, Value as Json};
use crate::error::Result;
use crate::pipeline::PipelineStream;
use crate::remote::{Received, RemoteStream, Room};

/// Packets handed to JavaScript at once.
const RECEIVE: usize = 64;

/// Both halves of a stream whose directions know nothing of each other.
pub trait Duplex: Send + Sync {
    fn try_send(&self, packet: Packet) -> Result<bool>;
    fn room(&self, then: Room);
    fn receive(&self, max: usize, then: Received);
    fn finish(&self);
    fn cancel(&self);
}

macro_rules! duplex {
    ($stream:ty) => {
        impl Duplex for $stream {
            fn try_send(&self, packet: Packet) -> Result<bool> {
                Self::try_send(self, packet)
            }
            fn room(&self, then: Room) {
                Self::room(self, then);
            }
            fn receive(&self, max: usize, then: Received) {
                Self::receive(self, max, then);
            }
            fn finish(&self) {
                Self::finish(self);
            }
            fn cancel(&self) {
                Self::cancel(self);
            }
        }
    };
}

duplex!(RemoteStream);
duplex!(PipelineStream);

/// A stream to a remote node or through a pipeline. Internal: methods that stream return an async iterator over it.
#[napi]
pub struct NativeDuplex {
    stream: Box<dyn Duplex>,
    session: SessionId,
    metadata: Option<Arc<Map<String, Json>>>,
}

impl NativeDuplex {
    /// Wraps a stream of `session`.
    pub fn new(stream: impl Duplex + 'static, session: SessionId, metadata: Option<Map<String, Json>>) -> Self {
        Self { stream: Box::new(stream), session, metadata: metadata.map(Arc::new) }
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

    /// Nothing to let go of: a stream that has ended holds nothing, and one that has not is cancelled.
    #[napi]
    #[allow(clippy::unused_self, reason = "a method in JavaScript, as that of the guests' streams")]
    pub fn end(&self) {}
}
