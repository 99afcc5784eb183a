//! Order, circles and kinds.

use proptest::prelude::*;
use remotemedia_wasmedge::data::Kind;
use remotemedia_wasmedge::pipeline::manifest::{Graph, KindSet, Manifest, ManifestNode, Ports};
use serde_json::json;

use super::checked;

fn problem(ids: &[&str], connections: &[(&str, &str)]) -> String {
    checked(Graph::new(ids, connections).expect_err("a problem")).message().to_owned()
}

#[test]
fn nodes_come_after_what_feeds_them() {
    let graph = Graph::new(&["out", "b", "a", "in"], &[("in", "b"), ("in", "a"), ("a", "out"), ("b", "out")]).expect("a graph");
    assert_eq!(graph.order(), [3, 1, 2, 0]);
    assert_eq!(graph.sources().collect::<Vec<_>>(), [3]);
    assert_eq!(graph.sinks().collect::<Vec<_>>(), [0]);
    assert_eq!((graph.successors(3), graph.predecessors(0)), (&[1, 2][..], &[2, 1][..]));
    assert_eq!(graph.connections(), [(3, 1), (3, 2), (2, 0), (1, 0)]);
    assert_eq!((graph.id(1), graph.index("a"), graph.index("x"), graph.len()), ("b", Some(2), None, 4));
    assert!(!graph.is_chain() && !graph.is_empty());
}

#[test]
fn chains_are_known() {
    assert!(Graph::new(&["c", "a", "b"], &[("b", "c"), ("a", "b")]).expect("a graph").is_chain());
    assert_eq!(Graph::chain(&["a", "b", "c"]).expect("a graph").order(), [0, 1, 2]);
    assert!(Graph::chain(&["a"]).expect("a graph").is_chain());
    let none = Graph::chain(&[]).expect("a graph");
    assert!(none.is_empty() && !none.is_chain());
    for connections in [&[("a", "b"), ("a", "c"), ("c", "d")][..], &[("a", "c"), ("b", "c"), ("c", "d")], &[("a", "b"), ("c", "d")]] {
        let graph = Graph::new(&["a", "b", "c", "d"], connections).expect("a graph");
        assert!(!graph.is_chain(), "{connections:?}");
    }
}

