//! What the host offers to a guest: the imports, and the state behind them.
//!
//! Problem: imports are the only way out of the sandbox, so each must be granted, checked and accounted for. Answer: every import is a row
//! of a table ([`Import`]) with its signature and its grant; a guest gets only rows that its node was granted, and all rows share one
//! [`HostState`] per instance. `link.rs` is the door to WasmEdge, `rm.rs` the project's own imports, `env.rs` those that lead to remote
//! services, `wasi/` WASI preview 1. It does not run guests: that is `instance.rs`.

mod env;
mod fill;
pub mod link;
mod rm;
pub mod wasi;
mod wasi_imports;

use std::sync::Arc;
use std::time::Instant;

use crate::data::{Bytes, FORMAT_KEYS, Format, Kind, Map, Packet, SessionId, TraceContext, Value};
use crate::engine::bridge::Bridge;
use crate::engine::config::NodeConfig;
use crate::engine::fault;
use crate::engine::module::{Declared, Extern, Signature};
use crate::engine::sys::Memory;
use crate::error::{Code, Error, Result};
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
    let Some(found) = find(import) else {
        return Err(denied("which nothing provides"));
    };
    match grant_of(import) {
        Some(HOST_FUNCTIONS) if config.host_functions.is_none() => return Err(denied("which needs the option hostFunctions")),
        Some(REMOTE) if config.remote.is_none() => return Err(denied("which needs a remote: use a HybridWasmNode")),
        _ => {}
    }
    let offered = Signature { params: found.params.to_vec(), results: found.result.into_iter().collect() };
    if offered != *wanted {
        let message = format!("the module imports {}.{} as {wanted}, it is {offered}", import.module, import.name);
        return Err(Error::new(Code::Abi, message));
    }
    Ok(found)
}

fn find(import: &Extern) -> Option<Import> {
    match import.module.as_str() {
        WASI => wasi_imports::find(&import.name),
        module => rm::IMPORTS.iter().chain(env::IMPORTS).find(|row| row.module == module && row.name == import.name).copied(),
    }
}

/// Grants that a node may lack altogether.
const HOST_FUNCTIONS: &str = "hostFunctions";
const REMOTE: &str = "a remote (HybridWasmNode)";

/// What a node must be granted for an import to work; `None` when nothing provides it.
pub fn grant_of(import: &Extern) -> Option<&'static str> {
    let found = find(import)?;
    Some(match (found.module, found.name) {
        ("rm", "call_host") => HOST_FUNCTIONS,
        ("env", _) | ("rm", "remote_format") => REMOTE,
        (WASI, "clock_time_get" | "clock_res_get") => "wasi.clock",
        (WASI, "random_get") => "wasi.random",
        (WASI, "path_open") => "wasi.preopens",
        _ => "none",
    })
}

/// Statuses of imports, from the ABI; a gRPC status code is `-(100 + code)`.
mod status {
    pub const FAILED: i32 = -1;
    pub const NOT_ALLOWED: i32 = -2;
    pub const UNKNOWN_NAME: i32 = -3;
    pub const DEADLINE: i32 = -4;
    pub const UNAVAILABLE: i32 = -5;
}

/// The input that the guest is working on, as far as imports may tell about it.
#[derive(Clone)]
pub struct InputHeader {
    format: Format,
    /// Bytes of its payload.
    len: usize,
    sequence: u64,
    timestamp_ms: Option<f64>,
    metadata: Option<Arc<Map<String, Value>>>,
    /// Its place alone: what an idle guest's state holds must not keep the item's trace from ending.
    trace: Option<TraceContext>,
}

impl InputHeader {
    /// The input's metadata with the guest's `own` entries over it.
    fn carry(&self, own: Option<Map<String, Value>>) -> Option<Arc<Map<String, Value>>> {
        match (own.filter(|own| !own.is_empty()), &self.metadata) {
            (Some(own), Some(carried)) => {
                let mut merged = (**carried).clone();
                merged.extend(own);
                Some(Arc::new(merged))
            }
            (Some(own), None) => Some(Arc::new(own)),
            (None, carried) => carried.clone(),
        }
    }
}

/// The state behind one instance's imports.
pub struct HostState {
    config: Arc<NodeConfig>,
    session: SessionId,
    /// The session's way to remote services, if the node has a remote and the instance has a session.
    bridge: Option<Arc<Bridge>>,
    input: InputHeader,
    /// What the guest said about the data of its next remote call.
    said: Option<env::Said>,
    outputs: Vec<Packet>,
    output_bytes: usize,
    fail_text: Option<String>,
    last_error: String,
    kept: Vec<fill::Kept>,
    wasi: wasi::Wasi,
    log_line: Vec<u8>,
    /// Why an import ended the call.
    stopped: Option<Error>,
    /// The last failure of an application's function or a remote service during this item.
    host_failure: Option<Error>,
}

/// An output costs its bytes and this much: a flood of empty outputs must end, too.
pub const OUTPUT_OVERHEAD_BYTES: usize = 64;
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
            bridge: None,
            input: InputHeader { format: Format::Plain(Kind::Binary), len: 0, sequence: 0, timestamp_ms: None, metadata: None, trace: None },
            said: None,
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
        self.bridge = other.bridge.take();
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

    /// Says how the session reaches remote services.
    pub fn set_bridge(&mut self, bridge: Option<&Arc<Bridge>>) {
        self.bridge = bridge.cloned();
    }

    /// Gets ready for one input; a flush has the number of inputs and no format of its own.
    pub fn begin_item(&mut self, packet: &Packet) {
        self.input = InputHeader {
            format: packet.format.clone(),
            len: packet.bytes.len(),
            sequence: packet.sequence,
            timestamp_ms: packet.timestamp_ms,
            trace: packet.trace.as_ref().map(|trace| trace.context()),
            metadata: packet.metadata.clone(),
        };
        self.said = None;
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

    /// The last failure of an application's function or a remote service during this item.
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
        let metadata = self.input.carry(own);
        self.outputs.push(Packet {
            bytes: Bytes::from(bytes),
            format,
            sequence: self.input.sequence,
            timestamp_ms: self.input.timestamp_ms,
            metadata,
            route: None,
            trace: None,
        });
        Ok(())
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
