//! The guest ABI's calls: how an item's bytes get into a guest and its outputs back.
//!
//! Problem: host and guest share nothing but the guest's memory, which the guest may lie about. Answer: buffers that the guest allocated
//! (or pages that the host grew for itself) are kept for the instance's life and checked at each use, and every status and length of the
//! contract (`wasm-modules/README.md`) is taken for a claim. It does not run code under limits: [`Instance::call`] does.

use std::sync::Arc;

use super::bridge::Bridge;
use super::instance::{Instance, Limits};
use super::sys::{Function, PAGE_BYTES};
use crate::data::{Kind, Packet, SessionId};
use crate::error::{Code, Error, Result, Trap};

/// A range of guest memory that the host may use.
#[derive(Clone, Copy, Default)]
struct Buffer {
    at: u32,
    capacity: u32,
}

/// The host's ranges in one guest's memory.
#[derive(Default)]
pub struct Buffers {
    input: Buffer,
    result: Buffer,
    /// Holds the ABI's `*result_len_ptr`.
    length: Buffer,
}

/// Smallest buffer worth asking for.
const MIN_BUFFER_BYTES: u32 = 1 << 10;
/// Size of the length cell; eight bytes keep allocators aligned.
const LENGTH_CELL_BYTES: u32 = 8;
/// How often a guest may ask for a larger result buffer during one item.
const MAX_RESIZES: u32 = 8;

/// What `process` or `flush` left behind.
enum Asked {
    Process { len: i32 },
    Flush,
}

impl Instance {
    /// Tells the guest for which session it works, which reaches remote services over the `bridge`. A refusal is the guest's own error.
    pub fn begin_session(&mut self, session: &SessionId, bridge: Option<&Arc<Bridge>>, limits: Limits<'_>) -> Result<()> {
        self.set_session(session);
        self.state().set_bridge(bridge);
        let Some(initialize) = self.initialize_function() else { return Ok(()) };
        self.refuel();
        self.state().begin_item(&Packet::binary(Vec::new()));
        let mut text = session.as_str().as_bytes().to_vec();
        text.push(0);
        self.put_input(&text, limits)?;
        let at = self.buffers.input.at.cast_signed();
        let status = self.call(initialize, &[at], true, limits)?;
        self.state().take_outputs();
        if status == 0 {
            return Ok(());
        }
        let said = self.state().take_fail_text();
        let error = self.refusal("initialize", status, said);
        Err(self.condemn(error))
    }

    /// Gives one item to the guest and collects what it puts out.
    pub fn process(&mut self, packet: &Packet, limits: Limits<'_>) -> Result<Vec<Packet>> {
        self.refuel();
        self.state().begin_item(packet);
        let Ok(len) = i32::try_from(packet.bytes.len()) else {
            return Err(Error::new(Code::Serialization, format!("an item of {} bytes is too large for a guest", packet.bytes.len())));
        };
        self.put_input(&packet.bytes, limits)?;
        let result = self.run(self.process_function(), &Asked::Process { len }, limits);
        self.state().end_item();
        result
    }

    /// Lets the guest put out what it still holds at the end of a stream of `inputs` items.
    pub fn flush(&mut self, inputs: u64, limits: Limits<'_>) -> Result<Vec<Packet>> {
        let Some(flush) = self.flush_function() else { return Ok(Vec::new()) };
        self.refuel();
        let mut header = Packet::binary(Vec::new());
        header.sequence = inputs;
        // What a flush puts out is of the kind that came in last: a resampler's tail has the rate of its stream.
        header.format = self.state().input_format().clone();
        self.state().begin_item(&header);
        let result = self.run(flush, &Asked::Flush, limits);
        self.state().end_item();
        result
    }

    fn run(&mut self, function: Function, asked: &Asked, limits: Limits<'_>) -> Result<Vec<Packet>> {
        if self.buffers.length.capacity == 0 {
            self.buffers.length = self.reserve(Buffer::default(), LENGTH_CELL_BYTES, limits)?;
        }
        if self.buffers.result.capacity == 0 {
            self.buffers.result = self.reserve(Buffer::default(), MIN_BUFFER_BYTES, limits)?;
        }
        let mut resizes = 0;
        let mut fitted = false;
        loop {
            let Buffers { input, result, length } = self.buffers;
            self.put(length.at, &result.capacity.to_le_bytes())?;
            let (out, cell) = (result.at.cast_signed(), length.at.cast_signed());
            let status = match asked {
                // The kept result is asked for with a length of -1, without any processing.
                Asked::Process { len } => {
                    self.call(function, &[input.at.cast_signed(), if resizes == 0 { *len } else { -1 }, out, cell], true, limits)?
                }
                Asked::Flush => self.call(function, &[out, cell], true, limits)?,
            };
            let claimed = self.length_cell()?;
            match status {
                0 if claimed > result.capacity => {
                    let problem = format!("the guest says it wrote {claimed} bytes into a buffer of {}", result.capacity);
                    return Err(self.condemn(Error::new(Code::Abi, problem)));
                }
                0 => {
                    self.collect(claimed)?;
                    self.forget_refused_memory();
                    return Ok(self.state().take_outputs());
                }
                1 => {
                    resizes += 1;
                    if claimed <= result.capacity && !fitted {
                        // It fits after all: some guests always hand over in two steps. A second such answer is no step forward.
                        fitted = true;
                        continue;
                    }
                    if claimed <= result.capacity || resizes > MAX_RESIZES {
                        let problem = format!("the guest asks for {claimed} bytes and has {}", result.capacity);
                        return Err(self.condemn(Error::new(Code::Abi, problem)));
                    }
                    let accounted = self.state().fits(claimed as usize);
                    if let Err(error) = accounted {
                        return Err(self.condemn(error));
                    }
                    self.buffers.result = self.reserve(result, claimed, limits)?;
                }
                negative if negative < 0 => {
                    let said = self.state().take_fail_text();
                    let said = said.or_else(|| self.text(result.at, claimed.min(result.capacity)));
                    self.forget_refused_memory();
                    let function = if matches!(asked, Asked::Flush) { "flush" } else { "process" };
                    return Err(self.refusal(function, negative, said));
                }
                other => {
                    let problem = format!("the guest answered with status {other}, which the ABI does not have");
                    return Err(self.condemn(Error::new(Code::Abi, problem)));
                }
            }
        }
    }

