//! Objects and generators: Python code that a client sends for execution.
//!
//! The stock server unpickles it, which is running whatever a stranger wrote. There is no Python here, and nothing is ever executed from a
//! message: such calls get a clear answer of category `SECURITY`. As no objects can be made, no session of one exists, nor a generator.

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tonic::{Request, Response, Status, Streaming};

use super::core::Core;
use super::fault::{Fault, fault};
use crate::error::{Code, Error, RemoteDetails};
use crate::remote::pb::v0;

fn refuse_code(core: &Core) -> Fault {
    let text = "this service does not execute code that clients send; it runs registered node types only (see ListNodes)";
    let details = RemoteDetails { category: Some("SECURITY".to_owned()), ..RemoteDetails::default() };
    counted(core, &Error::new(Code::Config, text).with_remote(details))
}

fn no_session(core: &Core, id: &str) -> Fault {
    let id: String = id.chars().take(100).collect();
    counted(core, &Error::new(Code::Config, format!("Session ID '{}' not found.", id.escape_debug())))
}

fn no_generator(core: &Core) -> Fault {
    counted(core, &Error::new(Code::Config, "Generator session not found"))
}

fn counted(core: &Core, error: &Error) -> Fault {
    let fault = fault(error);
    core.metrics.error(fault.category);
    fault
}

/// `ExecuteObjectMethod`
pub fn execute_object_method(core: &Core, request: &v0::ExecuteObjectMethodRequest) -> v0::ExecuteObjectMethodResponse {
    use v0::execute_object_method_request::ObjectSpecifier;
    let fault = match &request.object_specifier {
        Some(ObjectSpecifier::SessionId(id)) => no_session(core, id),
        Some(ObjectSpecifier::CodePackage(_)) => refuse_code(core),
        None => counted(core, &Error::new(Code::Config, "Either code_package or session_id must be provided.")),
    };
    v0::ExecuteObjectMethodResponse {
        status: fault.status.into(),
        error_message: fault.message,
        error_traceback: fault.traceback,
        ..v0::ExecuteObjectMethodResponse::default()
    }
}

/// `StreamObject`: messages before `init` are skipped, as on the stock server; then comes one message with the error.
pub fn stream_object(
    core: std::sync::Arc<Core>,
    request: Request<Streaming<v0::StreamObjectRequest>>,
) -> Response<BoxStream<'static, Result<v0::StreamObjectResponse, Status>>> {
    use v0::stream_object_init::ObjectSpecifier;
    use v0::stream_object_request::Payload;
    let call = super::call::Call::of(&request);
    let answer = async move {
        let call = call?;
        let refused = async move {
            let mut messages = request.into_inner();
            let init = loop {
                match messages.message().await? {
                    Some(v0::StreamObjectRequest { payload: Some(Payload::Init(init)) }) => break Some(init),
                    Some(_) => {}
                    None => break None,
                }
            };
            let fault = match init.map(|init| init.object_specifier) {
                Some(Some(ObjectSpecifier::SessionId(id))) => no_session(&core, &id),
                Some(Some(ObjectSpecifier::CodePackage(_))) => refuse_code(&core),
                Some(None) => counted(&core, &Error::new(Code::Config, "Either code_package or session_id must be provided.")),
                None => counted(&core, &Error::new(Code::Config, "Stream must be initialized with a StreamObjectInit message.")),
            };
            Ok(v0::StreamObjectResponse { payload: Some(v0::stream_object_response::Payload::Error(fault.message)) })
        };
        tokio::select! {
            biased;
            status = call.ended_early() => Err(status),
            refused = refused => refused,
        }
    };
    Response::new(stream::once(answer).boxed())
}

/// `InitGenerator`
pub fn init_generator(core: &Core, request: &v0::InitGeneratorRequest) -> v0::InitGeneratorResponse {
    let fault = no_session(core, &request.session_id);
    v0::InitGeneratorResponse { status: fault.status.into(), error_message: fault.message, ..v0::InitGeneratorResponse::default() }
}

/// `GetNextBatch`
pub fn get_next_batch(core: &Core) -> v0::GetNextBatchResponse {
    let fault = no_generator(core);
    v0::GetNextBatchResponse { status: fault.status.into(), error_message: fault.message, ..v0::GetNextBatchResponse::default() }
}

/// `CloseGenerator`: closing what is not there is no failure.
pub fn close_generator() -> v0::CloseGeneratorResponse {
    v0::CloseGeneratorResponse { status: v0::ExecutionStatus::Success.into() }
}
