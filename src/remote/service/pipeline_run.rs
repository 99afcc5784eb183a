//! `ExecutePipeline` and `StreamPipeline`: items through a line of nodes.
//!
//! An execution gives an item to each node in turn; a stream runs all nodes at once, with a bounded line between each two, so that a slow
//! node, or a slow client, holds up those before it. The first failure ends the whole, and is told.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::call::{Call, guarded, session_of};
use super::core::{Core, unix_ms};
use super::execute::{Clock, Failure, check_output, input, limited, output, wire};
use super::fault::fault;
use super::items::{End, ItemSink, ItemSource};
use super::outgoing::{Outgoing, Writing};
use super::pipe::{Notice, Pipe, Sent};
use super::pipelines::{Pipeline, Stage};
use super::sessions::SessionUse;
use super::stream::{Active, LINE_BYTES, Trouble, items};
use crate::data::{Bytes, Packet, SessionId, Value};
use crate::error::{Code, Error, Result};
use crate::remote::codec::{self, Wire};
use crate::remote::pb::v0;

/// `ExecutePipeline`
pub async fn execute_pipeline(
    core: &Arc<Core>,
    request: Request<v0::ExecutePipelineRequest>,
) -> Result<Response<v0::ExecutePipelineResponse>, Status> {
    let call = Call::of(&request)?;
    let clock = Clock::start();
    let (metadata, _, message) = request.into_parts();
    let size = message.input_data.len();
    let execution_id = format!("exec_{}_{}", message.pipeline_id, unix_ms(SystemTime::now()));
    let pipeline = core.pipelines.get(&message.pipeline_id);
    let done = match &pipeline {
        Ok(pipeline) => execute(core, &call, &metadata, pipeline, message).await,
        Err(error) => Err(error.clone().into()),
    };
    core.metrics.ran(clock.elapsed(), done.is_ok());
    if let Ok(pipeline) = &pipeline {
        pipeline.ran(clock.elapsed(), done.is_ok());
    }
    let answer = match done {
        Ok(payload) => v0::ExecutePipelineResponse {
            status: v0::ExecutionStatus::Success.into(),
            metrics: Some(clock.metrics(size, payload.len(), true)),
            output_data: payload,
            execution_id,
            ..v0::ExecutePipelineResponse::default()
        },
        Err(Failure::Status(status)) => return Err(status),
        Err(Failure::Told(error)) => {
            let fault = fault(&error);
            core.metrics.error(fault.category);
            call.failed(&error);
            v0::ExecutePipelineResponse {
                status: fault.status.into(),
                error_message: fault.message,
                error_traceback: fault.traceback,
                metrics: Some(clock.metrics(size, 0, false)),
                ..v0::ExecutePipelineResponse::default()
            }
        }
    };
    Ok(Response::new(answer))
}

async fn execute(
    core: &Arc<Core>,
    call: &Call,
    metadata: &MetadataMap,
    pipeline: &Pipeline,
    message: v0::ExecutePipelineRequest,
) -> Result<Bytes, Failure> {
    let wire = wire(&message.serialization_format)?;
    call.held.at_least(message.input_data.len())?;
    let (packet, inside, session) = input(&message.input_data, wire, metadata)?;
    core.metrics.items_in.add(1);
    let _used = enter(core, pipeline, session.as_ref());
    let work = async {
        let mut packets = vec![audio_in_json(packet, wire)];
        for stage in &pipeline.stages {
            let mut outputs = Vec::new();
            for packet in packets {
                let info = call.info(&stage.node_type, stage.config.clone(), metadata, session.clone());
                outputs.extend(guarded(&stage.node_type, || stage.entry.handler.execute(info, packet)).await?);
                core.fits(&outputs)?;
            }
            packets = outputs;
        }
        Ok(packets)
    };
    let outputs = limited(call, message.options.as_ref(), work).await?;
    core.fits(&outputs)?;
    core.metrics.items_out.add(outputs.len() as u64);
    let payload = output(&outputs, wire, inside.as_ref(), pipeline.streaming)?;
    core.answer_fits(payload.len())?;
    check_output(message.options.as_ref(), payload.len())?;
    call.held.exchange(payload.len())?;
    Ok(payload)
}

