//! What else protocol v0 has: objects, generators, pipelines, and what a server says about itself.

use remotemedia_wasmedge::data::Packet;
use remotemedia_wasmedge::error::Code;
use remotemedia_wasmedge::remote::{CustomTask, MethodCall, ObjectSource, PayloadFormat, Scope};
use serde_json::json as js;

use super::remote::{self, Stage, drain, json, receive, value};

fn package() -> ObjectSource {
    ObjectSource::Package { code: (&b"PK zip"[..]).into(), dependencies: Vec::new() }
}

fn method(name: &str, args: &[i64]) -> MethodCall {
    MethodCall { method: name.to_owned(), args: args.iter().map(|arg| json(js!(arg))).collect(), ..MethodCall::default() }
}

async fn object(client: &remotemedia_wasmedge::remote::Client) -> ObjectSource {
    let made = client.execute_object_method(&package(), &method("__init__", &[]), &Scope::default()).await.expect("an object");
    ObjectSource::Session(made.session)
}

#[tokio::test]
async fn methods_of_an_object_are_called_by_its_session() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let object = object(&client).await;
    let result = client.execute_object_method(&object, &method("sum", &[1, 2, 39]), &Scope::default()).await.expect("a result");
    assert_eq!((value(&result.output), result.generator), (js!(42), None));
    let named = MethodCall { kwargs: [("gain".to_owned(), js!(2))].into_iter().collect(), ..method("kwargs", &[]) };
    let result = client.execute_object_method(&object, &named, &Scope::default()).await.expect("a result");
    assert_eq!(value(&result.output), js!({ "gain": 2 }));
    let result = client.execute_object_method(&object, &method("count", &[]), &Scope::default()).await.expect("a result");
    assert_eq!(result.generator.as_deref(), Some("gen-0-5"));
}

#[tokio::test]
async fn a_failing_method_keeps_what_the_server_said() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let object = object(&client).await;
    let error = client.execute_object_method(&object, &method("fly", &[]), &Scope::default()).await.expect_err("no such method");
    assert_eq!((error.code(), error.message()), (Code::Remote, "ValueError: no method fly"));
    assert!(error.remote().expect("details").traceback.as_deref().is_some_and(|trace| trace.starts_with("Traceback")));
    let gone = ObjectSource::Session("nobody".into());
    let error = client.execute_object_method(&gone, &method("sum", &[]), &Scope::default()).await.expect_err("no such object");
    assert!(error.message().contains("Session nobody not found"), "{error}");
}

#[tokio::test]
async fn objects_outlive_streams_their_own_and_those_of_others() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let (one, two) = (object(&client).await, object(&client).await);
    // The server of this test drops, as the stock one does, every object of the connection that a stream ends on.
    for object in [&one, &two, &one] {
        let stream = client.stream_object(object, PayloadFormat::Auto, Scope::default());
        stream.try_send(json(js!([1, 2]))).expect("accepted");
        stream.finish();
        let (packets, end) = drain(&stream).await;
        end.expect("a clean end");
        assert_eq!((packets.len(), value(&packets[0])), (1, js!([1, 2])));
    }
    for object in [&one, &two] {
        client.execute_object_method(object, &method("sum", &[1]), &Scope::default()).await.expect("still there");
    }
}

#[tokio::test]
async fn releasing_an_object_drops_it_and_no_other() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let (one, two) = (object(&client).await, object(&client).await);
    let ObjectSource::Session(id) = &one else { panic!("a session") };
    client.release_object(id, &Scope::default()).await.expect("released");
    let error = client.execute_object_method(&one, &method("sum", &[1]), &Scope::default()).await.expect_err("gone");
    assert!(error.message().contains("not found"), "{error}");
    client.execute_object_method(&two, &method("sum", &[1]), &Scope::default()).await.expect("still there");
    client.release_object("never seen", &Scope::default()).await.expect("nothing to do");
}

