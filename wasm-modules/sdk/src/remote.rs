//! Remote services, for nodes that run in a HybridWasmNode.
//!
//! Problem: a node at the edge is sure of most inputs and wants to ask somebody who knows better about the rest. Answer: [`call`] asks a
//! service and waits, [`stream`] sends without waiting and lets the node's application have the answers, [`session`] names the session at
//! the far end. Which services there are is the application's word; every failure is a [`RemoteError`] that a node can go on from.
//!
//! What the bytes are is guessed by the host (the rule is in the README) unless [`describe`] says it. A module that uses none of this
//! imports nothing for it and loads anywhere.

use crate::{Error, Kind, host, output::f32_bytes, sys};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// What went wrong, as the ABI has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteStatus {
    /// Anything that is none of the others.
    Failed,
    /// The node does not let its guests do this.
    NotAllowed,
    /// There is no such service.
    UnknownName,
    /// The service took too long, or the work was cancelled.
    Deadline,
    /// No connection, or the circuit breaker is open.
    Unavailable,
    /// The remote answered with this gRPC status code.
    Grpc(i32),
}

/// A remote service gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    /// What kind of failure.
    pub status: RemoteStatus,
    /// The same for people; may be empty.
    pub text: String,
}

impl RemoteError {
    fn from_code(code: i32) -> Self {
        let status = match code {
            -2 => RemoteStatus::NotAllowed,
            -3 => RemoteStatus::UnknownName,
            -4 => RemoteStatus::Deadline,
            -5 => RemoteStatus::Unavailable,
            code if code < -100 => RemoteStatus::Grpc(-100 - code),
            _ => RemoteStatus::Failed,
        };
        Self { status, text: host::last_error() }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.text.as_str(), self.status) {
            ("", RemoteStatus::Grpc(code)) => write!(f, "the remote answered with gRPC status {code}"),
            ("", status) => write!(f, "the remote gave no answer: {status:?}"),
            (text, _) => f.write_str(text),
        }
    }
}

impl core::error::Error for RemoteError {}

impl From<RemoteError> for Error {
    fn from(error: RemoteError) -> Self {
        Self::new(error.to_string())
    }
}

/// Asks the service `name` and returns its answer's bytes.
pub fn call(name: &str, data: &[u8]) -> Result<Vec<u8>, RemoteError> {
    // SAFETY: both inputs are slices that outlive the call, the output is `fetch`'s buffer.
    host::fetch(|out, len| unsafe {
        sys::call_remote_service(name.as_ptr(), name.len(), data.as_ptr(), data.len(), out, len)
    })
    .map_err(RemoteError::from_code)
}

/// Asks the service `name` about interleaved samples in -1..1; their number is a multiple of `channels`.
pub fn call_audio(name: &str, samples: &[f32], sample_rate: u32, channels: usize) -> Result<Vec<u8>, RemoteError> {
    describe(Kind::Audio, &format!("{{\"sampleRate\":{sample_rate},\"channels\":{channels}}}"))?;
    call(name, f32_bytes(samples))
}

/// Sends `data` into this session's stream to the service `name`. What the stream answers becomes output of the node.
pub fn stream(name: &str, data: &[u8]) -> Result<(), RemoteError> {
    // SAFETY: both inputs are slices that outlive the call.
    match unsafe { sys::stream_to_remote(name.as_ptr(), name.len(), data.as_ptr(), data.len()) } {
        code if code < 0 => Err(RemoteError::from_code(code)),
        _ => Ok(()),
    }
}

/// Says what the data of the next [`call`] or [`stream`] is; `meta` as in [`crate::Output::emit`].
pub fn describe(kind: Kind, meta: &str) -> Result<(), RemoteError> {
    // SAFETY: `meta` outlives the call.
    match unsafe { sys::remote_format(kind as i32, meta.as_ptr(), meta.len()) } {
        code if code < 0 => Err(RemoteError::from_code(code)),
        _ => Ok(()),
    }
}

/// The id of this session at the remote: the same as long as the session lives.
pub fn session() -> Result<String, RemoteError> {
    let own = "";
    // SAFETY: as in `call`.
    let id = host::fetch(|out, len| unsafe { sys::get_remote_session(own.as_ptr(), own.len(), out, len) });
    id.map(|id| String::from_utf8_lossy(&id).into_owned()).map_err(RemoteError::from_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_call_carries_name_data_and_format_and_is_made_once() {
        testing::reset();
        testing::on_remote("grow", |asked| {
            assert_eq!((asked.kind, asked.meta.as_str()), (Some(3), r#"{"sampleRate":16000,"channels":2}"#));
            Ok(asked.data.repeat(200))
        });
        assert_eq!(call_audio("grow", &[0.0, 0.5], 16_000, 2).unwrap(), [0, 0, 0, 0, 0, 0, 0, 63].repeat(200));
        assert_eq!(testing::take_remote_calls(), 1);
        testing::on_remote("plain", |asked| Ok(std::vec![u8::from(asked.kind.is_none())]));
        assert_eq!(call("plain", b"x").unwrap(), [1], "a format is used up by the call that it was said for");
    }

    #[test]
    fn a_failure_tells_its_status_and_text() {
        testing::reset();
        for (code, status) in [
            (-1, RemoteStatus::Failed),
            (-2, RemoteStatus::NotAllowed),
            (-4, RemoteStatus::Deadline),
            (-5, RemoteStatus::Unavailable),
            (-114, RemoteStatus::Grpc(14)),
        ] {
            testing::on_remote("down", move |_| Err((code, "out of order".into())));
            assert_eq!(call("down", b""), Err(RemoteError { status, text: "out of order".into() }));
        }
        assert_eq!(call("nobody", b"").unwrap_err().status, RemoteStatus::UnknownName);
        assert_eq!(Error::from(call("down", b"").unwrap_err()).message(), "out of order");
        let silent = RemoteError { status: RemoteStatus::Grpc(5), text: String::new() };
        assert_eq!(silent.to_string(), "the remote answered with gRPC status 5");
    }

    #[test]
    fn what_is_streamed_goes_to_its_service() {
        testing::reset();
        assert_eq!(stream("log", b"x").unwrap_err().status, RemoteStatus::UnknownName);
        testing::on_remote("log", |_| Ok(std::vec![]));
        describe(Kind::Text, "").unwrap();
        stream("log", b"one").unwrap();
        stream("log", b"two").unwrap();
        let seen: Vec<_> =
            testing::take_streamed().into_iter().map(|(name, asked)| (name, asked.data, asked.kind)).collect();
        assert_eq!(seen, [("log".into(), b"one".to_vec(), Some(1)), ("log".into(), b"two".to_vec(), None)]);
        assert_eq!(session().unwrap(), "remote-test");
    }
}
