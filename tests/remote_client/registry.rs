//! Names for endpoints: fixed, from a file that changes, wrong ones.

use std::path::Path;

use remotemedia_wasmedge::error::Code;
use remotemedia_wasmedge::remote::{NodeTarget, RegistryOptions, RemoteOptions, Scope, ServiceRegistry};
use serde_json::json as js;

use super::remote::{self, Stage, json};

const PLAIN: RegistryOptions = RegistryOptions { expand_env: false };

fn named(registry: &ServiceRegistry, service: &str) -> RemoteOptions {
    let (registry, service) = (Some(registry.clone()), Some(service.to_owned()));
    RemoteOptions { registry, service, max_retries: Some(0.0), ..RemoteOptions::default() }
}

#[tokio::test]
async fn a_client_finds_its_endpoint_by_name() {
    let stage = Stage::v0().await;
    let registry = ServiceRegistry::fixed(&js!({ "vad": stage.address.to_string() })).expect("a registry");
    let client = remote::client(named(&registry, "vad"));
    client.execute_node(&NodeTarget::new("Echo"), json(js!(1)), &Scope::default()).await.expect("an output");

    let error = remote::client(named(&registry, "tts")).connect().await.expect_err("unknown");
    assert_eq!(error.code(), Code::ServiceUnknown);
    assert!(error.message().contains("no service 'tts'; it has vad"), "{error}");
}

#[test]
fn services_are_written_in_three_ways() {
    let registry = ServiceRegistry::fixed(&js!({ "a": "x:1", "b": ["x:1", "dns:y:2"], "c": { "endpoints": ["https://z"] } })).expect("a registry");
    assert_eq!(registry.describe(), js!({ "a": ["x:1"], "b": ["x:1", "dns:y:2"], "c": ["https://z"] }));
}

#[test]
fn wrong_services_are_named_by_path() {
    for (services, path) in [
        (js!([]), "services"),
        (js!({ "vad": 1 }), "services.vad"),
        (js!({ "vad": [] }), "services.vad"),
        (js!({ "vad": [1] }), "services.vad"),
        (js!({ "vad": {} }), "services.vad"),
        (js!({ "vad": ["ok:1", "ftp://x"] }), "services.vad.1"),
        (js!({ "vad": "${HOST}:1" }), "services.vad.0"),
    ] {
        let error = ServiceRegistry::fixed(&services).err().unwrap_or_else(|| panic!("{services} was accepted"));
        assert_eq!((error.code(), error.path()), (Code::Config, Some(path)), "{error}");
    }
}

#[test]
fn files_are_yaml_or_json_and_their_mistakes_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let read = |path: &Path| ServiceRegistry::file(path, PLAIN).map(|registry| registry.describe());
    assert_eq!(
        read(&write("a.yaml", "services:\n  vad: gpu:1\n  stt: [a:1, b:2]\n")).expect("names"),
        js!({ "vad": ["gpu:1"], "stt": ["a:1", "b:2"] })
    );
    assert_eq!(read(&write("b.json", r#"{"vad": "gpu:1"}"#)).expect("names"), js!({ "vad": ["gpu:1"] }));

    let missing = folder.path().join("missing.yaml");
    for (path, words) in [
        (missing, "cannot be read"),
        (write("c.json", "{"), "no JSON"),
        (write("d.yaml", "a: [b"), "no YAML"),
        (write("e.yaml", "- a\n"), "must be an object"),
        (write("f.yaml", "vad: 'ftp://x'\n"), "must be host:port"),
        (write("g.yaml", &"#".repeat(2 << 20)), "longer than"),
    ] {
        let error = read(&path).expect_err(words);
        assert_eq!(error.code(), Code::Config);
        assert!(error.message().contains(words) && error.message().contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn variables_stand_for_themselves_only_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("services.yaml");
    std::fs::write(&path, "vad: '${CARGO_PKG_NAME}:1'\n").expect("a file");
    assert!(ServiceRegistry::file(&path, PLAIN).is_err());
    let registry = ServiceRegistry::file(&path, RegistryOptions { expand_env: true }).expect("names");
    assert_eq!(registry.describe(), js!({ "vad": ["remotemedia-wasmedge:1"] }));
}

/// Until the registry is what `wanted` says.
async fn until(registry: &ServiceRegistry, wanted: impl Fn(&ServiceRegistry) -> bool) {
    let wait = async {
        while !wanted(registry) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(remote::PATIENCE, wait).await.expect("the registry looks at its file");
}

#[tokio::test]
async fn a_changed_file_changes_where_calls_go_and_a_broken_one_does_not() {
    let (one, two) = (Stage::v0().await, Stage::v0().await);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("services.yaml");
    std::fs::write(&path, format!("vad: '{}'\n", one.address)).expect("a file");
    let registry = ServiceRegistry::file(&path, PLAIN).expect("names");
    let client = remote::client(named(&registry, "vad"));
    let call = async || client.execute_node(&NodeTarget::new("Echo"), json(js!(1)), &Scope::default()).await.expect("an output");
    call().await;

    std::fs::write(&path, "vad: [half a li").expect("a file");
    until(&registry, |registry| registry.problem().is_some()).await;
    assert!(registry.problem().expect("a problem").message().contains("no YAML"));
    call().await;
    assert_eq!((one.book.count("ExecuteNode"), two.book.count("ExecuteNode")), (2, 0));

    std::fs::write(&path, format!("vad: '{}'\n", two.address)).expect("a file");
    until(&registry, |registry| registry.problem().is_none()).await;
    call().await;
    assert_eq!((one.book.count("ExecuteNode"), two.book.count("ExecuteNode")), (2, 1));
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_is_pointed_elsewhere_is_a_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    // As mounted configuration changes: data folders, a link to the current one, and a link into it.
    for (name, text) in [("v1", "vad: a:1\n"), ("v2", "vad: b:1\n")] {
        std::fs::create_dir(at(name)).expect("a folder");
        std::fs::write(at(name).join("services.yaml"), text).expect("a file");
    }
    std::os::unix::fs::symlink("v1", at("data")).expect("a link");
    std::os::unix::fs::symlink("data/services.yaml", at("services.yaml")).expect("a link");
    let registry = ServiceRegistry::file(at("services.yaml"), PLAIN).expect("names");
    assert_eq!(registry.describe(), js!({ "vad": ["a:1"] }));
    std::os::unix::fs::symlink("v2", at("next")).expect("a link");
    std::fs::rename(at("next"), at("data")).expect("swapped");
    until(&registry, |registry| registry.describe() == js!({ "vad": ["b:1"] })).await;

    std::fs::remove_file(at("services.yaml")).expect("removed");
    until(&registry, |registry| registry.problem().is_some()).await;
    assert_eq!(registry.describe(), js!({ "vad": ["b:1"] }));
    registry.close();
}
