//! What real Python makes of the service: grpcio with its own pickles and numpy, and stubs from this repository's `proto/`.
//!
//! The client is `__test__/peers/python/client.py`; its packages come from `PyPI` into `target/`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use futures_util::FutureExt;
use remotemedia_wasmedge::data::{Kind, Packet, Value};
use remotemedia_wasmedge::error::{Code, Error};
use remotemedia_wasmedge::remote::service::{Access, CallInfo, ItemSink, ItemSource, NodeEntry, ServiceOptions, ServiceTlsOptions};
use serde_json::json;

use super::support::*;

fn peers() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("__test__/peers/python")
}

/// Has these exchanges with the service, one after the other, and gives what came of each.
async fn ask(running: &Running, more: &[&str], steps: Value) -> Vec<Value> {
    let wanted = std::fs::read_to_string(peers().join("requirements.txt")).expect("the list of packages");
    let address = format!("localhost:{}", running.address.port());
    let more: Vec<String> = more.iter().map(|text| (*text).to_owned()).collect();
    let run = move || {
        let packages: Vec<_> = wanted.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let python = crate::python::with_packages(&packages);
        let mut command = Command::new(python);
        command.arg(peers().join("client.py")).arg(address).args(more).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python starts");
        child.stdin.take().expect("its input").write_all(steps.to_string().as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "the client failed");
        serde_json::from_slice(&output.stdout).expect("json")
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

/// Tells audio's loudness as `VoiceActivityDetector` would, and sends the audio on with it.
fn vad() -> NodeEntry {
    let node = PerItem(|_, packet: Packet| {
        if packet.kind() != Kind::Audio {
            return Err(Error::new(Code::Guest, format!("no audio but {}", packet.kind().name())));
        }
        let loud = packet.bytes.chunks_exact(4).any(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")).abs() > 0.1);
        let mut metadata = packet.metadata.as_deref().cloned().unwrap_or_default();
        metadata.insert("is_speech".into(), loud.into());
        Ok(vec![Packet { metadata: Some(metadata.into()), ..packet }])
    });
    NodeEntry { category: "audio".into(), description: "Finds speech".into(), ..NodeEntry::new(node) }
}

/// Counts the items of a stream, and tells the sum of the numbers at its end.
fn total() -> NodeEntry {
    NodeEntry::new(Streams(|_, input: ItemSource, output: ItemSink| {
        async move {
            let mut sum = 0;
            while let Some(packet) = input.next().await? {
                sum += serde_json::from_slice::<i64>(&packet.bytes).map_err(|error| Error::new(Code::Guest, format!("no number: {error}")))?;
            }
            output.send(super::support::json(&sum.to_string())).await
        }
        .boxed()
    }))
}

fn config() -> NodeEntry {
    NodeEntry::new(PerItem(|info: CallInfo, _| Ok(vec![super::support::json(&Value::Object(info.config).to_string())])))
}

async fn running() -> Running {
    let forever = NodeEntry::new(Async(|_, _| std::future::pending().boxed()));
    let nodes = vec![("Echo", echo()), ("VoiceActivityDetector", vad()), ("Total", total()), ("Config", config()), ("Forever", forever)];
    Running::with(options(), nodes).await
}

#[tokio::test]
async fn python_finds_its_way_around() {
    let running = running().await;
    let steps = json!([
        { "op": "health" },
        { "op": "watch", "service": "remotemedia.execution.RemoteExecutionService" },
        { "op": "status", "include_metrics": true },
        { "op": "list_nodes", "category": "audio" },
        { "op": "typescript" },
        { "op": "custom_task" },
        { "op": "raw", "method": "SavePipeline" },
        { "op": "raw", "method": "ExecuteNode", "message": "////" },
    ]);
    let answers = ask(&running, &[], steps).await;
    assert_eq!((&answers[0]["status"], &answers[1]["status"]), (&json!("SERVING"), &json!("SERVING")));
    assert_eq!((&answers[2]["status"], &answers[2]["metrics"]["total_requests"]), (&json!(1), &json!(0)), "{}", answers[2]);
    assert_eq!(answers[3]["nodes"], json!([{ "type": "VoiceActivityDetector", "category": "audio", "description": "Finds speech" }]));
    let nodes: Value = serde_json::from_str(answers[4]["text"].as_str().expect("text")).expect("json");
    assert_eq!(nodes["nodes"].as_array().map(Vec::len), Some(5));
    assert_eq!(answers[5]["error"], "Custom task execution not yet implemented (Phase 3)");
    assert_eq!((&answers[6]["grpc"], &answers[7]["grpc"]), (&json!("UNIMPLEMENTED"), &json!("INTERNAL")), "{answers:?}");
}

#[tokio::test]
async fn python_gets_back_the_values_that_it_sent() {
    let running = running().await;
    let tensor = |dtype: &str, order: &str| {
        let data = if dtype.contains('f') { json!([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) } else { json!([1, 2, 3, 4, 5, 6]) };
        json!({ "$ndarray": { "dtype": dtype, "shape": [2, 3], "order": order, "data": data } })
    };
    let values = [
        json!(null),
        json!(true),
        json!("text with ü and \u{1f600}"),
        json!([1, -2, 3.5, null, "x", [], {}]),
        json!({ "a": { "b": [1, { "c": null }] } }),
        json!({ "$bytes": "AAH/" }),
        tensor("<f8", "C"),
        tensor("|u1", "C"),
        tensor("<i8", "C"),
    ];
    let mut steps: Vec<_> = values.iter().map(|value| json!({ "op": "execute", "node": "Echo", "input": value })).collect();
    // As json, what json can hold.
    steps.extend(values[..5].iter().map(|value| json!({ "op": "execute", "node": "Echo", "input": value, "format": "json" })));
    steps.push(json!({ "op": "execute", "node": "Echo", "input": tensor("<i2", "F") }));
    steps.push(json!({ "op": "execute", "node": "Echo", "input": tensor(">f4", "C") }));
    steps.push(json!({ "op": "execute", "node": "Echo", "input": { "$float": "nan" }, "format": "json" }));
    let answers = ask(&running, &[], steps.into()).await;
    let expected = values.iter().chain(&values[..5]).cloned().chain([tensor("<i2", "C"), tensor("<f4", "C"), json!(null)]);
    for (answer, expected) in answers.iter().zip(expected) {
        assert_eq!((&answer["status"], &answer["value"]), (&json!("SUCCESS"), &expected), "{answer}");
    }
    assert_eq!(answers.len(), 17);
}

#[tokio::test]
async fn python_sends_audio_as_its_nodes_do_and_gets_it_back() {
    let running = running().await;
    let audio = |samples: &[f32], more: Value| {
        let mut audio = json!({ "samples": samples, "rate": 16_000 });
        if !more.is_null() {
            audio["metadata"] = more;
        }
        json!({ "$audio": audio })
    };
    let execute = |input: Value| json!({ "op": "execute", "node": "VoiceActivityDetector", "input": input });
    let stream = |inputs: Value| json!({ "op": "stream", "node": "VoiceActivityDetector", "inputs": inputs });
    let loud = audio(&[0.5, -0.5], json!({ "session_id": "s1", "user": "ada" }));
    let answers = ask(
        &running,
        &[],
        json!([
            execute(loud.clone()),
            execute(json!("no audio")),
            stream(json!([loud, audio(&[0.0, 0.0], json!(null)), audio(&[0.25], json!(null))])),
            stream(json!([audio(&[0.0], json!(null)), "no audio", audio(&[0.0], json!(null))])),
            { "op": "status", "include_metrics": true },
        ]),
    )
    .await;
    let heard = |samples: &[f32], about: Value| {
        let array = json!({ "$ndarray": { "dtype": "<f4", "shape": [1, samples.len()], "order": "C", "data": samples } });
        json!({ "$tuple": [array, 16_000, about] })
    };
    let speech = heard(&[0.5, -0.5], json!({ "user": "ada", "is_speech": true, "session_id": "s1" }));
    let sorted = |value: &Value| {
        // The order of a dict's entries is nobody's promise.
        let mut value = value.clone();
        value["$tuple"][2].as_object_mut().expect("a dict").sort_keys();
        value
    };
    assert_eq!(sorted(&answers[0]["value"]), sorted(&speech), "{}", answers[0]);
    assert_eq!(answers[1]["error"], "[UNKNOWN] NodeError: no audio but text");
    assert_eq!(answers[1]["metrics"]["exit_code"], -1);
    let values = answers[2]["values"].as_array().expect("values");
    assert_eq!(sorted(&values[0]), sorted(&speech));
    let named = json!({ "is_speech": false, "session_id": "s1" });
    assert_eq!(sorted(&values[1]), sorted(&heard(&[0.0, 0.0], named)), "the stream's session");
    assert_eq!((values.len(), &answers[2]["error"]), (3, &json!("")));
    assert_eq!((answers[3]["values"].as_array().map(Vec::len), &answers[3]["error"]), (Some(1), &json!("[UNKNOWN] NodeError: no audio but text")));
    assert_eq!(answers[4]["metrics"]["active_sessions"], 1);
}

#[tokio::test]
async fn pythons_configuration_streams_and_failures_are_understood() {
    let running = running().await;
    let given = json!({ "flag": true, "off": false, "none": null, "list": [1, 2.5, "x"], "dict": { "k": false }, "text": "plain", "number": 7 });
    let numbers: Vec<_> = (0..500).collect();
    let answers = ask(
        &running,
        &[],
        json!([
            { "op": "execute", "node": "Config", "config": given, "input": null },
            { "op": "stream", "node": "Config", "config": given, "inputs": [1], "format": "json" },
            { "op": "stream", "node": "Total", "inputs": numbers },
            { "op": "stream", "node": "Total", "inputs": [] },
            { "op": "stream", "node": "Total", "inputs": [1], "first": "data" },
            { "op": "stream", "node": "Nothing", "inputs": [1] },
            { "op": "execute", "node": "Nothing", "input": 1 },
            { "op": "execute", "node": "Echo", "raw": "gASVAAAA", "format": "pickle" },
            { "op": "execute", "node": "Forever", "input": 1, "timeout": 0.5 },
            { "op": "parallel", "steps": [
                { "op": "stream", "node": "Total", "inputs": [1, 2] },
                { "op": "stream", "node": "Total", "inputs": [3, 4] },
            ] },
        ]),
    )
    .await;
    assert_eq!((&answers[0]["value"], &answers[1]["values"]), (&given, &json!([given])));
    assert_eq!((&answers[2]["values"], &answers[3]["values"]), (&json!([124_750]), &json!([0])));
    assert_eq!(answers[4]["grpc"], "INVALID_ARGUMENT");
    for answer in &answers[5..7] {
        assert!(
            answer["error"].as_str().expect("text").starts_with("[VALIDATION] ConfigurationError: Node type 'Nothing' is not registered"),
            "{answer}"
        );
    }
    assert!(answers[7]["error"].as_str().expect("text").starts_with("[SERIALIZATION] "), "{}", answers[7]);
    assert_eq!(answers[8]["grpc"], "DEADLINE_EXCEEDED");
    assert_eq!((&answers[9]["results"][0]["values"], &answers[9]["results"][1]["values"]), (&json!([3]), &json!([7])));
    running.until(&["activeCalls"], 0).await;
}

#[tokio::test]
async fn pythons_pipelines_run_and_its_objects_are_refused() {
    let running = running().await;
    let answers = ask(
        &running,
        &[],
        json!([
            { "op": "register_pipeline", "name": "sums", "nodes": [{ "type": "Echo" }, { "type": "Total" }], "metadata_map": { "category": "math" } },
            { "op": "execute_pipeline", "pipeline": { "$from": [0, "pipeline"] }, "input": 5 },
            { "op": "stream_pipeline", "pipeline": { "$from": [0, "pipeline"] }, "inputs": [1, 2, 3], "controls": ["FLUSH", "CLOSE"] },
            { "op": "execute_pipeline", "pipeline": { "$from": [0, "pipeline"] }, "input": "x" },
            { "op": "stream_pipeline", "pipeline": { "$from": [0, "pipeline"] }, "inputs": ["x"], "format": "json" },
            { "op": "pipeline_info", "pipeline": { "$from": [0, "pipeline"] } },
            { "op": "list_pipelines", "category": "math" },
            { "op": "unregister_pipeline", "pipeline": { "$from": [0, "pipeline"] } },
            { "op": "package", "module": "evil", "source": "class C:\n  def f(self): return 1\n", "object": "C()" },
            { "op": "object_method", "package": { "$from": [8, "package"] }, "method": "f" },
            { "op": "object_method", "session": "none", "method": "f" },
            { "op": "stream_object", "package": { "$from": [8, "package"] }, "inputs": [1] },
            { "op": "generator", "session": "none", "method": "f" },
        ]),
    )
    .await;
    assert_eq!(answers[0]["status"], "SUCCESS", "{}", answers[0]);
    assert_eq!(answers[1]["value"], 5);
    let events = answers[2]["events"].as_array().expect("events");
    assert_eq!((&events[0]["ack"]["ready"], &events[1]["status"]["items_processed"], &events[2]), (&json!(true), &json!(3), &json!({ "data": 6 })));
    assert_eq!(answers[3]["status"], "ERROR");
    let events = answers[4]["events"].as_array().expect("events");
    assert!(events.len() == 2 && events[1]["error"].as_str().expect("text").starts_with("[UNKNOWN] NodeError: no number"), "{events:?}");
    assert_eq!((&answers[5]["metrics"]["total_executions"], &answers[5]["metrics"]["total_errors"]), (&json!(4), &json!(2)));
    assert_eq!(answers[6]["pipelines"][0]["usage_count"], 4);
    assert_eq!(answers[7]["status"], "SUCCESS");
    assert_eq!(answers[9]["status"], "SECURITY_VIOLATION");
    assert_eq!(answers[10]["error"], "[VALIDATION] ConfigurationError: Session ID 'none' not found.");
    assert!(answers[11]["error"].as_str().expect("text").starts_with("[SECURITY] "), "{}", answers[11]);
    assert_eq!(answers[12]["status"], "ERROR");
}

#[tokio::test]
async fn python_needs_its_token_and_trusts_a_certificate() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, key.cert.pem()).expect("a file");
    let tls = ServiceTlsOptions { cert: Some(key.cert.pem().into()), key: Some(key.signing_key.serialize_pem().into()), client_ca: None };
    let access = Some(Access::Tokens(vec!["secret".into()]));
    let running = Running::with(ServiceOptions { tls: Some(tls), access, ..options() }, vec![("Echo", echo())]).await;
    let steps = json!([
        { "op": "execute", "node": "Echo", "input": 1, "metadata": { "authorization": "Bearer secret" } },
        { "op": "execute", "node": "Echo", "input": 1, "metadata": { "authorization": "Bearer wrong" } },
        { "op": "stream", "node": "Echo", "inputs": [1] },
        { "op": "health" },
    ]);
    let answers = ask(&running, &["--ca", ca.to_str().expect("UTF-8")], steps).await;
    assert_eq!(answers[0]["value"], 1, "{}", answers[0]);
    assert_eq!((&answers[1]["grpc"], &answers[2]["grpc"]), (&json!("UNAUTHENTICATED"), &json!("UNAUTHENTICATED")));
    assert_eq!(answers[3]["status"], "SERVING");
}
