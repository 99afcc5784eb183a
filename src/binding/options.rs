//! Options out of JavaScript objects, each wrong one named by its path.
//!
//! [`Reader`] takes known keys out of an object by type and at the end refuses keys that nobody asked for: a misspelt option must not be
//! ignored. Ranges are the engine's business (`engine/config.rs`); here only types are.

use std::path::PathBuf;
use std::sync::Arc;

use napi::sys;

use super::context;
use super::error::Outcome;
use super::host_functions::JsHostFunctions;
use super::value::{Type, Value};
use crate::data::{Kind, SessionId, Trace, TraceContext, Value as Json};
use crate::engine::{ExportNames, HostFunctions, Mode, ModuleSource, NodeOptions, WasiGrants, timeout};
use crate::error::{Error, Result};

/// Reads one object of options.
pub struct Reader {
    env: sys::napi_env,
    object: Option<Value>,
    path: String,
    known: Vec<&'static str>,
    /// Own enumerable keys: asking for what is not there would cost a call into the engine each.
    given: Vec<String>,
}

impl Reader {
    /// Options may be left out; anything but an object or nothing is refused. `path` is where the object is in the caller's own.
    pub fn new(value: Value, path: &str) -> Outcome<Self> {
        Self::within(value, path.to_owned())
    }

    fn within(value: Value, path: String) -> Outcome<Self> {
        let object = match value.get_type() {
            Type::Undefined => None,
            Type::Object if !value.is_array() && value.typed_array().is_none() => Some(value),
            other => {
                let name = if path.is_empty() { "options" } else { &path };
                let given = if value.is_array() { "an array" } else { other.name() };
                return Err(Error::config(name, format!("must be an object, got {given}")).into());
            }
        };
        let given = object.map_or_else(|| Ok(Vec::new()), Value::keys)?;
        Ok(Self { env: value.env, object, path, known: Vec::new(), given })
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.given.len()
    }

    /// Where `key` is in the caller's own object.
    pub fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The error for a value of the wrong type.
    pub fn wrong(&self, key: &str, wanted: &str, value: Value) -> Error {
        let given = if value.is_array() { "an array" } else { value.get_type().name() };
        Error::config(self.full(key), format!("must be {wanted}, got {given}"))
    }

    /// The value of `key`, or nothing when it is left out or undefined.
    pub fn any(&mut self, key: &'static str) -> Outcome<Option<Value>> {
        self.known.push(key);
        let Some(object) = self.object.filter(|_| self.given.iter().any(|given| given == key)) else { return Ok(None) };
        let value = object.get(key)?;
        Ok((!value.is_undefined()).then_some(value))
    }

    pub fn number(&mut self, key: &'static str) -> Outcome<Option<f64>> {
        match self.any(key)? {
            None => Ok(None),
            Some(value) => Ok(Some(value.as_number().ok_or_else(|| self.wrong(key, "a number", value))?)),
        }
    }

    pub fn string(&mut self, key: &'static str) -> Outcome<Option<String>> {
        match self.any(key)? {
            None => Ok(None),
            Some(value) => Ok(Some(value.text().ok_or_else(|| self.wrong(key, "a string", value))?)),
        }
    }

    pub fn boolean(&mut self, key: &'static str) -> Outcome<bool> {
        Ok(self.flag(key)?.unwrap_or_default())
    }

    /// A boolean for which being left out has a meaning of its own.
    pub fn flag(&mut self, key: &'static str) -> Outcome<Option<bool>> {
        match self.any(key)? {
            None => Ok(None),
            Some(value) => Ok(Some(value.as_boolean().ok_or_else(|| self.wrong(key, "a boolean", value))?)),
        }
    }

    /// Options within this object.
    pub fn object(&mut self, key: &'static str) -> Outcome<Option<Reader>> {
        self.any(key)?.map(|value| Reader::within(value, self.full(key))).transpose()
    }

