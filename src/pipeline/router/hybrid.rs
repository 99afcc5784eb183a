//! Items that both sides have a part in.
//!
//! Either the edge answers and the cloud is asked only where that answer is unsure ([`Escalate`]), or the item is prepared here, processed in
//! the cloud and finished here. Where the cloud fails, the edge's answer stands; without one, the edge is asked.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;

use super::attempt::{Run, Trail};
use super::events::Event;
use super::{Judge, Router};
use crate::data::{Kind, Packet, Value};
use crate::error::{Code, Error, Result};
use crate::pipeline::node::Items;
use crate::routing::Target;

/// When an answer of the edge is unsure.
pub enum Escalate {
    /// When a number in it lies between two others.
    Confidence(Confidence),
    /// When the application says so.
    Judge(Arc<dyn Judge>),
}

/// A number in an answer, and between which limits it means that the answer is unsure.
#[derive(Clone, Debug)]
pub struct Confidence {
    /// Dotted path in the metadata or in the JSON payload.
    pub path: String,
    /// Surely not below this.
    pub low: f64,
    /// Surely so above this.
    pub high: f64,
}

impl Confidence {
    /// Whether the answer is unsure; one that does not say is.
    fn is_unsure(&self, packet: &Packet) -> bool {
        let found = |value: &Value| self.path.split('.').try_fold(value, |value, key| value.get(key)).and_then(Value::as_f64);
        let from_metadata = packet.metadata.as_ref().and_then(|map| {
            let mut keys = self.path.split('.');
            let first = map.get(keys.next()?)?;
            keys.try_fold(first, |value, key| value.get(key)).and_then(Value::as_f64)
        });
        let from_payload =
            || (packet.kind() == Kind::Json).then(|| serde_json::from_slice::<Value>(&packet.bytes).ok()).flatten().and_then(|value| found(&value));
        from_metadata.or_else(from_payload).is_none_or(|number| number > self.low && number < self.high)
    }
}

impl Escalate {
    async fn is_unsure(&self, answers: &[Packet], run: &Run) -> Result<bool> {
        match self {
            Escalate::Confidence(confidence) => Ok(answers.iter().any(|packet| confidence.is_unsure(packet))),
            Escalate::Judge(judge) => {
                for packet in answers {
                    match judge.judge(packet.clone(), &run.session.scope.session).await? {
                        Value::Bool(true) => return Ok(true),
                        Value::Bool(false) => {}
                        other => return Err(Error::new(Code::NodeFailed, format!("escalate must give true or false, it gave {other}"))),
                    }
                }
                Ok(false)
            }
        }
    }
}

/// Begins an item.
pub fn begin(run: Run) -> BoxFuture<'static, Result<Vec<Packet>>> {
    let router = Arc::clone(&run.session.router);
    if router.parts.escalate.is_some() {
        let edge = run.attempt(Target::Edge, run.packet.clone(), run.remaining());
        return Box::pin(async move {
            let mut trail = Trail::default();
            let answer = escalated(&run, &router, run.race(edge, &mut trail).await.map(|answered| answered.packets), &mut trail).await;
            run.done(&trail, answer)
        });
    }
    let prepared = prepare(&run);
    Box::pin(async move {
        let mut trail = Trail::default();
        let answer = split(&run, &router, prepared, &mut trail).await;
        run.done(&trail, answer)
    })
}

async fn escalated(run: &Run, router: &Router, edge: Result<Vec<Packet>>, trail: &mut Trail) -> Result<Vec<Packet>> {
    let Some(escalate) = &router.parts.escalate else { return edge };
    let answers = match edge {
        Ok(answers) => answers,
        Err(error) => return run.fall_back(Target::Cloud, error, trail).await.map(|answered| trail.mark("cloud", &run.decision, answered.packets)),
    };
    if !escalate.is_unsure(&answers, run).await? {
        return Ok(trail.mark("edge", &run.decision, answers));
    }
    router.figures.escalations.add(1);
    let prepared = run.session.preprocess().map(|items| items.map(|items| items.submit(run.packet.clone(), run.remaining())));
    match through_cloud(run, prepared, trail).await {
        Ok(packets) => Ok(trail.mark("cloud", &run.decision, packets)),
        Err(error) if error.code() == Code::Aborted => Err(error),
        Err(error) => Ok(stand_in(run, router, answers, &error, trail)),
    }
}

