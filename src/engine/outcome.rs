//! Names for the ways in which the engine says no.

#![allow(clippy::unnecessary_cast, reason = "C enumerations are signed on some systems and unsigned on others")]

use super::config::NodeConfig;
use super::sys::{Failure, ffi};
use crate::error::{Code, Error, Trap};

/// The guest recursed past its stack.
pub fn stack_overflow() -> Error {
    Error::trap(Trap::StackOverflow, "the guest trapped: its recursion is too deep for its stack")
}

/// Why a module could not be linked or instantiated.
pub fn link_error(failure: Failure, config: &NodeConfig) -> Error {
    match failure.code as ffi::WasmEdge_ErrCode {
        ffi::WasmEdge_ErrCode_UnknownImport | ffi::WasmEdge_ErrCode_IncompatibleImportType => {
            Error::new(Code::ImportDenied, format!("the module cannot be linked: {}", failure.text()))
        }
        ffi::WasmEdge_ErrCode_DataSegDoesNotFit | ffi::WasmEdge_ErrCode_ElemSegDoesNotFit => Error::new(
            Code::ModuleInvalid,
            format!("the module cannot be instantiated: {} (memoryLimit is {} bytes)", failure.text(), config.memory_limit),
        ),
        _ => match trap_kind(failure) {
            Trap::Other => Error::new(Code::ModuleInvalid, format!("the module cannot be instantiated: {}", failure.text())),
            trap => Error::trap(trap, format!("the module trapped while it was instantiated: {}", failure.text())),
        },
    }
}

/// The kind of trap, [`Trap::Other`] for what is none.
pub fn trap_kind(failure: Failure) -> Trap {
    if failure.category != 0 {
        return Trap::Other;
    }
    match failure.code as ffi::WasmEdge_ErrCode {
        ffi::WasmEdge_ErrCode_MemoryOutOfBounds => Trap::OutOfBounds,
        ffi::WasmEdge_ErrCode_DivideByZero => Trap::DivideByZero,
        ffi::WasmEdge_ErrCode_IntegerOverflow => Trap::IntegerOverflow,
        ffi::WasmEdge_ErrCode_InvalidConvToInt => Trap::InvalidConversion,
        ffi::WasmEdge_ErrCode_Unreachable => Trap::Unreachable,
        ffi::WasmEdge_ErrCode_TableOutOfBounds => Trap::TableOutOfBounds,
        ffi::WasmEdge_ErrCode_UninitializedElement | ffi::WasmEdge_ErrCode_UndefinedElement | ffi::WasmEdge_ErrCode_IndirectCallTypeMismatch => {
            Trap::IndirectCall
        }
        _ => Trap::Other,
    }
}
