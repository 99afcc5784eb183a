//! Sides for a router: nodes whose items are answered side by side by a function, and which count; and what a router says about itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all, ready};
use parking_lot::Mutex;
use remotemedia_wasmedge::data::{Map, Packet, SessionId, Value};
use remotemedia_wasmedge::error::{Code, Error, Result};
use remotemedia_wasmedge::pipeline::{Event, Items, Listener, Node, Router, RouterParts, StreamScope};
use remotemedia_wasmedge::routing::{RoutingConfig, RoutingOptions};

type Answer = BoxFuture<'static, Result<Vec<Packet>>>;

/// A node that is a function.
pub struct Side {
    name: &'static str,
    answer: Box<dyn Fn(u64, Packet) -> Answer + Send + Sync>,
    /// Items that it was given, and that are being worked on.
    taken: AtomicU64,
    alive: Arc<AtomicI64>,
    /// How many items came together, each time.
    pub batches: Mutex<Vec<usize>>,
}

/// A side that answers the call with this number, counted from 0, and its item.
pub fn side<F>(name: &'static str, answer: impl Fn(u64, Packet) -> F + Send + Sync + 'static) -> Arc<Side>
where
    F: Future<Output = Result<Vec<Packet>>> + Send + 'static,
{
    let answer = Box::new(move |call, packet| answer(call, packet).boxed());
    Arc::new(Side { name, answer, taken: AtomicU64::new(0), alive: Arc::default(), batches: Mutex::default() })
}

/// A side that answers with its name behind what it was given.
pub fn signs(name: &'static str) -> Arc<Side> {
    side(name, move |_, packet| ready(Ok(vec![signed(packet, name)])))
}

/// A side that cannot be reached.
pub fn away(name: &'static str) -> Arc<Side> {
    side(name, move |_, _| ready(Err(Error::new(Code::Unavailable, format!("{name} is away")))))
}

/// A side that takes items and never answers.
pub fn hangs(name: &'static str) -> Arc<Side> {
    side(name, |_, _| std::future::pending())
}

pub fn signed(packet: Packet, name: &str) -> Packet {
    Packet { bytes: [&packet.bytes, name.as_bytes()].concat().into(), ..packet }
}

impl Side {
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    pub fn alive(&self) -> i64 {
        self.alive.load(Ordering::SeqCst)
    }
}

struct Alive(Arc<AtomicI64>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Node for Side {
    fn name(&self) -> &str {
        self.name
    }

    fn initialize(self: Arc<Self>) -> BoxFuture<'static, Result<()>> {
        ready(Ok(())).boxed()
    }

    fn open(self: Arc<Self>, _scope: &StreamScope) -> Result<Arc<dyn Items>> {
        Ok(Arc::new(Opened(self)))
    }

    fn close_session(&self, _session: &SessionId) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }

    fn metrics(&self) -> Map<String, Value> {
        Map::new()
    }

    fn cleanup(&self) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }
}

struct Opened(Arc<Side>);

impl Items for Opened {
    fn submit(&self, packet: Packet, _timeout: Option<Duration>) -> Answer {
        self.0.alive.fetch_add(1, Ordering::SeqCst);
        let alive = Alive(Arc::clone(&self.0.alive));
        let call = self.0.taken.fetch_add(1, Ordering::SeqCst);
        let work = (self.0.answer)(call, packet);
        async move {
            let _alive = alive;
            work.await
        }
        .boxed()
    }

    fn submit_batch(&self, packets: Vec<Packet>, timeout: Option<Duration>) -> BoxFuture<'static, Vec<Result<Vec<Packet>>>> {
        self.0.batches.lock().push(packets.len());
        join_all(packets.into_iter().map(|packet| self.submit(packet, timeout))).boxed()
    }

    fn flush(&self, _inputs: u64) -> Answer {
        ready(Ok(Vec::new())).boxed()
    }

    fn cancel(&self) {}
}

/// What a router between two sides is made of.
pub fn parts(edge: &Arc<impl Node>, cloud: &Arc<impl Node>) -> RouterParts {
    RouterParts {
        name: "router".to_owned(),
        edge: edge.clone(),
        cloud: cloud.clone(),
        preprocess: None,
        postprocess: None,
        escalate: None,
        complexity: None,
        probe_interval: Duration::ZERO,
    }
}

/// Options with a strategy.
pub fn strategy(name: &str) -> RoutingOptions {
    RoutingOptions { strategy: Some(name.to_owned()), ..RoutingOptions::default() }
}

pub fn router(parts: RouterParts, options: RoutingOptions) -> Arc<Router> {
    Router::new(parts, RoutingConfig::new(options).expect("options"), None).expect("a router")
}

/// A stream's items behind a router.
pub fn open(router: &Arc<Router>) -> Arc<dyn Items> {
    Arc::clone(router).open(&StreamScope::new(None)).expect("a session")
}

/// An item's answer, as text, and what is said about its way.
pub async fn ask(items: &Arc<dyn Items>, text: &str) -> Result<(String, Value)> {
    ask_within(items, text, None).await
}

pub async fn ask_within(items: &Arc<dyn Items>, text: &str, timeout: Option<Duration>) -> Result<(String, Value)> {
    let packets = items.submit(Packet::binary(text.as_bytes().to_vec()), timeout).await?;
    assert_eq!(packets.len(), 1);
    let text = String::from_utf8(packets[0].bytes.to_vec()).expect("text");
    Ok((text, packets[0].route.as_deref().cloned().expect("a route")))
}

/// A figure of a router by its dotted path.
pub fn figure(router: &Arc<Router>, path: &str) -> Value {
    let metrics = Value::Object(router.metrics());
    let pointer = format!("/{}", path.replace('.', "/"));
    metrics.pointer(&pointer).unwrap_or_else(|| panic!("no {path} in {metrics}")).clone()
}

pub fn count(router: &Arc<Router>, path: &str) -> u64 {
    figure(router, path).as_u64().expect("a count")
}

/// Sum of a figure's parts.
pub fn sum(router: &Arc<Router>, path: &str) -> u64 {
    figure(router, path).as_object().expect("parts").values().filter_map(Value::as_u64).sum()
}

/// Keeps what a router tells.
#[derive(Default)]
pub struct Heard(Mutex<Vec<Event>>);

impl Listener for Heard {
    fn tell(&self, event: Event) {
        self.0.lock().push(event);
    }
}

impl Heard {
    /// What was told by this name.
    pub fn of(&self, name: &str) -> Vec<Value> {
        self.0.lock().iter().filter(|event| event.name == name).map(|event| event.about.clone()).collect()
    }
}
