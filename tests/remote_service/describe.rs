//! What the service says about itself.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use remotemedia_wasmedge::remote::pb::v0::execute_object_method_request::ObjectSpecifier;
use remotemedia_wasmedge::remote::pb::v0::{self, ExecutionStatus, ServiceStatus};
use remotemedia_wasmedge::remote::service::{NodeEntry, Parameter};
use tonic::Code;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::support::*;

fn described() -> Vec<(&'static str, NodeEntry)> {
    let parameter = Parameter {
        name: "threshold".into(),
        kind: "float".into(),
        description: "from which score on".into(),
        required: false,
        default: Some("0.5".into()),
    };
    let vad = NodeEntry { category: "audio".into(), description: "Finds speech".into(), parameters: vec![parameter], ..echo() };
    vec![("VoiceActivityDetector", vad), ("Echo", echo())]
}

#[tokio::test]
async fn nodes_are_listed_by_category() {
    let running = Running::with(options(), described()).await;
    let mut client = running.client().await;
    let mut list = async |category: &str| {
        let request = v0::ListNodesRequest { category: category.into() };
        within(client.list_nodes(request)).await.expect("an answer").into_inner().available_nodes
    };
    let all = list("").await;
    assert_eq!(all.iter().map(|node| node.node_type.as_str()).collect::<Vec<_>>(), ["Echo", "VoiceActivityDetector"]);
    assert_eq!(all[0].category, "base");
    let audio = list("audio").await;
    let [vad] = audio.as_slice() else { panic!("{audio:?}") };
    assert_eq!((vad.description.as_str(), vad.parameters[0].name.as_str()), ("Finds speech", "threshold"));
    assert_eq!((vad.parameters[0].r#type.as_str(), vad.parameters[0].default_value.as_str()), ("float", "0.5"));
    assert_eq!(list("video").await, []);
}

#[tokio::test]
async fn the_status_counts_executions() {
    let running = Running::with(options(), described()).await;
    let mut client = running.client().await;
    execute(&mut client, request("Echo", "json", "1")).await;
    execute(&mut client, request("Nothing", "json", "1")).await;
    let mut status = async |include_metrics| {
        within(client.get_status(v0::StatusRequest { include_metrics, include_sessions: false })).await.expect("an answer").into_inner()
    };
    let bare = status(false).await;
    assert_eq!((bare.status(), bare.metrics, bare.version.as_str()), (ServiceStatus::Healthy, None, env!("CARGO_PKG_VERSION")));
    let metrics = status(true).await.metrics.expect("metrics");
    assert_eq!((metrics.total_requests, metrics.successful_requests, metrics.failed_requests), (2, 1, 1));
    assert_eq!(metrics.available_workers + metrics.busy_workers, 1_024);
    assert!(metrics.busy_workers >= 1, "this call itself");
}

#[tokio::test]
async fn the_typescript_export_is_the_stock_servers_json() {
    let running = Running::with(options(), described()).await;
    let answer = running.client().await.export_type_script_definitions(v0::ExportTypeScriptRequest::default()).await;
    let answer = answer.expect("an answer").into_inner();
    assert_eq!((answer.status(), answer.version.as_str()), (ExecutionStatus::Success, env!("CARGO_PKG_VERSION")));
    let document: serde_json::Value = serde_json::from_str(&answer.typescript_definitions).expect("json");
    assert_eq!(document.as_object().expect("an object").keys().collect::<Vec<_>>(), ["generated_at", "service_version", "nodes"]);
    let vad = &document["nodes"][1];
    assert_eq!(
        vad.as_object().expect("an object").keys().collect::<Vec<_>>(),
        ["node_type", "category", "description", "parameters", "methods", "types"]
    );
    assert_eq!((&vad["parameters"][0]["name"], &vad["parameters"][0]["default_value"]), (&"threshold".into(), &"0.5".into()));
}

#[tokio::test]
async fn reflection_lists_what_is_served_and_describes_it() {
    let running = Running::with(options(), vec![]).await;
    let mut client = ServerReflectionClient::new(running.endpoint().connect().await.expect("a connection"));
    let symbol = |name: &str| MessageRequest::FileContainingSymbol(name.into());
    let questions = [
        MessageRequest::ListServices(String::new()),
        symbol("remotemedia.execution.RemoteExecutionService.StreamNode"),
        symbol("grpc.health.v1.Health"),
        symbol("remotemedia.execution.Nonsense"),
    ];
    let ask = questions.map(|question| ServerReflectionRequest { host: String::new(), message_request: Some(question) });
    let answers = within(client.server_reflection_info(tokio_stream::iter(ask))).await.expect("headers").into_inner();
    let answers: Vec<_> = within(answers.collect()).await;
    let [Ok(list), Ok(ours), Ok(health), Err(unknown)] = answers.as_slice() else { panic!("{answers:?}") };
    let Some(MessageResponse::ListServicesResponse(list)) = &list.message_response else { panic!("{list:?}") };
    let names: BTreeSet<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "remotemedia.execution.RemoteExecutionService",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    for described in [ours, health] {
        assert!(matches!(&described.message_response, Some(MessageResponse::FileDescriptorResponse(_))), "{described:?}");
    }
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn code_is_refused_and_what_needs_it_says_so() {
    let running = Running::with(options(), described()).await;
    let mut client = running.client().await;
    // A pickle that would run a command, were it ever loaded.
    let bomb = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.".to_vec();
    let method = |object| v0::ExecuteObjectMethodRequest { object_specifier: object, ..v0::ExecuteObjectMethodRequest::default() };
    let answer = client.execute_object_method(method(Some(ObjectSpecifier::CodePackage(bomb.clone().into())))).await;
    let answer = answer.expect("an answer").into_inner();
    assert_eq!(answer.status(), ExecutionStatus::SecurityViolation);
    assert!(answer.error_message.starts_with("[SECURITY] ") && answer.session_id.is_empty(), "{answer:?}");
    let answer = client.execute_object_method(method(Some(ObjectSpecifier::SessionId("x".into())))).await.expect("an answer").into_inner();
    assert_eq!(
        (answer.status(), answer.error_message.as_str()),
        (ExecutionStatus::Error, "[VALIDATION] ConfigurationError: Session ID 'x' not found.")
    );
    assert_eq!(client.execute_object_method(method(None)).await.expect("an answer").into_inner().status(), ExecutionStatus::Error);

    let object = |object| v0::StreamObjectRequest {
        payload: Some(v0::stream_object_request::Payload::Init(v0::StreamObjectInit {
            object_specifier: Some(object),
            ..v0::StreamObjectInit::default()
        })),
    };
    let code = object(v0::stream_object_init::ObjectSpecifier::CodePackage(bomb.into()));
    let skipped = v0::StreamObjectRequest { payload: Some(v0::stream_object_request::Payload::Data("1".into())) };
    let mut hear = client.stream_object(tokio_stream::iter([skipped, code])).await.expect("headers").into_inner();
    let said = within(hear.message()).await.expect("no status").expect("a message").payload;
    let Some(v0::stream_object_response::Payload::Error(text)) = said else { panic!("{said:?}") };
    assert!(text.starts_with("[SECURITY] "), "{text}");
    assert!(within(hear.message()).await.expect("no status").is_none());

    let answer = client.init_generator(v0::InitGeneratorRequest::default()).await.expect("an answer").into_inner();
    assert_eq!(answer.status(), ExecutionStatus::Error);
    let answer = client.get_next_batch(v0::GetNextBatchRequest::default()).await.expect("an answer").into_inner();
    assert!(answer.status() == ExecutionStatus::Error && answer.error_message.contains("Generator session not found"), "{answer:?}");
    let answer = client.close_generator(v0::CloseGeneratorRequest::default()).await.expect("an answer").into_inner();
    assert_eq!(answer.status(), ExecutionStatus::Success);
    let answer = client.execute_custom_task(v0::ExecuteCustomTaskRequest::default()).await.expect("an answer").into_inner();
    assert!(answer.status() == ExecutionStatus::Error && answer.error_message.contains("not yet implemented"), "{answer:?}");
}

#[tokio::test]
async fn what_would_need_storage_is_unimplemented() {
    let running = Running::with(options(), vec![]).await;
    let mut client = running.client().await;
    let codes = [
        client.save_pipeline(v0::SavePipelineRequest::default()).await.expect_err("none").code(),
        client.load_pipeline(v0::LoadPipelineRequest::default()).await.expect_err("none").code(),
        client.list_stored_pipelines(v0::ListStoredPipelinesRequest::default()).await.expect_err("none").code(),
        client.clone_pipeline(v0::ClonePipelineRequest::default()).await.expect_err("none").code(),
        client.save_node(v0::SaveNodeRequest::default()).await.expect_err("none").code(),
        client.load_node(v0::LoadNodeRequest::default()).await.expect_err("none").code(),
        client.list_stored_nodes(v0::ListStoredNodesRequest::default()).await.expect_err("none").code(),
    ];
    assert_eq!(codes, [Code::Unimplemented; 7]);
}
