//! What one client did, in figures; `observe/names.rs` has their meaning.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::lane::Lane;
use crate::error::{Code, Error};
use crate::observe::{Counter, Timer, Visit};

/// Figures of one client.
#[derive(Default)]
pub struct ClientMetrics {
    pub calls: Counter,
    errors: [Counter; Code::ALL.len()],
    pub retries: Counter,
    pub hedges: Counter,
    pub streams: Counter,
    pub streams_open: Counter,
    pub items_sent: Counter,
    pub items_received: Counter,
    pub bytes_sent: Counter,
    pub bytes_received: Counter,
    latency: Timer,
}

impl ClientMetrics {
    /// A call is over.
    pub fn call(&self, took: Duration, failure: Option<&Error>) {
        self.calls.add(1);
        match failure {
            None => self.latency.add(took),
            Some(error) => self.error(error.code()),
        }
    }

    /// Counts a call or stream that ended in an error.
    pub fn error(&self, code: Code) {
        if let Some(position) = Code::ALL.iter().position(|one| *one == code) {
            self.errors[position].add(1);
        }
    }

    /// Tells a monitoring system.
    pub fn visit(&self, lanes: &[std::sync::Arc<Lane>], into: &mut dyn Visit) {
        into.counter("remotemedia_cloud_calls_total", &[], self.calls.get());
        for (code, counter) in Code::ALL.iter().zip(&self.errors).filter(|(_, counter)| counter.get() > 0) {
            into.counter("remotemedia_cloud_errors_total", &[("code", code.as_str())], counter.get());
        }
        into.counter("remotemedia_cloud_retries_total", &[], self.retries.get());
        into.counter("remotemedia_cloud_hedges_total", &[], self.hedges.get());
        into.counter("remotemedia_cloud_streams_total", &[], self.streams.get());
        into.gauge("remotemedia_cloud_streams", &[], self.streams_open.get() as f64);
        into.counter("remotemedia_cloud_items_sent_total", &[], self.items_sent.get());
        into.counter("remotemedia_cloud_items_received_total", &[], self.items_received.get());
        into.counter("remotemedia_cloud_sent_bytes_total", &[], self.bytes_sent.get());
        into.counter("remotemedia_cloud_received_bytes_total", &[], self.bytes_received.get());
        into.timer("remotemedia_cloud_latency_milliseconds", &[], &self.latency);
        for lane in lanes {
            let labels = [("endpoint", lane.name())];
            into.gauge("remotemedia_cloud_endpoint_available", &labels, f64::from(u8::from(!lane.is_out())));
            into.gauge("remotemedia_cloud_endpoint_in_flight", &labels, lane.flights() as f64);
        }
    }

    /// All figures by name.
    pub fn snapshot(&self, api: Option<&str>, lanes: &[std::sync::Arc<Lane>]) -> Map<String, Value> {
        let errors = Code::ALL.iter().zip(&self.errors).filter(|(_, counter)| counter.get() > 0);
        let errors: Map<_, _> = errors.map(|(code, counter)| (code.as_str().to_owned(), counter.get().into())).collect();
        let values = json!({
            "calls": self.calls.get(),
            "errors": errors,
            "retries": self.retries.get(),
            "hedges": self.hedges.get(),
            "streams": self.streams.get(),
            "streamsOpen": self.streams_open.get(),
            "itemsSent": self.items_sent.get(),
            "itemsReceived": self.items_received.get(),
            "bytesSent": self.bytes_sent.get(),
            "bytesReceived": self.bytes_received.get(),
            "latencyMs": self.latency.snapshot(),
            "api": api,
            "endpoints": lanes.iter().map(|lane| lane.snapshot()).collect::<Vec<_>>(),
        });
        match values {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}
