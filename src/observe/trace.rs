//! Spans: what was done for an item, from when to when, as a part of which trace.
//!
//! Problem: whoever asks for traces wants every step of an item, and whoever does not must not pay for them: a 16 ms audio frame is done in
//! twenty microseconds. Answer: while nobody collects, all that a step costs is one look at a flag. Otherwise a [`Span`] keeps two clock
//! readings and a few attributes, and is handed over when the last one lets go of it, to a ring without locks that [`take`] empties
//! elsewhere (`remote/telemetry` writes it down and sends it). A ring that is full loses spans and counts them; nothing waits for it.
//! Which items are recorded is decided where a trace begins: by its id, and by how many others began lately, for a thousand sessions of 16 ms
//! frames are more than any collector takes. Whoever continues a trace does as its `traceparent` says.

use std::borrow::Cow;
use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Instant;

use crossbeam_queue::ArrayQueue;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use super::registry::{ProcessCounter, register_counters};
use crate::data::{Packet, SessionId, Trace, TraceContext, Traced};
use crate::error::Error;

/// Spans that wait to be sent: a second of what two processors can do, at 200 bytes each.
const RING: usize = 16_384;
/// After so many spans whoever sends them is woken.
const WAKE_EVERY: u64 = 1_024;
/// What of an error's message is kept.
const ERROR_CHARS: usize = 1_024;
/// A second.
const BURST_NS: u64 = 1_000_000_000;

/// What a span is to those before and behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Work in this process.
    Internal,
    /// A request to another process.
    Client,
    /// An answer to another process.
    Server,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// One of a few words.
    Word(&'static str),
    /// Text.
    Text(String),
    /// Text that others have as well.
    Shared(Arc<str>),
    /// A count or a size.
    Int(i64),
    /// Yes or no.
    Bool(bool),
}

impl From<&'static str> for Attribute {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Arc<str>> for Attribute {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Attribute {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<usize> for Attribute {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Attribute {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

