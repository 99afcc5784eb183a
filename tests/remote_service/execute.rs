//! `ExecuteNode`

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use parking_lot::Mutex;
use remotemedia_wasmedge::data::{Format, Packet, SessionId};
use remotemedia_wasmedge::error::{Code, Error, RemoteDetails};
use remotemedia_wasmedge::remote::codec::{self, PyValue, Wire};
use remotemedia_wasmedge::remote::pb::v0::{ExecuteNodeRequest, ExecutionOptions, ExecutionStatus};
use remotemedia_wasmedge::remote::service::{CallInfo, NodeEntry};
use tokio::sync::mpsc;
use tonic::Request;

use super::support::*;

/// A node that keeps what it was told.
fn witness() -> (NodeEntry, Arc<Mutex<Vec<CallInfo>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let node = PerItem(move |info, packet| {
        notes.lock().push(info);
        Ok(vec![packet])
    });
    (NodeEntry::new(node), seen)
}

#[tokio::test]
async fn an_item_is_answered_in_its_own_format_with_metrics() {
    let running = Running::with(options(), vec![("Echo", echo())]).await;
    let mut client = running.client().await;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    for (format, payload) in [("json", b"{\"a\": [1, null]}".to_vec()), ("raw", vec![0, 255, 7]), ("json", b"\"text\"".to_vec())] {
        let answer = execute(&mut client, request("Echo", format, payload.clone())).await;
        assert_eq!((answer.status(), answer.error_message.as_str()), (ExecutionStatus::Success, ""));
        assert_eq!(answer.output_data, payload);
        let metrics = answer.metrics.expect("metrics");
        assert!((metrics.start_timestamp - now_ms).abs() < 60_000, "milliseconds since 1970: {}", metrics.start_timestamp);
        assert_eq!(metrics.end_timestamp - metrics.start_timestamp, metrics.duration_ms);
        assert_eq!((metrics.input_size_bytes, metrics.output_size_bytes, metrics.exit_code), (payload.len() as i64, payload.len() as i64, 0));
    }
}

#[tokio::test]
async fn audio_arrives_as_audio_and_returns_as_python_has_it() {
    let running = Running::node(PerItem(|_, packet: Packet| {
        assert_eq!(packet.format, Format::Audio { sample_rate: 16_000.0, channels: 2 });
        Ok(vec![packet])
    }))
    .await;
    let session = SessionId::new("s1").expect("an id");
    let audio = codec::encode(&Packet::audio(&[0.5, -0.5, 1.0, 0.0], 16_000.0, 2), Wire::Pickle, Some(&session)).expect("a pickle");
    let answer = execute(&mut running.client().await, request("Node", "pickle", audio)).await;
    let PyValue::Tuple(parts) = codec::decode_value(&answer.output_data, Wire::Pickle).expect("a pickle") else { panic!("{answer:?}") };
    let [PyValue::Array(samples), PyValue::Int(16_000), about] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!((samples.shape.as_slice(), about.get("session_id")), ([2, 2].as_slice(), Some(&"s1".into())));
}

#[tokio::test]
async fn no_output_is_none_and_several_are_a_list() {
    let running = Running::node(PerItem(|_, packet: Packet| {
        let count = packet.bytes.trim_ascii().first().map_or(0, |digit| usize::from(digit - b'0'));
        Ok((0..count).map(|index| json(&index.to_string())).collect())
    }))
    .await;
    let mut client = running.client().await;
    for (count, expected) in [("0", "null"), ("1", "0"), ("3", "[0, 1, 2]")] {
        assert_eq!(execute(&mut client, request("Node", "json", count)).await.output_data, expected);
        let value = codec::decode_value(&codec::encode(&json(count), Wire::Pickle, None).expect("a pickle"), Wire::Pickle).expect("a value");
        let pickle = codec::encode_value(&value, Wire::Pickle).expect("a pickle");
        let answer = execute(&mut client, request("Node", "pickle", pickle)).await;
        let expected: Vec<_> = (0..count.parse().expect("a number")).map(PyValue::Int).collect();
        let expected = match expected.len() {
            0 => PyValue::None,
            1 => expected[0].clone(),
            _ => PyValue::List(expected),
        };
        assert_eq!(codec::decode_value(&answer.output_data, Wire::Pickle).expect("a pickle"), expected);
    }
    // '2' as raw bytes.
    let answer = execute(&mut client, request("Node", "raw", "2")).await;
    assert_eq!(answer.status(), ExecutionStatus::Error);
    assert!(answer.error_message.starts_with("[SERIALIZATION] "), "{}", answer.error_message);
    assert_eq!(execute(&mut client, request("Node", "raw", "0")).await.status(), ExecutionStatus::Success);
}