    /// A list of strings.
    pub fn texts(&mut self, key: &'static str) -> Outcome<Vec<String>> {
        let Some(list) = self.any(key)? else { return Ok(Vec::new()) };
        if !list.is_array() {
            return Err(self.wrong(key, "an array of strings", list).into());
        }
        let mut texts = Vec::new();
        for index in 0..list.length() {
            let one = list.at(index)?;
            let wrong = || Error::config(format!("{}.{index}", self.full(key)), format!("must be a string, got {}", one.get_type().name()));
            texts.push(one.text().ok_or_else(wrong)?);
        }
        Ok(texts)
    }

    /// One of a fixed list of words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Outcome<Option<T>> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        let list = || words.iter().map(|(word, _)| format!("'{word}'")).collect::<Vec<_>>().join(", ");
        Ok(Some(found.ok_or_else(|| Error::config(self.full(key), format!("must be one of {}, got '{text}'", list())))?))
    }

    /// Any JSON value.
    pub fn json(&mut self, key: &'static str) -> Outcome<Option<Json>> {
        self.any(key)?.map(|value| json(value, &self.full(key))).transpose()
    }

    /// An object whose values are all strings.
    pub fn strings(&mut self, key: &'static str) -> Outcome<Vec<(String, String)>> {
        let Some(value) = self.any(key)? else { return Ok(Vec::new()) };
        if value.get_type() != Type::Object || value.is_array() {
            return Err(self.wrong(key, "an object of strings", value).into());
        }
        let mut pairs = Vec::new();
        for name in value.keys()? {
            let one = value.get(&name)?;
            let text = one
                .text()
                .ok_or_else(|| Error::config(format!("{}.{name}", self.full(key)), format!("must be a string, got {}", one.get_type().name())))?;
            pairs.push((name, text));
        }
        Ok(pairs)
    }

    /// Refuses keys that nobody asked for.
    pub fn finish(self) -> Outcome<()> {
        match self.given.iter().find(|key| !self.known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let problem = format!("is not an option; there are {}", self.known.join(", "));
                Err(Error::config(self.full(key), problem).into())
            }
        }
    }
}

/// A JSON value; `path` is where it is in the caller's own object.
pub fn json(value: Value, path: &str) -> Outcome<Json> {
    let problem = || Error::config(path, "must be a JSON value");
    let text = match value.to_json() {
        Ok(Some(text)) => text,
        Ok(None) => return Err(problem().into()),
        Err(_) => {
            // A cycle or a bigint: JSON.stringify threw, and our error says where.
            let why = Value::take_exception(value.env).and_then(|thrown| thrown.get("message").ok()?.text());
            return Err(Error::config(path, format!("must be a JSON value: {}", why.unwrap_or_default())).into());
        }
    };
    Ok(serde_json::from_str(&text).map_err(|_| problem())?)
}

const MODES: [(&str, Mode); 4] = [("auto", Mode::Auto), ("aot", Mode::Aot), ("jit", Mode::Jit), ("interpreter", Mode::Interpreter)];

/// The options of a WebAssembly node.
pub fn node(value: Value) -> Outcome<NodeOptions> {
    let mut reader = Reader::new(value, "")?;
    let options = node_in(&mut reader)?;
    reader.finish()?;
    Ok(options)
}

