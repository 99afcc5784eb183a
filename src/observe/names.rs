//! Every metric's name, unit and meaning, in one table. A test compares it with what a node reports and with the docs.

/// Name in a snapshot, unit, meaning.
pub const NAMES: &[(&str, &str, &str)] = &[
    ("items", "count", "items given to the guest"),
    ("outputs", "count", "packets that the guest put out"),
    ("inputBytes", "bytes", "payload bytes given to the guest"),
    ("outputBytes", "bytes", "payload bytes that the guest put out"),
    ("errors", "count by code", "items that ended in an error"),
    ("callsByMode", "count by mode", "items by the run mode that served them"),
    ("execMs", "milliseconds", "time in the guest: total, mean, max and the percentiles p50 and p99 (upper bounds of their buckets)"),
    ("instancesLive", "count", "guest instances that exist now"),
    ("memoryBytes", "bytes", "linear memory of guests that have a session, as of their last items"),
    ("instancesCreated", "count", "guest instances made so far"),
    ("instancesLost", "count", "guest instances thrown away after a trap or a limit"),
    ("instancesMoved", "count", "running guests that went from the interpreter to compiled code"),
    ("instancesIdleEvicted", "count", "unused instances that outlived pool.idleTtlMs"),
    ("sessionsOpen", "count", "sessions that exist now"),
    ("sessionsOpened", "count", "sessions opened so far"),
    ("sessionsClosed", "count by reason", "sessions that ended: closed, stream-end, least-recently-used, expired, cleanup"),
    ("queued", "count", "items accepted and not yet begun"),
    ("waiting", "count", "sessions that wait for an instance now"),
    ("compileMs", "milliseconds", "time that compiling the module took; 0 when it was found in the cache"),
    ("mode", "name", "run mode that new instances get now"),
];

/// The same for a remote client.
pub const REMOTE_NAMES: &[(&str, &str, &str)] = &[
    ("calls", "count", "calls that ended"),
    ("errors", "count by code", "calls and streams that ended in an error"),
    ("retries", "count", "attempts after a failed one"),
    ("hedges", "count", "second attempts of calls that took long"),
    ("streams", "count", "streams opened so far"),
    ("streamsOpen", "count", "streams that are under way"),
    ("itemsSent", "count", "items given to the remote"),
    ("itemsReceived", "count", "packets that the remote answered with"),
    ("bytesSent", "bytes", "payload bytes given to the remote"),
    ("bytesReceived", "bytes", "payload bytes that the remote answered with"),
    ("latencyMs", "milliseconds", "time of calls that went well, further attempts included: total, mean, max and the percentiles p50 and p99"),
    ("api", "name", "protocol that the remote speaks, once that is known: v0 or v1"),
    (
        "endpoints",
        "list",
        "endpoint, breaker (closed, half-open, open; nothing without one), state (idle, connecting, ready, failing), calls in flight, ejected, healthy",
    ),
];

/// What a figure of a monitoring system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

