//! The task of a stream: opens it, reads what comes, and ends it in one of the ways that there are.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::{Stream, poll};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::Code as Grpc;
use tonic::codec::Streaming;

use super::{Listen, RemoteStream, Shared, Speak, spawn};
use crate::data::{Packet, TraceContext, Traced};
use crate::error::{Code, Error, Result};
use crate::remote::channel::{Channels, Conn, FREE, Flight, Lane, Rpc, Scope, aborted, check_size, closed, open};
use crate::remote::client::stream::silence::Silence;
use crate::remote::status::{self, Failed, Reach};

/// A stream that is about to open.
pub struct Conversation<F, L> {
    pub channels: Arc<Channels>,
    pub scope: Scope,
    pub rpc: &'static Rpc,
    /// Whether it has a connection to itself.
    pub exclusive: bool,
    /// Where it must go; chosen where nothing is said.
    pub lane: Option<Arc<Lane>>,
    pub seat: Seat,
    pub speak: F,
    pub listen: L,
}

/// What the task and its stream share.
#[derive(Clone)]
pub struct Seat {
    pub shared: Arc<Shared>,
    place: Place,
}

/// Where a stream is at.
type Place = Arc<Mutex<Option<(Arc<Lane>, Conn)>>>;

/// Runs a stream's work until it is over or one of the ways out is taken.
async fn supervised(channels: &Arc<Channels>, scope: &Scope, what: &str, seat: &Seat, work: impl Future<Output = Result<()>>) -> Result<()> {
    let (metrics, shared) = (&channels.metrics, &seat.shared);
    metrics.streams.add(1);
    metrics.streams_open.add(1);
    let deadline = async {
        match scope.deadline {
            Some(deadline) => tokio::time::sleep_until(Instant::from_std(deadline)).await,
            None => std::future::pending().await,
        }
    };
    let overdue = |what: String| Error::new(Code::Deadline, what).with_remote(status::details(Grpc::DeadlineExceeded));
    let result = tokio::select! {
        biased;
        result = work => result,
        () = channels.closed().cancelled() => Err(closed(what)),
        () = scope.cancel.cancelled() => Err(aborted(what)),
        () = shared.cancel.cancelled() => Err(aborted(what)),
        () = deadline => Err(overdue(format!("{what}: the stream was not over at its deadline"))),
        () = shared.silence.broken() => {
            let (limit, at) = (shared.silence.limit(), seat.place.lock().take());
            Err(overdue(match at {
                None => format!("{what}: no connection within {} ms", limit.as_millis()),
                Some((lane, conn)) => {
                    channels.failed(&lane);
                    let since = Instant::now().checked_sub(limit);
                    if since.is_some_and(|since| !conn.vital().heard_after(since)) {
                        lane.endpoint().leave(&conn);
                    }
                    format!("{what}: {} answered nothing within {} ms", lane.name(), limit.as_millis())
                }
            }))
        }
    };
    metrics.streams_open.sub(1);
    if let Err(error) = &result {
        metrics.error(error.code());
    }
    result
}

