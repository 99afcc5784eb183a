//! The items of a call, as a handler sees them.
//!
//! Problem: a handler may be Rust that awaits, or JavaScript that calls back from another thread, and either must be slowed down by a client
//! that sends or reads slowly. Answer: [`ItemSource`] reads from the network only when asked, so that HTTP/2 stops the client; [`ItemSink`]
//! has room for a bounded number of bytes. Both are cheap to clone and may be used from any thread, with futures or with callbacks; once the
//! call is over they answer `ERR_ABORTED`.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

pub use super::pipe::EACH as EACH_BYTES;
use super::pipe::{Pipe, Room, Sent, weight};
use crate::data::Packet;
use crate::error::{Code, Error, Result};
use crate::remote::runtime;

/// Told what has arrived; nothing at the end.
pub type Received = Box<dyn FnOnce(Result<Option<Vec<Packet>>>) + Send>;

/// A batch ends with the packet that reaches this: more at once saves no time and takes memory.
const BATCH_BYTES: usize = 1 << 20;

/// The items of a call, in order. One reader at a time; others wait for it.
#[derive(Clone)]
pub struct ItemSource {
    incoming: Arc<Mutex<Incoming>>,
    over: CancellationToken,
}

struct Incoming {
    /// Nothing once it has ended or failed.
    items: Option<BoxStream<'static, Result<Packet>>>,
    /// Met while a batch was collected; the next reader gets it.
    failure: Option<Error>,
    /// The next item's number; nothing where items keep their own.
    sequence: Option<u64>,
}

