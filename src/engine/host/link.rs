//! The door between WasmEdge and our imports.
//!
//! Problem: the engine calls host functions as C callbacks on the guest's thread, where a panic would end the process and a call that is
//! out of time must not go on. Answer: one callback for all imports. It leaves guest state for its duration, refuses at once when the call
//! must stop, catches panics, and turns an import's error into the engine's error while the typed one waits in the instance's state.
//! It does not know what any import does.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmparser::ValType;

use super::{HostState, Import};
use crate::engine::fault::HostGuard;
use crate::engine::sys::{Memory, ModuleInstance, ffi, string};
use crate::error::{Code, Error};

/// Code in our own category that tells the engine to end the call.
const ENDED: u32 = 1;
/// Most parameters of any import: `path_open` has nine, and a row's position may come first.
const MAX_ARGS: usize = 12;

/// Builds the import modules that hold these rows. `state` must outlive them; the rows are kept alive by the result.
pub fn modules(rows: &[Import], state: *mut HostState) -> Linked {
    let rows: Vec<Box<Import>> = rows.iter().copied().map(Box::new).collect();
    let mut modules: Vec<(&'static str, ModuleInstance)> = Vec::new();
    for row in &rows {
        let position = modules.iter().position(|(name, _)| *name == row.module).unwrap_or_else(|| {
            modules.push((row.module, ModuleInstance::host(row.module)));
            modules.len() - 1
        });
        let Some((_, module)) = modules.get(position) else { continue };
        add(module, row, state);
    }
    Linked { modules: modules.into_iter().map(|(_, module)| module).collect(), _rows: rows }
}

/// Import modules and the rows that their callbacks point to.
pub struct Linked {
    /// One per import module name.
    pub modules: Vec<ModuleInstance>,
    #[expect(clippy::vec_box, reason = "the callbacks point to the rows, which must stay where they are")]
    _rows: Vec<Box<Import>>,
}

// SAFETY: the rows are plain data; the modules are used by one thread at a time like all of an instance.
unsafe impl Send for Linked {}

fn add(module: &ModuleInstance, row: &Import, state: *mut HostState) {
    let value_type = |ty: &ValType| {
        // SAFETY: constructors of plain values.
        unsafe { if *ty == ValType::I64 { ffi::WasmEdge_ValTypeGenI64() } else { ffi::WasmEdge_ValTypeGenI32() } }
    };
    let params: Vec<_> = row.params.iter().map(value_type).collect();
    let results: Vec<_> = row.result.iter().map(value_type).collect();
    // SAFETY: the type is copied into the function, the name into the module; the module takes the function over. Row and state outlive
    // the module, as this function's caller promises.
    #[expect(clippy::cast_possible_truncation, reason = "a handful of parameters")]
    unsafe {
        let ty = ffi::WasmEdge_FunctionTypeCreate(params.as_ptr(), params.len() as u32, results.as_ptr(), results.len() as u32);
        let binding = std::ptr::from_ref(row).cast_mut().cast();
        let function = ffi::WasmEdge_FunctionInstanceCreateBinding(ty, Some(enter), binding, state.cast(), 0);
        ffi::WasmEdge_FunctionTypeDelete(ty);
        ffi::WasmEdge_ModuleInstanceAddFunction(module.raw(), string(row.name), function);
    }
}

fn ended() -> ffi::WasmEdge_Result {
    // SAFETY: a constructor of a plain value.
    unsafe { ffi::WasmEdge_ResultGen(ffi::WasmEdge_ErrCategory_UserLevelError, ENDED) }
}

unsafe extern "C" fn enter(
    row: *mut c_void,
    state: *mut c_void,
    frame: *const ffi::WasmEdge_CallingFrameContext,
    params: *const ffi::WasmEdge_Value,
    param_count: u32,
    returns: *mut ffi::WasmEdge_Value,
    _return_count: u32,
) -> ffi::WasmEdge_Result {
    let guard = HostGuard::enter();
    if guard.stop().is_some() {
        return ended();
    }
    // SAFETY: `add` passed these pointers, and both outlive the module. Nothing else touches the state while the guest runs.
    let (row, state) = unsafe { (&*row.cast::<Import>(), &mut *state.cast::<HostState>()) };
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut args = [0_u64; MAX_ARGS];
        let mut count = 0;
        if row.module == super::WASI {
            args[0] = row.wasi as u64;
            count = 1;
        }
        // SAFETY: the engine passes as many values as the type has parameters.
        let given = unsafe {
            std::slice::from_raw_parts(if param_count == 0 { std::ptr::NonNull::dangling().as_ptr() } else { params }, param_count as usize)
        };
        for (arg, value) in args.iter_mut().skip(count).zip(given) {
            #[expect(clippy::cast_possible_truncation, reason = "the low 64 bits hold an i32 or i64")]
            {
                *arg = value.Value as u64;
            }
        }
        count += given.len().min(MAX_ARGS - count);
        // SAFETY: the frame lives as long as this call.
        let memory = unsafe { Memory::from_raw(ffi::WasmEdge_CallingFrameGetMemoryInstance(frame, 0)) };
        let memory = memory.ok_or_else(|| Error::new(Code::Abi, "an import was called by a module without a memory"))?;
        (row.body)(state, memory, args.get(..count).unwrap_or_default())
    }));
    let result = done.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
        let message = format!("the import {}.{} panicked: {}", row.module, row.name, text.unwrap_or_default());
        Err(Error::new(Code::HostFunction, message))
    });
    match result {
        Ok(_) if guard.stop().is_some() => ended(),
        Ok(bits) => {
            if let Some(ty) = row.result {
                // SAFETY: the type has one result, so there is room for one value.
                unsafe {
                    #[expect(clippy::cast_possible_truncation, reason = "an i32 result: the low half")]
                    let value = if ty == ValType::I64 {
                        ffi::WasmEdge_ValueGenI64(bits.cast_signed())
                    } else {
                        ffi::WasmEdge_ValueGenI32((bits as u32).cast_signed())
                    };
                    returns.write(value);
                }
            }
            // SAFETY: a constructor of a plain value.
            unsafe { ffi::WasmEdge_ResultGen(ffi::WasmEdge_ErrCategory_WASM, 0) }
        }
        Err(error) => {
            state.stopped = Some(error);
            ended()
        }
    }
}
