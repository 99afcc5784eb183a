//! A node's options, checked once and unchanging afterwards.
//!
//! Problem: an option may come from untyped JavaScript, and a wrong one must be named before anything runs. Answer: [`NodeOptions`] is
//! what the caller may leave out; [`NodeConfig::new`] fills in the defaults, checks every range and reports the dotted path of what is
//! wrong. It does not read files: a module or a folder that is missing shows when the node initialises.

use std::sync::Arc;
use std::time::Duration;

use super::bridge::RemoteServices;
use super::host::HostFunctions;
use super::host::wasi::WasiGrants;
use crate::data::{Kind, Value};
use crate::error::{Error, Result};

/// How a module is asked to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Interpret at once, compile in the background, switch when that is done.
    #[default]
    Auto,
    /// Compiled ahead of time.
    Aot,
    /// Compiled in memory, once per instance.
    Jit,
    /// Interpreted.
    Interpreter,
}

/// How an instance really runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunMode {
    /// Compiled ahead of time.
    Aot,
    /// Compiled in memory.
    Jit,
    /// Interpreted.
    Interpreter,
}

impl RunMode {
    /// Name in JavaScript and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            RunMode::Aot => "aot",
            RunMode::Jit => "jit",
            RunMode::Interpreter => "interpreter",
        }
    }
}

/// Names of the guest's exports; RemoteMedia's own example exports `process_with_remote`.
#[derive(Clone, Debug)]
pub struct ExportNames {
    /// Takes one input.
    pub process: String,
    /// Called once per instance.
    pub initialize: String,
    /// Called at the end of a stream.
    pub flush: String,
    /// Called at the end of a session.
    pub cleanup: String,
}

impl Default for ExportNames {
    fn default() -> Self {
        Self { process: "process".into(), initialize: "initialize".into(), flush: "flush".into(), cleanup: "cleanup".into() }
    }
}

/// Options as the caller gave them; `None` means the default.
#[derive(Default)]
pub struct NodeOptions {
    /// Name in errors, metrics and logs; default: the module's file name, or `wasm`.
    pub name: Option<String>,
    /// What the guest reads through `rm.config`.
    pub config: Option<Value>,
    /// Kind of `process`'s result buffer.
    pub output_kind: Option<Kind>,
    /// Other names for the exports.
    pub exports: ExportNames,
    /// Bytes of linear memory.
    pub memory_limit: Option<f64>,
    /// Milliseconds per item.
    pub timeout_ms: Option<f64>,
    /// Bytes of all outputs of one item.
    pub max_output_bytes: Option<f64>,
    /// WasmEdge cost units per item.
    pub fuel: Option<f64>,
    /// How to run.
    pub mode: Mode,
    /// Instances kept ready.
    pub pool_min: Option<f64>,
    /// Most instances at once.
    pub pool_max: Option<f64>,
    /// Milliseconds until an unused instance above the minimum goes.
    pub pool_idle_ttl_ms: Option<f64>,
    /// Most items that wait for an instance.
    pub pool_max_queue: Option<f64>,
    /// Most sessions at once.
    pub sessions_max: Option<f64>,
    /// Milliseconds of disuse until a session ends.
    pub sessions_ttl_ms: Option<f64>,
    /// Whether instances may serve any session.
    pub stateless: bool,
    /// Functions of the application.
    pub host_functions: Option<Arc<dyn HostFunctions>>,
    /// Remote services that guests may use.
    pub remote: Option<Arc<dyn RemoteServices>>,
    /// What the guest gets of WASI.
    pub wasi: WasiGrants,
}

/// Checked options with every default filled in.
pub struct NodeConfig {
    /// See [`NodeOptions::name`].
    pub name: String,
    /// The same, for whoever keeps it.
    pub label: Arc<str>,
    /// The guest's configuration as JSON text.
    pub config_json: String,
    /// See [`NodeOptions::output_kind`].
    pub output_kind: Option<Kind>,
    /// See [`NodeOptions::exports`].
    pub exports: ExportNames,
    /// Bytes.
    pub memory_limit: u64,
    /// Per item.
    pub timeout: Duration,
    /// Bytes per item.
    pub max_output_bytes: usize,
    /// Cost units per item.
    pub fuel: Option<u64>,
    /// See [`NodeOptions::mode`].
    pub mode: Mode,
    /// See [`NodeOptions::pool_min`].
    pub pool_min: usize,
    /// See [`NodeOptions::pool_max`].
    pub pool_max: usize,
    /// See [`NodeOptions::pool_idle_ttl_ms`].
    pub pool_idle_ttl: Duration,
    /// See [`NodeOptions::pool_max_queue`].
    pub pool_max_queue: usize,
    /// See [`NodeOptions::sessions_max`].
    pub sessions_max: usize,
    /// See [`NodeOptions::sessions_ttl_ms`].
    pub sessions_ttl: Duration,
    /// See [`NodeOptions::stateless`].
    pub stateless: bool,
    /// See [`NodeOptions::host_functions`].
    pub host_functions: Option<Arc<dyn HostFunctions>>,
    /// See [`NodeOptions::remote`].
    pub remote: Option<Arc<dyn RemoteServices>>,
    /// See [`NodeOptions::wasi`].
    pub wasi: WasiGrants,
}

