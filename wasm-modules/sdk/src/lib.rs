//! Problem: a RemoteMedia node in WebAssembly has to speak a C-like ABI of pointers, capacities and status codes.
//!
//! Answer: implement [`Node`], name it in [`export_node!`], and get every export of guest ABI version 1. Input
//! arrives as [`Input`], output leaves through [`Output`], a bad config becomes an error that names the field.
//!
//! ```
//! use remotemedia_guest::{Config, Error, Input, Node, Output, export_node};
//!
//! struct Echo;
//!
//! impl Node for Echo {
//!     fn initialize(_session: &str, _config: &Config) -> Result<Self, Error> {
//!         Ok(Echo)
//!     }
//!     fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
//!         out.result(input.bytes());
//!         Ok(())
//!     }
//! }
//!
//! export_node!(Echo);
//! ```
//!
//! Not here: threads, async, signal processing (see `remotemedia-dsp`) and anything that needs WASI. A module that
//! also states `#![no_std]` and [`no_std_runtime!`] imports no WASI function at all and stays far smaller.
//!
//! Every import is declared on its own and only reached through the function that wraps it, so a finished module
//! asks the host for nothing that it does not use.

#![no_std]

#[doc(hidden)]
pub extern crate alloc;
#[cfg(not(target_arch = "wasm32"))]
extern crate std;

mod config;
mod de;
mod error;
mod export;
pub mod host;
mod input;
mod json;
mod output;
pub mod remote;
#[doc(hidden)]
pub mod rt;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod rt_wasm;
mod sys;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use config::Config;
pub use error::{CallError, Error};
pub use host::{call_host, last_error, log, now_ms};
pub use input::{Audio, Input, Meta, from_json};
pub use output::Output;
pub use serde;

/// What a payload is, with the numbers that `rm.emit` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// Bytes as they are.
    #[default]
    Binary = 0,
    /// UTF-8 text.
    Text = 1,
    /// UTF-8 JSON.
    Json = 2,
    /// Interleaved f32, little-endian, in -1..1.
    Audio = 3,
    /// Row-major little-endian elements; dtype and shape are in the metadata.
    Tensor = 4,
    /// Pixels; width, height and format are in the metadata.
    Video = 5,
}

impl Kind {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "binary" => Self::Binary,
            "text" => Self::Text,
            "json" => Self::Json,
            "audio" => Self::Audio,
            "tensor" => Self::Tensor,
            "video" => Self::Video,
            _ => return None,
        })
    }
}

/// How loud a log line is; the numbers are those of `rm.log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    /// Every step.
    Trace = 0,
    /// For whoever writes the node.
    Debug = 1,
    /// For whoever runs it.
    Info = 2,
    /// Something was wrong and was dealt with.
    Warn = 3,
    /// Something was lost.
    Error = 4,
}

/// A media node. One value per session: the host never shares an instance between sessions.
pub trait Node: Sized {
    /// Called once, before the first input, with the id of the session and the node's `config` option.
    fn initialize(session: &str, config: &Config) -> Result<Self, Error>;

    /// Called for every input. Give output through `out`: any number of `emit_*`, or one `result*`, or nothing.
    /// After an error the session goes on with the next input.
    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error>;

    /// Called when a stream of the session ends; more streams may follow. Hand over what is still held back.
    fn flush(&mut self, _out: &mut Output<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// Called once when the session ends. An error is logged by the host, nothing more.
    fn cleanup(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Logs at trace level; arguments as in `format!`.
#[macro_export]
macro_rules! trace { ($($arg:tt)+) => { $crate::log($crate::Level::Trace, format_args!($($arg)+)) } }
/// Logs at debug level; arguments as in `format!`.
#[macro_export]
macro_rules! debug { ($($arg:tt)+) => { $crate::log($crate::Level::Debug, format_args!($($arg)+)) } }
/// Logs at info level; arguments as in `format!`.
#[macro_export]
macro_rules! info { ($($arg:tt)+) => { $crate::log($crate::Level::Info, format_args!($($arg)+)) } }
/// Logs at warn level; arguments as in `format!`.
#[macro_export]
macro_rules! warn { ($($arg:tt)+) => { $crate::log($crate::Level::Warn, format_args!($($arg)+)) } }
/// Logs at error level; arguments as in `format!`.
#[macro_export]
macro_rules! error { ($($arg:tt)+) => { $crate::log($crate::Level::Error, format_args!($($arg)+)) } }
