//! The lines between nodes: bounded, in order, closed from either end.
//!
//! Problem: a slow node must slow down those before it, an end must travel forward after the last packet, and a failure must stop those
//! before it without overtaking what is already on its way. Answer: a bounded channel for each node's input. Several nodes may write into
//! one (fan-in, packets in the order of their arrival) and one may write into several (fan-out, each gets every packet). A packet that stands
//! for an item that failed passes all nodes by, in its place.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::data::{Packet, Value};

/// What travels in a line.
#[derive(Debug)]
pub enum Element {
    /// For the next node.
    Packet(Packet),
    /// Describes the failure of an item; no node gets it.
    Failed(Packet),
}

/// Nobody reads any more.
#[derive(Debug)]
pub struct Gone;

/// Where a node reads.
pub struct Input {
    receiver: mpsc::Receiver<Element>,
}

/// Where a node writes.
#[derive(Clone, Default)]
pub struct Output {
    ways: Vec<Way>,
}

#[derive(Clone)]
struct Way {
    sender: mpsc::Sender<Element>,
    /// Goes into the metadata of each packet.
    mark: Option<Arc<str>>,
}

/// The entry of a packet's metadata that names the node by which it left a pipeline that has several such nodes.
pub const NODE_KEY: &str = "node";

/// A line with room for `capacity` elements.
pub fn line(capacity: usize) -> (mpsc::Sender<Element>, Input) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    (sender, Input { receiver })
}

impl Input {
    /// The next element; nothing at the end.
    pub async fn next(&mut self) -> Option<Element> {
        self.receiver.recv().await
    }

    /// Waits for an element and adds what else is there, `max` at most; nothing at the end.
    pub async fn next_batch(&mut self, max: usize) -> Option<Vec<Element>> {
        let mut elements = Vec::new();
        (self.receiver.recv_many(&mut elements, max).await > 0).then_some(elements)
    }
}

impl Output {
    /// Into each of these lines.
    pub fn new(senders: impl IntoIterator<Item = mpsc::Sender<Element>>) -> Self {
        Self { ways: senders.into_iter().map(|sender| Way { sender, mark: None }).collect() }
    }

    /// Into one line.
    pub fn to(sender: mpsc::Sender<Element>) -> Self {
        Self::new([sender])
    }

    /// Into one more, where packets are marked with a name if one is given.
    pub fn add(&mut self, sender: mpsc::Sender<Element>, mark: Option<&str>) {
        self.ways.push(Way { sender, mark: mark.map(Into::into) });
    }

    /// Puts a packet out, once there is room everywhere.
    pub async fn send(&self, packet: Packet) -> Result<(), Gone> {
        self.put(Element::Packet(packet)).await
    }

    /// Puts an element out, once there is room everywhere. A line whose reader has gone is passed over while there are others.
    pub async fn put(&self, element: Element) -> Result<(), Gone> {
        let Some((last, others)) = self.ways.split_last() else { return Ok(()) };
        let mut taken = false;
        for way in others {
            taken |= way.put(element.again()).await;
        }
        taken |= last.put(element).await;
        if taken { Ok(()) } else { Err(Gone) }
    }
}

impl Way {
    async fn put(&self, mut element: Element) -> bool {
        if let Some(name) = &self.mark {
            let (Element::Packet(packet) | Element::Failed(packet)) = &mut element;
            let mut metadata = packet.metadata.as_deref().cloned().unwrap_or_default();
            metadata.insert(NODE_KEY.to_owned(), Value::from(&**name));
            packet.metadata = Some(Arc::new(metadata));
        }
        self.sender.send(element).await.is_ok()
    }
}

impl Element {
    /// The packet, or the one that describes a failure.
    pub fn into_packet(self) -> Packet {
        let (Element::Packet(packet) | Element::Failed(packet)) = self;
        packet
    }

    /// The same once more; payloads are shared, not copied.
    fn again(&self) -> Self {
        match self {
            Element::Packet(packet) => Element::Packet(packet.clone()),
            Element::Failed(packet) => Element::Failed(packet.clone()),
        }
    }
}
