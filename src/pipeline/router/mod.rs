//! A node that runs each item at the edge or in the cloud.
//!
//! Problem: which side is better changes from item to item and from minute to minute, either side may fail, be slow or be full, and an item
//! that one side can serve must be served. Answer: [`Policy`] decides and learns, without a clock and without knowing nodes; this module acts
//! upon its decisions: it opens both sides' sessions, measures, hedges, falls back ([`attempt`]), splits an item between the sides
//! ([`hybrid`]), lets items travel together ([`batch`]) and tells what it did ([`events`]).

mod attempt;
mod batch;
mod events;
mod figures;
mod hybrid;
mod limits;
mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use serde_json::json;

use super::node::{Items, Node, StreamScope};
use crate::data::{Map, Packet, SessionId, Value};
use crate::error::{Code, Error, Result};
use crate::observe::{self, Area, Source, SystemLoad, Visit};
use crate::remote;
use crate::routing::{self, BreakerChange, Decision, Outcome, Policy, RoutingConfig, Target};

pub use events::{Event, Listener, described};
use figures::Figures;
pub use hybrid::{Confidence, Escalate};
use limits::Gate;
use session::RouterItems;

/// A judgement of the application's on one packet: how complex it is, or whether an answer will do.
pub trait Judge: Send + Sync + 'static {
    /// Asks for it.
    fn judge(&self, packet: Packet, session: &SessionId) -> BoxFuture<'static, Result<Value>>;
}

/// What a router is made of.
pub struct RouterParts {
    /// Name in errors, metrics and logs.
    pub name: String,
    /// Runs here.
    pub edge: Arc<dyn Node>,
    /// Runs elsewhere.
    pub cloud: Arc<dyn Node>,
    /// Before the cloud, where items are split.
    pub preprocess: Option<Arc<dyn Node>>,
    /// After the cloud, where items are split.
    pub postprocess: Option<Arc<dyn Node>>,
    /// Whether an answer of the edge will do; without it every item is split.
    pub escalate: Option<Escalate>,
    /// How complex an item is, 0 to 1.
    pub complexity: Option<Arc<dyn Judge>>,
    /// How often the network is probed while nothing else tells how far away the cloud is; never, when zero.
    pub probe_interval: Duration,
}

/// Shortest time between two looks at the trend of the load.
const PREWARM_INTERVAL: Duration = Duration::from_millis(100);

/// A router.
pub struct Router {
    parts: RouterParts,
    config: RoutingConfig,
    policy: Mutex<Policy>,
    figures: Figures,
    system: SystemLoad,
    started: Instant,
    gates: [Gate; 2],
    /// When the way to the cloud was last asked for.
    probed: Mutex<Option<Duration>>,
    prewarmed: Mutex<Duration>,
    listening: AtomicBool,
    listener: RwLock<Option<Arc<dyn Listener>>>,
}

impl Router {
    /// A router whose policy starts from `config`, or from what another one had learned.
    pub fn new(parts: RouterParts, config: RoutingConfig, warm_start: Option<&Value>) -> Result<Arc<Self>> {
        let mut policy = Policy::new(config.clone());
        if let Some(state) = warm_start {
            policy.import(state)?;
        }
        let gates = [Target::Edge, Target::Cloud].map(|target| Gate::new(config.in_flight_max(target), config.queue_max()));
        let router = Arc::new(Self {
            parts,
            config,
            policy: Mutex::new(policy),
            figures: Figures::default(),
            system: SystemLoad::default(),
            started: Instant::now(),
            gates,
            probed: Mutex::default(),
            prewarmed: Mutex::default(),
            listening: AtomicBool::new(false),
            listener: RwLock::new(None),
        });
        observe::register(&router);
        Ok(router)
    }

