//! Texts that want to break the reader.

use std::fmt::Write as _;

use proptest::prelude::*;
use remotemedia_wasmedge::pipeline::manifest::Manifest;
use serde_json::{Value, json};

use super::{EVERYTHING, GATE_THEN_TEXT, checked, refused};

#[test]
fn aliases_do_not_multiply() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").expect("a string");
    }
    assert_eq!(refused(&bomb).path(), Some("manifest"));

    let aliases = vec!["*a"; 900].join(", ");
    let long = format!("a: &a {}\nb: [{aliases}]\n", "x".repeat(1 << 20));
    assert_eq!(refused(&long).path(), Some("manifest"));

    let many = format!("a: &a x\nb: [{}]\n", vec!["*a"; 2_000].join(", "));
    assert_eq!(refused(&many).path(), Some("manifest"));

    assert!(refused("a: &a [*a]\n").message().contains("line 1"));
}

#[test]
fn depth_and_size_have_limits() {
    for text in [
        "[".repeat(1_000_000),
        "- ".repeat(1_000_000),
        "a: ".repeat(1_000_000),
        "{\"a\":".repeat(500_000),
        format!("{{\"a\":{}", "[".repeat(1_000_000)),
        format!("a: [{}1]", "1,".repeat(300_000)),
        format!("{{\"a\":[{}1]}}", "1,".repeat(2_000_000)),
        format!("# {}", "x".repeat(4 << 20)),
        "? ".repeat(100_000),
        "&a ".repeat(100_000),
        "!".repeat(1_000_000),
        "---\n".repeat(100_000),
        "'".repeat(999_999),
    ] {
        assert_eq!(refused(&text).path(), Some("manifest"), "{}", &text[..20]);
    }
    let mut deep = json!(1);
    for _ in 0..70 {
        deep = json!([deep]);
    }
    let error = checked(Manifest::from_value(json!({ "version": "v1", "deep": deep })).expect_err("too deep"));
    assert_eq!(error.message(), "manifest: has more than 64 levels");
}

#[test]
fn counts_have_limits() {
    let node = |index: usize| json!({ "id": index.to_string(), "node_type": "T" });
    let chain = |count: usize| {
        let connections: Vec<_> = (1..count).map(|index| json!({ "from": (index - 1).to_string(), "to": index.to_string() })).collect();
        json!({ "version": "v1", "metadata": {}, "nodes": (0..count).map(node).collect::<Vec<_>>(), "connections": connections })
    };
    let most = Manifest::from_value(chain(10_000)).expect("as many as there may be");
    assert!(most.graph().expect("a graph").is_chain());
    assert_eq!(Manifest::parse(&most.to_yaml().expect("YAML")).expect("its YAML"), most);
    assert_eq!(checked(Manifest::from_value(chain(10_001)).expect_err("too many")).message(), "nodes: must be 10000 at most, got 10001");
    let mut value = chain(2);
    value["connections"] = vec![json!({ "from": "0", "to": "1" }); 50_001].into();
    assert_eq!(checked(Manifest::from_value(value).expect_err("too many")).path(), Some("connections"));
}

#[test]
fn manifests_inside_manifests_have_a_limit() {
    let nested = |levels: usize| {
        let mut value = json!({ "version": "v1", "metadata": {}, "nodes": [{ "id": "last", "node_type": "T" }], "connections": [] });
        for _ in 1..levels {
            let params = json!({ "transport": "grpc", "endpoint": "host:1", "manifest": value });
            let node = json!({ "id": "r", "node_type": "RemotePipelineNode", "params": params });
            value = json!({ "version": "v1", "metadata": {}, "nodes": [node], "connections": [] });
        }
        value
    };
    Manifest::from_value(nested(4)).expect("as deep as it may be");
    let error = checked(Manifest::from_value(nested(5)).expect_err("too deep"));
    let step = "nodes.0.params.manifest";
    assert_eq!(error.path(), Some([step; 4].join(".").as_str()));
    assert!(error.message().ends_with(": must not be inside more than 3 others"), "{error}");
}

