//! A stream through a node that answers item by item: several under way, answers in the order of the items.
//!
//! Problem: a node that takes a while for each item would idle while the next item waits for the last answer, yet answers must come in order
//! and a slow reader must hold the node back. Answer: a window of items under way, as many as the stream's buffer; it moves when its oldest
//! item's answer has found room in the output.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde_json::json;

use super::line::{Element, Gone, Input, Output};
use super::node::{Items, OnError, StreamScope};
use crate::data::{Format, Kind, Map, Packet, Value};
use crate::error::{Code, Error, Result};

/// An item under way.
struct Pending {
    /// What of the item its outputs and its failure inherit.
    origin: Packet,
    answer: BoxFuture<'static, Result<Vec<Packet>>>,
}

enum Step {
    Answered(Packet, Result<Vec<Packet>>),
    Came(Option<Element>),
}

/// A place in the window.
enum Slot {
    Item(Pending),
    /// Stands for an item that a node before has failed: it passes this one by, in its turn.
    Passing(Packet),
}

/// A stream through items that were just opened, or could not be.
pub fn stream(opened: Result<Arc<dyn Items>>, scope: StreamScope, input: Input, output: Output) -> BoxFuture<'static, Result<()>> {
    match opened {
        Ok(items) => Box::pin(run(items, scope, input, output)),
        Err(error) => Box::pin(ready(Err(error))),
    }
}

/// Runs the stream to its end: all items, then what the node still holds.
async fn run(items: Arc<dyn Items>, scope: StreamScope, mut input: Input, output: Output) -> Result<()> {
    let mut window: VecDeque<Slot> = VecDeque::new();
    let (mut inputs, mut next) = (0, 0);
    let mut ended = false;
    let mut stop = Stop(Some(Arc::clone(&items)));
    while !ended || !window.is_empty() {
        if let Some(Slot::Passing(_)) = window.front() {
            let Some(Slot::Passing(packet)) = window.pop_front() else { continue };
            if output.put(Element::Failed(packet)).await.is_err() {
                return Ok(());
            }
            continue;
        }
        match step(&mut window, &mut input, !ended, scope.buffer).await {
            Step::Came(None) => ended = true,
            Step::Came(Some(Element::Failed(packet))) => window.push_back(Slot::Passing(packet)),
            Step::Came(Some(Element::Packet(packet))) => {
                (inputs, next) = (inputs + 1, next.max(packet.sequence + 1));
                let origin = Packet { bytes: crate::data::Bytes::new(), ..packet.clone() };
                window.push_back(Slot::Item(Pending { origin, answer: items.submit(packet, None) }));
            }
            Step::Answered(origin, answer) => {
                if settle(origin, answer, &scope, &output).await?.is_err() {
                    return Ok(());
                }
            }
        }
    }
    if scope.failure.get().is_some() {
        // The stream did not end, it broke off: what the node holds is incomplete.
        return Ok(());
    }
    let rest = items.flush(inputs).await;
    stop.0 = None;
    let end = Packet { sequence: next, ..Packet::binary(Vec::new()) };
    let _gone = settle(end, rest, &scope, &output).await?;
    Ok(())
}

/// Whatever happens first: the oldest item is answered, or another comes while there is room for it.
async fn step(window: &mut VecDeque<Slot>, input: &mut Input, open: bool, room: usize) -> Step {
    poll_fn(|cx| {
        if let Some(Slot::Item(first)) = window.front_mut()
            && let Poll::Ready(answer) = first.answer.poll_unpin(cx)
        {
            let Some(Slot::Item(first)) = window.pop_front() else { return Poll::Pending };
            return Poll::Ready(Step::Answered(first.origin, answer));
        }
        if open && window.len() < room.max(1) {
            let next = std::pin::pin!(input.next());
            if let Poll::Ready(next) = next.poll(cx) {
                return Poll::Ready(Step::Came(next));
            }
        }
        Poll::Pending
    })
    .await
}

/// Puts an item's outputs out, or does with its failure what the stream wants done. An error ends the stream.
pub async fn settle(mut origin: Packet, answer: Result<Vec<Packet>>, scope: &StreamScope, output: &Output) -> Result<Result<(), Gone>> {
    if let (Err(error), Some(trace)) = (&answer, &origin.trace) {
        trace.failed(error);
    }
    match answer {
        Ok(packets) => {
            let last = packets.len().saturating_sub(1);
            for (index, packet) in packets.into_iter().enumerate() {
                let packet = inherit(packet, &origin);
                if index == last {
                    // With the last output the item's trace leaves this node.
                    origin.trace = None;
                }
                if output.send(packet).await.is_err() {
                    return Ok(Err(Gone));
                }
            }
            Ok(Ok(()))
        }
        Err(error) if scope.on_error == OnError::Throw || ends_stream(&error) => Err(error),
        Err(error) => Ok(fail(&origin, &error, scope, output).await),
    }
}

/// An output of an item, which keeps the item's place in the pipeline and in its trace, and what a router said about it.
pub fn inherit(mut packet: Packet, origin: &Packet) -> Packet {
    packet.sequence = origin.sequence;
    packet.trace.clone_from(&origin.trace);
    if packet.route.is_none() {
        packet.route.clone_from(&origin.route);
    }
    packet
}

/// Leaves a failed item out, or puts a description of its failure in its place.
pub async fn fail(origin: &Packet, error: &Error, scope: &StreamScope, output: &Output) -> Result<(), Gone> {
    tracing::debug!(target: "pipeline", session = %scope.session, sequence = origin.sequence, %error, "an item failed");
    if scope.on_error == OnError::Skip {
        return Ok(());
    }
    output.put(Element::Failed(describe(origin, error))).await
}

/// The packet that stands for a failure: its description as JSON, under `metadata.error` the code alone.
fn describe(origin: &Packet, error: &Error) -> Packet {
    let about = json!({ "error": {
        "code": error.code().as_str(), "name": error.code().class().as_str(), "message": error.message(), "retryable": error.code().retryable(),
        "nodeName": error.node(), "sessionId": error.session(),
    } });
    let mut metadata = origin.metadata.as_deref().cloned().unwrap_or_else(Map::new);
    metadata.insert("error".to_owned(), Value::from(error.code().as_str()));
    Packet { metadata: Some(Arc::new(metadata)), bytes: about.to_string().into(), format: Format::Plain(Kind::Json), ..origin.clone() }
}

/// Failures that are not an item's: the stream was given up, or its node is gone.
pub fn ends_stream(error: &Error) -> bool {
    matches!(error.code(), Code::Aborted | Code::Closed)
}

/// Stops a node's work when a stream ends before its time, however it does.
struct Stop(Option<Arc<dyn Items>>);

impl Drop for Stop {
    fn drop(&mut self) {
        if let Some(items) = self.0.take() {
            items.cancel();
        }
    }
}