    /// Time by the policy's clock.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn node(&self, target: Target) -> &Arc<dyn Node> {
        match target {
            Target::Edge => &self.parts.edge,
            Target::Cloud => &self.parts.cloud,
        }
    }

    fn gate(&self, target: Target) -> &Gate {
        &self.gates[target as usize]
    }

    /// Everything that the policy is told about this moment.
    fn load(&self, now: Duration) -> routing::Load {
        let system = self.system.now(self.started + now);
        routing::Load {
            edge_in_flight: self.gate(Target::Edge).in_flight(),
            edge_slots: self.parts.edge.parallelism(),
            cloud_in_flight: self.gate(Target::Cloud).in_flight(),
            cpu: system.cpu,
            memory: system.memory,
        }
    }

    /// What would happen to an item now; changes nothing.
    pub fn decide(&self, item: &routing::Item) -> Decision {
        let now = self.now();
        let load = self.load(now);
        self.policy.lock().decide(item, &load, now)
    }

    /// Decides for an item that is on its way.
    fn begin(self: &Arc<Self>, item: &routing::Item, packet: &Packet, session: &SessionId) -> Decision {
        let now = self.now();
        self.probe_if_due(now);
        let load = self.load(now);
        let (decision, warm) = {
            let mut policy = self.policy.lock();
            let decision = policy.decide(item, &load, now);
            policy.begin(&decision, now);
            let due = now.saturating_sub(*self.prewarmed.lock()) >= PREWARM_INTERVAL;
            (decision, due.then(|| policy.prewarm(now)))
        };
        if let Some(instances) = warm {
            *self.prewarmed.lock() = now;
            self.parts.edge.prewarm(instances as usize);
        }
        self.figures.decided(&decision);
        self.tell(|| Event::decision(&decision, packet, session));
        decision
    }

    fn record(&self, outcome: &Outcome) {
        let change = {
            let now = self.now();
            self.policy.lock().record(outcome, now)
        };
        self.figures.ended(outcome);
        if let Some(change) = change {
            self.tell_breaker(change);
        }
    }

    fn tell_breaker(&self, change: BreakerChange) {
        tracing::info!(target: "routing", router = self.parts.name, target = change.target.name(), from = change.from.name(), to = change.to.name(), "breaker");
        self.figures.breaker_changes.add(1);
        self.tell(|| Event::breaker(change));
    }

    /// Tells whoever listens; what there is to tell is only made then.
    fn tell(&self, event: impl FnOnce() -> Event) {
        if self.listening.load(Ordering::Acquire)
            && let Some(listener) = self.listener.read().clone()
        {
            listener.tell(event());
        }
    }

    /// Has `listener` told of decisions, fallbacks and breakers; nobody, with nothing.
    pub fn listen(&self, listener: Option<Arc<dyn Listener>>) {
        self.listening.store(listener.is_some(), Ordering::Release);
        *self.listener.write() = listener;
    }

    /// Asks the network how far away the cloud is, if nothing else has told for a while.
    fn probe_if_due(self: &Arc<Self>, now: Duration) {
        let interval = self.parts.probe_interval;
        if interval.is_zero() {
            return;
        }
        {
            let mut probed = self.probed.lock();
            if probed.is_some_and(|asked| now.saturating_sub(asked) < interval) {
                return;
            }
            *probed = Some(now);
        }
        let Some(asked) = self.parts.cloud.probe() else { return };
        let router = Arc::downgrade(self);
        let _no_threads = remote::spawn(async move {
            let started = Instant::now();
            let result = asked.await;
            let took_ms = started.elapsed().as_secs_f64() * 1e3;
            if let Some(router) = router.upgrade() {
                router.note_probe(result.err().as_ref(), took_ms);
            }
        });
    }

    /// An error is an answer as well, unless it is that there is none.
    fn note_probe(&self, error: Option<&Error>, took_ms: f64) {
        let away = error.is_some_and(|error| matches!(error.code(), Code::Unavailable | Code::Deadline));
        if error.is_some_and(|error| matches!(error.code(), Code::Closed | Code::Aborted | Code::BreakerOpen)) {
            return;
        }
        let (now, answer) = (self.now(), (!away).then_some(took_ms));
        let change = self.policy.lock().probed(Target::Cloud, answer, now);
        if let Some(change) = change {
            self.tell_breaker(change);
        }
    }

    /// What it has learned, for [`Router::new`].
    pub fn export(&self) -> Value {
        self.policy.lock().export()
    }

    fn nodes(&self) -> impl Iterator<Item = &Arc<dyn Node>> {
        let parts = &self.parts;
        [Some(&parts.edge), Some(&parts.cloud), parts.preprocess.as_ref(), parts.postprocess.as_ref()].into_iter().flatten()
    }
}

