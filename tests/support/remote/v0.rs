//! Protocol v0 as RemoteMedia's Python server speaks it; the type of a node says how it behaves.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use remotemedia_wasmedge::remote::pb::v0::remote_execution_service_server::RemoteExecutionService;
use remotemedia_wasmedge::remote::pb::v0::stream_data::Payload;
use remotemedia_wasmedge::remote::pb::v0::*;
use tonic::{Request, Response, Status, Streaming};

use super::{Book, Waiting};

/// The stock server.
pub struct Stock(pub Arc<Book>);

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

pub const FAILURE: &str = "[VALIDATION] ValueError: gain must be positive\nHint: check the parameters\n\nContext: {'operation': 'ExecuteNode[Gain]'}";
pub const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"/srv/nodes.py\", line 7, in process\nValueError: gain must be positive\n";

fn success(output: impl Into<Bytes>) -> ExecuteNodeResponse {
    ExecuteNodeResponse { status: ExecutionStatus::Success as i32, output_data: output.into(), ..Default::default() }
}

fn data(bytes: impl Into<Bytes>) -> StreamData {
    StreamData { payload: Some(Payload::Data(bytes.into())), error_message: String::new() }
}

fn failure(text: &str) -> StreamData {
    StreamData { payload: None, error_message: text.to_owned() }
}

impl Stock {
    async fn execute(&self, request: ExecuteNodeRequest) -> Result<ExecuteNodeResponse, Status> {
        if self.0.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(Status::unavailable("warming up"));
        }
        Ok(match request.node_type.as_str() {
            "Echo" => success(request.input_data),
            "ShowConfig" => success(serde_json::to_vec(&request.config).expect("JSON")),
            "Wait" => {
                Waiting::wait(&self.0).await;
                success(request.input_data)
            }
            "SlowOnce" => {
                let slow = self.0.slow_first.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                if slow {
                    Waiting::wait(&self.0).await;
                }
                success(request.input_data)
            }
            "Fail" => ExecuteNodeResponse {
                status: ExecutionStatus::Error as i32,
                error_message: FAILURE.to_owned(),
                error_traceback: TRACEBACK.to_owned(),
                ..Default::default()
            },
            "OutOfMemory" => ExecuteNodeResponse {
                status: ExecutionStatus::ResourceLimit as i32,
                error_message: "CUDA out of memory".to_owned(),
                ..Default::default()
            },
            "TimedOut" => ExecuteNodeResponse { status: ExecutionStatus::Timeout as i32, error_message: "too slow".into(), ..Default::default() },
            "NoStatus" => ExecuteNodeResponse::default(),
            "NewStatus" => ExecuteNodeResponse { status: 77, ..Default::default() },
            "BadInput" => success(r#"{"error": "Unsupported operation: root", "processed_by": "CalculatorNode[x]"}"#),
            "UserError" => success(r#"{"error": "a field of mine", "other": 1}"#),
            "Garbage" => success("\u{80}not json"),
            "Big" => success(format!("\"{}\"", "x".repeat(request.config["bytes"].parse().expect("a number")))),
            "Denied" => return Err(Status::permission_denied("not for you")),
            "Anonymous" => return Err(Status::unauthenticated("who are you?")),
            "Details" => {
                let mut status = Status::internal("with details");
                status.metadata_mut().insert("grpc-status-details", "x".parse().expect("a value"));
                return Err(status);
            }
            other => ExecuteNodeResponse {
                status: ExecutionStatus::Error as i32,
                error_message: format!("[UNKNOWN] ValueError: Node execution failed: Unknown node type '{other}'\n\nContext: {{}}"),
                ..Default::default()
            },
        })
    }
}

#[tonic::async_trait]
impl RemoteExecutionService for Stock {
    async fn execute_node(&self, request: Request<ExecuteNodeRequest>) -> Answer<ExecuteNodeResponse> {
        self.0.note("ExecuteNode", &request);
        self.execute(request.into_inner()).await.map(Response::new)
    }

    async fn execute_custom_task(&self, request: Request<ExecuteCustomTaskRequest>) -> Answer<ExecuteCustomTaskResponse> {
        self.0.note("ExecuteCustomTask", &request);
        Ok(Response::new(ExecuteCustomTaskResponse {
            status: ExecutionStatus::Error as i32,
            error_message: "Custom task execution not yet implemented (Phase 3)".to_owned(),
            ..Default::default()
        }))
    }

