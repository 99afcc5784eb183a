//! A pipeline: nodes joined by lines, and the streams through them.
//!
//! Problem: nodes of every kind must run side by side without one of them being ahead of what the next can take, a stream's end must reach
//! the last node after the last packet, and whatever ends a stream early must stop every node of it and leave nothing behind. Answer: each
//! stream has a task per node and a bounded [`line`](super::line) into each; the end is a line without writers, a failure stops the nodes
//! before it, lets those behind it put out what they have, and comes last. How nodes are connected is decided by whoever makes the
//! [`Pipeline`]; that there is no cycle, by `manifest/graph.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{BoxFuture, try_join_all};
use serde_json::json;
use tokio::sync::mpsc;

use super::line::{Element, Input, Output, line};
use super::node::{Failure, Items, Node, StreamScope};
use super::stepwise::Stepwise;
use crate::data::{Map, SessionId, Value};
use crate::error::{Code, Error, Result};
use crate::remote;

/// Nodes and how packets go from one to the next.
pub struct Pipeline {
    name: String,
    nodes: Vec<Arc<dyn Node>>,
    /// By which they are known here.
    names: Vec<String>,
    /// For each node, those that get what it puts out.
    successors: Vec<Vec<usize>>,
    /// Those whose packets leave the pipeline.
    outputs: Vec<usize>,
    closed: AtomicBool,
}

impl Pipeline {
    /// Each node's packets go to the next one.
    pub fn chain(name: impl Into<String>, nodes: Vec<Arc<dyn Node>>) -> Self {
        let last = nodes.len().saturating_sub(1);
        let successors = (0..nodes.len()).map(|index| if index < last { vec![index + 1] } else { Vec::new() }).collect();
        let outputs = if nodes.is_empty() { Vec::new() } else { vec![last] };
        Self::graph(name, nodes, successors, outputs)
    }

    /// Nodes joined as `successors` says, by their indices and without a cycle. Nodes that follow none get the pipeline's input; the packets
    /// of `outputs` leave it.
    pub fn graph(name: impl Into<String>, nodes: Vec<Arc<dyn Node>>, successors: Vec<Vec<usize>>, outputs: Vec<usize>) -> Self {
        let names = nodes.iter().map(|node| node.name().to_owned()).collect();
        Self { name: name.into(), nodes, names, successors, outputs, closed: AtomicBool::new(false) }
    }

    /// The same, its nodes known by these names.
    #[must_use]
    pub fn named(self, names: Vec<String>) -> Self {
        Self { names, ..self }
    }

    /// Refuses a connection between nodes that have no kind in common, as far as their kinds are known: `ERR_CONFIG`, path `nodes.N`.
    pub fn check_kinds(&self) -> Result<()> {
        for (from, next) in self.successors.iter().enumerate() {
            for to in next {
                let (puts_out, accepts) = (self.nodes[from].ports().puts_out, self.nodes[*to].ports().accepts);
                if let (Some(puts_out), Some(accepts)) = (puts_out, accepts)
                    && !puts_out.intersects(accepts)
                {
                    let problem = format!("'{}' accepts {accepts}, '{}' before it puts out {puts_out}", self.names[*to], self.names[from]);
                    return Err(Error::config(format!("nodes.{to}"), problem));
                }
            }
        }
        Ok(())
    }

    /// Its nodes, in the order in which they were given.
    pub fn nodes(&self) -> &[Arc<dyn Node>] {
        &self.nodes
    }

    /// For each node, those that get what it puts out.
    pub(super) fn successors(&self) -> &[Vec<usize>] {
        &self.successors
    }

    /// Whether a node's packets leave the pipeline.
    pub(super) fn leaves(&self, index: usize) -> bool {
        self.outputs.contains(&index)
    }

