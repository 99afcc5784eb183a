//! Functions of the application that native code calls: host functions, tokens, handlers.
//!
//! Problem: they run on JavaScript's thread, may be async, may throw, may return anything or never, and native threads hold on to them.
//! Answer: [`Function`] may be held by any thread and is used where it belongs, inside work that the door runs; what it returned or threw
//! comes back through a callback, exactly once, or is dropped with the function object that nobody can call any more.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use napi::sys;
use parking_lot::Mutex;

use super::door::{self, Door, JsCause};
use super::hooks::{self, Hook};
use super::value::{Js, Kept, Thrown, Value};
use crate::error::{Code, Error};

/// A JavaScript value that native threads may hold, such as a function.
pub struct Function {
    kept: Mutex<Option<Kept>>,
    door: Arc<Door>,
}

// SAFETY: the reference is only read on the JavaScript thread, inside work that the door runs there.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

struct SendKept(Kept);
// SAFETY: carried to the JavaScript thread, where it is released.
unsafe impl Send for SendKept {}

impl Drop for Function {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.lock().take().map(SendKept) {
            self.door.run(move |env| {
                let kept = kept;
                kept.0.release(env);
            });
        }
    }
}

/// Takes what the function returned, or what it threw.
pub type Done = Box<dyn FnOnce(sys::napi_env, Result<Value, Value>)>;

struct Reply(Cell<Option<Done>>);

impl Function {
    /// Keeps the value.
    pub fn keep(value: Value) -> Js<Self> {
        Ok(Self { kept: Mutex::new(Some(Kept::new(value)?)), door: door::here(value.env)? })
    }

    /// The door of the environment that it belongs to.
    pub fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// The value itself, on its own thread.
    pub fn get(&self, env: sys::napi_env) -> Js<Value> {
        self.kept.lock().as_ref().ok_or(Thrown).and_then(|kept| kept.get(env))
    }

    /// Calls it with two arguments, on its own thread. An error here means that it was not called.
    pub fn call(&self, env: sys::napi_env, args: [Value; 2], done: Done) -> Js<()> {
        let function = self.get(env)?;
        let pointer = Box::into_raw(Box::new(Reply(Cell::new(Some(done))))).cast::<c_void>();
        let mut raw = ptr::null_mut();
        // SAFETY: the callback is static; the data is freed by the finalizer when the function object is collected.
        let reply = unsafe {
            let status = sys::napi_create_function(env, ptr::null(), 0, Some(reply), pointer, &raw mut raw);
            if status != sys::Status::napi_ok
                || sys::napi_add_finalizer(env, raw, pointer, Some(free), ptr::null_mut(), ptr::null_mut()) != sys::Status::napi_ok
            {
                drop(Box::from_raw(pointer.cast::<Reply>()));
                return Err(Thrown);
            }
            Value { env, raw }
        };
        let [one, two] = args;
        hooks::call(env, Hook::CallHost, &[function, one, two, reply]).map(|_| ())
    }
}

unsafe extern "C" fn free(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `call`; the finalizer runs once.
    drop(unsafe { Box::from_raw(data.cast::<Reply>()) });
}

/// `(error, value)`: exactly one of them counts; an error is anything but undefined.
unsafe extern "C" fn reply(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (mut count, mut args, mut data) = (2, [ptr::null_mut(); 2], ptr::null_mut());
    // SAFETY: the engine writes two arguments at most, undefined where there are fewer, and our own pointer, which lives with the function.
    let reply = unsafe {
        sys::napi_get_cb_info(env, info, &raw mut count, args.as_mut_ptr(), ptr::null_mut(), &raw mut data);
        &*data.cast::<Reply>()
    };
    let [error, value] = args.map(|raw| Value { env, raw });
    if let Some(done) = reply.0.take() {
        done(env, if error.is_undefined() { Ok(value) } else { Err(error) });
    }
    // Reading properties of an odd value may have thrown; the function that called us must not see it.
    let _ = Value::take_exception(env);
    ptr::null_mut()
}

/// What a function of the application threw, as an error of ours that leads to it: `what` is who failed. A node of the application that
/// passes an error of ours on, such as that of a node which it uses, fails with that error's code.
pub fn thrown(env: sys::napi_env, code: Code, what: &str, error: Value) -> Error {
    let text = error.get("message").ok().and_then(Value::text).or_else(|| error.to_text()).unwrap_or_else(|| "it threw".into());
    let passed_on = || error.get("code").ok().and_then(Value::text).and_then(|text| Code::from_text(&text));
    let code = if code == Code::NodeFailed { passed_on().unwrap_or(code) } else { code };
    let ours = Error::new(code, format!("{what} failed: {text}"));
    match JsCause::keep(env, error, text) {
        Ok(cause) => ours.because(cause),
        Err(_) => ours,
    }
}
