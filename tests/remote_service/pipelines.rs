//! Pipelines over registered nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use remotemedia_wasmedge::data::{Format, Packet};
use remotemedia_wasmedge::error::{Code, Error};
use remotemedia_wasmedge::remote::pb::v0::stream_control::ControlType;
use remotemedia_wasmedge::remote::pb::v0::stream_pipeline_request::Payload as Said;
use remotemedia_wasmedge::remote::pb::v0::stream_pipeline_response::Payload as Heard;
use remotemedia_wasmedge::remote::pb::v0::{self, ExecutionStatus};
use remotemedia_wasmedge::remote::service::{CallInfo, ItemSink, ItemSource, NodeEntry};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::support::*;

/// Adds `by` to a number, which must be one.
fn add() -> NodeEntry {
    NodeEntry::new(PerItem(|info: CallInfo, packet: Packet| {
        let number: i64 = serde_json::from_slice(&packet.bytes).map_err(|error| Error::new(Code::Guest, format!("no number: {error}")))?;
        Ok(vec![json(&(number + info.config["by"].as_i64().expect("a number")).to_string())])
    }))
}

/// Every item twice.
fn twice() -> NodeEntry {
    NodeEntry::new(PerItem(|_, packet: Packet| Ok(vec![packet.clone(), packet])))
}

/// The sum of all, at the end of the stream.
fn sum() -> NodeEntry {
    NodeEntry::new(Streams(|_, input: ItemSource, output: ItemSink| {
        async move {
            let mut sum = 0;
            while let Some(packet) = input.next().await? {
                sum += serde_json::from_slice::<i64>(&packet.bytes).expect("a number");
            }
            output.send(json(&sum.to_string())).await
        }
        .boxed()
    }))
}

/// The first two items, and no more.
fn two() -> NodeEntry {
    NodeEntry::new(Streams(|_, input: ItemSource, output: ItemSink| {
        async move {
            for _ in 0..2 {
                if let Some(packet) = input.next().await? {
                    output.send(packet).await?;
                }
            }
            Ok(())
        }
        .boxed()
    }))
}

async fn running() -> Running {
    let nodes = vec![("Add", add()), ("Twice", twice()), ("Sum", sum()), ("Two", two()), ("Echo", echo())];
    Running::with(options(), nodes).await
}

fn node(id: &str, node_type: &str, config: &[(&str, &str)]) -> v0::NodeDefinition {
    v0::NodeDefinition {
        node_id: id.into(),
        node_type: node_type.into(),
        config: config.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        ..v0::NodeDefinition::default()
    }
}

fn line(nodes: Vec<v0::NodeDefinition>, connections: &[(&str, &str)]) -> v0::RegisterPipelineRequest {
    let connection = |(from, to): &(&str, &str)| v0::PipelineConnection {
        from_node: (*from).into(),
        to_node: (*to).into(),
        output_port: "default".into(),
        input_port: "default".into(),
    };
    let definition =
        v0::PipelineDefinition { name: "line".into(), nodes, connections: connections.iter().map(connection).collect(), ..Default::default() };
    v0::RegisterPipelineRequest {
        pipeline_name: "line".into(),
        definition: Some(definition),
        metadata: [("category".to_owned(), "math".to_owned()), ("description".to_owned(), "adds".to_owned())].into(),
        ..v0::RegisterPipelineRequest::default()
    }
}

async fn register(client: &mut Client, request: v0::RegisterPipelineRequest) -> String {
    let answer = within(client.register_pipeline(request)).await.expect("an answer").into_inner();
    assert_eq!((answer.status(), answer.error_message.as_str()), (ExecutionStatus::Success, ""));
    answer.pipeline_id
}

async fn run(client: &mut Client, id: &str, input: &str) -> v0::ExecutePipelineResponse {
    let request = v0::ExecutePipelineRequest {
        pipeline_id: id.into(),
        input_data: input.to_owned().into(),
        serialization_format: "json".into(),
        ..v0::ExecutePipelineRequest::default()
    };
    within(client.execute_pipeline(request)).await.expect("an answer").into_inner()
}

