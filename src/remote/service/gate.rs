//! Who gets in: the first thing that sees a request.
//!
//! Problem: what a stranger may not do must be refused before anything is read or allocated for it, with a status that says why. Answer: a
//! layer around all services. In this order: a closing service takes nothing (`UNAVAILABLE`), a wrong token is refused (`UNAUTHENTICATED`),
//! and one call too many is refused at once (`RESOURCE_EXHAUSTED`); an application's own check of tokens comes last, so that it cannot be
//! flooded. Health is open to everybody and takes no place: whoever watches the service has no token, and asks most when it is full.
//! Reflection is behind the gate like the nodes, since it describes them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use http::HeaderMap;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::server::TlsConnectInfo;
use tower::{Layer, Service};

use super::access::{self, Accepted};
use super::body::{Incoming, Outgoing};
use super::call::{Call, Held, Slot, closing, past_deadline};
use super::core::Core;
use super::metrics::{Metrics, Rejection};
use crate::data::TraceContext;
use crate::observe::trace::{self, Span, SpanKind};

/// What a connection tells about itself.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub Option<SocketAddr>);

/// Puts the gate around the services.
#[derive(Clone)]
pub struct GateLayer(pub Arc<Core>);

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { core: Arc::clone(&self.0), inner }
    }
}

/// The gate.
#[derive(Clone)]
pub struct Gate<S> {
    core: Arc<Core>,
    inner: S,
}

const HEALTH: &str = "/grpc.health.v1.Health/";
/// The services whose streams are finished when the service closes; reflection's are cut, as nobody works for them.
const NODES: &str = "/remotemedia.execution.";
/// The one whose calls are traced.
const SERVICE: &str = "/remotemedia.execution.RemoteExecutionService/";

impl<S> Service<http::Request<Body>> for Gate<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // The one that was made ready is used; its copy waits for the next call.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let core = Arc::clone(&self.core);
        if request.uri().path().starts_with(HEALTH) {
            return Box::pin(async move {
                let answer = inner.call(request).await?;
                Ok(Outgoing::wrap(answer, &core.metrics, None, Some(core.cut.clone())))
            });
        }
        // Before tonic's own clock starts, which would say CANCELLED.
        let deadline = deadline(request.headers(), Instant::now());
        let (call, check) = match admit(&core, &request, deadline) {
            Ok(admitted) => admitted,
            Err(status) => return Box::pin(std::future::ready(Ok(status.into_http()))),
        };
        core.metrics.call(request.uri().path());
        let over = call.cancel.clone().drop_guard();
        let cut = (!request.uri().path().starts_with(NODES)).then(|| core.closing.clone());
        Box::pin(async move {
            if let Some(check) = check
                && let Err(status) = late(deadline, check).await.and_then(|checked| checked)
            {
                if status.code() == tonic::Code::Unauthenticated {
                    core.metrics.reject(Rejection::Unauthenticated);
                }
                core.metrics.ended(status.code());
                return Ok(status.into_http());
            }
            request.extensions_mut().insert(call.clone());
            let incoming = call.clone();
            let answer = late(deadline, inner.call(request.map(|body| Incoming::wrap(body, incoming)))).await;
            let answer = answer.unwrap_or_else(|status| Ok(status.into_http()))?;
            Ok(Outgoing::wrap(answer, &core.metrics, Some((call, over)), cut))
        })
    }
}

/// What answering is in a trace: a part of the client's, if it named one. Only methods that there are, so that nobody can make up names.
fn span(request: &http::Request<Body>) -> Option<Arc<Span>> {
    let path = request.uri().path();
    let method = Metrics::method(path).filter(|method| path.strip_prefix(SERVICE) == Some(method))?;
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok()?.parse::<TraceContext>().ok());
    let span = trace::child_or_root(parent, path[1..].to_owned(), SpanKind::Server)?;
    span.set("rpc.system", "grpc");
    span.set("rpc.method", method);
    Some(span)
}

async fn late<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Result<T, Status> {
    match deadline {
        None => Ok(work.await),
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| past_deadline()),
    }
}

type Check = BoxFuture<'static, Result<(), Status>>;

/// Lets a call in, perhaps on condition of a check that takes time.
fn admit(core: &Arc<Core>, request: &http::Request<Body>, deadline: Option<Instant>) -> Result<(Call, Option<Check>), Status> {
    let rejected = |why: Rejection, status: Status| {
        core.metrics.reject(why);
        Err(status)
    };
    if core.closing.is_cancelled() {
        return rejected(Rejection::Closing, closing());
    }
    let token = request.headers().get(http::header::AUTHORIZATION).and_then(access::bearer);
    let check = match (&core.config.access, token) {
        (Accepted::All, _) => None,
        (_, None) => return rejected(Rejection::Unauthenticated, Status::unauthenticated("a bearer token is needed: authorization: Bearer ...")),
        (Accepted::Tokens(tokens), Some(token)) => {
            if !access::is_among(tokens, token) {
                return rejected(Rejection::Unauthenticated, Status::unauthenticated("the bearer token is not accepted"));
            }
            None
        }
        (Accepted::Check(check), Some(token)) => Some(Box::pin(checked(Arc::clone(check), token.to_owned())) as Check),
    };
    let Ok(permit) = Arc::clone(&core.slots).try_acquire_owned() else {
        let text = format!("{} calls are under way, and no more are taken (limits.maxConcurrentCalls)", core.config.max_concurrent_calls);
        return rejected(Rejection::Exhausted, Status::resource_exhausted(text));
    };
    core.metrics.active_calls.add(1);
    let slot = Slot { metrics: Arc::clone(&core.metrics), _permit: permit, _token: core.calls.token() };
    let extensions = request.extensions();
    let peer = extensions.get::<Peer>().or_else(|| extensions.get::<TlsConnectInfo<Peer>>().map(TlsConnectInfo::get_ref));
    let call = Call {
        slot: Arc::new(slot),
        held: Held::new(&core.memory),
        deadline,
        peer: peer.and_then(|peer| peer.0),
        cancel: core.stop.child_token(),
        stop: core.stop.clone(),
        token_checked: !core.config.access.is_open(),
        span: span(request),
    };
    Ok((call, check))
}

/// The application's own check. Its failures are no secret of the client's and no business of it.
async fn checked(check: Arc<dyn access::TokenCheck>, token: String) -> Result<(), Status> {
    match super::call::guarded("token check", || check.check(token)).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Status::unauthenticated("the bearer token is not accepted")),
        Err(error) => {
            tracing::warn!(target: "service", "a token could not be checked: {error}");
            Err(Status::unavailable("the bearer token cannot be checked now"))
        }
    }
}

/// Longer is no deadline: a hundred years, as a timer cannot hold all that eight digits of hours may say.
const MAX_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 86_400);

/// `grpc-timeout` as gRPC has it: up to eight digits and a unit. An unreadable one is no deadline.
fn deadline(headers: &HeaderMap, now: Instant) -> Option<Instant> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    now.checked_add(timeout.min(MAX_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let now = Instant::now();
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static("grpc-timeout"), text.parse().expect("a header"))]);
            deadline(&headers, now).map(|deadline| deadline - now)
        };
        assert_eq!(read("1H"), Some(Duration::from_secs(3_600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(read("99999999H"), Some(MAX_TIMEOUT));
        for wrong in ["", "S", "5", "-1S", "+1S", "1.5S", "123456789S", "1 S", "5s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
