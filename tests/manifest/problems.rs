//! Every problem with its place.

use remotemedia_wasmedge::pipeline::manifest::Manifest;
use serde_json::{Value, json};

use super::{checked, refused};

/// Two nodes, one connection.
fn base() -> Value {
    json!({
        "version": "v1",
        "metadata": {},
        "nodes": [{ "id": "a", "node_type": "T" }, { "id": "b", "node_type": "T" }],
        "connections": [{ "from": "a", "to": "b" }],
    })
}

/// `base` with the value at `pointer` set, or removed where it is `None`.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut manifest = base();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = manifest.pointer_mut(parent).expect("a parent");
    match (parent, value) {
        (Value::Object(map), Some(value)) => drop(map.insert(key.to_owned(), value)),
        (Value::Object(map), None) => drop(map.remove(key)),
        (Value::Array(list), Some(value)) => match key.parse::<usize>() {
            Ok(index) if index < list.len() => list[index] = value,
            _ => list.push(value),
        },
        (other, _) => panic!("{pointer} in {other}"),
    }
    manifest
}

#[test]
fn every_problem_is_named_by_its_place() {
    let long = "x".repeat(257);
    let remote = |params: Value| json!({ "id": "b", "node_type": "RemotePipelineNode", "params": params });
    let rows: Vec<(&str, Option<Value>, &str, &str)> = vec![
        ("/version", None, "version", "must be 'v1', got nothing"),
        ("/version", Some(json!("v2")), "version", "must be 'v1', got 'v2'"),
        ("/version", Some(json!(1)), "version", "must be 'v1', got 1"),
        ("/metadata", None, "metadata", "must be an object, which may be empty, got nothing"),
        ("/metadata", Some(json!(null)), "metadata", "must be an object, which may be empty, got nothing"),
        ("/metadata", Some(json!("x")), "metadata", "must be an object, got 'x'"),
        ("/metadata/name", Some(json!(7)), "metadata.name", "must be a string, got 7"),
        ("/metadata/description", Some(json!({})), "metadata.description", "must be a string, got an object"),
        ("/metadata/created_at", Some(json!(true)), "metadata.created_at", "must be a string, got a boolean"),
        ("/metadata/auto_negotiate", Some(json!("yes")), "metadata.auto_negotiate", "must be a boolean, got 'yes'"),
        ("/nodes", None, "nodes", "must be an array, got nothing"),
        ("/nodes", Some(json!({})), "nodes", "must be an array, got an object"),
        ("/nodes", Some(json!([])), "nodes", "must have a node at least"),
        ("/nodes/1", Some(json!("b")), "nodes.1", "must be an object, got 'b'"),
        ("/nodes/1", Some(json!({})), "nodes.1.id", "must be a string, got nothing"),
        ("/nodes/1/id", Some(json!(2)), "nodes.1.id", "must be a string, got 2"),
        ("/nodes/1/id", Some(json!("")), "nodes.1.id", "must be 1 to 256 bytes, got 0"),
        ("/nodes/1/id", Some(json!(long)), "nodes.1.id", "must be 1 to 256 bytes, got 257"),
        ("/nodes/1/id", Some(json!("a")), "nodes.1.id", "must be unique, but nodes.0 is 'a' too"),
        ("/nodes/1/node_type", None, "nodes.1.node_type", "must be a string, got nothing"),
        ("/nodes/1/node_type", Some(json!([])), "nodes.1.node_type", "must be a string, got an array"),
        ("/nodes/1/node_type", Some(json!("")), "nodes.1.node_type", "must be 1 to 256 bytes, got 0"),
        ("/nodes/1/nodeType", Some(json!("T")), "nodes.1.node_type", "is given twice, as nodeType too"),
        ("/nodes/1/params", Some(json!("{}")), "nodes.1.params", "must be an object, got '{}'"),
        ("/nodes/1/is_streaming", Some(json!(1)), "nodes.1.is_streaming", "must be a boolean, got 1"),
        ("/nodes/1/is_output_node", Some(json!("x")), "nodes.1.is_output_node", "must be a boolean, got 'x'"),
        ("/nodes/1/capabilities", Some(json!([])), "nodes.1.capabilities", "must be an object, got an array"),
        ("/nodes/1/media_capabilities", Some(json!("audio")), "nodes.1.media_capabilities", "must be an object, got 'audio'"),
        (
            "/nodes/1/media_capabilities",
            Some(json!({ "inputs": [] })),
            "nodes.1.media_capabilities.inputs",
            "must be an object of constraints by port, got an array",
        ),
        ("/nodes/1/media_capabilities", Some(json!({ "outputs": { "x": 1 } })), "nodes.1.media_capabilities.outputs.x", "must be an object, got 1"),
        (
            "/nodes/1/media_capabilities",
            Some(json!({ "inputs": { "default": { "type": "sound" } } })),
            "nodes.1.media_capabilities.inputs.default.type",
            "must be binary, text, json, audio, tensor, video or file, got 'sound'",
        ),
        ("/nodes/1/host", Some(json!(1)), "nodes.1.host", "must be a string, got 1"),
        ("/nodes/1/runtime_hint", Some(json!("pypy")), "nodes.1.runtime_hint", "must be one of rust_python, cpython, cpython_wasm, auto, got 'pypy'"),
        ("/nodes/1/execution", Some(json!("local")), "nodes.1.execution", "must be an object, got 'local'"),
        (
            "/nodes/1/execution",
            Some(json!({ "placement": "here" })),
            "nodes.1.execution.placement",
            "must be one of local, remote, prefer_local, prefer_remote, auto, got 'here'",
        ),
        ("/nodes/1/execution", Some(json!({ "reason": 1 })), "nodes.1.execution.reason", "must be a string, got 1"),
        ("/nodes/1/execution", Some(json!({ "fallback": 1 })), "nodes.1.execution.fallback", "must be a string, got 1"),
        ("/nodes/1/python_deps", Some(json!("numpy")), "nodes.1.python_deps", "must be an array, got 'numpy'"),
        ("/nodes/1/python_deps", Some(json!(["a", 1])), "nodes.1.python_deps.1", "must be a string, got 1"),
        ("/connections", None, "connections", "must be an array, which may be empty, got nothing"),
        ("/connections", Some(json!({})), "connections", "must be an array, got an object"),
        (
            "/connections",
            Some(json!([])),
            "connections",
            "must name every node where there are several; 'a', 'b' would neither be fed nor feed another",
        ),
        ("/connections/0", Some(json!(["a", "b"])), "connections.0", "must be an object, got an array"),
        ("/connections/0/from", None, "connections.0.from", "must be a string, got nothing"),
        ("/connections/0/to", Some(json!("c")), "connections.0.to", "must be the id of a node, got 'c'"),
        ("/connections/0/from", Some(json!("c")), "connections.0.from", "must be the id of a node, got 'c'"),
        ("/connections/0/to", Some(json!("a")), "connections.0", "leads from 'a' back to itself"),
        ("/connections/1", Some(json!({ "from": "a", "to": "b" })), "connections.1", "leads from 'a' to 'b', as one before it does"),
        ("/connections/1", Some(json!({ "from": "b", "to": "a" })), "connections", "must not lead in a circle: a -> b -> a"),
        ("/nodes/1", Some(remote(json!({ "manifest": [] }))), "nodes.1.params.manifest", "must be an object, got an array"),
        ("/nodes/1", Some(remote(json!({ "manifest": {} }))), "nodes.1.params.manifest.version", "must be 'v1', got nothing"),
        (
            "/nodes/1",
            Some(remote(json!({ "manifest": { "version": "v1", "metadata": {}, "nodes": [{ "id": "", "node_type": "T" }], "connections": [] } }))),
            "nodes.1.params.manifest.nodes.0.id",
            "must be 1 to 256 bytes, got 0",
        ),
    ];
    for (pointer, value, path, problem) in rows {
        let value = with(pointer, value);
        let error = checked(Manifest::from_value(value.clone()).expect_err(path));
        assert_eq!((error.path(), error.message()), (Some(path), format!("{path}: {problem}").as_str()), "{pointer}");
        // The same from text.
        assert_eq!(refused(&value.to_string()).message(), error.message());
    }
    Manifest::from_value(base()).expect("what the rows change is right");
}