/// Takes them out of an object that may hold others.
pub fn node_in(reader: &mut Reader) -> Outcome<NodeOptions> {
    let kinds = Kind::ALL.map(|kind| (kind.name(), kind));
    let mut options = NodeOptions {
        name: reader.string("name")?,
        config: reader.json("config")?,
        output_kind: reader.word("outputKind", &kinds)?,
        memory_limit: reader.number("memoryLimit")?,
        timeout_ms: reader.number("timeoutMs")?,
        max_output_bytes: reader.number("maxOutputBytes")?,
        fuel: reader.number("fuel")?,
        mode: reader.word("mode", &MODES)?.unwrap_or_default(),
        stateless: reader.boolean("stateless")?,
        ..NodeOptions::default()
    };
    if let Some(mut exports) = reader.object("exports")? {
        let names = ExportNames::default();
        options.exports = ExportNames {
            process: exports.string("process")?.unwrap_or(names.process),
            initialize: exports.string("initialize")?.unwrap_or(names.initialize),
            flush: exports.string("flush")?.unwrap_or(names.flush),
            cleanup: exports.string("cleanup")?.unwrap_or(names.cleanup),
        };
        exports.finish()?;
    }
    if let Some(mut pool) = reader.object("pool")? {
        options.pool_min = pool.number("min")?;
        options.pool_max = pool.number("max")?;
        options.pool_idle_ttl_ms = pool.number("idleTtlMs")?;
        options.pool_max_queue = pool.number("maxQueue")?;
        pool.finish()?;
    }
    if let Some(mut sessions) = reader.object("sessions")? {
        options.sessions_max = sessions.number("max")?;
        options.sessions_ttl_ms = sessions.number("ttlMs")?;
        sessions.finish()?;
    }
    if let Some(wasi) = reader.object("wasi")? {
        options.wasi = grants(wasi)?;
    }
    if let Some(value) = reader.any("hostFunctions")? {
        let functions = host_functions(reader, value)?;
        options.host_functions = Some(Arc::new(functions) as Arc<dyn HostFunctions>);
    }
    Ok(options)
}

fn grants(mut reader: Reader) -> Outcome<WasiGrants> {
    let grants = WasiGrants {
        env: reader.strings("env")?,
        args: reader.texts("args")?,
        preopens: reader.strings("preopens")?.into_iter().map(|(guest, host)| (guest, PathBuf::from(host))).collect(),
        clock: reader.boolean("clock")?,
        random: reader.boolean("random")?,
    };
    reader.finish()?;
    Ok(grants)
}

fn host_functions(reader: &Reader, value: Value) -> Outcome<JsHostFunctions> {
    if value.get_type() != Type::Object || value.is_array() {
        return Err(reader.wrong("hostFunctions", "an object of functions", value).into());
    }
    let mut functions = Vec::new();
    for name in value.keys()? {
        let function = value.get(&name)?;
        if function.get_type() != Type::Function {
            let problem = format!("must be a function, got {}", function.get_type().name());
            return Err(Error::config(format!("hostFunctions.{name}"), problem).into());
        }
        functions.push((name, function));
    }
    Ok(JsHostFunctions::new(functions)?)
}

/// Where a module comes from: a path, a file URL or bytes.
pub fn module(value: Value) -> Outcome<ModuleSource> {
    if let Some(text) = value.text() {
        return Ok(ModuleSource::Path(path(&text)?));
    }
    if let Some((super::value::Element::U8, bytes)) = value.typed_array() {
        return Ok(ModuleSource::Bytes(bytes.to_vec()));
    }
    if let Some(bytes) = value.array_buffer_bytes() {
        return Ok(ModuleSource::Bytes(bytes.to_vec()));
    }
    if value.get_type() == Type::Object
        && let Some(href) = value.get("href")?.text()
    {
        if !href.starts_with("file:") {
            return Err(Error::config("module", format!("must be a path, a file URL or a Uint8Array, got the URL '{href}'")).into());
        }
        return Ok(ModuleSource::Path(path(&href)?));
    }
    let problem = format!("must be a path, a file URL or a Uint8Array, got {}", value.get_type().name());
    Err(Error::config("module", problem).into())
}

/// A path out of a path or a `file:` URL.
fn path(text: &str) -> Result<PathBuf> {
    let Some(rest) = text.strip_prefix("file://") else {
        if text.is_empty() {
            return Err(Error::config("module", "must not be an empty path"));
        }
        return Ok(PathBuf::from(text));
    };
    let bad = || Error::config("module", format!("'{text}' is not a usable file URL"));
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let rest = if cfg!(windows) { rest.strip_prefix('/').unwrap_or(rest) } else { rest };
    let mut bytes = Vec::with_capacity(rest.len());
    let mut left = rest.bytes();
    while let Some(byte) = left.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [left.next().ok_or_else(bad)?, left.next().ok_or_else(bad)?];
        let digits = std::str::from_utf8(&digits).map_err(|_| bad())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map(PathBuf::from).map_err(|_| bad())
}