/// Every metric that a monitoring system gets: name, kind, labels beside the one that says whose it is, meaning. A test compares it with what
/// comes out and with the docs.
pub const METRICS: &[(&str, MetricKind, &str, &str)] = {
    use MetricKind::{Counter, Gauge, Histogram};
    &[
        ("remotemedia_edge_items_total", Counter, "", "items given to guests"),
        ("remotemedia_edge_outputs_total", Counter, "", "packets that guests put out"),
        ("remotemedia_edge_input_bytes_total", Counter, "", "payload bytes given to guests"),
        ("remotemedia_edge_output_bytes_total", Counter, "", "payload bytes that guests put out"),
        ("remotemedia_edge_errors_total", Counter, "code", "items that ended in an error"),
        ("remotemedia_edge_calls_total", Counter, "mode", "items by the run mode that served them"),
        ("remotemedia_edge_exec_milliseconds", Histogram, "", "time in the guest"),
        ("remotemedia_edge_instances", Gauge, "", "guest instances"),
        ("remotemedia_edge_memory_bytes", Gauge, "", "linear memory of guests that have a session"),
        ("remotemedia_edge_instances_created_total", Counter, "", "guest instances made so far"),
        ("remotemedia_edge_instances_lost_total", Counter, "", "guest instances thrown away after a trap or a limit"),
        ("remotemedia_edge_sessions", Gauge, "", "open sessions"),
        ("remotemedia_edge_sessions_opened_total", Counter, "", "sessions opened so far"),
        ("remotemedia_edge_sessions_closed_total", Counter, "reason", "sessions that ended"),
        ("remotemedia_edge_queued", Gauge, "", "items accepted and not yet begun"),
        ("remotemedia_edge_waiting", Gauge, "", "sessions that wait for an instance"),
        ("remotemedia_edge_compile_milliseconds", Gauge, "", "time that compiling the module took"),
        ("remotemedia_cloud_calls_total", Counter, "", "calls that ended"),
        ("remotemedia_cloud_errors_total", Counter, "code", "calls and streams that ended in an error"),
        ("remotemedia_cloud_retries_total", Counter, "", "attempts after a failed one"),
        ("remotemedia_cloud_hedges_total", Counter, "", "second attempts of calls that took long"),
        ("remotemedia_cloud_streams_total", Counter, "", "streams opened so far"),
        ("remotemedia_cloud_streams", Gauge, "", "streams that are under way"),
        ("remotemedia_cloud_items_sent_total", Counter, "", "items given to the remote"),
        ("remotemedia_cloud_items_received_total", Counter, "", "packets that the remote answered with"),
        ("remotemedia_cloud_sent_bytes_total", Counter, "", "payload bytes given to the remote"),
        ("remotemedia_cloud_received_bytes_total", Counter, "", "payload bytes that the remote answered with"),
        ("remotemedia_cloud_latency_milliseconds", Histogram, "", "time of calls that went well"),
        (
            "remotemedia_cloud_endpoint_available",
            Gauge,
            "endpoint",
            "1 where calls go to the endpoint, 0 where it is ejected, failing, unhealthy or its breaker open",
        ),
        ("remotemedia_cloud_endpoint_in_flight", Gauge, "endpoint", "calls under way"),
        ("remotemedia_routing_decisions_total", Counter, "target", "items by where they were decided to run"),
        ("remotemedia_routing_reasons_total", Counter, "reason", "items by why"),
        ("remotemedia_routing_explored_total", Counter, "", "items that were sent to the side that seemed worse, to learn"),
        (
            "remotemedia_routing_judged_total",
            Counter,
            "",
            "attempts of which it can be said whether their side was the right one: something is known of the other",
        ),
        ("remotemedia_routing_right_total", Counter, "", "those of them that went well and took no longer than the other side was expected to"),
        ("remotemedia_routing_errors_total", Counter, "", "items that no side could serve"),
        ("remotemedia_routing_fallbacks_total", Counter, "", "items that the other side was tried for"),
        ("remotemedia_routing_hedges_total", Counter, "", "second requests"),
        ("remotemedia_routing_hedges_won_total", Counter, "", "second requests that answered first"),
        ("remotemedia_routing_shed_total", Counter, "", "items that a full side refused"),
        ("remotemedia_routing_escalations_total", Counter, "", "answers of the edge that were unsure"),
        ("remotemedia_routing_batched_items_total", Counter, "", "items that travelled with others"),
        ("remotemedia_routing_failures_total", Counter, "target", "attempts that failed"),
        ("remotemedia_routing_bytes_total", Counter, "target", "payload bytes of attempts"),
        ("remotemedia_routing_latency_milliseconds", Histogram, "target", "time of attempts that went well"),
        ("remotemedia_routing_in_flight", Gauge, "target", "attempts under way"),
        ("remotemedia_routing_breaker", Gauge, "target", "0 closed, 1 half-open, 2 open"),
        ("remotemedia_routing_threshold_bytes", Gauge, "", "learned size from which on the cloud is cheaper; 0 where there is none"),
        ("remotemedia_routing_regret_share", Gauge, "", "expected cost beyond that of the better side, as a share of the cost"),
        ("remotemedia_routing_exploration_share", Gauge, "", "share of the cost that exploring took"),
        ("remotemedia_cache_hits_total", Counter, "from", "compiled modules that were found: in memory, or on disk"),
        ("remotemedia_cache_compiled_total", Counter, "", "modules that were compiled"),
        ("remotemedia_cache_failed_total", Counter, "", "modules that could not be compiled"),
        ("remotemedia_trace_spans_total", Counter, "", "spans that were recorded"),
        (
            "remotemedia_trace_spans_lost_total",
            Counter,
            "",
            "spans that were recorded and never arrived: more than could be sent, or nobody took them",
        ),
        ("remotemedia_system_cpu_share", Gauge, "", "share of the processors that this process may use, in use"),
        ("remotemedia_system_memory_share", Gauge, "", "share of the memory that this process may use, in use"),
        ("remotemedia_system_network_received_bytes_total", Counter, "", "bytes that came in through this machine's network interfaces"),
        ("remotemedia_system_network_sent_bytes_total", Counter, "", "bytes that went out through them"),
        ("remotemedia_system_resident_bytes", Gauge, "", "memory of this process"),
        ("remotemedia_system_event_loop_delay_milliseconds", Gauge, "", "how late the event loop is, 99th percentile since the last reading"),
    ]
};