#[tokio::test]
async fn configuration_has_the_types_that_were_meant() {
    let (node, seen) = witness();
    let running = Running::with(options(), vec![("Node", node)]).await;
    let config = [("a", "42"), ("b", "True"), ("c", "true"), ("d", "{'k': None}"), ("e", "[1, 2.5]"), ("f", "plain"), ("name", "x"), ("g", "")];
    let config = config.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let message = ExecuteNodeRequest { config, ..request("Node", "json", "null") };
    assert_eq!(execute(&mut running.client().await, message).await.status(), ExecutionStatus::Success);
    let config = serde_json::Value::Object(seen.lock()[0].config.clone());
    let expected = serde_json::json!({ "a": 42, "b": true, "c": true, "d": { "k": null }, "e": [1, 2.5], "f": "plain", "g": "", "name": "x" });
    assert_eq!(config, expected);
}

#[tokio::test]
async fn a_handler_knows_the_call_it_is_for() {
    let (node, seen) = witness();
    let running = Running::with(options(), vec![("Node", node)]).await;
    let mut client = running.client().await;
    let mut call = Request::new(request("Node", "json", "1"));
    call.set_timeout(Duration::from_secs(50));
    let metadata = call.metadata_mut();
    metadata.insert("x-session-id", "from-metadata".parse().expect("a value"));
    metadata.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().expect("a value"));
    metadata.insert("tenant", "blue".parse().expect("a value"));
    metadata.insert("authorization", "Bearer mine".parse().expect("a value"));
    let before = Instant::now();
    client.execute_node(call).await.expect("an answer");
    let info = seen.lock().remove(0);
    assert_eq!(info.node_type, "Node");
    assert_eq!(info.session.as_ref().map(SessionId::as_str), Some("from-metadata"));
    assert_eq!(info.traceparent.as_deref(), Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    assert!(info.metadata.contains(&("tenant".into(), "blue".into())), "{:?}", info.metadata);
    assert!(info.metadata.contains(&("authorization".into(), "Bearer mine".into())), "nobody has checked it: the handler may");
    assert!(info.metadata.iter().all(|(key, _)| !key.starts_with("grpc-")), "{:?}", info.metadata);
    let left = info.deadline.expect("a deadline") - before;
    assert!(left > Duration::from_secs(40) && left <= Duration::from_secs(51), "{left:?}");
    assert!(info.peer.expect("an address").ip().is_loopback());
    within(info.cancel.cancelled()).await;

    let session = SessionId::new("from-payload").expect("an id");
    let audio = codec::encode(&Packet::audio(&[0.0], 8_000.0, 1), Wire::Pickle, Some(&session)).expect("a pickle");
    execute(&mut client, request("Node", "pickle", audio)).await;
    assert_eq!(seen.lock().remove(0).session, Some(session));

    let mut call = Request::new(request("Node", "json", "1"));
    call.metadata_mut().insert("x-session-id", "x".repeat(300).parse().expect("a value"));
    let answer = client.execute_node(call).await.expect("an answer").into_inner();
    assert!(answer.error_message.starts_with("[VALIDATION] ConfigurationError: the request's metadata x-session-id"), "{}", answer.error_message);
}

