//! Messages to bytes and back, for tonic.
//!
//! Beside tonic's own codec: answers that are no valid protobuf are marked as such, and a small message takes a small buffer.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// The remote's bytes were not the message that they should be.
#[derive(Debug)]
pub struct Garbled(prost::DecodeError);

impl fmt::Display for Garbled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer is no valid message: {}", self.0)
    }
}

impl std::error::Error for Garbled {}

/// Sends `Q`, receives `A`.
pub struct Proto<Q, A> {
    buffers: BufferSettings,
    messages: PhantomData<fn(Q) -> A>,
}

/// A call's buffer grows to the size of its message; most are small.
const CALL_BUFFER: usize = 512;
/// A stream's buffer is used again and again.
const STREAM_BUFFER: usize = 16_384;
/// What is collected before it is handed to HTTP/2; tonic's own.
const YIELD: usize = 32_768;

impl<Q, A> Proto<Q, A> {
    /// For one message each way.
    pub fn call() -> Self {
        Self { buffers: BufferSettings::new(CALL_BUFFER, YIELD), messages: PhantomData }
    }

    /// For many.
    pub fn stream() -> Self {
        Self { buffers: BufferSettings::new(STREAM_BUFFER, YIELD), messages: PhantomData }
    }
}

impl<Q: Message + 'static, A: Message + Default + 'static> Codec for Proto<Q, A> {
    type Encode = Q;
    type Decode = A;
    type Encoder = Half<Q>;
    type Decoder = Half<A>;

    fn encoder(&mut self) -> Half<Q> {
        Half { buffers: self.buffers, message: PhantomData }
    }

    fn decoder(&mut self) -> Half<A> {
        Half { buffers: self.buffers, message: PhantomData }
    }
}

/// One direction.
pub struct Half<M> {
    buffers: BufferSettings,
    message: PhantomData<fn(M) -> M>,
}

impl<M: Message> Encoder for Half<M> {
    type Item = M;
    type Error = Status;

    fn encode(&mut self, item: M, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.reserve(item.encoded_len());
        item.encode(buf).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.buffers
    }
}

impl<M: Message + Default> Decoder for Half<M> {
    type Item = M;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<M>, Status> {
        M::decode(buf).map(Some).map_err(|error| {
            let garbled = Garbled(error);
            let mut status = Status::internal(garbled.to_string());
            status.set_source(Arc::new(garbled));
            status
        })
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.buffers
    }
}
