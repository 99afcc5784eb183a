//! The WASI host through its public interface: what is granted works, what is not granted is not there, and nothing a guest passes
//! in makes it panic, hang or leave its directory.

#![allow(clippy::naive_bytecount, clippy::match_same_arms, clippy::unreadable_literal, reason = "tests say things the plain way")]

#[path = "wasi/denied.rs"]
mod denied;
#[path = "wasi/escape.rs"]
mod escape;
#[path = "wasi/files.rs"]
mod files;
#[path = "wasi/guest.rs"]
mod guest;
#[path = "wasi/hostile.rs"]
mod hostile;
#[path = "wasi/listing.rs"]
mod listing;
#[path = "wasi/process.rs"]
mod process;