impl Incoming {
    fn take(&mut self, item: Option<Result<Packet>>) -> Result<Option<Packet>> {
        match item {
            Some(Ok(mut packet)) => {
                if let Some(next) = &mut self.sequence {
                    packet.sequence = *next;
                    *next += 1;
                }
                Ok(Some(packet))
            }
            Some(Err(error)) => {
                self.items = None;
                Err(error)
            }
            None => {
                self.items = None;
                Ok(None)
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Packet>> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let Some(items) = &mut self.items else { return Ok(None) };
        let item = items.next().await;
        self.take(item)
    }

    /// What has arrived already.
    fn ready(&mut self) -> Option<Packet> {
        let item = self.items.as_mut()?.next().now_or_never()?;
        match self.take(item) {
            Ok(packet) => packet,
            Err(error) => {
                self.failure = Some(error);
                None
            }
        }
    }
}

impl ItemSource {
    /// Items out of a stream, until it ends, fails, or the call is over.
    pub(super) fn new(items: BoxStream<'static, Result<Packet>>, over: CancellationToken) -> Self {
        Self::numbered(items, over, Some(0))
    }

    fn numbered(items: BoxStream<'static, Result<Packet>>, over: CancellationToken, sequence: Option<u64>) -> Self {
        let incoming = Incoming { items: Some(items), failure: None, sequence };
        Self { incoming: Arc::new(Mutex::new(incoming)), over }
    }

    /// Items that have their numbers, such as those on their way through a pipeline.
    pub fn keeping(items: BoxStream<'static, Result<Packet>>, over: CancellationToken) -> Self {
        Self::numbered(items, over, None)
    }

    /// These items; for handlers that treat a single item as a stream of one.
    pub fn of(packets: Vec<Packet>) -> Self {
        Self::new(stream::iter(packets.into_iter().map(Ok)).boxed(), CancellationToken::new())
    }

    /// The next item; nothing at the end. An item that cannot be read is an error, and the last thing that comes.
    pub async fn next(&self) -> Result<Option<Packet>> {
        tokio::select! {
            biased;
            () = self.over.cancelled() => Err(over()),
            item = async { self.incoming.lock().await.next().await } => item,
        }
    }

    /// Waits for an item and adds what else has arrived, `max` items at most; nothing at the end.
    pub async fn next_batch(&self, max: usize) -> Result<Option<Vec<Packet>>> {
        let collect = async {
            let mut incoming = self.incoming.lock().await;
            let Some(first) = incoming.next().await? else { return Ok(None) };
            let mut bytes = first.bytes.len();
            let mut batch = vec![first];
            while batch.len() < max && bytes < BATCH_BYTES && !self.over.is_cancelled() {
                let Some(packet) = incoming.ready() else { break };
                bytes += packet.bytes.len();
                batch.push(packet);
            }
            Ok(Some(batch))
        };
        tokio::select! {
            biased;
            () = self.over.cancelled() => Err(over()),
            batch = collect => batch,
        }
    }

    /// Has `then` told what [`ItemSource::next_batch`] answers, on one of the network's threads.
    pub fn receive(&self, max: usize, then: Received) {
        let source = self.clone();
        match runtime::handle() {
            Ok(runtime) => drop(runtime.spawn(async move { then(source.next_batch(max).await) })),
            Err(error) => then(Err(error)),
        }
    }

    /// Lets go of the network's half. Whoever is reading sees that the call is over and lets go by itself.
    pub async fn close(&self) {
        self.over.cancel();
        let items = self.incoming.lock().await.items.take();
        drop(items);
    }
}

/// What a sink's line ends with.
#[derive(Debug)]
pub(super) enum End {
    /// Everything was put out.
    Done,
    /// A failure that is told to the client within the protocol.
    Failed(Error),
    /// A gRPC status: the call as such was ended.
    Status(Box<tonic::Status>),
}

/// Takes what a handler puts out.
#[derive(Clone)]
pub struct ItemSink {
    line: Pipe<End>,
    over: CancellationToken,
}

impl ItemSink {
    pub(super) fn new(line: Pipe<End>, over: CancellationToken) -> Self {
        Self { line, over }
    }

    fn check(&self) -> Result<()> {
        if self.over.is_cancelled() { Err(over()) } else { Ok(()) }
    }

    /// A sink that keeps up to `limit` bytes, and what was put into it; for handlers that treat a single item as a stream of one.
    pub fn collecting(limit: usize) -> (Self, Collected) {
        let line = Pipe::new(limit);
        (Self { line: line.clone(), over: CancellationToken::new() }, Collected { line, limit })
    }

    /// Puts a packet out once there is room.
    pub async fn send(&self, packet: Packet) -> Result<()> {
        self.check()?;
        self.line.send(Sent::Packet(packet)).await
    }

    /// Puts a packet out. False: it was taken, but the next one has to wait for [`ItemSink::room`].
    pub fn try_send(&self, packet: Packet) -> Result<bool> {
        self.check()?;
        self.line.push(Sent::Packet(packet))
    }

    /// Has `then` told when there is room; at once, if there is.
    pub fn room(&self, then: Room) {
        self.line.room(then);
    }
}

impl ItemSink {
    /// A sink with room for `limit` bytes, [`EACH_BYTES`] of them for each packet beside its payload, and where its packets come out.
    pub fn lined(limit: usize, over: CancellationToken) -> (Self, ItemLine) {
        let line = Pipe::new(limit);
        (Self { line: line.clone(), over }, ItemLine { line })
    }
}

/// Where the packets of [`ItemSink::lined`] come out.
pub struct ItemLine {
    line: Pipe<End>,
}

impl ItemLine {
    /// The next packet; nothing after [`ItemLine::finish`] once all have come.
    pub async fn next(&self) -> Option<Packet> {
        loop {
            return match std::future::poll_fn(|cx| self.line.poll_receive(cx)).await {
                Some(Ok(Sent::Packet(packet))) => Some(packet),
                Some(Ok(Sent::Notice(_))) => continue,
                Some(Err(_)) | None => None,
            };
        }
    }

    /// The next packet, if it is there already.
    pub fn ready(&self) -> Option<Packet> {
        self.next().now_or_never().flatten()
    }

    /// Nothing more is put in.
    pub fn finish(&self) {
        self.line.finish(End::Done);
    }
}

impl Drop for ItemLine {
    fn drop(&mut self) {
        self.line.close();
    }
}

/// What was put into [`ItemSink::collecting`].
pub struct Collected {
    line: Pipe<End>,
    limit: usize,
}

impl Collected {
    /// Runs `work` and takes what it has put out; `ERR_OUTPUT_TOO_LARGE` where that does not fit.
    pub async fn during(self, work: impl Future<Output = Result<()>>) -> Result<Vec<Packet>> {
        let mut packets = Vec::new();
        let mut room = self.limit;
        let mut work = std::pin::pin!(work);
        let result = std::future::poll_fn(|cx| {
            let done = work.as_mut().poll(cx);
            while let std::task::Poll::Ready(Some(Ok(Sent::Packet(packet)))) = self.line.poll_receive(cx) {
                let Some(left) = room.checked_sub(weight(&packet)) else {
                    let problem = format!("the outputs of one item are longer than {} bytes", self.limit);
                    return std::task::Poll::Ready(Err(Error::new(Code::OutputTooLarge, problem)));
                };
                room = left;
                packets.push(packet);
            }
            done
        })
        .await;
        self.line.close();
        result.map(|()| packets)
    }
}

fn over() -> Error {
    Error::new(Code::Aborted, "the call is over")
}
