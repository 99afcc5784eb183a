//! One item on one side, and on the other when that fails.
//!
//! Problem: a side may refuse, fail, be slow or be full; the item has a deadline that the second try must fit into; whoever loses a race must
//! stop; and everything that happened must be learned from exactly once. Answer: an [`Attempt`] is a side's answer together with its place
//! there and a [`Report`] that is given when it ends, however it ends. [`Run`] makes one attempt, hedges it where that is allowed, and makes
//! another on the other side if it fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, ready};
use serde_json::{Map, json};
use tokio::time::{sleep, sleep_until};

use super::Router;
use super::events::Event;
use super::session::Session;
use crate::data::{Packet, Value};
use crate::error::{Code, Error, Result};
use crate::observe::trace::Span;
use crate::routing::{Admission, Decision, Item, Outcome, Target, Verdict};

/// Share of the time left that a second try on the other side is sure to have.
const RESERVE: f64 = 0.25;
/// A node is told its time and keeps to it; one that does not is left this much later.
const GRACE: Duration = Duration::from_millis(20);

/// An item, what was decided for it, and when it must be answered.
pub struct Run {
    pub session: Arc<Session>,
    pub packet: Packet,
    pub item: Item,
    pub decision: Decision,
    pub deadline: Option<Instant>,
    /// Its way through the router, where that is recorded; the packet's own trace is part of it.
    pub span: Option<Arc<Span>>,
}

/// What an attempt came to.
pub struct Answered {
    pub packets: Vec<Packet>,
    /// Time in a batch's line.
    pub queued: Duration,
    /// Items that travelled together.
    pub batch: u32,
}

/// What is said about the way of an item, `packet.route` in JavaScript.
#[derive(Default)]
pub struct Trail {
    pub attempts: u32,
    pub fallback: bool,
    pub hedged: bool,
    times: [Option<Duration>; 2],
}

impl Trail {
    /// Adds time that was spent on a side.
    pub fn spent(&mut self, target: Target, took: Duration) {
        *self.times[target as usize].get_or_insert_default() += took;
    }

    /// Writes it on the packets.
    pub fn mark(&self, target: &str, decision: &Decision, mut packets: Vec<Packet>) -> Vec<Packet> {
        let mut route = Map::new();
        route.insert("target".to_owned(), target.into());
        route.insert("reason".to_owned(), decision.reason.to_string().into());
        route.insert("fallback".to_owned(), self.fallback.into());
        route.insert("attempts".to_owned(), self.attempts.into());
        for (name, took) in ["edgeMs", "cloudMs"].into_iter().zip(self.times) {
            if let Some(took) = took {
                route.insert(name.to_owned(), json!(took.as_secs_f64() * 1e3));
            }
        }
        if self.hedged {
            route.insert("hedged".to_owned(), true.into());
        }
        let route = Arc::new(Value::Object(route));
        for packet in &mut packets {
            packet.route = Some(Arc::clone(&route));
        }
        packets
    }
}

/// Tells the policy what came of an attempt; one that is dropped unanswered was cancelled.
pub struct Report {
    router: Arc<Router>,
    target: Target,
    item: Item,
    started: Instant,
    /// Items that were on the side before it.
    ahead: u32,
    /// How long the other side was expected to take, where anything is known of it.
    other_ms: Option<f64>,
    told: bool,
}

impl Report {
    fn tell(&mut self, result: Verdict, queued: Duration, batch: u32) -> Duration {
        let took = self.started.elapsed();
        if !std::mem::replace(&mut self.told, true) {
            if let Some(other_ms) = self.other_ms.filter(|_| result != Verdict::Cancelled) {
                self.router.figures.judged(result == Verdict::Ok && took.as_secs_f64() * 1e3 <= other_ms);
            }
            self.router.record(&Outcome {
                target: self.target,
                bytes: self.item.bytes,
                complexity: self.item.complexity,
                latency_ms: took.as_secs_f64() * 1e3,
                queue_ms: queued.as_secs_f64() * 1e3,
                result,
                batch,
                ahead: self.ahead,
            });
        }
        took
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.tell(Verdict::Cancelled, Duration::ZERO, 1);
    }
}

/// A side at work on an item.
pub struct Attempt {
    pub target: Target,
    answer: BoxFuture<'static, Result<Answered>>,
    report: Option<Report>,
    /// When it is given up, with what it was told itself.
    limit: Option<Duration>,
}