#[tokio::test]
async fn a_stream_of_an_object_ends_with_its_error() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let stream = client.stream_object(&package(), PayloadFormat::Auto, Scope::default());
    stream.try_send(json(js!("good"))).expect("accepted");
    assert_eq!(value(&receive(&stream, 1).await.expect("a result").expect("a packet")[0]), js!("good"));
    stream.try_send(json(js!("bad"))).expect("accepted");
    assert_eq!(drain(&stream).await.1.expect_err("an error").message(), "Error during processing: bad item");
    let stream = client.stream_object(&ObjectSource::Session("nobody".into()), PayloadFormat::Auto, Scope::default());
    stream.try_send(json(js!(1))).expect("accepted");
    assert_eq!(drain(&stream).await.1.expect_err("an error").message(), "Session ID nobody not found.");
}

#[tokio::test]
async fn a_generator_is_one_stream_and_is_closed() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let ObjectSource::Session(session) = object(&client).await else { panic!("a session") };
    // A batch that ends exactly with the values is followed by an empty one.
    for (count, batch, batches) in [(25_u32, 10, 3), (20, 10, 3), (0, 10, 1), (3, 1, 4)] {
        stage.book.calls.lock().clear();
        stage.book.generators.lock().clear();
        let stream = client.generator(&session, &method(&count.to_string(), &[]), Some(batch), Scope::default());
        let (packets, end) = drain(&stream).await;
        end.expect("a clean end");
        assert_eq!(packets.iter().map(value).collect::<Vec<_>>(), (0..count).map(|value| js!(value)).collect::<Vec<_>>());
        assert!(packets.iter().enumerate().all(|(index, packet)| packet.sequence == index as u64));
        tokio::time::timeout(remote::PATIENCE, stage.book.closed.notified()).await.expect("closed");
        assert_eq!((stage.book.count("GetNextBatch"), stage.book.count("CloseGenerator")), (batches, 1));
    }
}

#[tokio::test]
async fn a_generator_that_is_left_or_breaks_is_closed_as_well() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let ObjectSource::Session(session) = object(&client).await else { panic!("a session") };
    let stream = client.generator(&session, &method("1000000", &[]), None, Scope::default());
    assert_eq!(receive(&stream, 2).await.expect("values").expect("values").len(), 2);
    // Nobody reads on: it does not run ahead for ever.
    assert!(stage.book.count("GetNextBatch") < 50);
    drop(stream);
    tokio::time::timeout(remote::PATIENCE, stage.book.closed.notified()).await.expect("closed");

    let stream = client.generator(&session, &method("broken", &[]), None, Scope::default());
    assert_eq!(drain(&stream).await.1.expect_err("broken").message(), "RuntimeError: the generator broke");
    tokio::time::timeout(remote::PATIENCE, stage.book.closed.notified()).await.expect("closed");

    let stream = client.generator(&session, &method("missing", &[]), None, Scope::default());
    assert_eq!(drain(&stream).await.1.expect_err("missing").message(), "AttributeError: no such method");
    assert_eq!(stream.try_send(json(js!(1))).expect_err("no input").code(), Code::Internal);
    let stream = client.generator(&session, &method("5", &[]), Some(0), Scope::default());
    assert_eq!(drain(&stream).await.1.expect_err("a batch of nothing").path(), Some("batchSize"));
}

