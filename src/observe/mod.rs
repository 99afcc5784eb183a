//! What the floors above tell about themselves, and how it is read.
//!
//! Problem: whoever runs this wants to know what happened, and counting must cost nothing that a 16 ms audio frame would notice. Answer:
//! plain atomic counters beside the objects they describe ([`NodeMetrics`]), read as one snapshot; log lines go to `tracing`, and
//! [`log_to_stderr`] shows them when `RM_LOG` asks for it. Nothing here knows who counts.

mod metrics;
mod names;
mod prometheus;
mod registry;
mod system;

pub use metrics::{Counter, NodeMetrics, Timer};
pub use names::{METRICS, MetricKind, NAMES, REMOTE_NAMES};
pub use prometheus::{MAX_NAMES, text as prometheus_text};
pub use registry::{Area, Source, Visit, register, snapshot, sources};
pub use system::{Load, SystemLoad};

use std::sync::Once;

/// Sends log lines to standard error when the variable `RM_LOG` holds a filter such as `debug` or `guest=info,engine=debug`. Once per
/// process; an unreadable filter is said so and ignored.
pub fn log_to_stderr() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(filter) = std::env::var("RM_LOG").ok().filter(|text| !text.is_empty()) else { return };
        match filter.parse::<tracing_subscriber::filter::Targets>() {
            Ok(targets) => {
                use tracing_subscriber::layer::SubscriberExt;
                use tracing_subscriber::util::SubscriberInitExt;
                let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
                // Another subscriber of the process keeps its place.
                let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
            }
            Err(error) => eprintln!("RM_LOG is not a log filter: {error}"),
        }
    });
}
