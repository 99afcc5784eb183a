//! Text to a manifest and back.

use std::fs;

use proptest::prelude::*;
use remotemedia_wasmedge::data::{Map, Value};
use remotemedia_wasmedge::pipeline::manifest::{Connection, Execution, Manifest, ManifestNode, Metadata, Placement, RuntimeHint, Side};
use serde_json::json;

use super::{EVERYTHING, GATE_THEN_TEXT, checked};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn the_contracts_example_is_read() {
    let manifest = Manifest::parse(GATE_THEN_TEXT).expect("the example");
    assert_eq!(manifest.metadata.name.as_deref(), Some("gate-then-text"));
    assert_eq!(manifest.nodes[0].params["threshold"], 0.5);
    assert_eq!(manifest.nodes[1].node_type, "RemotePipelineNode");
    assert_eq!(manifest.connections, [Connection::new("gate", "stt")]);
    let graph = manifest.graph().expect("a graph");
    assert!(graph.is_chain());
    assert_eq!(manifest.output_nodes(&graph), [1]);
}

#[test]
fn every_field_is_read_and_written_back() {
    let manifest = Manifest::parse(EVERYTHING).expect("a manifest");
    let mic = &manifest.nodes[0];
    assert!(mic.is_streaming && mic.is_output_node && manifest.metadata.auto_negotiate);
    assert_eq!(mic.params["mode"], "on");
    assert_eq!(mic.runtime_hint, Some(RuntimeHint::RustPython));
    assert_eq!(mic.execution.as_ref().expect("execution").placement, Placement::PreferLocal);
    assert_eq!(mic.python_deps.as_deref(), Some(&["numpy>=2".to_owned()][..]));
    assert_eq!(mic.rest["fast_path"], true);
    assert_eq!(manifest.rest["plugins"], json!(["./plugins/x.so"]));
    assert_eq!(manifest.connections[0].rest["to_port"], "default");
    assert_eq!(manifest.output_nodes(&manifest.graph().expect("a graph")), [0, 1]);

    let value = manifest.to_value();
    assert_eq!(keys(&value), ["version", "metadata", "nodes", "connections", "python_env", "plugins"]);
    let node = keys(&value["nodes"][0]);
    assert_eq!(node[..6], ["id", "node_type", "params", "is_streaming", "is_output_node", "capabilities"]);
    assert_eq!(node[6..], ["media_capabilities", "host", "runtime_hint", "execution", "docker", "python_deps", "fast_path"]);
    assert_eq!(value["nodes"][0]["execution"], json!({ "placement": "prefer_local", "reason": "latency", "fallback": "other", "weight": 3 }));
    assert_eq!(value["nodes"][1], json!({ "id": "out", "node_type": "AudioSink" }), "only what was set");

    assert_eq!(Manifest::from_value(value.clone()).expect("from its value"), manifest);
    assert_eq!(Manifest::parse(&value.to_string()).expect("from JSON"), manifest);
    let yaml = manifest.to_yaml().expect("YAML");
    assert_eq!(Manifest::parse(&yaml).expect("from YAML"), manifest);
    assert_eq!(Manifest::parse(&yaml).expect("from YAML").to_yaml().expect("YAML"), yaml);
}

#[test]
fn scalars_mean_what_they_mean_to_remotemedia() {
    let text = "version: v1\nmetadata: {}\nnodes: [{id: a, node_type: T, params: {a: on, b: no, c: 0755, d: 1_000, e: 12:30, f: ~, g: 0x1F, 1: x}}]\nconnections: []\n";
    let manifest = Manifest::parse(text).expect("a manifest");
    let expected = json!({ "a": "on", "b": "no", "c": "0755", "d": "1_000", "e": "12:30", "f": null, "g": 31, "1": "x" });
    assert_eq!(Value::Object(manifest.nodes[0].params.clone()), expected);
}

