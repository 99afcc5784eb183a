//! The application's functions that a guest may call.
//!
//! Problem: the guest waits on a native thread for a function that runs on JavaScript's, may be async, may throw, may return anything or
//! never. Answer: the call travels through the door, the guest's thread waits for the answer and looks up now and then whether it must
//! stop; a late answer finds nobody and is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use napi::sys;
use parking_lot::{Condvar, Mutex};

use super::function::{Function, thrown};
use super::value::{Element, Js, Value};
use crate::engine::{HostCall, HostFailure, HostFunctions};
use crate::error::{Code, Error};

/// How often a waiting guest looks whether it must stop: within the 10 ms that the deadline may be late.
const LOOK: Duration = Duration::from_millis(3);

/// The functions of one node.
pub struct JsHostFunctions {
    functions: HashMap<String, Arc<Function>>,
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
    pub fn new(functions: Vec<(String, Value)>) -> Js<Self> {
        let functions = functions.into_iter().map(|(name, function)| Ok((name, Arc::new(Function::keep(function)?)))).collect::<Js<_>>()?;
        Ok(Self { functions })
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
        let door = Arc::clone(function.door());
        door.run(move |env| {
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
            if call.must_stop() || !door.is_open() {
                return Err(HostFailure::Stopped);
            }
            let next = Instant::now() + LOOK;
            answer.arrived.wait_until(&mut slot, call.deadline().map_or(next, |deadline| deadline.min(next)));
        }
    }
}

/// Calls the function on the JavaScript thread; the answer comes back through `answer`.
fn enter(env: sys::napi_env, function: &Function, name: &str, data: &[u8], session: &str, answer: &Arc<Answer>) -> Js<()> {
    let info = Value::object(env)?;
    info.set("sessionId", Value::string(env, session)?)?;
    let (answer, what) = (Arc::clone(answer), format!("host function '{name}'"));
    let done = move |env, returned: Result<Value, Value>| {
        answer.give(match returned {
            Ok(value) => bytes(&value).ok_or_else(|| {
                let given = value.get_type().name();
                Error::new(Code::HostFunction, format!("{what} must return a Uint8Array or a string, it returned {given}"))
            }),
            Err(error) => Err(thrown(env, Code::HostFunction, &what, error)),
        });
    };
    function.call(env, [Value::buffer(env, data)?, info], Box::new(done))
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    if let Some((Element::U8, bytes)) = value.typed_array() {
        return Some(bytes.to_vec());
    }
    value.array_buffer_bytes().map(<[u8]>::to_vec).or_else(|| value.text().map(String::into_bytes))
}
