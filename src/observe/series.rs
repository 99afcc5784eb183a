//! All figures of this process by name and labels, for whoever hands them to a monitoring system.
//!
//! Problem: two sources of one name must not make two series of one, what users name must not make series without bound, and a sum must not
//! become smaller because a node is gone. Answer: values of one name and one set of labels are summed; beyond [`MAX_NAMES`] names of an area
//! the rest is summed as `other`; what a source has counted stays when it goes ([`retire`]). How a monitoring system wants them written is
//! `prometheus.rs`'s business, and `remote/telemetry`'s.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use parking_lot::Mutex;

use super::metrics::Timer;
use super::names::{METRICS, MetricKind};
use super::registry::{self, Area, Source, Visit};

/// Distinct names of nodes, remotes and routers that have series of their own.
pub const MAX_NAMES: usize = 200;

/// Names and values that tell a series from others of its name.
pub type Labels = Vec<(String, String)>;

/// One value.
#[derive(Clone, Debug)]
pub enum Figure {
    /// Only grows.
    Counter(u64),
    /// Goes up and down.
    Gauge(f64),
    /// Durations in milliseconds, counted by the upper bounds of their buckets.
    Timer {
        /// All together.
        sum_ms: f64,
        /// How many.
        count: u64,
        /// Upper bound, and how many are between the one before and it.
        buckets: Vec<(f64, u64)>,
    },
}

/// Figures by name and labels.
#[derive(Clone, Debug, Default)]
pub struct Series(BTreeMap<&'static str, BTreeMap<Labels, Figure>>);

/// Series, and the names of sources that have some of their own.
#[derive(Clone, Default)]
struct Collected {
    series: Series,
    names: BTreeMap<Area, HashSet<String>>,
}

/// What sources that are gone have counted.
static RETIRED: LazyLock<Mutex<Collected>> = LazyLock::new(Mutex::default);

impl Collected {
    fn add(&mut self, source: &dyn Source, gone: bool) {
        let (area, mut name) = (source.area(), source.name());
        let known = self.names.entry(area).or_default();
        if !known.contains(&name) {
            if known.len() < MAX_NAMES {
                known.insert(name.clone());
            } else {
                "other".clone_into(&mut name);
            }
        }
        source.visit(&mut Into { series: &mut self.series, label: area.label(), name: &name, gone });
    }
}

/// Keeps what a source has counted, for its end. What it had at the moment goes with it.
pub fn retire(source: &dyn Source) {
    RETIRED.lock().add(source, true);
}

struct Into<'a> {
    series: &'a mut Series,
    label: &'static str,
    name: &'a str,
    gone: bool,
}

impl Into<'_> {
    fn put(&mut self, name: &'static str, labels: &[(&'static str, &str)], figure: Figure) {
        let mut all = vec![(self.label.to_owned(), self.name.to_owned())];
        all.extend(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let series = self.series.0.entry(name).or_default();
        match (series.get_mut(&all), figure) {
            (Some(Figure::Counter(sum)), Figure::Counter(more)) => *sum += more,
            (Some(Figure::Gauge(sum)), Figure::Gauge(more)) => *sum += more,
            (Some(Figure::Timer { sum_ms, count, buckets }), Figure::Timer { sum_ms: more_ms, count: more, buckets: others }) => {
                (*sum_ms, *count) = (*sum_ms + more_ms, *count + more);
                for (bucket, other) in buckets.iter_mut().zip(others) {
                    bucket.1 += other.1;
                }
            }
            (_, figure) => drop(series.insert(all, figure)),
        }
    }
}

impl Visit for Into<'_> {
    fn counter(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: u64) {
        self.put(name, labels, Figure::Counter(value));
    }

    fn gauge(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        if !self.gone {
            self.put(name, labels, Figure::Gauge(value));
        }
    }

    fn timer(&mut self, name: &'static str, labels: &[(&'static str, &str)], timer: &Timer) {
        let (sum_ms, count, buckets) = timer.histogram();
        self.put(name, labels, Figure::Timer { sum_ms, count, buckets });
    }
}

/// All figures now. `more` are gauges that only the caller knows, by name.
pub fn collect(more: &[(&'static str, f64)]) -> Series {
    let mut collected = RETIRED.lock().clone();
    for source in registry::sources() {
        collected.add(&*source, false);
    }
    let mut series = collected.series;
    let (load, traffic) = registry::machine();
    let own = [("remotemedia_system_cpu_share", load.cpu), ("remotemedia_system_memory_share", load.memory)];
    for (name, value) in own.iter().chain(more) {
        series.0.entry(name).or_default().insert(Vec::new(), Figure::Gauge(*value));
    }
    let bytes = [
        ("remotemedia_system_network_received_bytes_total", traffic.received_bytes),
        ("remotemedia_system_network_sent_bytes_total", traffic.sent_bytes),
    ];
    for (name, value) in bytes {
        series.0.entry(name).or_default().insert(Vec::new(), Figure::Counter(value));
    }
    for (name, label, value) in registry::counters() {
        let labels = label.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        series.0.entry(name).or_default().insert(labels, Figure::Counter(value));
    }
    series
}

impl Series {
    /// By the order of [`METRICS`]: name, kind, meaning and the series.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, MetricKind, &'static str, &BTreeMap<Labels, Figure>)> {
        METRICS.iter().filter_map(|(name, kind, _, help)| Some((*name, *kind, *help, self.0.get(name)?)))
    }
}
