//! Pipeline manifests through their public interface: what is read comes back as it was, what is wrong is named by its place, and no text
//! whatever makes the reader panic or hold more than its limits.

#[path = "manifest/graph.rs"]
mod graph;
#[path = "manifest/hostile.rs"]
mod hostile;
#[path = "manifest/problems.rs"]
mod problems;
#[path = "manifest/remote.rs"]
mod remote;
#[path = "manifest/round_trip.rs"]
mod round_trip;

use remotemedia_wasmedge::error::{Code, Error};
use remotemedia_wasmedge::pipeline::manifest::Manifest;

/// The example of RemoteMedia's contract.
const GATE_THEN_TEXT: &str = r#"
version: v1
metadata: {name: gate-then-text}
nodes:
  - {id: gate, node_type: SileroVADNode, params: {threshold: 0.5}}
  - {id: stt, node_type: RemotePipelineNode, params: {transport: grpc, endpoint: "gpu-box:50051", timeout_ms: 8000, manifest: {version: v1, metadata: {name: stt}, nodes: [{id: w, node_type: RustWhisperNode}], connections: []}}}
connections:
  - {from: gate, to: stt}
"#;

/// Every field that is known, in the order in which it is written, and some that are not.
const EVERYTHING: &str = r#"version: v1
metadata:
  name: everything
  description: "One of each: it's long"
  created_at: "2026-11-25T07:00:00Z"
  auto_negotiate: true
  strict_capabilities: true
nodes:
  - id: mic
    node_type: AudioSource
    params:
      rate: 16000
      gain: 0.5
      mode: "on"
      nothing: null
      nested: [[1, 2], {a: b}]
    is_streaming: true
    is_output_node: true
    capabilities: {gpu: {type: cuda, min_memory_gb: 4, required: false}, memory_gb: 1.5}
    media_capabilities:
      inputs: {}
      outputs: {default: {type: audio, sample_rate: {min: 8000, max: 48000}}}
    host: edge-1
    runtime_hint: rust_python
    execution: {placement: prefer_local, reason: latency, fallback: other, weight: 3}
    docker: {image: "python:3.12"}
    python_deps: ["numpy>=2"]
    fast_path: true
  - id: out
    node_type: AudioSink
connections:
  - {from: mic, to: out, to_port: default}
python_env: {python_version: "3.12", scope: global, extra_deps: [scipy]}
plugins: ["./plugins/x.so"]
"#;

/// Reads what must not be readable, and gives the error.
fn refused(text: &str) -> Error {
    match Manifest::parse(text) {
        Ok(_) => panic!("was read:\n{text}"),
        Err(error) => checked(error),
    }
}

/// Every error says where it is, in the message too.
fn checked(error: Error) -> Error {
    assert_eq!(error.code(), Code::Config, "{error}");
    let path = error.path().expect("a path").to_owned();
    assert!(!path.is_empty() && error.message().starts_with(&format!("{path}: ")), "{error}");
    error
}
