//! Failures as protocol v0 tells them: within an answer, in one text.
//!
//! Problem: clients know `status`, `[CATEGORY] Type: text` and a traceback, and choose by them whether to try again; a text must not tell a
//! stranger where files are. Answer: one table from our codes to categories and statuses; a handler may name another category in what it says
//! about a remote. Tracebacks keep names of files and lose their folders. Failures of the call as such are gRPC statuses, and not made here.

use crate::error::{Code, Error};
use crate::remote::pb::v0::ExecutionStatus;

/// The stock server's categories, and `INTERNAL` for faults of this service itself.
pub const CATEGORIES: [&str; 12] = [
    "UNKNOWN",
    "MODEL_LOADING",
    "MEMORY_ERROR",
    "TIMEOUT",
    "RESOURCE_LIMIT",
    "SERIALIZATION",
    "NETWORK",
    "SECURITY",
    "DEPENDENCY",
    "VALIDATION",
    "CUDA_ERROR",
    "INTERNAL",
];

/// Longest text and traceback: enough for a person, and no way to fill a client's memory.
const MAX_TEXT: usize = 8_192;

/// A failure within an answer.
pub struct Fault {
    /// `status`
    pub status: ExecutionStatus,
    /// One of [`CATEGORIES`].
    pub category: &'static str,
    /// `error_message`
    pub message: String,
    /// `error_traceback`
    pub traceback: String,
}

/// What a failure is in the protocol.
pub fn fault(error: &Error) -> Fault {
    let told = error.remote().and_then(|remote| remote.category.as_deref());
    let category = told.and_then(|told| CATEGORIES.into_iter().find(|name| *name == told)).unwrap_or(category_of(error.code()));
    // Python's name for it: no option of the client's is wrong.
    let class = if category == "SECURITY" { "PermissionError" } else { error.code().class().as_str() };
    let message = cut(format!("[{category}] {class}: {}", error.message()));
    Fault { status: status_of(category, error.code()), category, message, traceback: traceback(error) }
}

fn category_of(code: Code) -> &'static str {
    match code {
        Code::Serialization => "SERIALIZATION",
        Code::Config => "VALIDATION",
        Code::Deadline | Code::WasmTimeout => "TIMEOUT",
        Code::WasmMemory => "MEMORY_ERROR",
        Code::WasmFuel | Code::OutputTooLarge | Code::PoolExhausted => "RESOURCE_LIMIT",
        Code::ImportDenied => "SECURITY",
        Code::ModuleNotFound | Code::ModuleInvalid | Code::Abi | Code::ServiceUnknown => "DEPENDENCY",
        Code::Unavailable | Code::BreakerOpen => "NETWORK",
        Code::Internal => "INTERNAL",
        Code::WasmTrap
        | Code::Guest
        | Code::HostFunction
        | Code::NodeFailed
        | Code::Pipeline
        | Code::Session
        | Code::Remote
        | Code::Closed
        | Code::Aborted => "UNKNOWN",
    }
}

fn status_of(category: &str, code: Code) -> ExecutionStatus {
    match category {
        "TIMEOUT" => ExecutionStatus::Timeout,
        "MEMORY_ERROR" | "RESOURCE_LIMIT" | "CUDA_ERROR" => ExecutionStatus::ResourceLimit,
        "SECURITY" => ExecutionStatus::SecurityViolation,
        _ if code == Code::Aborted => ExecutionStatus::Cancelled,
        _ => ExecutionStatus::Error,
    }
}

/// Class, code, where, and what the handler's own language says.
fn traceback(error: &Error) -> String {
    let mut text = format!("{} ({}): {}", error.code().class().as_str(), error.code().as_str(), error.message());
    if let Some(node) = error.node() {
        text.push_str("\n  in node ");
        text.push_str(node);
    }
    if let Some(trace) = error.remote().and_then(|remote| remote.traceback.as_deref()) {
        text.push('\n');
        text.push_str(trace);
    }
    cut(without_folders(&text))
}

/// Paths shortened to the names of their files.
fn without_folders(text: &str) -> String {
    let is_edge = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '\'' | '`' | ',' | '<' | '>' | '[' | ']');
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(is_edge).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        // A lone separator, as in `a / b`, is none.
        short.push_str(word.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).unwrap_or(if word.len() > 1 { "" } else { word }));
        let edge = after.chars().next().map_or(0, char::len_utf8);
        short.push_str(&after[..edge]);
        rest = &after[edge..];
    }
    short
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RemoteDetails;

    #[test]
    fn every_code_has_a_category_that_clients_know() {
        for code in Code::ALL {
            let fault = fault(&Error::new(*code, "text"));
            assert!(CATEGORIES.contains(&fault.category), "{code:?}");
            assert!(fault.message.starts_with(&format!("[{}] ", fault.category)) && fault.message.ends_with(": text"), "{}", fault.message);
            assert_ne!(fault.status, ExecutionStatus::Success, "{code:?}");
        }
    }

    #[test]
    fn tracebacks_name_files_and_not_their_folders() {
        let trace = "at run (file:///srv/secret/app/node.js:10:5)\n  File \"C:\\secret\\x.py\", line 3\n a / b";
        let error = Error::new(Code::Guest, "bad").with_remote(RemoteDetails { traceback: Some(trace.into()), ..RemoteDetails::default() });
        let text = fault(&error).traceback;
        assert_eq!(text, "NodeError (ERR_GUEST): bad\nat run (node.js:10:5)\n  File \"x.py\", line 3\n a / b");
    }

    #[test]
    fn a_handler_may_say_the_category_itself_but_only_one_that_exists() {
        let with = |category: &str| {
            let details = RemoteDetails { category: Some(category.into()), ..RemoteDetails::default() };
            fault(&Error::new(Code::Guest, "no").with_remote(details))
        };
        assert_eq!((with("CUDA_ERROR").category, with("CUDA_ERROR").status), ("CUDA_ERROR", ExecutionStatus::ResourceLimit));
        assert_eq!(with("<script>").category, "UNKNOWN");
    }

    #[test]
    fn long_texts_are_cut() {
        let fault = fault(&Error::new(Code::Guest, "é".repeat(MAX_TEXT)));
        assert!(fault.message.len() < MAX_TEXT + 8 && fault.traceback.len() < MAX_TEXT + 8);
    }
}
