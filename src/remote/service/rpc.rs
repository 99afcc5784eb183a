//! The methods of protocol v0, each in one line; what they do is in the files they name.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::core::Core;
use super::outgoing::Outgoing;
use super::{describe, execute, objects, pipeline_run, pipelines, stream};
use crate::remote::pb::v0;
use crate::remote::pb::v0::remote_execution_service_server::RemoteExecutionService;

/// The service as tonic sees it.
pub struct Rpc(pub Arc<Core>);

type Answer<T> = Result<Response<T>, Status>;

#[expect(clippy::unnecessary_wraps, reason = "what the trait's methods return")]
fn answer<T>(message: T) -> Answer<T> {
    Ok(Response::new(message))
}

/// What the stock server has declared and never written.
fn unimplemented<T>() -> Answer<T> {
    Err(Status::unimplemented("this service keeps nothing; pipelines live as long as it runs (RegisterPipeline)"))
}

#[async_trait]
impl RemoteExecutionService for Rpc {
    type StreamNodeStream = Outgoing<v0::StreamData>;
    type StreamObjectStream = BoxStream<'static, Result<v0::StreamObjectResponse, Status>>;
    type StreamPipelineStream = Outgoing<v0::StreamPipelineResponse>;

    async fn execute_node(&self, request: Request<v0::ExecuteNodeRequest>) -> Answer<v0::ExecuteNodeResponse> {
        execute::execute_node(&self.0, request).await
    }

    async fn execute_custom_task(&self, _: Request<v0::ExecuteCustomTaskRequest>) -> Answer<v0::ExecuteCustomTaskResponse> {
        answer(execute::execute_custom_task(&self.0))
    }

    async fn stream_node(&self, request: Request<Streaming<v0::StreamData>>) -> Answer<Self::StreamNodeStream> {
        stream::stream_node(&self.0, request)
    }

    async fn stream_object(&self, request: Request<Streaming<v0::StreamObjectRequest>>) -> Answer<Self::StreamObjectStream> {
        Ok(objects::stream_object(Arc::clone(&self.0), request))
    }

    async fn execute_object_method(&self, request: Request<v0::ExecuteObjectMethodRequest>) -> Answer<v0::ExecuteObjectMethodResponse> {
        answer(objects::execute_object_method(&self.0, request.get_ref()))
    }

    async fn get_status(&self, request: Request<v0::StatusRequest>) -> Answer<v0::StatusResponse> {
        answer(describe::get_status(&self.0, request.into_inner()))
    }

    async fn list_nodes(&self, request: Request<v0::ListNodesRequest>) -> Answer<v0::ListNodesResponse> {
        answer(describe::list_nodes(&self.0, &request.get_ref().category))
    }

    async fn init_generator(&self, request: Request<v0::InitGeneratorRequest>) -> Answer<v0::InitGeneratorResponse> {
        answer(objects::init_generator(&self.0, request.get_ref()))
    }

    async fn get_next_batch(&self, _: Request<v0::GetNextBatchRequest>) -> Answer<v0::GetNextBatchResponse> {
        answer(objects::get_next_batch(&self.0))
    }

    async fn close_generator(&self, _: Request<v0::CloseGeneratorRequest>) -> Answer<v0::CloseGeneratorResponse> {
        answer(objects::close_generator())
    }

    async fn export_type_script_definitions(&self, _: Request<v0::ExportTypeScriptRequest>) -> Answer<v0::ExportTypeScriptResponse> {
        answer(describe::export_typescript(&self.0))
    }

    async fn register_pipeline(&self, request: Request<v0::RegisterPipelineRequest>) -> Answer<v0::RegisterPipelineResponse> {
        answer(pipelines::register(&self.0, request.into_inner()))
    }

    async fn unregister_pipeline(&self, request: Request<v0::UnregisterPipelineRequest>) -> Answer<v0::UnregisterPipelineResponse> {
        answer(pipelines::unregister(&self.0, &request.get_ref().pipeline_id))
    }

    async fn list_pipelines(&self, request: Request<v0::ListPipelinesRequest>) -> Answer<v0::ListPipelinesResponse> {
        answer(pipelines::list(&self.0, request.get_ref()))
    }

    async fn get_pipeline_info(&self, request: Request<v0::GetPipelineInfoRequest>) -> Answer<v0::GetPipelineInfoResponse> {
        answer(pipelines::info(&self.0, request.get_ref()))
    }

    async fn execute_pipeline(&self, request: Request<v0::ExecutePipelineRequest>) -> Answer<v0::ExecutePipelineResponse> {
        pipeline_run::execute_pipeline(&self.0, request).await
    }

    async fn stream_pipeline(&self, request: Request<Streaming<v0::StreamPipelineRequest>>) -> Answer<Self::StreamPipelineStream> {
        pipeline_run::stream_pipeline(&self.0, request)
    }

    async fn save_pipeline(&self, _: Request<v0::SavePipelineRequest>) -> Answer<v0::SavePipelineResponse> {
        unimplemented()
    }

    async fn load_pipeline(&self, _: Request<v0::LoadPipelineRequest>) -> Answer<v0::LoadPipelineResponse> {
        unimplemented()
    }

    async fn list_stored_pipelines(&self, _: Request<v0::ListStoredPipelinesRequest>) -> Answer<v0::ListStoredPipelinesResponse> {
        unimplemented()
    }

    async fn clone_pipeline(&self, _: Request<v0::ClonePipelineRequest>) -> Answer<v0::ClonePipelineResponse> {
        unimplemented()
    }

    async fn save_node(&self, _: Request<v0::SaveNodeRequest>) -> Answer<v0::SaveNodeResponse> {
        unimplemented()
    }

    async fn load_node(&self, _: Request<v0::LoadNodeRequest>) -> Answer<v0::LoadNodeResponse> {
        unimplemented()
    }

    async fn list_stored_nodes(&self, _: Request<v0::ListStoredNodesRequest>) -> Answer<v0::ListStoredNodesResponse> {
        unimplemented()
    }
}