#[test]
fn circles_are_named() {
    assert_eq!(problem(&["a", "b", "c"], &[("a", "b"), ("b", "c"), ("c", "a")]), "connections: must not lead in a circle: a -> b -> c -> a");
    // Only the circle, not what leads into it or comes of it; from its first node on.
    let ids = ["in", "out", "y", "x", "z"];
    let connections = [("in", "x"), ("x", "y"), ("y", "z"), ("z", "x"), ("z", "out")];
    assert_eq!(problem(&ids, &connections), "connections: must not lead in a circle: y -> z -> x -> y");
    assert_eq!(problem(&["a", "b", "c"], &[("c", "b"), ("b", "c"), ("b", "a")]), "connections: must not lead in a circle: b -> c -> b");
    let ids: Vec<_> = (0..5_000).map(|index| format!("n{index}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let circle: Vec<_> = (0..ids.len()).map(|index| (ids[index], ids[(index + 1) % ids.len()])).collect();
    let expected = "n0 -> n1 -> n2 -> n3 -> n4 -> n5 -> n6 -> n7 -> (4992 more) -> n0";
    assert_eq!(problem(&ids, &circle), format!("connections: must not lead in a circle: {expected}"));
}

#[test]
fn a_node_that_is_left_out_is_named() {
    let expected = "connections: must name every node where there are several; 'c' would neither be fed nor feed another";
    assert_eq!(problem(&["a", "b", "c"], &[("a", "b")]), expected);
    let ids: Vec<_> = (0..11).map(|index| format!("n{index}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    assert!(problem(&ids, &[("n0", "n1")]).contains("'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8', 'n9' and 1 more would"));
}

#[test]
fn sets_of_kinds_are_sets() {
    let set = KindSet::only(Kind::Text).with(Kind::Audio);
    assert!(set.contains(Kind::Text) && set.contains(Kind::Audio) && !set.contains(Kind::Json));
    assert!(set.intersects(KindSet::ALL) && !set.intersects(KindSet::only(Kind::Video)) && !set.intersects(KindSet::EMPTY));
    assert_eq!(set, [Kind::Audio, Kind::Text].into_iter().collect());
    assert_eq!(KindSet::ALL.iter().collect::<Vec<_>>(), Kind::ALL);
    assert_eq!((set.to_string(), KindSet::EMPTY.to_string()), ("text or audio".to_owned(), "nothing".to_owned()));
    assert!(KindSet::EMPTY.is_empty() && KindSet::default().is_empty() && !set.is_empty());
}

#[test]
fn connections_that_carry_nothing_are_refused() {
    let graph = Graph::new(&["mic", "vad", "resample"], &[("mic", "vad"), ("vad", "resample")]).expect("a graph");
    let node = |accepts: Option<Kind>, puts_out: Option<Kind>| Ports { accepts: accepts.map(KindSet::only), puts_out: puts_out.map(KindSet::only) };
    let mic = node(None, Some(Kind::Audio));
    let ports = [mic, node(Some(Kind::Audio), Some(Kind::Json)), node(Some(Kind::Audio), None)];
    let error = checked(graph.check_kinds(&ports).expect_err("no kind in common"));
    assert_eq!((error.path(), error.message()), (Some("connections.1"), "connections.1: 'vad' puts out json, 'resample' accepts audio"));
    // What is not known may be anything.
    graph.check_kinds(&[mic, node(Some(Kind::Audio), None), node(Some(Kind::Audio), None)]).expect("one side unknown");
    graph.check_kinds(&[mic]).expect("nodes not described");
    graph.check_kinds(&[]).expect("nothing described");
    let both = Ports { puts_out: Some(KindSet::only(Kind::Json).with(Kind::Audio)), ..Ports::default() };
    graph.check_kinds(&[mic, both, node(Some(Kind::Audio), None)]).expect("one in common");
}

#[test]
fn manifests_say_kinds() {
    let manifest = |out: &str, accepted: &str| {
        json!({
            "version": "v1",
            "metadata": { "auto_negotiate": true },
            "nodes": [
                { "id": "a", "node_type": "T", "media_capabilities": { "outputs": { "default": { "type": out, "sample_rate": 16000 } } } },
                { "id": "b", "node_type": "T", "media_capabilities": { "inputs": { "x": { "type": accepted }, "y": { "type": "tensor" } } } },
            ],
            "connections": [{ "from": "a", "to": "b" }],
        })
    };
    let read = Manifest::from_value(manifest("audio", "audio")).expect("a manifest");
    let ports = read.ports().expect("ports");
    assert_eq!(ports[0], Ports { accepts: None, puts_out: Some(KindSet::only(Kind::Audio)) });
    assert_eq!(ports[1], Ports { accepts: Some(KindSet::only(Kind::Audio).with(Kind::Tensor)), puts_out: None });
    let error = checked(Manifest::from_value(manifest("text", "audio")).expect_err("no kind in common"));
    assert_eq!(error.message(), "connections.0: 'a' puts out text, 'b' accepts audio or tensor");
    // Files are no packets: such a side is left open.
    Manifest::from_value(manifest("file", "audio")).expect("a manifest");
    Manifest::from_value(manifest("text", "file")).expect("a manifest");
    // The remote may put converters in.
    let remote = json!({ "id": "r", "node_type": "RemotePipelineNode", "params": { "manifest": manifest("text", "audio") } });
    Manifest::from_value(json!({ "version": "v1", "metadata": {}, "nodes": [remote], "connections": [] })).expect("a manifest");
    assert_eq!(Ports::of(&ManifestNode::new("a", "T"), "nodes.0").expect("ports"), Ports::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_graph_is_sorted_or_has_a_circle(count in 2_usize..12, pairs in prop::collection::hash_set((0_usize..12, 0_usize..12), 0..24)) {
        let ids: Vec<_> = (0..count).map(|index| format!("n{index}")).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        let pairs: Vec<_> = pairs.into_iter().map(|(from, to)| (from % count, to % count)).filter(|(from, to)| from != to).collect();
        let connections: Vec<_> = pairs.iter().map(|(from, to)| (ids[*from], ids[*to])).collect();
        match Graph::new(&ids, &connections) {
            Ok(graph) => {
                let place = |index: usize| graph.order().iter().position(|other| *other == index).expect("in the order");
                prop_assert_eq!(graph.order().len(), count);
                prop_assert!(pairs.iter().all(|(from, to)| place(*from) < place(*to)));
            }
            Err(error) => {
                let message = checked(error).message().to_owned();
                if let Some(circle) = message.strip_prefix("connections: must not lead in a circle: ") {
                    let names: Vec<_> = circle.split(" -> ").collect();
                    prop_assert_eq!(names.first(), names.last());
                    let are_there = names.windows(2).all(|pair| pair.iter().any(|name| name.ends_with("more)")) || connections.contains(&(pair[0], pair[1])));
                    prop_assert!(are_there, "{}", message);
                }
            }
        }
    }
}
