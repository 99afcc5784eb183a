//! All figures as Prometheus has them: the text of `OpenMetrics`.
//!
//! A label's value must not be able to break the text: `prometheus-client` writes and escapes. What the figures are is `series.rs`'s business.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::names::MetricKind;
use super::series::{self, Figure, Labels, Series};

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

impl Collector for Series {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, kind, help, series) in self.iter() {
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
    let mut prometheus = Registry::default();
    prometheus.register_collector(Box::new(series::collect(more)));
    let mut text = String::new();
    // Writing into a string does not fail.
    let _written = encode(&mut text, &prometheus);
    text
}
