//! Options are checked once, and a wrong one is named by its path.

use remotemedia_wasmedge::error::Code;
use remotemedia_wasmedge::remote::{
    HealthOptions, HedgeOptions, KeepaliveOptions, OutlierOptions, RemoteConfig, RemoteOptions, ServiceRegistry, TlsOptions, Token, WindowOptions,
};
use serde_json::json as js;

fn host() -> RemoteOptions {
    RemoteOptions { host: Some("localhost".into()), ..RemoteOptions::default() }
}

#[test]
fn the_least_that_is_needed_is_a_host() {
    let config = RemoteConfig::new(host()).expect("options");
    assert_eq!((config.timeout.as_secs(), config.max_retries, config.max_message_size), (30, 3, 64 << 20));
    assert!(config.transport.keepalive.interval.as_secs() > 300 && !config.transport.keepalive.while_idle);
}

#[test]
fn wrong_options_are_named_by_path() {
    let with = |change: fn(&mut RemoteOptions)| {
        let mut options = host();
        change(&mut options);
        options
    };
    let wrong: Vec<(&str, RemoteOptions)> = vec![
        ("host", RemoteOptions::default()),
        ("host", with(|options| options.host = Some(String::new()))),
        ("host", with(|options| options.host = Some("http://localhost".into()))),
        ("host", with(|options| options.host = Some("localhost:50052".into()))),
        ("host", with(|options| options.host = Some("a b".into()))),
        ("port", with(|options| options.port = Some(0.0))),
        ("port", with(|options| options.port = Some(70_000.0))),
        ("port", with(|options| options.port = Some(1.5))),
        ("port", RemoteOptions { port: Some(1.0), endpoints: vec!["a:1".into()], ..RemoteOptions::default() }),
        ("protocol", with(|options| options.protocol = Some("http".into()))),
        ("endpoints.0", with(|options| options.endpoints = vec!["ftp://a:1".into()])),
        ("endpoints.1", with(|options| options.endpoints = vec!["a:1".into(), "b:0".into()])),
        ("endpoints.0", with(|options| options.endpoints = vec!["http://user:secret@a:1".into()])),
        ("endpoints.0", with(|options| options.endpoints = vec!["http://a:1/path".into()])),
        ("endpoints.0", with(|options| options.endpoints = vec!["::1".into()])),
        ("endpoints.0", with(|options| (options.endpoints, options.ssl_enabled) = (vec!["https://a".into()], Some(false)))),
        ("timeout", with(|options| options.timeout = Some(0.0))),
        ("timeout", with(|options| options.timeout = Some(f64::NAN))),
        ("timeout", with(|options| options.timeout = Some(100_000.0))),
        ("maxRetries", with(|options| options.max_retries = Some(-1.0))),
        ("maxRetries", with(|options| options.max_retries = Some(0.5))),
        ("maxMessageSize", with(|options| options.max_message_size = Some(0.0))),
        ("connectTimeoutMs", with(|options| options.connect_timeout_ms = Some(0.0))),
        ("keepalive.intervalMs", with(|options| options.keepalive = Some(KeepaliveOptions { interval_ms: Some(1.0), ..Default::default() }))),
        ("keepalive.timeoutMs", with(|options| options.keepalive = Some(KeepaliveOptions { timeout_ms: Some(-1.0), ..Default::default() }))),
        ("hedge.delayMs", with(|options| options.hedge = Some(HedgeOptions::default()))),
        ("hedge.maxPercent", with(|options| options.hedge = Some(HedgeOptions { delay_ms: Some(1.0), max_percent: Some(101.0) }))),
        ("outlier.failures", with(|options| options.outlier = OutlierOptions { failures: Some(-1.0), ..Default::default() })),
        ("outlier.ejectMs", with(|options| options.outlier = OutlierOptions { eject_ms: Some(0.0), ..Default::default() })),
        ("healthWatch.intervalMs", with(|options| options.health_watch = Some(HealthOptions { interval_ms: Some(0.0), ..Default::default() }))),
        ("windows.streamBytes", with(|options| options.windows = WindowOptions { stream_bytes: Some(1.0), ..Default::default() })),
        ("windows.connectionBytes", with(|options| options.windows = WindowOptions { connection_bytes: Some(4e9), ..Default::default() })),
        ("authToken", with(|options| options.auth_token = Some(Token::Fixed(String::new())))),
        ("authToken", with(|options| options.auth_token = Some(Token::Fixed("two words".into())))),
        ("metadata.te", with(|options| options.metadata = vec![("te".into(), "x".into())])),
        ("metadata.grpc-foo", with(|options| options.metadata = vec![("grpc-foo".into(), "x".into())])),
        ("metadata.a b", with(|options| options.metadata = vec![("a b".into(), "x".into())])),
        ("metadata.x", with(|options| options.metadata = vec![("x".into(), "line\nbreak".into())])),
        (
            "metadata.authorization",
            with(|options| {
                options.metadata = vec![("authorization".into(), "x".into())];
                options.auth_token = Some(Token::Fixed("t".into()));
            }),
        ),
        ("service", RemoteOptions { service: Some("vad".into()), ..RemoteOptions::default() }),
        ("registry", with(|options| options.registry = Some(registry()))),
        ("service", with(|options| (options.registry, options.service) = (Some(registry()), Some("vad".into())))),
        ("tls", with(|options| (options.tls, options.ssl_enabled) = (Some(TlsOptions::default()), Some(false)))),
        ("tls.ca", tls(|tls| tls.ca = Some(b"no PEM".to_vec()))),
        ("tls.key", tls(|tls| tls.cert = Some(b"x".to_vec()))),
        ("tls.cert", tls(|tls| tls.key = Some(b"x".to_vec()))),
        ("tls.serverName", tls(|tls| tls.server_name = Some("not a name".into()))),
    ];
    for (path, options) in wrong {
        let error = RemoteConfig::new(options).err().unwrap_or_else(|| panic!("{path} was accepted"));
        assert_eq!((error.code(), error.path()), (Code::Config, Some(path)), "{error}");
        assert!(error.message().starts_with(path), "{error}");
    }
}