#[tokio::test]
async fn nodes_run_in_the_order_of_their_connections() {
    let running = running().await;
    let mut client = running.client().await;
    let nodes = || vec![node("c", "Twice", &[]), node("b", "Add", &[("by", "10")]), node("a", "Add", &[("by", "1")])];
    let connected = register(&mut client, line(nodes(), &[("b", "c"), ("a", "b")])).await;
    assert!(connected.starts_with("pipeline_line_"), "{connected}");
    let answer = run(&mut client, &connected, "5").await;
    assert_eq!((answer.status(), answer.output_data), (ExecutionStatus::Success, "[16, 16]".into()));
    assert!(answer.execution_id.starts_with(&format!("exec_{connected}_")), "{}", answer.execution_id);
    let in_order = register(&mut client, line(nodes(), &[])).await;
    assert_ne!(in_order, connected);
    assert_eq!(run(&mut client, &in_order, "5").await.output_data, "[16, 16]");
    let ends = vec![node("s", "DataSourceNode", &[]), node("a", "Add", &[("by", "2")]), node("e", "DataSinkNode", &[])];
    let with_ends = register(&mut client, line(ends, &[("s", "a"), ("a", "e")])).await;
    assert_eq!(run(&mut client, &with_ends, "40").await.output_data, "42");
    let streaming = v0::NodeDefinition { is_streaming: true, ..node("a", "Add", &[("by", "2")]) };
    let streaming = register(&mut client, line(vec![streaming], &[])).await;
    assert_eq!(run(&mut client, &streaming, "40").await.output_data, "[42]", "a list, as on the stock server");
}

#[tokio::test]
async fn failures_in_a_pipeline_are_failures() {
    let running = running().await;
    let mut client = running.client().await;
    let id = register(&mut client, line(vec![node("a", "Twice", &[]), node("b", "Add", &[("by", "1")])], &[])).await;
    let answer = run(&mut client, &id, "\"x\"").await;
    assert_eq!(answer.status(), ExecutionStatus::Error);
    assert!(answer.error_message.starts_with("[UNKNOWN] NodeError: no number"), "{}", answer.error_message);
    let answer = run(&mut client, "pipeline_none_1", "1").await;
    assert_eq!(
        (answer.status(), answer.error_message.as_str()),
        (ExecutionStatus::Error, "[VALIDATION] ConfigurationError: Pipeline not found: pipeline_none_1")
    );
    run(&mut client, &id, "1").await;
    let request = v0::GetPipelineInfoRequest { pipeline_id: id, include_definition: true, include_metrics: true };
    let info = client.get_pipeline_info(request).await.expect("an answer").into_inner();
    let metrics = info.metrics.expect("metrics");
    assert_eq!((metrics.total_executions, metrics.total_errors), (2, 1));
    let about = info.pipeline_info.expect("info");
    assert_eq!((about.usage_count, about.definition.expect("a definition").nodes.len()), (2, 2));
}

#[tokio::test]
async fn definitions_that_are_no_line_of_registered_nodes_are_refused() {
    let running = running().await;
    let mut client = running.client().await;
    let echo = |id: &str| node(id, "Echo", &[]);
    let remote = v0::NodeDefinition { is_remote: true, remote_endpoint: "10.0.0.1".into(), ..echo("a") };
    let cases = [
        (line(vec![], &[]), "1 to 64 nodes"),
        (line((0..65).map(|index| echo(&index.to_string())).collect(), &[]), "1 to 64 nodes"),
        (line(vec![node("a", "Unknown", &[])], &[]), "Node type 'Unknown' is not registered"),
        (line(vec![remote], &[]), "another server"),
        (line(vec![echo("a"), echo("b")], &[("a", "b"), ("b", "a")]), "circle"),
        (line(vec![echo("a"), echo("b"), echo("c")], &[("b", "c"), ("c", "b")]), "not connected"),
        (line(vec![echo("a"), echo("b"), echo("c")], &[("a", "b"), ("a", "c")]), "two connections"),
        (line(vec![echo("a"), echo("b"), echo("c")], &[("a", "c"), ("b", "c")]), "two connections"),
        (line(vec![echo("a"), echo("b"), echo("c")], &[("a", "b")]), "not connected"),
        (line(vec![echo("a")], &[("a", "z")]), "unknown node 'z'"),
        (line(vec![echo("a"), echo("a")], &[("a", "a")]), "two nodes have the id"),
        (v0::RegisterPipelineRequest { pipeline_name: "x".repeat(300), ..line(vec![echo("a")], &[]) }, "the name"),
        (v0::RegisterPipelineRequest { definition: None, ..line(vec![], &[]) }, "a definition"),
    ];
    for (request, problem) in cases {
        let answer = within(client.register_pipeline(request)).await.expect("an answer").into_inner();
        assert_eq!(answer.status(), ExecutionStatus::Error);
        assert!(answer.error_message.starts_with("[VALIDATION] ") && answer.error_message.contains(problem), "{problem}: {}", answer.error_message);
    }
}

