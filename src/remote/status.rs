//! Every way a remote says no, as one kind of error.
//!
//! Problem: a failure may come as a gRPC status, as a lost connection, as a status or text inside an answer, as a Python dictionary inside a
//! success, or as a JSON array in a message. Answer: the functions here are the only place that reads them; each makes an [`Error`] with a
//! short sentence, and keeps code, category, traceback and the whole text in its [`RemoteDetails`]. Whether an attempt may be repeated is said
//! by [`Reach`] and decided in `channel/call.rs`.

use std::error::Error as StdError;

use h2::Reason;
use serde_json::Value;
use tonic::{Code as Grpc, Status};

use super::channel::Garbled;
use super::pb::{v0, v1};
use crate::data::{Kind, Packet};
use crate::error::{Code, Error, RemoteDetails};

/// How far a failed attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// There was no connection.
    Unsent,
    /// The connection closed before the request left this process.
    Missed,
    /// The remote said that it did not begin with it.
    Refused,
    /// The remote may have worked on it.
    Sent,
}

/// A failed attempt.
#[derive(Debug)]
pub struct Failed {
    /// What the caller sees if it stays at that.
    pub error: Error,
    /// How far it had come.
    pub reach: Reach,
    /// The gRPC status, also for failures that only amount to one.
    pub status: Grpc,
}

impl Failed {
    /// No connection.
    pub fn unsent(error: Error) -> Self {
        Self { error, reach: Reach::Unsent, status: Grpc::Unavailable }
    }

    /// Whether it tells of the endpoint's own trouble, and not of the request's.
    pub fn is_fault(&self) -> bool {
        matches!(self.status, Grpc::Unavailable | Grpc::DeadlineExceeded) && self.error.code() != Code::BreakerOpen
    }
}

/// The details of a status.
pub fn details(code: Grpc) -> RemoteDetails {
    RemoteDetails { grpc_code: Some(code as i32), grpc_status: Some(name(code)), ..RemoteDetails::default() }
}

