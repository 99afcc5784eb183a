//! Where the engine, the remote side and routing meet: pipelines of nodes, and what guests may use of the network.

mod flow;
mod gate;
mod generator;
mod hybrid;
mod line;
pub mod manifest;
mod node;
mod remote;
mod router;
mod stepwise;
mod stream;
mod task;
mod wasm;
mod window;

pub use flow::Pipeline;
pub use gate::breakers;
pub use generator::{Generator, GeneratorStage};
pub use hybrid::{Service, Services};
pub use line::{Element, Gone, Input, NODE_KEY, Output, line};
pub use node::{DEFAULT_BUFFER, Failure, Items, Node, OnError, StreamScope};
pub use remote::{RemoteStage, RemoteWork};
pub use router::{Confidence, Escalate, Event, Judge, Listener, Router, RouterParts, described};
pub use stream::PipelineStream;
pub use wasm::WasmStage;
