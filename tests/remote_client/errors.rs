//! Every way a remote says no becomes one typed error with what the remote said.

use std::sync::Arc;

use remotemedia_wasmedge::error::{Code, Error};
use remotemedia_wasmedge::remote::{Api, NodeTarget, RemoteOptions, Scope};
use serde_json::json as js;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::remote::v0::{FAILURE, TRACEBACK};
use super::remote::{self, Stage, json, value};

async fn failure(node: &str) -> Error {
    let stage = Stage::v0().await;
    stage.client().execute_node(&NodeTarget::new(node), json(js!(1)), &Scope::default()).await.expect_err("a failure")
}

#[tokio::test]
async fn a_failing_node_gives_a_short_message_and_keeps_the_rest() {
    let error = failure("Fail").await;
    assert_eq!(error.code(), Code::Remote);
    assert_eq!(error.message(), "ValueError: gain must be positive\nHint: check the parameters");
    let details = error.remote().expect("details");
    assert_eq!(details.category.as_deref(), Some("VALIDATION"));
    assert_eq!(details.details.as_deref(), Some(FAILURE));
    assert_eq!(details.traceback.as_deref(), Some(TRACEBACK));
    assert_eq!(details.grpc_code, None);
}

#[tokio::test]
async fn an_unknown_node_is_named() {
    let error = failure("NoSuchNode").await;
    assert_eq!(error.code(), Code::Remote);
    assert!(error.message().contains("Unknown node type 'NoSuchNode'"), "{error}");
}

#[tokio::test]
async fn statuses_inside_answers_have_their_codes() {
    let error = failure("OutOfMemory").await;
    assert_eq!((error.code(), error.remote().and_then(|details| details.category.clone()).as_deref()), (Code::Remote, Some("RESOURCE_LIMIT")));
    let error = failure("TimedOut").await;
    assert_eq!((error.code(), error.message()), (Code::Deadline, "too slow"));
    assert!(failure("NoStatus").await.message().contains("without a status"));
    assert!(failure("NewStatus").await.message().contains("unknown status 77"));
}

#[tokio::test]
async fn an_error_inside_a_success_is_an_error_unless_it_is_wanted() {
    let error = failure("BadInput").await;
    assert_eq!((error.code(), error.message()), (Code::Remote, "Unsupported operation: root"));
    let stage = Stage::v0().await;
    let keep = remote::client(RemoteOptions { keep_error_results: true, ..stage.options() });
    let output = keep.execute_node(&NodeTarget::new("BadInput"), json(js!(1)), &Scope::default()).await.expect("an output");
    assert_eq!(value(&output)["error"], js!("Unsupported operation: root"));
    // Data that merely has such a field is data.
    let output = stage.client().execute_node(&NodeTarget::new("UserError"), json(js!(1)), &Scope::default()).await.expect("an output");
    assert_eq!(value(&output)["error"], js!("a field of mine"));
}

#[tokio::test]
async fn grpc_statuses_keep_their_numbers_and_names() {
    for (node, number, name) in [("Denied", 7, "PERMISSION_DENIED"), ("Anonymous", 16, "UNAUTHENTICATED"), ("Details", 13, "INTERNAL")] {
        let error = failure(node).await;
        assert_eq!(error.code(), Code::Remote, "{node}");
        let details = error.remote().expect("details");
        assert_eq!((details.grpc_code, details.grpc_status), (Some(number), Some(name)));
        assert!(error.message().contains(name), "{error}");
    }
}

#[tokio::test]
async fn a_payload_that_cannot_be_read_is_a_serialization_error() {
    assert_eq!(failure("Garbage").await.code(), Code::Serialization);
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused_before_it_is_read() {
    let stage = Stage::v0().await;
    let config = [("bytes".to_owned(), js!(100 << 20))].into_iter().collect();
    let target = NodeTarget { config, ..NodeTarget::new("Big") };
    let client = stage.client();
    let error = client.execute_node(&target, json(js!(1)), &Scope::default()).await.expect_err("too long");
    assert_eq!(error.code(), Code::Remote);
    assert!(error.message().contains("maxMessageSize, 67108864 bytes"), "{error}");
    assert_eq!(error.remote().and_then(|details| details.grpc_status), Some("RESOURCE_EXHAUSTED"));
    // And the connection lives on.
    client.execute_node(&NodeTarget::new("Echo"), json(js!(1)), &Scope::default()).await.expect("an output");

    let roomy = remote::client(RemoteOptions { max_message_size: Some(f64::from(101 << 20)), ..stage.options() });
    let output = roomy.execute_node(&target, json(js!(1)), &Scope::default()).await.expect("an output");
    assert_eq!(output.bytes.len(), 100 << 20);
}

#[tokio::test]
async fn a_request_beyond_the_limit_is_not_sent() {
    let stage = Stage::v0().await;
    let client = remote::client(RemoteOptions { max_message_size: Some(1_000.0), api: Some(Api::V0), ..stage.options() });
    let error = client.execute_node(&NodeTarget::new("Echo"), json(js!("x".repeat(1_000))), &Scope::default()).await.expect_err("too long");
    assert_eq!(error.code(), Code::Serialization);
    assert!(error.message().contains("maxMessageSize"), "{error}");
    assert_eq!(stage.book.count("ExecuteNode"), 0);
}

#[tokio::test]
async fn nobody_listening_is_said_soon() {
    let closed = { TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address") };
    let client = remote::client(RemoteOptions { max_retries: None, ..remote::options(closed) });
    let error = client.execute_node(&NodeTarget::new("Echo"), json(js!(1)), &Scope::default()).await.expect_err("nobody there");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains(&closed.to_string()) && error.message().contains("cannot be reached"), "{error}");
    assert_eq!(error.remote().and_then(|details| details.grpc_status), Some("UNAVAILABLE"));
    assert!(client.metrics()["retries"].as_u64().expect("a number") > 0);
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_said_so() {
    let client = remote::client(RemoteOptions { host: Some("no-such-host.invalid".into()), port: Some(1.0), ..RemoteOptions::default() });
    let error = client.connect().await.expect_err("no such host");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("no-such-host.invalid:1 cannot be found"), "{error}");
}

#[tokio::test]
async fn a_server_that_accepts_and_stays_silent_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = remote::client(RemoteOptions { connect_timeout_ms: Some(100.0), ..remote::options(listener.local_addr().expect("an address")) });
    let error = client.connect().await.expect_err("silence");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("gave no answer within 100 ms"), "{error}");
}

