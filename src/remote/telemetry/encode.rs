//! Spans and figures as OTLP's messages.

use std::time::{Duration, Instant, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, status};

use super::options::Telemetry;
use crate::observe::trace::{Attribute, SpanKind, SpanRecord};
use crate::observe::{Figure, Labels, Series};

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

/// Who sends.
fn resource(settings: &Telemetry) -> Resource {
    let attributes = vec![
        text("service.name", settings.service_name.as_str()),
        text("telemetry.sdk.name", "remotemedia-wasmedge"),
        text("telemetry.sdk.language", "rust"),
        text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        pair("process.pid", Value::IntValue(i64::from(std::process::id()))),
    ];
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "@remotemedia/wasmedge".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The wall clock at moments of the steady one: whatever the former does meanwhile, a span ends after it began.
struct Clock {
    steady: Instant,
    wall: Duration,
}

impl Clock {
    fn read() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { steady: Instant::now(), wall }
    }

    fn nanos(&self, moment: Instant) -> u64 {
        let at = self.wall.saturating_sub(self.steady.saturating_duration_since(moment));
        u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// One request with these spans.
pub fn spans(records: Vec<SpanRecord>, settings: &Telemetry) -> ExportTraceServiceRequest {
    let clock = Clock::read();
    let spans = records.into_iter().map(|record| one(record, &clock)).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource(settings)), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn one(record: SpanRecord, clock: &Clock) -> Span {
    let kind = match record.kind {
        SpanKind::Internal => span::SpanKind::Internal,
        SpanKind::Client => span::SpanKind::Client,
        SpanKind::Server => span::SpanKind::Server,
    };
    let mut attributes: Vec<_> = record.attributes.into_iter().map(|(key, value)| pair(key, attribute(value))).collect();
    let status = record.error.map(|(code, message)| {
        attributes.push(text("error.type", code));
        Status { message, code: status::StatusCode::Error.into() }
    });
    let events =
        record.events.into_iter().map(|(name, at)| span::Event { time_unix_nano: clock.nanos(at), name: name.to_owned(), ..span::Event::default() });
    Span {
        trace_id: record.context.trace_id.to_be_bytes().to_vec(),
        span_id: record.context.span_id.to_be_bytes().to_vec(),
        parent_span_id: record.parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        flags: 1,
        name: record.name.into_owned(),
        kind: kind.into(),
        start_time_unix_nano: clock.nanos(record.start),
        end_time_unix_nano: clock.nanos(record.end),
        attributes,
        events: events.collect(),
        status,
        ..Span::default()
    }
}

fn attribute(value: Attribute) -> Value {
    match value {
        Attribute::Word(word) => Value::StringValue(word.to_owned()),
        Attribute::Text(text) => Value::StringValue(text),
        Attribute::Shared(text) => Value::StringValue(text.to_string()),
        Attribute::Int(number) => Value::IntValue(number),
        Attribute::Bool(yes) => Value::BoolValue(yes),
    }
}

/// One request with these figures, which count from `began` on.
pub fn figures(series: &Series, settings: &Telemetry, began: Instant) -> ExportMetricsServiceRequest {
    let clock = Clock::read();
    let (start, now) = (clock.nanos(began), clock.nanos(clock.steady));
    let metrics = series.iter().map(|(name, _, help, series)| Metric {
        name: name.trim_end_matches("_total").to_owned(),
        description: help.to_owned(),
        unit: unit(name).to_owned(),
        data: data(series.iter(), start, now),
        ..Metric::default()
    });
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics: metrics.collect(), ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { resource: Some(resource(settings)), scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

/// By the codes of UCUM, as OpenTelemetry has it.
fn unit(name: &str) -> &'static str {
    match name {
        name if name.contains("_milliseconds") => "ms",
        name if name.contains("_bytes") => "By",
        _ => "1",
    }
}

fn labels(labels: &Labels) -> Vec<KeyValue> {
    labels.iter().map(|(key, value)| text(key, value.as_str())).collect()
}

/// All series of one name: they are of one kind.
fn data<'a>(series: impl Iterator<Item = (&'a Labels, &'a Figure)>, start: u64, now: u64) -> Option<metric::Data> {
    let (mut counters, mut gauges, mut timers) = (Vec::new(), Vec::new(), Vec::new());
    for (names, figure) in series {
        let point = |value| NumberDataPoint {
            attributes: labels(names),
            start_time_unix_nano: start,
            time_unix_nano: now,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        match figure {
            Figure::Counter(count) => counters.push(point(number_data_point::Value::AsInt(i64::try_from(*count).unwrap_or(i64::MAX)))),
            Figure::Gauge(value) => gauges.push(point(number_data_point::Value::AsDouble(*value))),
            Figure::Timer { sum_ms, count, buckets } => timers.push(HistogramDataPoint {
                attributes: labels(names),
                start_time_unix_nano: start,
                time_unix_nano: now,
                count: *count,
                sum: Some(*sum_ms),
                bucket_counts: buckets.iter().map(|(_, count)| *count).collect(),
                // The last bucket has no bound.
                explicit_bounds: buckets.iter().map(|(bound, _)| *bound).take(buckets.len().saturating_sub(1)).collect(),
                ..HistogramDataPoint::default()
            }),
        }
    }
    let temporality = AggregationTemporality::Cumulative.into();
    match (counters.is_empty(), gauges.is_empty(), timers.is_empty()) {
        (false, _, _) => Some(metric::Data::Sum(Sum { data_points: counters, aggregation_temporality: temporality, is_monotonic: true })),
        (_, false, _) => Some(metric::Data::Gauge(Gauge { data_points: gauges })),
        (_, _, false) => Some(metric::Data::Histogram(Histogram { data_points: timers, aggregation_temporality: temporality })),
        _ => None,
    }
}
