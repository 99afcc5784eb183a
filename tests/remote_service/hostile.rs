//! Clients that mean no good, and clients that are broken.

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::prelude::*;
use prost::Message as _;
use remotemedia_wasmedge::remote::pb::v0;
use remotemedia_wasmedge::remote::service::{NodeEntry, ServiceKeepaliveOptions, ServiceLimitOptions, ServiceOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::*;

/// One call without a gRPC library: its path, headers and body, and the status that came back, if any.
async fn raw(running: &Running, path: &str, headers: &[(&str, &str)], body: Vec<Bytes>) -> Option<(u16, String)> {
    let socket = TcpStream::connect(running.address).await.expect("a connection");
    let (mut send, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let driver = tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://{}{path}", running.address)).header("te", "trailers");
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/grpc");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (answer, mut stream) = send.send_request(request.body(()).expect("a request"), false).expect("a stream");
    for part in body {
        // The other side may have answered already, and reset the stream.
        if stream.send_data(part, false).is_err() {
            break;
        }
    }
    let _ = stream.send_data(Bytes::new(), true);
    let status = async {
        let answer = answer.await.ok()?;
        let read = |headers: &http::HeaderMap| {
            let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
            let text = headers.get("grpc-message").and_then(|text| text.to_str().ok()).unwrap_or_default().to_owned();
            Some((code, text))
        };
        if let Some(status) = read(answer.headers()) {
            return Some(status);
        }
        let mut body = answer.into_body();
        while let Some(Ok(part)) = body.data().await {
            let _ = body.flow_control().release_capacity(part.len());
        }
        read(&body.trailers().await.ok()??)
    };
    let status = within(status).await;
    driver.abort();
    status
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).expect("short").to_be_bytes());
    frame.extend_from_slice(message);
    frame.into()
}

const EXECUTE: &str = "/remotemedia.execution.RemoteExecutionService/ExecuteNode";
const STREAM: &str = "/remotemedia.execution.RemoteExecutionService/StreamNode";

async fn still_works(running: &Running) {
    let answer = execute(&mut running.client().await, request("Echo", "json", "1")).await;
    assert_eq!(answer.output_data, "1", "{answer:?}");
}

async fn serving() -> Running {
    Running::with(options(), vec![("Echo", echo())]).await
}

#[tokio::test]
async fn what_is_no_grpc_gets_a_status_or_a_closed_connection() {
    let running = serving().await;
    for (path, body, codes) in [
        (EXECUTE, vec![framed(b"\xff\xff\xff")], &[13][..]),
        // Says it is longer than it is.
        (EXECUTE, vec![Bytes::from_static(&[0, 0, 0, 1, 0, 1])], &[13]),
        // A kind of compression that was never agreed on, and one that does not exist.
        (EXECUTE, vec![Bytes::from_static(&[1, 0, 0, 0, 1, 1])], &[13]),
        (EXECUTE, vec![Bytes::from_static(&[7, 0, 0, 0, 1, 1])], &[13]),
        // Four gigabytes, it says.
        (EXECUTE, vec![Bytes::from_static(&[0, 255, 255, 255, 255])], &[8]),
        (EXECUTE, vec![], &[13]),
        (STREAM, vec![framed(b"\xff\xff\xff")], &[13]),
        (STREAM, vec![framed(&init("Echo", "json", &[]).encode_to_vec()), framed(b"\xff")], &[13]),
        (STREAM, vec![framed(&init("Echo", "json", &[]).encode_to_vec()), Bytes::from_static(&[0, 255, 255, 255, 255])], &[8]),
        (STREAM, vec![framed(&init("Echo", "json", &[]).encode_to_vec()), Bytes::from_static(&[0, 0])], &[13]),
        ("/remotemedia.execution.RemoteExecutionService/Nonsense", vec![], &[12]),
        ("/nowhere", vec![], &[12]),
    ] {
        let (code, text) = raw(&running, path, &[], body.clone()).await.unwrap_or_else(|| panic!("no status for {body:?}"));
        assert!(codes.contains(&code), "{path} {body:?}: {code} {text}");
    }
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut socket = TcpStream::connect(running.address).await.expect("a connection");
        socket.write_all(bytes).await.expect("a connection");
        let mut answer = Vec::new();
        // Closed, whether or not with a last word.
        let _ = within(socket.read_to_end(&mut answer)).await;
    }
    running.until(&["activeCalls"], 0).await;
    running.until(&["connections", "open"], 0).await;
    still_works(&running).await;
}