/// A status code's name on paper.
pub fn name(code: Grpc) -> &'static str {
    match code {
        Grpc::Ok => "OK",
        Grpc::Cancelled => "CANCELLED",
        Grpc::Unknown => "UNKNOWN",
        Grpc::InvalidArgument => "INVALID_ARGUMENT",
        Grpc::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Grpc::NotFound => "NOT_FOUND",
        Grpc::AlreadyExists => "ALREADY_EXISTS",
        Grpc::PermissionDenied => "PERMISSION_DENIED",
        Grpc::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Grpc::FailedPrecondition => "FAILED_PRECONDITION",
        Grpc::Aborted => "ABORTED",
        Grpc::OutOfRange => "OUT_OF_RANGE",
        Grpc::Unimplemented => "UNIMPLEMENTED",
        Grpc::Internal => "INTERNAL",
        Grpc::Unavailable => "UNAVAILABLE",
        Grpc::DataLoss => "DATA_LOSS",
        Grpc::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Our code for a status that the remote sent.
fn code_of(status: Grpc) -> Code {
    match status {
        Grpc::Unavailable => Code::Unavailable,
        Grpc::DeadlineExceeded => Code::Deadline,
        // Cancelled by us never comes here: the caller has left by then.
        Grpc::Ok
        | Grpc::Cancelled
        | Grpc::Unknown
        | Grpc::InvalidArgument
        | Grpc::NotFound
        | Grpc::AlreadyExists
        | Grpc::PermissionDenied
        | Grpc::ResourceExhausted
        | Grpc::FailedPrecondition
        | Grpc::Aborted
        | Grpc::OutOfRange
        | Grpc::Unimplemented
        | Grpc::Internal
        | Grpc::DataLoss
        | Grpc::Unauthenticated => Code::Remote,
    }
}

/// The first error of type `T` in the chain of causes.
fn cause<T: StdError + 'static>(status: &Status) -> Option<&T> {
    let mut next = status.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What is wrong with a connection or stream of HTTP/2.
fn transport(status: &Status) -> Option<(Grpc, Reach, String)> {
    if let Some(error) = cause::<h2::Error>(status) {
        let reason = error.reason();
        if error.is_go_away() && error.is_remote() {
            // Streams that the server had taken end by themselves; it tells this to those that it had not.
            return Some((Grpc::Unavailable, Reach::Refused, format!("is closing the connection: {error}")));
        }
        if error.is_reset() && error.is_remote() {
            return Some(match reason {
                Some(Reason::REFUSED_STREAM) => (Grpc::Unavailable, Reach::Refused, "refused the call".to_owned()),
                Some(Reason::CANCEL) => (Grpc::Cancelled, Reach::Sent, "cancelled the call".to_owned()),
                Some(Reason::ENHANCE_YOUR_CALM) => (Grpc::ResourceExhausted, Reach::Sent, "asks for fewer calls".to_owned()),
                Some(reason) => (Grpc::Internal, Reach::Sent, format!("reset the call: {reason}")),
                None => (Grpc::Internal, Reach::Sent, "reset the call".to_owned()),
            });
        }
        if error.is_reset() || error.is_library() {
            return Some((Grpc::Internal, Reach::Sent, format!("broke the rules of HTTP/2: {error}")));
        }
        return Some((Grpc::Unavailable, Reach::Sent, format!("lost the connection: {error}")));
    }
    let error = cause::<hyper::Error>(status)?;
    Some(if error.is_canceled() || error.is_closed() {
        (Grpc::Unavailable, Reach::Missed, "had closed the connection".to_owned())
    } else if error.is_timeout() {
        (Grpc::Unavailable, Reach::Sent, "did not answer a keepalive ping".to_owned())
    } else {
        (Grpc::Unavailable, Reach::Sent, format!("lost the connection: {error}"))
    })
}

/// A failed rpc. `limit` is the most bytes of a message.
pub fn from_status(status: Status, rpc: &str, endpoint: &str, limit: usize) -> Failed {
    let text = status.message().to_owned();
    if let Some(garbled) = cause::<Garbled>(&status) {
        let error = Error::new(Code::Serialization, format!("{rpc}: {endpoint} sent what is no valid message: {garbled}"));
        return Failed { error: error.with_remote(details(Grpc::Internal)).because(status), reach: Reach::Sent, status: Grpc::Internal };
    }
    if let Some((code, reach, what)) = transport(&status) {
        let error = Error::new(code_of(code), format!("{rpc}: {endpoint} {what}")).with_remote(details(code)).because(status);
        return Failed { error, reach, status: code };
    }
    // tonic's own words for a message above the limit; a test holds them to it.
    if text.starts_with("Error, decoded message length too large") || text.starts_with("Error decompressing: size limit") {
        let message = format!("{rpc}: the answer of {endpoint} is longer than maxMessageSize, {limit} bytes");
        let error = Error::new(Code::Remote, message).with_remote(RemoteDetails { details: Some(text), ..details(Grpc::ResourceExhausted) });
        return Failed { error, reach: Reach::Sent, status: Grpc::ResourceExhausted };
    }
    // A tonic server's word for a deadline that passed on its side.
    let code = if status.code() == Grpc::Cancelled && text == "Timeout expired" { Grpc::DeadlineExceeded } else { status.code() };
    let said = if text.is_empty() { "no message" } else { text.as_str() };
    let sentence = match code {
        Grpc::Unimplemented => format!("{rpc}: {endpoint} has no such method: {said} (UNIMPLEMENTED)"),
        _ => format!("{rpc}: {said} ({} from {endpoint})", name(code)),
    };
    Failed { error: Error::new(code_of(code), sentence).with_remote(details(code)).because(status), reach: Reach::Sent, status: code }
}

/// What protocol v0 writes into `error_message`: `[CATEGORY] Type: text`, hints, and a blank line before `Context: {...}`. In streams the
/// category comes twice.
pub fn from_text(text: &str, traceback: &str) -> Error {
    let mut rest = text.trim();
    let mut category = None;
    while let Some((word, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once("] ")) {
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
            break;
        }
        category.get_or_insert_with(|| word.to_owned());
        rest = after;
    }
    let short = rest.split("\n\nContext:").next().unwrap_or_default().trim();
    let short = if short.is_empty() { "the remote reported an error without saying which" } else { short };
    let whole = (short != text).then(|| text.to_owned()).filter(|text| !text.is_empty());
    let traceback = Some(traceback.to_owned()).filter(|text| !text.is_empty());
    Error::new(Code::Remote, short).with_remote(RemoteDetails { category, details: whole, traceback, ..RemoteDetails::default() })
}

/// The status inside an answer of protocol v0.
pub fn check_v0(status: i32, message: &str, traceback: &str) -> Result<(), Error> {
    use v0::ExecutionStatus as S;
    let code = match S::try_from(status) {
        Ok(S::Success) => return Ok(()),
        Ok(S::Timeout) => Code::Deadline,
        Ok(S::Unspecified) if message.is_empty() => return Err(Error::new(Code::Remote, "the remote answered without a status")),
        Ok(S::Unspecified | S::Error | S::Cancelled | S::ResourceLimit | S::SecurityViolation) => Code::Remote,
        Err(_) => return Err(Error::new(Code::Remote, format!("the remote answered with the unknown status {status}"))),
    };
    let mut error = from_text(message, traceback);
    let mut about = error.remote().cloned().unwrap_or_default();
    about.category = about.category.or_else(|| match S::try_from(status) {
        Ok(S::ResourceLimit) => Some("RESOURCE_LIMIT".to_owned()),
        Ok(S::SecurityViolation) => Some("SECURITY".to_owned()),
        Ok(S::Timeout) => Some("TIMEOUT".to_owned()),
        _ => None,
    });
    if code != error.code() {
        error = Error::new(code, error.message());
    }
    Err(error.with_remote(about))
}

/// RemoteMedia's nodes report bad input as a success with `{"error": "...", "processed_by": "..."}`.
pub fn error_result(packet: &Packet) -> Option<Error> {
    let bytes = &packet.bytes;
    // Nearly every answer is told from one by this alone.
    if packet.kind() != Kind::Json || !bytes.windows(14).any(|window| window == b"\"processed_by\"") {
        return None;
    }
    let Ok(Value::Object(map)) = serde_json::from_slice(bytes) else { return None };
    let text = map.get("error")?.as_str().filter(|text| !text.is_empty())?;
    map.get("processed_by")?.as_str()?;
    let whole = String::from_utf8_lossy(bytes).into_owned();
    let details = RemoteDetails { details: Some(whole), category: Some("NODE".to_owned()), ..RemoteDetails::default() };
    Some(Error::new(Code::Remote, text).with_remote(details))
}

/// An error message of protocol v1. Its text is a JSON array when parameters did not match.
pub fn from_v1(answer: v1::ErrorResponse) -> Error {
    use v1::ErrorType as T;
    let category = match T::try_from(answer.error_type).unwrap_or(T::Unspecified) {
        T::Unspecified => None,
        T::Validation => Some("VALIDATION"),
        T::NodeExecution => Some("NODE_EXECUTION"),
        T::ResourceLimit => Some("RESOURCE_LIMIT"),
        T::Authentication => Some("AUTHENTICATION"),
        T::VersionMismatch => Some("VERSION_MISMATCH"),
        T::Internal => Some("INTERNAL"),
        T::TypeValidation => Some("TYPE_VALIDATION"),
    };
    let listed = validation(&answer.message);
    let mut sentence = match &listed {
        Some(list) if answer.context.is_empty() => list.clone(),
        Some(list) => format!("{}: {list}", answer.context),
        None if answer.message.is_empty() => "the remote reported an error without saying which".to_owned(),
        None => answer.message.clone(),
    };
    if !answer.failing_node_id.is_empty() && !sentence.contains(&answer.failing_node_id) {
        sentence = format!("node '{}': {sentence}", answer.failing_node_id);
    }
    let whole = match listed {
        Some(_) => Some(answer.message),
        None => Some(answer.context).filter(|context| !context.is_empty()),
    };
    let traceback = Some(answer.stack_trace).filter(|trace| !trace.is_empty());
    let details = RemoteDetails { category: category.map(str::to_owned), details: whole, traceback, ..RemoteDetails::default() };
    Error::new(Code::Remote, sentence).with_remote(details)
}

/// Sentences out of `[{node_id, path, message, ...}]`.
fn validation(text: &str) -> Option<String> {
    let Ok(Value::Array(list)) = serde_json::from_str(text) else { return None };
    let sentences: Vec<_> = list
        .iter()
        .map(|one| {
            let field = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
            let place = [field("node_id"), field("path")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
            let what = if field("message").is_empty() { one.to_string() } else { field("message").to_owned() };
            if place.is_empty() { what } else { format!("{place}: {what}") }
        })
        .collect();
    (!sentences.is_empty()).then(|| sentences.join("; "))
}
