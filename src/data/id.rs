//! Session ids as a type, so that no bare string is taken for one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Longest session id in bytes: it travels through guest memory and metric labels.
pub const MAX_SESSION_ID_BYTES: usize = 256;

/// Names one conversation with a node. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Takes an id from outside. 1 to 256 bytes, no NUL (guests read it as a C string).
    pub fn new(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > MAX_SESSION_ID_BYTES || text.contains('\0') {
            let problem = format!("must be 1 to {MAX_SESSION_ID_BYTES} bytes of text without NUL");
            return Err(Error::config("sessionId", problem));
        }
        Ok(Self(text.into()))
    }

    /// An id that no other session of this process has.
    pub fn anonymous() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(format!("anonymous-{}", NEXT.fetch_add(1, Ordering::Relaxed)).into())
    }

    /// The id's text, for whoever keeps it.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