type Prepared = Option<Result<BoxFuture<'static, Result<Vec<Packet>>>>>;

/// Begins what happens before the cloud: the node for it, or the edge itself where there is neither a node before nor one after.
fn prepare(run: &Run) -> Prepared {
    let items = match run.session.preprocess() {
        None if edge_prepares(&run.session.router) => Some(run.session.side(Target::Edge)),
        other => other,
    };
    items.map(|items: Result<Arc<dyn Items>>| items.map(|items| items.submit(run.packet.clone(), run.remaining())))
}

/// Whether the edge itself prepares items.
fn edge_prepares(router: &Router) -> bool {
    router.parts.preprocess.is_none() && router.parts.postprocess.is_none()
}

async fn split(run: &Run, router: &Router, prepared: Prepared, trail: &mut Trail) -> Result<Vec<Packet>> {
    if edge_prepares(router) {
        let started = Instant::now();
        let answers = match prepared {
            Some(Ok(work)) => work.await,
            Some(Err(error)) => Err(error),
            None => Ok(vec![run.packet.clone()]),
        };
        trail.spent(Target::Edge, started.elapsed());
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                return run.fall_back(Target::Cloud, error, trail).await.map(|answered| trail.mark("cloud", &run.decision, answered.packets));
            }
        };
        return match in_cloud(run, answers.clone(), trail).await {
            Ok(packets) => Ok(trail.mark("hybrid", &run.decision, packets)),
            Err(error) if error.code() == Code::Aborted || !router.config.falls_back() => Err(error),
            Err(error) => Ok(stand_in(run, router, answers, &error, trail)),
        };
    }
    match through_cloud(run, prepared, trail).await {
        Ok(packets) => Ok(trail.mark("hybrid", &run.decision, packets)),
        Err(error) => run.fall_back(Target::Edge, error, trail).await.map(|answered| trail.mark("edge", &run.decision, answered.packets)),
    }
}

/// The edge's answer in place of the cloud's.
fn stand_in(run: &Run, router: &Router, answers: Vec<Packet>, error: &Error, trail: &mut Trail) -> Vec<Packet> {
    router.figures.fallbacks.add(1);
    trail.fallback = true;
    router.tell(|| Event::fallback(Target::Cloud, Target::Edge, Some(error), &run.packet, &run.session.scope.session));
    trail.mark("edge", &run.decision, answers)
}

/// Before, in and after the cloud.
async fn through_cloud(run: &Run, prepared: Prepared, trail: &mut Trail) -> Result<Vec<Packet>> {
    let started = Instant::now();
    let packets = match prepared {
        None => vec![run.packet.clone()],
        Some(work) => {
            let packets = work?.await?;
            trail.spent(Target::Edge, started.elapsed());
            packets
        }
    };
    let answers = in_cloud(run, packets, trail).await?;
    let Some(after) = run.session.postprocess() else { return Ok(answers) };
    let (after, started) = (after?, Instant::now());
    let mut finished = Vec::new();
    for answer in answers {
        let answer = Packet { trace: run.packet.trace.clone(), ..answer };
        finished.extend(after.submit(answer, run.remaining()).await?);
    }
    trail.spent(Target::Edge, started.elapsed());
    Ok(finished)
}

async fn in_cloud(run: &Run, packets: Vec<Packet>, trail: &mut Trail) -> Result<Vec<Packet>> {
    let mut answers = Vec::new();
    for packet in packets {
        let attempt = run.attempt(Target::Cloud, packet, run.remaining());
        answers.extend(run.race(attempt, trail).await?.packets);
    }
    Ok(answers)
}
