//! The parameters of `RemotePipelineNode`.

use std::time::Duration;

use remotemedia_wasmedge::error::Result;
use remotemedia_wasmedge::pipeline::manifest::{
    CircuitBreaker, HealthCheck, LoadBalance, Manifest, REMOTE_PIPELINE_NODE, RemotePipelineParams, Retry,
};
use remotemedia_wasmedge::remote::Token;
use serde_json::{Value, json};

use super::{GATE_THEN_TEXT, checked};

fn read(params: &Value) -> Result<RemotePipelineParams> {
    let env = |name: &str| (name == "STT_TOKEN").then(|| "s3cret".to_owned());
    RemotePipelineParams::read(params.as_object().expect("an object"), "nodes.1.params", &env)
}

fn inner() -> Value {
    json!({ "version": "v1", "metadata": {}, "nodes": [{ "id": "w", "node_type": "W" }], "connections": [] })
}

/// What is needed, and `more`; null removes.
fn with(more: Value) -> Value {
    let mut params = json!({ "transport": "grpc", "endpoint": "gpu-box:50051", "manifest": inner() });
    let map = params.as_object_mut().expect("an object");
    for (key, value) in more.as_object().expect("an object") {
        map.insert(key.clone(), value.clone());
    }
    params
}

#[test]
fn the_contracts_example_has_its_defaults() {
    let manifest = Manifest::parse(GATE_THEN_TEXT).expect("the example");
    assert_eq!(manifest.nodes[1].node_type, REMOTE_PIPELINE_NODE);
    let params = read(&Value::Object(manifest.nodes[1].params.clone())).expect("params");
    assert_eq!(params.endpoints, ["gpu-box:50051"]);
    assert_eq!(params.timeout, Duration::from_secs(8));
    assert_eq!(params.retry, Retry { max_retries: 3, backoff: Duration::from_secs(1) });
    let breaker = CircuitBreaker { failure_threshold: 5, success_threshold: 2, reset_timeout: Duration::from_secs(60) };
    assert_eq!(params.circuit_breaker, breaker);
    assert_eq!(params.load_balance_strategy, LoadBalance::RoundRobin);
    assert_eq!(params.health_check, None);
    assert!(params.auth_token.is_none() && params.metadata.is_empty());
    assert_eq!(params.manifest.nodes[0].node_type, "RustWhisperNode");
    assert_eq!(read(&with(json!({}))).expect("params").timeout, Duration::from_secs(30));
}

#[test]
fn everything_is_read() {
    let params = read(&with(json!({
        "transport": null,
        "endpoint": null,
        "endpoints": ["a:1", "https://b"],
        "timeout_ms": 250.0,
        "retry": { "max_retries": 0 },
        "circuit_breaker": { "failure_threshold": 1, "reset_timeout_ms": 5 },
        "load_balance_strategy": "least_connections",
        "health_check": { "interval_ms": 100 },
        "auth_token": "Key-${STT_TOKEN}.${STT_TOKEN}",
        "metadata": { "x-tenant": "t1" },
        "something": "else",
    })))
    .expect("params");
    assert_eq!(params.endpoints, ["a:1", "https://b"]);
    assert_eq!(params.timeout, Duration::from_millis(250));
    assert_eq!(params.retry, Retry { max_retries: 0, backoff: Duration::from_secs(1) });
    let breaker = CircuitBreaker { failure_threshold: 1, success_threshold: 2, reset_timeout: Duration::from_millis(5) };
    assert_eq!(params.circuit_breaker, breaker);
    assert_eq!(params.load_balance_strategy, LoadBalance::LeastConnections);
    assert_eq!(params.health_check, Some(HealthCheck { interval: Duration::from_millis(100), timeout: Duration::from_secs(2) }));
    assert!(matches!(&params.auth_token, Some(Token::Fixed(token)) if token == "Key-s3cret.s3cret"));
    assert_eq!(params.metadata, [("x-tenant".to_owned(), "t1".to_owned())]);
    assert!(!format!("{params:?}").contains("s3cret"));
}