#[tokio::test]
async fn a_deadline_that_passes_is_said_in_grpcs_words() {
    let forever = NodeEntry::new(Async(|_, _| std::future::pending().boxed()));
    let running = Running::with(options(), vec![("Forever", forever), ("Echo", echo())]).await;
    let message = framed(&request("Forever", "json", "1").encode_to_vec());
    let (code, _) = raw(&running, EXECUTE, &[("grpc-timeout", "50m")], vec![message.clone()]).await.expect("a status");
    assert_eq!(code, tonic::Code::DeadlineExceeded as u16);
    // An hour that nobody can wait is no deadline, nor is nonsense: the call ends because its connection does.
    for timeout in ["0n", "1u"] {
        let (code, _) = raw(&running, EXECUTE, &[("grpc-timeout", timeout)], vec![message.clone()]).await.expect("a status");
        assert_eq!(code, tonic::Code::DeadlineExceeded as u16, "{timeout}");
    }
    let quick = framed(&request("Echo", "json", "1").encode_to_vec());
    for timeout in ["99999999H", "nonsense", ""] {
        let (code, text) = raw(&running, EXECUTE, &[("grpc-timeout", timeout)], vec![quick.clone()]).await.expect("a status");
        assert_eq!(code, 0, "{timeout}: {text}");
    }
    running.until(&["activeCalls"], 0).await;
    assert_eq!(running.metric(&["statuses", "DEADLINE_EXCEEDED"]), 3);
}

#[tokio::test]
async fn pickles_that_would_run_or_swell_are_refused() {
    let running = serving().await;
    let mut client = running.client().await;
    // Ten times the list before, thirty times over: 10^30 elements if it were written out.
    let mut billion = b"\x80\x04]\x94K\x01a0".to_vec();
    for level in 0..30 {
        billion.extend_from_slice(b"]\x94(");
        billion.extend_from_slice(&[b'h', level].repeat(10));
        billion.extend_from_slice(if level < 29 { b"e0" } else { b"e." });
    }
    let deep = [b"\x80\x04".to_vec(), vec![b']'; 100_000], vec![b'a'; 99_999], b".".to_vec()].concat();
    let long = b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.".to_vec();
    let runs = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.".to_vec();
    for (name, pickle) in [("billion", billion), ("deep", deep), ("long", long), ("runs", runs)] {
        let answer = execute(&mut client, request("Echo", "pickle", pickle)).await;
        assert!(answer.error_message.starts_with("[SERIALIZATION] SerializationError: "), "{name}: {}", answer.error_message);
    }
    let nested = [vec![b'['; 500_000], vec![b']'; 500_000]].concat();
    let answer = execute(&mut client, request("Echo", "json", nested)).await;
    assert!(answer.error_message.starts_with("[SERIALIZATION] SerializationError: "), "{}", answer.error_message);
    still_works(&running).await;
}

