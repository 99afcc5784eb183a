//! What the host offers to a guest: the imports, and the state behind them.
//!
//! Problem: imports are the only way out of the sandbox, so each must be granted, checked and accounted for. Answer: every import is a row
//! of a table ([`Import`]) with its signature and its grant; a guest gets only rows that its node was granted, and all rows share one
//! [`HostState`] per instance. `link.rs` is the door to WasmEdge, `rm.rs` the project's own imports, `wasi/` WASI preview 1.
//! It does not run guests: that is `instance.rs`.

pub mod link;
mod rm;
pub mod wasi;
mod wasi_imports;

use std::sync::Arc;
use std::time::Instant;

use crate::data::{Bytes, FORMAT_KEYS, Format, Kind, Map, Packet, SessionId, Value};
use crate::engine::config::NodeConfig;
use crate::engine::fault;
use crate::engine::module::{Declared, Extern, Signature};
use crate::engine::sys::Memory;
use crate::error::{Code, Error, Result, Trap};
use wasmparser::ValType;

/// Functions of the application that a guest may call through `rm.call_host`.
pub trait HostFunctions: Send + Sync {
    /// Whether there is a function of this name.
    fn has(&self, name: &str) -> bool;

    /// Calls it and blocks until it answered. Implementations look at [`HostCall::must_stop`] at least every few milliseconds while they
    /// wait, and return [`HostFailure::Stopped`] when it says so.
    fn call(&self, call: &HostCall<'_>) -> std::result::Result<Vec<u8>, HostFailure>;
}

/// One call of an application's function.
pub struct HostCall<'a> {
    /// Name that the guest gave.
    pub name: &'a str,
    /// Its argument.
    pub data: &'a [u8],
    /// Session of the guest.
    pub session: &'a SessionId,
}

impl HostCall<'_> {
    /// Whether the guest's call is out of time or cancelled.
    pub fn must_stop(&self) -> bool {
        fault::stop_requested().is_some() || self.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// When the guest's call is out of time.
    pub fn deadline(&self) -> Option<Instant> {
        fault::current_deadline()
    }
}

/// Why an application's function gave no answer.
#[derive(Debug)]
pub enum HostFailure {
    /// It failed; the guest reads the message through `rm.last_error`.
    Failed(Error),
    /// The guest's call is out of time or cancelled.
    Stopped,
}

/// How an import ends when it does not return to the guest: the error of the guest's call.
pub type Stop = Error;

/// An import's body: the instance's state, the guest's memory and the raw arguments; returns the raw result.
pub type Body = fn(&mut HostState, Memory, &[u64]) -> Result<u64, Stop>;

/// One row of the table of imports.
#[derive(Clone, Copy)]
pub struct Import {
    /// Import module, such as `rm`.
    pub module: &'static str,
    /// Name in it.
    pub name: &'static str,
    /// Parameter types.
    pub params: &'static [ValType],
    /// Result type, if any.
    pub result: Option<ValType>,
    /// What it does.
    pub body: Body,
    /// Position in WASI's own table; only for its rows.
    pub wasi: usize,
}

/// The import modules of the contract; a guest that imports from another is refused.
const WASI: &str = "wasi_snapshot_preview1";

/// Finds what `declared` imports among what the node was granted, or says which import was not.
pub fn resolve(declared: &Declared, config: &NodeConfig) -> Result<Vec<Import>> {
    declared.imports.iter().map(|import| resolve_one(import, config)).collect()
}

fn resolve_one(import: &Extern, config: &NodeConfig) -> Result<Import> {
    let denied = |why: &str| Error::new(Code::ImportDenied, format!("the module imports {}.{} ({}), {why}", import.module, import.name, import.kind));
    let Some(wanted) = &import.signature else {
        return Err(denied("and only functions can be given to a module"));
    };
    let found = match import.module.as_str() {
        "rm" => rm::IMPORTS.iter().find(|row| row.name == import.name).copied(),
        WASI => wasi_imports::find(&import.name),
        "env" => return Err(denied("which needs a remote: use a HybridWasmNode")),
        _ => None,
    };
    let Some(found) = found else {
        return Err(denied("which nothing provides"));
    };
    if found.name == "call_host" && found.module == "rm" && config.host_functions.is_none() {
        return Err(denied("which needs the option hostFunctions"));
    }
    let offered = Signature { params: found.params.to_vec(), results: found.result.into_iter().collect() };
    if offered != *wanted {
        let message = format!("the module imports {}.{} as {wanted}, it is {offered}", import.module, import.name);
        return Err(Error::new(Code::Abi, message));
    }
    Ok(found)
}

/// What a node must be granted for an import to work; `None` when nothing provides it.
pub fn grant_of(import: &Extern) -> Option<&'static str> {
    match (import.module.as_str(), import.name.as_str()) {
        ("rm", "call_host") => Some("hostFunctions"),
        ("rm", name) => rm::IMPORTS.iter().any(|row| row.name == name).then_some("none"),
        ("env", "call_remote_service" | "stream_to_remote" | "get_remote_session") => Some("a remote (HybridWasmNode)"),
        (WASI, "clock_time_get" | "clock_res_get") => Some("wasi.clock"),
        (WASI, "random_get") => Some("wasi.random"),
        (WASI, "path_open") => Some("wasi.preopens"),
        (WASI, name) => wasi_imports::find(name).map(|_| "none"),
        _ => None,
    }
}

