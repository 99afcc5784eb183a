//! The application's functions that a guest may call.
//!
//! Problem: the guest waits on a native thread for a function that runs on JavaScript's, may be async, may throw, may return anything or
//! never. Answer: the call travels through the door, the guest's thread waits for the answer and looks up now and then whether it must
//! stop; a late answer finds nobody and is dropped.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use napi::sys;
use parking_lot::{Condvar, Mutex};

use super::door::{self, Door, JsCause};
use super::hooks::{self, Hook};
use super::value::{Element, Js, Kept, Type, Value};
use crate::engine::{HostCall, HostFailure, HostFunctions};
use crate::error::{Code, Error};

/// How often a waiting guest looks whether it must stop: within the 10 ms that the deadline may be late.
const LOOK: Duration = Duration::from_millis(3);

/// The functions of one node.
pub struct JsHostFunctions {
    door: Arc<Door>,
    functions: HashMap<String, Arc<Function>>,
}

/// A JavaScript function that native threads may hold.
struct Function {
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

/// One call's answer.
#[derive(Default)]
struct Answer {
    value: Mutex<Option<Result<Vec<u8>, Error>>>,
    arrived: Condvar,
}

impl Answer {
    fn give(&self, value: Result<Vec<u8>, Error>) {
        let mut slot = self.value.lock();
        if slot.is_none() {
            *slot = Some(value);
            self.arrived.notify_one();
        }
    }
}

impl JsHostFunctions {
    /// Keeps the functions for the node's life.
    pub fn new(env: sys::napi_env, functions: Vec<(String, Value)>) -> Js<Self> {
        let door = door::here(env)?;
        let functions = functions
            .into_iter()
            .map(|(name, function)| {
                let kept = Kept::new(function)?;
                Ok((name, Arc::new(Function { kept: Mutex::new(Some(kept)), door: Arc::clone(&door) })))
            })
            .collect::<Js<HashMap<_, _>>>()?;
        Ok(Self { door, functions })
    }
}

impl HostFunctions for JsHostFunctions {
    fn has(&self, name: &str) -> bool {
        self.functions.contains_key(name)
    }

    fn call(&self, call: &HostCall<'_>) -> Result<Vec<u8>, HostFailure> {
        let Some(function) = self.functions.get(call.name).map(Arc::clone) else {
            return Err(HostFailure::Failed(Error::new(Code::HostFunction, format!("there is no host function '{}'", call.name))));
        };
        let answer = Arc::new(Answer::default());
        let (theirs, name) = (Arc::clone(&answer), call.name.to_owned());
        let (data, session) = (call.data.to_vec(), call.session.as_str().to_owned());
        self.door.run(move |env| {
            if enter(env, &function, &name, &data, &session, &theirs).is_err() {
                let why = Value::take_exception(env).and_then(|thrown| thrown.get("message").ok()?.text()).unwrap_or_default();
                theirs.give(Err(Error::new(Code::HostFunction, format!("host function '{name}' cannot be called: {why}"))));
            }
        });
        let mut slot = answer.value.lock();
        loop {
            if let Some(value) = slot.take() {
                return value.map_err(HostFailure::Failed);
            }
            if call.must_stop() || !self.door.is_open() {
                return Err(HostFailure::Stopped);
            }
            let next = Instant::now() + LOOK;
            answer.arrived.wait_until(&mut slot, call.deadline().map_or(next, |deadline| deadline.min(next)));
        }
    }
}

/// Calls the function on the JavaScript thread; the answer comes through `reply`.
fn enter(env: sys::napi_env, function: &Function, name: &str, data: &[u8], session: &str, answer: &Arc<Answer>) -> Js<()> {
    let kept = function.kept.lock();
    let Some(kept) = &*kept else { return Ok(()) };
    let function = kept.get(env)?;
    let info = Value::object(env)?;
    info.set("sessionId", Value::string(env, session)?)?;
    let pair = Box::new((Arc::clone(answer), name.to_owned()));
    let pointer = Box::into_raw(pair).cast::<c_void>();
    let mut raw = ptr::null_mut();
    // SAFETY: the callback is static; the data is freed by the finalizer when the function object is collected.
    let reply = unsafe {
        let status = sys::napi_create_function(env, ptr::null(), 0, Some(reply), pointer, &raw mut raw);
        if status != sys::Status::napi_ok
            || sys::napi_add_finalizer(env, raw, pointer, Some(free), ptr::null_mut(), ptr::null_mut()) != sys::Status::napi_ok
        {
            drop(Box::from_raw(pointer.cast::<(Arc<Answer>, String)>()));
            return Err(super::value::Thrown);
        }
        Value { env, raw }
    };
    hooks::call(env, Hook::CallHost, &[function, Value::buffer(env, data)?, info, reply]).map(|_| ())
}

unsafe extern "C" fn free(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `enter`; the finalizer runs once.
    drop(unsafe { Box::from_raw(data.cast::<(Arc<Answer>, String)>()) });
}

/// `(error, value)`: exactly one of them counts; an error is anything but undefined.
unsafe extern "C" fn reply(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (mut count, mut args, mut data) = (2, [ptr::null_mut(); 2], ptr::null_mut());
    // SAFETY: the engine writes two arguments at most, undefined where there are fewer, and our own pointer, which lives with the function.
    let pair = unsafe {
        sys::napi_get_cb_info(env, info, &raw mut count, args.as_mut_ptr(), ptr::null_mut(), &raw mut data);
        &*data.cast::<(Arc<Answer>, String)>()
    };
    let (answer, name) = pair;
    let [error, value] = args.map(|raw| Value { env, raw });
    let given = if error.is_undefined() { bytes(&value).ok_or(value.get_type()) } else { Err(Type::Undefined) };
    answer.give(match given {
        Ok(bytes) => Ok(bytes),
        Err(_) if !error.is_undefined() => {
            let text = error.get("message").ok().and_then(Value::text).or_else(|| error.to_text()).unwrap_or_else(|| "it threw".into());
            let ours = Error::new(Code::HostFunction, format!("host function '{name}' failed: {text}"));
            match JsCause::keep(env, error, text) {
                Ok(cause) => Err(ours.because(cause)),
                Err(_) => Err(ours),
            }
        }
        Err(ty) => {
            Err(Error::new(Code::HostFunction, format!("host function '{name}' must return a Uint8Array or a string, it returned {}", ty.name())))
        }
    });
    // Reading `message` of an odd value may have thrown; the function that called us must not see it.
    let _ = Value::take_exception(env);
    ptr::null_mut()
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    if let Some((Element::U8, bytes)) = value.typed_array() {
        return Some(bytes.to_vec());
    }
    value.array_buffer_bytes().map(<[u8]>::to_vec).or_else(|| value.text().map(String::into_bytes))
}
