//! The few functions that JavaScript lends to native code, and the state of each environment.
//!
//! Problem: real subclasses of `Error`, packets of one hidden class and the pull loop of a stream are JavaScript's to make well. Answer:
//! `js/index.js` hands its functions over once per environment with `install`; everything native that belongs to that environment (main
//! thread or worker) hangs here and goes with it.

use std::cell::RefCell;

use napi::sys;

use super::value::{Js, Kept, Thrown, Value};

/// The functions, in the order in which `install` gets them.
#[derive(Clone, Copy)]
pub enum Hook {
    /// `(class, code, message, retryable, node, session, path, trap, stateLost, cause, remote) => Error`
    CreateError,
    /// `(records, arena, extras) => void`: see `settle.rs`
    Settle,
    /// `(node, source, options) => AsyncIterableIterator<Packet>`
    CreateStream,
    /// `(stream, failure, source, options) => AsyncIterableIterator<Packet>`: see `duplex.rs`
    CreateDuplex,
    /// `(function, data, info, reply) => void`
    CallHost,
    /// `(handler, call) => void`: see `service_call.rs`
    Serve,
    /// `() => void`: calls `drain` in the next turn of the event loop
    Later,
    /// `() => string | undefined`: the `traceparent` of what is active
    ActiveTrace,
}

/// Names of the hooks in the object that `install` gets.
const NAMES: [&str; 8] = ["createError", "settle", "createStream", "createDuplex", "callHost", "serve", "later", "activeTrace"];

thread_local! {
    static HOOKS: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
    static HEADS: RefCell<Option<Kept>> = const { RefCell::new(None) };
    static SLOTS: RefCell<Option<Kept>> = const { RefCell::new(None) };
    static TRACE_API: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// Takes the functions over, and returns the slots in force.
///
/// Test runners load the package many times in one environment: each load brings error classes and streams of its own, but the slots of
/// items under way stay those of the first.
pub fn install(env: sys::napi_env, lent: Value) -> Js<Value> {
    let first = SLOTS.with_borrow(|slots| slots.as_ref().map(|kept| kept.get(env))).transpose()?;
    let slots = match first {
        Some(slots) => slots,
        None => {
            let slots = lent.get("slots")?;
            HEADS.set(Some(Kept::new(slots.get("heads")?)?));
            SLOTS.set(Some(Kept::new(slots)?));
            slots
        }
    };
    let from = |name: &str| if name == "settle" { slots.get(name) } else { lent.get(name) };
    let kept = NAMES.iter().map(|name| from(name).and_then(Kept::new)).collect::<Js<Vec<_>>>()?;
    for old in HOOKS.replace(kept) {
        old.release(env);
    }
    if let Some(old) = TRACE_API.replace(Some(Kept::new(lent.get("traceApi")?)?)) {
        old.release(env);
    }
    Ok(slots)
}

/// The array of numbers that `settle.rs` shares with JavaScript. Its memory stays where it is: the script never gives it away.
pub fn heads(env: sys::napi_env) -> Js<&'static mut [f64]> {
    let value = HEADS.with_borrow(|heads| heads.as_ref().ok_or(Thrown).and_then(|kept| kept.get(env)))?;
    value.numbers().filter(|numbers| numbers.len() == super::settle::HEADS).ok_or(Thrown)
}

/// The symbol under which `@opentelemetry/api` is, where it is.
pub fn trace_api(env: sys::napi_env) -> Js<Value> {
    TRACE_API.with_borrow(|symbol| symbol.as_ref().ok_or(Thrown).and_then(|kept| kept.get(env)))
}

/// Calls one of them.
pub fn call(env: sys::napi_env, hook: Hook, args: &[Value]) -> Js<Value> {
    let function = HOOKS.with_borrow(|hooks| hooks.get(hook as usize).ok_or(Thrown).and_then(|kept| kept.get(env)))?;
    function.call(Value::undefined(env), args)
}

/// Forgets the functions when their environment ends; its references are gone with it.
pub fn forget() {
    HOOKS.with_borrow_mut(Vec::clear);
    HEADS.set(None);
    SLOTS.set(None);
    TRACE_API.set(None);
}