/// A server that reads a little, answers with these bytes and closes.
async fn saying(bytes: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut seen = [0; 24];
            let _ = socket.read_exact(&mut seen).await;
            let _ = socket.write_all(bytes).await;
            let _ = socket.shutdown().await;
            // Unread bytes would turn the end into a reset.
            let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
        }
    });
    address
}

#[tokio::test]
async fn what_is_no_grpc_server_is_told_by_what_it_says() {
    for (bytes, wanted) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "HTTP/1"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "set sslEnabled"),
        (b"220 mail.example ESMTP ready\r\n", "does not speak HTTP/2"),
        (b"", "it may want TLS"),
    ] {
        let address = saying(bytes).await;
        let error = remote::client(remote::options(address)).connect().await.expect_err("no gRPC server");
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.message().contains(wanted) && error.message().contains(&address.to_string()), "{error}");
    }
}

/// A gRPC server whose bodies are made by hand.
async fn answering(make: impl Fn() -> http::Response<tonic::body::Body> + Clone + Send + Sync + 'static) -> Stage {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let service = tower::service_fn(move |_: http::Request<tonic::body::Body>| {
        let response = make();
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    let router = tonic::transport::Server::builder().add_service(remote::ByHand(service));
    Stage::serve(listener, Arc::default(), router)
}

fn grpc(body: tonic::body::Body) -> http::Response<tonic::body::Body> {
    http::Response::builder().header("content-type", "application/grpc").body(body).expect("a response")
}

async fn outcome(stage: &Stage) -> Error {
    let client = remote::client(RemoteOptions { api: Some(Api::V0), ..stage.options() });
    client.execute_node(&NodeTarget::new("Echo"), json(js!(1)), &Scope::default()).await.expect_err("a failure")
}

#[tokio::test]
async fn an_answer_that_is_no_protobuf_is_a_serialization_error() {
    let stage = answering(|| grpc(remote::body(b"\0\0\0\0\x03\xff\xff\xff", &[("grpc-status", "0")]))).await;
    let error = outcome(&stage).await;
    assert_eq!(error.code(), Code::Serialization);
    assert!(error.message().contains("no valid message"), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    // Half a message and a clean end.
    let stage = answering(|| grpc(remote::body(b"\0\0\0\0\x09\x08", &[]))).await;
    assert_eq!(outcome(&stage).await.code(), Code::Remote);
    // No message, no trailers.
    let stage = answering(|| grpc(remote::body(b"", &[]))).await;
    assert_eq!(outcome(&stage).await.code(), Code::Remote);
    // A success without a message.
    let stage = answering(|| grpc(remote::body(b"", &[("grpc-status", "0")]))).await;
    assert_eq!(outcome(&stage).await.code(), Code::Remote);
}

#[tokio::test]
async fn details_that_are_no_base64_do_no_harm() {
    let stage =
        answering(|| grpc(remote::body(b"", &[("grpc-status", "9"), ("grpc-message", "not%20now"), ("grpc-status-details-bin", "!!!")]))).await;
    let error = outcome(&stage).await;
    assert!(error.message().contains("not now") && error.message().contains("FAILED_PRECONDITION"), "{error}");
    // The same in headers, where a status without a body stands.
    let stage = answering(|| {
        let mut response = grpc(remote::body(b"", &[]));
        for (name, value) in [("grpc-status", "13"), ("grpc-status-details-bin", "%%%")] {
            response.headers_mut().insert(name, value.parse().expect("a value"));
        }
        response
    })
    .await;
    assert_eq!(outcome(&stage).await.remote().and_then(|details| details.grpc_status), Some("INTERNAL"));
}

#[tokio::test]
async fn a_proxy_in_between_is_told_from_a_grpc_server() {
    let page = || {
        http::Response::builder()
            .status(502)
            .header("content-type", "text/html")
            .body(remote::body(b"<html>Bad Gateway</html>", &[]))
            .expect("a response")
    };
    let error = outcome(&answering(page).await).await;
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("HTTP status 502") && error.message().contains("text/html"), "{error}");
}
