//! Results on their way in: put by the stream's task, taken by the consumer from any thread.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Received;
use crate::data::Packet;
use crate::error::{Code, Error, Result};

/// Enough to cover the way between two threads; what a slow consumer does not take waits in HTTP/2's window.
const ITEMS: usize = 64;
/// Large results need fewer.
const BYTES: usize = 1 << 20;

/// The queue.
#[derive(Default)]
pub struct Inbox {
    state: Mutex<State>,
    taken: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Packet>,
    bytes: usize,
    end: Option<Result<()>>,
    told: bool,
    waiter: Option<(usize, Received)>,
}

impl State {
    /// What there is to tell, if anything.
    fn take(&mut self, max: usize) -> Option<Result<Option<Vec<Packet>>>> {
        if !self.queue.is_empty() {
            let count = self.queue.len().min(max.max(1));
            let packets: Vec<_> = self.queue.drain(..count).collect();
            self.bytes -= packets.iter().map(|packet| packet.bytes.len()).sum::<usize>();
            return Some(Ok(Some(packets)));
        }
        match &self.end {
            None => None,
            Some(Err(error)) if !self.told => {
                let error = error.clone();
                self.told = true;
                Some(Err(error))
            }
            Some(_) => Some(Ok(None)),
        }
    }

    fn is_full(&self) -> bool {
        self.queue.len() >= ITEMS || self.bytes >= BYTES
    }
}

impl Inbox {
    /// Puts results in.
    pub fn push(&self, packets: Vec<Packet>) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        state.bytes += packets.iter().map(|packet| packet.bytes.len()).sum::<usize>();
        state.queue.extend(packets);
    }

    /// Tells a waiting consumer what has come.
    pub fn deliver(&self) {
        let told = {
            let mut state = self.state.lock();
            let Some((max, then)) = state.waiter.take() else { return };
            match state.take(max) {
                Some(answer) => Some((then, answer)),
                None => {
                    state.waiter = Some((max, then));
                    None
                }
            }
        };
        if let Some((then, answer)) = told {
            self.taken.notify_one();
            then(answer);
        }
    }

    /// Whether the consumer is behind.
    pub fn is_full(&self) -> bool {
        self.state.lock().is_full()
    }

    /// Until the consumer has caught up.
    pub async fn space(&self) {
        while self.is_full() {
            self.taken.notified().await;
        }
    }

    /// The one end; the first to come counts.
    pub fn end(&self, result: Result<()>) {
        self.state.lock().end.get_or_insert(result);
        self.deliver();
    }

    /// Tells what has come, now or later.
    pub fn receive(&self, max: usize, then: Received) {
        let answer = {
            let mut state = self.state.lock();
            if state.waiter.is_some() {
                Err(Error::new(Code::Internal, "one may wait for results at a time"))
            } else if let Some(answer) = state.take(max) {
                answer
            } else {
                state.waiter = Some((max, then));
                return;
            }
        };
        self.taken.notify_one();
        then(answer);
    }
}
