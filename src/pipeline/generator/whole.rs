//! A stream through a generator: one run of it between two lines, anew after a failure that the stream outlives.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::{Closes, DEFAULT_TIMEOUT, EndSession, GeneratorStage};
use crate::data::{Bytes, Packet};
use crate::error::Result;
use crate::pipeline::line::{Element, Input, Output};
use crate::pipeline::node::{OnError, StreamScope};
use crate::pipeline::window::{ends_stream, fail, inherit};
use crate::remote::service::{EACH_BYTES, ItemSink, ItemSource};

/// What the generator reads, and how far it has come.
struct Feed {
    input: tokio::sync::Mutex<Input>,
    /// Whether it waits for an item: then it owes nobody anything.
    waiting: AtomicBool,
    taken: AtomicU64,
    /// The items taken last, without their payloads: outputs inherit from them, and a failure is said to be the last one's.
    recent: Mutex<Vec<Packet>>,
    /// What stands for failed items and passes the node by, behind what the node has put out before.
    passing: Mutex<VecDeque<Packet>>,
    /// Told when something wants to pass, and when it has.
    comes: Notify,
    passed: Notify,
}

impl Feed {
    fn new(input: Input) -> Self {
        Self {
            input: tokio::sync::Mutex::new(input),
            waiting: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            recent: Mutex::default(),
            passing: Mutex::default(),
            comes: Notify::new(),
            passed: Notify::new(),
        }
    }

    /// Waits until what wants to pass has passed: what the node puts out for the next item must not overtake it.
    async fn until_passed(&self) {
        while !self.passing.lock().is_empty() {
            self.passed.notified().await;
        }
    }

    /// Lets pass what wants to; false where nobody reads any more.
    async fn pass(&self, output: &Output) -> bool {
        loop {
            let Some(packet) = self.passing.lock().front().cloned() else { break };
            if output.put(Element::Failed(packet)).await.is_err() {
                return false;
            }
            self.passing.lock().pop_front();
        }
        self.passed.notify_one();
        true
    }

    /// The next packet.
    async fn next(&self, keep: usize) -> Option<Packet> {
        let mut input = self.input.lock().await;
        self.waiting.store(true, Ordering::Release);
        let packet = loop {
            match input.next().await {
                Some(Element::Packet(packet)) => break Some(packet),
                Some(Element::Failed(packet)) => {
                    self.passing.lock().push_back(packet);
                    self.comes.notify_one();
                    self.until_passed().await;
                }
                None => break None,
            }
        };
        self.waiting.store(false, Ordering::Release);
        if let Some(packet) = &packet {
            self.taken.fetch_add(1, Ordering::Relaxed);
            let mut recent = self.recent.lock();
            if recent.len() >= keep {
                recent.remove(0);
            }
            recent.push(Packet { bytes: Bytes::new(), ..packet.clone() });
        }
        packet
    }

    /// The item with this number, as far as it is still known.
    fn origin(&self, sequence: u64) -> Packet {
        let recent = self.recent.lock().iter().find(|packet| packet.sequence == sequence).cloned();
        recent.unwrap_or_else(|| Packet { sequence, ..Packet::binary(Vec::new()) })
    }
}

/// Runs the stream to its end.
pub async fn run(stage: Arc<GeneratorStage>, scope: StreamScope, input: Input, output: Output) -> Result<()> {
    let _ends = EndSession::of(&stage, &scope);
    let feed = Arc::new(Feed::new(input));
    loop {
        let before = feed.taken.load(Ordering::Relaxed);
        let Err(error) = once(&stage, &scope, &feed, &output).await else { return Ok(()) };
        let progress = feed.taken.load(Ordering::Relaxed) > before;
        // A generator that fails before it takes an item would fail for ever.
        if scope.on_error == OnError::Throw || ends_stream(&error) || !progress {
            return Err(error);
        }
        let origin = feed.recent.lock().last().cloned().unwrap_or_else(|| Packet::binary(Vec::new()));
        let error = error.in_node(stage.generator.name());
        if fail(&origin, &error, &scope, &output).await.is_err() {
            return Ok(());
        }
    }
}

async fn once(stage: &Arc<GeneratorStage>, scope: &StreamScope, feed: &Arc<Feed>, output: &Output) -> Result<()> {
    let over = scope.cancel.child_token();
    let _over = over.clone().drop_guard();
    let (sink, line) = ItemSink::lined(scope.buffer.saturating_mul(EACH_BYTES), over.clone());
    // Where the stream outlives a failure, items that the generator has not seen must not fail along.
    let ahead = if scope.on_error == OnError::Throw { scope.buffer } else { 1 };
    let source = source(scope, feed, over.clone());
    let closes = Closes(source.clone());
    let work = stage.begin(scope, over, ahead, source, sink);
    let (moved, held_up) = (AtomicU64::new(0), AtomicBool::new(false));
    let finished = async {
        let result = work.await;
        line.finish();
        result
    };
    let forward = async {
        loop {
            // What the node has put out comes first, what passes it then.
            let packet = tokio::select! {
                biased;
                packet = line.next() => packet,
                () = feed.comes.notified() => {
                    if !feed.pass(output).await {
                        return false;
                    }
                    continue;
                }
            };
            let Some(packet) = packet else { return feed.pass(output).await };
            moved.fetch_add(1, Ordering::Relaxed);
            held_up.store(true, Ordering::Release);
            let origin = feed.origin(packet.sequence);
            if output.send(inherit(packet, &origin)).await.is_err() {
                return false;
            }
            held_up.store(false, Ordering::Release);
        }
    };
    let limit = scope.timeout.unwrap_or(DEFAULT_TIMEOUT);
    let silence = async {
        let mut seen = None;
        loop {
            let busy = !feed.waiting.load(Ordering::Acquire) && !held_up.load(Ordering::Acquire);
            let now = busy.then(|| (moved.load(Ordering::Relaxed), feed.taken.load(Ordering::Relaxed)));
            if now.is_some() && now == seen {
                return;
            }
            seen = now;
            sleep(limit).await;
        }
    };
    // Outputs leave while the generator works and after it; where nobody reads them any more, it is given up.
    let both = async {
        tokio::pin!(forward);
        tokio::select! {
            taken = &mut forward => if taken { std::future::pending().await } else { Ok(()) },
            result = finished => {
                let _taken = forward.await;
                result
            }
        }
    };
    let result = tokio::select! {
        result = both => result,
        () = silence => Err(stage.silent(limit, "with an item in hand or after the last one")),
    };
    // At once: those before this node must see that nobody reads, and those behind it that nothing more comes.
    closes.0.close().await;
    result
}

fn source(scope: &StreamScope, feed: &Arc<Feed>, over: tokio_util::sync::CancellationToken) -> ItemSource {
    let (feed, failure, keep) = (Arc::clone(feed), Arc::clone(&scope.failure), scope.buffer.saturating_mul(2).max(2));
    let packets = futures_util::stream::unfold(false, move |broken| {
        let (feed, failure) = (Arc::clone(&feed), Arc::clone(&failure));
        async move {
            if broken {
                return None;
            }
            match feed.next(keep).await {
                Some(packet) => Some((Ok(packet), false)),
                // Broken off before it: the node must not take that for the end of its items.
                None => failure.get().map(|error| (Err(error), true)),
            }
        }
    });
    ItemSource::keeping(packets.boxed(), over)
}