    type StreamNodeStream = Out<StreamData>;

    async fn stream_node(&self, request: Request<Streaming<StreamData>>) -> Answer<Out<StreamData>> {
        self.0.note("StreamNode", &request);
        let mut messages = request.into_inner();
        // As grpc.aio does it: headers go out with the first message.
        let Some(Ok(StreamData { payload: Some(Payload::Init(init)), .. })) = messages.next().await else {
            return Err(Status::invalid_argument("Stream must be initialized with a StreamInit message."));
        };
        let book = Arc::clone(&self.0);
        let items = messages.filter_map(move |message| {
            book.received.fetch_add(1, Ordering::SeqCst);
            std::future::ready(match message {
                Ok(StreamData { payload: Some(Payload::Data(bytes)), .. }) => Some(Ok(bytes)),
                Ok(_) => None,
                Err(status) => Some(Err(status)),
            })
        });
        Ok(Response::new(self.stream(&init.node_type, items)))
    }

    type StreamObjectStream = Out<StreamObjectResponse>;

    async fn stream_object(&self, request: Request<Streaming<StreamObjectRequest>>) -> Answer<Out<StreamObjectResponse>> {
        use stream_object_request::Payload as Asked;
        use stream_object_response::Payload as Told;
        self.0.note("StreamObject", &request);
        let peer = request.remote_addr().expect("an address");
        let mut messages = request.into_inner();
        let book = Arc::clone(&self.0);
        let told = |payload| StreamObjectResponse { payload: Some(payload) };
        let Some(Ok(StreamObjectRequest { payload: Some(Asked::Init(init)) })) = messages.next().await else {
            book.objects.lock().retain(|(_, owner)| *owner != peer);
            let error = told(Told::Error("Stream must be initialized with a StreamObjectInit message.".to_owned()));
            return Ok(Response::new(Box::pin(stream::iter([Ok(error)]))));
        };
        if let Some(stream_object_init::ObjectSpecifier::SessionId(id)) = &init.object_specifier
            && !book.objects.lock().iter().any(|(session, _)| session == id)
        {
            let error = told(Told::Error(format!("Session ID {id} not found.")));
            return Ok(Response::new(Box::pin(stream::iter([Ok(error)]))));
        }
        let items = messages.filter_map(move |message| {
            std::future::ready(match message {
                Ok(StreamObjectRequest { payload: Some(Asked::Data(bytes)) }) if &bytes[..] == b"\"bad\"" => {
                    Some(Ok(told(Told::Error("Error during processing: bad item".to_owned()))))
                }
                Ok(StreamObjectRequest { payload: Some(Asked::Data(bytes)) }) => Some(Ok(told(Told::Data(bytes)))),
                Ok(_) => None,
                Err(status) => Some(Err(status)),
            })
        });
        // What the stock server does at the end of any stream, whoever owns the objects.
        let cleanup = stream::once(async move { book.objects.lock().retain(|(_, owner)| *owner != peer) }).filter_map(|()| std::future::ready(None));
        Ok(Response::new(Box::pin(items.chain(cleanup))))
    }

