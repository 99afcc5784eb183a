//! A session's turn on a guest thread: its jobs, one after the other.
//!
//! Problem: a job may find its stream cancelled, its node ending, its instance not made yet or lost to the job before, and in each case its
//! asker must be told exactly once. Answer: [`Session::work`] does one job from the first of these questions to the reply; the turn is a
//! loop around it that stops for others. Which job is next is the line's business, in `mod.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Session, aborted, cleaned_up};
use crate::data::{Packet, SessionId, Trace, Traced};
use crate::engine::bridge::Answers;
use crate::engine::config::{Mode, RunMode};
use crate::engine::exit;
use crate::engine::instance::{Compiled, Limits};
use crate::engine::job::{Job, Reply, StreamShared};
use crate::engine::pool::{Held, Taken};
use crate::engine::worker::{self, Runnable};
use crate::error::{Code, Error, Result};
use crate::observe::trace::{self, Span, SpanKind};

/// Items that a session does before it lets others have the thread.
const TURN_ITEMS: usize = 32;
/// Longest that a session keeps the thread while others wait.
const TURN_TIME: Duration = Duration::from_millis(2);

impl Runnable for Session {
    fn run(self: Arc<Self>) {
        let mut held = self.held.lock();
        let started = Instant::now();
        // One clock reading an item: the end of one is the start of the next.
        let mut now = started;
        loop {
            let mut turn = VecDeque::new();
            {
                let mut line = self.line.lock();
                let count = line.jobs.len().min(TURN_ITEMS);
                if count == 0 {
                    line.scheduled = false;
                    return;
                }
                turn.extend(line.jobs.drain(..count));
            }
            while let Some(job) = turn.pop_front() {
                if exit::is_closed() {
                    return;
                }
                if let Job::Item { stream, .. } | Job::Flush { stream, .. } = &job {
                    *self.running.lock() = Some(Arc::clone(stream));
                }
                if let Some(held) = held.as_mut() {
                    self.move_if_compiled(held);
                }
                match self.work(&mut held, job, now) {
                    Ok(ended) => now = ended,
                    Err(job) => {
                        // In line for an instance: still scheduled, the pool queues the session again.
                        turn.push_front(*job);
                        return self.put_back(turn);
                    }
                }
                if now - started > TURN_TIME && worker::contended() {
                    break;
                }
            }
            *self.running.lock() = None;
            self.put_back(turn);
            if worker::contended() {
                drop(held);
                return worker::submit(self);
            }
        }
    }
}

impl Session {
    /// Jobs that this turn did not come to are first in line again.
    fn put_back(&self, turn: VecDeque<Job>) {
        if !turn.is_empty() {
            let mut line = self.line.lock();
            for job in turn.into_iter().rev() {
                line.jobs.push_front(job);
            }
        }
    }

    /// Does one job that begins `now`, and tells when it ended. Gives it back when the session was put in line for an instance.
    fn work(self: &Arc<Self>, held: &mut Option<Held>, job: Job, now: Instant) -> std::result::Result<Instant, Box<Job>> {
        let (stream, is_flush) = match &job {
            Job::Close { .. } | Job::Rest => {
                self.end(held, job);
                return Ok(now);
            }
            Job::Item { stream, .. } => (Arc::clone(stream), false),
            Job::Flush { stream, .. } => (Arc::clone(stream), true),
        };
        let cancelled = stream.cancel.is_cancelled();
        // Read second: it was set before anything was cancelled for it.
        let stopping = self.stopping.load(Ordering::SeqCst);
        if stopping || cancelled {
            self.metrics.queued.sub(1);
            self.finish(now);
            self.turn_away(job, || self.name(if stopping { cleaned_up() } else { aborted() }));
            return Ok(now);
        }
        if stream.failed.load(Ordering::Acquire) {
            self.metrics.queued.sub(1);
            self.finish(now);
            self.turn_away(job, || self.name(Error::new(Code::Closed, "an earlier item of the stream failed")));
            return Ok(now);
        }
        let timeout = stream.timeout.unwrap_or(self.config.timeout);
        let limits = Limits { deadline: now + timeout, timeout, cancel: Some(&stream.cancel) };
        if held.is_none() && is_flush && !self.bridge.as_ref().is_some_and(|bridge| bridge.has_streams()) {
            // Nothing was ever given to a guest, so it holds nothing.
            self.metrics.queued.sub(1);
            self.finish(now);
            job.answer(Ok(Vec::new()));
            return Ok(now);
        }
        // What the streams of a lost guest answered is due without another guest.
        let fresh = held.is_none() && !is_flush;
        if fresh {
            match self.begin(limits) {
                Ok(Some(begun)) => *held = Some(begun),
                Ok(None) => return Err(Box::new(job)),
                Err(error) => {
                    self.metrics.queued.sub(1);
                    self.finish(now);
                    stream.note_failure();
                    self.turn_away(job, || self.name(error));
                    return Ok(now);
                }
            }
        }
        self.metrics.queued.sub(1);
        // Making an instance took its own time; the item has all of its.
        let started = if fresh { Instant::now() } else { now };
        let limits = Limits { deadline: started + timeout, ..limits };
        let (result, reply) = self.perform(held, job, limits);
        let ended = Instant::now();
        self.metrics.exec.add(ended - started);
        self.settle(held, &stream, result, reply, ended);
        Ok(ended)
    }

