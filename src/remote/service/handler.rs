//! What a registered node is, from the service's point of view.
//!
//! Problem: nodes are JavaScript functions, node objects or WebAssembly modules, and the service may know none of these. Answer: [`Handler`],
//! with one method for a single item and one for a stream of them. A handler sees packets and a [`CallInfo`]; formats, metrics, limits and
//! how errors travel are the service's. It is told that nobody waits any more by its future being dropped, and by [`CallInfo::cancel`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokio_util::sync::CancellationToken;

use super::items::{ItemSink, ItemSource};
use crate::data::{Map, Packet, SessionId, Value};
use crate::error::{Error, Result};
use crate::remote::runtime;

/// What is known about a call, beside its items.
#[derive(Clone, Debug)]
pub struct CallInfo {
    /// The node type that the client asked for.
    pub node_type: String,
    /// Configuration, with the types that the client meant.
    pub config: Map<String, Value>,
    /// The session that the client named: in the payload (`session_id` in its metadata, the first item's in a stream) or in the request's
    /// metadata (`x-session-id`).
    pub session: Option<SessionId>,
    /// The request's metadata as far as it is text, names in lower case. Without `authorization` where the service has checked it.
    pub metadata: Vec<(String, String)>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// When the client stops waiting.
    pub deadline: Option<Instant>,
    /// Address of the client.
    pub peer: Option<SocketAddr>,
    /// Cancelled when the call is over for any reason: answered, given up by the client, past its deadline, ended by the service.
    pub cancel: CancellationToken,
}

impl CallInfo {
    /// Has `then` called once when the call is over, on one of the network's threads.
    pub fn on_end(&self, then: Box<dyn FnOnce() + Send>) -> Result<()> {
        let over = self.cancel.clone().cancelled_owned();
        runtime::spawn(over.map(|()| then())).map(drop)
    }
}

/// A registered node.
pub trait Handler: Send + Sync + 'static {
    /// Answers one item. No output becomes `None` for the client, several become a list.
    fn execute(&self, info: CallInfo, input: Packet) -> BoxFuture<'static, Result<Vec<Packet>>>;

    /// Answers a stream of items: the stream ends when the future does. Whatever is held back is to be sent after the last item, before the
    /// future ends. Unless written otherwise, each item goes through [`Handler::execute`] by itself.
    fn stream(self: Arc<Self>, info: CallInfo, input: ItemSource, output: ItemSink) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            while let Some(packet) = input.next().await? {
                for answer in self.execute(info.clone(), packet).await? {
                    output.send(answer).await?;
                }
            }
            Ok(())
        })
    }

    /// The session that calls named in [`CallInfo::session`] is over: unused for long, one too many, or the service closes.
    fn close_session(&self, session: &SessionId) -> BoxFuture<'static, ()> {
        let _ = session;
        Box::pin(ready(()))
    }
}

/// One parameter of a node, as clients are told about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameter {
    /// Key in the configuration.
    pub name: String,
    /// Type, in the words of Python or TypeScript.
    pub kind: String,
    /// What it is for.
    pub description: String,
    /// Whether the node does not work without it.
    pub required: bool,
    /// Default, as text.
    pub default: Option<String>,
}

/// A node and what clients are told about it.
#[derive(Clone)]
pub struct NodeEntry {
    /// Does the work.
    pub handler: Arc<dyn Handler>,
    /// Such as `audio`; clients filter by it.
    pub category: String,
    /// For people.
    pub description: String,
    /// For people and for generated types.
    pub parameters: Vec<Parameter>,
}

/// Category of nodes that do not say one, as on the stock server.
pub const DEFAULT_CATEGORY: &str = "base";

impl NodeEntry {
    /// An entry without a description.
    pub fn new(handler: impl Handler) -> Self {
        Self { handler: Arc::new(handler), category: DEFAULT_CATEGORY.to_owned(), description: String::new(), parameters: Vec::new() }
    }
}

/// Longest node type in bytes: it goes into messages, metrics and logs.
const MAX_NODE_TYPE_BYTES: usize = 256;

/// Checks a node type's name before it is registered.
pub(super) fn check_node_type(node_type: &str) -> Result<()> {
    if node_type.is_empty() || node_type.len() > MAX_NODE_TYPE_BYTES || node_type.chars().any(char::is_control) {
        let problem = format!("must be 1 to {MAX_NODE_TYPE_BYTES} bytes of text without control characters");
        return Err(Error::config("nodeType", problem));
    }
    Ok(())
}
