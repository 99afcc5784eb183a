//! The ends of a stream through a pipeline, for a caller with callbacks: JavaScript's pull loop.
//!
//! Problem: the caller pushes and pulls from its own thread, must never wait, and must hear of each packet, then of the failure or the end,
//! exactly once. Answer: the entry takes an item whenever it has said that there is room; answers are told by a task that waits for them.
//! The pipeline's nodes are made ready when the first item comes. Dropping the stream stops its nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::flow::Pipeline;
use super::line::{Element, Input, line};
use super::node::StreamScope;
use crate::data::{Packet, SessionId};
use crate::error::{Code, Error, Result};
use crate::observe::trace;
use crate::remote::{self, Received, Room};

/// A stream through a pipeline.
pub struct PipelineStream {
    scope: StreamScope,
    entry: Mutex<Entry>,
    /// One may wait for packets at a time.
    results: Arc<tokio::sync::Mutex<Input>>,
    /// Whether its caller cancelled it; otherwise the pipeline did.
    given_up: Arc<AtomicBool>,
}

struct Entry {
    /// Nothing once no more items come.
    sender: Option<mpsc::Sender<Element>>,
    /// Until the first item.
    unstarted: Option<(Arc<Pipeline>, Input, mpsc::Sender<Element>)>,
    next: u64,
    /// Those who wait for room in a stream that takes nothing any more: they are told at its end.
    parked: Vec<Room>,
}

impl PipelineStream {
    /// A stream that has not begun.
    pub fn new(pipeline: Arc<Pipeline>, scope: StreamScope) -> Self {
        let (sender, input) = line(scope.buffer);
        let (output, results) = line(scope.buffer);
        let entry = Entry { sender: Some(sender), unstarted: Some((pipeline, input, output)), next: 0, parked: Vec::new() };
        Self { scope, entry: Mutex::new(entry), results: Arc::new(tokio::sync::Mutex::new(results)), given_up: Arc::default() }
    }

    /// The stream's session.
    pub fn session(&self) -> &SessionId {
        &self.scope.session
    }

    fn begin(&self, entry: &mut Entry) -> Result<()> {
        let Some((pipeline, input, output)) = entry.unstarted.take() else { return Ok(()) };
        let scope = self.scope.clone();
        remote::spawn(async move {
            let hold = output.clone();
            let connected = tokio::select! {
                biased;
                () = scope.cancel.cancelled() => Ok(()),
                connected = pipeline.connect(&scope, input, output) => connected,
            };
            if let Err(error) = connected {
                scope.failure.note(error.in_session(scope.session.as_str()));
            }
            drop(hold);
        })
        .map(drop)
    }

    /// Gives it an item: taken, and whether there is room for more. After `false` wait for [`Self::room`].
    pub fn try_send(&self, mut packet: Packet) -> Result<bool> {
        let mut entry = self.entry.lock();
        packet.sequence = entry.next;
        trace::begin(&mut packet, self.scope.trace.as_ref(), Some(self.session()));
        let Some(sender) = entry.sender.clone() else { return Ok(false) };
        match sender.try_send(Element::Packet(packet)) {
            Ok(()) => {
                entry.next += 1;
                self.begin(&mut entry)?;
                Ok(sender.capacity() > 0)
            }
            // Over before its source was: the end, or the failure, is told where packets are.
            Err(TrySendError::Closed(_)) => Ok(false),
            Err(TrySendError::Full(_)) => Err(Error::new(Code::Internal, "items are given without waiting for room")),
        }
    }

    /// Tells when there is room. Where there never will be, at the end of the stream.
    pub fn room(&self, then: Room) {
        let sender = self.entry.lock().sender.clone();
        let Some(sender) = sender.filter(|sender| !sender.is_closed()) else {
            if self.scope.cancel.is_cancelled() {
                return then(Ok(()));
            }
            return self.entry.lock().parked.push(then);
        };
        // Several places at once: to wake the caller for each would take longer than many an item.
        let places = (sender.max_capacity() / 2).max(1);
        if sender.capacity() >= places {
            return then(Ok(()));
        }
        let cancel = self.scope.cancel.clone();
        let wait = async move {
            let room = tokio::select! {
                biased;
                () = cancel.cancelled() => true,
                room = sender.reserve_many(places) => room.is_ok(),
            };
            if !room {
                cancel.cancelled().await;
            }
            then(Ok(()));
        };
        // Without the network's threads nothing was started that could make room.
        let _no_threads = remote::spawn(wait);
    }

    /// No more items come: the nodes hand out what they hold.
    pub fn finish(&self) {
        let mut entry = self.entry.lock();
        entry.sender = None;
        if let Err(error) = self.begin(&mut entry) {
            self.scope.failure.note(error);
        }
    }

    /// Tells what has come out, up to `max` packets, as soon as there is anything; then the failure, if there was one; nothing at the end.
    pub fn receive(&self, max: usize, then: Received) {
        let (results, scope, given_up) = (Arc::clone(&self.results), self.scope.clone(), Arc::clone(&self.given_up));
        let wait = async move {
            let mut results = results.lock_owned().await;
            let came = tokio::select! {
                biased;
                () = scope.cancel.cancelled() => None,
                came = results.next_batch(max) => came,
            };
            drop(results);
            then(match came {
                Some(elements) => Ok(Some(elements.into_iter().map(|element| handed_out(element.into_packet())).collect())),
                None if scope.cancel.is_cancelled() && !given_up.swap(true, Ordering::AcqRel) => {
                    Err(Error::new(Code::Closed, "the pipeline was cleaned up").in_session(scope.session.as_str()))
                }
                None => scope.failure.take().map_or(Ok(None), Err),
            });
        };
        let _no_threads = remote::spawn(wait);
    }

    /// Stops the stream's nodes.
    pub fn cancel(&self) {
        self.given_up.store(true, Ordering::Release);
        self.scope.cancel.cancel();
        let mut entry = self.entry.lock();
        entry.sender = None;
        entry.unstarted = None;
        let parked = std::mem::take(&mut entry.parked);
        drop(entry);
        for then in parked {
            then(Ok(()));
        }
    }
}

/// A node may hold on to what an output inherited; its trace is over now.
fn handed_out(packet: Packet) -> Packet {
    packet.trace.as_ref().inspect(|trace| trace.delivered());
    packet
}

impl Drop for PipelineStream {
    fn drop(&mut self) {
        self.cancel();
    }
}
