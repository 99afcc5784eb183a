//! The `rm` imports of the guest ABI.
//!
//! Each function checks what the guest passes, does one thing and answers with the ABI's status numbers; the ABI's page is
//! `wasm-modules/README.md`. `remote_format` is in `env.rs`. It grants nothing: `mod.rs` decides which rows a guest gets.

use std::sync::LazyLock;
use std::time::Instant;

use wasmparser::ValType;
use wasmparser::ValType::{I32, I64};

use super::fill::{Asked, bad_pointer, read, read_text};
use super::{Body, HostCall, HostFailure, HostState, Import, MAX_TEXT_BYTES, Stop, out_of_time, status};
use crate::data::{Kind, Map, Value};
use crate::engine::sys::Memory;
use crate::engine::worker;
use crate::error::{Code, Error, Result};

const fn row(name: &'static str, params: &'static [ValType], result: Option<ValType>, body: Body) -> Import {
    Import { module: "rm", name, params, result, body, wasi: 0 }
}

/// All of them.
pub const IMPORTS: &[Import] = &[
    row("emit", &[I32; 5], Some(I32), emit),
    row("input_meta", &[I32; 2], Some(I32), input_meta),
    row("config", &[I32; 2], Some(I32), config),
    row("log", &[I32; 3], None, log),
    row("fail", &[I32; 2], None, fail),
    row("call_host", &[I32; 6], Some(I32), call_host),
    row("last_error", &[I32; 2], Some(I32), last_error),
    row("now_ms", &[], Some(I64), now_ms),
];

/// The argument at `index` as an unsigned 32-bit value.
pub(super) fn arg(args: &[u64], index: usize) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "an i32 parameter: the lower half is the value")]
    args.get(index).map_or(0, |bits| *bits as u32)
}

fn emit(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let [number, at, len, meta_at, meta_len] = [0, 1, 2, 3, 4].map(|index| arg(args, index));
    let Some(kind) = Kind::from_number(number.cast_signed()) else {
        return Ok(state.refuse(status::FAILED, format!("rm.emit: there is no payload kind {number}")));
    };
    // The limit is checked before the bytes are copied.
    let data = memory.slice(at, len).ok_or_else(|| bad_pointer("an output", at, len))?;
    state.account(data.len() + meta_len as usize)?;
    let meta = match memory.slice(meta_at, meta_len).ok_or_else(|| bad_pointer("metadata", meta_at, meta_len))? {
        [] => None,
        text => match serde_json::from_slice::<Map<String, Value>>(text) {
            Ok(meta) => Some(meta),
            Err(error) => return Ok(state.refuse(status::FAILED, format!("rm.emit: the metadata is no JSON object: {error}"))),
        },
    };
    if matches!(kind, Kind::Text | Kind::Json) && std::str::from_utf8(data).is_err() {
        return Ok(state.refuse(status::FAILED, format!("rm.emit: a {} payload must be UTF-8", kind.name())));
    }
    if kind == Kind::Json
        && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(data)
    {
        return Ok(state.refuse(status::FAILED, format!("rm.emit: the payload is no JSON: {error}")));
    }
    match state.push_output(kind, data.to_vec(), meta) {
        Ok(()) => Ok(0),
        Err(error) => Ok(state.refuse(status::FAILED, format!("rm.emit: {}", error.message()))),
    }
}

fn input_meta(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let answer = state.take_kept("input_meta", &[], &[]).unwrap_or_else(|| {
        let mut meta = Map::new();
        meta.insert("kind".into(), state.input.format.kind().name().into());
        state.input.format.write(&mut meta);
        meta.insert("sessionId".into(), state.session.as_str().into());
        meta.insert("sequence".into(), state.input.sequence.into());
        if let Some(time) = state.input.timestamp_ms {
            meta.insert("timestampMs".into(), time.into());
        }
        let own = state.input.metadata.as_ref().map_or_else(Map::new, |own| (**own).clone());
        meta.insert("metadata".into(), Value::Object(own));
        Value::Object(meta).to_string().into_bytes()
    });
    state.fill(&Asked::plain("input_meta", args), memory, answer)
}

fn config(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let answer = state.take_kept("config", &[], &[]).unwrap_or_else(|| state.config.config_json.clone().into_bytes());
    state.fill(&Asked::plain("config", args), memory, answer)
}

fn log(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let [level, at, len] = [0, 1, 2].map(|index| arg(args, index));
    let bytes = memory.slice(at, len).ok_or_else(|| bad_pointer("a log line", at, len))?;
    let text = super::one_line(&clipped(bytes));
    let (module, session) = (state.config.name.as_str(), state.session.as_str());
    match level {
        0 => tracing::trace!(target: "guest", module, session, "{text}"),
        1 => tracing::debug!(target: "guest", module, session, "{text}"),
        2 => tracing::info!(target: "guest", module, session, "{text}"),
        3 => tracing::warn!(target: "guest", module, session, "{text}"),
        _ => tracing::error!(target: "guest", module, session, "{text}"),
    }
    Ok(0)
}

fn fail(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let (at, len) = (arg(args, 0), arg(args, 1));
    let bytes = memory.slice(at, len).ok_or_else(|| bad_pointer("a message", at, len))?;
    state.fail_text = Some(clipped(bytes));
    Ok(0)
}

fn call_host(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let [name_at, name_len, at, len, out, out_len] = [0, 1, 2, 3, 4, 5].map(|index| arg(args, index));
    let name = read_text(memory, name_at, name_len)?;
    let data = read(memory, at, len)?;
    let asked = Asked { import: "call_host", name: &name, data: &data, out, out_len };
    if let Some(answer) = state.take_kept(asked.import, &name, &data) {
        return state.fill(&asked, memory, answer);
    }
    let name = String::from_utf8_lossy(&name).into_owned();
    let Some(functions) = state.config.host_functions.clone().filter(|functions| functions.has(&name)) else {
        return Ok(state.refuse(status::UNKNOWN_NAME, format!("the application has no host function '{name}'")));
    };
    let call = HostCall { name: &name, data: &data, session: &state.session };
    // Waiting for the application must not keep other sessions from a processor.
    let answer = worker::blocking(|| functions.call(&call));
    match answer {
        Ok(answer) if answer.len() > state.config.max_output_bytes => {
            let message = format!("host function '{name}' answered {} bytes, more than maxOutputBytes", answer.len());
            let status = state.refuse(status::FAILED, message.as_str());
            state.host_failure = Some(Error::new(Code::HostFunction, message));
            Ok(status)
        }
        Ok(answer) => state.fill(&asked, memory, answer),
        Err(HostFailure::Failed(error)) => {
            let status = state.refuse(status::FAILED, error.message());
            state.host_failure = Some(error);
            Ok(status)
        }
        Err(HostFailure::Stopped) => match out_of_time(&format!("host function '{name}'")) {
            Some(error) => Err(error),
            None => Ok(state.refuse(status::DEADLINE, format!("host function '{name}': the call was stopped"))),
        },
    }
}

fn last_error(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let answer = state.take_kept("last_error", &[], &[]).unwrap_or_else(|| state.last_error.clone().into_bytes());
    state.fill(&Asked::plain("last_error", args), memory, answer)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of every import")]
fn now_ms(_state: &mut HostState, _memory: Memory, _args: &[u64]) -> Result<u64, Stop> {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    #[expect(clippy::cast_possible_truncation, reason = "584 million years of milliseconds fit")]
    Ok(START.elapsed().as_millis() as u64)
}

/// A guest's text, cut to a bearable length.
fn clipped(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT_BYTES as usize)]).into_owned()
}
