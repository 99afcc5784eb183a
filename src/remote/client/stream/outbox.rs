//! Items on their way out: accepted from any thread, taken one by one by HTTP/2.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::Room;
use crate::data::Packet;
use crate::error::{Code, Error, Result};

/// Enough to cover the way between two threads; what a slow server does not take waits in HTTP/2's window.
const ITEMS: usize = 64;
/// Large items need fewer.
const BYTES: usize = 1 << 20;
/// What a caller may push without waiting for room, as a multiple of that.
const PATIENCE: usize = 4;

/// The queue.
#[derive(Default)]
pub struct Outbox(Mutex<State>);

#[derive(Default)]
struct State {
    queue: VecDeque<Packet>,
    bytes: usize,
    finished: bool,
    failed: Option<Error>,
    room: Option<Room>,
    reader: Option<Waker>,
}

impl State {
    fn has_room(&self) -> bool {
        self.queue.len() < ITEMS && self.bytes < BYTES
    }
}

impl Outbox {
    /// Takes an item; whether there is room for more.
    pub fn push(&self, packet: Packet) -> Result<bool> {
        let (reader, room) = {
            let mut state = self.0.lock();
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.finished {
                return Err(Error::new(Code::Closed, "the stream's input was finished"));
            }
            if state.queue.len() >= ITEMS * PATIENCE {
                return Err(Error::new(Code::Internal, "items were sent to a stream that has no room"));
            }
            state.bytes += packet.bytes.len();
            state.queue.push_back(packet);
            (state.reader.take(), state.has_room())
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(room)
    }

    /// Tells when there is room.
    pub fn room(&self, then: Room) {
        let answer = {
            let mut state = self.0.lock();
            if let Some(error) = &state.failed {
                Err(error.clone())
            } else if state.has_room() {
                Ok(())
            } else if state.room.is_some() {
                Err(Error::new(Code::Internal, "one may wait for room at a time"))
            } else {
                state.room = Some(then);
                return;
            }
        };
        then(answer);
    }

    /// No further items.
    pub fn finish(&self) {
        let reader = {
            let mut state = self.0.lock();
            state.finished = true;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The stream is over: what waits goes nowhere any more.
    pub fn fail(&self, error: Error) {
        let (reader, room, error, dropped) = {
            let mut state = self.0.lock();
            let error = state.failed.get_or_insert(error).clone();
            state.bytes = 0;
            (state.reader.take(), state.room.take(), error, std::mem::take(&mut state.queue))
        };
        drop(dropped);
        if let Some(reader) = reader {
            reader.wake();
        }
        if let Some(room) = room {
            room(Err(error));
        }
    }

    /// The next item; nothing after the last.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Packet>> {
        let (packet, room) = {
            let mut state = self.0.lock();
            if state.failed.is_some() {
                return Poll::Ready(None);
            }
            let Some(packet) = state.queue.pop_front() else {
                if state.finished {
                    return Poll::Ready(None);
                }
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            state.bytes -= packet.bytes.len();
            // Half empty, so that the other thread is woken for several items at once.
            let enough = state.queue.len() <= ITEMS / 2 && state.bytes <= BYTES / 2;
            (packet, if enough { state.room.take() } else { None })
        };
        if let Some(room) = room {
            room(Ok(()));
        }
        Poll::Ready(Some(packet))
    }
}
