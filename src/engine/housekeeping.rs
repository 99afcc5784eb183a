//! The thread that ends what nobody uses any more.
//!
//! One thread for all nodes, asleep while there is no node. It decides nothing: each node says what is too old.

use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::node::WasmNode;

/// Pauses between two rounds: short enough for the shortest sensible time to live, rare enough to cost nothing.
const ROUND: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

struct Watch {
    nodes: Mutex<Vec<Weak<WasmNode>>>,
    added: Condvar,
}

/// Looks after this node until it is cleaned up.
pub fn watch(node: &Arc<WasmNode>) {
    static WATCH: LazyLock<&'static Watch> = LazyLock::new(|| {
        let watch: &'static Watch = Box::leak(Box::new(Watch { nodes: Mutex::new(Vec::new()), added: Condvar::new() }));
        if let Err(error) = std::thread::Builder::new().name("rm-housekeeping".into()).spawn(move || rounds(watch)) {
            tracing::error!(target: "engine", %error, "sessions will not expire");
        }
        watch
    });
    WATCH.nodes.lock().push(Arc::downgrade(node));
    WATCH.added.notify_one();
}

fn rounds(watch: &'static Watch) {
    loop {
        let nodes: Vec<_> = {
            let mut nodes = watch.nodes.lock();
            nodes.retain(|node| node.upgrade().is_some_and(|node| node.is_open()));
            while nodes.is_empty() {
                watch.added.wait(&mut nodes);
            }
            nodes.iter().filter_map(Weak::upgrade).collect()
        };
        let shortest = nodes.iter().map(|node| node.config().sessions_ttl.min(node.config().pool_idle_ttl)).min().unwrap_or(ROUND.1);
        let now = Instant::now();
        for node in nodes {
            node.tidy(now);
        }
        let mut nodes = watch.nodes.lock();
        // A node that is added meanwhile may have a shorter time to live, so it ends the pause.
        watch.added.wait_for(&mut nodes, (shortest / 4).clamp(ROUND.0, ROUND.1));
    }
}
