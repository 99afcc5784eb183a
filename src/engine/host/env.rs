//! The imports that lead to remote services: RemoteMedia's three in `env`, and `rm.remote_format`.
//!
//! Problem: a guest hands over bytes and a remote wants packets; a guest may ask for what it was not granted, lie about its pointers, and
//! must neither wait longer than its item may take nor keep other guests from a processor meanwhile. Answer: each import checks first,
//! makes a packet by a rule that a guest can know in advance, asks the node's `RemoteServices` off the processor, and makes one status of
//! the ABI from whatever happened, while the original error waits for the guest's own verdict. Which services there are is not known here.

use std::sync::Arc;

use wasmparser::ValType;
use wasmparser::ValType::I32;

use super::fill::{Asked, bad_pointer, check_buffer, read, read_text};
use super::rm::arg;
use super::{Body, HostState, Import, Stop, out_of_time, status};
use crate::data::{Bytes, FORMAT_KEYS, Format, Kind, Map, Packet, Trace, Value};
use crate::engine::bridge::{Bridge, Patience, RemoteCall, RemoteFailure};
use crate::engine::sys::Memory;
use crate::error::{Code, Error, Result};

const fn row(module: &'static str, name: &'static str, params: &'static [ValType], body: Body) -> Import {
    Import { module, name, params, result: Some(I32), body, wasi: 0 }
}

/// All of them; a node needs a remote for any.
pub const IMPORTS: &[Import] = &[
    row("env", "call_remote_service", &[I32; 6], call_remote_service),
    row("env", "stream_to_remote", &[I32; 4], stream_to_remote),
    row("env", "get_remote_session", &[I32; 4], get_remote_session),
    row("rm", "remote_format", &[I32; 3], remote_format),
];

/// What a guest said about the data of its next call.
pub struct Said {
    format: Format,
    metadata: Option<Map<String, Value>>,
}

fn call_remote_service(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let [name_at, name_len, at, len, out, out_len] = [0, 1, 2, 3, 4, 5].map(|index| arg(args, index));
    let name = read_text(memory, name_at, name_len)?;
    let data = Bytes::from(read(memory, at, len)?);
    check_buffer(memory, out, out_len)?;
    let asked = Asked { import: "call_remote_service", name: &name, data: &data, out, out_len };
    if let Some(answer) = state.take_kept(asked.import, &name, &data) {
        return state.fill(&asked, memory, answer);
    }
    let service = String::from_utf8_lossy(&name).into_owned();
    let what = format!("service '{service}'");
    let (bridge, packet) = match prepare(state, data.clone()) {
        Ok(prepared) => prepared,
        Err(text) => return Ok(state.refuse(status::FAILED, format!("{what}: {text}"))),
    };
    let call = RemoteCall { service: &service, packet, session: &state.session, patience: Patience::of_guest() };
    let answer = bridge.ask(|remote| remote.call(&call)).and_then(|answer| bounded(state, &what, answer.bytes.into()));
    match answer {
        Ok(answer) => state.fill(&asked, memory, answer),
        Err(failure) => fail(state, &what, failure),
    }
}

fn stream_to_remote(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let [name_at, name_len, at, len] = [0, 1, 2, 3].map(|index| arg(args, index));
    let name = read_text(memory, name_at, name_len)?;
    let data = Bytes::from(read(memory, at, len)?);
    let service = String::from_utf8_lossy(&name).into_owned();
    let what = format!("service '{service}'");
    let (bridge, packet) = match prepare(state, data) {
        Ok(prepared) => prepared,
        Err(text) => return Ok(state.refuse(status::FAILED, format!("{what}: {text}"))),
    };
    let call = RemoteCall { service: &service, packet, session: &state.session, patience: Patience::of_guest() };
    match bridge.ask(|remote| remote.send(&call)) {
        Ok(()) => {
            bridge.note_stream();
            Ok(0)
        }
        Err(failure) => fail(state, &what, failure),
    }
}

