//! A generator asked item by item.
//!
//! Problem: a router needs to know what an item's outputs are, and a generator only takes and gives. Answer: one item at a time; it is
//! answered when the generator asks for the next, or ends. The generator lives as long as the session's items, so that what it keeps between
//! items is kept; one that fails or takes too long is left, and the next item gets another.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Closes, DEFAULT_TIMEOUT, EndSession, GeneratorStage};
use crate::data::Packet;
use crate::error::{Code, Error, Result};
use crate::pipeline::node::{Items, StreamScope};
use crate::remote;
use crate::remote::service::{ItemLine, ItemSink, ItemSource};

/// What the outputs of one item may weigh before the generator has to wait, and so before the item fails for its time.
const OUTPUT_BYTES: usize = 64 << 20;

type Answer = oneshot::Sender<Result<Vec<Packet>>>;

enum Ask {
    Item(Packet, Option<Duration>, Answer),
    Flush(Answer),
}

/// The items of one session.
pub struct Lane {
    asks: mpsc::UnboundedSender<Ask>,
    cancel: CancellationToken,
}

impl Lane {
    /// A lane without a generator yet.
    pub fn open(stage: Arc<GeneratorStage>, scope: &StreamScope) -> Result<Self> {
        let (asks, receiver) = mpsc::unbounded_channel();
        let cancel = scope.cancel.child_token();
        let (stop, scope) = (cancel.clone(), StreamScope { cancel: cancel.clone(), ..scope.clone() });
        remote::spawn(async move {
            tokio::select! { biased; () = stop.cancelled() => {}, () = serve(stage, scope, receiver) => {} }
        })?;
        Ok(Self { asks, cancel })
    }

    fn ask(&self, make: impl FnOnce(Answer) -> Ask) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let (sender, answer) = oneshot::channel();
        // Not taken: the sender is dropped, which answers.
        let _taken = self.asks.send(make(sender));
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(Error::new(Code::Aborted, "the stream was given up"))) })
    }
}

impl Items for Lane {
    fn submit(&self, packet: Packet, timeout: Option<Duration>) -> BoxFuture<'static, Result<Vec<Packet>>> {
        self.ask(|answer| Ask::Item(packet, timeout, answer))
    }

    fn flush(&self, _inputs: u64) -> BoxFuture<'static, Result<Vec<Packet>>> {
        self.ask(Ask::Flush)
    }

    fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn serve(stage: Arc<GeneratorStage>, scope: StreamScope, mut asks: mpsc::UnboundedReceiver<Ask>) {
    let _ends = EndSession::of(&stage, &scope);
    let mut run: Option<Run> = None;
    while let Some(ask) = asks.recv().await {
        match ask {
            Ask::Item(packet, timeout, mut answer) => {
                let limit = timeout.or(scope.timeout).unwrap_or(DEFAULT_TIMEOUT);
                let current = run.get_or_insert_with(|| Run::begin(&stage, &scope));
                let result = tokio::select! {
                    biased;
                    result = current.item(packet) => result,
                    () = answer.closed() => Err(Error::new(Code::Aborted, "the item was given up")),
                    () = sleep(limit) => Err(stage.silent(limit, "with an item in hand")),
                };
                if result.is_err() || current.ended {
                    run = None;
                }
                let _given_up = answer.send(result);
            }
            Ask::Flush(answer) => {
                let limit = scope.timeout.unwrap_or(DEFAULT_TIMEOUT);
                let result = match run.take() {
                    None => Ok(Vec::new()),
                    Some(run) => tokio::select! {
                        biased;
                        result = run.finish() => result,
                        () = sleep(limit) => Err(stage.silent(limit, "after the last item")),
                    },
                };
                let _given_up = answer.send(result);
            }
        }
    }
}

/// One run of the generator.
struct Run {
    items: mpsc::Sender<Packet>,
    /// Told whenever the generator asks for an item.
    asked: mpsc::UnboundedReceiver<()>,
    work: BoxFuture<'static, Result<()>>,
    line: ItemLine,
    started: bool,
    ended: bool,
    _over: DropGuard,
    _closes: Closes,
}

impl Run {
    fn begin(stage: &Arc<GeneratorStage>, scope: &StreamScope) -> Self {
        let over = scope.cancel.child_token();
        let (items, receiver) = mpsc::channel::<Packet>(1);
        let (asks, asked) = mpsc::unbounded_channel();
        let packets = futures_util::stream::unfold((receiver, asks), |(mut receiver, asks)| async move {
            let _counted = asks.send(());
            receiver.recv().await.map(|packet| (Ok(packet), (receiver, asks)))
        });
        let (sink, line) = ItemSink::lined(OUTPUT_BYTES, over.clone());
        let source = ItemSource::keeping(packets.boxed(), over.clone());
        let closes = Closes(source.clone());
        let work = stage.begin(scope, over.clone(), 1, source, sink);
        Self { items, asked, work, line, started: false, ended: false, _over: over.drop_guard(), _closes: closes }
    }

    /// Gives the generator an item and collects what it puts out until it asks for another.
    async fn item(&mut self, packet: Packet) -> Result<Vec<Packet>> {
        if !std::mem::replace(&mut self.started, true) {
            self.until_asked().await?;
        }
        if !self.ended && self.items.send(packet).await.is_ok() {
            self.until_asked().await?;
        }
        Ok(collected(&self.line))
    }

    async fn until_asked(&mut self) -> Result<()> {
        tokio::select! {
            biased;
            Some(()) = self.asked.recv() => Ok(()),
            result = &mut self.work => {
                self.ended = true;
                result
            }
        }
    }

    /// Ends the generator's items and collects what it still puts out.
    async fn finish(self) -> Result<Vec<Packet>> {
        let Self { items, work, line, ended, _over, _closes, .. } = self;
        drop(items);
        if !ended {
            work.await?;
        }
        Ok(collected(&line))
    }
}

fn collected(line: &ItemLine) -> Vec<Packet> {
    std::iter::from_fn(|| line.ready()).collect()
}