    /// Takes the result buffer's bytes as an output of its own.
    fn collect(&mut self, len: u32) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let at = self.buffers.result.at;
        let Some(bytes) = self.memory().slice(at, len).map(<[u8]>::to_vec) else {
            return Err(self.condemn(outside("the result buffer", at, len)));
        };
        let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() && std::str::from_utf8(&bytes).is_ok();
        let kind = match self.config().output_kind {
            None if is_json() => Kind::Json,
            None => Kind::Binary,
            Some(Kind::Json) if !is_json() => return Err(Error::new(Code::Serialization, "the guest's result is no JSON, as outputKind says it is")),
            Some(Kind::Text) if std::str::from_utf8(&bytes).is_err() => {
                return Err(Error::new(Code::Serialization, "the guest's result is no UTF-8 text, as outputKind says it is"));
            }
            Some(kind) => kind,
        };
        let pushed = self.state().account(bytes.len()).and_then(|()| self.state().push_output(kind, bytes, None));
        pushed.map_err(|error| if error.code() == Code::OutputTooLarge { self.condemn(error) } else { error })
    }

    fn refusal(&mut self, function: &str, status: i32, said: Option<String>) -> Error {
        let said = said.filter(|text| !text.is_empty());
        if let Some(cause) = self.state().take_host_failure() {
            // What the guest was let down by is what the application has to deal with: its code, with the guest's words.
            return cause.retold(said.as_deref());
        }
        Error::new(Code::Guest, said.unwrap_or_else(|| format!("the guest's {function} failed with status {status}")))
    }

    fn text(&self, at: u32, len: u32) -> Option<String> {
        let len = len.min(super::host::MAX_TEXT_BYTES);
        self.memory().slice(at, len).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn length_cell(&mut self) -> Result<u32> {
        let at = self.buffers.length.at;
        match self.memory().slice(at, 4).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => Ok(u32::from_le_bytes(bytes)),
            None => Err(self.condemn(outside("the length cell", at, 4))),
        }
    }

    fn put(&mut self, at: u32, bytes: &[u8]) -> Result<()> {
        #[expect(clippy::cast_possible_truncation, reason = "only for the message")]
        if self.memory().write(at, bytes) { Ok(()) } else { Err(self.condemn(outside("a buffer", at, bytes.len() as u32))) }
    }

    fn put_input(&mut self, bytes: &[u8], limits: Limits<'_>) -> Result<()> {
        let len = u32::try_from(bytes.len()).map_err(|_| Error::new(Code::Serialization, "the item is too large for a guest"))?;
        if self.buffers.input.capacity < len || self.buffers.input.capacity == 0 {
            self.buffers.input = self.reserve(self.buffers.input, len, limits)?;
        }
        self.put(self.buffers.input.at, bytes)
    }

    /// A buffer of at least `len` bytes in place of `old`.
    fn reserve(&mut self, old: Buffer, len: u32, limits: Limits<'_>) -> Result<Buffer> {
        let wanted = if len <= LENGTH_CELL_BYTES { LENGTH_CELL_BYTES } else { len.max(MIN_BUFFER_BYTES).checked_next_power_of_two().unwrap_or(len) };
        let (alloc, free) = self.alloc_functions();
        let Some(alloc) = alloc else { return self.reserve_pages(wanted) };
        if let Some(free) = free.filter(|_| old.capacity > 0) {
            self.call(free, &[old.at.cast_signed(), old.capacity.cast_signed()], false, limits)?;
        }
        let at = self.call(alloc, &[wanted.cast_signed()], true, limits)?.cast_unsigned();
        if at == 0 {
            // The old buffer is already gone, so the guest's idea of it and ours differ: start over.
            let problem = format!("the guest has no memory for a buffer of {wanted} bytes");
            return Err(self.condemn(Error::new(Code::WasmMemory, problem)));
        }
        if at % 8 != 0 || self.memory().slice(at, wanted).is_none() {
            let problem = format!("the guest's rm_alloc({wanted}) returned {at}, which is outside its memory or not 8-byte aligned");
            return Err(self.condemn(Error::new(Code::Abi, problem)));
        }
        Ok(Buffer { at, capacity: wanted })
    }

    /// For a guest without an allocator: pages that it does not know of, so nothing of its own lies there.
    fn reserve_pages(&mut self, wanted: u32) -> Result<Buffer> {
        let pages = u64::from(wanted).div_ceil(PAGE_BYTES);
        let limit = self.config().memory_limit;
        let refused = || Error::new(Code::WasmMemory, format!("no room for a buffer of {wanted} bytes within memoryLimit ({limit} bytes)"));
        let old = self.memory().grow(pages).map_err(|_| refused())?;
        let at = u32::try_from(old * PAGE_BYTES).map_err(|_| refused())?;
        let capacity = u32::try_from(pages * PAGE_BYTES).map_err(|_| refused())?;
        Ok(Buffer { at, capacity })
    }
}

fn outside(what: &str, at: u32, len: u32) -> Error {
    Error::trap(Trap::OutOfBounds, format!("{what} ({len} bytes at {at}) is no longer inside the guest's memory"))
}
