//! What Node sees. The only floor that knows napi: it turns JavaScript values into the engine's and back, and decides nothing.
//!
//! One door for each crossing: `value.rs` (values), `error.rs` (errors), `promise.rs` (results), `door.rs` (threads), `hooks.rs`
//! (JavaScript's own functions). The classes and functions are in `wasmedge_node.rs`, `stream.rs` and `tools.rs`.

mod client;
mod client_more;
mod context;
mod convert;
mod door;
mod duplex;
mod error;
mod function;
mod generator;
mod hooks;
mod host_functions;
mod hybrid;
mod manifest;
mod nodes;
mod options;
mod pipeline;
mod promise;
mod remote_calls;
mod remote_object_node;
mod remote_options;
mod router;
mod router_options;
mod service;
mod service_call;
mod service_registry;
mod settle;
mod stage;
mod stream;
mod telemetry;
mod token;
mod tools;
mod value;
mod wasmedge_node;

use std::sync::Once;
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi_derive::napi;

use crate::engine::{self, Launcher};
use value::Value;

/// How long the process's end waits for running guests to stop. They stop within milliseconds; the library's own destructors must not
/// run under their feet.
const EXIT_GRACE: Duration = Duration::from_millis(250);

/// Takes over what JavaScript lends: see `hooks.rs`. Internal; `js/index.js` calls it once.
#[napi(skip_typescript)]
pub fn install(env: Env, lent: Unknown<'_>) -> napi::Result<Unknown<'_>> {
    let raw = env.raw();
    let lent = Value { env: raw, raw: lent.raw() };
    set_up(lent).map(Value::unknown).map_err(|failure| error::throw(raw, failure))
}

/// Answers what is there; the hook `later` calls it. Internal.
#[napi(skip_typescript)]
pub fn drain(env: Env) {
    door::drain(env.raw());
}

fn set_up(lent: Value) -> error::Outcome<Value> {
    let slots = hooks::install(lent.env, lent)?;
    let text = |key: &str| lent.get(key).map(|value| value.text().unwrap_or_default());
    let (program, script, electron) = (text("execPath")?, text("compileScript")?, text("electron")?);
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        crate::observe::log_as_environment_says();
        let env = if electron.is_empty() { Vec::new() } else { vec![("ELECTRON_RUN_AS_NODE".into(), "1".into())] };
        engine::set_launcher(Launcher { program: program.into(), args: vec![script.into()], env });
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        // SAFETY: a static function. Registered after the library's own destructors were, it runs before them.
        unsafe {
            on_exit(at_exit, std::ptr::null_mut());
        }
    });
    Ok(slots)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    /// glibc's `atexit` that also tells the exit status.
    fn on_exit(function: extern "C" fn(libc::c_int, *mut std::ffi::c_void), argument: *mut std::ffi::c_void) -> libc::c_int;
}

/// Stops all guests, for JavaScript's `exit` event: the last moment before destructors of libraries that were loaded after us, such as the
/// compiler's own statics, may run. Internal.
#[napi(skip_typescript)]
pub fn end_process() {
    let _all_stopped = engine::stop_all(EXIT_GRACE);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: a static function. What is registered last runs first: before any destructor that exists by now.
    unsafe {
        on_exit(at_exit, std::ptr::null_mut());
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
extern "C" fn at_exit(status: libc::c_int, _: *mut std::ffi::c_void) {
    if !engine::stop_all(EXIT_GRACE) {
        // A thread is still deep in the compiler: no destructor of that library may run, so the process ends here, as it was going to.
        // SAFETY: ends the process.
        unsafe { libc::_exit(status) };
    }
}