/// Names and values; most spans have no more, and need no memory of their own for them.
pub type Attributes = SmallVec<[(&'static str, Attribute); 5]>;

/// A span that is over.
#[derive(Debug)]
pub struct SpanRecord {
    /// Its place.
    pub context: TraceContext,
    /// The span that it is a child of.
    pub parent: Option<u64>,
    /// Of a small set of names.
    pub name: Cow<'static, str>,
    /// What it is to others.
    pub kind: SpanKind,
    /// When it began.
    pub start: Instant,
    /// When it was over.
    pub end: Instant,
    /// More about it, by names of OpenTelemetry's conventions, and of ours.
    pub attributes: Attributes,
    /// What happened meanwhile, and when.
    pub events: Vec<(&'static str, Instant)>,
    /// The code and the message of what it failed with.
    pub error: Option<(&'static str, String)>,
}

#[derive(Debug, Default)]
struct Notes {
    attributes: Attributes,
    events: Vec<(&'static str, Instant)>,
    error: Option<(&'static str, String)>,
    end: Option<Instant>,
    discarded: bool,
}

/// A span under way; over when it is ended, or else when the last one lets go of it.
#[derive(Debug)]
pub struct Span {
    context: TraceContext,
    parent: Option<u64>,
    name: Cow<'static, str>,
    kind: SpanKind,
    start: Instant,
    notes: Mutex<Notes>,
}

impl Span {
    fn begin(name: Cow<'static, str>, kind: SpanKind, trace_id: u128, parent: Option<u64>) -> Arc<Self> {
        let context = TraceContext { trace_id, span_id: random().max(1), sampled: true };
        Arc::new(Self { context, parent, name, kind, start: Instant::now(), notes: Mutex::default() })
    }

    /// Says more about it.
    pub fn set(&self, key: &'static str, value: impl Into<Attribute>) {
        self.notes.lock().attributes.push((key, value.into()));
    }

    /// Notes that something happened, now.
    pub fn event(&self, name: &'static str) {
        self.notes.lock().events.push((name, Instant::now()));
    }

    /// It was not worth mentioning.
    pub fn discard(&self) {
        self.notes.lock().discarded = true;
    }

    /// It is over, though others may still hold it. The first word counts.
    pub fn end(&self) {
        self.notes.lock().end.get_or_insert_with(Instant::now);
    }
}

impl Traced for Span {
    fn context(&self) -> TraceContext {
        self.context
    }

    fn delivered(&self) {
        self.notes.lock().end = Some(Instant::now());
    }

    fn failed(&self, error: &Error) {
        // A remote may have told a whole traceback.
        let told = || error.message().chars().take(ERROR_CHARS).collect();
        self.notes.lock().error.get_or_insert_with(|| (error.code().as_str(), told()));
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(ring) = RING_OF_SPANS.get() else { return };
        let Notes { attributes, events, error, end, discarded } = std::mem::take(self.notes.get_mut());
        if discarded {
            return;
        }
        let (context, parent, kind, start, name) = (self.context, self.parent, self.kind, self.start, std::mem::take(&mut self.name));
        let end = end.unwrap_or_else(Instant::now);
        ring.put(SpanRecord { context, parent, name, kind, start, end, attributes, events, error });
    }
}

struct Ring {
    spans: ArrayQueue<SpanRecord>,
    count: AtomicU64,
    lost: AtomicU64,
    wake: RwLock<Option<Box<dyn Fn() + Send + Sync>>>,
}

impl Ring {
    fn put(&self, record: SpanRecord) {
        if self.spans.push(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        if before % WAKE_EVERY == WAKE_EVERY - 1
            && let Some(wake) = &*self.wake.read()
        {
            wake();
        }
    }
}

static ON: AtomicBool = AtomicBool::new(false);
/// Traces whose id's lower 63 bits are below this are recorded, as OpenTelemetry's `TraceIdRatioBased` does.
static BELOW: AtomicU64 = AtomicU64::new(0);
static RING_OF_SPANS: OnceLock<Ring> = OnceLock::new();

/// A second's worth of traces may begin at once, and as many each second; a clock of when the next one would be due.
struct Limit {
    since: Instant,
    interval_ns: AtomicU64,
    due_ns: AtomicU64,
}

static LIMIT: LazyLock<Limit> = LazyLock::new(|| Limit { since: Instant::now(), interval_ns: AtomicU64::new(0), due_ns: AtomicU64::new(0) });

impl Limit {
    /// Whether one more may begin now.
    fn allows(&self) -> bool {
        let interval = self.interval_ns.load(Ordering::Relaxed);
        let now = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let next = |due: u64| {
            let next = due.max(now).saturating_add(interval);
            (next <= now.saturating_add(BURST_NS)).then_some(next)
        };
        self.due_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

/// Begins to collect spans: of new traces the share `ratio`, but no more than `per_second`, and of those that others began what they say. `wake`
/// is called now and then when there are many to take.
pub fn collect(ratio: f64, per_second: f64, wake: Box<dyn Fn() + Send + Sync>) {
    let ring = RING_OF_SPANS.get_or_init(|| {
        register_counters(figures);
        Ring { spans: ArrayQueue::new(RING), count: AtomicU64::new(0), lost: AtomicU64::new(0), wake: RwLock::new(None) }
    });
    *ring.wake.write() = Some(wake);
    let below = (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
    BELOW.store(below, Ordering::Relaxed);
    LIMIT.interval_ns.store((BURST_NS as f64 / per_second.max(1.0)) as u64, Ordering::Relaxed);
    LIMIT.due_ns.store(0, Ordering::Relaxed);
    ON.store(true, Ordering::Release);
}

/// Begins no further spans. Those under way are still handed over.
pub fn stop() {
    ON.store(false, Ordering::Release);
    if let Some(ring) = RING_OF_SPANS.get() {
        *ring.wake.write() = None;
    }
}

/// Whether spans are collected.
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Takes up to `max` spans that are over.
pub fn take(max: usize) -> Vec<SpanRecord> {
    let Some(ring) = RING_OF_SPANS.get() else { return Vec::new() };
    std::iter::from_fn(|| ring.spans.pop()).take(max).collect()
}

/// Notes that so many were taken and did not arrive.
pub fn lost(spans: usize) {
    if let Some(ring) = RING_OF_SPANS.get() {
        ring.lost.fetch_add(spans as u64, Ordering::Relaxed);
    }
}

/// Spans recorded so far, and those of them that were lost.
fn figures() -> Vec<ProcessCounter> {
    let Some(ring) = RING_OF_SPANS.get() else { return Vec::new() };
    let of = |name, counter: &AtomicU64| (name, None, counter.load(Ordering::Relaxed));
    vec![of("remotemedia_trace_spans_total", &ring.count), of("remotemedia_trace_spans_lost_total", &ring.lost)]
}

/// A span as a part of `parent`; nothing where it is not recorded.
pub fn child(parent: Option<TraceContext>, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Option<Arc<Span>> {
    let parent = parent.filter(|parent| parent.sampled && is_on())?;
    Some(Span::begin(name.into(), kind, parent.trace_id, Some(parent.span_id)))
}

/// A span as a part of `parent`, or else the first of a new trace; nothing where it is not recorded.
pub fn child_or_root(parent: Option<TraceContext>, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Option<Arc<Span>> {
    match parent {
        Some(parent) => child(Some(parent), name, kind),
        None => begin_trace().filter(|context| context.sampled).map(|context| Span::begin(name.into(), kind, context.trace_id, None)),
    }
}

/// Begins an item: it carries a span of its own as a part of `parent`, or the first of a new trace; `parent` itself where nothing is recorded.
pub fn begin(packet: &mut Packet, parent: Option<&Trace>, session: Option<&SessionId>) {
    packet.trace = match parent {
        None if !is_on() => return,
        None => Some(match begin_trace() {
            Some(context) if context.sampled => of_item(packet, session, context.trace_id, None),
            // Others are told that this one is not recorded.
            Some(context) => Arc::new(context),
            None => return,
        }),
        Some(parent) => Some(match parent.context() {
            TraceContext { trace_id, span_id, sampled: true } if is_on() => of_item(packet, session, trace_id, Some(span_id)),
            _ => Arc::clone(parent),
        }),
    };
}

fn of_item(packet: &Packet, session: Option<&SessionId>, trace_id: u128, parent: Option<u64>) -> Trace {
    let span = Span::begin("item".into(), SpanKind::Internal, trace_id, parent);
    if let Some(session) = session {
        span.set("session.id", session.shared());
    }
    span.set("remotemedia.sequence", packet.sequence);
    span.set("remotemedia.kind", packet.kind().name());
    span.set("remotemedia.bytes", packet.bytes.len());
    span
}

fn begin_trace() -> Option<TraceContext> {
    is_on().then(|| {
        let trace_id = (u128::from(random()) << 64) | u128::from(random().max(1));
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let sampled = (trace_id as u64) >> 1 < BELOW.load(Ordering::Relaxed) && LIMIT.allows();
        TraceContext { trace_id, span_id: random().max(1), sampled }
    })
}

/// `SplitMix64`, seeded by the system once per thread: ids must differ, they need not be secret.
fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(seed());
    }
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// What the standard library seeds its maps with.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
