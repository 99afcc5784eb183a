//! `StreamNode`: items in, items out, until the client has no more.
//!
//! The client says first what it wants (`init`), gets no acknowledgement, and then its items' answers in the order in which the handler puts
//! them out. The handler runs as a task of its own, so that it goes on, and ends in time, while the client does not read.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::call::{Call, guarded, session_of};
use super::core::Core;
use super::execute::{Failure, wire};
use super::items::{End, ItemSink, ItemSource};
use super::outgoing::{Outgoing, Writing};
use super::pipe::Pipe;
use super::sessions::SessionUse;
use crate::data::{Bytes, Packet};
use crate::error::{Code, Error, Result};
use crate::remote::codec::{self, Wire};
use crate::remote::pb::v0;

/// Bytes of outputs that wait for a client to read. HTTP/2 holds some more: together a few hundred milliseconds of audio on a slow link.
pub const LINE_BYTES: usize = 256 << 10;

/// What went wrong with what the client sends. Whatever the handler makes of it, the stream ends with this.
#[derive(Clone, Default)]
pub struct Trouble(Arc<Mutex<Option<End>>>);

impl Trouble {
    /// Notes the first failure, and gives it to the handler.
    pub fn item(&self, error: Error) -> Error {
        self.0.lock().get_or_insert_with(|| End::Failed(error.clone()));
        error
    }

    /// Notes a failure of the call as such.
    pub fn status(&self, status: Status) -> Error {
        let error = Error::new(Code::Aborted, format!("the client's stream broke: {}", status.message()));
        self.0.lock().get_or_insert_with(|| End::Status(Box::new(in_grpc_terms(status))));
        error
    }

    /// How the stream ends, given how its handler did.
    pub fn end(&self, done: Result<(), Failure>) -> End {
        let noted = self.0.lock().take();
        match (done, noted) {
            (Err(Failure::Status(status)), _) => End::Status(Box::new(status)),
            (_, Some(trouble)) => trouble,
            (Err(Failure::Told(error)), None) => End::Failed(error),
            (Ok(()), None) => End::Done,
        }
    }
}

/// See `body.rs`.
pub fn in_grpc_terms(status: Status) -> Status {
    if status.code() == tonic::Code::OutOfRange { Status::resource_exhausted(status.message()) } else { status }
}

/// The rpc.
pub fn stream_node(core: &Arc<Core>, request: Request<Streaming<v0::StreamData>>) -> Result<Response<Outgoing<v0::StreamData>>, Status> {
    let call = Call::of(&request)?;
    let (metadata, _, messages) = request.into_parts();
    let line = Pipe::new(LINE_BYTES);
    let answers = Outgoing::new(core, &call, &line);
    let writing = Arc::clone(&answers.writing);
    let core = Arc::clone(core);
    tokio::spawn(async move {
        let active = Active::new(&core);
        let trouble = Trouble::default();
        let set = |chosen: Writing| drop(writing.set(chosen));
        let work = run(&core, &call, &metadata, messages, &line, &trouble, set);
        let done = tokio::select! {
            biased;
            status = call.ended_early() => Err(Failure::Status(status)),
            done = work => done,
        };
        // Before the client hears of the end: its next call finds the place free.
        call.cancel.cancel();
        drop(active);
        line.finish(trouble.end(done));
    });
    Ok(Response::new(answers))
}

/// A stream under way.
pub struct Active(Arc<Core>);

impl Active {
    /// Counts it.
    pub fn new(core: &Arc<Core>) -> Self {
        core.metrics.streams.add(1);
        core.metrics.active_streams.add(1);
        Self(Arc::clone(core))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.metrics.active_streams.sub(1);
    }
}

async fn run(
    core: &Arc<Core>,
    call: &Call,
    metadata: &MetadataMap,
    mut messages: Streaming<v0::StreamData>,
    line: &Pipe<End>,
    trouble: &Trouble,
    set: impl FnOnce(Writing),
) -> Result<(), Failure> {
    use v0::stream_data::Payload;
    let first = messages.message().await.map_err(|status| Failure::Status(in_grpc_terms(status)))?;
    let Some(Payload::Init(init)) = first.and_then(|message| message.payload) else {
        return Err(Failure::Status(Status::invalid_argument("Stream must be initialized with a StreamInit message.")));
    };
    let entry = core.node(&init.node_type)?;
    let wire = wire(&init.serialization_format)?;
    let held = Arc::clone(&call.held);
    let payloads = stream::unfold((messages, held), |(mut messages, held)| async move {
        loop {
            held.next_message();
            return match messages.message().await {
                Ok(Some(v0::StreamData { payload: Some(Payload::Data(bytes)), .. })) => Some((Ok(bytes), (messages, held))),
                // A second init, or nothing: the stock server takes no notice either.
                Ok(Some(_)) => continue,
                Ok(None) => None,
                Err(status) => Some((Err(status), (messages, held))),
            };
        }
    });
    let used = Arc::new(std::sync::OnceLock::new());
    let mut items = items(core, call, payloads.boxed(), wire, trouble, Arc::clone(&used));
    let (session, inside) = match session_of(metadata)? {
        Some(session) => (Some(session), None),
        None => {
            // The session stands in the first item, and the handler is to know it from the start.
            let first = items.next().await;
            let inside = first.as_ref().and_then(|item| item.as_ref().ok()).and_then(codec::session_of);
            items = stream::iter(first).chain(items).boxed();
            (inside.clone(), inside)
        }
    };
    if let Some(entered) = core.enter(&init.node_type, &entry, session.as_ref()) {
        let _ = used.set(entered);
    }
    set(Writing { wire, session: inside });
    let info = call.info(&init.node_type, codec::parse_config(&init.config), metadata, session);
    let source = ItemSource::new(items, call.cancel.clone());
    let input = source.clone();
    let done = guarded(&init.node_type, || Arc::clone(&entry.handler).stream(info, input, ItemSink::new(line.clone(), call.cancel.clone()))).await;
    source.close().await;
    Ok(done?)
}

/// The payloads of a stream as packets. Each one's bytes count as held until the handler asks for the next.
pub fn items(
    core: &Arc<Core>,
    call: &Call,
    payloads: BoxStream<'static, Result<Bytes, Status>>,
    wire: Wire,
    trouble: &Trouble,
    used: Arc<std::sync::OnceLock<SessionUse>>,
) -> BoxStream<'static, Result<Packet>> {
    let (core, held, trouble) = (Arc::clone(core), Arc::clone(&call.held), trouble.clone());
    let read = move |payload: Result<Bytes, Status>| {
        let bytes = payload.map_err(|status| trouble.status(status))?;
        held.at_least(bytes.len()).map_err(|status| trouble.status(*status))?;
        let packet = codec::decode(&bytes, wire).map_err(|error| trouble.item(error))?;
        core.metrics.items_in.add(1);
        if let Some(used) = used.get() {
            used.item();
        }
        Ok(packet)
    };
    payloads.map(read).fuse().boxed()
}
