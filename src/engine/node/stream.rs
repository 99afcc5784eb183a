//! One caller's sequence of items on a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Loaded, WasmNode};
use crate::data::{Packet, SessionId};
use crate::engine::job::{Job, Reply, StreamShared};
use crate::engine::session::Session;
use crate::error::Result;

/// A stream of items of one session.
pub struct Stream {
    pub(super) node: Arc<WasmNode>,
    pub(super) loaded: Loaded,
    pub(super) session: SessionId,
    /// Whether the session is this stream's own and ends with it.
    pub(super) own_session: bool,
    pub(super) bound: Mutex<Option<Arc<Session>>>,
    pub(super) shared: Arc<StreamShared>,
    pub(super) inputs: AtomicU64,
}

impl Stream {
    /// Gives an item to the guest; `reply` gets its outputs, in the order of the items of the session.
    pub fn submit(&self, packet: Packet, reply: Reply) {
        self.give(packet, Arc::clone(&self.shared), reply);
    }

    /// The same with a time of the item's own.
    pub fn submit_within(&self, packet: Packet, timeout: Duration, reply: Reply) {
        self.give(packet, Arc::new(self.shared.within(timeout)), reply);
    }

    fn give(&self, mut packet: Packet, stream: Arc<StreamShared>, reply: Reply) {
        packet.sequence = self.inputs.fetch_add(1, Ordering::Relaxed);
        if self.node.config.stateless {
            let job = Job::Item { packet, session: Some(self.session.clone()), stream, reply };
            return self.node.submit_to_lane(&self.loaded.lanes, job);
        }
        match self.bound() {
            Ok(session) => session.submit(Job::Item { packet, session: None, stream, reply }),
            Err(error) => reply(Err(error)),
        }
    }

    /// The number that the next item will get.
    pub fn next_sequence(&self) -> u64 {
        self.inputs.load(Ordering::Relaxed)
    }

    /// Lets the guest put out what it still holds.
    pub fn flush(&self, reply: Reply) {
        let inputs = self.inputs.load(Ordering::Relaxed);
        let bound = self.bound.lock().clone();
        match bound {
            Some(session) => session.submit(Job::Flush { inputs, stream: Arc::clone(&self.shared), reply }),
            // No item, or a stateless node, which by its own word holds nothing.
            None => reply(Ok(Vec::new())),
        }
    }

    /// Stops the stream's running and waiting items.
    pub fn cancel(&self) {
        self.shared.cancel.cancel();
    }

    /// Ends the stream: a session of its own goes with it.
    pub fn end(&self) {
        if self.own_session && self.bound.lock().take().is_some() {
            self.node.close_session(&self.session, "stream-end", Box::new(|| {}));
        }
    }

    /// The stream's session.
    pub fn session_id(&self) -> &SessionId {
        &self.session
    }

    /// The node that the stream belongs to.
    pub fn node(&self) -> &Arc<WasmNode> {
        &self.node
    }

    /// The session that the stream's first item opened. One that was ended meanwhile is not opened again behind the caller's back: its
    /// state is gone, and the session itself says so.
    fn bound(&self) -> Result<Arc<Session>> {
        let mut bound = self.bound.lock();
        if let Some(session) = &*bound {
            return Ok(Arc::clone(session));
        }
        let session = self.node.session(&self.session, &self.loaded)?;
        *bound = Some(Arc::clone(&session));
        Ok(session)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}
