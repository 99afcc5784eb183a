//! A line of packets that is bounded in bytes.
//!
//! Problem: what a handler puts out must wait for a client that reads slowly, and a bound in packets says nothing about memory. Answer: each
//! packet weighs what it holds, and there is room while the line weighs less than its limit; so it never holds more than the limit and one
//! packet per sender. Sending and waiting are separate steps, so that callbacks and futures can both use it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::data::{Packet, Value};
use crate::error::{Code, Error, Result};

/// Told when there is room, or that there never will be.
pub type Room = Box<dyn FnOnce(Result<()>) + Send>;

/// A line whose senders do not wait for room, though told to, is cut at this many times its limit.
const DISREGARD: usize = 16;

/// What travels in a line.
#[derive(Debug)]
pub enum Sent {
    /// An item.
    Packet(Packet),
    /// What the service itself says between items.
    Notice(Notice),
}

/// What a pipeline's stream says beside its items.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The stream is ready, under this name.
    Ready(String),
    /// How far it has come.
    Status {
        /// Its name.
        name: String,
        /// Items taken in.
        items: u64,
        /// Their bytes.
        bytes: u64,
    },
}

struct State<E> {
    line: VecDeque<Sent>,
    weight: usize,
    end: Option<E>,
    /// Nobody receives any more.
    closed: bool,
    receiver: Option<Waker>,
    waiting: Vec<Room>,
}

/// One end of a line; which one is said by the methods that its owner calls. `E` is what comes after the last packet.
pub struct Pipe<E> {
    state: Arc<Mutex<State<E>>>,
    limit: usize,
}

impl<E> Clone for Pipe<E> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), limit: self.limit }
    }
}

/// A packet in the line, or one value of its metadata with its key: about their sizes in memory.
pub const EACH: usize = 160;

/// What a packet holds, in bytes, its own administration included.
pub fn weight(packet: &Packet) -> usize {
    fn size(value: &Value) -> usize {
        EACH + match value {
            Value::String(text) => text.len(),
            Value::Array(list) => list.iter().map(size).sum(),
            Value::Object(map) => map.iter().map(|(key, inner)| key.len() + size(inner)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }
    let metadata = packet.metadata.as_ref().map_or(0, |map| map.iter().map(|(key, inner)| key.len() + size(inner)).sum());
    EACH + packet.bytes.len() + metadata
}

impl Sent {
    fn weight(&self) -> usize {
        match self {
            Sent::Packet(packet) => weight(packet),
            Sent::Notice(_) => EACH,
        }
    }
}

impl<E> Pipe<E> {
    /// A line with room for `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let state = State { line: VecDeque::new(), weight: 0, end: None, closed: false, receiver: None, waiting: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)), limit }
    }

    /// Adds to the line, also where there is no room. False: wait for [`Pipe::room`] before the next one.
    pub fn push(&self, sent: Sent) -> Result<bool> {
        let weight = sent.weight();
        let mut state = self.state.lock();
        if state.closed || state.end.is_some() {
            return Err(over());
        }
        if state.weight >= self.limit.saturating_mul(DISREGARD) {
            return Err(Error::new(Code::Internal, "packets are put out without waiting for room"));
        }
        state.weight += weight;
        state.line.push_back(sent);
        let (room, waker) = (state.weight < self.limit, state.receiver.take());
        drop(state);
        wake(waker);
        Ok(room)
    }

    /// Adds to the line once there is room.
    pub async fn send(&self, sent: Sent) -> Result<()> {
        loop {
            let wait = {
                let mut state = self.state.lock();
                if state.closed || state.end.is_some() {
                    return Err(over());
                }
                if state.weight < self.limit {
                    None
                } else {
                    let (sender, receiver) = oneshot::channel();
                    state.waiting.push(Box::new(move |room| drop(sender.send(room))));
                    Some(receiver)
                }
            };
            match wait {
                None => return self.push(sent).map(drop),
                Some(room) => room.await.unwrap_or_else(|_| Err(over()))?,
            }
        }
    }

    /// Has `then` told when there is room; at once, if there is.
    pub fn room(&self, then: Room) {
        let mut state = self.state.lock();
        let answer = if state.closed || state.end.is_some() {
            Err(over())
        } else if state.weight < self.limit {
            Ok(())
        } else {
            state.waiting.push(then);
            return;
        };
        drop(state);
        then(answer);
    }

    /// Says what comes after the packets that are in the line. Only the first call counts.
    pub fn finish(&self, end: E) {
        let mut state = self.state.lock();
        state.end.get_or_insert(end);
        Self::release(state, &Err(over()));
    }

    /// Throws away the packets and says that nobody receives any more.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let line = std::mem::take(&mut state.line);
        state.weight = 0;
        Self::release(state, &Err(over()));
        drop(line);
    }

    fn release(mut state: MutexGuard<'_, State<E>>, room: &Result<()>) {
        let (waiting, waker) = (std::mem::take(&mut state.waiting), state.receiver.take());
        drop(state);
        wake(waker);
        for then in waiting {
            then(room.clone());
        }
    }

    /// The next in the line; then what comes after, once; nothing afterwards.
    pub fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Sent, E>>> {
        let mut state = self.state.lock();
        let Some(sent) = state.line.pop_front() else {
            if state.closed {
                return Poll::Ready(None);
            }
            if let Some(end) = state.end.take() {
                state.closed = true;
                return Poll::Ready(Some(Err(end)));
            }
            state.receiver = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.weight = state.weight.saturating_sub(sent.weight());
        // Half empty, so that a sender is woken for a good part of the line and not for each packet.
        let waiting = if state.weight <= self.limit / 2 { std::mem::take(&mut state.waiting) } else { Vec::new() };
        drop(state);
        for then in waiting {
            then(Ok(()));
        }
        Poll::Ready(Some(Ok(sent)))
    }

    /// Whether nobody receives any more.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn over() -> Error {
    Error::new(Code::Aborted, "the call is over")
}
