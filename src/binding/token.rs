//! Bearer tokens that the application supplies, fresh for each call.

use std::sync::Arc;

use napi::sys;

use super::function::{Function, thrown};
use super::value::{Js, Value};
use crate::error::{Code, Error, Result};
use crate::remote::{BoxFuture, TokenSource, oneshot};

/// The option `authToken` where it is a function.
pub struct JsToken {
    function: Arc<Function>,
}

impl JsToken {
    /// Keeps the function.
    pub fn new(function: Value) -> Js<Self> {
        Ok(Self { function: Arc::new(Function::keep(function)?) })
    }
}

impl TokenSource for JsToken {
    fn token(&self) -> BoxFuture<'static, Result<String>> {
        let (sender, receiver) = oneshot::channel();
        let function = Arc::clone(&self.function);
        self.function.door().run(move |env| {
            let undefined = Value::undefined(env);
            // Not called: its environment is ending, and the receiver sees the sender go.
            let _ = function.call(env, [undefined, undefined], Box::new(move |env, returned| drop(sender.send(token(env, returned)))));
        });
        Box::pin(async move { receiver.await.unwrap_or_else(|_| Err(Error::new(Code::Closed, "the environment that supplies authToken is gone"))) })
    }
}

fn token(env: sys::napi_env, returned: Result<Value, Value>) -> Result<String> {
    match returned {
        Ok(value) => value.text().ok_or_else(|| {
            let given = value.get_type().name();
            Error::config("authToken", format!("must return a string or a promise of one, it returned {given}"))
        }),
        Err(error) => Err(thrown(env, Code::Remote, "authToken", error)),
    }
}
