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
    ("endpoints", "list", "endpoint, state (idle, connecting, ready, failing), calls in flight, ejected, healthy"),
];
