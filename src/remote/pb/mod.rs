//! Messages and stubs of RemoteMedia's protocols, generated from `proto/` by `make proto`. Nothing here is edited by hand.

#![allow(clippy::all, clippy::pedantic, clippy::allow_attributes_without_reason, missing_docs, reason = "generated")]

/// Protocol v0, package `remotemedia.execution`.
pub mod v0 {
    include!("remotemedia.execution.rs");
}

/// Protocol v1, package `remotemedia.v1`.
pub mod v1 {
    include!("remotemedia.v1.rs");
}

/// Descriptors of both, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");
