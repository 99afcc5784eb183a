//! TLS: who is trusted, who we are, and what is said when it does not fit.

#[path = "support/remote/mod.rs"]
mod remote;

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use remote::{Speaks, Stage, json};
use remotemedia_wasmedge::data::Packet;
use remotemedia_wasmedge::error::{Code, Result};
use remotemedia_wasmedge::remote::{Client, NodeTarget, RemoteConfig, RemoteOptions, Scope, TlsOptions};
use serde_json::json as js;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

/// An authority of its own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
struct Issued {
    cert: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let cert = params.signed_by(&key, &self.0).expect("a certificate");
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }
}

async fn server(issued: &Issued, clients: Option<&Authority>) -> Stage {
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(&issued.cert, &issued.key));
    if let Some(clients) = clients {
        tls = tls.client_ca_root(Certificate::from_pem(clients.pem()));
    }
    Stage::start(Speaks::V0, "127.0.0.1:0", Arc::default(), |server| server.tls_config(tls).expect("certificates")).await
}

fn options(stage: &Stage, tls: TlsOptions) -> RemoteOptions {
    RemoteOptions { host: Some("localhost".into()), ssl_enabled: Some(true), tls: Some(tls), ..stage.options() }
}

async fn call(client: &Client) -> Result<Packet> {
    client.execute_node(&NodeTarget::new("Echo"), json(js!(1)), &Scope::default()).await
}

#[tokio::test]
async fn a_trusted_server_is_called() {
    let authority = Authority::new();
    let stage = server(&authority.issue("localhost"), None).await;
    let client = remote::client(options(&stage, TlsOptions { ca: Some(authority.pem()), ..TlsOptions::default() }));
    call(&client).await.expect("an output");

    // The same by URL.
    let url = RemoteOptions {
        endpoints: vec![format!("https://localhost:{}", stage.address.port())],
        tls: Some(TlsOptions { ca: Some(authority.pem()), ..TlsOptions::default() }),
        max_retries: Some(0.0),
        ..RemoteOptions::default()
    };
    call(&remote::client(url)).await.expect("an output");
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let stage = server(&Authority::new().issue("localhost"), None).await;
    let client = remote::client(options(&stage, TlsOptions { ca: Some(Authority::new().pem()), ..TlsOptions::default() }));
    let error = call(&client).await.expect_err("not trusted");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("certificate that is not trusted") && error.message().contains("localhost:"), "{error}");
    assert_eq!(stage.book.calls.lock().len(), 0);
}

#[tokio::test]
async fn a_certificate_must_be_for_the_name() {
    let authority = Authority::new();
    let stage = server(&authority.issue("gpu.example"), None).await;
    let trusting = || TlsOptions { ca: Some(authority.pem()), ..TlsOptions::default() };
    let error = call(&remote::client(options(&stage, trusting()))).await.expect_err("another name");
    assert!(error.code() == Code::Unavailable && error.message().contains("not trusted"), "{error}");
    let named = TlsOptions { server_name: Some("gpu.example".into()), ..trusting() };
    call(&remote::client(options(&stage, named))).await.expect("an output");
    // Certificates of a name hold for each of its addresses.
    let stage = server(&authority.issue("localhost"), None).await;
    let every = RemoteOptions {
        endpoints: vec![format!("dns:https://localhost:{}", stage.address.port())],
        tls: Some(trusting()),
        max_retries: Some(2.0),
        ..RemoteOptions::default()
    };
    call(&remote::client(every)).await.expect("an output");
}

#[tokio::test]
async fn a_server_may_want_to_know_who_calls() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let stage = server(&authority.issue("localhost"), Some(&clients)).await;
    let trusting = || TlsOptions { ca: Some(authority.pem()), ..TlsOptions::default() };
    let with = |issued: &Issued| TlsOptions { cert: Some(issued.cert.clone().into()), key: Some(issued.key.clone().into()), ..trusting() };
    call(&remote::client(options(&stage, with(&clients.issue("client"))))).await.expect("an output");

    for stranger in [trusting(), with(&authority.issue("client"))] {
        let error = call(&remote::client(options(&stage, stranger))).await.expect_err("a stranger");
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.message().contains("TLS handshake") && error.message().contains("localhost:"), "{error}");
    }
    let made = stage.book.count("ExecuteNode");
    assert_eq!(made, 1);
}

#[tokio::test]
async fn tls_to_a_plain_port_is_told() {
    let stage = Stage::v0().await;
    let tls = TlsOptions { ca: Some(Authority::new().pem()), ..TlsOptions::default() };
    let error = call(&remote::client(options(&stage, tls))).await.expect_err("no TLS there");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("sslEnabled") || error.message().contains("TLS handshake"), "{error}");
}

#[tokio::test]
async fn a_plain_call_to_a_tls_port_is_told() {
    let stage = server(&Authority::new().issue("localhost"), None).await;
    let error = call(&stage.client()).await.expect_err("TLS there");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("TLS"), "{error}");
}

#[test]
fn certificates_that_do_not_go_together_are_refused_before_any_call() {
    let authority = Authority::new();
    let (one, two) = (authority.issue("a"), authority.issue("b"));
    let wrong = |tls: TlsOptions| {
        let tls = TlsOptions { ca: Some(authority.pem()), ..tls };
        let options = RemoteOptions { host: Some("localhost".into()), ssl_enabled: Some(true), tls: Some(tls), ..RemoteOptions::default() };
        RemoteConfig::new(options).err().expect("refused")
    };
    let mixed = wrong(TlsOptions { cert: Some(one.cert.clone().into()), key: Some(two.key.into()), ..TlsOptions::default() });
    assert_eq!((mixed.code(), mixed.path()), (Code::Config, Some("tls.key")));
    let swapped = wrong(TlsOptions { cert: Some(one.key.clone().into()), key: Some(one.key.into()), ..TlsOptions::default() });
    assert_eq!(swapped.path(), Some("tls.cert"));
}
