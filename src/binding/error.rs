//! The one door for errors: ours become instances of the JavaScript classes, with every field of the contract.
//!
//! The classes live in `js/errors.js`, for a real subclass of `Error` is JavaScript's to make; which class and code an error has is in
//! `crate::error`'s table alone.

use napi::sys;

use super::door;
use super::hooks;
use super::value::{Js, Thrown, Value};
use crate::error::{Code, Error};

/// Why a native call ends early: an error of ours, or an exception of JavaScript's that is pending already.
pub enum Failure {
    Ours(Error),
    Thrown,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Ours(error)
    }
}

impl From<Thrown> for Failure {
    fn from(_: Thrown) -> Self {
        Failure::Thrown
    }
}

/// Result of native functions that JavaScript calls.
pub type Outcome<T> = Result<T, Failure>;

/// Makes the JavaScript error.
pub fn to_js(env: sys::napi_env, error: &Error) -> Js<Value> {
    let undefined = Value::undefined(env);
    let text = |text: Option<&str>| text.map_or(Ok(undefined), |text| Value::string(env, text));
    let args = [
        Value::string(env, error.code().class().as_str())?,
        Value::string(env, error.code().as_str())?,
        Value::string(env, error.message())?,
        Value::boolean(env, error.code().retryable())?,
        text(error.node())?,
        text(error.session())?,
        text(error.path())?,
        text(error.trap_kind().map(crate::error::Trap::as_str))?,
        Value::boolean(env, error.is_state_lost())?,
        cause(env, error)?,
        remote(env, error)?,
    ];
    hooks::call(env, hooks::Hook::CreateError, &args)
}

/// What the remote side said, as fields of the error; undefined for errors that did not come from one.
fn remote(env: sys::napi_env, error: &Error) -> Js<Value> {
    let Some(remote) = error.remote() else { return Ok(Value::undefined(env)) };
    let fields = Value::object(env)?;
    if let Some(code) = remote.grpc_code {
        fields.set("grpcCode", Value::number(env, f64::from(code))?)?;
    }
    let texts = [
        ("grpcStatus", remote.grpc_status),
        ("category", remote.category.as_deref()),
        ("details", remote.details.as_deref()),
        ("remoteTraceback", remote.traceback.as_deref()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            fields.set(name, Value::string(env, text)?)?;
        }
    }
    Ok(fields)
}

/// What caused it: the JavaScript value itself where there was one, else its text as a plain `Error`.
fn cause(env: sys::napi_env, error: &Error) -> Js<Value> {
    let mut source = std::error::Error::source(error);
    let mut deepest = None;
    while let Some(one) = source {
        if let Some(cause) = one.downcast_ref::<door::JsCause>()
            && let Some(value) = cause.get(env)
        {
            return Ok(value);
        }
        deepest = deepest.or(Some(one));
        source = one.source();
    }
    match deepest {
        Some(source) if error.code() != Code::Internal || !source.to_string().is_empty() => {
            let message = Value::string(env, &source.to_string())?;
            let mut raw = std::ptr::null_mut();
            // SAFETY: the message is live.
            let status = unsafe { sys::napi_create_error(env, std::ptr::null_mut(), message.raw, &raw mut raw) };
            if status == sys::Status::napi_ok { Ok(Value { env, raw }) } else { Err(Thrown) }
        }
        _ => Ok(Value::undefined(env)),
    }
}

/// The failure as a value, for a promise or an iterator that is to reject with it.
pub fn value(env: sys::napi_env, failure: Failure) -> Js<Value> {
    match failure {
        Failure::Ours(error) => to_js(env, &error),
        Failure::Thrown => Value::take_exception(env).ok_or(Thrown),
    }
}

/// Throws the failure and returns what a native callback returns then.
pub fn throw(env: sys::napi_env, failure: Failure) -> napi::Error {
    match failure {
        Failure::Ours(error) => {
            if let Ok(value) = to_js(env, &error) {
                // SAFETY: the value is live.
                unsafe { sys::napi_throw(env, value.raw) };
            }
        }
        Failure::Thrown => {}
    }
    // The exception is pending already; napi-rs passes this status over in that case.
    napi::Error::new(napi::Status::PendingException, "")
}
