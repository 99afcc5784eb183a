//! A call that was let in: what it holds, and what its handler is told.
//!
//! Problem: a call holds a place, bytes and a session, and each must be given back on every way that the call can end. Answer: they are values
//! that give back when dropped, and the call is the one owner of all. Running a handler is here too: a panic of one is an error of that call.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::{Request, Status};

use super::handler::CallInfo;
use super::metrics::Metrics;
use crate::data::{Map, SessionId, TraceContext, Traced, Value};
use crate::error::{Code, Error, Result};
use crate::observe::trace::Span;
use crate::remote::status::name;

/// Bytes of messages that the service holds, all calls together.
pub struct Memory {
    used: AtomicUsize,
    max: usize,
}

impl Memory {
    /// Room for `max` bytes.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max })
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// The bytes that one call holds; given back when the call ends.
pub struct Held {
    memory: Arc<Memory>,
    own: AtomicUsize,
}

/// HTTP/2's largest frame, as long as nobody agrees on another.
const FRAME: usize = 16_384;

impl Held {
    /// Nothing yet.
    pub fn new(memory: &Arc<Memory>) -> Arc<Self> {
        Arc::new(Self { memory: Arc::clone(memory), own: AtomicUsize::new(0) })
    }

    /// Takes `bytes` more, or the status that says there is no room.
    pub fn add(&self, bytes: usize) -> Result<(), Box<Status>> {
        let before = self.memory.used.fetch_add(bytes, Ordering::Relaxed);
        self.own.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.memory.max {
            return Ok(());
        }
        self.release(bytes);
        let text = format!("the service holds {before} bytes of messages, and has no room for {bytes} more (limits.maxBufferedBytes)");
        Err(Box::new(Status::resource_exhausted(text)))
    }

    /// Takes as many as are missing to `bytes`: a message that was compressed is longer than what arrived.
    pub fn at_least(&self, bytes: usize) -> Result<(), Box<Status>> {
        let missing = bytes.saturating_sub(self.own.load(Ordering::Relaxed));
        if missing == 0 { Ok(()) } else { self.add(missing) }
    }

    /// The request is done with, and its answer of so many bytes is held instead.
    pub fn exchange(&self, bytes: usize) -> Result<(), Box<Status>> {
        self.release(usize::MAX);
        self.add(bytes)
    }

    /// The last message of a stream is done with. Of what has arrived, at most a part of one frame belongs to the next.
    pub fn next_message(&self) {
        self.release(self.own.load(Ordering::Relaxed).saturating_sub(FRAME));
    }

    /// Gives back `bytes`, as far as they were taken.
    pub fn release(&self, bytes: usize) {
        let mut given = 0;
        let _ = self.own.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |own| {
            given = own.min(bytes);
            Some(own - given)
        });
        self.memory.used.fetch_sub(given, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release(usize::MAX);
    }
}

/// A call's place among those under way.
pub struct Slot {
    pub metrics: Arc<Metrics>,
    pub _permit: OwnedSemaphorePermit,
    pub _token: TaskTrackerToken,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.metrics.active_calls.sub(1);
    }
}

/// A call that was let in. It travels in the request's extensions.
#[derive(Clone)]
pub struct Call {
    /// Its place, kept by everything that works on it.
    pub slot: Arc<Slot>,
    /// Its bytes.
    pub held: Arc<Held>,
    /// When the client stops waiting.
    pub deadline: Option<Instant>,
    /// The client.
    pub peer: Option<SocketAddr>,
    /// Cancelled when the call is over.
    pub cancel: CancellationToken,
    /// Cancelled when the service ends what is under way.
    pub stop: CancellationToken,
    /// Whether its token was checked, and is nobody's business any more.
    pub token_checked: bool,
    /// What answering it is in the client's trace, where that is recorded.
    pub span: Option<Arc<Span>>,
}

/// Longest metadata name and value, together, that a handler sees; HTTP/2 bounds all of a request's headers at 16 KiB.
const MAX_METADATA: usize = 8_192;