impl Node for Router {
    fn name(&self) -> &str {
        &self.parts.name
    }

    /// Makes both sides ready. One that cannot be is left to fail item by item, as long as the other can: that is what a router is for.
    fn initialize(self: Arc<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let (edge, cloud) = futures_util::join!(Arc::clone(&self.parts.edge).initialize(), Arc::clone(&self.parts.cloud).initialize());
            for stage in [&self.parts.preprocess, &self.parts.postprocess].into_iter().flatten() {
                Arc::clone(stage).initialize().await.map_err(|error| error.in_node(stage.name()))?;
            }
            match (edge, cloud) {
                (Err(error), _) if !self.config.falls_back() || wrongly_made(&error) => Err(error.in_node(self.parts.edge.name())),
                (_, Err(error)) if !self.config.falls_back() || wrongly_made(&error) => Err(error.in_node(self.parts.cloud.name())),
                (Err(error), Err(_)) => Err(error.in_node(self.parts.edge.name())),
                (Err(error), Ok(())) | (Ok(()), Err(error)) => {
                    tracing::warn!(target: "routing", router = self.parts.name, %error, "one side is not ready");
                    Ok(())
                }
                (Ok(()), Ok(())) => Ok(()),
            }
        })
    }

    fn open(self: Arc<Self>, scope: &StreamScope) -> Result<Arc<dyn Items>> {
        Ok(RouterItems::open(self, scope))
    }

    fn close_session(&self, session: &SessionId) -> BoxFuture<'static, ()> {
        let closing: Vec<_> = self.nodes().map(|node| node.close_session(session)).collect();
        Box::pin(async move { drop(futures_util::future::join_all(closing).await) })
    }

    fn metrics(&self) -> Map<String, Value> {
        let mut map = self.own_figures();
        map.insert("edge".to_owned(), Value::Object(self.parts.edge.metrics()));
        map.insert("cloud".to_owned(), Value::Object(self.parts.cloud.metrics()));
        map
    }

    fn cleanup(&self) -> BoxFuture<'static, ()> {
        self.listen(None);
        let ending: Vec<_> = self.nodes().map(|node| node.cleanup()).collect();
        Box::pin(async move { drop(futures_util::future::join_all(ending).await) })
    }
}

impl Router {
    /// The router's own figures by name.
    fn own_figures(&self) -> Map<String, Value> {
        let mut map = self.figures.snapshot();
        let now = self.now();
        let load = self.load(now);
        map.insert("strategy".to_owned(), self.config.strategy().name().into());
        map.insert("policy".to_owned(), self.policy.lock().snapshot(now));
        map.insert("inFlight".to_owned(), json!({ "edge": load.edge_in_flight, "cloud": load.cloud_in_flight }));
        map.insert("load".to_owned(), json!({ "cpu": load.cpu, "memory": load.memory }));
        map
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        observe::retire(self);
    }
}

impl Source for Router {
    fn area(&self) -> Area {
        Area::Routing
    }

    fn name(&self) -> String {
        self.parts.name.clone()
    }

    fn figures(&self) -> Map<String, Value> {
        self.own_figures()
    }

    fn visit(&self, into: &mut dyn Visit) {
        self.figures.visit(into);
        let now = self.now();
        let policy = self.policy.lock();
        for target in [Target::Edge, Target::Cloud] {
            let labels = [("target", target.name())];
            into.gauge("remotemedia_routing_in_flight", &labels, f64::from(self.gate(target).in_flight()));
            into.gauge("remotemedia_routing_breaker", &labels, f64::from(policy.breaker(target, now) as u8));
        }
        into.gauge("remotemedia_routing_threshold_bytes", &[], policy.crossover().unwrap_or(0) as f64);
        into.gauge("remotemedia_routing_regret_share", &[], policy.regret_share());
        into.gauge("remotemedia_routing_exploration_share", &[], policy.exploration_share());
    }
}

/// A node that can never be ready: its module or its options are wrong. Falling back would hide that for ever.
fn wrongly_made(error: &Error) -> bool {
    matches!(error.code(), Code::ModuleNotFound | Code::ModuleInvalid | Code::Abi | Code::ImportDenied | Code::Config | Code::WasmMemory)
}