impl<S, F, L> Conversation<F, L>
where
    S: Speak,
    F: Fn() -> Result<S> + Send + 'static,
    L: Listen,
{
    /// Has it, from opening to the end.
    pub async fn run(mut self) -> Result<()> {
        let span = self.rpc.span(&self.scope, true);
        let result = self.talk(span.as_ref().map(|span| span.context())).await;
        if let (Some(span), Err(error)) = (span, &result) {
            span.failed(error);
        }
        result
    }

    async fn talk(&mut self, context: Option<TraceContext>) -> Result<()> {
        let opened = self.open(context).await?;
        let Opened { mut messages, conn, lane, flight: _flight, outward } = opened;
        let result = self.converse(&mut messages, &outward, &lane).await;
        match &result {
            Ok(()) => {
                lane.succeeded();
                if self.exclusive {
                    lane.endpoint().give_back(conn);
                }
            }
            Err(error) if error.code() == Code::Unavailable => self.channels.failed(&lane),
            Err(_) => {}
        }
        result
    }

    /// Opens the stream. What never left this process is tried again, as with calls.
    async fn open(&mut self, context: Option<TraceContext>) -> Result<Opened<L::Message>> {
        let metadata = self.channels.metadata(&self.scope, context.or_else(|| self.scope.context())).await?;
        let deadline = self.scope.deadline.map(Instant::from_std);
        let mut tried = Vec::new();
        let mut earlier = None::<Error>;
        let (mut attempts, mut free) = (0, FREE);
        loop {
            let lane = match &self.lane {
                Some(lane) => Arc::clone(lane),
                None => self.channels.lane(&tried).await?,
            };
            let outward = Arc::new(Outward::default());
            let messages = Messages {
                rpc: self.rpc,
                speak: (self.speak)()?,
                shared: Arc::clone(&self.seat.shared),
                channels: Arc::clone(&self.channels),
                outward: Arc::clone(&outward),
                opened: false,
                phase: Phase::Items,
                next: VecDeque::new(),
            };
            let (exclusive, rpc, settings, metadata) = (self.exclusive, self.rpc, self.channels.settings, metadata.clone());
            let place = Arc::clone(&self.seat.place);
            let attempt = async {
                let pass = lane.admit(self.channels.is_alone(&lane))?;
                let endpoint = lane.endpoint();
                let conn = if exclusive { endpoint.exclusive().await } else { endpoint.conn().await };
                let conn = conn.map_err(Failed::unsent)?;
                *place.lock() = Some((Arc::clone(&lane), conn.clone()));
                let flight = lane.enter();
                let opened = open(&lane, &conn, rpc, &settings, messages, metadata, deadline).await;
                // A stream that is open is an answer; how it ends is told when it does.
                if opened.is_ok() {
                    pass.succeeded();
                } else {
                    pass.told();
                }
                Ok::<_, Failed>((opened?, conn, flight))
            };
            let result = tokio::select! {
                biased;
                result = attempt => result,
                error = outward.fault() => return Err(error),
            };
            let failed = match result {
                Ok((messages, conn, flight)) => return Ok(Opened { messages, conn, lane, flight, outward }),
                Err(failed) => failed,
            };
            if let Some(fault) = outward.fault.lock().take() {
                return Err(fault);
            }
            if failed.is_fault() {
                self.channels.failed(&lane);
            }
            let whole = failed.reach != Reach::Sent && !outward.begun.load(Ordering::Relaxed);
            let told = match earlier {
                Some(earlier) => failed.error.because(earlier),
                None => failed.error,
            };
            if !whole || failed.status != Grpc::Unavailable || told.code() != Code::Unavailable {
                return Err(told);
            }
            if failed.reach != Reach::Unsent && free > 0 {
                free -= 1;
            } else if attempts < self.channels.config.max_retries {
                attempts += 1;
            } else {
                return Err(told);
            }
            self.channels.metrics.retries.add(1);
            if let Some(pause) = lane.pausing() {
                tokio::time::sleep(pause).await;
            }
            earlier = Some(told);
            tried.push(lane);
        }
    }

    async fn converse(&mut self, messages: &mut Streaming<L::Message>, outward: &Outward, lane: &Arc<Lane>) -> Result<()> {
        let (inbox, silence) = (&self.seat.shared.inbox, &self.seat.shared.silence);
        loop {
            if inbox.is_full() {
                inbox.deliver();
                // The consumer's time is not the remote's.
                let expected = silence.suspend();
                inbox.space().await;
                if expected {
                    silence.expect();
                }
            }
            let mut next = std::pin::pin!(messages.message());
            let message = match poll!(next.as_mut()) {
                Poll::Ready(message) => message,
                Poll::Pending => {
                    // All that came at once is told at once.
                    inbox.deliver();
                    tokio::select! {
                        biased;
                        message = next => message,
                        error = outward.fault() => return Err(error),
                    }
                }
            };
            if let Some(fault) = outward.fault.lock().take() {
                return Err(fault);
            }
            let limit = self.channels.config.max_message_size;
            let message = message.map_err(|status| status::from_status(status, self.rpc.name, lane.name(), limit).error)?;
            let ended = || {
                let early = || Error::new(Code::Remote, format!("{}: {} ended the stream before its input was over", self.rpc.name, lane.name()));
                if outward.done.load(Ordering::Acquire) { Ok(()) } else { Err(early()) }
            };
            let Some(message) = message else { return ended() };
            let heard = self.listen.read(message)?;
            if heard.answers {
                silence.heard();
                let metrics = &self.channels.metrics;
                metrics.items_received.add(heard.packets.len() as u64);
                metrics.bytes_received.add(heard.bytes as u64);
            }
            inbox.push(heard.packets);
            if heard.over {
                return ended();
            }
        }
    }
}

struct Opened<M> {
    messages: Streaming<M>,
    conn: Conn,
    lane: Arc<Lane>,
    flight: Flight,
    outward: Arc<Outward>,
}

