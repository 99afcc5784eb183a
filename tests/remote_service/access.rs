//! TLS and tokens.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use remotemedia_wasmedge::error::{Code, Error, Result};
use remotemedia_wasmedge::remote::pb::v0::ExecutionStatus;
use remotemedia_wasmedge::remote::service::{Access, NodeEntry, ServiceOptions, ServiceTlsOptions, TokenCheck};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use super::support::*;

/// A root and two certificates that lead to it, as PEM: root, (server, key), (client, key).
struct Certificates {
    root: String,
    server: (String, String),
    client: (String, String),
}

fn certificates() -> Certificates {
    let root_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&root_key).expect("a root").pem();
    let issuer = Issuer::new(params, root_key);
    let issue = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        (params.signed_by(&key, &issuer).expect("a certificate").pem(), key.serialize_pem())
    };
    Certificates { root, server: issue("localhost"), client: issue("client") }
}

fn tls(certificates: &Certificates, client_ca: bool) -> ServiceOptions {
    let (cert, key) = certificates.server.clone();
    let client_ca = client_ca.then(|| certificates.root.clone().into_bytes());
    ServiceOptions { tls: Some(ServiceTlsOptions { cert: Some(cert.into_bytes()), key: Some(key.into_bytes()), client_ca }), ..options() }
}

async fn connect(running: &Running, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("https://localhost:{}", running.address.port())).expect("a URL");
    within(endpoint.tls_config(tls).expect("certificates").connect()).await
}

#[tokio::test]
async fn connections_can_be_encrypted() {
    let certificates = certificates();
    let running = Running::with(tls(&certificates, false), vec![("Echo", echo())]).await;
    let trust = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&certificates.root));
    let mut client = Client::new(connect(&running, trust).await.expect("a connection"));
    assert_eq!(execute(&mut client, request("Echo", "json", "1")).await.output_data, "1");
    assert!(connect(&running, ClientTlsConfig::new()).await.is_err(), "a client that does not trust the certificate");
    let mut plain = Client::new(running.endpoint().connect_lazy());
    within(plain.execute_node(request("Echo", "json", "1"))).await.expect_err("no TLS");
    assert_eq!(running.metric(&["calls", "ExecuteNode"]), 1);
}

#[tokio::test]
async fn clients_can_be_asked_for_a_certificate() {
    let certificates = certificates();
    let running = Running::with(tls(&certificates, true), vec![("Echo", echo())]).await;
    let trust = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&certificates.root));
    let (cert, key) = &certificates.client;
    let known = trust.clone().identity(Identity::from_pem(cert, key));
    let mut client = Client::new(connect(&running, known).await.expect("a connection"));
    assert_eq!(execute(&mut client, request("Echo", "json", "1")).await.output_data, "1");
    // In TLS 1.3 the client learns of it with its first request.
    let stranger = async {
        let channel = connect(&running, trust).await.map_err(|error| Status::unavailable(error.to_string()))?;
        Client::new(channel).execute_node(request("Echo", "json", "1")).await
    };
    within(stranger).await.expect_err("no certificate");
    assert_eq!(running.metric(&["calls", "ExecuteNode"]), 1);
}

async fn with_token(client: &mut Client, token: Option<&str>) -> Result<ExecutionStatus, Status> {
    let mut call = Request::new(request("Node", "json", "1"));
    if let Some(token) = token {
        call.metadata_mut().insert("authorization", token.parse().expect("a value"));
    }
    within(client.execute_node(call)).await.map(|answer| answer.into_inner().status())
}

#[tokio::test]
async fn a_token_opens_nodes_and_reflection_while_health_is_open() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let node = PerItem(move |info: remotemedia_wasmedge::remote::service::CallInfo, packet| {
        notes.lock().extend(info.metadata);
        Ok(vec![packet])
    });
    let access = Some(Access::Tokens(vec!["secret-1".into(), "secret-2".into()]));
    let running = Running::with(ServiceOptions { access, ..options() }, vec![("Node", NodeEntry::new(node))]).await;
    let mut client = running.client().await;
    for good in ["Bearer secret-1", "bearer secret-2"] {
        assert_eq!(with_token(&mut client, Some(good)).await.expect("let in"), ExecutionStatus::Success, "{good}");
    }
    assert!(seen.lock().iter().all(|(key, _)| key != "authorization"), "handlers need not see it");
    for bad in
        [None, Some("Bearer secret-3"), Some("Bearer secret-"), Some("Bearer secret-11"), Some("Basic secret-1"), Some("secret-1"), Some("Bearer ")]
    {
        let status = with_token(&mut client, bad).await.expect_err("not let in");
        assert_eq!(status.code(), tonic::Code::Unauthenticated, "{bad:?}");
        assert!(!status.message().contains("secret"), "{status:?}");
    }
    assert_eq!(running.metric(&["rejected", "unauthenticated"]), 7);
    let status = within(client.stream_node(tokio_stream::once(init("Node", "json", &[])))).await.expect_err("not let in");
    assert_eq!(status.code(), tonic::Code::Unauthenticated);

    let channel = running.endpoint().connect().await.expect("a connection");
    let ask = || tokio_stream::once(ServerReflectionRequest::default());
    let status = within(ServerReflectionClient::new(channel.clone()).server_reflection_info(ask())).await.expect_err("not let in");
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    let health = within(HealthClient::new(channel).check(HealthCheckRequest::default())).await.expect("open").into_inner();
    assert_eq!(health.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
}

struct Check;

impl TokenCheck for Check {
    fn check(&self, token: String) -> BoxFuture<'static, Result<bool>> {
        async move {
            tokio::task::yield_now().await;
            match token.as_str() {
                "good" => Ok(true),
                "broken" => Err(Error::new(Code::HostFunction, "the database of tokens at /srv is down")),
                "panic" => panic!("boom"),
                _ => Ok(false),
            }
        }
        .boxed()
    }
}

#[tokio::test]
async fn an_application_may_check_tokens_itself() {
    let access = Some(Access::Check(Arc::new(Check)));
    let running = Running::with(ServiceOptions { access, ..options() }, vec![("Node", echo())]).await;
    let mut client = running.client().await;
    assert_eq!(with_token(&mut client, Some("Bearer good")).await.expect("let in"), ExecutionStatus::Success);
    for (token, code) in [
        (None, tonic::Code::Unauthenticated),
        (Some("Bearer bad"), tonic::Code::Unauthenticated),
        (Some("Bearer broken"), tonic::Code::Unavailable),
        (Some("Bearer panic"), tonic::Code::Unavailable),
    ] {
        let status = with_token(&mut client, token).await.expect_err("not let in");
        assert_eq!(status.code(), code, "{token:?}");
        assert!(!status.message().contains("srv"), "{status:?}");
    }
    assert_eq!(running.metric(&["activeCalls"]), 0);
}
