//! The native half of a call that a service's node answers in JavaScript (`js/service.js` is the other).
//!
//! Problem: the service awaits a future, while the node is JavaScript's: it pulls items, puts out packets, waits where there is no room, may
//! throw, and may never end. Answer: [`JsHandler`] hands each call to JavaScript as an object and waits until it says that it is done; when
//! nobody waits for the call any more, the object tells JavaScript and takes nothing further.

use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::json;

use super::convert;
use super::error::{Outcome, throw};
use super::function::{Function, thrown};
use super::hooks::{self, Hook};
use super::settle::Ticket;
use super::value::{Js, Thrown, Value};
use crate::data::{Packet, Value as Json};
use crate::error::{Code, Error, Result};
use crate::remote::service::{CallInfo, Handler, ItemSink, ItemSource};
use crate::remote::{BoxFuture, oneshot};

/// Packets handed to JavaScript at once.
const RECEIVE: usize = 64;
/// Bytes that one item's outputs may have together: what a message may.
const COLLECT_BYTES: usize = 64 << 20;

/// A node of the application: two functions `(source, info) => items`, one for single items and one for streams.
pub struct JsHandler {
    execute: Arc<Function>,
    stream: Arc<Function>,
}

impl JsHandler {
    /// From what `handlers` of `js/service.js` made.
    pub fn new(handlers: Value) -> Js<Self> {
        let of = |name: &str| handlers.get(name).and_then(Function::keep).map(Arc::new);
        Ok(Self { execute: of("execute")?, stream: of("stream")? })
    }
}

/// How a call is run.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Packets handed to JavaScript at once.
    pub receive: usize,
    /// What a failure of the node is, where it says nothing else.
    pub failure: Code,
}

const SERVED: Manner = Manner { receive: RECEIVE, failure: Code::Remote };

/// Has JavaScript run one call; ends when it does.
pub fn run(handler: &Arc<Function>, manner: Manner, info: CallInfo, input: ItemSource, output: ItemSink) -> BoxFuture<'static, Result<()>> {
    let (sender, receiver) = oneshot::channel();
    let (function, door) = (Arc::clone(handler), Arc::clone(handler.door()));
    let call = NativeServiceCall { info, manner, input: Arc::new(input), output, done: Mutex::new(Some(sender)) };
    door.run(move |env| {
        // Not begun: the call object is dropped, and with it the sender that says so.
        let _ = begin(env, &function, call);
    });
    Box::pin(async move { receiver.await.unwrap_or_else(|_| Err(Error::new(Code::Closed, "the environment of the service's nodes is gone"))) })
}

fn begin(env: napi::sys::napi_env, function: &Function, call: NativeServiceCall) -> Js<()> {
    let function = function.get(env)?;
    // SAFETY: the environment is the one whose thread this runs on.
    let raw = unsafe { NativeServiceCall::to_napi_value(env, call) }.map_err(|_| Thrown)?;
    hooks::call(env, Hook::Serve, &[function, Value { env, raw }]).map(drop)
}

impl Handler for JsHandler {
    fn execute(&self, info: CallInfo, input: Packet) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let (sink, collected) = ItemSink::collecting(COLLECT_BYTES);
        let work = run(&self.execute, SERVED, info, ItemSource::of(vec![input]), sink);
        Box::pin(collected.during(work))
    }

    fn stream(self: Arc<Self>, info: CallInfo, input: ItemSource, output: ItemSink) -> BoxFuture<'static, Result<()>> {
        run(&self.stream, SERVED, info, input, output)
    }
}

/// One call of a service's node. Internal.
#[napi]
pub struct NativeServiceCall {
    info: CallInfo,
    manner: Manner,
    input: Arc<ItemSource>,
    output: ItemSink,
    done: Mutex<Option<oneshot::Sender<Result<()>>>>,
}

impl NativeServiceCall {
    fn end(&self, result: Result<()>) {
        if let Some(done) = self.done.lock().take() {
            // Nobody waits: the call was over before.
            let _ = done.send(result);
        }
    }

