//! The bodies of requests and answers on their way through the gate.
//!
//! Problem: a call is under way until the last byte of its answer is gone, and only its body knows when that is. Answer: [`Incoming`] counts
//! and bounds what arrives and notices a client that leaves; [`Outgoing`] owns the call's place and gives it back at the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::{Code, Status};

use super::call::{Call, closing};
use super::metrics::Metrics;
use crate::data::Bytes;

/// A request's body.
pub struct Incoming {
    inner: Body,
    call: Call,
}

impl Incoming {
    /// Wraps the body of a request that was let in.
    pub fn wrap(inner: Body, call: Call) -> Body {
        Body::new(Self { inner, call })
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.call.slot.metrics.bytes_in.add(data.len() as u64);
                    if let Err(status) = self.call.held.add(data.len()) {
                        return Poll::Ready(Some(Err(*status)));
                    }
                }
            }
            // The stream was reset, or the connection is gone: for the decoder above that looks like a usual end.
            Poll::Ready(Some(Err(_))) => self.call.cancel.cancel(),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body.
pub struct Outgoing {
    inner: Body,
    metrics: Arc<Metrics>,
    /// The call's place, and what says that it is over; none for health, which takes no place.
    hold: Option<(Call, DropGuard)>,
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    ended: bool,
}

impl Outgoing {
    /// Wraps an answer. `cut` ends it early; without, whoever makes it sees to that.
    pub fn wrap(
        mut answer: http::Response<Body>,
        metrics: &Arc<Metrics>,
        hold: Option<(Call, DropGuard)>,
        cut: Option<CancellationToken>,
    ) -> http::Response<Body> {
        let ended = match Status::from_header_map(answer.headers()) {
            Some(status) => {
                ended_with(metrics, hold.as_ref(), status.code());
                answer = in_grpc_terms(answer, &status);
                true
            }
            None => false,
        };
        let cut = cut.map(|cut| Box::pin(cut.cancelled_owned()));
        answer.map(|inner| Body::new(Self { inner, metrics: Arc::clone(metrics), hold, cut, ended }))
    }
}

fn ended_with(metrics: &Metrics, hold: Option<&(Call, DropGuard)>, status: Code) {
    match hold {
        Some((call, _)) => call.ended(status),
        None => metrics.ended(status),
    }
}

/// Other implementations of gRPC call a message that is too long `RESOURCE_EXHAUSTED`, and clients look for that.
fn in_grpc_terms(answer: http::Response<Body>, status: &Status) -> http::Response<Body> {
    if status.code() == Code::OutOfRange { Status::resource_exhausted(status.message()).into_http() } else { answer }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(cut) = &mut self.cut
            && cut.as_mut().poll(cx).is_ready()
        {
            self.cut = None;
            self.inner = Body::empty();
            if !self.ended {
                self.ended = true;
                ended_with(&self.metrics, self.hold.as_ref(), Code::Unavailable);
                let mut trailers = http::HeaderMap::new();
                // The text is plain ASCII: it fits a header.
                let _ = closing().add_header(&mut trailers);
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        }
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            if let Some(data) = frame.data_ref() {
                self.metrics.bytes_out.add(data.len() as u64);
            } else if let Some(trailers) = frame.trailers_ref() {
                self.ended = true;
                let status = Status::from_header_map(trailers).map_or(Code::Unknown, |status| status.code());
                if status != Code::Ok {
                    ended_with(&self.metrics, self.hold.as_ref(), status);
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.ended && self.hold.is_some() {
            ended_with(&self.metrics, self.hold.as_ref(), Code::Cancelled);
        }
    }
}
