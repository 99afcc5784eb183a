//! Both halves of a bidirectional stream of packets.
//!
//! Problem: JavaScript pulls and pushes on its own thread, the network has another; neither may wait for the other, nothing may pile up, and
//! whatever happens the consumer gets every result that came, in order, and then exactly one end. Answer: a small outbox and a small inbox
//! ([`outbox`], [`inbox`]) with callbacks for room and for arrival, and one task per stream ([`run`]) between them and HTTP/2, whose flow
//! control is the real buffer. What a message means is a [`Speak`] and a [`Listen`] of each rpc.

mod inbox;
mod outbox;
mod run;
mod silence;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use prost::Message;
use tokio_util::sync::CancellationToken;

use crate::data::Packet;
use crate::error::{Code, Error, Result};
use crate::remote::runtime;
use inbox::Inbox;
use outbox::Outbox;
use parking_lot::Mutex;
use silence::Silence;

pub use run::{Conversation, Seat};

/// Told what arrived: packets, nothing at the end, or how it failed.
pub type Received = Box<dyn FnOnce(Result<Option<Vec<Packet>>>) + Send>;
/// Told when there is room again, or that there never will be.
pub type Room = Box<dyn FnOnce(Result<()>) + Send>;

/// One item as a message.
pub struct Speech<M> {
    pub message: M,
    /// Bytes of its payload.
    pub bytes: usize,
}

/// How items become messages.
pub trait Speak: Send + 'static {
    type Message: Message + 'static;

    /// What opens the stream; `packet` is its first item, if it has any.
    fn first(&mut self, packet: Option<&Packet>) -> Result<Option<Self::Message>>;

    /// One item.
    fn item(&mut self, packet: &Packet) -> Result<Speech<Self::Message>>;

    /// What closes the stream, before our half of it ends; may wait for the remote.
    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Message>> {
        let _ = cx;
        Poll::Ready(None)
    }
}

/// What a message said.
pub struct Heard {
    pub packets: Vec<Packet>,
    /// Bytes of their payloads.
    pub bytes: usize,
    /// Whether it answers an item; a heartbeat does not.
    pub answers: bool,
    /// Whether the remote said that nothing more comes.
    pub over: bool,
}

impl Heard {
    /// One output, numbered: protocol v0 has no numbers on the wire.
    pub fn one(mut packet: Packet, bytes: usize, next: &mut u64) -> Self {
        packet.sequence = *next;
        *next += 1;
        Self { packets: vec![packet], bytes, answers: true, over: false }
    }

    /// Nothing of interest.
    pub fn nothing() -> Self {
        Self { packets: Vec::new(), bytes: 0, answers: false, over: false }
    }
}

/// How messages become packets.
pub trait Listen: Send + 'static {
    type Message: Message + Default + 'static;

    /// Reads a message; an error ends the stream.
    fn read(&mut self, message: Self::Message) -> Result<Heard>;
}

/// What the two ends and the task between them share.
pub struct Shared {
    pub outbox: Outbox,
    pub inbox: Inbox,
    pub silence: Silence,
    /// The consumer's own way out; the scope's token is another.
    pub cancel: CancellationToken,
}

type Start = Box<dyn FnOnce(Arc<Shared>) + Send>;

/// Both halves of a stream. Methods may be called from any thread and never block; callbacks run without a lock, on any thread. Dropping it
/// cancels the stream.
pub struct RemoteStream {
    shared: Arc<Shared>,
    start: Mutex<Option<Start>>,
    takes_input: bool,
    started: AtomicBool,
}

impl RemoteStream {
    fn unstarted(start: Start, takes_input: bool, silence: Silence) -> Self {
        let shared = Shared { outbox: Outbox::default(), inbox: Inbox::default(), silence, cancel: CancellationToken::new() };
        Self { shared: Arc::new(shared), start: Mutex::new(Some(start)), takes_input, started: AtomicBool::new(false) }
    }

    /// Opens it, once.
    fn begin(&self) {
        if self.started.load(Ordering::Acquire) {
            return;
        }
        let start = self.start.lock().take();
        if let Some(start) = start {
            start(Arc::clone(&self.shared));
            self.started.store(true, Ordering::Release);
        }
    }

    /// Gives it an item: accepted, and whether there is room for more. After `false` wait for [`Self::room`].
    pub fn try_send(&self, packet: Packet) -> Result<bool> {
        if !self.takes_input {
            return Err(Error::new(Code::Internal, "this stream takes no input"));
        }
        let room = self.shared.outbox.push(packet)?;
        self.shared.silence.expect();
        self.begin();
        Ok(room)
    }

    /// Tells when there is room, at once if there is. One may wait at a time.
    pub fn room(&self, then: Room) {
        self.shared.outbox.room(then);
    }

    /// Ends our half: no further items.
    pub fn finish(&self) {
        self.shared.outbox.finish();
        self.shared.silence.expect_end();
        self.begin();
    }

    /// Tells what has arrived, up to `max` packets, as soon as there is anything; nothing at the end. One may wait at a time. Results that
    /// arrived before a failure come before it; after the end it stays at nothing.
    pub fn receive(&self, max: usize, then: Received) {
        if !self.takes_input {
            self.begin();
        }
        self.shared.inbox.receive(max, then);
    }

    /// Ends it now, on both sides.
    pub fn cancel(&self) {
        self.shared.cancel.cancel();
        if let Some(unstarted) = self.start.lock().take() {
            drop(unstarted);
            self.shared.end(Err(crate::remote::channel::aborted("the stream")));
        }
    }
}

impl Drop for RemoteStream {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
    }
}

impl Shared {
    /// The one end.
    pub fn end(&self, result: Result<()>) {
        let why = match &result {
            Ok(()) => Error::new(Code::Closed, "the stream has ended"),
            Err(error) => error.clone(),
        };
        self.outbox.fail(why);
        self.inbox.end(result);
    }
}

/// Runs `task` where the network is; a process without the network's threads ends the stream with that.
fn spawn(shared: &Arc<Shared>, task: impl Future<Output = ()> + Send + 'static) {
    if let Err(error) = runtime::spawn(task) {
        shared.end(Err(error));
    }
}