/// What the outward half tells the task.
#[derive(Default)]
struct Outward {
    /// It has taken items that nobody could send again.
    begun: AtomicBool,
    /// All was said, and our half has ended.
    done: AtomicBool,
    fault: Mutex<Option<Error>>,
    faulty: Notify,
}

impl Outward {
    /// When an item could not be sent.
    async fn fault(&self) -> Error {
        loop {
            if let Some(error) = self.fault.lock().take() {
                return error;
            }
            self.faulty.notified().await;
        }
    }
}

/// The outward half, as HTTP/2 asks for it.
struct Messages<S: Speak> {
    rpc: &'static Rpc,
    speak: S,
    shared: Arc<Shared>,
    channels: Arc<Channels>,
    outward: Arc<Outward>,
    opened: bool,
    phase: Phase,
    next: VecDeque<S::Message>,
}

// Nothing in it is pinned.
impl<S: Speak> Unpin for Messages<S> {}

impl<S: Speak> Messages<S> {
    fn item(&mut self, packet: &Packet) -> Result<S::Message> {
        let speech = self.speak.item(packet)?;
        self.channels.metrics.items_sent.add(1);
        self.channels.metrics.bytes_sent.add(speech.bytes as u64);
        Ok(speech.message)
    }

    /// The messages that `packet`, or the end, becomes.
    fn say(&mut self, packet: Option<&Packet>) -> Result<()> {
        if !self.opened {
            self.opened = true;
            self.next.extend(self.speak.first(packet)?);
        }
        if let Some(packet) = packet {
            let message = self.item(packet)?;
            check_size(&message, self.rpc.name, self.channels.settings.limit)?;
            self.next.push_back(message);
        }
        Ok(())
    }
}

impl<S: Speak> Stream for Messages<S> {
    type Item = S::Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Message>> {
        loop {
            if let Some(next) = self.next.pop_front() {
                return Poll::Ready(Some(next));
            }
            match self.phase {
                Phase::Items => {}
                Phase::Closing => {
                    let last = ready!(self.speak.poll_last(cx));
                    self.phase = Phase::Over;
                    self.next.extend(last);
                    self.outward.done.store(true, Ordering::Release);
                    continue;
                }
                Phase::Over => return Poll::Ready(None),
            }
            let packet = ready!(self.shared.outbox.poll_next(cx));
            self.outward.begun.store(true, Ordering::Relaxed);
            if packet.is_none() {
                self.phase = Phase::Closing;
            }
            if let Err(error) = self.say(packet.as_ref()) {
                *self.outward.fault.lock() = Some(error);
                self.outward.faulty.notify_one();
                // The task drops the stream, which resets it; ending our half here would look like success.
                return Poll::Pending;
            }
        }
    }
}

/// How far the outward half is.
#[derive(Clone, Copy)]
enum Phase {
    Items,
    Closing,
    Over,
}

/// The inward half of a stream that calls make, not HTTP/2.
pub struct Producer(Arc<Shared>);

impl Producer {
    /// Hands on results, when there is room for them.
    pub async fn put(&self, packets: Vec<Packet>) {
        self.0.inbox.space().await;
        self.0.inbox.push(packets);
        self.0.inbox.deliver();
    }
}

impl RemoteStream {
    /// A stream whose input and results `work` carries over the network. It begins with the first item, or the end of the input.
    pub fn talking<W, R>(channels: &Arc<Channels>, scope: &Scope, what: &'static str, work: W) -> Self
    where
        W: FnOnce(Seat) -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        Self::with(channels, scope, what, true, work)
    }

    /// A stream without input, whose results `work` makes. It begins when somebody asks for them.
    pub fn produced<W, R>(channels: &Arc<Channels>, scope: &Scope, what: &'static str, work: W) -> Self
    where
        W: FnOnce(Producer) -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        Self::with(channels, scope, what, false, |seat| work(Producer(seat.shared)))
    }

    fn with<W, R>(channels: &Arc<Channels>, scope: &Scope, what: &'static str, takes_input: bool, work: W) -> Self
    where
        W: FnOnce(Seat) -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        let (channels, scope) = (Arc::clone(channels), scope.clone());
        let silence = Silence::new(scope.timeout.unwrap_or(channels.config.timeout));
        let start = Box::new(move |shared: Arc<Shared>| {
            let seat = Seat { shared: Arc::clone(&shared), place: Arc::default() };
            spawn(&shared, async move {
                let result = supervised(&channels, &scope, what, &seat, work(seat.clone())).await;
                seat.shared.end(result);
            });
        });
        Self::unstarted(start, takes_input, silence)
    }
}