impl Call {
    /// The call that a request is.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let call = request.extensions().get::<Self>().cloned();
        call.ok_or_else(|| Status::internal("the request did not come through the gate"))
    }

    /// What its handler is told.
    pub fn info(&self, node_type: &str, config: Map<String, Value>, metadata: &MetadataMap, session: Option<SessionId>) -> CallInfo {
        let own = |name: &str| name.starts_with("grpc-") || matches!(name, "te" | "content-type" | "user-agent");
        let mut shown = Vec::new();
        for entry in metadata.iter() {
            let KeyAndValueRef::Ascii(key, value) = entry else { continue };
            let (key, Ok(value)) = (key.as_str(), value.to_str()) else { continue };
            let secret = self.token_checked && key == "authorization";
            if !own(key) && !secret && key.len() + value.len() <= MAX_METADATA {
                shown.push((key.to_owned(), value.to_owned()));
            }
        }
        // What is no context is none: whoever continues it would refuse it, and a bad header is no reason to fail.
        let theirs = || metadata.get("traceparent")?.to_str().ok()?.parse::<TraceContext>().ok().map(|context| context.to_string());
        let traceparent = self.span.as_ref().map_or_else(theirs, |span| Some(span.context().to_string()));
        if let Some(span) = &self.span {
            span.set("remotemedia.node", node_type.to_owned());
            if let Some(session) = &session {
                span.set("session.id", session.as_str().to_owned());
            }
        }
        CallInfo {
            node_type: node_type.to_owned(),
            config,
            session,
            metadata: shown,
            traceparent,
            deadline: self.deadline,
            peer: self.peer,
            cancel: self.cancel.clone(),
        }
    }

    /// Notes that its answer is a failure.
    pub fn failed(&self, error: &Error) {
        if let Some(span) = &self.span {
            span.failed(error);
        }
    }

    /// Notes the gRPC status that it ended with.
    pub fn ended(&self, status: tonic::Code) {
        self.slot.metrics.ended(status);
        if let Some(span) = &self.span {
            span.set("rpc.grpc.status_code", status as u32);
            self.failed(&Error::new(Code::Remote, format!("the call ended with {}", name(status))));
        }
    }

    /// The status of a call that ends though its work has not: waits until then.
    pub async fn ended_early(&self) -> Status {
        let late = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => closing(),
            () = self.cancel.cancelled() => Status::cancelled("the client has left"),
            () = late => past_deadline(),
        }
    }
}

/// The deadline that the client gave has passed.
pub fn past_deadline() -> Status {
    Status::deadline_exceeded("the call took longer than its deadline allows")
}

/// The service ends.
pub fn closing() -> Status {
    Status::unavailable("the service is closing")
}

/// The session that the request's metadata names; an unusable id is the client's mistake.
pub fn session_of(metadata: &MetadataMap) -> Result<Option<SessionId>> {
    let Some(value) = metadata.get("x-session-id") else { return Ok(None) };
    let wrong = || Error::new(Code::Config, "the request's metadata x-session-id must be 1 to 256 bytes of text without NUL");
    let text = value.to_str().map_err(|_| wrong())?;
    SessionId::new(text).map(Some).map_err(|_| wrong())
}

/// Runs a handler's work; a panic becomes an error.
pub async fn guarded<T, W>(node_type: &str, work: impl FnOnce() -> W) -> Result<T>
where
    W: Future<Output = Result<T>>,
{
    let caught = AssertUnwindSafe(async move { work().await }).catch_unwind().await;
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
        tracing::error!(target: "service", node_type, "a handler panicked: {}", text.as_deref().unwrap_or("without a text"));
        Err(Error::new(Code::Internal, format!("the handler of '{node_type}' panicked")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_bounded_and_all_given_back() {
        let memory = Memory::new(100);
        let (one, two) = (Held::new(&memory), Held::new(&memory));
        assert!(one.add(60).is_ok());
        let refused = two.add(41).expect_err("only 40 are left");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(two.add(40).is_ok());
        one.release(1_000);
        assert_eq!(memory.used(), 40, "one gives back what it took and no more");
        assert!(two.add(60).is_ok());
        drop(two);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_stream_holds_one_message_and_a_frame_at_most() {
        let memory = Memory::new(10 * FRAME);
        let held = Held::new(&memory);
        for _ in 0..1_000 {
            held.next_message();
            assert!(held.add(3 * FRAME).is_ok(), "the messages before were given back");
        }
        assert!(held.at_least(9 * FRAME).is_ok());
        assert_eq!(memory.used(), 9 * FRAME, "decompressed");
        assert!(held.at_least(11 * FRAME).is_err());
        held.next_message();
        assert_eq!(memory.used(), FRAME);
    }
}
