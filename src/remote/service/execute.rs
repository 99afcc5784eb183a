//! `ExecuteNode`: one item, one answer.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::call::{Call, guarded, session_of};
use super::core::{Core, unix_ms};
use super::fault::fault;
use crate::data::{Bytes, Packet, SessionId};
use crate::error::{Code, Error, Result};
use crate::remote::codec::{self, PyValue, Wire, to_value};
use crate::remote::pb::v0;

/// Why a call has no output: a failure to be told within the answer, or the end of the call as such.
pub enum Failure {
    /// Told within the answer.
    Told(Error),
    /// A gRPC status.
    Status(Status),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Told(error)
    }
}

impl From<Box<Status>> for Failure {
    fn from(status: Box<Status>) -> Self {
        Failure::Status(*status)
    }
}

/// When a call began, and how long it is taking.
pub struct Clock {
    began: SystemTime,
    since: Instant,
}

impl Clock {
    /// Now.
    pub fn start() -> Self {
        Self { began: SystemTime::now(), since: Instant::now() }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// The protocol's metrics; an exit code of -1 stands for a failure, as on the stock server.
    pub fn metrics(&self, input: usize, output: usize, ok: bool) -> v0::ExecutionMetrics {
        let took = i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX);
        let start = unix_ms(self.began);
        v0::ExecutionMetrics {
            start_timestamp: start,
            end_timestamp: start.saturating_add(took),
            duration_ms: took,
            cpu_time_ms: if ok { took } else { 0 },
            input_size_bytes: i64::try_from(input).unwrap_or(i64::MAX),
            output_size_bytes: i64::try_from(output).unwrap_or(i64::MAX),
            exit_code: if ok { 0 } else { -1 },
            ..v0::ExecutionMetrics::default()
        }
    }
}

/// The format that a client asks for.
pub fn wire(format: &str) -> Result<Wire> {
    Wire::from_name(format).ok_or_else(|| {
        let format: String = format.chars().take(40).collect();
        Error::new(Code::Serialization, format!("Unsupported serialization format: '{}' (json, pickle or raw)", format.escape_debug()))
    })
}

/// The item in a request, and the session that it or the request's metadata names.
pub fn input(payload: &Bytes, wire: Wire, metadata: &MetadataMap) -> Result<(Packet, Option<SessionId>, Option<SessionId>)> {
    let packet = codec::decode(payload, wire)?;
    let inside = codec::session_of(&packet);
    let session = match session_of(metadata)? {
        Some(session) => Some(session),
        None => inside.clone(),
    };
    Ok((packet, inside, session))
}

/// Outputs as one payload: nothing is `None`, one is itself, several are a list. `always_list` makes a list of any number.
pub fn output(outputs: &[Packet], wire: Wire, session: Option<&SessionId>, always_list: bool) -> Result<Bytes> {
    match (outputs, wire) {
        ([], Wire::Raw) => Ok(Bytes::new()),
        ([one], Wire::Raw) => codec::encode(one, wire, session),
        ([one], _) if !always_list => codec::encode(one, wire, session),
        ([], _) if !always_list => codec::encode_value(&PyValue::None, wire),
        (several, Wire::Raw) => {
            let problem = format!("{} outputs cannot be one raw payload: ask for json or pickle", several.len());
            Err(Error::new(Code::Serialization, problem))
        }
        (several, Wire::Pickle) => {
            let list = several.iter().map(|one| to_value(one, session)).collect::<Result<_>>()?;
            codec::encode_value(&PyValue::List(list), wire)
        }
        (several, Wire::Json) => {
            let mut list = vec![b'['];
            for (index, one) in several.iter().enumerate() {
                if index > 0 {
                    list.extend_from_slice(b", ");
                }
                list.extend_from_slice(&codec::encode(one, wire, session)?);
            }
            list.push(b']');
            Ok(list.into())
        }
    }
}

