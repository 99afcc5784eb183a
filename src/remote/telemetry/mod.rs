//! Spans and figures on their way to whoever collects them, by OpenTelemetry's protocol OTLP.
//!
//! Problem: a collector may be slow, away or not there at all, and nothing of that may reach the items whose spans they are; yet a collector
//! that is away for a moment should not cost a trace. Answer: one task takes what has been recorded once a second, or sooner when there is
//! much, and sends it in batches; what does not arrive is tried again for a few seconds while the ring of `observe::trace` fills, and then
//! counted as lost. Figures go out every minute. [`encode`] makes OTLP's messages, [`http`] carries them where gRPC does not.

mod encode;
mod http;
mod options;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::channel::{Channels, Rpc, Scope};
use super::runtime;
use crate::error::{Code, Error, Result};
use crate::observe;
use crate::observe::trace;

use options::Telemetry;
pub use options::{Protocol, TelemetryOptions};

/// Spans in one request.
const BATCH: usize = 512;
/// Time between two looks at what has been recorded.
const TICK: Duration = Duration::from_secs(1);
/// Attempts for one batch, and the pause before the second; it doubles.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

const TRACES: Signal =
    Signal { path: "/v1/traces", rpc: Rpc { path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export", name: "Export", safe: true } };
const METRICS: Signal =
    Signal { path: "/v1/metrics", rpc: Rpc { path: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", name: "Export", safe: true } };

/// What is sent, and where it belongs.
struct Signal {
    path: &'static str,
    rpc: Rpc,
}

/// Why something did not arrive.
struct Unsent {
    error: Error,
    /// Whether the same may arrive later.
    retryable: bool,
}

/// What sends.
struct Exporter {
    settings: Telemetry,
    http: http::Poster,
    grpc: Channels,
    /// The protocol that has been taken, or that is tried next.
    protocol: AtomicU8,
    settled: AtomicBool,
    wake: Arc<Notify>,
    /// One sends at a time.
    sending: tokio::sync::Mutex<()>,
    stop: CancellationToken,
    began: Instant,
    /// Whether the last attempt failed: the log tells it once.
    failing: AtomicBool,
}

static EXPORTER: Mutex<Option<Arc<Exporter>>> = Mutex::new(None);

/// Begins to collect and to send, in place of what did before; how often figures are sent.
pub fn configure(options: TelemetryOptions) -> Result<Option<Duration>> {
    let settings = Telemetry::new(options)?;
    let grpc = Channels::new(settings.remote()?)?;
    let wake = Arc::new(Notify::new());
    let exporter = Arc::new(Exporter {
        http: http::Poster::new(&settings)?,
        grpc,
        protocol: AtomicU8::new(settings.first_protocol() as u8),
        settled: AtomicBool::new(settings.protocol.is_some()),
        wake: Arc::clone(&wake),
        sending: tokio::sync::Mutex::new(()),
        stop: CancellationToken::new(),
        began: Instant::now(),
        failing: AtomicBool::new(false),
        settings,
    });
    runtime::spawn(Arc::clone(&exporter).run())?;
    trace::collect(exporter.settings.sample_ratio, exporter.settings.max_traces_per_second, Box::new(move || wake.notify_one()));
    let interval = exporter.settings.metrics_interval;
    if let Some(before) = EXPORTER.lock().replace(exporter) {
        before.stop.cancel();
    }
    Ok(interval)
}

/// Sends what has been recorded, and the figures; ends when it has arrived. Nothing where nothing is collected.
///
/// The last failure, if something did not arrive.
pub async fn flush() -> Result<()> {
    let exporter = EXPORTER.lock().clone();
    match exporter {
        None => Ok(()),
        Some(exporter) => exporter.everything().await,
    }
}

/// Stops collecting, and sends what was recorded until then.
pub async fn shutdown() -> Result<()> {
    let Some(exporter) = EXPORTER.lock().take() else { return Ok(()) };
    trace::stop();
    exporter.stop.cancel();
    exporter.everything().await
}

impl Exporter {
    async fn run(self: Arc<Self>) {
        let mut told = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
            // What became of it is in the log and in the figures.
            let _ = self.spans().await;
            if self.settings.metrics_interval.is_some_and(|interval| told.elapsed() >= interval) {
                told = Instant::now();
                let _ = self.figures().await;
            }
        }
    }

    async fn everything(&self) -> Result<()> {
        self.spans().await?;
        if self.settings.metrics_interval.is_some() {
            self.figures().await?;
        }
        Ok(())
    }

    async fn spans(&self) -> Result<()> {
        let _sending = self.sending.lock().await;
        let mut result = Ok(());
        loop {
            let spans = trace::take(BATCH);
            if spans.is_empty() {
                return result;
            }
            let count = spans.len();
            if let Err(error) = self.send(&TRACES, &encode::spans(spans, &self.settings)).await {
                trace::lost(count);
                result = Err(error);
            }
        }
    }

    async fn figures(&self) -> Result<()> {
        let message = encode::figures(&observe::all_figures(&observe::noted()), &self.settings, self.began);
        self.send(&METRICS, &message).await
    }

    async fn send(&self, signal: &Signal, message: &(impl Message + Clone + 'static)) -> Result<()> {
        let (mut pause, mut attempt) = (PAUSE, 1);
        loop {
            let failed = match self.attempt(signal, message).await {
                Ok(()) => {
                    self.settled.store(true, Ordering::Relaxed);
                    if self.failing.swap(false, Ordering::Relaxed) {
                        tracing::info!(target: "telemetry", endpoint = self.settings.endpoint, "the collector takes spans again");
                    }
                    return Ok(());
                }
                Err(failed) => failed,
            };
            if !self.settled.load(Ordering::Relaxed) {
                // It may speak the other one.
                self.protocol.fetch_xor(1, Ordering::Relaxed);
            } else if !failed.retryable {
                attempt = ATTEMPTS;
            }
            if attempt >= ATTEMPTS || self.stop.is_cancelled() && attempt > 1 {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(target: "telemetry", error = %failed.error, "the collector does not take what is sent");
                }
                return Err(failed.error);
            }
            attempt += 1;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn attempt(&self, signal: &Signal, message: &(impl Message + Clone + 'static)) -> Result<(), Unsent> {
        if self.protocol.load(Ordering::Relaxed) == Protocol::Http as u8 {
            let sent = tokio::time::timeout(self.settings.timeout, self.http.post(signal.path, message.encode_to_vec().into())).await;
            return sent.unwrap_or_else(|_| {
                let text = format!("{} did not answer within {} ms", self.settings.endpoint, self.settings.timeout.as_millis());
                Err(Unsent { error: Error::new(Code::Deadline, text), retryable: true })
            });
        }
        let sent = self.grpc.call::<_, ()>(&signal.rpc, &Scope::default(), || message.clone()).await;
        sent.map_err(|error| Unsent { retryable: error.code().retryable(), error })
    }
}
