//! Protocol v1: pipelines given as manifests.

use remotemedia_wasmedge::data::{Packet, SessionId};
use remotemedia_wasmedge::error::{Code, Result};
use remotemedia_wasmedge::remote::{NodeTarget, ObjectSource, PayloadFormat, RemoteStream, Scope};
use serde_json::{Value, json as js};

use super::remote::{Stage, drain, json, receive, room, value, within};

fn manifest(node_type: &str) -> Value {
    js!({
        "version": "v1",
        "metadata": { "name": "test" },
        "nodes": [
            { "id": "in", "node_type": node_type, "params": { "gain": 2 }, "is_streaming": true },
            { "id": "sink", "nodeType": "Sink", "params": "{\"a\": 1}", "runtime_hint": "cpython" },
        ],
        "connections": [{ "from": "in", "to": "sink" }],
    })
}

#[tokio::test]
async fn an_input_goes_through_a_pipeline() {
    let stage = Stage::v1().await;
    let client = stage.client();
    for packet in [json(js!({ "a": 1 })), Packet::audio(&[0.5, -0.5], 16_000.0, 1), Packet::binary(&b"\x00\x01"[..])] {
        let output = client.execute_manifest(&manifest("Echo"), packet.clone(), &Scope::default()).await.expect("an output");
        assert_eq!((&output.bytes, &output.format), (&packet.bytes, &packet.format));
    }
    let sent = stage.book.manifest.lock().clone().expect("a manifest");
    assert_eq!((sent.version.as_str(), sent.nodes.len(), sent.connections.len()), ("v1", 2, 1));
    assert_eq!((sent.nodes[0].params.as_str(), sent.nodes[1].params.as_str()), (r#"{"gain":2}"#, r#"{"a": 1}"#));
    assert!(sent.nodes[0].is_streaming && sent.nodes[1].runtime_hint == 2);
}

#[tokio::test]
async fn a_single_node_is_a_pipeline_of_one() {
    let stage = Stage::v1().await;
    let config = [("threshold".to_owned(), js!(0.5))].into_iter().collect();
    let target = NodeTarget { config, ..NodeTarget::new("Echo") };
    let scope = Scope { session: Some(SessionId::new("alice").expect("an id")), ..Scope::default() };
    let output = stage.client().execute_node(&target, json(js!([1])), &scope).await.expect("an output");
    assert_eq!((value(&output), &output.metadata.expect("metadata")["session_id"]), (js!([1]), &js!("alice")));
    let sent = stage.book.manifest.lock().clone().expect("a manifest");
    assert_eq!((sent.nodes[0].node_type.as_str(), sent.nodes[0].params.as_str()), ("Echo", r#"{"threshold":0.5}"#));

    let stream = stage.client().stream_node(&target, Scope::default());
    let (packets, end) = through(&stream, 3).await;
    end.expect("a clean end");
    assert_eq!(packets.len(), 3);
}

async fn through(stream: &RemoteStream, count: usize) -> (Vec<Packet>, Result<()>) {
    let feed = async {
        for index in 0..count {
            if !stream.try_send(json(js!(index)))? {
                room(stream).await?;
            }
        }
        stream.finish();
        Ok::<_, remotemedia_wasmedge::error::Error>(())
    };
    // What was not accepted shows in the end.
    tokio::join!(feed, drain(stream)).1
}

#[tokio::test]
async fn errors_of_pipelines_are_typed() {
    let stage = Stage::v1().await;
    let client = stage.client();
    let failure = async |node: &str| client.execute_manifest(&manifest(node), json(js!(1)), &Scope::default()).await.expect_err("a failure");
    let error = failure("Invalid").await;
    assert_eq!(error.code(), Code::Remote);
    assert_eq!(error.message(), "2 parameter errors: gate /threshold: 2 is greater than 1; gate /mode: unknown mode");
    let details = error.remote().expect("details");
    assert_eq!((details.category.as_deref(), details.details.as_deref()), (Some("VALIDATION"), Some(super::remote::v1::VALIDATION)));

    let error = failure("Fail").await;
    assert_eq!(error.message(), "node 'node': it broke");
    let details = error.remote().expect("details");
    assert_eq!((details.category.as_deref(), details.traceback.as_deref()), (Some("NODE_EXECUTION"), Some("at node.rs:1")));

    assert!(failure("Nothing").await.message().contains("has put nothing out"));
    assert!(failure("NoSuchNode").await.message().contains("Unknown node type: NoSuchNode"));
}

#[tokio::test]
async fn a_stream_numbers_its_results_by_their_inputs() {
    let stage = Stage::v1().await;
    let stream = stage.client().stream_manifest(&manifest("Twice"), Scope::default());
    // More than ten, so that figures of the server come in between; warm-up messages come before.
    let (packets, end) = through(&stream, 25).await;
    end.expect("a clean end");
    let got: Vec<_> = packets.iter().map(|packet| (packet.sequence, value(packet))).collect();
    assert_eq!(got, (0..25).flat_map(|index| [(index, js!(index)), (index, js!(index))]).collect::<Vec<_>>());
}

#[tokio::test]
async fn results_say_which_node_they_come_from() {
    let stage = Stage::v1().await;
    let stream = stage.client().stream_manifest(&manifest("Two"), Scope::default());
    let (packets, end) = through(&stream, 1).await;
    end.expect("a clean end");
    let nodes: Vec<_> = packets.iter().map(|packet| packet.metadata.as_ref().expect("metadata")["nodeId"].clone()).collect();
    assert_eq!(nodes, [js!("a"), js!("b")]);
}

#[tokio::test]
async fn a_pipeline_that_swallows_everything_is_not_waited_for() {
    let stage = Stage::v1().await;
    let stream = stage.client().stream_manifest(&manifest("Silent"), within(300));
    stream.try_send(json(js!(1))).expect("accepted");
    let error = drain(&stream).await.1.expect_err("silence");
    assert_eq!(error.code(), Code::Deadline);
    assert!(error.message().contains("answered nothing within 300 ms"), "{error}");
    // Nor at the end of the input.
    let stream = stage.client().stream_manifest(&manifest("Silent"), within(300));
    assert_eq!(through(&stream, 12).await.1.expect_err("silence").code(), Code::Deadline);
}

#[tokio::test]
async fn an_error_in_a_stream_ends_it() {
    let stage = Stage::v1().await;
    let stream = stage.client().stream_manifest(&manifest("FailAtThird"), Scope::default());
    let (packets, end) = through(&stream, 5).await;
    assert_eq!((packets.len(), end.expect_err("a failure").message()), (2, "the third"));
}

#[tokio::test]
async fn an_empty_stream_is_closed_at_once() {
    let stage = Stage::v1().await;
    let stream = stage.client().stream_manifest(&manifest("Echo"), Scope::default());
    let (packets, end) = through(&stream, 0).await;
    end.expect("a clean end");
    assert!(packets.is_empty());
}

#[tokio::test]
async fn wrong_manifests_are_named_by_path() {
    let stage = Stage::v1().await;
    let client = stage.client();
    let mut double = manifest("Echo");
    double["nodes"][1]["id"] = js!("in");
    let mut nowhere = manifest("Echo");
    nowhere["connections"][0]["to"] = js!("nowhere");
    let mut params = manifest("Echo");
    params["nodes"][0]["params"] = js!("[1]");
    let mut hint = manifest("Echo");
    hint["nodes"][0]["runtime_hint"] = js!("jvm");
    let mut nameless = manifest("Echo");
    nameless["nodes"][1].as_object_mut().expect("a node").remove("nodeType");
    for (wrong, path) in [
        (js!("text"), "manifest"),
        (js!({ "version": "v2", "nodes": [] }), "manifest.version"),
        (js!({ "version": "v1", "nodes": [] }), "manifest.nodes"),
        (double, "manifest.nodes.1.id"),
        (nowhere, "manifest.connections.0.to"),
        (params, "manifest.nodes.0.params"),
        (hint, "manifest.nodes.0.runtime_hint"),
        (nameless, "manifest.nodes.1.node_type"),
    ] {
        let error = client.execute_manifest(&wrong, json(js!(1)), &Scope::default()).await.expect_err(path);
        assert_eq!((error.code(), error.path()), (Code::Config, Some(path)));
        let stream = client.stream_manifest(&wrong, Scope::default());
        stream.try_send(json(js!(1))).expect("accepted");
        assert_eq!(receive(&stream, 1).await.expect_err(path).path(), Some(path));
    }
    assert_eq!(stage.book.count("ExecutePipeline"), 0);
}

#[tokio::test]
async fn the_version_is_told_by_both_protocols() {
    let version = Stage::v1().await.client().get_version(&Scope::default()).await.expect("a version");
    assert_eq!((&version["protocolVersion"], &version["compatible"]), (&js!("v1"), &js!(true)));
    assert_eq!(version["supportedNodeTypes"], js!(["Echo", "SileroVADNode"]));
    let version = Stage::v0().await.client().get_version(&Scope::default()).await.expect("a version");
    assert_eq!((&version["protocolVersion"], &version["runtimeVersion"]), (&js!("v0"), &js!("0.1.0")));
}

#[tokio::test]
async fn what_the_other_protocol_has_is_refused_with_its_name() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let error = client.execute_manifest(&manifest("Echo"), json(js!(1)), &Scope::default()).await.expect_err("v0");
    assert_eq!((error.code(), error.path()), (Code::Config, Some("api")));

    let stage = Stage::v1().await;
    let client = stage.client();
    let error = client.list_pipelines(None, &Scope::default()).await.expect_err("v1");
    assert!(error.message().contains("listPipelines is for protocol v0"), "{error}");
    let stream = client.stream_object(&ObjectSource::Session("s".into()), PayloadFormat::Auto, Scope::default());
    stream.try_send(json(js!(1))).expect("accepted");
    assert_eq!(receive(&stream, 1).await.expect_err("v1").path(), Some("api"));
    // The names of its nodes it has.
    let nodes = client.list_nodes(None, &Scope::default()).await.expect("nodes");
    assert_eq!(nodes[1]["nodeType"], js!("SileroVADNode"));
}
