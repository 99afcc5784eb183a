//! All figures as Prometheus has them: the text of `OpenMetrics`.
//!
//! Problem: a label value must not be able to break the text, two sources of one name must not make two series of one, and what users name
//! must not make series without bound. Answer: `prometheus-client` writes and escapes; values of one name and one set of labels are summed;
//! beyond [`MAX_NAMES`] names of an area the rest is summed as `other`.

use std::collections::{BTreeMap, HashSet};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::metrics::Timer;
use super::names::{METRICS, MetricKind};
use super::registry::{self, Area, Visit};

/// Distinct names of nodes, remotes and routers that have series of their own.
pub const MAX_NAMES: usize = 200;

type Labels = Vec<(String, String)>;

#[derive(Clone, Debug)]
enum Figure {
    Counter(u64),
    Gauge(f64),
    Timer { sum_ms: f64, count: u64, buckets: Vec<(f64, u64)> },
}

/// Figures by name and labels.
#[derive(Debug, Default)]
struct Collected {
    figures: BTreeMap<&'static str, BTreeMap<Labels, Figure>>,
}

struct Into<'a> {
    collected: &'a mut Collected,
    label: &'static str,
    name: &'a str,
}

impl Into<'_> {
    fn put(&mut self, name: &'static str, labels: &[(&'static str, &str)], figure: Figure) {
        let mut all = vec![(self.label.to_owned(), self.name.to_owned())];
        all.extend(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let series = self.collected.figures.entry(name).or_default();
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
        self.put(name, labels, Figure::Gauge(value));
    }

    fn timer(&mut self, name: &'static str, labels: &[(&'static str, &str)], timer: &Timer) {
        let (sum_ms, count, buckets) = timer.histogram();
        self.put(name, labels, Figure::Timer { sum_ms, count, buckets });
    }
}

impl EncodeMetric for Figure {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self {
            Figure::Counter(value) => encoder.encode_counter::<Labels, _, u64>(value, None),
            Figure::Gauge(value) => encoder.encode_gauge(value),
            Figure::Timer { sum_ms, count, buckets } => encoder.encode_histogram::<Labels>(*sum_ms, *count, buckets, None),
        }
    }

    fn metric_type(&self) -> MetricType {
        match self {
            Figure::Counter(_) => MetricType::Counter,
            Figure::Gauge(_) => MetricType::Gauge,
            Figure::Timer { .. } => MetricType::Histogram,
        }
    }
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, kind, _, help) in METRICS {
            let Some(series) = self.figures.get(name) else { continue };
            let kind = match kind {
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Gauge => MetricType::Gauge,
                MetricKind::Histogram => MetricType::Histogram,
            };
            // The library adds what OpenMetrics wants at the end of a counter's name.
            let mut descriptor = encoder.encode_descriptor(name.trim_end_matches("_total"), help, None, kind)?;
            for (labels, figure) in series {
                figure.encode(descriptor.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

/// The text. `more` are gauges that only the caller knows, by name.
pub fn text(more: &[(&'static str, f64)]) -> String {
    let mut collected = Collected::default();
    let mut names: BTreeMap<Area, HashSet<String>> = BTreeMap::new();
    for source in registry::sources() {
        let (area, mut name) = (source.area(), source.name());
        let known = names.entry(area).or_default();
        if !known.contains(&name) {
            if known.len() < MAX_NAMES {
                known.insert(name.clone());
            } else {
                "other".clone_into(&mut name);
            }
        }
        source.visit(&mut Into { collected: &mut collected, label: area.label(), name: &name });
    }
    let system = registry::system();
    let share = |key: &str| system.get(key).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    let own = [("remotemedia_system_cpu_share", share("cpuShare")), ("remotemedia_system_memory_share", share("memoryShare"))];
    for (name, value) in own.iter().chain(more) {
        collected.figures.entry(name).or_default().insert(Vec::new(), Figure::Gauge(*value));
    }
    let mut prometheus = Registry::default();
    prometheus.register_collector(Box::new(collected));
    let mut text = String::new();
    // Writing into a string does not fail.
    let _written = encode(&mut text, &prometheus);
    text
}
