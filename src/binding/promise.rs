//! The one door from a native result to a promise.

use std::ptr;
use std::sync::Arc;

use napi::sys;

use super::door::{self, Door};
use super::error;
use super::value::{Js, Thrown, Value};
use crate::error::{Error, Result};

/// A promise's other end. Settled once, from any thread; dropped unsettled only when its environment is gone.
pub struct Deferred {
    raw: usize,
    door: Arc<Door>,
    settled: bool,
}

impl Deferred {
    /// A promise and its other end. While it is pending the process stays alive.
    pub fn new(env: sys::napi_env) -> Js<(Self, Value)> {
        let door = door::here(env)?;
        let (mut raw, mut promise) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the environment is the one of the running call.
        if unsafe { sys::napi_create_promise(env, &raw mut raw, &raw mut promise) } != sys::Status::napi_ok {
            return Err(Thrown);
        }
        door.expect(env);
        Ok((Self { raw: raw as usize, door, settled: false }, Value { env, raw: promise }))
    }

    /// Settles it from any thread: `make` turns the result into a value on the JavaScript thread.
    pub fn settle<T: Send + 'static>(mut self, result: Result<T>, make: impl FnOnce(sys::napi_env, T) -> Js<Value> + Send + 'static) {
        let door = Arc::clone(&self.door);
        self.settled = true;
        let deferred = Raw(self.raw);
        let inner = Arc::clone(&door);
        door.run(move |env| {
            let deferred = deferred;
            finish(env, &deferred, result, make);
            inner.settled(env, 1);
        });
    }
}

struct Raw(usize);

fn finish<T>(env: sys::napi_env, deferred: &Raw, result: Result<T>, make: impl FnOnce(sys::napi_env, T) -> Js<Value>) {
    let settled = match result {
        Ok(value) => make(env, value).map_err(|Thrown| ()),
        Err(error) => {
            if let Ok(value) = error::to_js(env, &error) {
                // SAFETY: settled once, on its own thread.
                unsafe { sys::napi_reject_deferred(env, deferred.0 as sys::napi_deferred, value.raw) };
                return;
            }
            Err(())
        }
    };
    // SAFETY: settled once, on its own thread. What JavaScript threw while the value was made is the reason then.
    unsafe {
        match settled {
            Ok(value) => sys::napi_resolve_deferred(env, deferred.0 as sys::napi_deferred, value.raw),
            Err(()) => {
                let reason = Value::take_exception(env).unwrap_or_else(|| Value::undefined(env));
                sys::napi_reject_deferred(env, deferred.0 as sys::napi_deferred, reason.raw)
            }
        };
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if !self.settled {
            // Work that was dropped before it was done still answers whoever waits for it.
            let other = Self { raw: self.raw, door: Arc::clone(&self.door), settled: true };
            other.settle_lost();
        }
    }
}

impl Deferred {
    fn settle_lost(self) {
        let error = Error::new(crate::error::Code::Internal, "the work was dropped before it was done");
        self.settle::<()>(Err(error), |env, ()| Ok(Value::undefined(env)));
    }
}
