//! WasmEdge's log lines.
//!
//! Problem: WasmEdge prints each trap and each silent fallback to standard output, which belongs to the application. Answer: one callback
//! takes every line to `tracing`, and notes on the current thread when the library says that it gave up compiling, for that line is the
//! only sign of it. It does not set levels: subscribers do.

use std::cell::Cell;
use std::sync::Once;

use super::sys::ffi;

thread_local! {
    static FELL_BACK: Cell<bool> = const { Cell::new(false) };
}

unsafe extern "C" fn forward(message: *const ffi::WasmEdge_LogMessage) {
    // SAFETY: the library passes a message that lives as long as the call.
    let (text, level) = unsafe {
        let message = &*message;
        let bytes = std::slice::from_raw_parts(message.Message.Buf.cast::<u8>(), message.Message.Length as usize);
        (String::from_utf8_lossy(bytes), message.Level)
    };
    if text.contains("interpreter mode instead") || text.contains("falling back to interpreter") {
        FELL_BACK.set(true);
    }
    match level {
        // A guest's trap is an error of the guest, which its caller gets as a typed error; for the library it is a detail.
        ffi::WasmEdge_LogLevel_Error | ffi::WasmEdge_LogLevel_Warn => tracing::debug!(target: "wasmedge", "{text}"),
        ffi::WasmEdge_LogLevel_Critical => tracing::error!(target: "wasmedge", "{text}"),
        _ => tracing::trace!(target: "wasmedge", "{text}"),
    }
}

unsafe extern "C" fn drop_line(_message: *const ffi::WasmEdge_LogMessage) {}

/// Takes the library's lines over, once per process.
pub fn install() {
    static ONCE: Once = Once::new();
    // SAFETY: the callback is a static function.
    ONCE.call_once(|| unsafe { ffi::WasmEdge_LogSetCallback(Some(forward)) });
}

/// Silences the library: for the compiler's process, which reports through its exit code and standard error.
pub fn quiet() {
    // SAFETY: the callback is a static function.
    unsafe { ffi::WasmEdge_LogSetCallback(Some(drop_line)) }
}

/// Runs `f` and tells whether the library said meanwhile, on this thread, that it interprets instead of compiling.
pub fn watch_fallback<R>(f: impl FnOnce() -> R) -> (R, bool) {
    FELL_BACK.set(false);
    let result = f();
    (result, FELL_BACK.get())
}
