//! Everything in this process that has figures, without anybody keeping it alive for them.
//!
//! Problem: whoever watches a service wants all figures at one place, and nodes, clients and routers come and go on many threads. Answer:
//! each registers once, weakly; a reader visits those that are still there. What a figure is called and measured in says
//! [`METRICS`](super::METRICS).

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::metrics::Timer;
use super::system::{Load, SystemLoad, Traffic};

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// A WebAssembly node.
    Edge,
    /// A client of remote services.
    Cloud,
    /// A router.
    Routing,
}

impl Area {
    const ALL: [Self; 3] = [Self::Edge, Self::Cloud, Self::Routing];

    /// The key in a snapshot.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Cloud => "cloud",
            Self::Routing => "routing",
        }
    }

    /// The label that says which one of them.
    pub fn label(self) -> &'static str {
        match self {
            Self::Edge => "node",
            Self::Cloud => "remote",
            Self::Routing => "router",
        }
    }
}

/// Takes figures, each by the name that [`METRICS`](super::METRICS) has for it.
pub trait Visit {
    /// A number that only grows.
    fn counter(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: u64);
    /// A number that goes up and down.
    fn gauge(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: f64);
    /// Durations.
    fn timer(&mut self, name: &'static str, labels: &[(&'static str, &str)], timer: &Timer);
}

/// Has figures.
pub trait Source: Send + Sync + 'static {
    /// What it is.
    fn area(&self) -> Area;
    /// Which one; need not be unique.
    fn name(&self) -> String;
    /// All of them, as its own `metrics()` gives them.
    fn figures(&self) -> Map<String, Value>;
    /// Those that a monitoring system gets.
    fn visit(&self, into: &mut dyn Visit);
}

static SOURCES: Mutex<Vec<Weak<dyn Source>>> = Mutex::new(Vec::new());
static SYSTEM: std::sync::LazyLock<SystemLoad> = std::sync::LazyLock::new(SystemLoad::default);

/// Makes a source known, as long as somebody else holds it.
pub fn register(source: &Arc<impl Source>) {
    let weak = Arc::downgrade(source) as Weak<dyn Source>;
    let mut sources = SOURCES.lock();
    // Those that are gone are swept out when the list would grow, so that sweeping costs nothing on average.
    if sources.len() == sources.capacity() {
        sources.retain(|source| source.strong_count() > 0);
    }
    sources.push(weak);
}

/// Those that are there.
pub fn sources() -> Vec<Arc<dyn Source>> {
    SOURCES.lock().iter().filter_map(Weak::upgrade).collect()
}

/// What the machine has left for this process, and its traffic.
pub fn machine() -> (Load, Traffic) {
    (SYSTEM.now(std::time::Instant::now()), Traffic::now())
}

fn system() -> Value {
    let (load, Traffic { received_bytes, sent_bytes }) = machine();
    json!({ "cpuShare": load.cpu, "memoryShare": load.memory, "networkReceivedBytes": received_bytes, "networkSentBytes": sent_bytes })
}

/// A counter of the process's own: name, a label if it has one, value.
pub type ProcessCounter = (&'static str, Option<(&'static str, &'static str)>, u64);

/// Reads some of them.
pub type ReadCounters = fn() -> Vec<ProcessCounter>;

static COUNTERS: Mutex<Vec<ReadCounters>> = Mutex::new(Vec::new());

/// Makes counters known that are the process's, not a node's. Once for each function.
pub fn register_counters(read: ReadCounters) {
    COUNTERS.lock().push(read);
}

/// What all of them say.
pub fn counters() -> Vec<ProcessCounter> {
    let all = COUNTERS.lock().clone();
    all.iter().flat_map(|read| read()).collect()
}

static NOTED: Mutex<Vec<(&'static str, f64)>> = Mutex::new(Vec::new());

/// Gauges that only the program around this library knows, as they were when it told them last.
pub fn noted() -> Vec<(&'static str, f64)> {
    NOTED.lock().clone()
}

/// Takes them.
pub fn note(gauges: Vec<(&'static str, f64)>) {
    *NOTED.lock() = gauges;
}

/// All figures of this process.
pub fn snapshot() -> Value {
    let mut areas = Map::new();
    for area in Area::ALL {
        let mut list: Vec<Value> = Vec::new();
        for source in sources().into_iter().filter(|source| source.area() == area) {
            let mut figures = Map::from_iter([("name".to_owned(), Value::from(source.name()))]);
            figures.extend(source.figures());
            list.push(Value::Object(figures));
        }
        areas.insert(area.name().to_owned(), list.into());
    }
    areas.insert("system".to_owned(), system());
    Value::Object(areas)
}