/// Options of `process` and `call`.
#[derive(Default)]
pub struct ProcessOptions {
    /// The session, or one of the stream's own.
    pub session: Option<SessionId>,
    /// Time per item.
    pub timeout: Option<std::time::Duration>,
    /// Whether there is a signal; JavaScript's pull loop listens to it.
    pub has_signal: bool,
    /// Entries that every item gets beneath its own.
    pub metadata: Option<serde_json::Map<String, Json>>,
    /// What the trace of each item is a part of: `traceparent`, or else what is active where the call is made.
    pub trace: Option<Trace>,
}

/// Reads them; `signal` is JavaScript's business and only checked for being one.
pub fn process(value: Value) -> Outcome<ProcessOptions> {
    if value.is_undefined() {
        return Ok(ProcessOptions { trace: context::active(value.env)?, ..ProcessOptions::default() });
    }
    let mut reader = Reader::new(value, "")?;
    let options = process_in(&mut reader)?;
    reader.finish()?;
    Ok(options)
}

/// Takes them out of an object that may hold others.
pub fn process_in(reader: &mut Reader) -> Outcome<ProcessOptions> {
    let session = reader.string("sessionId")?.map(|text| SessionId::new(&text)).transpose()?;
    let timeout = timeout("timeoutMs", reader.number("timeoutMs")?)?;
    let mut metadata = match reader.json("metadata")? {
        None => None,
        Some(Json::Object(map)) => Some(map),
        Some(_) => return Err(Error::config("metadata", "must be an object").into()),
    };
    let mut trace: Option<Trace> = None;
    if let Some(parent) = reader.string("traceparent")? {
        trace = Some(Arc::new(parent.parse::<TraceContext>()?));
        metadata.get_or_insert_with(serde_json::Map::new).insert("traceparent".into(), parent.into());
    }
    // What a service continues: whose answer its nodes make should not find the service's own span in it.
    if let Some(parent) = reader.string("partOf")? {
        trace = Some(Arc::new(parent.parse::<TraceContext>()?));
    }
    if trace.is_none() {
        trace = context::active(reader.env)?;
    }
    let signal = reader.any("signal")?;
    if let Some(signal) = signal
        && (signal.get_type() != Type::Object || signal.get("aborted")?.get_type() != Type::Boolean)
    {
        return Err(reader.wrong("signal", "an AbortSignal", signal).into());
    }
    Ok(ProcessOptions { session, timeout, has_signal: signal.is_some(), metadata, trace })
}

/// Options of `compileModule`: whether the code counts fuel.
pub fn compile(value: Value) -> Outcome<bool> {
    let mut reader = Reader::new(value, "")?;
    let fuel = reader.boolean("fuel")?;
    reader.finish()?;
    Ok(fuel)
}

/// A source of items: iterable, and not a bare string or bytes, whose items would be single characters or numbers.
pub fn source(env: sys::napi_env, value: Value) -> Outcome<()> {
    let wrong = |problem: &str| Error::config("source", problem);
    match value.get_type() {
        Type::String => return Err(wrong("must be an iterable of items; wrap the string in an array").into()),
        Type::Object | Type::Function => {}
        other => return Err(wrong(&format!("must be an iterable or async iterable of items, got {}", other.name())).into()),
    }
    if value.typed_array().is_some() || value.array_buffer_bytes().is_some() {
        return Err(wrong("must be an iterable of items; wrap the bytes in an array").into());
    }
    let symbols = Value::global(env)?.get("Symbol")?;
    for name in ["asyncIterator", "iterator"] {
        let symbol = symbols.get(name)?;
        if value.get_with(symbol)?.get_type() == Type::Function {
            return Ok(());
        }
    }
    Err(wrong("must be an iterable or async iterable of items").into())
}
