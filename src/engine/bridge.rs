//! The guests' way to remote services, as far as the engine goes.
//!
//! Problem: a guest asks services in the network, waits for them within its own deadline, and leaves something at the far end that must go
//! when its session does; and the engine knows of no network. Answer: [`RemoteServices`] is all that it wants from whoever does.
//! [`Bridge`] is one session's side: it fetches what the session's streams answered, and tells the end of a session that used the remote
//! exactly once, however it ends. What guests call is `host/env.rs`. Nothing here connects, converts or retries.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::fault::{self, CancelToken};
use super::host::OUTPUT_OVERHEAD_BYTES;
use super::instance::Limits;
use super::worker;
use crate::data::{Packet, SessionId};
use crate::error::{Code, Error, Result};

/// The services that one node's guests may use.
///
/// All methods are called on guest threads and may be called for many sessions at once, for one session by one thread at a time. Those
/// that wait look at [`Patience::must_stop`] at least every few milliseconds and return [`RemoteFailure::Stopped`] when it says so; meanwhile
/// the thread's place belongs to another guest.
pub trait RemoteServices: Send + Sync {
    /// Asks a service and waits for its answer. The bytes of the answer go to the guest.
    fn call(&self, call: &RemoteCall<'_>) -> Result<Packet, RemoteFailure>;

    /// Puts a packet into the session's stream to a service, which the first one opens, and waits while there is no room. An error is about
    /// this packet only: what became of those that were taken before is told by [`receive`](Self::receive).
    fn send(&self, call: &RemoteCall<'_>) -> Result<(), RemoteFailure>;

    /// The next packet that the session's streams answered, in the order of arrival; `None` when there is none, see [`Answers`]. The failure
    /// of a stream is told here once, in its place; the packets of others go on. What nobody took stays until the session is released.
    fn receive(&self, session: &SessionId, answers: Answers, patience: &Patience<'_>) -> Result<Option<Packet>, RemoteFailure>;

    /// The id of the session on the remote side: the same for as long as the guest's session lives.
    fn session(&self, session: &SessionId, patience: &Patience<'_>) -> Result<String, RemoteFailure>;

    /// The guest's session is over: its streams and its remote session go. Called once for each session that called anything else here,
    /// on any thread; does not wait.
    fn release(&self, session: &SessionId);
}

/// Which answers of a session's streams are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// What has arrived: does not wait.
    Arrived,
    /// All: the session's side of its streams ends here (what is sent later opens new ones), and each answer is waited for until they have
    /// ended.
    Rest,
}

/// What a guest wants of a service.
pub struct RemoteCall<'a> {
    /// Name that the guest gave.
    pub service: &'a str,
    /// What it sent, with place, time and metadata of the input that it works on.
    pub packet: Packet,
    /// Session of the guest.
    pub session: &'a SessionId,
    /// How long it may take.
    pub patience: Patience<'a>,
}

/// How long somebody waits. Belongs to the thread that waits.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    deadline: Option<Instant>,
    /// Who may end it early; without one it is the guest's call that runs on this thread.
    cancel: Option<&'a CancelToken>,
    _this_thread: PhantomData<*const ()>,
}

impl<'a> Patience<'a> {
    /// Of the guest's call that runs on this thread.
    pub(super) fn of_guest() -> Self {
        Self { deadline: fault::current_deadline(), cancel: None, _this_thread: PhantomData }
    }

    /// Of a job, outside of the guest's calls.
    fn of_job(limits: Limits<'a>) -> Self {
        Self { deadline: Some(limits.deadline), cancel: limits.cancel, _this_thread: PhantomData }
    }

