//! `configureTracing` and its like: where spans and figures go, and what is logged.

use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::error::{Outcome, throw};
use super::options::Reader;
use super::remote_calls::{nothing, promise};
use super::value::Value;
use crate::observe;
use crate::remote::{self, TelemetryOptions, TelemetryProtocol};

/// Reads and applies; milliseconds between two times that figures are sent, 0 where none are.
fn configure(given: Value) -> Outcome<f64> {
    let mut reader = Reader::new(given, "")?;
    let level = reader.string("logLevel")?;
    let headers = reader.strings("headers")?;
    let options = TelemetryOptions {
        endpoint: reader.string("otlpEndpoint")?,
        protocol: reader.word("protocol", &TelemetryProtocol::WORDS)?,
        headers,
        service_name: reader.string("serviceName")?,
        sample_ratio: reader.number("sampleRatio")?,
        max_traces_per_second: reader.number("maxTracesPerSecond")?,
        metrics_interval_ms: reader.number("metricsIntervalMs")?,
        timeout_ms: reader.number("timeoutMs")?,
    };
    // Whoever sets the log's level alone wants nothing sent.
    let level_alone = level.is_some() && reader.count() == 1;
    reader.finish()?;
    if let Some(level) = level {
        observe::show_log(&level)?;
    }
    if level_alone {
        return Ok(0.0);
    }
    Ok(remote::configure_telemetry(options)?.map_or(0.0, |interval| interval.as_secs_f64() * 1e3))
}

/// The native half of `configureTracing`. Internal.
#[napi(skip_typescript)]
pub fn configure_telemetry(env: Env, options: Unknown<'_>) -> napi::Result<f64> {
    let raw = env.raw();
    configure(Value { env: raw, raw: options.raw() }).map_err(|failure| throw(raw, failure))
}

/// The native half of `flushTracing`. Internal.
#[napi(skip_typescript)]
pub fn flush_telemetry(env: Env) -> napi::Result<Unknown<'static>> {
    promise(env.raw(), remote::flush_telemetry(), nothing).map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
}

/// The native half of `shutdownTracing`. Internal.
#[napi(skip_typescript)]
pub fn shutdown_telemetry(env: Env) -> napi::Result<Unknown<'static>> {
    promise(env.raw(), remote::shutdown_telemetry(), nothing).map(Value::unknown).map_err(|failure| throw(env.raw(), failure))
}

/// Takes the figures that only JavaScript knows, for those that are sent. Internal.
#[napi(skip_typescript)]
pub fn note_process(resident_bytes: f64, event_loop_delay_ms: f64) {
    observe::note(process_gauges(resident_bytes, event_loop_delay_ms));
}

/// The same as `OpenMetrics` text, with them. Internal to `prometheusMetrics`.
#[napi(skip_typescript)]
pub fn prometheus_text(resident_bytes: f64, event_loop_delay_ms: f64) -> String {
    observe::prometheus_text(&process_gauges(resident_bytes, event_loop_delay_ms))
}

fn process_gauges(resident_bytes: f64, event_loop_delay_ms: f64) -> Vec<(&'static str, f64)> {
    vec![("remotemedia_system_resident_bytes", resident_bytes), ("remotemedia_system_event_loop_delay_milliseconds", event_loop_delay_ms)]
}