/// A guest learns of its own session only, whatever it asks for.
fn get_remote_session(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let [id_at, id_len, out, out_len] = [0, 1, 2, 3].map(|index| arg(args, index));
    let id = read_text(memory, id_at, id_len)?;
    check_buffer(memory, out, out_len)?;
    let asked = Asked { import: "get_remote_session", name: &id, data: &[], out, out_len };
    if let Some(answer) = state.take_kept(asked.import, &id, &[]) {
        return state.fill(&asked, memory, answer);
    }
    let Some(bridge) = state.bridge.clone() else {
        return Ok(state.refuse(status::FAILED, NO_SESSION));
    };
    if !id.is_empty() && id != state.session.as_str().as_bytes() {
        let text = format!("the remote session of '{}' is not for this session to know", String::from_utf8_lossy(&id));
        return Ok(state.refuse(status::NOT_ALLOWED, text));
    }
    let what = "the remote session";
    let answer = bridge.ask(|remote| remote.session(&state.session, &Patience::of_guest()));
    match answer.and_then(|answer| bounded(state, what, answer.into_bytes())) {
        Ok(answer) => state.fill(&asked, memory, answer),
        Err(failure) => fail(state, what, failure),
    }
}

fn bounded(state: &HostState, what: &str, answer: Vec<u8>) -> Result<Vec<u8>, RemoteFailure> {
    let (got, most) = (answer.len(), state.config.max_output_bytes);
    if got <= most {
        return Ok(answer);
    }
    let message = format!("{what} answered {got} bytes, more than maxOutputBytes ({most})");
    Err(RemoteFailure::Failed(Error::new(Code::OutputTooLarge, message)))
}

fn remote_format(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let [number, meta_at, meta_len] = [0, 1, 2].map(|index| arg(args, index));
    let meta = memory.slice(meta_at, meta_len).ok_or_else(|| bad_pointer("metadata", meta_at, meta_len))?;
    state.said = None;
    match said(number.cast_signed(), meta, &state.input.format) {
        Ok(said) => {
            state.said = Some(said);
            Ok(0)
        }
        Err(problem) => Ok(state.refuse(status::FAILED, format!("rm.remote_format: {problem}"))),
    }
}

fn said(number: i32, meta: &[u8], input: &Format) -> Result<Said, String> {
    let kind = Kind::from_number(number).ok_or_else(|| format!("there is no payload kind {number}"))?;
    let mut meta = match meta {
        [] => Map::new(),
        text => serde_json::from_slice::<Map<String, Value>>(text).map_err(|error| format!("the metadata is no JSON object: {error}"))?,
    };
    let format = Format::read(kind, &meta, input).map_err(|error| error.message().to_owned())?;
    for key in FORMAT_KEYS {
        meta.remove(key);
    }
    Ok(Said { format, metadata: (!meta.is_empty()).then_some(meta) })
}

const NO_SESSION: &str = "there is no session yet: a remote can be used from 'initialize' on";

/// The bridge, and the packet that it is to carry.
fn prepare(state: &mut HostState, data: Bytes) -> Result<(Arc<Bridge>, Packet), String> {
    let bridge = state.bridge.clone().ok_or(NO_SESSION)?;
    let said = state.said.take();
    let (format, own) = match said {
        Some(Said { format, metadata }) => {
            check(&format, &data)?;
            (format, metadata)
        }
        None => (guess(&state.input.format, state.input.len, &data), None),
    };
    let metadata = state.input.carry(own);
    let (sequence, timestamp_ms) = (state.input.sequence, state.input.timestamp_ms);
    let trace = state.input.trace.map(|context| Arc::new(context) as Trace);
    Ok((bridge, Packet { bytes: data, format, sequence, timestamp_ms, metadata, route: None, trace }))
}

fn check(format: &Format, data: &[u8]) -> Result<(), String> {
    let problem = match format {
        Format::Audio { channels, .. } if !whole_frames(data.len(), *channels) => {
            format!("{} bytes are no whole {channels}-channel frames", data.len())
        }
        Format::Plain(Kind::Text) if std::str::from_utf8(data).is_err() => "a text payload must be UTF-8".to_owned(),
        Format::Plain(Kind::Json) if !is_json(data) => "the payload is no JSON".to_owned(),
        _ => return Ok(()),
    };
    Err(problem)
}

/// The rule for data that the guest said nothing about; `wasm-modules/README.md` tells it to guests. An object or a list comes first, for
/// no real samples or pixels read as one, while the length of a request may well be that of some samples.
fn guess(input: &Format, input_len: usize, data: &[u8]) -> Format {
    let first = data.trim_ascii_start().first();
    if matches!(first, Some(b'{' | b'[')) && is_json(data) {
        return Format::Plain(Kind::Json);
    }
    match input {
        Format::Audio { channels, .. } if !data.is_empty() && whole_frames(data.len(), *channels) => input.clone(),
        Format::Tensor { .. } | Format::Video { .. } if !data.is_empty() && data.len() == input_len => input.clone(),
        _ if is_json(data) => Format::Plain(Kind::Json),
        Format::Plain(Kind::Text) if std::str::from_utf8(data).is_ok() => input.clone(),
        _ => Format::Plain(Kind::Binary),
    }
}