fn registry() -> ServiceRegistry {
    ServiceRegistry::fixed(&js!({ "vad": "a:1" })).expect("a registry")
}

/// With a root of its own, so that the system's roots do not matter.
fn tls(change: impl FnOnce(&mut TlsOptions)) -> RemoteOptions {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let mut tls = TlsOptions { ca: Some(issued.cert.pem().into_bytes()), ..TlsOptions::default() };
    change(&mut tls);
    RemoteOptions { tls: Some(tls), ssl_enabled: Some(true), ..host() }
}

#[test]
fn endpoints_are_read_in_every_form() {
    use remotemedia_wasmedge::remote::Address;
    let read = |text: &str, ssl| Address::parse(text, 50_052, ssl).expect(text);
    for (text, host, port, tls, every) in [
        ("gpu", "gpu", 50_052, false, false),
        ("gpu:1", "gpu", 1, false, false),
        ("[::1]:2", "::1", 2, false, false),
        ("http://gpu:3/", "gpu", 3, false, false),
        ("grpc://gpu", "gpu", 50_052, false, false),
        ("https://gpu:4", "gpu", 4, true, false),
        ("grpcs://gpu", "gpu", 50_052, true, false),
        ("dns:gpu:5", "gpu", 5, false, true),
        ("dns:///gpu", "gpu", 50_052, false, true),
    ] {
        let address = read(text, None);
        assert_eq!((address.host.as_str(), address.port, address.tls, address.every), (host, port, tls, every), "{text}");
    }
    assert!(read("gpu:1", Some(true)).tls);
    assert_eq!(read("[::1]:2", None).to_string(), "[::1]:2");
}