#[test]
fn every_problem_is_named_by_its_place() {
    let visible = "must be 1 to 8192 visible ASCII characters";
    let rows = [
        (json!({ "transport": "http" }), "transport", "must be 'grpc', got 'http'"),
        (json!({ "endpoint": null }), "endpoint", "must be given, or endpoints"),
        (json!({ "endpoint": null, "server_url": "x" }), "endpoint", "must be given, or endpoints; server_url is not read"),
        (json!({ "endpoint": "ftp://x" }), "endpoint", "must be host:port or a URL with http, https, grpc or grpcs, got 'ftp://'"),
        (json!({ "endpoint": 1 }), "endpoint", "must be a string, got 1"),
        (json!({ "endpoints": ["a:1"] }), "endpoints", "excludes endpoint: one of the two says it all"),
        (json!({ "endpoint": null, "endpoints": [] }), "endpoints", "must have an endpoint at least"),
        (json!({ "endpoint": null, "endpoints": ["a:1", "a b"] }), "endpoints.1", "must be host:port or a URL, got 'a b'"),
        (json!({ "endpoint": null, "endpoints": ["a:1", 2] }), "endpoints.1", "must be a string, got 2"),
        (json!({ "manifest": null }), "manifest", "must be given"),
        (json!({ "manifest": null, "pipeline_manifest": {} }), "manifest", "must be given; pipeline_manifest is not read"),
        (json!({ "manifest": "x.yaml" }), "manifest", "must be an object, got 'x.yaml'"),
        (json!({ "manifest_url": "http://x" }), "manifest_url", "excludes manifest: only one of them can be the pipeline"),
        (json!({ "pipeline_name": "x" }), "pipeline_name", "excludes manifest: only one of them can be the pipeline"),
        (
            json!({ "manifest": null, "manifest_url": "http://x", "pipeline_name": "x" }),
            "pipeline_name",
            "excludes manifest_url: only one of them can be the pipeline",
        ),
        (
            json!({ "manifest": null, "manifest_url": "http://x" }),
            "manifest_url",
            "is not supported, as nothing is fetched over HTTP: put the pipeline itself in manifest",
        ),
        (
            json!({ "manifest": null, "pipeline_name": "x", "manifest_endpoint": "http://x" }),
            "pipeline_name",
            "is not supported, as it stands for a manifest that manifest_endpoint has over HTTP: put the pipeline itself in manifest",
        ),
        (json!({ "auth_header": "x" }), "auth_header", "is for pipeline_name, and manifest excludes that"),
        (json!({ "manifest_endpoint": "x" }), "manifest_endpoint", "is for pipeline_name, and manifest excludes that"),
        (json!({ "timeout_ms": 0 }), "timeout_ms", "must be a whole number from 1 to 86400000, got 0"),
        (json!({ "timeout_ms": 1.5 }), "timeout_ms", "must be a whole number from 1 to 86400000, got 1.5"),
        (json!({ "timeout_ms": 1e300 }), "timeout_ms", "must be a whole number from 1 to 86400000, got 1e+300"),
        (json!({ "timeout_ms": "8s" }), "timeout_ms", "must be a whole number from 1 to 86400000, got '8s'"),
        (json!({ "retry": 3 }), "retry", "must be an object, got 3"),
        (json!({ "retry": { "max_retries": -1 } }), "retry.max_retries", "must be a whole number from 0 to 100, got -1"),
        (json!({ "retry": { "backoff_ms": 86_400_001 } }), "retry.backoff_ms", "must be a whole number from 0 to 86400000, got 86400001"),
        (
            json!({ "circuit_breaker": { "failure_threshold": 0 } }),
            "circuit_breaker.failure_threshold",
            "must be a whole number from 1 to 1000000, got 0",
        ),
        (
            json!({ "circuit_breaker": { "success_threshold": null, "reset_timeout_ms": 0 } }),
            "circuit_breaker.reset_timeout_ms",
            "must be a whole number from 1 to 86400000, got 0",
        ),
        (json!({ "load_balance_strategy": "hash" }), "load_balance_strategy", "must be one of round_robin, least_connections, random, got 'hash'"),
        (json!({ "health_check": true }), "health_check", "must be an object, got a boolean"),
        (json!({ "health_check": { "interval_ms": 1 } }), "health_check.interval_ms", "must be a whole number from 10 to 86400000, got 1"),
        (json!({ "health_check": { "timeout_ms": 0 } }), "health_check.timeout_ms", "must be a whole number from 1 to 86400000, got 0"),
        (json!({ "auth_token": 12345 }), "auth_token", "must be a string"),
        (json!({ "auth_token": "" }), "auth_token", visible),
        (json!({ "auth_token": "a b" }), "auth_token", visible),
        (json!({ "auth_token": "${NOT_SET}" }), "auth_token", "wants the variable NOT_SET, which is not set"),
        (json!({ "auth_token": "${STT_TOKEN" }), "auth_token", "has ${ without }"),
        (json!({ "auth_token": "${s3 cret}" }), "auth_token", "has a ${...} that is no name of a variable"),
        (json!({ "metadata": [] }), "metadata", "must be an object, got an array"),
        (json!({ "metadata": { "x": 1 } }), "metadata.x", "must be a string, got 1"),
    ];
    for (more, key, problem) in rows {
        let path = format!("nodes.1.params.{key}");
        let error = checked(read(&with(more)).expect_err(key));
        assert_eq!((error.path(), error.message()), (Some(path.as_str()), format!("{path}: {problem}").as_str()));
    }
}

#[test]
fn what_is_inside_is_checked_under_its_own_place() {
    let mut pipeline = inner();
    pipeline["connections"] = json!([{ "from": "w", "to": "x" }]);
    let error = checked(read(&with(json!({ "manifest": pipeline }))).expect_err("a problem"));
    assert_eq!(error.message(), "nodes.1.params.manifest.connections.0.to: must be the id of a node, got 'x'");

    pipeline["connections"] = json!([]);
    pipeline["nodes"] = json!([{ "id": "r", "node_type": REMOTE_PIPELINE_NODE, "params": { "manifest": pipeline } }]);
    pipeline["nodes"][0]["params"]["manifest"]["nodes"][0]["id"] = json!("");
    let error = checked(read(&with(json!({ "manifest": pipeline }))).expect_err("a problem"));
    assert_eq!(error.path(), Some("nodes.1.params.manifest.nodes.0.params.manifest.nodes.0.id"));
}