/// Runs `work` until it is done, the limit that the client's options name has passed, or the call is over.
pub async fn limited<T>(call: &Call, options: Option<&v0::ExecutionOptions>, work: impl Future<Output = Result<T>>) -> Result<T, Failure> {
    let seconds = options.and_then(|options| u64::try_from(options.timeout_seconds).ok()).filter(|seconds| *seconds > 0);
    let late = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        done = work => Ok(done?),
        status = call.ended_early() => Err(Failure::Status(status)),
        () = late => {
            let seconds = seconds.unwrap_or_default();
            Err(Error::new(Code::Deadline, format!("the node took longer than options.timeout_seconds, {seconds} s")).into())
        }
    }
}

/// Whether an output respects the limit that the client's options name.
pub fn check_output(options: Option<&v0::ExecutionOptions>, length: usize) -> Result<()> {
    let Some(limit) = options.and_then(|options| usize::try_from(options.max_output_size_mb).ok()).filter(|limit| *limit > 0) else {
        return Ok(());
    };
    if length <= limit.saturating_mul(1 << 20) {
        return Ok(());
    }
    Err(Error::new(Code::OutputTooLarge, format!("the output, {length} bytes, is longer than options.max_output_size_mb, {limit} MiB")))
}

/// The rpc.
pub async fn execute_node(core: &Arc<Core>, request: Request<v0::ExecuteNodeRequest>) -> Result<Response<v0::ExecuteNodeResponse>, Status> {
    let call = Call::of(&request)?;
    let clock = Clock::start();
    let (metadata, _, message) = request.into_parts();
    let size = message.input_data.len();
    let done = run(core, &call, &metadata, message).await;
    core.metrics.ran(clock.elapsed(), done.is_ok());
    let answer = match done {
        Ok(payload) => v0::ExecuteNodeResponse {
            status: v0::ExecutionStatus::Success.into(),
            metrics: Some(clock.metrics(size, payload.len(), true)),
            output_data: payload,
            ..v0::ExecuteNodeResponse::default()
        },
        Err(Failure::Status(status)) => return Err(status),
        Err(Failure::Told(error)) => {
            let fault = fault(&error);
            core.metrics.error(fault.category);
            call.failed(&error);
            v0::ExecuteNodeResponse {
                status: fault.status.into(),
                error_message: fault.message,
                error_traceback: fault.traceback,
                metrics: Some(clock.metrics(size, 0, false)),
                ..v0::ExecuteNodeResponse::default()
            }
        }
    };
    Ok(Response::new(answer))
}

async fn run(core: &Arc<Core>, call: &Call, metadata: &MetadataMap, message: v0::ExecuteNodeRequest) -> Result<Bytes, Failure> {
    let node_type = message.node_type.as_str();
    let entry = core.node(node_type)?;
    let wire = wire(&message.serialization_format)?;
    call.held.at_least(message.input_data.len())?;
    let (packet, inside, session) = input(&message.input_data, wire, metadata)?;
    let used = core.enter(node_type, &entry, session.as_ref());
    if let Some(used) = &used {
        used.item();
    }
    core.metrics.items_in.add(1);
    let info = call.info(node_type, codec::parse_config(&message.config), metadata, session);
    let work = guarded(node_type, || entry.handler.execute(info, packet));
    let outputs = limited(call, message.options.as_ref(), work).await?;
    core.fits(&outputs)?;
    core.metrics.items_out.add(outputs.len() as u64);
    let payload = output(&outputs, wire, inside.as_ref(), false)?;
    core.answer_fits(payload.len())?;
    check_output(message.options.as_ref(), payload.len())?;
    call.held.exchange(payload.len())?;
    Ok(payload)
}

/// What the stock server says to this, too.
pub fn execute_custom_task(core: &Core) -> v0::ExecuteCustomTaskResponse {
    core.metrics.ran(Duration::ZERO, false);
    core.metrics.error("UNKNOWN");
    v0::ExecuteCustomTaskResponse {
        status: v0::ExecutionStatus::Error.into(),
        error_message: "Custom task execution not yet implemented (Phase 3)".to_owned(),
        metrics: Some(Clock::start().metrics(0, 0, false)),
        ..v0::ExecuteCustomTaskResponse::default()
    }
}