#[tokio::test]
async fn pipelines_are_listed_and_removed() {
    let running = running().await;
    let mut client = running.client().await;
    let id = register(&mut client, line(vec![node("a", "Echo", &[])], &[])).await;
    let list = async |category: &str, include_definitions| {
        let request = v0::ListPipelinesRequest { category: category.into(), include_definitions };
        running.client().await.list_pipelines(request).await.expect("an answer").into_inner().pipelines
    };
    let listed = list("", true).await;
    assert_eq!((listed[0].name.as_str(), listed[0].category.as_str(), listed[0].description.as_str()), ("line", "math", "adds"));
    assert!(listed[0].definition.is_some() && list("math", false).await[0].definition.is_none());
    assert_eq!(list("other", false).await, []);
    let remove = v0::UnregisterPipelineRequest { pipeline_id: id.clone() };
    assert_eq!(client.unregister_pipeline(remove.clone()).await.expect("an answer").into_inner().status(), ExecutionStatus::Success);
    let again = client.unregister_pipeline(remove).await.expect("an answer").into_inner();
    assert!(again.status() == ExecutionStatus::Error && again.error_message.contains(&id), "{again:?}");
    assert_eq!(list("", false).await, []);
    let request = v0::GetPipelineInfoRequest { pipeline_id: id, ..Default::default() };
    assert_eq!(client.get_pipeline_info(request).await.expect("an answer").into_inner().status(), ExecutionStatus::Error);
}

struct Conversation {
    say: Option<mpsc::Sender<v0::StreamPipelineRequest>>,
    hear: Streaming<v0::StreamPipelineResponse>,
    name: String,
}

impl Conversation {
    async fn begin(client: &mut Client, id: &str) -> Self {
        let (say, said) = mpsc::channel(1);
        let hear = within(client.stream_pipeline(ReceiverStream::new(said))).await.expect("headers").into_inner();
        let mut talk = Self { say: Some(say), hear, name: String::new() };
        let init = v0::StreamPipelineInit { pipeline_id: id.into(), serialization_format: "json".into(), ..Default::default() };
        talk.say(Said::Init(init)).await;
        match talk.next().await {
            Some(Heard::Ack(ack)) if ack.ready => talk.name = ack.session_id,
            other => panic!("no acknowledgement: {other:?}"),
        }
        talk
    }

    async fn say(&self, payload: Said) {
        let message = v0::StreamPipelineRequest { payload: Some(payload) };
        within(self.say.as_ref().expect("not finished").send(message)).await.expect("a stream");
    }

    async fn data(&self, text: &str) {
        self.say(Said::Data(text.to_owned().into())).await;
    }

