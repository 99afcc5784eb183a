//! What the Rust tests share: a node driven with blocking calls, and the compiler's process.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Once};
use std::time::Duration;

use remotemedia_wasmedge::data::{Packet, SessionId};
use remotemedia_wasmedge::engine::{Launcher, Mode, ModuleSource, NodeConfig, NodeOptions, Stream, StreamOptions, WasmNode, set_launcher};
use remotemedia_wasmedge::error::Result;

/// Longest that any answer may take before a test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every run mode that a guest must behave the same in.
pub const MODES: [Mode; 3] = [Mode::Interpreter, Mode::Aot, Mode::Jit];

/// Points the engine to the compiler's process and to a cache folder of the test run.
pub fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("aot-cache");
        #[expect(clippy::disallowed_methods, reason = "the compiler's process and the cache read it; no other thread runs yet")]
        // SAFETY: set before any other thread of this test process reads the environment.
        unsafe {
            std::env::set_var("RM_WASMEDGE_CACHE_DIR", folder);
        };
        set_launcher(Launcher { program: env!("CARGO_BIN_EXE_remotemedia-compile").into(), args: Vec::new(), env: Vec::new() });
        remotemedia_wasmedge::observe::log_as_environment_says();
    });
}

/// Calls something that answers through a callback, and waits.
pub fn wait<T: Send + 'static>(ask: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> T {
    let (sender, receiver) = mpsc::channel();
    ask(Box::new(move |answer| drop(sender.send(answer))));
    receiver.recv_timeout(PATIENCE).expect("an answer within a minute")
}

/// Path of a built guest.
pub fn guest(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("wasm-modules/dist").join(format!("{name}.wasm"))
}

/// A node that is ready, or why it is not.
pub fn node(source: ModuleSource, options: NodeOptions) -> Result<Arc<WasmNode>> {
    set_up();
    let node = WasmNode::new(source, NodeConfig::new(options, "test")?)?;
    wait(|ready| node.initialize(ready))?;
    Ok(node)
}

/// A node from a built guest.
pub fn guest_node(name: &str, options: NodeOptions) -> Result<Arc<WasmNode>> {
    node(ModuleSource::Path(guest(name)), options)
}

/// A node from WebAssembly text.
pub fn text_node(wat: &str, options: NodeOptions) -> Result<Arc<WasmNode>> {
    node(ModuleSource::Bytes(wat::parse_str(wat).expect("the test's own text")), options)
}

/// A stream in a named session.
pub fn stream(node: &Arc<WasmNode>, session: &str) -> Stream {
    let session = Some(SessionId::new(session).expect("a session id"));
    node.open(StreamOptions { session, continue_on_error: true, ..StreamOptions::default() }).expect("a stream")
}

/// One item in, its outputs out.
pub fn call(stream: &Stream, packet: Packet) -> Result<Vec<Packet>> {
    wait(|reply| stream.submit(packet, reply))
}

/// The end of the stream.
pub fn flush(stream: &Stream) -> Result<Vec<Packet>> {
    wait(|reply| stream.flush(reply))
}