#[test]
fn problems_of_the_text_have_line_and_column() {
    for (text, problem) in [
        ("", "the text is empty"),
        (" \n ", "the text is empty"),
        ("\u{feff}", "the text is empty"),
        ("{\n  \"version\": v1\n}", "expected value at line 2 column 14"),
        ("{version: v1}", "key must be a string at line 1 column 2"),
        ("{\"a\": 1,\n\"a\": 2}", "the key 'a' is given twice at line 2 column 3"),
        ("{} {}", "trailing characters at line 1 column 4"),
        ("version: v1\nversion: v1\n", "line 2, column 1"),
        ("version: v1\n1: a\n\"1\": b\n", "the key '1' is given twice"),
        ("version: v1\nnodes: [\n", "line 2, column 8"),
        ("a: 1\n? [a]\n: b\n", "line 2, column 3"),
        ("a: 1\n~: b\n", "line 2, column 1"),
        ("a: 1\n<<: {b: 1}\n", "line 2, column 1"),
        ("a: !secret b\n", "unsupported tag"),
        ("a: *b\n", "unknown anchor at line 1, column 4"),
        ("a: 1\n---\nb: 1\n", "line 2, column 1"),
        ("a: \"\\q\"\n", "line 1, column 4"),
    ] {
        let error = refused(text);
        assert_eq!(error.path(), Some("manifest"), "{text:?}");
        assert!(error.message().contains(problem), "{text:?}: {error}");
    }
    for (text, got) in [("[]", "an array"), ("v1", "'v1'"), ("# nothing", "null"), ("7", "7")] {
        assert_eq!(refused(text).message(), format!("manifest: must be an object, got {got}"));
    }
}
