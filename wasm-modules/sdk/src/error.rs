//! Two errors: [`Error`], which a node returns to its host, and [`CallError`], which a host call returns to a node. What a remote
//! service's call returns is [`crate::remote::RemoteError`].

use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt;

/// Why a node refuses its config or an input. The text reaches the caller as the message of `ERR_GUEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
}

impl Error {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// A config field that was understood but not acceptable: `config.<field>: <problem>`.
    pub fn config(field: &str, problem: impl fmt::Display) -> Self {
        Self::new(format!("config.{field}: {problem}"))
    }

    /// The text that the host will show.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Error {}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// An import said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The negative status: see the constants of this type.
    pub code: i32,
    /// What `rm.last_error` had to say, may be empty.
    pub text: String,
}

impl CallError {
    /// The call was made and failed.
    pub const FAILED: i32 = -1;
    /// No function has this name.
    pub const UNKNOWN: i32 = -3;
    /// The deadline passed, or the work was cancelled.
    pub const DEADLINE: i32 = -4;
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host call failed with {}", self.code)?;
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        Ok(())
    }
}

impl core::error::Error for CallError {}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Self::new(error.to_string())
    }
}
