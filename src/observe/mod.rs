//! What the floors above tell about themselves, and how it is read.
//!
//! Problem: whoever runs this wants to know what happened, and counting must cost nothing that a 16 ms audio frame would notice. Answer:
//! plain atomic counters beside the objects they describe ([`NodeMetrics`]), read as one snapshot; log lines go to `tracing`, and
//! [`log`] shows them when somebody asks for it; spans of items under way are [`trace`]'s. Nothing here knows who counts.

mod log;
mod metrics;
mod names;
mod prometheus;
mod registry;
mod series;
mod system;
pub mod trace;

pub use log::{log_as_environment_says, show_log};
pub use metrics::{Counter, NodeMetrics, Timer};
pub use names::{METRICS, MetricKind, NAMES, REMOTE_NAMES};
pub use prometheus::text as prometheus_text;
pub use registry::{Area, ProcessCounter, Source, Visit, note, noted, register, register_counters, snapshot, sources};
pub use series::{Figure, Labels, MAX_NAMES, Series, collect as all_figures, retire};
pub use system::{Load, SystemLoad, Traffic};
