//! The service below tonic: one request on one connection, and what must not reach tonic from an untrusted server.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use tonic::Status;
use tonic::body::Body;

use super::connect::Conn;

/// Errors below tonic; it looks for the cause in their chain.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Name and version that servers see.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("remotemedia-wasmedge/", env!("CARGO_PKG_VERSION")));

/// Sends requests over one connection.
pub struct Hop(SendRequest<Body>);

impl Hop {
    /// Over this connection.
    pub fn new(conn: &Conn) -> Self {
        Self(conn.sender())
    }
}

impl tower::Service<Request<Body>> for Hop {
    type Response = Response<Answer>;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Self::Response, Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert(USER_AGENT, AGENT);
        let sent = self.0.send_request(request);
        Box::pin(async move {
            let mut response = sent.await?;
            clean(response.headers_mut());
            check(&response)?;
            Ok(response.map(Answer))
        })
    }
}

/// tonic panics over details that are not base64; they are not used here.
fn clean(headers: &mut HeaderMap) {
    headers.remove("grpc-status-details-bin");
}

/// An answer that does not come from a gRPC server: tonic would read its text as messages.
fn check(response: &Response<Incoming>) -> Result<(), Failure> {
    let headers = response.headers();
    if headers.contains_key("grpc-status") {
        return Ok(());
    }
    let http = response.status();
    let is_grpc = headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if http.is_success() && is_grpc {
        return Ok(());
    }
    // As gRPC's table for servers and proxies that know nothing of it has it.
    let code = match http.as_u16() {
        400 => tonic::Code::Internal,
        401 => tonic::Code::Unauthenticated,
        403 => tonic::Code::PermissionDenied,
        404 => tonic::Code::Unimplemented,
        429 | 502 | 503 | 504 => tonic::Code::Unavailable,
        _ => tonic::Code::Unknown,
    };
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("no content type");
    Err(Box::new(Status::new(code, format!("no gRPC server answered, but one with HTTP status {} and {kind}", http.as_u16()))))
}

/// The body of an answer.
pub struct Answer(Incoming);

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                clean(trailers);
            }
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