#[tokio::test]
async fn thousands_of_idle_streams_take_places_and_nothing_else() {
    let limits = ServiceLimitOptions { max_concurrent_calls: Some(3_000.0), max_streams: Some(3_000.0), ..ServiceLimitOptions::default() };
    let running = Running::with(limited(limits), vec![("Echo", echo())]).await;
    let client = running.client().await;
    let mut idle = Vec::new();
    for _ in 0..2_999 {
        let (say, said) = tokio::sync::mpsc::channel(1);
        say.try_send(init("Echo", "json", &[])).expect("room");
        let hear = within(client.clone().stream_node(tokio_stream::wrappers::ReceiverStream::new(said))).await.expect("headers");
        idle.push((say, hear));
    }
    running.until(&["activeStreams"], 2_999).await;
    still_works(&running).await;
    running.until(&["activeCalls"], 2_999).await;
    drop(idle);
    running.until(&["activeCalls"], 0).await;
    running.until(&["activeStreams"], 0).await;
    assert_eq!(running.metric(&["bufferedBytes"]), 0);
}

#[tokio::test]
async fn a_client_that_resets_what_it_asks_for_holds_nothing() {
    let forever = NodeEntry::new(Async(|_, _| std::future::pending().boxed()));
    let limits = ServiceLimitOptions { max_concurrent_calls: Some(50.0), ..ServiceLimitOptions::default() };
    let running = Running::with(limited(limits), vec![("Forever", forever), ("Echo", echo())]).await;
    let message = framed(&request("Forever", "json", "1").encode_to_vec());
    let socket = TcpStream::connect(running.address).await.expect("a connection");
    let (mut send, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let driver = tokio::spawn(connection);
    for _ in 0..5_000 {
        let Ok(ready) = within(send.clone().ready()).await else { break };
        send = ready;
        let request = http::Request::post(format!("http://{}{EXECUTE}", running.address)).header("content-type", "application/grpc");
        let Ok((_, mut stream)) = send.send_request(request.body(()).expect("a request"), false) else { break };
        let _ = stream.send_data(message.clone(), true);
        stream.send_reset(h2::Reason::CANCEL);
    }
    let mut client = running.client().await;
    within(async {
        // Places may be taken for moments.
        while client.execute_node(request("Echo", "json", "1")).await.is_err() {}
    })
    .await;
    drop(client);
    driver.abort();
    running.until(&["connections", "open"], 0).await;
    running.until(&["activeCalls"], 0).await;
    still_works(&running).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let keepalive = ServiceKeepaliveOptions { timeout_ms: Some(50.0), ..ServiceKeepaliveOptions::default() };
    let running = Running::with(ServiceOptions { keepalive, ..options() }, vec![("Echo", echo())]).await;
    let mut socket = TcpStream::connect(running.address).await.expect("a connection");
    running.until(&["connections", "open"], 1).await;
    let mut answer = Vec::new();
    within(socket.read_to_end(&mut answer)).await.expect("closed in order");
    running.until(&["connections", "open"], 0).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever the body of a call, it gets a status, and the service goes on.
    #[test]
    fn any_body_gets_a_status(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..4),
        begins_well in any::<bool>(),
        streams in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let running = serving().await;
            let mut body: Vec<Bytes> = frames.iter().enumerate().map(|(index, bytes)| {
                if index % 2 == 0 { framed(bytes) } else { Bytes::copy_from_slice(bytes) }
            }).collect();
            if begins_well {
                let first = if streams { init("Echo", "pickle", &[]).encode_to_vec() } else { request("Echo", "pickle", "x").encode_to_vec() };
                body.insert(0, framed(&first));
            }
            let path = if streams { STREAM } else { EXECUTE };
            assert!(raw(&running, path, &[], body).await.is_some(), "a status");
            running.until(&["activeCalls"], 0).await;
            still_works(&running).await;
        });
    }

    /// Whatever a payload is, it is answered or refused.
    #[test]
    fn any_payload_gets_an_answer(payload in proptest::collection::vec(any::<u8>(), 0..256), format in 0..3_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let answer = runtime.block_on(async {
            let running = serving().await;
            execute(&mut running.client().await, request("Echo", ["json", "pickle", "raw"][format], payload)).await
        });
        prop_assert_ne!(answer.status(), v0::ExecutionStatus::Unspecified);
    }
}