/// What an import that fills a buffer answered, kept when the buffer was too small.
struct Kept {
    import: &'static str,
    name: Vec<u8>,
    data: Vec<u8>,
    answer: Vec<u8>,
}

/// A call of an import that fills a buffer.
struct Asked<'a> {
    import: &'static str,
    name: &'a [u8],
    data: &'a [u8],
    out: u32,
    out_len: u32,
}

impl Asked<'_> {
    /// A call that takes nothing but the buffer: its address and that of its length are the arguments.
    fn plain(import: &'static str, args: &[u64]) -> Self {
        Self { import, name: &[], data: &[], out: rm::arg(args, 0), out_len: rm::arg(args, 1) }
    }
}

/// The input that the guest is working on, as far as imports may tell about it.
#[derive(Clone)]
pub struct InputHeader {
    format: Format,
    sequence: u64,
    timestamp_ms: Option<f64>,
    metadata: Option<Arc<Map<String, Value>>>,
}

/// The state behind one instance's imports.
pub struct HostState {
    config: Arc<NodeConfig>,
    session: SessionId,
    input: InputHeader,
    outputs: Vec<Packet>,
    output_bytes: usize,
    fail_text: Option<String>,
    last_error: String,
    kept: Vec<Kept>,
    wasi: wasi::Wasi,
    log_line: Vec<u8>,
    /// Why an import ended the call.
    stopped: Option<Error>,
    /// The last failure of an application's function during this item.
    host_failure: Option<Error>,
}

/// An output costs its bytes and this much: a flood of empty outputs must end, too.
const OUTPUT_OVERHEAD_BYTES: usize = 64;
/// Bytes of a guest's message (`rm.fail`, a log line) that are kept.
pub const MAX_TEXT_BYTES: u32 = 16 << 10;

impl HostState {
    /// A state for a new instance.
    pub fn new(config: Arc<NodeConfig>) -> Result<Self> {
        let wasi = wasi::Wasi::new(&config.wasi)
            .map_err(|error| Error::config("wasi.preopens", format!("a folder cannot be opened: {error}")).because(error))?;
        Ok(Self {
            config,
            session: SessionId::new("pool")?,
            input: InputHeader { format: Format::Plain(Kind::Binary), sequence: 0, timestamp_ms: None, metadata: None },
            outputs: Vec::new(),
            output_bytes: 0,
            fail_text: None,
            last_error: String::new(),
            kept: Vec::new(),
            wasi,
            log_line: Vec::new(),
            stopped: None,
            host_failure: None,
        })
    }