#[test]
fn errors_stay_short() {
    let long = "x".repeat(100_000);
    for text in [
        format!("version: {long}"),
        format!("version: v1\nmetadata: {{}}\nnodes: [{{id: {long}, node_type: T}}]\nconnections: []"),
        format!("version: v1\nmetadata: {{}}\nnodes: [{{id: a, node_type: T, runtime_hint: {long}}}]\nconnections: []"),
        format!("version: v1\nmetadata: {{}}\nnodes: [{{id: a, node_type: T, media_capabilities: {{inputs: {{{long}: 1}}}}}}]\nconnections: []"),
        format!("? {long}\n: 1\n? {long}\n: 2\n"),
        format!("{{\"{long}\":1,\"{long}\":2}}"),
        format!("a: *{long}"),
        format!("a: !{long} b"),
    ] {
        let message = refused(&text).message().to_owned();
        assert!(message.len() < 600, "{message}");
    }
}

#[test]
fn numbers_that_json_does_not_have_are_refused() {
    for number in ["1e999", "-1e999", ".inf", "-.inf", ".nan"] {
        let text = GATE_THEN_TEXT.replace("0.5", number);
        assert!(refused(&text).message().contains("line 5"), "{number}");
    }
    assert!(refused("{\"a\": 1e999}").message().contains("line 1"));
    let text = GATE_THEN_TEXT.replace("0.5", &"9".repeat(60));
    assert_eq!(Manifest::parse(&text).expect("a manifest").nodes[0].params["threshold"], 1e60);
}

fn texts() -> impl Strategy<Value = String> {
    let json = Manifest::parse(EVERYTHING).expect("a manifest").to_value();
    let pretty = serde_json::to_string_pretty(&json).expect("JSON");
    prop::sample::select(vec![GATE_THEN_TEXT.to_owned(), EVERYTHING.to_owned(), pretty])
}

/// Puts a value in somewhere else's place, wherever `turns` leads.
fn graft(value: &mut Value, turns: &[usize], scion: &Value) {
    let next = match (turns.first(), &mut *value) {
        (Some(turn), Value::Array(list)) if !list.is_empty() => {
            let place = turn % list.len();
            list.get_mut(place)
        }
        (Some(turn), Value::Object(map)) if !map.is_empty() => {
            let place = turn % map.len();
            map.values_mut().nth(place)
        }
        _ => None,
    };
    match next {
        Some(next) => graft(next, &turns[1..], scion),
        None => *value = scion.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_text_is_read_or_refused(text in texts(), changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..8, "[ -~\n\t{}\\[\\]:&*!|>#]{0,4}"), 1..6)) {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, remove, insert) in changes {
            let start = at.index(chars.len() + 1);
            let end = (start + remove).min(chars.len());
            chars.splice(start..end, insert.chars());
        }
        let changed: String = chars.into_iter().collect();
        match Manifest::parse(&changed) {
            Ok(manifest) => prop_assert_eq!(Manifest::parse(&manifest.to_yaml().expect("YAML")).expect("its YAML"), manifest),
            Err(error) => drop(checked(error)),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,300}|[ \n\t:\\-,{}\\[\\]&*!|>'\"%@?#a0~.]{0,120}") {
        if let Err(error) = Manifest::parse(&text) {
            checked(error);
        }
    }

    #[test]
    fn values_in_the_wrong_place_are_read_or_refused(turns in prop::collection::vec(0_usize..16, 1..8), which in 0_usize..7) {
        let mut value = Manifest::parse(EVERYTHING).expect("a manifest").to_value();
        let scions = [json!(null), json!(true), json!(7), json!(-1.5), json!("text"), json!([1, {}]), json!({ "a": [] })];
        graft(&mut value, &turns, &scions[which]);
        if let Err(error) = Manifest::from_value(value) {
            checked(error);
        }
    }
}