fn enter(core: &Core, pipeline: &Pipeline, session: Option<&SessionId>) -> Vec<SessionUse> {
    pipeline.stages.iter().filter_map(|stage| core.enter(&stage.node_type, &stage.entry, session)).collect()
}

/// `[numbers, rate]` and `{"audio_data": numbers, "sample_rate": rate}` in json are audio to the stock server's pipelines.
fn audio_in_json(packet: Packet, wire: Wire) -> Packet {
    if wire == Wire::Json { spoken(&packet).unwrap_or(packet) } else { packet }
}

fn spoken(packet: &Packet) -> Option<Packet> {
    if packet.kind() != crate::data::Kind::Json {
        return None;
    }
    let (numbers, rate) = match serde_json::from_slice(&packet.bytes).ok()? {
        Value::Array(mut pair) if pair.len() == 2 => {
            let rate = pair.pop()?;
            (pair.pop()?, rate)
        }
        Value::Object(mut map) => (map.remove("audio_data")?, map.remove("sample_rate")?),
        _ => return None,
    };
    let (Value::Array(numbers), Some(rate)) = (numbers, rate.as_f64()) else { return None };
    if numbers.is_empty() || rate <= 0.0 {
        return None;
    }
    // Channels first, as numpy has them; interleaved, as packets do.
    let rows: Vec<Vec<f32>> = if numbers.iter().all(Value::is_array) {
        numbers.iter().map(|row| samples(row.as_array()?)).collect::<Option<_>>()?
    } else {
        vec![samples(&numbers)?]
    };
    let length = rows.first()?.len();
    if rows.iter().any(|row| row.len() != length) {
        return None;
    }
    let mixed: Vec<f32> = (0..length).flat_map(|index| rows.iter().map(move |row| row[index])).collect();
    Some(Packet { metadata: packet.metadata.clone(), ..Packet::audio(&mixed, rate, u32::try_from(rows.len()).ok()?) })
}

#[expect(clippy::cast_possible_truncation, reason = "samples are f32")]
fn samples(numbers: &[Value]) -> Option<Vec<f32>> {
    numbers.iter().map(|number| number.as_f64().map(|number| number as f32)).collect()
}

/// `StreamPipeline`
pub fn stream_pipeline(
    core: &Arc<Core>,
    request: Request<Streaming<v0::StreamPipelineRequest>>,
) -> Result<Response<Outgoing<v0::StreamPipelineResponse>>, Status> {
    let call = Call::of(&request)?;
    let (metadata, _, messages) = request.into_parts();
    let line = Pipe::new(LINE_BYTES);
    let answers = Outgoing::new(core, &call, &line);
    let writing = Arc::clone(&answers.writing);
    let core = Arc::clone(core);
    tokio::spawn(async move {
        let active = Active::new(&core);
        let trouble = Trouble::default();
        let set = |chosen: Writing| drop(writing.set(chosen));
        let work = run(&core, &call, &metadata, messages, &line, &trouble, set);
        let done = tokio::select! {
            biased;
            status = call.ended_early() => Err(Failure::Status(status)),
            done = work => done,
        };
        call.cancel.cancel();
        drop(active);
        line.finish(trouble.end(done));
    });
    Ok(Response::new(answers))
}

