//! The answers of a stream, from the line of packets to messages.
//!
//! Problem: three rpcs stream packets, each with messages of its own, and packets should be encoded where that keeps nobody waiting. Answer:
//! one stream that takes a packet out of the line when HTTP/2 has room for it, encodes it there, and ends the way the protocol ends: after
//! the last packet, after one message with the error, or with a gRPC status.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::Stream;
use tonic::Status;

use super::call::Call;
use super::core::Core;
use super::fault::fault;
use super::items::End;
use super::pipe::{Notice, Pipe, Sent};
use crate::data::{Bytes, Kind, Packet, SessionId};
use crate::error::{Error, Result};
use crate::remote::codec::{self, Wire};
use crate::remote::pb::v0;

/// A message of answers.
pub trait Reply: Send + Unpin + 'static {
    /// An item.
    fn data(payload: Bytes) -> Self;
    /// A failure.
    fn error(message: String) -> Self;
    /// Something between items, where the rpc has words for it.
    fn notice(notice: Notice) -> Option<Self>
    where
        Self: Sized,
    {
        let _ = notice;
        None
    }
}

impl Reply for v0::StreamData {
    fn data(payload: Bytes) -> Self {
        Self { payload: Some(v0::stream_data::Payload::Data(payload)), error_message: String::new() }
    }

    fn error(message: String) -> Self {
        Self { payload: None, error_message: message }
    }
}

impl Reply for v0::StreamPipelineResponse {
    fn data(payload: Bytes) -> Self {
        Self { payload: Some(v0::stream_pipeline_response::Payload::Data(payload)) }
    }

    fn error(message: String) -> Self {
        Self { payload: Some(v0::stream_pipeline_response::Payload::Error(message)) }
    }

    fn notice(notice: Notice) -> Option<Self> {
        use v0::stream_pipeline_response::Payload;
        Some(Self {
            payload: Some(match notice {
                Notice::Ready(session_id) => Payload::Ack(v0::StreamPipelineAck { session_id, ready: true }),
                Notice::Status { name, items, bytes } => Payload::Status(v0::StreamPipelineStatus {
                    session_id: name,
                    items_processed: i64::try_from(items).unwrap_or(i64::MAX),
                    bytes_processed: i64::try_from(bytes).unwrap_or(i64::MAX),
                    is_active: true,
                }),
            }),
        })
    }
}

/// How items are written: known once the client has said it.
#[derive(Clone, Debug)]
pub struct Writing {
    /// Format.
    pub wire: Wire,
    /// Session that the client named in its items.
    pub session: Option<SessionId>,
}

/// The answers.
pub struct Outgoing<M> {
    pub core: Arc<Core>,
    pub call: Call,
    pub line: Pipe<End>,
    pub writing: Arc<OnceLock<Writing>>,
    pub ended: bool,
    pub message: PhantomData<fn() -> M>,
}

impl<M: Reply> Outgoing<M> {
    /// The answers that are put into `line`.
    pub fn new(core: &Arc<Core>, call: &Call, line: &Pipe<End>) -> Self {
        Self { core: Arc::clone(core), call: call.clone(), line: line.clone(), writing: Arc::default(), ended: false, message: PhantomData }
    }

    /// A packet as a message; nothing for Python's `None`, which the stock server does not send.
    fn write(&self, packet: &Packet) -> Result<Option<M>> {
        // Nothing is put out before the client has said how it is to be written.
        let Some(writing) = self.writing.get() else { return Ok(None) };
        if packet.kind() == Kind::Json && packet.bytes.trim_ascii() == b"null" {
            return Ok(None);
        }
        let payload = codec::encode(packet, writing.wire, writing.session.as_ref())?;
        self.core.answer_fits(payload.len())?;
        self.core.metrics.items_out.add(1);
        Ok(Some(M::data(payload)))
    }

    fn fail(&mut self, error: &Error) -> M {
        self.ended = true;
        self.line.close();
        let fault = fault(error);
        self.core.metrics.error(fault.category);
        self.call.failed(error);
        M::error(fault.message)
    }
}

impl<M: Reply> Stream for Outgoing<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            match self.line.poll_receive(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(Sent::Notice(notice)))) => {
                    if let Some(message) = M::notice(notice) {
                        return Poll::Ready(Some(Ok(message)));
                    }
                }
                Poll::Ready(Some(Ok(Sent::Packet(packet)))) => match self.write(&packet) {
                    Ok(None) => {}
                    Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                    Err(error) => {
                        // The handler works for nobody now.
                        self.call.cancel.cancel();
                        return Poll::Ready(Some(Ok(self.fail(&error))));
                    }
                },
                Poll::Ready(Some(Err(End::Failed(error)))) => return Poll::Ready(Some(Ok(self.fail(&error)))),
                Poll::Ready(Some(Err(End::Status(status)))) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(*status)));
                }
                Poll::Ready(Some(Err(End::Done)) | None) => self.ended = true,
            }
        }
    }
}

impl<M> Drop for Outgoing<M> {
    fn drop(&mut self) {
        self.line.close();
    }
}
