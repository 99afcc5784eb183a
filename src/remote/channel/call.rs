//! One call: deadline, cancellation, further attempts, hedging.
//!
//! Problem: a call must end in time whatever the network does, be tried again only where that can do no harm, and tell afterwards what was
//! tried. Answer: the whole call runs under one timer and two ways out (the caller's token, the client's end); leaving drops the attempt, which
//! resets its HTTP/2 stream. A request that never left, or that the server says it did not begin with, is sent again; one that may have been
//! worked on only for safe methods and callers who said so. Further attempts are a bounded share of all calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::{Either, select};
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use prost::Message;
use tokio::time::Instant;
use tonic::codec::{CompressionEncoding, Streaming};
use tonic::metadata::MetadataMap;
use tonic::{Code as Grpc, Extensions, Request};

use super::budget::jittered;
use super::connect::Conn;
use super::hop::Hop;
use super::lane::Lane;
use super::message::Proto;
use super::scope::{Scope, aborted, closed};
use super::{Channels, Rpc};
use crate::data::Traced;
use crate::error::{Code, Error, Result};
use crate::observe::trace::Span;
use crate::remote::config::{Compression, RemoteConfig};
use crate::remote::status::{self, Failed, Reach};

/// Pause before a request is sent again; doubles with each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A call does not wait longer than this for an endpoint that pauses: it fails, and says why.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Requests that a closing connection swallowed or refused are sent again this often without asking: the server did not begin with them, and
/// by then a new connection is open.
pub const FREE: u32 = 2;

/// How messages travel.
#[derive(Clone, Copy)]
pub struct Settings {
    pub limit: usize,
    pub compression: Compression,
}

impl Default for Settings {
    fn default() -> Self {
        Self { limit: 1 << 20, compression: Compression::None }
    }
}

impl From<&RemoteConfig> for Settings {
    fn from(config: &RemoteConfig) -> Self {
        Self { limit: config.max_message_size, compression: config.compression }
    }
}

fn grpc(lane: &Lane, conn: &Conn, settings: &Settings) -> tonic::client::Grpc<Hop> {
    let grpc = tonic::client::Grpc::with_origin(Hop::new(conn), lane.origin())
        .max_decoding_message_size(settings.limit)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    match settings.compression {
        Compression::None => grpc,
        Compression::Gzip => grpc.send_compressed(CompressionEncoding::Gzip),
        Compression::Zstd => grpc.send_compressed(CompressionEncoding::Zstd),
    }
}

/// Leaves the connection when a call reached its deadline and nothing at all was heard from the other side meanwhile: it may be dead, and
/// nobody else might notice for a long time.
struct Suspicion<'a> {
    lane: &'a Lane,
    conn: Conn,
    since: Instant,
    deadline: Instant,
}

impl Drop for Suspicion<'_> {
    fn drop(&mut self) {
        if Instant::now() >= self.deadline && !self.conn.vital().heard_after(self.since) {
            self.lane.endpoint().leave(&self.conn);
        }
    }
}

/// Refuses a message beyond the limit; below here it would only show as a call that was broken off.
pub fn check_size(message: &impl Message, rpc: &str, limit: usize) -> Result<()> {
    let length = message.encoded_len();
    if length <= limit {
        return Ok(());
    }
    Err(Error::new(Code::Serialization, format!("{rpc}: the request of {length} bytes is longer than maxMessageSize, {limit} bytes")))
}

/// One attempt at a call.
pub async fn single<Q, A>(lane: &Arc<Lane>, rpc: &Rpc, settings: &Settings, message: Q, metadata: MetadataMap, deadline: Instant) -> Result<A, Failed>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    check_size(&message, rpc.name, settings.limit).map_err(|error| Failed { error, reach: Reach::Unsent, status: Grpc::ResourceExhausted })?;
    let conn = lane.endpoint().conn().await.map_err(Failed::unsent)?;
    let _flight = lane.enter();
    let _suspicion = Suspicion { lane, conn: conn.clone(), since: Instant::now(), deadline };
    let mut request = Request::from_parts(metadata, Extensions::default(), message);
    request.set_timeout(deadline.saturating_duration_since(Instant::now()));
    let answer = grpc(lane, &conn, settings).unary(request, PathAndQuery::from_static(rpc.path), Proto::call()).await;
    answer.map(tonic::Response::into_inner).map_err(|status| status::from_status(status, rpc.name, lane.name(), settings.limit))
}

