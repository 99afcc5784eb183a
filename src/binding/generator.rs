//! A node of the application as a generator: `face` of `js/node.js` made its functions.

use std::sync::Arc;

use super::error::Outcome;
use super::function::{Function, thrown};
use super::service_call::{self, Manner};
use super::value::Value;
use crate::data::{Kind, SessionId};
use crate::error::{Code, Error, Result};
use crate::pipeline::Generator;
use crate::pipeline::manifest::{KindSet, Ports};
use crate::remote::service::{CallInfo, ItemSink, ItemSource};
use crate::remote::{BoxFuture, oneshot};

/// The node's functions.
pub struct JsGenerator {
    name: String,
    ports: Ports,
    /// `(source, info) => items`
    stream: Arc<Function>,
    initialize: Arc<Function>,
    close_session: Arc<Function>,
    cleanup: Arc<Function>,
}

/// Names of kinds that a node says it takes in or puts out.
fn kinds(list: Value, path: &str) -> Outcome<Option<KindSet>> {
    if list.is_undefined() {
        return Ok(None);
    }
    let wrong = |path: &str| Error::config(path, format!("must be an array of kinds: {}", Kind::ALL.map(Kind::name).join(", ")));
    if !list.is_array() {
        return Err(wrong(path).into());
    }
    let mut kinds = KindSet::EMPTY;
    for index in 0..list.length() {
        let kind = list.at(index)?.text().and_then(|name| Kind::from_name(&name));
        kinds = kinds.with(kind.ok_or_else(|| wrong(&format!("{path}.{index}")))?);
    }
    Ok(Some(kinds))
}

impl JsGenerator {
    /// Keeps them.
    pub fn new(name: String, path: &str, face: Value) -> Outcome<Self> {
        let kinds = |key: &str| kinds(face.get(key)?, &format!("{path}.{key}"));
        let ports = Ports { accepts: kinds("accepts")?, puts_out: kinds("produces")? };
        let of = |key: &str| face.get(key).and_then(Function::keep).map(Arc::new);
        Ok(Self { name, ports, stream: of("stream")?, initialize: of("initialize")?, close_session: of("closeSession")?, cleanup: of("cleanup")? })
    }

    fn ask(&self, function: &Arc<Function>, argument: Option<&str>) -> BoxFuture<'static, Result<()>> {
        let (sender, receiver) = oneshot::channel();
        let (name, argument) = (self.name.clone(), argument.map(str::to_owned));
        let asked = Arc::clone(function);
        function.door().run(move |env| {
            let done = move |env, returned: std::result::Result<Value, Value>| {
                let failed = |error| thrown(env, Code::NodeFailed, &format!("node '{name}'"), error).in_node(&name);
                // Nobody waits: what asked is gone.
                let _ = sender.send(returned.map(drop).map_err(failed));
            };
            let undefined = Value::undefined(env);
            let argument = argument.map_or(Ok(undefined), |text| Value::string(env, &text));
            // Not called: the sender is dropped, which says so.
            let _ = argument.and_then(|argument| asked.call(env, [argument, undefined], Box::new(done)));
        });
        Box::pin(async move { receiver.await.unwrap_or_else(|_| Err(Error::new(Code::Closed, "the environment of the node is gone"))) })
    }
}

impl Generator for JsGenerator {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, info: CallInfo, ahead: usize, source: ItemSource, sink: ItemSink) -> BoxFuture<'static, Result<()>> {
        service_call::run(&self.stream, Manner { receive: ahead, failure: Code::NodeFailed }, info, source, sink)
    }

    fn ports(&self) -> Ports {
        self.ports
    }

    fn initialize(&self) -> BoxFuture<'static, Result<()>> {
        self.ask(&self.initialize, None)
    }

    fn close_session(&self, session: &SessionId) -> BoxFuture<'static, Result<()>> {
        self.ask(&self.close_session, Some(session.as_str()))
    }

    fn cleanup(&self) -> BoxFuture<'static, Result<()>> {
        self.ask(&self.cleanup, None)
    }
}