    async fn control(&self, control: ControlType) {
        self.say(Said::Control(v0::StreamControl { r#type: control.into() })).await;
    }

    async fn next(&mut self) -> Option<Heard> {
        within(self.hear.message()).await.expect("no status").map(|message| message.payload.expect("a payload"))
    }

    async fn item(&mut self) -> String {
        match self.next().await {
            Some(Heard::Data(bytes)) => String::from_utf8(bytes.to_vec()).expect("text"),
            other => panic!("no item: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_stream_goes_through_all_nodes_and_is_flushed_at_its_end() {
    let running = running().await;
    let mut client = running.client().await;
    let id = register(&mut client, line(vec![node("a", "Add", &[("by", "1")]), node("t", "Twice", &[])], &[])).await;
    let mut talk = Conversation::begin(&mut client, &id).await;
    assert!(talk.name.starts_with(&format!("stream_{id}_")), "{}", talk.name);
    talk.data("1").await;
    assert_eq!((talk.item().await, talk.item().await), ("2".into(), "2".into()));
    talk.control(ControlType::Flush).await;
    let Some(Heard::Status(status)) = talk.next().await else { panic!("no status") };
    assert_eq!((status.session_id, status.items_processed, status.bytes_processed, status.is_active), (talk.name.clone(), 1, 1, true));
    talk.data("5").await;
    talk.control(ControlType::Close).await;
    assert_eq!((talk.item().await, talk.item().await), ("6".into(), "6".into()), "what was sent before is answered");
    assert_eq!(talk.next().await, None);

    let id = register(&mut client, line(vec![node("t", "Twice", &[]), node("s", "Sum", &[])], &[])).await;
    let mut talk = Conversation::begin(&mut client, &id).await;
    for number in 0..1_000 {
        talk.data(&number.to_string()).await;
    }
    talk.say = None;
    assert_eq!(talk.item().await, "999000");
    assert_eq!(talk.next().await, None);
}

#[tokio::test]
async fn a_streams_failure_is_told_and_ends_it() {
    let running = running().await;
    let mut client = running.client().await;
    let id = register(&mut client, line(vec![node("t", "Twice", &[]), node("a", "Add", &[("by", "1")])], &[])).await;
    for (payload, text) in [("\"x\"", "[UNKNOWN] NodeError: no number"), ("{", "[SERIALIZATION] SerializationError: ")] {
        let mut talk = Conversation::begin(&mut client, &id).await;
        talk.data("1").await;
        assert_eq!((talk.item().await, talk.item().await), ("2".into(), "2".into()));
        talk.data(payload).await;
        let Some(Heard::Error(said)) = talk.next().await else { panic!("no error") };
        assert!(said.starts_with(text), "{said}");
        assert_eq!(talk.next().await, None);
    }
    // Not begun, or not with a pipeline that exists.
    let init = v0::StreamPipelineInit { pipeline_id: "none".into(), serialization_format: "json".into(), ..Default::default() };
    for (first, text) in [(Said::Data("1".into()), "Session not initialized"), (Said::Init(init), "Pipeline not found: none")] {
        let message = v0::StreamPipelineRequest { payload: Some(first) };
        let mut hear = client.stream_pipeline(tokio_stream::once(message)).await.expect("headers").into_inner();
        let said = within(hear.message()).await.expect("no status").expect("a message").payload;
        assert!(matches!(&said, Some(Heard::Error(said)) if said.contains(text)), "{said:?}");
        assert!(within(hear.message()).await.expect("no status").is_none());
    }
}

#[tokio::test]
async fn a_node_that_has_enough_ends_the_stream_in_good_order() {
    let running = running().await;
    let mut client = running.client().await;
    let id = register(&mut client, line(vec![node("t", "Twice", &[]), node("2", "Two", &[])], &[])).await;
    let mut talk = Conversation::begin(&mut client, &id).await;
    talk.data("1").await;
    assert_eq!((talk.item().await, talk.item().await), ("1".into(), "1".into()));
    assert_eq!(talk.next().await, None, "though the client could go on");
}

#[tokio::test]
async fn json_audio_reaches_nodes_as_audio() {
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let node = NodeEntry::new(PerItem(move |_, packet: Packet| {
        assert_eq!(packet.format, Format::Audio { sample_rate: 8_000.0, channels: 1 });
        count.fetch_add(packet.bytes.len() / 4, Ordering::SeqCst);
        Ok(vec![json("true")])
    }));
    let running = Running::with(options(), vec![("Hear", node)]).await;
    let mut client = running.client().await;
    let id = register(&mut client, line(vec![self::node("h", "Hear", &[])], &[])).await;
    assert_eq!(run(&mut client, &id, "[[0.5, 0.25], 8000]").await.output_data, "true");
    let mut talk = Conversation::begin(&mut client, &id).await;
    talk.data("{\"audio_data\": [1, 0, 1], \"sample_rate\": 8000}").await;
    assert_eq!(talk.item().await, "true");
    assert_eq!(heard.load(Ordering::SeqCst), 5);
}
