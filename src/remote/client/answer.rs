//! What every answer of a node goes through, whichever protocol it came by.

use bytes::Bytes;

use super::Client;
use crate::data::Packet;
use crate::error::Result;
use crate::remote::channel::Channels;
use crate::remote::codec::{self, Wire};
use crate::remote::status;

/// Reads a payload; a node's own error inside it is an error, unless the client keeps those.
pub fn packet(payload: &Bytes, wire: Wire, keep_errors: bool) -> Result<Packet> {
    checked(codec::decode(payload, wire)?, keep_errors)
}

/// Passes a packet that is no node's own error.
pub fn checked(packet: Packet, keep_errors: bool) -> Result<Packet> {
    match status::error_result(&packet).filter(|_| !keep_errors) {
        Some(error) => Err(error),
        None => Ok(packet),
    }
}

/// Makes an output the answer to `input`.
pub fn to(input: &Packet, mut output: Packet) -> Packet {
    output.sequence = input.sequence;
    output.timestamp_ms = output.timestamp_ms.or(input.timestamp_ms);
    output
}

/// Counts an item on its way out.
pub fn sent(channels: &Channels, bytes: usize) {
    channels.metrics.items_sent.add(1);
    channels.metrics.bytes_sent.add(bytes as u64);
}

/// Counts an answer.
pub fn received(channels: &Channels, bytes: usize) {
    channels.metrics.items_received.add(1);
    channels.metrics.bytes_received.add(bytes as u64);
}

impl Client {
    /// Whether a node's own error is an answer like any other.
    pub(super) fn keeps_errors(&self) -> bool {
        self.config().keep_error_results
    }
}
