//! Items that travel to the cloud together.
//!
//! Problem: a call has a price of its own, and small items pay it over and over. Answer: items of a session that are alike wait for each
//! other, until there are enough of them or the first has waited long enough ([`Batcher`] decides); the node takes them at once and answers
//! each by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::attempt::Answered;
use crate::data::{Format, Packet};
use crate::error::{Code, Error, Result};
use crate::observe::Counter;
use crate::pipeline::node::Items;
use crate::remote;
use crate::routing::{BatchConfig, Batcher};

struct Waiting {
    packet: Packet,
    timeout: Option<Duration>,
    since: Instant,
    answer: oneshot::Sender<Result<Answered>>,
}

/// The line of one session.
pub struct BatchLine {
    inner: Arc<Inner>,
}

struct Inner {
    items: Arc<dyn Items>,
    batcher: Mutex<Batcher<Waiting>>,
    started: Instant,
    /// Counts batches of more than one item.
    sent: Arc<Counter>,
}

/// What must be alike: kind and description of the payload.
fn key(packet: &Packet) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    packet.kind().hash(&mut hasher);
    match &packet.format {
        Format::Plain(_) => {}
        Format::Audio { sample_rate, channels } => (sample_rate.to_bits(), channels).hash(&mut hasher),
        Format::Tensor { dtype, shape } => (dtype, shape).hash(&mut hasher),
        Format::Video { width, height, format } => (width, height, format).hash(&mut hasher),
    }
    hasher.finish()
}

impl BatchLine {
    /// An empty line before `items`.
    pub fn new(items: Arc<dyn Items>, config: BatchConfig, sent: Arc<Counter>) -> Self {
        let batcher = Mutex::new(Batcher::new(config.max_items, config.max_delay));
        Self { inner: Arc::new(Inner { items, batcher, started: Instant::now(), sent }) }
    }

    /// Puts an item in line.
    pub fn submit(&self, packet: Packet, timeout: Option<Duration>) -> BoxFuture<'static, Result<Answered>> {
        let (sender, answer) = oneshot::channel();
        let inner = &self.inner;
        let (full, due) = {
            let mut batcher = inner.batcher.lock();
            let was_due = batcher.next_due();
            let now = inner.started.elapsed();
            let full = batcher.push(key(&packet), Waiting { packet, timeout, since: Instant::now(), answer: sender }, now);
            let due = batcher.next_due().filter(|due| was_due.is_none_or(|was| *due < was));
            (full, due)
        };
        if let Some(batch) = full {
            inner.send(batch);
        }
        if let Some(due) = due {
            let inner = Arc::clone(inner);
            let _no_threads = remote::spawn(async move { inner.send_due(due).await });
        }
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(Error::new(Code::Aborted, "the stream was given up"))) })
    }
}

impl Inner {
    /// Sends what has waited long enough, until nothing waits.
    async fn send_due(self: Arc<Self>, mut due: Duration) {
        loop {
            sleep_until((self.started + due).into()).await;
            let (batches, next) = {
                let mut batcher = self.batcher.lock();
                (batcher.take_due(self.started.elapsed()), batcher.next_due())
            };
            for batch in batches {
                self.send(batch);
            }
            match next {
                Some(next) => due = next,
                None => return,
            }
        }
    }

    fn send(self: &Arc<Self>, batch: Vec<Waiting>) {
        let now = Instant::now();
        let count = batch.len() as u32;
        self.sent.add(u64::from(count > 1));
        // As long as the one that may take longest; each item's own time is kept by whoever waits for it.
        let timeout = batch.iter().map(|waiting| waiting.timeout).max().flatten();
        let (packets, waiting): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.packet, (now - one.since, one.answer))).unzip();
        let answers = self.items.submit_batch(packets, timeout);
        let _no_threads = remote::spawn(async move {
            for (answer, (queued, sender)) in answers.await.into_iter().zip(waiting) {
                // Whoever gave the item up has not waited for this.
                let _given_up = sender.send(answer.map(|packets| Answered { packets, queued, batch: count }));
            }
        });
    }
}