/// The architecture's default: 128 MiB.
pub const DEFAULT_MEMORY_BYTES: u64 = 128 << 20;
/// All that 32-bit pointers reach.
const MAX_MEMORY_BYTES: u64 = 4 << 30;
/// The architecture's default: 30 s.
const DEFAULT_TIMEOUT_MS: f64 = 30_000.0;
/// A day: longer is surely a mistake of units.
const MAX_TIMEOUT_MS: f64 = 86_400_000.0;
/// Room for a minute of stereo audio at 48 kHz and for a 4K frame.
const DEFAULT_OUTPUT_BYTES: f64 = 67_108_864.0;
/// Each instance reserves 12.9 GB of the 128 TB of address space, so about 10,900 fit in a process; three nodes at this limit do.
const MAX_INSTANCES: f64 = 8_192.0;
const DEFAULT_INSTANCES: f64 = 4_096.0;

impl NodeConfig {
    /// Checks the options of the node whose module is called `module_name`.
    pub fn new(options: NodeOptions, module_name: &str) -> Result<Self> {
        let name = options.name.unwrap_or_else(|| module_name.to_owned());
        if name.is_empty() || name.len() > 128 {
            return Err(Error::config("name", "must be 1 to 128 bytes of text"));
        }
        for (path, export) in [
            ("exports.process", &options.exports.process),
            ("exports.initialize", &options.exports.initialize),
            ("exports.flush", &options.exports.flush),
            ("exports.cleanup", &options.exports.cleanup),
        ] {
            if export.is_empty() {
                return Err(Error::config(path, "must not be empty"));
            }
        }
        if let Err(problems) = options.wasi.check() {
            let (path, problem) = problems.into_iter().next().unwrap_or_default();
            return Err(Error::config(path, problem));
        }
        if options.stateless && options.remote.is_some() {
            // Nobody's sessions never end, so nothing would say when their remote sessions and streams may go.
            return Err(Error::config("stateless", "cannot be used with a remote, which keeps something for each session"));
        }
        let pool_max = whole("pool.max", options.pool_max, DEFAULT_INSTANCES, 1.0, MAX_INSTANCES)?;
        let pool_min = whole("pool.min", options.pool_min, 0.0, 0.0, MAX_INSTANCES)?;
        if pool_min > pool_max {
            return Err(Error::config("pool.min", format!("must not be above pool.max ({pool_max}), got {pool_min}")));
        }
        let config_json = options.config.map_or_else(|| "{}".to_owned(), |config| config.to_string());
        Ok(Self {
            label: name.as_str().into(),
            name,
            config_json,
            output_kind: options.output_kind,
            exports: options.exports,
            #[expect(clippy::cast_precision_loss, reason = "round numbers")]
            memory_limit: whole("memoryLimit", options.memory_limit, DEFAULT_MEMORY_BYTES as f64, 65_536.0, MAX_MEMORY_BYTES as f64)?,
            timeout: timeout("timeoutMs", options.timeout_ms)?.unwrap_or(Duration::from_millis(DEFAULT_TIMEOUT_MS as u64)),
            max_output_bytes: whole("maxOutputBytes", options.max_output_bytes, DEFAULT_OUTPUT_BYTES, 1.0, 4e9)?,
            fuel: options.fuel.map(|fuel| whole("fuel", Some(fuel), 0.0, 1.0, 9e15)).transpose()?,
            mode: options.mode,
            pool_min,
            pool_max,
            pool_idle_ttl: millis("pool.idleTtlMs", options.pool_idle_ttl_ms, 60_000.0)?,
            pool_max_queue: whole("pool.maxQueue", options.pool_max_queue, 1_024.0, 0.0, 1e6)?,
            sessions_max: whole("sessions.max", options.sessions_max, DEFAULT_INSTANCES, 1.0, 1e6)?,
            sessions_ttl: millis("sessions.ttlMs", options.sessions_ttl_ms, 600_000.0)?,
            stateless: options.stateless,
            host_functions: options.host_functions,
            remote: options.remote,
            wasi: options.wasi,
        })
    }
}

/// Checks a time per item in milliseconds, wherever it is given.
pub fn timeout(path: &str, given: Option<f64>) -> Result<Option<Duration>> {
    given.map(|value| ranged(path, value, 1.0, MAX_TIMEOUT_MS).map(|ms| Duration::from_secs_f64(ms / 1_000.0))).transpose()
}

fn millis(path: &str, given: Option<f64>, default: f64) -> Result<Duration> {
    let value = ranged(path, given.unwrap_or(default), 1.0, MAX_TIMEOUT_MS * 365.0)?;
    Ok(Duration::from_secs_f64(value / 1_000.0))
}

fn ranged(path: &str, value: f64, low: f64, high: f64) -> Result<f64> {
    if value >= low && value <= high { Ok(value) } else { Err(Error::config(path, format!("must be {low} to {high}, got {value}"))) }
}

/// A whole number of the wanted integer type within a range that the type holds.
fn whole<T: TryFrom<u64>>(path: &str, given: Option<f64>, default: f64, low: f64, high: f64) -> Result<T> {
    let value = ranged(path, given.unwrap_or(default), low, high)?;
    let not_whole = || Error::config(path, format!("must be a whole number, got {value}"));
    if value.fract() != 0.0 {
        return Err(not_whole());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not negative, below 2^53")]
    T::try_from(value as u64).map_err(|_| not_whole())
}
