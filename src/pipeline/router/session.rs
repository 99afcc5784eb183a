//! One session's items behind a router: both sides' sessions, opened when they are first needed, and the start of each item.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::batch::BatchLine;
use super::{Judge, Router, attempt, hybrid};
use crate::data::{Packet, Trace, Value};
use crate::error::{Code, Error, Result};
use crate::observe::trace::{self, SpanKind};
use crate::pipeline::node::{Items, Node, OnError, StreamScope};
use crate::pipeline::task::{Turns, tasked};
use crate::routing::{self, Route, Target};

/// What the router's stream is, to those who give it items.
pub struct RouterItems {
    session: Arc<Session>,
    /// Where the application judges items, they begin in the order in which they came, not in that of the judgements.
    turns: Turns,
}

/// Both sides of one session.
pub struct Session {
    pub router: Arc<Router>,
    pub scope: StreamScope,
    sides: [OnceLock<Arc<dyn Items>>; 2],
    preprocess: OnceLock<Arc<dyn Items>>,
    postprocess: OnceLock<Arc<dyn Items>>,
    batches: OnceLock<BatchLine>,
}

impl RouterItems {
    /// A session that has begun nothing on either side.
    pub fn open(router: Arc<Router>, scope: &StreamScope) -> Arc<dyn Items> {
        let session = Session {
            router,
            // A failure is an item's, whatever the stream does with those that both sides have failed.
            scope: StreamScope { cancel: scope.cancel.child_token(), on_error: OnError::Skip, ..scope.clone() },
            sides: Default::default(),
            preprocess: OnceLock::new(),
            postprocess: OnceLock::new(),
            batches: OnceLock::new(),
        };
        Arc::new(Self { session: Arc::new(session), turns: Turns::default() })
    }
}

fn opened(cell: &OnceLock<Arc<dyn Items>>, node: &Arc<dyn Node>, scope: &StreamScope) -> Result<Arc<dyn Items>> {
    if let Some(items) = cell.get() {
        return Ok(Arc::clone(items));
    }
    let items = Arc::clone(node).open(scope).map_err(|error| error.in_node(node.name()))?;
    Ok(Arc::clone(cell.get_or_init(|| items)))
}

impl Session {
    /// A side's items.
    pub fn side(&self, target: Target) -> Result<Arc<dyn Items>> {
        opened(&self.sides[target as usize], self.router.node(target), &self.scope)
    }

    /// Those of the node before the cloud, where there is one.
    pub fn preprocess(&self) -> Option<Result<Arc<dyn Items>>> {
        self.router.parts.preprocess.as_ref().map(|node| opened(&self.preprocess, node, &self.scope))
    }

    /// Those of the node after the cloud, where there is one.
    pub fn postprocess(&self) -> Option<Result<Arc<dyn Items>>> {
        self.router.parts.postprocess.as_ref().map(|node| opened(&self.postprocess, node, &self.scope))
    }

    /// The line in which items wait to travel together, where they do.
    pub fn batches(&self) -> Option<Result<&BatchLine>> {
        let options = self.router.config.batch()?;
        Some(
            self.side(Target::Cloud)
                .map(|items| self.batches.get_or_init(|| BatchLine::new(items, options, Arc::clone(&self.router.figures.batches)))),
        )
    }

    /// Decides for an item and begins it.
    fn start(self: &Arc<Self>, mut packet: Packet, complexity: Option<f64>, deadline: Option<Instant>) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let remaining_ms = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs_f64() * 1e3);
        let item = routing::Item { bytes: packet.bytes.len() as u64, complexity, remaining_ms };
        let decision = self.router.begin(&item, &packet, &self.scope.session);
        let span = trace::child(packet.trace.as_ref().map(|trace| trace.context()), "route", SpanKind::Internal);
        if let Some(span) = &span {
            span.set("remotemedia.node", self.router.parts.name.clone());
            span.set("remotemedia.route.target", decision.route.name());
            span.set("remotemedia.route.reason", decision.reason.name());
            span.set("remotemedia.route.explanation", decision.reason.to_string());
            packet.trace = Some(Arc::clone(span) as Trace);
        }
        let run = attempt::Run { session: Arc::clone(self), packet, item, decision, deadline, span };
        // In a task of its own: its timers and its clock must not depend on when its answer is looked at.
        tasked(match decision.route {
            Route::Edge => run.begin_at(Target::Edge),
            Route::Cloud => run.begin_at(Target::Cloud),
            Route::Hybrid => hybrid::begin(run),
        })
    }

    fn opened_items(&self) -> impl Iterator<Item = &Arc<dyn Items>> {
        self.sides.iter().chain([&self.preprocess, &self.postprocess]).filter_map(OnceLock::get)
    }
}

/// The application's judgement of an item's complexity.
async fn complexity(judge: Arc<dyn Judge>, packet: Packet, session: &StreamScope) -> Result<Option<f64>> {
    let said = judge.judge(packet, &session.session).await?;
    match said.as_f64() {
        Some(number) if (0.0..=1.0).contains(&number) => Ok(Some(number)),
        None if said == Value::Null => Ok(None),
        _ => Err(Error::new(Code::NodeFailed, format!("complexity must give a number from 0 to 1, it gave {said}"))),
    }
}

impl Items for RouterItems {
    fn submit(&self, packet: Packet, timeout: Option<Duration>) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let session = &self.session;
        let deadline = timeout.or(session.scope.timeout).map(|timeout| Instant::now() + timeout);
        let Some(judge) = session.router.parts.complexity.clone() else {
            return session.start(packet, session.router.config.complexity(), deadline);
        };
        let mut turn = self.turns.take();
        let session = Arc::clone(session);
        // In a task of its own, so that the next item is judged while this one runs.
        tasked(async move {
            let judged = complexity(judge, packet.clone(), &session.scope).await;
            turn.come().await;
            let begun = judged.map(|complexity| session.start(packet, complexity, deadline));
            drop(turn);
            begun?.await
        })
    }

    fn flush(&self, inputs: u64) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let session = Arc::clone(&self.session);
        Box::pin(async move {
            let mut rest = Vec::new();
            for (target, cell) in [Target::Edge, Target::Cloud].into_iter().zip(&session.sides) {
                let Some(items) = cell.get() else { continue };
                match items.flush(inputs).await {
                    Ok(packets) => rest.extend(packets),
                    // What a side holds is its own; the other cannot put it out.
                    Err(error) => return Err(error.in_node(session.router.node(target).name())),
                }
            }
            for stage in [&session.preprocess, &session.postprocess] {
                if let Some(items) = stage.get() {
                    rest.extend(items.flush(inputs).await?);
                }
            }
            Ok(rest)
        })
    }

    fn cancel(&self) {
        for items in self.session.opened_items() {
            items.cancel();
        }
        self.session.scope.cancel.cancel();
    }
}

impl Drop for RouterItems {
    fn drop(&mut self) {
        self.session.scope.cancel.cancel();
    }
}