async fn run(
    core: &Arc<Core>,
    call: &Call,
    metadata: &MetadataMap,
    mut messages: Streaming<v0::StreamPipelineRequest>,
    line: &Pipe<End>,
    trouble: &Trouble,
    set: impl FnOnce(Writing),
) -> Result<(), Failure> {
    use v0::stream_pipeline_request::Payload;
    let first = messages.message().await.map_err(|status| Failure::Status(super::stream::in_grpc_terms(status)))?;
    let Some(Payload::Init(init)) = first.and_then(|message| message.payload) else {
        return Err(Error::new(Code::Config, "Session not initialized").into());
    };
    let pipeline = core.pipelines.get(&init.pipeline_id)?;
    let clock = Clock::start();
    let wire = wire(&init.serialization_format)?;
    let name = format!("stream_{}_{}", pipeline.id, unix_ms(SystemTime::now()));
    line.send(Sent::Notice(Notice::Ready(name.clone()))).await?;
    let progress = Arc::new(Progress { name, items: AtomicU64::new(0), bytes: AtomicU64::new(0) });
    let payloads = payloads(messages, Arc::clone(&call.held), line.clone(), progress);
    let mut items = items(core, call, payloads, wire, trouble, Arc::new(OnceLock::new()));
    let (session, inside) = match session_of(metadata)? {
        Some(session) => (Some(session), None),
        None => {
            let first = items.next().await;
            let inside = first.as_ref().and_then(|item| item.as_ref().ok()).and_then(codec::session_of);
            items = stream::iter(first).chain(items).boxed();
            (inside.clone(), inside)
        }
    };
    let _used = enter(core, &pipeline, session.as_ref());
    set(Writing { wire, session: inside });
    let items = items.map(move |item| item.map(|packet| audio_in_json(packet, wire))).boxed();
    let done = through(call, metadata, &pipeline, session.as_ref(), items, line).await;
    pipeline.ran(clock.elapsed(), done.is_ok());
    Ok(done?)
}

struct Progress {
    name: String,
    items: AtomicU64,
    bytes: AtomicU64,
}

/// What the client sends after `init`. Its controls are answered in their turn: `CLOSE` ends the items, the others tell how far it is.
fn payloads(
    messages: Streaming<v0::StreamPipelineRequest>,
    held: Arc<super::call::Held>,
    line: Pipe<End>,
    progress: Arc<Progress>,
) -> BoxStream<'static, Result<Bytes, Status>> {
    use v0::stream_control::ControlType;
    use v0::stream_pipeline_request::Payload;
    let state = Some((messages, held, line, progress));
    stream::unfold(state, |state| async move {
        let (mut messages, held, line, progress) = state?;
        loop {
            held.next_message();
            match messages.message().await {
                Err(status) => return Some((Err(status), None)),
                Ok(None) => return None,
                Ok(Some(message)) => match message.payload {
                    Some(Payload::Data(bytes)) => {
                        progress.items.fetch_add(1, Ordering::Relaxed);
                        progress.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                        return Some((Ok(bytes), Some((messages, held, line, progress))));
                    }
                    Some(Payload::Control(control)) if control.r#type == i32::from(ControlType::Close) => return None,
                    Some(Payload::Control(_)) => {
                        let (items, bytes) = (progress.items.load(Ordering::Relaxed), progress.bytes.load(Ordering::Relaxed));
                        let status = Notice::Status { name: progress.name.clone(), items, bytes };
                        // Nobody listens any more: the items end here too.
                        line.send(Sent::Notice(status)).await.ok()?;
                    }
                    Some(Payload::Init(_)) | None => {}
                },
            }
        }
    })
    .boxed()
}