    /// Those that follow none.
    pub(super) fn entries(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|index| !self.successors.iter().any(|next| next.contains(index))).collect()
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(Code::Closed, "the pipeline was cleaned up").in_node(&self.name));
        }
        Ok(())
    }

    /// Starts a stream's nodes between two lines. A node's failure is left in the scope.
    fn start(&self, scope: &StreamScope, input: Input, output: mpsc::Sender<Element>) -> Result<()> {
        self.check_open()?;
        let (mut writers, mut inputs): (Vec<_>, Vec<_>) = self.nodes.iter().map(|_| line(scope.buffer)).unzip();
        let entries = self.entries();
        // A single entry reads what comes in without a step between.
        let entry = match entries[..] {
            [only] => {
                inputs[only] = input;
                None
            }
            [] => Some((Output::to(output.clone()), input)),
            _ => Some((Output::new(entries.iter().map(|index| writers[*index].clone())), input)),
        };
        let several = self.outputs.len() > 1;
        for (index, node) in self.nodes.iter().enumerate().rev() {
            let Some(own) = inputs.pop() else { continue };
            let mut out = Output::new(self.successors[index].iter().map(|next| writers[*next].clone()));
            if self.leaves(index) {
                out.add(output.clone(), several.then(|| self.names[index].as_str()));
            }
            let work = Arc::clone(node).run(scope.clone(), own, out.clone());
            let (scope, name) = (scope.clone(), self.names[index].clone());
            remote::spawn(async move {
                tokio::select! {
                    biased;
                    () = scope.cancel.cancelled() => {}
                    result = work => if let Err(error) = result {
                        scope.failure.note(error.in_node(&name).in_session(scope.session.as_str()));
                    },
                }
                // Those behind see the end only after the failure can be seen.
                drop(out);
            })?;
        }
        writers.clear();
        let Some((out, mut input)) = entry else { return Ok(()) };
        let cancel = scope.cancel.clone();
        remote::spawn(async move {
            tokio::select! { () = cancel.cancelled() => {}, () = pass(&mut input, &out) => {} }
        })
        .map(drop)
    }

    /// Makes the nodes ready, if nobody did, and starts a stream's nodes between two lines.
    pub async fn connect(self: Arc<Self>, scope: &StreamScope, input: Input, output: mpsc::Sender<Element>) -> Result<()> {
        Arc::clone(&self).initialize().await?;
        self.start(scope, input, output)
    }
}

impl Node for Pipeline {
    fn name(&self) -> &str {
        &self.name
    }

    fn initialize(self: Arc<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            self.check_open()?;
            try_join_all(self.nodes.iter().map(|node| {
                let name = node.name().to_owned();
                let ready = Arc::clone(node).initialize();
                async move { ready.await.map_err(|error| error.in_node(&name)) }
            }))
            .await
            .map(drop)
        })
    }

    fn open(self: Arc<Self>, scope: &StreamScope) -> Result<Arc<dyn Items>> {
        self.check_open()?;
        let items = self.nodes.iter().map(|node| Arc::clone(node).open(scope)).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Stepwise::new(self, items)))
    }

    fn run(self: Arc<Self>, scope: StreamScope, input: Input, output: Output) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let (out, mut results) = line(scope.buffer);
            let failure = Arc::new(Failure::default());
            let scope = StreamScope { cancel: scope.cancel.child_token(), failure: Arc::clone(&failure), ..scope };
            let _stops = scope.cancel.clone().drop_guard();
            self.start(&scope, input, out)?;
            pass(&mut results, &output).await;
            failure.take().map_or(Ok(()), Err)
        })
    }

    fn close_session(&self, session: &SessionId) -> BoxFuture<'static, ()> {
        let closing: Vec<_> = self.nodes.iter().map(|node| node.close_session(session)).collect();
        Box::pin(async move { drop(futures_util::future::join_all(closing).await) })
    }

    fn metrics(&self) -> Map<String, Value> {
        let nodes: Vec<_> = self.nodes.iter().zip(&self.names).map(|(node, name)| json!({ "name": name, "metrics": node.metrics() })).collect();
        Map::from_iter([("name".to_owned(), Value::from(self.name.as_str())), ("nodes".to_owned(), Value::from(nodes))])
    }

    fn cleanup(&self) -> BoxFuture<'static, ()> {
        self.closed.store(true, Ordering::Release);
        let ending: Vec<_> = self.nodes.iter().map(|node| node.cleanup()).collect();
        Box::pin(async move { drop(futures_util::future::join_all(ending).await) })
    }
}

/// From one line into others, until either side ends.
async fn pass(input: &mut Input, output: &Output) {
    while let Some(element) = input.next().await {
        if output.put(element).await.is_err() {
            break;
        }
    }
}