    fn describe(&self) -> Json {
        let info = &self.info;
        let metadata: crate::data::Map<_, _> = info.metadata.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect();
        let remaining = info.deadline.map(|deadline| deadline.saturating_duration_since(std::time::Instant::now()).as_millis() as u64);
        let mut about = json!({ "nodeType": info.node_type, "config": info.config, "metadata": metadata });
        let optional = [
            ("sessionId", info.session.as_ref().map(|session| session.as_str().into())),
            ("traceparent", info.traceparent.as_deref().map(Json::from)),
            ("timeoutMs", remaining.map(Json::from)),
            ("peer", info.peer.map(|peer| peer.to_string().into())),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                about[name] = value;
            }
        }
        about
    }

    fn put(&self, item: Value, sequence: f64) -> Outcome<bool> {
        let packet = convert::item(item)?;
        Ok(self.output.try_send(Packet { sequence: sequence as u64, ..packet })?)
    }

    fn watch(&self, then: Value) -> Outcome<()> {
        let function = Function::keep(then)?;
        let door = Arc::clone(function.door());
        let tell = move |env| {
            let undefined = Value::undefined(env);
            let _ = function.call(env, [undefined, undefined], Box::new(|_, _| {}));
        };
        Ok(self.info.on_end(Box::new(move || door.run(tell)))?)
    }
}

#[napi]
impl NativeServiceCall {
    /// The session that the client named, or an empty text.
    #[napi(getter)]
    pub fn session_id(&self) -> String {
        self.info.session.as_ref().map_or_else(String::new, |session| session.as_str().to_owned())
    }

    /// What the handler is told about the call.
    #[napi(getter, ts_return_type = "object")]
    pub fn info<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        let about = Value::from_json(env.raw(), &self.describe().to_string());
        about.map(Value::unknown).map_err(|thrown| throw(env.raw(), thrown.into()))
    }

    /// Whether nobody waits for the call any more.
    #[napi(getter)]
    pub fn stopped(&self) -> bool {
        self.info.cancel.is_cancelled()
    }

    /// Has `then` called when the call is over, for whatever reason.
    #[napi(ts_args_type = "then: () => void")]
    pub fn on_stop(&self, env: Env, then: Unknown<'_>) -> napi::Result<()> {
        self.watch(Value { env: env.raw(), raw: then.raw() }).map_err(|failure| throw(env.raw(), failure))
    }

    /// Answers the slot `ticket` with items that have come; with none at the end.
    #[napi]
    pub fn receive(&self, env: Env, ticket: u32) -> napi::Result<()> {
        let ticket = Ticket::new(env.raw(), ticket).map_err(|thrown| throw(env.raw(), thrown.into()))?;
        let answer = move |packets: Result<Option<Vec<Packet>>>| ticket.answer(packets.map(Option::unwrap_or_default));
        self.input.receive(self.manner.receive, Box::new(answer));
        Ok(())
    }

    /// Puts out what answers the item with this number; false when the next one has to wait for `room`.
    #[napi]
    pub fn send(&self, env: Env, item: Unknown<'_>, sequence: f64) -> napi::Result<bool> {
        self.put(Value { env: env.raw(), raw: item.raw() }, sequence).map_err(|failure| throw(env.raw(), failure))
    }

    /// Answers the slot `ticket` when there is room for another item.
    #[napi]
    pub fn room(&self, env: Env, ticket: u32) -> napi::Result<()> {
        let ticket = Ticket::new(env.raw(), ticket).map_err(|thrown| throw(env.raw(), thrown.into()))?;
        self.output.room(Box::new(move |room: Result<()>| ticket.answer(room.map(|()| Vec::new()))));
        Ok(())
    }

    /// The handler is done.
    #[napi]
    pub fn finish(&self) {
        self.end(Ok(()));
    }

    /// The handler failed.
    #[napi(ts_args_type = "error: unknown")]
    pub fn fail(&self, env: Env, error: Unknown<'_>) {
        let raw = env.raw();
        let what = format!("node '{}'", self.info.node_type);
        self.end(Err(thrown(raw, self.manner.failure, &what, Value { env: raw, raw: error.raw() })));
        let _ = Value::take_exception(raw);
    }
}
