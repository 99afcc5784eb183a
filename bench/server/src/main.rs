//! Answers `ExecuteNode` and `StreamNode` with what they were sent. Prints its port.

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

#[path = "../../../src/remote/pb/mod.rs"]
#[allow(dead_code, reason = "two methods of many")]
mod pb;

use pb::v0::remote_execution_service_server::{RemoteExecutionService, RemoteExecutionServiceServer};
use pb::v0::{ExecuteNodeRequest, ExecuteNodeResponse, StreamData, stream_data::Payload};

struct Echo;

/// What `async_trait` makes of an `async fn`, written out: it does not look into macros.
macro_rules! refused {
    ($($name:ident $request:ident $response:ident;)*) => {
        $(fn $name<'a, 'b>(
            &'a self,
            _: Request<pb::v0::$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<pb::v0::$response>, Status>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Status::unimplemented("an echo only")) })
        })*
    };
}

#[tonic::async_trait]
impl RemoteExecutionService for Echo {
    type StreamNodeStream = Pin<Box<dyn Stream<Item = Result<StreamData, Status>> + Send>>;
    type StreamObjectStream = tokio_stream::Empty<Result<pb::v0::StreamObjectResponse, Status>>;
    type StreamPipelineStream = tokio_stream::Empty<Result<pb::v0::StreamPipelineResponse, Status>>;

    async fn execute_node(&self, request: Request<ExecuteNodeRequest>) -> Result<Response<ExecuteNodeResponse>, Status> {
        let output_data = request.into_inner().input_data;
        Ok(Response::new(ExecuteNodeResponse { status: 1, output_data, ..ExecuteNodeResponse::default() }))
    }

    async fn stream_node(&self, request: Request<Streaming<StreamData>>) -> Result<Response<Self::StreamNodeStream>, Status> {
        // The first message says what is wanted; it is not answered.
        let items = request.into_inner().filter(|item| !matches!(item, Ok(StreamData { payload: Some(Payload::Init(_)), .. })));
        Ok(Response::new(Box::pin(items)))
    }

    async fn stream_object(&self, _: Request<Streaming<pb::v0::StreamObjectRequest>>) -> Result<Response<Self::StreamObjectStream>, Status> {
        Err(Status::unimplemented("an echo only"))
    }

    async fn stream_pipeline(
        &self,
        _: Request<Streaming<pb::v0::StreamPipelineRequest>>,
    ) -> Result<Response<Self::StreamPipelineStream>, Status> {
        Err(Status::unimplemented("an echo only"))
    }

    async fn get_status(&self, _: Request<pb::v0::StatusRequest>) -> Result<Response<pb::v0::StatusResponse>, Status> {
        Ok(Response::new(pb::v0::StatusResponse { status: 1, ..Default::default() }))
    }

    refused! {
        execute_custom_task ExecuteCustomTaskRequest ExecuteCustomTaskResponse;
        execute_object_method ExecuteObjectMethodRequest ExecuteObjectMethodResponse;
        list_nodes ListNodesRequest ListNodesResponse;
        init_generator InitGeneratorRequest InitGeneratorResponse;
        get_next_batch GetNextBatchRequest GetNextBatchResponse;
        close_generator CloseGeneratorRequest CloseGeneratorResponse;
        export_type_script_definitions ExportTypeScriptRequest ExportTypeScriptResponse;
        register_pipeline RegisterPipelineRequest RegisterPipelineResponse;
        unregister_pipeline UnregisterPipelineRequest UnregisterPipelineResponse;
        list_pipelines ListPipelinesRequest ListPipelinesResponse;
        get_pipeline_info GetPipelineInfoRequest GetPipelineInfoResponse;
        execute_pipeline ExecutePipelineRequest ExecutePipelineResponse;
        save_pipeline SavePipelineRequest SavePipelineResponse;
        load_pipeline LoadPipelineRequest LoadPipelineResponse;
        list_stored_pipelines ListStoredPipelinesRequest ListStoredPipelinesResponse;
        clone_pipeline ClonePipelineRequest ClonePipelineResponse;
        save_node SaveNodeRequest SaveNodeResponse;
        load_node LoadNodeRequest LoadNodeResponse;
        list_stored_nodes ListStoredNodesRequest ListStoredNodesResponse;
    }
}

/// For clients and server alike, so that no side is slowed by the other's defaults.
const WINDOW_BYTES: u32 = 8 << 20;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Without it, the end of every answer beyond one segment waits 40 ms for an acknowledgement, whoever asks.
    let listener = TcpIncoming::bind("127.0.0.1:0".parse()?)?.with_nodelay(Some(true));
    println!("{}", listener.local_addr()?.port());
    let service = RemoteExecutionServiceServer::new(Echo).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX);
    tonic::transport::Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .add_service(service)
        .serve_with_incoming(listener)
        .await?;
    Ok(())
}
