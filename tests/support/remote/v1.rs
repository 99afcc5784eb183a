//! Protocol v1 as RemoteMedia's Rust server speaks it; the type of a pipeline's first node says how it behaves.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{Stream, StreamExt, stream};
use remotemedia_wasmedge::remote::pb::v1::data_buffer::DataType;
use remotemedia_wasmedge::remote::pb::v1::execute_response::Outcome;
use remotemedia_wasmedge::remote::pb::v1::pipeline_execution_service_server::PipelineExecutionService;
use remotemedia_wasmedge::remote::pb::v1::stream_request::Request as Asked;
use remotemedia_wasmedge::remote::pb::v1::stream_response::Response as Told;
use remotemedia_wasmedge::remote::pb::v1::streaming_pipeline_service_server::StreamingPipelineService;
use remotemedia_wasmedge::remote::pb::v1::*;
use tonic::{Request, Response, Status, Streaming};

use super::Book;

/// The stock server.
pub struct Stock(pub Arc<Book>);

type Answer<T> = Result<Response<T>, Status>;

pub const VALIDATION: &str = r#"[{"node_id":"gate","node_type":"Gate","path":"/threshold","constraint":"maximum","expected":"1","received":"2","message":"2 is greater than 1"},{"node_id":"gate","node_type":"Gate","path":"/mode","message":"unknown mode"}]"#;

fn error(error_type: ErrorType, message: &str) -> ErrorResponse {
    ErrorResponse { error_type: error_type as i32, message: message.to_owned(), ..Default::default() }
}

#[tonic::async_trait]
impl PipelineExecutionService for Stock {
    async fn execute_pipeline(&self, request: Request<ExecuteRequest>) -> Answer<ExecuteResponse> {
        self.0.note("ExecutePipeline", &request);
        let request = request.into_inner();
        let manifest = request.manifest.ok_or_else(|| Status::invalid_argument("manifest is required"))?;
        *self.0.manifest.lock() = Some(manifest.clone());
        let input = request.data_inputs.into_values().next();
        let first = manifest.nodes.first().map(|node| node.node_type.clone()).unwrap_or_default();
        let outcome = match first.as_str() {
            "Echo" => {
                let data_outputs = input.map(|buffer| ("output".to_owned(), buffer)).into_iter().collect();
                Outcome::Result(ExecutionResult { data_outputs, status: ExecutionStatus::Success as i32, ..Default::default() })
            }
            "Invalid" => Outcome::Error(ErrorResponse { context: "2 parameter errors".to_owned(), ..error(ErrorType::Validation, VALIDATION) }),
            "Fail" => Outcome::Error(ErrorResponse {
                failing_node_id: "node".to_owned(),
                stack_trace: "at node.rs:1".to_owned(),
                ..error(ErrorType::NodeExecution, "it broke")
            }),
            "Nothing" => Outcome::Result(ExecutionResult { status: ExecutionStatus::Success as i32, ..Default::default() }),
            other => Outcome::Error(error(ErrorType::Validation, &format!("Unknown node type: {other}"))),
        };
        Ok(Response::new(ExecuteResponse { outcome: Some(outcome) }))
    }

    async fn get_version(&self, request: Request<VersionRequest>) -> Answer<VersionResponse> {
        self.0.note("GetVersion", &request);
        let version_info = VersionInfo {
            protocol_version: "v1".to_owned(),
            runtime_version: "0.4.0".to_owned(),
            supported_node_types: vec!["Echo".to_owned(), "SileroVADNode".to_owned()],
            ..Default::default()
        };
        Ok(Response::new(VersionResponse { version_info: Some(version_info), compatible: true, ..Default::default() }))
    }
}

fn result(sequence: u64, key: &str, buffer: DataBuffer) -> Told {
    Told::Result(ChunkResult { sequence, data_outputs: [(key.to_owned(), buffer)].into(), ..Default::default() })
}

fn text(text: &str) -> DataBuffer {
    let buffer = TextBuffer { text_data: text.to_owned().into(), encoding: "utf-8".into(), ..Default::default() };
    DataBuffer { data_type: Some(DataType::Text(buffer)), ..Default::default() }
}

#[tonic::async_trait]
impl StreamingPipelineService for Stock {
    type StreamPipelineStream = Pin<Box<dyn Stream<Item = Result<StreamResponse, Status>> + Send>>;

    async fn stream_pipeline(&self, request: Request<Streaming<StreamRequest>>) -> Answer<Self::StreamPipelineStream> {
        self.0.note("StreamPipeline", &request);
        let mut messages = request.into_inner();
        let wrap = |told| Ok(StreamResponse { response: Some(told) });
        let Some(Ok(StreamRequest { request: Some(Asked::Init(init)) })) = messages.next().await else {
            let told = Told::Error(error(ErrorType::Internal, "init required"));
            return Ok(Response::new(Box::pin(stream::iter([wrap(told)]))));
        };
        let manifest = init.manifest.unwrap_or_default();
        *self.0.manifest.lock() = Some(manifest.clone());
        let first = manifest.nodes.first().map(|node| (node.id.clone(), node.node_type.clone())).unwrap_or_default();
        let warm_up = result(0, "_status", text("[node] status=loading message=weights"));
        let ready = Told::Ready(StreamReady { session_id: "s1".to_owned(), recommended_chunk_size: 4096, max_buffer_latency_ms: 100 });
        let book = Arc::clone(&self.0);
        let answers = messages.flat_map(move |message| {
            let sequence = book.received.fetch_add(1, Ordering::SeqCst);
            let mut out = Vec::new();
            match message {
                Ok(StreamRequest { request: Some(Asked::DataChunk(chunk)) }) => {
                    let buffer = chunk.buffer.expect("a buffer");
                    assert_eq!(chunk.node_id, first.0, "chunks go to the source node");
                    match first.1.as_str() {
                        // Fails inside: the server only logs it.
                        "Silent" => {}
                        "Twice" => out.extend([result(chunk.sequence, "sink", buffer.clone()), result(chunk.sequence, "sink", buffer)]),
                        "Two" => out.extend([result(chunk.sequence, "a", buffer.clone()), result(chunk.sequence, "b", buffer)]),
                        "FailAtThird" if chunk.sequence == 2 => out.push(Told::Error(error(ErrorType::NodeExecution, "the third"))),
                        _ => out.push(result(chunk.sequence, "sink", buffer)),
                    }
                    if sequence % 10 == 9 {
                        out.push(Told::Metrics(StreamMetrics { chunks_processed: 10, ..Default::default() }));
                    }
                }
                Ok(StreamRequest { request: Some(Asked::Control(_)) }) => {
                    out.push(Told::Closed(StreamClosed { session_id: "s1".to_owned(), reason: "client close".to_owned(), ..Default::default() }));
                }
                _ => {}
            }
            stream::iter(out)
        });
        Ok(Response::new(Box::pin(stream::iter([warm_up, ready]).chain(answers).map(wrap))))
    }
}