fn whole_frames(len: usize, channels: u32) -> bool {
    (channels as usize).checked_mul(size_of::<f32>()).is_some_and(|frame| len.is_multiple_of(frame))
}

fn is_json(data: &[u8]) -> bool {
    std::str::from_utf8(data).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
}

/// The status of a failure. The error itself is kept: if the guest fails for it, the application learns what it was.
fn fail(state: &mut HostState, what: &str, failure: RemoteFailure) -> Result<u64, Stop> {
    let status = match &failure {
        RemoteFailure::NotAllowed(_) => status::NOT_ALLOWED,
        RemoteFailure::UnknownName(_) => status::UNKNOWN_NAME,
        RemoteFailure::Unavailable(_) => status::UNAVAILABLE,
        RemoteFailure::Deadline(_) | RemoteFailure::Stopped => status::DEADLINE,
        RemoteFailure::Status { grpc_code: code @ 1..=16, .. } => -(100 + code),
        RemoteFailure::Status { .. } | RemoteFailure::Failed(_) => status::FAILED,
    };
    match failure.error() {
        Some(error) => {
            let bits = state.refuse(status, error.message());
            state.host_failure = Some(error);
            Ok(bits)
        }
        None => match out_of_time(what) {
            Some(error) => Err(error),
            None => Ok(state.refuse(status, format!("{what}: the call was stopped"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIO: Format = Format::Audio { sample_rate: 48_000.0, channels: 2 };

    #[test]
    fn bytes_become_what_the_input_is_where_they_can() {
        let tensor = Format::Tensor { dtype: "float32".into(), shape: vec![2, 2] };
        let video = Format::Video { width: 2, height: 1, format: "rgb24".into() };
        let [binary, text, json] = [Kind::Binary, Kind::Text, Kind::Json].map(Format::Plain);
        let cases: [(&Format, &[u8], &Format); 17] = [
            (&AUDIO, &[0; 16], &AUDIO),
            (&AUDIO, &[0; 12], &binary),
            (&AUDIO, b"", &binary),
            (&AUDIO, br#"{"a": 1}"#, &json),
            (&AUDIO, b" [1,2,3] ", &json),
            (&AUDIO, b"{not json at all", &AUDIO),
            (&AUDIO, b"true", &json),
            (&tensor, &[0; 16], &tensor),
            (&tensor, &[0; 12], &binary),
            (&video, &[0; 16], &video),
            (&binary, &[0; 16], &binary),
            (&binary, b"12", &json),
            (&binary, b"twelve", &binary),
            (&text, b"twelve", &text),
            (&text, &[0xff], &binary),
            (&text, b"[12]", &json),
            (&json, b"twelve", &binary),
        ];
        for (input, data, wanted) in cases {
            assert_eq!(guess(input, 16, data), *wanted, "{} bytes after {input:?}", data.len());
        }
    }

    #[test]
    fn a_guest_can_say_what_its_bytes_are() {
        let told = said(3, br#"{"sampleRate":16000,"channels":1,"part":7}"#, &AUDIO).unwrap();
        assert_eq!(told.format, Format::Audio { sample_rate: 16_000.0, channels: 1 });
        assert_eq!(Value::Object(told.metadata.unwrap()), serde_json::json!({ "part": 7 }));
        assert_eq!(said(3, b"", &AUDIO).unwrap().format, AUDIO, "what it leaves out is as in the input");
        for (number, meta, part) in [(9, "", "kind 9"), (3, "[]", "JSON object"), (4, "{}", "dtype"), (3, r#"{"channels":0}"#, "channels")] {
            assert!(said(number, meta.as_bytes(), &AUDIO).err().unwrap().contains(part), "{part}");
        }
        assert!(check(&AUDIO, &[0; 12]).is_err() && check(&AUDIO, &[0; 8]).is_ok());
        assert!(check(&Format::Plain(Kind::Json), b"{").is_err() && check(&Format::Plain(Kind::Text), &[0xff]).is_err());
    }
}