    /// Whether nobody waits any more: the call is out of time or cancelled.
    pub fn must_stop(&self) -> bool {
        let stopped = self.cancel.map_or_else(|| fault::stop_requested().is_some(), CancelToken::is_cancelled);
        stopped || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// When the call is out of time.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// Why a remote gave no answer. The guest gets a status for it and reads the text through `rm.last_error`.
#[derive(Debug)]
pub enum RemoteFailure {
    /// The node does not let its guests use this service.
    NotAllowed(String),
    /// There is no such service.
    UnknownName(String),
    /// There is no connection, or the circuit breaker is open.
    Unavailable(Error),
    /// The service's own time limit passed; the guest still has time.
    Deadline(Error),
    /// The remote answered with a gRPC status.
    Status {
        /// 1 to 16.
        grpc_code: i32,
        /// The same for people.
        error: Error,
    },
    /// Anything else.
    Failed(Error),
    /// The guest's call is out of time or cancelled.
    Stopped,
}

impl RemoteFailure {
    /// What it is to the application; nothing for the end of the guest's own time.
    pub(super) fn error(self) -> Option<Error> {
        match self {
            Self::NotAllowed(text) | Self::UnknownName(text) => Some(Error::new(Code::ServiceUnknown, text)),
            Self::Unavailable(error) | Self::Deadline(error) | Self::Failed(error) | Self::Status { error, .. } => Some(error),
            Self::Stopped => None,
        }
    }
}

/// One session's use of the remote.
pub struct Bridge {
    services: Arc<dyn RemoteServices>,
    session: SessionId,
    /// Whether there is something to release.
    used: AtomicBool,
    /// Whether it has or had streams.
    streams: AtomicBool,
}

impl Bridge {
    /// The bridge of a session that has not used it.
    pub fn new(services: Arc<dyn RemoteServices>, session: SessionId) -> Arc<Self> {
        Arc::new(Self { services, session, used: AtomicBool::new(false), streams: AtomicBool::new(false) })
    }

    /// Runs `ask` where it may wait without keeping other guests from a processor.
    pub fn ask<R>(&self, ask: impl FnOnce(&dyn RemoteServices) -> R) -> R {
        self.used.store(true, Ordering::Relaxed);
        worker::blocking(|| ask(&*self.services))
    }

    /// Notes that the session sent something into a stream.
    pub fn note_stream(&self) {
        self.streams.store(true, Ordering::Relaxed);
    }

    /// Whether its streams may have answers.
    pub fn has_streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed)
    }

    /// Puts what the streams answered behind the `outputs` of the job with this `sequence`.
    pub fn collect(&self, mut outputs: Vec<Packet>, sequence: u64, answers: Answers, limits: Limits<'_>, max_bytes: usize) -> Result<Vec<Packet>> {
        if !self.has_streams() {
            return Ok(outputs);
        }
        let patience = Patience::of_job(limits);
        let mut total: usize = outputs.iter().map(cost).sum();
        let mut take = || -> Result<()> {
            while let Some(mut packet) = self.services.receive(&self.session, answers, &patience).map_err(|failure| explain(failure, limits))? {
                total = total.saturating_add(cost(&packet));
                if total > max_bytes.saturating_add(OUTPUT_OVERHEAD_BYTES) {
                    let message = format!("the outputs of one item exceed maxOutputBytes ({max_bytes}), with what its remote streams answered");
                    return Err(Error::new(Code::OutputTooLarge, message));
                }
                // Where it comes out; which input it answers only the service knows.
                packet.sequence = sequence;
                outputs.push(packet);
            }
            Ok(())
        };
        match answers {
            Answers::Arrived => take()?,
            Answers::Rest => {
                worker::blocking(take)?;
                self.streams.store(false, Ordering::Relaxed);
            }
        }
        Ok(outputs)
    }

    /// The session is over.
    pub fn release(&self) {
        if self.used.swap(false, Ordering::Relaxed) {
            self.services.release(&self.session);
        }
    }
}

impl Drop for Bridge {
    /// For a session that nobody ended: its node is gone.
    fn drop(&mut self) {
        self.release();
    }
}

fn cost(packet: &Packet) -> usize {
    packet.bytes.len().saturating_add(OUTPUT_OVERHEAD_BYTES)
}

/// The error of a job whose streams failed.
fn explain(failure: RemoteFailure, limits: Limits<'_>) -> Error {
    failure.error().unwrap_or_else(|| {
        if limits.cancel.is_some_and(CancelToken::is_cancelled) {
            return Error::new(Code::Aborted, "the call was aborted");
        }
        Error::new(Code::WasmTimeout, format!("the item ran past its time ({} ms), waiting for its remote streams", limits.timeout.as_millis()))
    })
}
