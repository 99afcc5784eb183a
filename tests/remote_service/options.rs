//! Options and registration.

use remotemedia_wasmedge::error::Code;
use remotemedia_wasmedge::remote::service::{
    Access, Service, ServiceKeepaliveOptions, ServiceLimitOptions, ServiceOptions, ServiceSessionOptions, ServiceTlsOptions,
};

use super::support::*;

#[test]
fn a_wrong_option_is_named_by_its_path() {
    let limits = |limits: ServiceLimitOptions| ServiceOptions { limits, ..ServiceOptions::default() };
    let limit = ServiceLimitOptions::default;
    let tokens = |list: &[&str]| ServiceOptions {
        access: Some(Access::Tokens(list.iter().map(|token| (*token).to_owned()).collect())),
        ..ServiceOptions::default()
    };
    let keepalive = |keepalive| ServiceOptions { keepalive, ..ServiceOptions::default() };
    let sessions = |sessions| ServiceOptions { sessions, ..ServiceOptions::default() };
    let tls = |tls| ServiceOptions { tls: Some(tls), ..ServiceOptions::default() };
    let garbage = || Some(b"garbage".to_vec());
    let cases = [
        ("host", ServiceOptions { host: Some(String::new()), ..ServiceOptions::default() }),
        ("host", ServiceOptions { host: Some("two words".into()), ..ServiceOptions::default() }),
        ("port", ServiceOptions { port: Some(65_536.0), ..ServiceOptions::default() }),
        ("port", ServiceOptions { port: Some(1.5), ..ServiceOptions::default() }),
        ("port", ServiceOptions { port: Some(f64::NAN), ..ServiceOptions::default() }),
        ("limits.maxConcurrentCalls", limits(ServiceLimitOptions { max_concurrent_calls: Some(0.0), ..limit() })),
        ("limits.maxConnections", limits(ServiceLimitOptions { max_connections: Some(-1.0), ..limit() })),
        ("limits.maxStreams", limits(ServiceLimitOptions { max_streams: Some(1e9), ..limit() })),
        ("limits.maxMessageSize", limits(ServiceLimitOptions { max_message_size: Some(5e9), ..limit() })),
        ("limits.maxBufferedBytes", limits(ServiceLimitOptions { max_buffered_bytes: Some(1_000.0), ..limit() })),
        ("keepalive.intervalMs", keepalive(ServiceKeepaliveOptions { interval_ms: Some(1.0), ..Default::default() })),
        ("keepalive.timeoutMs", keepalive(ServiceKeepaliveOptions { timeout_ms: Some(f64::INFINITY), ..Default::default() })),
        ("sessions.max", sessions(ServiceSessionOptions { max: Some(0.5), ..Default::default() })),
        ("sessions.ttlMs", sessions(ServiceSessionOptions { ttl_ms: Some(0.0), ..Default::default() })),
        ("authToken", tokens(&[])),
        ("authToken.1", tokens(&["good", "not good"])),
        ("authToken.0", tokens(&["schlüssel"])),
        ("tls.cert", tls(ServiceTlsOptions::default())),
        ("tls.key", tls(ServiceTlsOptions { cert: garbage(), ..ServiceTlsOptions::default() })),
        ("tls.cert", tls(ServiceTlsOptions { cert: garbage(), key: garbage(), ..ServiceTlsOptions::default() })),
    ];
    for (path, options) in cases {
        let error = Service::new(options).err().unwrap_or_else(|| panic!("{path} is wrong"));
        assert_eq!((error.code(), error.path()), (Code::Config, Some(path)), "{error}");
        assert!(error.message().starts_with(path), "{error}");
    }
}

#[test]
fn certificates_must_be_readable_and_belong_together() {
    let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let pem = |text: String| Some(text.into_bytes());
    let (cert, key) = (pem(one.cert.pem()), pem(one.signing_key.serialize_pem()));
    let cases = [
        ("tls.key", ServiceTlsOptions { cert: cert.clone(), key: cert.clone(), client_ca: None }),
        ("tls.clientCa", ServiceTlsOptions { cert: cert.clone(), key: key.clone(), client_ca: Some(b"-".to_vec()) }),
        ("tls", ServiceTlsOptions { cert: cert.clone(), key: pem(other.signing_key.serialize_pem()), client_ca: None }),
    ];
    for (path, tls) in cases {
        let error = Service::new(ServiceOptions { tls: Some(tls), ..options() }).err().unwrap_or_else(|| panic!("{path} is wrong"));
        assert_eq!((error.code(), error.path()), (Code::Config, Some(path)), "{error}");
    }
    assert!(Service::new(ServiceOptions { tls: Some(ServiceTlsOptions { cert, key, client_ca: None }), ..options() }).is_ok());
}

#[tokio::test]
async fn a_name_is_registered_once_and_also_while_listening() {
    let running = Running::with(options(), vec![("Echo", echo())]).await;
    for name in ["Echo", "", "a\nb", &"x".repeat(257)] {
        let error = running.service.register(name, echo()).expect_err("not registered");
        assert_eq!((error.code(), error.path()), (Code::Config, Some("nodeType")), "{error}");
    }
    running.service.register("Later", echo()).expect("a fresh name");
    assert_eq!(execute(&mut running.client().await, request("Later", "json", "1")).await.output_data, "1");
}

#[tokio::test]
async fn where_nothing_can_listen_is_said_with_the_address() {
    let running = Running::with(options(), vec![]).await;
    let at = |host: &str, port: u16| Service::new(ServiceOptions { host: Some(host.into()), port: Some(port.into()), ..options() }).expect("options");
    let error = within(at("127.0.0.1", running.address.port()).listen()).await.expect_err("in use");
    assert_eq!((error.code(), error.path()), (Code::Config, Some("port")));
    assert!(error.message().contains(&running.address.to_string()), "{error}");
    // TEST-NET-1, which no machine has.
    let error = within(at("192.0.2.1", 0).listen()).await.expect_err("not ours");
    assert_eq!((error.code(), error.path()), (Code::Config, Some("host")), "{error}");
    let error = within(at("no-such-host.invalid", 0).listen()).await.expect_err("no such name");
    assert_eq!((error.code(), error.path()), (Code::Config, Some("host")), "{error}");
    for host in ["localhost", "::1", "[::1]"] {
        match within(at(host, 0).listen()).await {
            Ok(address) => assert!(address.ip().is_loopback()),
            // A machine without IPv6.
            Err(error) => assert!(host.contains(':') && error.path() == Some("host"), "{error}"),
        }
    }
}