#[test]
fn fields_may_be_spelled_as_in_javascript() {
    let given = json!({
        "version": "v1",
        "metadata": { "createdAt": "now", "autoNegotiate": true },
        "nodes": [{ "id": "a", "nodeType": "T", "isOutputNode": true, "runtimeHint": "auto", "pythonDeps": ["x"] }],
        "connections": [],
        "pythonEnv": { "scope": "global" },
    });
    let value = Manifest::from_value(given).expect("a manifest").to_value();
    assert_eq!(value["metadata"], json!({ "created_at": "now", "auto_negotiate": true }));
    assert_eq!(value["nodes"][0], json!({ "id": "a", "node_type": "T", "is_output_node": true, "runtime_hint": "auto", "python_deps": ["x"] }));
    assert_eq!(value["python_env"], json!({ "scope": "global" }));
}

#[test]
fn null_is_not_given() {
    let text = "version: v1\nmetadata: {name: ~}\nnodes:\n- {id: a, node_type: T, params: ~, is_streaming: ~, execution: ~, x: ~}\nconnections: []\npython_env: ~\n";
    let manifest = Manifest::parse(text).expect("a manifest");
    assert_eq!(manifest.nodes[0], ManifestNode { rest: Map::from_iter([("x".to_owned(), Value::Null)]), ..ManifestNode::new("a", "T") });
    assert_eq!(manifest.metadata, Metadata::default());
    assert_eq!(manifest.python_env, None);
}

#[test]
fn shared_parts_are_put_in() {
    let text = "version: v1\nmetadata: {}\nnodes:\n- {id: a, node_type: T, params: &p {rate: 16000}}\n- {id: b, node_type: T, params: *p}\nconnections: [{from: a, to: b}]\n";
    let manifest = Manifest::parse(text).expect("a manifest");
    assert_eq!(manifest.nodes[0].params, manifest.nodes[1].params);
}

#[test]
fn files_are_read_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipeline.yaml");
    fs::write(&path, format!("\u{feff}{GATE_THEN_TEXT}")).expect("a file");
    assert_eq!(Manifest::read(&path).expect("the example"), Manifest::parse(GATE_THEN_TEXT).expect("the example"));

    for (text, at, problem) in [
        (Some("version: v2"), "version", "must be 'v1', got 'v2'"),
        (Some("version: ["), "manifest", "line 1, column 10"),
        (Some(""), "manifest", "the text is empty"),
        (None, "manifest", "the file cannot be read"),
    ] {
        let _ = fs::remove_file(&path);
        if let Some(text) = text {
            fs::write(&path, text).expect("a file");
        }
        let error = checked(Manifest::read(&path).expect_err("a problem"));
        assert_eq!(error.path(), Some(at));
        assert!(error.message().contains(problem) && error.message().contains("pipeline.yaml"), "{error}");
    }
    assert!(checked(Manifest::read(folder.path()).expect_err("a folder")).message().contains("cannot be read"));
    fs::write(&path, vec![b' '; (4 << 20) + 1]).expect("a file");
    assert!(checked(Manifest::read(&path).expect_err("too long")).message().contains("longer than 4194304 bytes"));
    fs::write(&path, [0xff, 0xfe, 0x00]).expect("a file");
    assert!(checked(Manifest::read(&path).expect_err("no UTF-8")).message().contains("cannot be read"));
}

#[test]
fn placements_say_where_a_node_may_run() {
    let rows = Placement::WORDS.map(|(word, placement)| {
        assert_eq!(placement.name(), word);
        (word, placement.allows_local(), placement.allows_remote(), placement.prefers())
    });
    let expected = [
        ("local", true, false, Some(Side::Local)),
        ("remote", false, true, Some(Side::Remote)),
        ("prefer_local", true, true, Some(Side::Local)),
        ("prefer_remote", true, true, Some(Side::Remote)),
        ("auto", true, true, None),
    ];
    assert_eq!(rows, expected);
    for (word, hint) in RuntimeHint::WORDS {
        assert_eq!(hint.name(), word);
    }
}

