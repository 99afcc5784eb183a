//! The pieces of work that sessions do, and what those of one stream share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::fault::CancelToken;
use crate::data::{Packet, SessionId};
use crate::error::Result;

/// Tells the asker of a job, on any thread.
pub type Reply = Box<dyn FnOnce(Result<Vec<Packet>>) + Send>;

/// What the jobs of one stream share.
pub struct StreamShared {
    /// Stops the stream's running and waiting jobs.
    pub cancel: CancelToken,
    /// Set by the first failure when the stream ends with it: what was queued behind is not begun.
    pub failed: AtomicBool,
    /// Whether a failure ends the stream.
    pub stop_on_error: bool,
    /// Time per item, when it differs from the node's.
    pub timeout: Option<Duration>,
}

impl StreamShared {
    /// A stream that nothing has happened to.
    pub fn new(timeout: Option<Duration>, stop_on_error: bool) -> Self {
        Self { cancel: CancelToken::new(), failed: AtomicBool::new(false), stop_on_error, timeout }
    }

    /// The same for an item with a time of its own, whose failure is its own as well.
    pub fn within(&self, timeout: Duration) -> Self {
        Self { cancel: self.cancel.clone(), failed: AtomicBool::new(false), stop_on_error: false, timeout: Some(timeout) }
    }

    /// Remembers that an item failed, if that ends the stream.
    pub fn note_failure(&self) {
        if self.stop_on_error {
            self.failed.store(true, Ordering::Release);
        }
    }
}

/// One piece of work of a session.
pub enum Job {
    /// Process a packet.
    Item {
        /// The input.
        packet: Packet,
        /// For whom, when the line serves several sessions.
        session: Option<SessionId>,
        /// Its stream.
        stream: Arc<StreamShared>,
        /// Who asked.
        reply: Reply,
    },
    /// Put out what the guest still holds after this many inputs.
    Flush {
        /// Inputs of the stream.
        inputs: u64,
        /// Its stream.
        stream: Arc<StreamShared>,
        /// Who asked.
        reply: Reply,
    },
    /// Let go of an instance that nobody uses; the next item gets another.
    Rest,
    /// End the session.
    Close {
        /// Told when it ended.
        done: Box<dyn FnOnce() + Send>,
    },
}

impl Job {
    /// Answers without doing it.
    pub fn answer(self, result: Result<Vec<Packet>>) {
        match self {
            Job::Item { reply, .. } | Job::Flush { reply, .. } => reply(result),
            Job::Close { done } => done(),
            Job::Rest => {}
        }
    }
}
