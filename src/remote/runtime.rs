//! The network's own threads.
//!
//! Problem: Node's event loop must not wait for a socket, and a busy network must not take the processors from the guests. Answer: one tokio
//! runtime for the process, started when it is first needed. It is never shut down: its threads end with the process, so that no pending call
//! can hold up an exit.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::error::{Code, Error, Result};

/// Threads that drive connections. Calls are short and mostly wait, one thread does 70,000 of them a second, and Node's own thread wants a
/// processor as well: one up to three processors, two beyond, so that one long conversion does not stop every other connection.
fn workers() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if processors > 3 { 2 } else { 1 }
}

/// Name resolution and the registry's files; more would only queue at the resolver.
const BLOCKING_THREADS: usize = 4;

/// The runtime's handle; starts it.
pub fn handle() -> Result<&'static Handle> {
    static RUNTIME: OnceLock<Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        Builder::new_multi_thread()
            .worker_threads(workers())
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name_fn(|| format!("rm-net-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Error::new(Code::Internal, format!("the network's threads cannot start: {error}")).because(error))
    });
    runtime.as_ref().map(Runtime::handle).map_err(Clone::clone)
}

/// Runs `future` on the network's threads.
pub fn spawn<F>(future: F) -> Result<JoinHandle<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Ok(handle()?.spawn(future))
}