/// Texts that a writer of YAML may get wrong, and any others.
fn texts() -> impl Strategy<Value = String> {
    let tricky = [
        "on",
        "No",
        "~",
        "null",
        "0755",
        "1_000",
        "1e3",
        ".5",
        "0x1F",
        "-",
        "- a",
        "a: b",
        "#x",
        " x ",
        "x #y",
        "!x",
        "&x",
        "*x",
        "|",
        ">",
        "%x",
        "@x",
        "`",
        "'",
        "\"",
        "{",
        "[]",
        "?",
        "=",
        "<<",
        ".inf",
        "2024-01-02",
        "12:30",
        "\n",
        "a\nb",
        "a\n\n b\n",
        "\ta",
        "\u{85}",
        "\u{feff}",
        "\u{2028}",
        "true",
        "y",
        "",
        "---",
        "...",
        "\0",
        "\r\n",
        "a\r",
        "+1",
        "1.",
        "0o7",
        "9".repeat(40).leak(),
    ];
    prop_oneof![prop::sample::select(tricky.to_vec()).prop_map(str::to_owned), ".{0,12}", "[ -~\n]{0,200}", "[a-z ]{70,120}"]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has it", |number| number.is_finite()).prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((texts(), inner), 0..5).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn objects() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((texts(), values()), 0..4).prop_map(|entries| entries.into_iter().collect())
}

/// Fields that no manifest knows.
fn rest() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec(("x-[a-z]{1,5}", values()), 0..3).prop_map(|entries| entries.into_iter().collect())
}

fn nodes() -> impl Strategy<Value = ManifestNode> {
    let known = (
        texts().prop_filter("a name", |text| !text.is_empty()),
        objects(),
        any::<bool>(),
        any::<bool>(),
        prop::option::of(objects()),
        prop::option::of(texts()),
    );
    let more = (
        prop::option::of(prop::sample::select(RuntimeHint::WORDS.map(|(_, hint)| hint).to_vec())),
        prop::option::of((
            prop::sample::select(Placement::WORDS.map(|(_, placement)| placement).to_vec()),
            prop::option::of(texts()),
            prop::option::of(texts()),
            rest(),
        )),
        prop::option::of(values().prop_filter("given", |value| !value.is_null())),
        prop::option::of(prop::collection::vec(texts(), 0..3)),
        rest(),
    );
    (known, more).prop_map(|((node_type, params, is_streaming, is_output_node, capabilities, host), (runtime_hint, execution, docker, python_deps, rest))| {
        let execution = execution.map(|(placement, reason, fallback, rest)| Execution { placement, reason, fallback, rest });
        let id = String::new();
        let media_capabilities = None;
        #[rustfmt::skip]
        let node = ManifestNode {
            id, node_type, params, is_streaming, is_output_node, capabilities, media_capabilities, host, runtime_hint, execution, docker, python_deps, rest,
        };
        node
    })
}

fn manifests() -> impl Strategy<Value = Manifest> {
    let metadata = (prop::option::of(texts()), prop::option::of(texts()), any::<bool>(), rest());
    (prop::collection::vec((texts(), nodes()), 1..6), metadata, rest(), rest()).prop_map(|(nodes, metadata, of_connections, rest)| {
        // Unique, as each starts with its number.
        let nodes: Vec<_> = nodes.into_iter().enumerate().map(|(index, (id, node))| ManifestNode { id: format!("{index}{id}"), ..node }).collect();
        let connections = nodes.windows(2).map(|pair| Connection { rest: of_connections.clone(), ..Connection::new(&pair[0].id, &pair[1].id) });
        let connections = connections.collect();
        let (name, description, auto_negotiate, of_metadata) = metadata;
        let metadata = Metadata { name, description, auto_negotiate, rest: of_metadata, created_at: None };
        Manifest { metadata, rest, ..Manifest::new(nodes, connections) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_as_it_was(manifest in manifests()) {
        prop_assert_eq!(&Manifest::from_value(manifest.to_value()).expect("its value"), &manifest);
        prop_assert_eq!(&Manifest::parse(&manifest.to_value().to_string()).expect("its JSON"), &manifest);
        let yaml = manifest.to_yaml().expect("YAML");
        let read = Manifest::parse(&yaml);
        prop_assert!(read.is_ok(), "{:?}\n{}", read, yaml);
        prop_assert_eq!(&read.expect("its YAML"), &manifest, "{}", yaml);
    }
}
