//! Fault isolation and interruption: guest code may do its worst, the process lives on.
//!
//! Problem: WasmEdge turns hardware faults of compiled code into errors with signal handlers that it
//! installs and removes per call, process-wide. Inside Node.js that destroys V8's own handler, and a
//! guest that overflows the native stack kills the process. Compiled code also cannot be interrupted
//! unless it is compiled several times slower.
//!
//! Answer: WasmEdge's handlers are pinned once and then called only by ours, which knows which thread
//! runs guest code and where that code lies. Guests run on threads of ours with a guarded stack. The
//! same jump that ends a faulting call ends a call past its deadline, on a signal.
//!
//! ```text
//!  guest thread                      watchdog                       signal handler (same guest thread)
//!  scope(call)
//!    publish generation, deadline --> plans its wake-up
//!    in_guest = true
//!    WasmEdge_ExecutorInvoke
//!      guest code -- out of bounds ------------------------------> guest pc: WasmEdge's handler
//!      guest code -- end of the stack ---------------------------> overflow; guest pc: the same,
//!                                                                    native pc: open the reserve and
//!                                                                    stop at the return to the guest
//!      host function: HostGuard           deadline passes
//!        in_guest = false                 kill = generation
//!        stop()? error at once            SIGURG, again and again -> guest pc: WasmEdge's handler
//!        in_guest = true                  until the generation      native pc: stop at the return
//!    in_guest = false                     changes
//!    generation = 0
//!  (result, Ended)
//! ```
//!
//! The rule that makes the jump safe: it starts only where guest code is at the top of the stack, so
//! that no native frame, lock or destructor lies between it and WasmEdge's landing place.
//!
//! What it does not do: it does not limit memory, it does not load or compile modules, and a host
//! function that blocks has to look at [`stop_requested`] and [`current_deadline`] itself.

mod call;
mod cancel;
#[cfg_attr(
    not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))),
    expect(dead_code, reason = "native code's part of a slot")
)]
mod slot;
mod watchdog;

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod arch;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod handler;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod hijack;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod install;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod intercept;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "linux.rs"]
mod platform;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod ranges;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod stack;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "other.rs"]
mod platform;

pub use call::{HostGuard, current_deadline, on_guest_thread, scope, stop_all, stop_requested};
pub use cancel::CancelToken;
pub use platform::{CodeRange, GuestThread, handlers_intact, install, native_supported, register_artifact, rescan_native_ranges, spawn};

use std::time::Instant;
use wasmedge_sys::ffi;

/// Where the code of a call comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// A compiled artifact registered with [`register_artifact`].
    Aot,
    /// WasmEdge's just-in-time compiler; see [`rescan_native_ranges`].
    Jit,
    Interpreter,
}

/// How a call ended, beside its own result. Anything but `Returned` means that the call was told to
/// stop: its instance must be discarded, and with it the executor of an interpreter call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    Returned,
    StackOverflow,
    Deadline,
    Cancelled,
}

/// What [`scope`] needs to know about a call.
pub struct Call<'a> {
    pub mode: Mode,
    pub deadline: Option<Instant>,
    pub cancel: Option<&'a CancelToken>,
    /// The executor that interprets; a call without one cannot be interrupted in interpreted code.
    pub interpreter: Option<*mut ffi::WasmEdge_ExecutorContext>,
}

/// The module that keeps one call inside WasmEdge for the life of the process (see `install`):
/// `(import "env" "park" (func (param i32) (result i32)))`
/// `(func (export "run") (param i32) (result i32) (call 0 (local.get 0)))`.
pub fn park_wasm() -> &'static [u8] {
    &[
        0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // header
        0x01, 0x06, 0x01, 0x60, 0x01, 0x7f, 0x01, 0x7f, // type: i32 -> i32
        0x02, 0x0c, 0x01, 0x03, b'e', b'n', b'v', 0x04, b'p', b'a', b'r', b'k', 0x00, 0x00, 0x03, 0x02, 0x01, 0x00, // one function
        0x07, 0x07, 0x01, 0x03, b'r', b'u', b'n', 0x00, 0x01, // its export
        0x0a, 0x08, 0x01, 0x06, 0x00, 0x20, 0x00, 0x10, 0x00, 0x0b, // local.get 0, call 0
    ]
}