/// Opens a stream; ends when the server has begun to answer.
pub async fn open<Q, A>(
    lane: &Lane,
    conn: &Conn,
    rpc: &Rpc,
    settings: &Settings,
    messages: impl Stream<Item = Q> + Send + 'static,
    metadata: MetadataMap,
    deadline: Option<Instant>,
) -> Result<Streaming<A>, Failed>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut request = Request::from_parts(metadata, Extensions::default(), messages);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
    }
    let answer = grpc(lane, conn, settings).streaming(request, PathAndQuery::from_static(rpc.path), Proto::stream()).await;
    answer.map(tonic::Response::into_inner).map_err(|status| status::from_status(status, rpc.name, lane.name(), settings.limit))
}

/// What a call has been through so far.
#[derive(Default)]
struct Trail {
    tried: Vec<Arc<Lane>>,
    failures: Vec<Error>,
    span: Option<Arc<Span>>,
}

impl Trail {
    /// The last failure, with those before it as its causes.
    fn told(&mut self, last: Error) -> Error {
        let earlier = self.failures.drain(..).reduce(|earlier, later| later.because(earlier));
        match earlier {
            Some(earlier) => last.because(earlier),
            None => last,
        }
    }

    fn note(&self, event: &'static str) {
        if let Some(span) = &self.span {
            span.event(event);
        }
    }

    fn places(&self) -> String {
        let mut names: Vec<_> = self.tried.iter().map(|lane| lane.name()).collect();
        names.dedup();
        if names.is_empty() { "the remote".to_owned() } else { names.join(", ") }
    }
}

impl Channels {
    /// When a call with this scope must be over.
    pub fn deadline(&self, scope: &Scope) -> Instant {
        let from_now = Instant::now() + scope.timeout.unwrap_or(self.config.timeout);
        scope.deadline.map_or(from_now, |deadline| from_now.min(Instant::from_std(deadline)))
    }

