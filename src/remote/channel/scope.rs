//! What a single call brings along beside its message.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::data::{SessionId, Trace, TraceContext};
use crate::error::{Code, Error};

/// Time, place and ways out of one call or stream.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Time for the call, or for each item of a stream; the client's by default.
    pub timeout: Option<Duration>,
    /// When it must be over, a stream as a whole too.
    pub deadline: Option<Instant>,
    /// Whose call it is; goes into the payload, where the nodes look for it.
    pub session: Option<SessionId>,
    /// What it is a part of; its context goes out with the call.
    pub trace: Option<Trace>,
    /// Beside the client's metadata.
    pub metadata: Vec<(String, String)>,
    /// Whether running it twice does no harm: allows retries after the request was sent, and hedging.
    pub idempotent: bool,
    /// Ends it.
    pub cancel: CancellationToken,
}

impl Scope {
    /// Where in a trace it stands.
    pub fn context(&self) -> Option<TraceContext> {
        self.trace.as_ref().map(|trace| trace.context())
    }
}

/// The error of a call whose caller gave up.
pub fn aborted(what: &str) -> Error {
    Error::new(Code::Aborted, format!("{what} was cancelled"))
}

/// The error of a call on a closed client.
pub fn closed(what: &str) -> Error {
    Error::new(Code::Closed, format!("{what}: the client was closed"))
}