#[tokio::test]
async fn failures_are_told_within_the_answer() {
    let node = PerItem(|info: CallInfo, packet: Packet| {
        let Some(kind) = info.config.get("fail").and_then(serde_json::Value::as_str) else { return Ok(vec![packet]) };
        let details = |category: &str| RemoteDetails {
            category: Some(category.to_owned()),
            traceback: Some("at run (/srv/secret/app.js:1:2)".to_owned()),
            ..RemoteDetails::default()
        };
        Err(match kind {
            "guest" => Error::new(Code::Guest, "no speech").with_remote(details("MODEL_LOADING")),
            "time" => Error::new(Code::WasmTimeout, "too slow"),
            "memory" => Error::new(Code::WasmMemory, "too big"),
            _ => panic!("boom"),
        })
    });
    let running = Running::node(node).await;
    let mut client = running.client().await;
    let failing = |kind: &str| ExecuteNodeRequest { config: [("fail".to_owned(), kind.to_owned())].into(), ..request("Node", "json", "1") };
    let cases = [
        (
            request("Nodule", "json", "1"),
            ExecutionStatus::Error,
            "[VALIDATION] ConfigurationError: Node type 'Nodule' is not registered. Available: Node",
        ),
        (
            request("Node", "yaml", "1"),
            ExecutionStatus::Error,
            "[SERIALIZATION] SerializationError: Unsupported serialization format: 'yaml' (json, pickle or raw)",
        ),
        (
            request("Node", "", "1"),
            ExecutionStatus::Error,
            "[SERIALIZATION] SerializationError: Unsupported serialization format: '' (json, pickle or raw)",
        ),
        (failing("guest"), ExecutionStatus::Error, "[MODEL_LOADING] NodeError: no speech"),
        (failing("time"), ExecutionStatus::Timeout, "[TIMEOUT] NodeError: too slow"),
        (failing("memory"), ExecutionStatus::ResourceLimit, "[MEMORY_ERROR] NodeError: too big"),
        (failing("panic"), ExecutionStatus::Error, "[INTERNAL] NodeError: the handler of 'Node' panicked"),
    ];
    for (message, status, text) in cases {
        let answer = execute(&mut client, message).await;
        assert_eq!((answer.status(), answer.error_message.as_str()), (status, text));
        assert!(answer.output_data.is_empty() && !answer.error_traceback.contains("/srv"), "{answer:?}");
        assert_eq!(answer.metrics.expect("metrics").exit_code, -1);
    }
    for format in ["json", "pickle"] {
        for payload in [&b""[..], b"{", b"\x80\x04cos\nsystem\n."] {
            let answer = execute(&mut client, request("Node", format, payload.to_vec())).await;
            assert!(answer.error_message.starts_with("[SERIALIZATION] SerializationError: "), "{format}: {}", answer.error_message);
        }
    }
    let answer = execute(&mut client, failing("guest")).await;
    assert_eq!(answer.error_traceback, "NodeError (ERR_GUEST): no speech\nat run (app.js:1:2)");
    assert_eq!(execute(&mut client, request("Node", "json", "1")).await.status(), ExecutionStatus::Success, "a panic harms no other call");
    assert_eq!((running.metric(&["errors", "SERIALIZATION"]), running.metric(&["errors", "INTERNAL"])), (8, 1));
}

#[tokio::test]
async fn the_options_of_an_execution_count() {
    let forever = Async(|_, _| std::future::pending().boxed());
    let long = PerItem(|_, _| Ok(vec![Packet::binary(vec![0; 3 << 20])]));
    let running = Running::with(options(), vec![("Forever", NodeEntry::new(forever)), ("Long", NodeEntry::new(long))]).await;
    let mut client = running.client().await;
    let options = ExecutionOptions { timeout_seconds: 1, memory_limit_mb: 512, cpu_limit_percent: 100, ..ExecutionOptions::default() };
    let answer = execute(&mut client, ExecuteNodeRequest { options: Some(options), ..request("Forever", "json", "1") }).await;
    assert_eq!(answer.status(), ExecutionStatus::Timeout);
    assert!(answer.error_message.starts_with("[TIMEOUT] "), "{}", answer.error_message);
    for (limit, status) in [(2, ExecutionStatus::ResourceLimit), (4, ExecutionStatus::Success), (0, ExecutionStatus::Success)] {
        let options = ExecutionOptions { max_output_size_mb: limit, ..ExecutionOptions::default() };
        let answer = execute(&mut client, ExecuteNodeRequest { options: Some(options), ..request("Long", "raw", "1") }).await;
        assert_eq!(answer.status(), status, "{limit}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_or_is_late_ends_its_handlers_work() {
    struct Ended(mpsc::UnboundedSender<&'static str>);
    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }
    let (sender, mut heard) = mpsc::unbounded_channel();
    let node = Async(move |info: CallInfo, _| {
        let (told, notes) = (sender.clone(), sender.clone());
        info.on_end(Box::new(move || assert!(told.send("told").is_ok()))).expect("a runtime");
        async move {
            let _ended = Ended(notes.clone());
            let _ = notes.send("began");
            std::future::pending().await
        }
        .boxed()
    });
    let running = Running::node(node).await;
    let mut client = running.client().await;
    for leaves in [true, false] {
        let mut call = Request::new(request("Node", "json", "1"));
        if !leaves {
            call.set_timeout(Duration::from_secs(1));
        }
        {
            let mut call = Box::pin(client.execute_node(call));
            tokio::select! {
                _ = &mut call => panic!("it ended before it began"),
                first = within(heard.recv()) => assert_eq!(first, Some("began")),
            }
            if !leaves {
                // What it says is its own clock's; what the service says is in `hostile.rs`.
                within(call).await.expect_err("too late");
            }
        }
        let mut ends = [within(heard.recv()).await.expect("a note"), within(heard.recv()).await.expect("a note")];
        ends.sort_unstable();
        assert_eq!(ends, ["dropped", "told"]);
        running.until(&["activeCalls"], 0).await;
    }
}