    /// Runs `work` until the deadline, the caller's cancellation or the client's end, whichever is first.
    pub async fn within<T>(&self, what: &str, scope: &Scope, deadline: Instant, work: impl Future<Output = Result<T>>) -> Option<Result<T>> {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Some(Err(closed(what))),
            () = scope.cancel.cancelled() => Some(Err(aborted(what))),
            result = tokio::time::timeout_at(deadline, work) => result.ok(),
        }
    }

    /// One call. `make` builds the request, once per attempt.
    pub async fn call<Q, A>(&self, rpc: &Rpc, scope: &Scope, make: impl Fn() -> Q) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.call_over(None, rpc, scope, make).await
    }

    /// One call, over `lane` alone where one is given.
    pub async fn call_over<Q, A>(&self, only: Option<&Arc<Lane>>, rpc: &Rpc, scope: &Scope, make: impl Fn() -> Q) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let (begun, deadline) = (Instant::now(), self.deadline(scope));
        let span = rpc.span(scope, false);
        let trail = Mutex::new(Trail { span: span.clone(), ..Trail::default() });
        // Boxed, so that it is not copied from one future into the next on its way.
        let work = Box::pin(self.attempts(only, rpc, scope, deadline, &trail, &make));
        let result = self.within(rpc.name, scope, deadline, work).await.unwrap_or_else(|| {
            let mut trail = trail.lock();
            if let Some(lane) = trail.tried.last() {
                self.failed(lane);
            }
            let waited = deadline.saturating_duration_since(begun).as_millis();
            let message = format!("{}: no answer from {} within {waited} ms", rpc.name, trail.places());
            Err(trail.told(Error::new(Code::Deadline, message).with_remote(status::details(Grpc::DeadlineExceeded))))
        });
        self.metrics.call(begun.elapsed(), result.as_ref().err());
        if let Some(span) = span {
            span.set("server.address", trail.lock().places());
            if let Err(error) = &result {
                span.failed(error);
            }
        }
        result
    }

    async fn attempts<Q, A>(
        &self,
        only: Option<&Arc<Lane>>,
        rpc: &Rpc,
        scope: &Scope,
        deadline: Instant,
        trail: &Mutex<Trail>,
        make: &impl Fn() -> Q,
    ) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let parent = trail.lock().span.as_ref().map(|span| span.context());
        let metadata = self.metadata(scope, parent.or_else(|| scope.context())).await?;
        self.retries.call();
        self.hedges.call();
        let harmless = rpc.safe || scope.idempotent || self.config.idempotent;
        let mut pause = FIRST_PAUSE;
        let (mut attempts, mut free) = (0, FREE);
        loop {
            let lanes = match only {
                Some(lane) => Arc::from([Arc::clone(lane)]),
                None => self.balancer.lanes().await?,
            };
            let lane = self.pick(&lanes, trail)?;
            let result = match self.config.hedge.filter(|_| harmless && only.is_none()) {
                None => self.observed(&lane, rpc, make(), metadata.clone(), deadline).await,
                Some(hedge) => {
                    let first = self.observed(&lane, rpc, make(), metadata.clone(), deadline);
                    let begun = AtomicBool::new(false);
                    let second = async {
                        tokio::time::sleep(hedge.delay).await;
                        if !self.hedges.take() {
                            return None;
                        }
                        begun.store(true, Ordering::Relaxed);
                        self.metrics.hedges.add(1);
                        trail.lock().note("hedge");
                        let lane = self.pick(&lanes, trail).ok()?;
                        Some(self.observed(&lane, rpc, make(), metadata.clone(), deadline).await)
                    };
                    race(Box::pin(first), Box::pin(second), &begun).await
                }
            };
            let failed = match result {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let mut wait = Duration::ZERO;
            if matches!(failed.reach, Reach::Missed | Reach::Refused) && free > 0 {
                // Bad luck with a connection that was just closing: no fault of anybody, and no attempt that counts.
                free -= 1;
            } else {
                let repeatable = match failed.reach {
                    Reach::Unsent | Reach::Missed => failed.status == Grpc::Unavailable,
                    Reach::Refused => self.retries.take(),
                    Reach::Sent => harmless && failed.status == Grpc::Unavailable && self.retries.take(),
                };
                if failed.reach == Reach::Unsent {
                    // Another endpoint may be there at once.
                    if lanes.iter().all(|lane| lane.pausing().is_some()) {
                        wait = lanes.iter().filter_map(|lane| lane.pausing()).min().unwrap_or_default();
                    }
                } else {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    wait = jittered(pause / 2, 0.5);
                }
                if attempts >= self.config.max_retries || !repeatable || wait > LONGEST_WAIT {
                    return Err(trail.lock().told(failed.error));
                }
                attempts += 1;
            }
            {
                let mut trail = trail.lock();
                trail.note("retry");
                trail.failures.push(failed.error);
            }
            self.metrics.retries.add(1);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
    }

    fn pick(&self, lanes: &[Arc<Lane>], trail: &Mutex<Trail>) -> Result<Arc<Lane>> {
        let mut trail = trail.lock();
        let lane = self.balancer.pick(lanes, &trail.tried).ok_or_else(|| Error::new(Code::Unavailable, "there is no endpoint"))?;
        trail.tried.push(Arc::clone(&lane));
        Ok(lane)
    }

    /// One attempt whose end the endpoint's record keeps.
    async fn observed<Q, A>(&self, lane: &Arc<Lane>, rpc: &Rpc, message: Q, metadata: MetadataMap, deadline: Instant) -> Result<A, Failed>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let pass = lane.admit(self.balancer.is_alone(lane))?;
        let result = single(lane, rpc, &self.settings, message, metadata, deadline).await;
        match &result {
            Ok(_) => {
                pass.succeeded();
                lane.succeeded();
            }
            Err(failed) if failed.is_fault() => {
                pass.told();
                self.failed(lane);
            }
            // It answered, if only with an error; what was never sent says nothing.
            Err(failed) if failed.reach == Reach::Sent => pass.succeeded(),
            Err(_) => drop(pass),
        }
        result
    }

    /// Notes a failure of the endpoint itself.
    pub fn failed(&self, lane: &Arc<Lane>) {
        self.balancer.doubt();
        lane.failed(&self.config.outlier, self.balancer.is_alone(lane));
    }
}

/// The first success of two, or the failure of both. The other one is dropped, and with it its HTTP/2 stream reset. `begun` is whether the
/// second one is under way: what fails before that is a matter for a retry, not for a hedge.
async fn race<A>(
    first: impl Future<Output = Result<A, Failed>> + Unpin,
    second: impl Future<Output = Option<Result<A, Failed>>> + Unpin,
    begun: &AtomicBool,
) -> Result<A, Failed> {
    match select(first, second).await {
        Either::Left((result @ Ok(_), _)) | Either::Right((Some(result @ Ok(_)), _)) => result,
        Either::Left((failed, second)) if begun.load(Ordering::Relaxed) => match second.await {
            Some(result @ Ok(_)) => result,
            _ => failed,
        },
        Either::Left((failed, _)) => failed,
        Either::Right((_, first)) => first.await,
    }
}