    /// Takes the guest's WASI state over from the instance that it leaves.
    pub fn adopt(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.wasi, &mut other.wasi);
        self.session = other.session.clone();
    }

    /// The session that the instance works for.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Format of the input that the guest works on or worked on last.
    pub fn input_format(&self) -> &Format {
        &self.input.format
    }

    /// Whether an output of this size would still be within the limit.
    pub fn fits(&mut self, bytes: usize) -> Result<(), Stop> {
        let before = self.output_bytes;
        let fits = self.account(bytes);
        self.output_bytes = before;
        fits
    }

    /// Says for which session the instance works from now on.
    pub fn set_session(&mut self, session: &SessionId) {
        self.session = session.clone();
    }

    /// Gets ready for one input; a flush has the number of inputs and no format of its own.
    pub fn begin_item(&mut self, packet: &Packet) {
        self.input = InputHeader {
            format: packet.format.clone(),
            sequence: packet.sequence,
            timestamp_ms: packet.timestamp_ms,
            metadata: packet.metadata.clone(),
        };
        self.outputs.clear();
        self.output_bytes = 0;
        self.fail_text = None;
        self.kept.clear();
        self.stopped = None;
        self.host_failure = None;
    }

    /// Logs what the guest printed without ending the line: the item is over.
    pub fn end_item(&mut self) {
        if !self.log_line.is_empty() {
            let text = one_line(&String::from_utf8_lossy(&std::mem::take(&mut self.log_line)));
            tracing::info!(target: "guest", module = self.config.name, session = self.session.as_str(), "{text}");
        }
    }

    /// The outputs of the item.
    pub fn take_outputs(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.outputs)
    }

    /// The guest's own words for its failure.
    pub fn take_fail_text(&mut self) -> Option<String> {
        self.fail_text.take()
    }

    /// Why an import ended the call.
    pub fn take_stopped(&mut self) -> Option<Error> {
        self.stopped.take()
    }

    /// The last failure of an application's function during this item.
    pub fn take_host_failure(&mut self) -> Option<Error> {
        self.host_failure.take()
    }

    /// Counts bytes of output against the limit before they are copied.
    pub fn account(&mut self, bytes: usize) -> Result<(), Stop> {
        let total = self.output_bytes.saturating_add(bytes).saturating_add(OUTPUT_OVERHEAD_BYTES);
        if total > self.config.max_output_bytes.saturating_add(OUTPUT_OVERHEAD_BYTES) {
            let message = format!("the outputs of one item exceed maxOutputBytes ({})", self.config.max_output_bytes);
            return Err(Error::new(Code::OutputTooLarge, message));
        }
        self.output_bytes = total;
        Ok(())
    }

    /// Adds an output: `meta` is what the guest said about it beyond the input that it answers.
    pub fn push_output(&mut self, kind: Kind, bytes: Vec<u8>, meta: Option<Map<String, Value>>) -> Result<(), Stop> {
        let empty = Map::new();
        let format = Format::read(kind, meta.as_ref().unwrap_or(&empty), &self.input.format)?;
        if kind == Kind::Audio && !bytes.len().is_multiple_of(4) {
            return Err(Error::new(Code::Abi, format!("the guest's audio has {} bytes, not a multiple of 4", bytes.len())));
        }
        let own = meta.map(|mut meta| {
            for key in FORMAT_KEYS {
                meta.remove(key);
            }
            meta
        });
        let metadata = match (own, &self.input.metadata) {
            (Some(own), Some(carried)) if !own.is_empty() => {
                let mut merged = (**carried).clone();
                merged.extend(own);
                Some(Arc::new(merged))
            }
            (Some(own), None) if !own.is_empty() => Some(Arc::new(own)),
            (_, carried) => carried.clone(),
        };
        self.outputs.push(Packet {
            bytes: Bytes::from(bytes),
            format,
            sequence: self.input.sequence,
            timestamp_ms: self.input.timestamp_ms,
            metadata,
        });
        Ok(())
    }

    /// The answer of a former call with a buffer that was too small, if this is its second call: of the same import and name, with the
    /// same data or, as the answer is there already, with none.
    fn take_kept(&mut self, import: &'static str, name: &[u8], data: &[u8]) -> Option<Vec<u8>> {
        let position = self.kept.iter().position(|kept| kept.import == import && kept.name == name)?;
        let kept = self.kept.swap_remove(position);
        (data.is_empty() || data == kept.data).then_some(kept.answer)
    }

    /// Hands `answer` to the guest by the two-call rule: 0 when it fits; 1 with the size needed when it does not, and the answer is kept.
    fn fill(&mut self, asked: &Asked<'_>, memory: Memory, answer: Vec<u8>) -> Result<u64, Stop> {
        let capacity = read_u32(memory, asked.out_len)?;
        #[expect(clippy::cast_possible_truncation, reason = "answers are bounded by maxOutputBytes, below 4 GB")]
        let needed = answer.len() as u32;
        write(memory, asked.out_len, &needed.to_le_bytes())?;
        if needed <= capacity {
            write(memory, asked.out, &answer)?;
            return Ok(0);
        }
        self.kept.push(Kept { import: asked.import, name: asked.name.to_vec(), data: asked.data.to_vec(), answer });
        Ok(1)
    }

    /// A negative status with its text for `rm.last_error`.
    fn refuse(&mut self, status: i32, text: impl Into<String>) -> u64 {
        self.last_error = text.into();
        status_bits(status)
    }
}

/// The error of a call whose time is over by the clock, for imports that noticed it while they waited, perhaps before the watchdog did.
fn out_of_time(waiting_for: &str) -> Option<Stop> {
    let over = fault::current_deadline().is_some_and(|deadline| Instant::now() >= deadline);
    over.then(|| Error::new(Code::WasmTimeout, format!("the guest ran past its time, waiting for {waiting_for}")))
}

/// A guest's text on one line of the log, where a line break could pass for a line of ours. A last line break goes.
fn one_line(text: &str) -> String {
    text.trim_end_matches(['\n', '\r']).chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// An `i32` result as raw bits.
fn status_bits(status: i32) -> u64 {
    u64::from(status.cast_unsigned())
}

fn bad_pointer(what: &str, at: u32, len: u32) -> Stop {
    Error::trap(Trap::BadPointer, format!("the guest gave {what} outside its memory: {len} bytes at {at}"))
}

fn read(memory: Memory, at: u32, len: u32) -> Result<Vec<u8>, Stop> {
    memory.slice(at, len).map(<[u8]>::to_vec).ok_or_else(|| bad_pointer("a range", at, len))
}

fn read_u32(memory: Memory, at: u32) -> Result<u32, Stop> {
    let bytes = memory.slice(at, 4).ok_or_else(|| bad_pointer("a pointer", at, 4))?;
    bytes.try_into().map(u32::from_le_bytes).map_err(|_| bad_pointer("a pointer", at, 4))
}

fn write(memory: Memory, at: u32, data: &[u8]) -> Result<(), Stop> {
    #[expect(clippy::cast_possible_truncation, reason = "only for the message")]
    if memory.write(at, data) { Ok(()) } else { Err(bad_pointer("a buffer", at, data.len() as u32)) }
}