/// What a failure says about the side: nothing, where it is the item's own.
fn verdict(error: &Error) -> Verdict {
    match error.code() {
        Code::Guest | Code::Serialization | Code::OutputTooLarge | Code::Config | Code::PoolExhausted | Code::BreakerOpen => Verdict::Rejected,
        Code::Deadline | Code::WasmTimeout => Verdict::TimedOut,
        Code::Aborted => Verdict::Cancelled,
        // gRPC's INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, OUT_OF_RANGE.
        Code::Remote if matches!(error.remote().and_then(|remote| remote.grpc_code), Some(3 | 5 | 9 | 11)) => Verdict::Rejected,
        Code::Remote if error.remote().and_then(|remote| remote.category.as_deref()) == Some("VALIDATION") => Verdict::Rejected,
        _ => Verdict::Failed,
    }
}

impl Run {
    /// Begins at a side; the other is there for its failure.
    pub fn begin_at(self, target: Target) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let limit = self.patience(target);
        let first = self.attempt(target, self.packet.clone(), limit);
        Box::pin(async move {
            let mut trail = Trail::default();
            let answer = match self.race(first, &mut trail).await {
                Ok(answered) => Ok((target, answered)),
                Err(error) => self.fall_back(target.other(), error, &mut trail).await.map(|answered| (target.other(), answered)),
            };
            self.done(&trail, answer.map(|(target, answered)| trail.mark(target.name(), &self.decision, answered.packets)))
        })
    }

    /// Counts an item's end.
    pub fn done(&self, trail: &Trail, answer: Result<Vec<Packet>>) -> Result<Vec<Packet>> {
        if let Err(error) = &answer {
            self.session.router.figures.errors.add(1);
            self.packet.trace.as_ref().inspect(|trace| trace.failed(error));
        }
        if let Some(span) = &self.span {
            span.set("remotemedia.route.attempts", trail.attempts);
            span.set("remotemedia.route.fallback", trail.fallback);
            span.set("remotemedia.route.hedged", trail.hedged);
            // Whoever lost a race may hold it for a while.
            span.end();
        }
        answer
    }

    /// Time that is left.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// How long a side may take before the other is tried.
    fn patience(&self, target: Target) -> Option<Duration> {
        let config = &self.session.router.config;
        let remaining = self.remaining();
        if !config.falls_back() {
            return remaining;
        }
        let other = match target {
            Target::Edge => &self.decision.predicted.cloud,
            Target::Cloud => &self.decision.predicted.edge,
        };
        let shared = remaining.map(|remaining| {
            let wanted = Duration::from_secs_f64((other.latency_ms * 2.0 / 1e3).clamp(0.0, 3_600.0)).max(remaining.mul_f64(RESERVE));
            remaining.saturating_sub(wanted.min(remaining.mul_f64(0.5)))
        });
        let after = config.fallback_after().or_else(|| self.session.router.policy.lock().patience(target));
        match (after, shared) {
            (Some(after), Some(shared)) => Some(after.min(shared)),
            (after, shared) => after.or(shared),
        }
    }

    /// Begins a side's work on `packet`.
    pub fn attempt(&self, target: Target, mut packet: Packet, limit: Option<Duration>) -> Attempt {
        // What the node before the cloud made of it has none.
        packet.trace.clone_from(&self.packet.trace);
        let router = &self.session.router;
        let item = Item { bytes: packet.bytes.len() as u64, ..self.item };
        let refused = |error: Error, report: Option<Report>| Attempt { target, answer: Box::pin(ready(Err(error))), report, limit };
        let admission = router.policy.lock().admit(target, router.now());
        if let Admission::Refused { retry_in } = admission {
            let text = format!("the circuit breaker of the {} is open for another {} ms", target.name(), retry_in.as_millis());
            return refused(Error::new(Code::BreakerOpen, text).in_node(router.node(target).name()), None);
        }
        let ahead = router.gate(target).in_flight();
        let other = match target {
            Target::Edge => &self.decision.predicted.cloud,
            Target::Cloud => &self.decision.predicted.edge,
        };
        let other_ms = (other.samples > 0.0).then_some(other.latency_ms);
        let report = Report { router: Arc::clone(router), target, item, started: Instant::now(), ahead, other_ms, told: false };
        if target == Target::Cloud
            && let Some(line) = self.session.batches()
        {
            return match line {
                Ok(line) => Attempt { target, answer: line.submit(packet, limit), report: Some(report), limit },
                Err(error) => refused(error, Some(report)),
            };
        }
        let items = match self.session.side(target) {
            Ok(items) => items,
            Err(error) => return refused(error, Some(report)),
        };
        let alone = |packets| Answered { packets, queued: Duration::ZERO, batch: 1 };
        let answer: BoxFuture<'static, Result<Answered>> = match router.gate(target).try_enter() {
            Some(place) => {
                let work = items.submit(packet, limit);
                Box::pin(async move {
                    let _place = place;
                    work.await.map(alone)
                })
            }
            None => {
                let router = Arc::clone(router);
                Box::pin(async move {
                    let Some(_place) = router.gate(target).enter().await else {
                        router.figures.shed.add(1);
                        let text = format!("the {} has all the items that it may have, and as many wait as may", target.name());
                        return Err(Error::new(Code::PoolExhausted, text).in_node(router.node(target).name()));
                    };
                    items.submit(packet, limit).await.map(alone)
                })
            }
        };
        Attempt { target, answer, report: Some(report), limit }
    }

    /// Waits for an attempt, and for a second one beside it where the policy has that hedged.
    pub async fn race(&self, first: Attempt, trail: &mut Trail) -> Result<Answered> {
        let target = first.target;
        let router = &self.session.router;
        let hedge_after = if target == Target::Cloud { router.policy.lock().hedge_after(target) } else { None };
        let Some(delay) = hedge_after else { return first.finish(trail).await };
        let mut first = Box::pin(first.alone());
        let early = tokio::select! {
            biased;
            (answer, took) = &mut first => Some((answer, took)),
            () = sleep(delay) => None,
        };
        if let Some((answer, took)) = early {
            trail.attempts += 1;
            trail.spent(target, took);
            return answer;
        }
        let may = router.policy.lock().may_hedge();
        if !may {
            let (answer, took) = first.await;
            trail.attempts += 1;
            trail.spent(target, took);
            return answer;
        }
        router.figures.hedges.add(1);
        trail.attempts += 2;
        trail.hedged = true;
        let started = Instant::now();
        let mut second = Box::pin(self.attempt(target, self.packet.clone(), self.remaining()).alone());
        // The first to succeed; a failure waits for the other's answer.
        let answer = tokio::select! {
            (answer, _) = &mut first => if answer.is_ok() { answer } else { second.await.0 },
            (answer, _) = &mut second => if answer.is_ok() {
                router.figures.hedges_won.add(1);
                // Left out, the percentile that hedges wait for would sink with every one that wins.
                router.policy.lock().outrun(target, (delay + started.elapsed()).as_secs_f64() * 1e3);
                answer
            } else {
                first.await.0
            },
        };
        trail.spent(target, delay + started.elapsed());
        answer
    }

    /// The other side after a failure, if it may still be tried.
    pub async fn fall_back(&self, target: Target, failure: Error, trail: &mut Trail) -> Result<Answered> {
        let router = &self.session.router;
        let over = self.session.scope.cancel.is_cancelled() || failure.code() == Code::Aborted;
        let late = self.remaining().is_some_and(|remaining| remaining.is_zero());
        if over || late || !router.config.falls_back() || (target == Target::Cloud && !router.policy.lock().may_retry()) {
            return Err(failure);
        }
        router.figures.fallbacks.add(1);
        trail.fallback = true;
        router.tell(|| Event::fallback(target.other(), target, Some(&failure), &self.packet, &self.session.scope.session));
        let second = self.attempt(target, self.packet.clone(), self.remaining());
        // Both failed: the last failure is told, the first is its cause.
        self.race(second, trail).await.map_err(|error| match error.code() {
            Code::BreakerOpen => failure,
            // What caused it is nearer than what failed before it.
            _ if std::error::Error::source(&error).is_some() => error,
            _ => error.because(failure),
        })
    }
}

impl Attempt {
    /// Waits for it, and notes its time.
    pub async fn finish(self, trail: &mut Trail) -> Result<Answered> {
        let target = self.target;
        let (answer, took) = self.alone().await;
        trail.attempts += 1;
        trail.spent(target, took);
        answer
    }

    /// Waits for it; how long it took.
    async fn alone(self) -> (Result<Answered>, Duration) {
        let Self { target, answer, report, limit } = self;
        let Some(mut report) = report else { return (answer.await, Duration::ZERO) };
        let last = limit.map(|limit| report.started + limit + GRACE);
        let answer = match last {
            None => answer.await,
            Some(last) => tokio::select! {
                biased;
                answer = answer => answer,
                () = sleep_until(last.into()) => {
                    let text = format!("the {} did not answer within {} ms", target.name(), limit.unwrap_or_default().as_millis());
                    Err(Error::new(Code::Deadline, text).in_node(report.router.node(target).name()))
                }
            },
        };
        let answer = answer.map_err(|error| error.in_node(report.router.node(target).name()));
        let took = match &answer {
            Ok(answered) => report.tell(Verdict::Ok, answered.queued, answered.batch),
            Err(error) => report.tell(verdict(error), Duration::ZERO, 1),
        };
        (answer, took)
    }
}