/// Runs all nodes at once, each on what the one before puts out. A failure travels down the line behind what was put out before it; when the
/// last node has ended, the others work for nobody.
async fn through(
    call: &Call,
    metadata: &MetadataMap,
    pipeline: &Pipeline,
    session: Option<&SessionId>,
    items: BoxStream<'static, Result<Packet>>,
    line: &Pipe<End>,
) -> Result<()> {
    let mut source = ItemSource::new(items, call.cancel.clone());
    let mut sources = vec![source.clone()];
    let failure = Mutex::new(None);
    let mut before: Option<Pipe<End>> = None;
    let mut stages = Vec::new();
    let Some((last, first)) = pipeline.stages.split_last() else {
        let done = pass(&source, line).await;
        source.close().await;
        return done;
    };
    let start = |stage: &'_ Stage, input: ItemSource, sink: ItemSink| {
        let info = call.info(&stage.node_type, stage.config.clone(), metadata, session.cloned());
        let (node_type, handler) = (stage.node_type.clone(), Arc::clone(&stage.entry.handler));
        async move { guarded(&node_type, || handler.stream(info, input, sink)).await }
    };
    for stage in first {
        let after = Pipe::new(LINE_BYTES);
        let work = start(stage, source.clone(), ItemSink::new(after.clone(), call.cancel.clone()));
        let (taken, put, failure) = (before.replace(after.clone()), after.clone(), &failure);
        stages.push(async move {
            let done = work.await;
            taken.inspect(Pipe::close);
            match done {
                Ok(()) => put.finish(End::Done),
                // The node after this one has what it wants.
                Err(error) if error.code() == Code::Aborted && put.is_closed() => {}
                Err(error) => {
                    failure.lock().get_or_insert_with(|| error.clone());
                    put.finish(End::Failed(error));
                }
            }
        });
        source = ItemSource::new(received(after), call.cancel.clone());
        sources.push(source.clone());
    }
    let mut last = pin!(start(last, source, ItemSink::new(line.clone(), call.cancel.clone())));
    let done = tokio::select! {
        biased;
        done = &mut last => done,
        _ = join_all(stages) => last.await,
    };
    for source in sources {
        source.close().await;
    }
    match failure.into_inner() {
        Some(error) => Err(error),
        None => done,
    }
}

/// A pipeline of nothing but the stock client's ends.
async fn pass(source: &ItemSource, line: &Pipe<End>) -> Result<()> {
    while let Some(packet) = source.next().await? {
        line.send(Sent::Packet(packet)).await?;
    }
    Ok(())
}

/// The packets of a line between two nodes.
fn received(line: Pipe<End>) -> BoxStream<'static, Result<Packet>> {
    stream::poll_fn(move |cx| {
        line.poll_receive(cx).map(|sent| match sent? {
            Ok(Sent::Packet(packet)) => Some(Ok(packet)),
            Err(End::Failed(error)) => Some(Err(error)),
            // Nodes put out packets only.
            Ok(Sent::Notice(_)) | Err(End::Done | End::Status(_)) => None,
        })
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Format, Kind};

    fn json(text: &str) -> Packet {
        Packet::new(Format::Plain(Kind::Json), text.to_owned())
    }

    #[test]
    fn json_audio_is_audio_as_on_the_stock_server() {
        let of =
            |text: &str| spoken(&json(text)).map(|packet| (packet.format.clone(), packet.bytes.chunks(4).map(<[u8]>::to_vec).collect::<Vec<_>>()));
        let bytes = |samples: &[f32]| samples.iter().map(|sample| sample.to_le_bytes().to_vec()).collect::<Vec<_>>();
        let mono = Format::Audio { sample_rate: 16_000.0, channels: 1 };
        assert_eq!(of("[[0.5, 1], 16000]"), Some((mono.clone(), bytes(&[0.5, 1.0]))));
        assert_eq!(of("{\"sample_rate\": 16000, \"audio_data\": [0.25]}"), Some((mono, bytes(&[0.25]))));
        let stereo = Format::Audio { sample_rate: 8_000.0, channels: 2 };
        assert_eq!(of("[[[1, 2], [3, 4]], 8000]"), Some((stereo, bytes(&[1.0, 3.0, 2.0, 4.0]))));
        for other in ["[1, 2]", "[[], 1]", "[[1], 0]", "[[1], 2, 3]", "{\"audio_data\": [1]}", "[[\"x\"], 8000]", "[[[1], [2, 3]], 8000]", "null"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