#[tokio::test]
async fn pipelines_are_registered_run_and_forgotten() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let scope = Scope::default();
    let definition = js!({
        "name": "vad",
        "nodes": [
            { "id": "a", "nodeType": "AudioTransform", "config": { "output_sample_rate": 16000, "mode": "fast", "flags": [1] } },
            { "node_id": "b", "node_type": "VoiceActivityDetector", "isStreaming": true },
        ],
        "connections": [{ "from": "a", "to": "b" }],
        "metadata": { "category": "audio", "owner": "me" },
    });
    let made = client.register_pipeline(&definition, &scope).await.expect("registered");
    assert_eq!((&made["pipelineId"], &made["registeredTimestamp"]), (&js!("pipeline_vad_1"), &js!(1_700_000_000)));
    {
        let pipelines = stage.book.pipelines.lock();
        let sent = pipelines[0].1.definition.as_ref().expect("a definition");
        // Never read back by the server: text is the text itself.
        assert_eq!(sent.nodes[0].config["output_sample_rate"], "16000");
        assert_eq!((sent.nodes[0].config["mode"].as_str(), sent.nodes[0].config["flags"].as_str()), ("fast", "[1]"));
        assert!(sent.nodes[1].is_streaming && sent.connections[0].from_node == "a" && sent.connections[0].output_port == "default");
    }
    let list = client.list_pipelines(None, &scope).await.expect("a list");
    assert_eq!((&list[0]["name"], &list[0]["category"], &list[0]["metadata"]["owner"]), (&js!("vad"), &js!("audio"), &js!("me")));
    let info = client.get_pipeline_info("pipeline_vad_1", &scope).await.expect("info");
    assert_eq!((&info["pipelineId"], &info["metrics"]["totalExecutions"]), (&js!("pipeline_vad_1"), &js!(3)));

    let output = client.execute_pipeline("pipeline_vad_1", PayloadFormat::Auto, json(js!([1])), &scope).await.expect("an output");
    assert_eq!(value(&output), js!([1]));
    let stream = client.stream_pipeline("pipeline_vad_1", PayloadFormat::Auto, Scope::default());
    for index in 0..20 {
        stream.try_send(json(js!(index))).expect("accepted");
    }
    stream.finish();
    let (packets, end) = drain(&stream).await;
    end.expect("a clean end");
    assert_eq!(packets.iter().map(|packet| packet.sequence).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());

    client.unregister_pipeline("pipeline_vad_1", &scope).await.expect("forgotten");
    let error = client.unregister_pipeline("pipeline_vad_1", &scope).await.expect_err("gone");
    assert_eq!((error.code(), error.message()), (Code::Remote, "Pipeline pipeline_vad_1 not found"));
    assert_eq!(client.get_pipeline_info("pipeline_vad_1", &scope).await.expect_err("gone").code(), Code::Remote);

    for (wrong, path) in [
        (js!(1), "definition"),
        (js!({ "nodes": [] }), "definition.name"),
        (js!({ "name": "x" }), "definition.nodes"),
        (js!({ "name": "x", "nodes": [{}] }), "definition.nodes.0.nodeType"),
        (js!({ "name": "x", "nodes": [{ "nodeType": "A", "config": 1 }] }), "definition.nodes.0.config"),
        (js!({ "name": "x", "nodes": [{ "nodeType": "A" }], "connections": [{ "from": "z", "to": "z" }] }), "definition.connections.0.from"),
    ] {
        assert_eq!(client.register_pipeline(&wrong, &scope).await.expect_err(path).path(), Some(path));
    }
}

#[tokio::test]
async fn a_server_tells_about_itself() {
    let stage = Stage::v0().await;
    let client = stage.client();
    let scope = Scope::default();
    let status = client.get_status(true, false, &scope).await.expect("a status");
    assert_eq!((&status["status"], &status["uptimeSeconds"], &status["metrics"]["cpuUsagePercent"]), (&js!("healthy"), &js!(12), &js!(12.5)));
    assert!(client.get_status(false, false, &scope).await.expect("a status").get("metrics").is_none());

    let nodes = client.list_nodes(None, &scope).await.expect("nodes");
    assert_eq!((nodes.as_array().map(Vec::len), &nodes[0]["nodeType"]), (Some(2), &js!("Echo")));
    assert_eq!((&nodes[0]["parameters"][0]["name"], &nodes[0]["parameters"][0]["required"]), (&js!("gain"), &js!(true)));
    let audio = client.list_nodes(Some("audio"), &scope).await.expect("nodes");
    assert_eq!((audio.as_array().map(Vec::len), &audio[0]["category"]), (Some(1), &js!("audio")));

    let definitions = client.export_definitions(&scope).await.expect("definitions");
    assert_eq!(definitions["nodes"][0]["node_type"], js!("Echo"));

    let task = CustomTask { code_package: (&b"zip"[..]).into(), entry_point: "main".into(), dependencies: Vec::new() };
    let error = client.execute_custom_task(&task, PayloadFormat::Auto, Packet::binary(&b"x"[..]), &scope).await.expect_err("not yet");
    assert!(error.message().contains("not yet implemented"), "{error}");
}
