//! The nodes that one environment made, so that they end with it.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use crate::engine::WasmNode;

thread_local! {
    static NODES: RefCell<Vec<Weak<WasmNode>>> = const { RefCell::new(Vec::new()) };
}

/// Remembers a node of this environment.
pub fn remember(node: &Arc<WasmNode>) {
    NODES.with_borrow_mut(|nodes| {
        // Those that are gone are swept out when the list would grow, so that sweeping costs nothing on average.
        if nodes.len() == nodes.capacity() {
            nodes.retain(|node| node.strong_count() > 0);
        }
        nodes.push(Arc::downgrade(node));
    });
}

/// Ends all of them: their environment is going away.
pub fn close_all() {
    for node in NODES.take().iter().filter_map(Weak::upgrade) {
        node.cleanup(Box::new(|| {}));
    }
}
