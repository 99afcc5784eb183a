//! A pipeline asked item by item, as a router does: the item goes through node after node, and what leaves the last is its answer.
//!
//! Order within the session matters to every node, so the next item begins when the one before it is through.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::flow::Pipeline;
use super::node::Items;
use super::task::Turns;
use crate::data::Packet;
use crate::error::{Error, Result};

/// The items of one session of a pipeline.
pub struct Stepwise {
    steps: Arc<Steps>,
    turns: Turns,
}

struct Steps {
    pipeline: Arc<Pipeline>,
    items: Vec<Arc<dyn Items>>,
}

impl Stepwise {
    /// `items` are those of the pipeline's nodes, which stand behind the nodes that they follow.
    pub fn new(pipeline: Arc<Pipeline>, items: Vec<Arc<dyn Items>>) -> Self {
        Self { steps: Arc::new(Steps { pipeline, items }), turns: Turns::default() }
    }

    fn in_turn<F>(&self, work: F) -> BoxFuture<'static, Result<Vec<Packet>>>
    where
        F: Future<Output = Result<Vec<Packet>>> + Send + 'static,
    {
        let mut turn = self.turns.take();
        Box::pin(async move {
            turn.come().await;
            work.await
        })
    }
}

impl Steps {
    /// Takes packets through all nodes; with `inputs`, those hand out what they hold as their turn comes.
    async fn pass(&self, packets: Vec<Packet>, timeout: Option<Duration>, flush: Option<u64>) -> Result<Vec<Packet>> {
        let mut waiting: Vec<Vec<Packet>> = self.items.iter().map(|_| Vec::new()).collect();
        for index in self.pipeline.entries() {
            waiting[index].clone_from(&packets);
        }
        if self.items.is_empty() {
            return Ok(packets);
        }
        let mut out = Vec::new();
        for (index, items) in self.items.iter().enumerate() {
            let named = |error: Error| error.in_node(self.pipeline.nodes()[index].name());
            let mut answers = Vec::new();
            for packet in std::mem::take(&mut waiting[index]) {
                let trace = packet.trace.clone();
                let made = items.submit(packet, timeout).await.map_err(named)?;
                answers.extend(made.into_iter().map(|answer| Packet { trace: trace.clone(), ..answer }));
            }
            if let Some(inputs) = flush {
                answers.extend(items.flush(inputs).await.map_err(named)?);
            }
            for next in &self.pipeline.successors()[index] {
                waiting[*next].extend(answers.iter().cloned());
            }
            if self.pipeline.leaves(index) {
                out.extend(answers);
            }
        }
        Ok(out)
    }
}

impl Items for Stepwise {
    fn submit(&self, packet: Packet, timeout: Option<Duration>) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let steps = Arc::clone(&self.steps);
        self.in_turn(async move { steps.pass(vec![packet], timeout, None).await })
    }

    fn flush(&self, inputs: u64) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let steps = Arc::clone(&self.steps);
        self.in_turn(async move { steps.pass(Vec::new(), None, Some(inputs)).await })
    }

    fn cancel(&self) {
        for items in &self.steps.items {
            items.cancel();
        }
    }
}