    fn perform(&self, held: &mut Option<Held>, job: Job, limits: Limits<'_>) -> (Result<Vec<Packet>>, Option<Reply>) {
        match job {
            Job::Item { mut packet, session, reply, .. } => {
                let span = self.span(&mut packet, session.as_ref());
                let gone = || Error::new(Code::Internal, "the instance is gone");
                let outputs = held.as_mut().ok_or_else(gone).and_then(Held::instance).and_then(|instance| {
                    self.metrics.items.add(1);
                    self.metrics.input_bytes.add(packet.bytes.len() as u64);
                    self.metrics.call(instance.mode().name());
                    if let Some(session) = &session {
                        instance.set_session(session);
                    }
                    span.as_ref().inspect(|span| span.set("remotemedia.mode", instance.mode().name()));
                    instance.process(&packet, limits)
                });
                if let (Some(span), Err(error)) = (&span, &outputs) {
                    span.failed(error);
                }
                (self.with_answers(outputs, packet.sequence, Answers::Arrived, limits), Some(reply))
            }
            Job::Flush { inputs, reply, .. } => {
                let outputs = match held {
                    Some(held) => held.instance().and_then(|instance| instance.flush(inputs, limits)),
                    None => Ok(Vec::new()),
                };
                (self.with_answers(outputs, inputs, Answers::Rest, limits), Some(reply))
            }
            Job::Close { .. } | Job::Rest => (Ok(Vec::new()), None),
        }
    }

    /// What running an item is in its trace; calls of the guest are parts of it.
    fn span(&self, packet: &mut Packet, session: Option<&SessionId>) -> Option<Arc<Span>> {
        let parent = packet.trace.as_ref()?;
        let span = trace::child(Some(parent.context()), "edge", SpanKind::Internal)?;
        span.set("remotemedia.node", Arc::clone(&self.config.label));
        span.set("session.id", session.unwrap_or(&self.id).shared());
        packet.trace = Some(Arc::clone(&span) as Trace);
        Some(span)
    }

    /// Puts what the session's remote streams answered behind the guest's own outputs.
    fn with_answers(&self, outputs: Result<Vec<Packet>>, sequence: u64, answers: Answers, limits: Limits<'_>) -> Result<Vec<Packet>> {
        match &self.bridge {
            Some(bridge) => bridge.collect(outputs?, sequence, answers, limits, self.config.max_output_bytes),
            None => outputs,
        }
    }

    fn settle(&self, held: &mut Option<Held>, stream: &StreamShared, result: Result<Vec<Packet>>, reply: Option<Reply>, now: Instant) {
        let lost = held.as_mut().is_some_and(|held| held.instance().is_ok_and(|instance| instance.is_dead()));
        if let Some(held) = held {
            held.note_memory();
        }
        if lost {
            self.metrics.instances_lost.add(1);
            *held = None;
        }
        let result = result.map_err(|error| {
            stream.note_failure();
            // A call that the cleanup cut off was not aborted by its caller.
            let error = if error.code() == Code::Aborted && self.stopping.load(Ordering::Acquire) { cleaned_up() } else { error };
            let error = self.name(error);
            let error = if lost && !self.config.stateless { error.state_lost() } else { error };
            self.metrics.error(error.code());
            error
        });
        if let Ok(outputs) = &result {
            self.metrics.outputs.add(outputs.len() as u64);
            self.metrics.output_bytes.add(outputs.iter().map(|output| output.bytes.len() as u64).sum());
        }
        self.finish(now);
        if let Some(reply) = reply {
            reply(result);
        }
    }

    /// Takes an instance and begins the session in it; `None` when the session now waits for one.
    fn begin(self: &Arc<Self>, limits: Limits<'_>) -> Result<Option<Held>> {
        let asker: Arc<dyn Runnable> = Arc::clone(self) as _;
        let mut held = match self.pool.take(&asker, limits)? {
            Taken::Held(held) => *held,
            Taken::InLine => return Ok(None),
        };
        held.instance()?.begin_session(&self.id, self.bridge.as_ref(), limits)?;
        Ok(Some(held))
    }

    /// Moves a guest that is still interpreted to compiled code, between two items.
    fn move_if_compiled(&self, held: &mut Held) {
        if self.config.mode != Mode::Auto || self.stays.load(Ordering::Relaxed) {
            return;
        }
        let interpreted = held.instance().is_ok_and(|instance| instance.mode() == RunMode::Interpreter);
        if !interpreted {
            self.stays.store(true, Ordering::Relaxed);
            return;
        }
        let code = self.pool.code();
        if matches!(code, Compiled::Interpreter(..)) {
            return;
        }
        if held.move_to(&code) {
            self.metrics.instances_moved.add(1);
        } else {
            tracing::debug!(target: "engine", node = self.config.name, session = %self.id, "the guest stays interpreted: its state cannot be copied");
        }
        self.stays.store(true, Ordering::Relaxed);
    }

    fn end(&self, held: &mut Option<Held>, job: Job) {
        if let Some(mut held) = held.take()
            && let Ok(instance) = held.instance()
        {
            instance.cleanup(Limits::within(self.config.timeout, None));
        }
        if let Job::Close { done } = job {
            if let Some(bridge) = &self.bridge {
                bridge.release();
            }
            done();
        }
    }
}