    async fn execute_object_method(&self, request: Request<ExecuteObjectMethodRequest>) -> Answer<ExecuteObjectMethodResponse> {
        use execute_object_method_request::ObjectSpecifier;
        self.0.note("ExecuteObjectMethod", &request);
        let peer = request.remote_addr().expect("an address");
        let request = request.into_inner();
        let answer = |result: String, session_id: String| ExecuteObjectMethodResponse {
            status: ExecutionStatus::Success as i32,
            result_data: result.into(),
            session_id,
            ..Default::default()
        };
        let error = |text: &str| ExecuteObjectMethodResponse {
            status: ExecutionStatus::Error as i32,
            error_message: format!("[UNKNOWN] ValueError: {text}\n\nContext: {{}}"),
            error_traceback: TRACEBACK.to_owned(),
            ..Default::default()
        };
        let args: serde_json::Value = serde_json::from_slice(&request.method_args_data).map_err(|error| Status::unknown(error.to_string()))?;
        let session = match request.object_specifier {
            Some(ObjectSpecifier::SessionId(id)) if self.0.objects.lock().iter().any(|(session, _)| *session == id) => id,
            Some(ObjectSpecifier::SessionId(id)) => return Ok(Response::new(error(&format!("Session {id} not found")))),
            Some(ObjectSpecifier::CodePackage(_)) => {
                let mut objects = self.0.objects.lock();
                let id = format!("session-{}", objects.len());
                objects.push((id.clone(), peer));
                id
            }
            None => return Ok(Response::new(error("no object"))),
        };
        Ok(Response::new(match request.method_name.as_str() {
            "__init__" => answer("null".to_owned(), session),
            "sum" => answer(args.as_array().into_iter().flatten().filter_map(serde_json::Value::as_i64).sum::<i64>().to_string(), session),
            "kwargs" => answer(String::from_utf8_lossy(&request.method_kwargs_data).into_owned(), session),
            "count" => answer(r#"{"__generator__": true, "generator_id": "gen-0-5", "is_async": true}"#.to_owned(), session),
            other => error(&format!("no method {other}")),
        }))
    }

    async fn get_status(&self, request: Request<StatusRequest>) -> Answer<StatusResponse> {
        self.0.note("GetStatus", &request);
        let asked = request.into_inner();
        let metrics = asked.include_metrics.then(|| ServiceMetrics { total_requests: 7, cpu_usage_percent: 12.5, ..Default::default() });
        Ok(Response::new(StatusResponse {
            status: ServiceStatus::Healthy as i32,
            version: "0.1.0".to_owned(),
            uptime_seconds: 12,
            metrics,
            ..Default::default()
        }))
    }

    async fn list_nodes(&self, request: Request<ListNodesRequest>) -> Answer<ListNodesResponse> {
        self.0.note("ListNodes", &request);
        let node = |name: &str, category: &str| NodeInfo {
            node_type: name.to_owned(),
            category: category.to_owned(),
            description: format!("the node {name}"),
            parameters: vec![ParameterInfo { name: "gain".into(), r#type: "float".into(), required: true, ..Default::default() }],
        };
        let wanted = request.into_inner().category;
        let mut nodes = vec![node("Echo", "base"), node("AudioTransform", "audio")];
        nodes.retain(|node| wanted.is_empty() || node.category == wanted);
        Ok(Response::new(ListNodesResponse { available_nodes: nodes }))
    }

    async fn init_generator(&self, request: Request<InitGeneratorRequest>) -> Answer<InitGeneratorResponse> {
        self.0.note("InitGenerator", &request);
        let request = request.into_inner();
        let id = format!("gen-0-{}", request.method_name);
        let known = request.method_name.parse::<u32>().is_ok() || request.method_name == "broken";
        let status = if known { ExecutionStatus::Success } else { ExecutionStatus::Error };
        let error_message = if known { String::new() } else { "[UNKNOWN] AttributeError: no such method".to_owned() };
        Ok(Response::new(InitGeneratorResponse { status: status as i32, generator_id: id, error_message }))
    }

    /// `gen-<next>-<count>`: state lives in the book.
    async fn get_next_batch(&self, request: Request<GetNextBatchRequest>) -> Answer<GetNextBatchResponse> {
        self.0.note("GetNextBatch", &request);
        let request = request.into_inner();
        let mut generators = self.0.generators.lock();
        let name = request.generator_id.rsplit('-').next().unwrap_or_default().to_owned();
        let next = generators.entry(request.generator_id.clone()).or_insert(0);
        let Ok(count) = name.parse::<u32>() else {
            let message = "[UNKNOWN] RuntimeError: the generator broke\n\nContext: {}".to_owned();
            return Ok(Response::new(GetNextBatchResponse { status: ExecutionStatus::Error as i32, error_message: message, ..Default::default() }));
        };
        let mut items = Vec::new();
        while items.len() < request.batch_size as usize && *next < count {
            items.push(Bytes::from(next.to_string()));
            *next += 1;
        }
        // As the stock server: true until the end was seen, so that a full last batch is followed by an empty one.
        let has_more = items.len() == request.batch_size as usize;
        Ok(Response::new(GetNextBatchResponse { status: ExecutionStatus::Success as i32, items, has_more, error_message: String::new() }))
    }

    async fn close_generator(&self, request: Request<CloseGeneratorRequest>) -> Answer<CloseGeneratorResponse> {
        self.0.note("CloseGenerator", &request);
        self.0.closed.notify_one();
        Ok(Response::new(CloseGeneratorResponse { status: ExecutionStatus::Success as i32 }))
    }

    async fn export_type_script_definitions(&self, request: Request<ExportTypeScriptRequest>) -> Answer<ExportTypeScriptResponse> {
        self.0.note("ExportTypeScriptDefinitions", &request);
        Ok(Response::new(ExportTypeScriptResponse {
            status: ExecutionStatus::Success as i32,
            typescript_definitions: r#"{"service_version": "0.1.0", "nodes": [{"node_type": "Echo"}]}"#.to_owned(),
            version: "0.1.0".to_owned(),
            ..Default::default()
        }))
    }

    async fn register_pipeline(&self, request: Request<RegisterPipelineRequest>) -> Answer<RegisterPipelineResponse> {
        self.0.note("RegisterPipeline", &request);
        let request = request.into_inner();
        let pipeline_id = format!("pipeline_{}_1", request.pipeline_name);
        self.0.pipelines.lock().push((pipeline_id.clone(), request));
        Ok(Response::new(RegisterPipelineResponse {
            status: ExecutionStatus::Success as i32,
            pipeline_id,
            registered_timestamp: 1_700_000_000,
            ..Default::default()
        }))
    }

    async fn unregister_pipeline(&self, request: Request<UnregisterPipelineRequest>) -> Answer<UnregisterPipelineResponse> {
        self.0.note("UnregisterPipeline", &request);
        let wanted = request.into_inner().pipeline_id;
        let mut pipelines = self.0.pipelines.lock();
        let before = pipelines.len();
        pipelines.retain(|(id, _)| *id != wanted);
        let found = pipelines.len() < before;
        Ok(Response::new(UnregisterPipelineResponse {
            status: if found { ExecutionStatus::Success } else { ExecutionStatus::Error } as i32,
            error_message: if found { String::new() } else { format!("Pipeline {wanted} not found") },
        }))
    }

    async fn list_pipelines(&self, request: Request<ListPipelinesRequest>) -> Answer<ListPipelinesResponse> {
        self.0.note("ListPipelines", &request);
        let pipelines = self.0.pipelines.lock().iter().map(|(id, asked)| info(id, asked)).collect();
        Ok(Response::new(ListPipelinesResponse { pipelines }))
    }

    async fn get_pipeline_info(&self, request: Request<GetPipelineInfoRequest>) -> Answer<GetPipelineInfoResponse> {
        self.0.note("GetPipelineInfo", &request);
        let wanted = request.into_inner().pipeline_id;
        let found = self.0.pipelines.lock().iter().find(|(id, _)| *id == wanted).map(|(id, asked)| info(id, asked));
        let status = if found.is_some() { ExecutionStatus::Success } else { ExecutionStatus::Error };
        let error_message = if found.is_some() { String::new() } else { format!("Pipeline {wanted} not found") };
        let metrics = found.is_some().then(|| PipelineMetrics { total_executions: 3, average_execution_time_ms: 1.5, ..Default::default() });
        Ok(Response::new(GetPipelineInfoResponse { status: status as i32, pipeline_info: found, metrics, error_message }))
    }

    async fn execute_pipeline(&self, request: Request<ExecutePipelineRequest>) -> Answer<ExecutePipelineResponse> {
        self.0.note("ExecutePipeline", &request);
        let request = request.into_inner();
        Ok(Response::new(ExecutePipelineResponse {
            status: ExecutionStatus::Success as i32,
            output_data: request.input_data,
            execution_id: "exec_1".to_owned(),
            ..Default::default()
        }))
    }

    type StreamPipelineStream = Out<StreamPipelineResponse>;

    async fn stream_pipeline(&self, request: Request<Streaming<StreamPipelineRequest>>) -> Answer<Out<StreamPipelineResponse>> {
        use stream_pipeline_request::Payload as Asked;
        use stream_pipeline_response::Payload as Told;
        self.0.note("StreamPipeline", &request);
        let mut messages = request.into_inner();
        let told = |payload| StreamPipelineResponse { payload: Some(payload) };
        let Some(Ok(StreamPipelineRequest { payload: Some(Asked::Init(init)) })) = messages.next().await else {
            return Ok(Response::new(Box::pin(stream::iter([Ok(told(Told::Error("no init".to_owned())))]))));
        };
        let ack = told(Told::Ack(StreamPipelineAck { session_id: format!("stream_{}_1", init.pipeline_id), ready: true }));
        let state = (messages, false);
        let items = stream::unfold(state, move |(mut messages, over)| async move {
            if over {
                return None;
            }
            match messages.next().await? {
                Ok(StreamPipelineRequest { payload: Some(Asked::Data(bytes)) }) => Some((Ok(told(Told::Data(bytes))), (messages, false))),
                Ok(StreamPipelineRequest { payload: Some(Asked::Control(control)) }) => {
                    let status = StreamPipelineStatus { is_active: false, ..Default::default() };
                    let closes = control.r#type == stream_control::ControlType::Close as i32;
                    Some((Ok(told(Told::Status(status))), (messages, closes)))
                }
                Ok(_) => Some((Ok(told(Told::Error("unexpected".to_owned()))), (messages, false))),
                Err(status) => Some((Err(status), (messages, true))),
            }
        });
        Ok(Response::new(Box::pin(stream::iter([Ok(ack)]).chain(items))))
    }

    async fn save_pipeline(&self, _: Request<SavePipelineRequest>) -> Answer<SavePipelineResponse> {
        Err(Status::unimplemented(""))
    }

    async fn load_pipeline(&self, _: Request<LoadPipelineRequest>) -> Answer<LoadPipelineResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_stored_pipelines(&self, _: Request<ListStoredPipelinesRequest>) -> Answer<ListStoredPipelinesResponse> {
        Err(Status::unimplemented(""))
    }

    async fn clone_pipeline(&self, _: Request<ClonePipelineRequest>) -> Answer<ClonePipelineResponse> {
        Err(Status::unimplemented(""))
    }

    async fn save_node(&self, _: Request<SaveNodeRequest>) -> Answer<SaveNodeResponse> {
        Err(Status::unimplemented(""))
    }

    async fn load_node(&self, _: Request<LoadNodeRequest>) -> Answer<LoadNodeResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_stored_nodes(&self, _: Request<ListStoredNodesRequest>) -> Answer<ListStoredNodesResponse> {
        Err(Status::unimplemented(""))
    }
}

fn info(id: &str, asked: &RegisterPipelineRequest) -> PipelineInfo {
    PipelineInfo {
        pipeline_id: id.to_owned(),
        name: asked.pipeline_name.clone(),
        category: asked.metadata.get("category").cloned().unwrap_or_else(|| "general".to_owned()),
        metadata: asked.metadata.clone(),
        registered_timestamp: 1_700_000_000,
        ..Default::default()
    }
}

impl Stock {
    /// What becomes of a node's stream.
    fn stream(&self, node_type: &str, items: impl Stream<Item = Result<Bytes, Status>> + Send + 'static) -> Out<StreamData> {
        let book = Arc::clone(&self.0);
        match node_type {
            "Echo" => Box::pin(items.map(|item| item.map(data))),
            // Two outputs per item, and one more at the end, as `flush` gives it.
            "Twice" => {
                Box::pin(items.flat_map(|item| stream::iter([item.clone().map(data), item.map(data)])).chain(stream::iter([Ok(data("\"flushed\""))])))
            }
            // Nothing for odd items.
            "Even" => Box::pin(items.enumerate().filter_map(|(index, item)| std::future::ready((index % 2 == 0).then(|| item.map(data))))),
            "Silent" => Box::pin(items.filter_map(|_| std::future::ready(None))),
            "FailAtThird" => Box::pin(
                items
                    .take(2)
                    .map(|item| item.map(data))
                    .chain(stream::iter([Ok(failure("[VALIDATION] [VALIDATION] ValueError: the third\n\nContext: {}"))])),
            ),
            "EndEarly" => Box::pin(items.take(2).map(|item| item.map(data))),
            "Abort" => Box::pin(items.take(2).map(|item| item.map(data)).chain(stream::iter([Err(Status::aborted("no more"))]))),
            "Garbage" => Box::pin(items.map(|item| item.map(|_| data("{")))),
            "BadInput" => Box::pin(items.map(|item| item.map(|_| data(r#"{"error": "bad", "processed_by": "X"}"#)))),
            // Reads nothing.
            "Blocked" => Box::pin(stream::once(async move {
                Waiting::wait(&book).await;
                drop(items);
                Ok(data("\"let go\""))
            })),
            other => {
                let text = format!("[UNKNOWN] [UNKNOWN] ValueError: Node type '{other}' is not supported for remote execution.\n\nContext: {{}}");
                Box::pin(stream::iter([Ok(failure(&text))]))
            }
        }
    }
}
