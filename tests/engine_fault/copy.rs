//! Stands for one loaded copy of the addon: its own statics, its own handlers.
#![allow(clippy::missing_safety_doc, clippy::undocumented_unsafe_blocks, clippy::pedantic, reason = "a stand-in for tests, driven through C calls")]
#[allow(dead_code, unused_imports, reason = "uses a part of the layer")]
#[path = "../../src/engine/fault/mod.rs"]
mod fault;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::time::{Duration, Instant};
use wasmedge_sys::ffi::WasmEdge_FunctionInstanceContext as Function;
use wasmedge_sys::ffi::*;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_install(park: *const c_char) -> c_int {
    let path = unsafe { CStr::from_ptr(park) }.to_str().unwrap();
    match fault::install(path.as_ref()) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("install: {error}");
            1
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn copy_intact() -> bool {
    fault::handlers_intact()
}

/// Registers the artifact and runs both functions on a guest thread of this copy; 0 when they ended
/// as expected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_run(path: *const c_char, executor: *mut c_void, oob: *mut c_void, stuck: *mut c_void, rec: *mut c_void) -> c_int {
    let path = unsafe { CStr::from_ptr(path) }.to_str().unwrap();
    let _code = fault::register_artifact(path.as_ref()).unwrap();
    let (executor, functions) = (executor as usize, [oob as usize, stuck as usize, rec as usize]);
    let (out, result) = std::sync::mpsc::channel();
    let thread = fault::spawn("copy", 1 << 20, 0, move || {
        let call = |function: usize, deadline| unsafe {
            let call = fault::Call { mode: fault::Mode::Aot, deadline, cancel: None, interpreter: None };
            fault::scope(&call, || {
                let argument = [WasmEdge_ValueGenI32(0)];
                let mut result = [WasmEdge_ValueGenI32(0)];
                WasmEdge_ExecutorInvoke(executor as *mut _, function as *const Function, argument.as_ptr(), 1, result.as_mut_ptr(), 1).Code & 0xffffff
            })
        };
        for _ in 0..200 {
            let ends = [call(functions[0], None), call(functions[1], Some(Instant::now() + Duration::from_micros(500))), call(functions[2], None)];
            if ends != [(0x408, fault::Ended::Returned), (0x408, fault::Ended::Deadline), (0x408, fault::Ended::StackOverflow)] {
                eprintln!("{ends:x?}");
                out.send(1).unwrap();
                return;
            }
        }
        out.send(0).unwrap();
    });
    let code = result.recv().unwrap();
    thread.unwrap().join();
    code
}
