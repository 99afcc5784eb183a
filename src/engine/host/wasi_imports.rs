//! Connects WASI's table of functions with the instance's state and memory.
//!
//! `wasi/` knows nothing of this engine: it asks for a memory and a host through two traits, which are implemented here. It decides
//! nothing: what is granted is in `wasi/grants.rs`.

use std::time::{Duration, Instant};

use wasmparser::ValType;

use super::wasi::{self, Fault, GuestMemory, Outcome, WasiHost};
use super::{HostState, Import, Stop, WASI};
use crate::engine::config::NodeConfig;
use crate::engine::sys::{Memory, PAGE_BYTES};
use crate::engine::{fault, worker};
use crate::error::{Error, Result, Trap};

/// The row of this name.
pub fn find(name: &str) -> Option<Import> {
    let position = wasi::imports().iter().position(|row| row.name == name)?;
    let row = wasi::imports().get(position)?;
    let params: &'static [ValType] = params(row.params)?;
    let result = row.has_result.then_some(ValType::I32);
    Some(Import { module: WASI, name: row.name, params, result, body, wasi: position })
}

/// WASI's value types as wasmparser's; each list is translated once.
fn params(types: &'static [wasi::ValType]) -> Option<&'static [ValType]> {
    static LISTS: std::sync::LazyLock<Vec<Vec<ValType>>> =
        std::sync::LazyLock::new(|| wasi::imports().iter().map(|row| row.params.iter().copied().map(translate).collect()).collect());
    let wanted: Vec<_> = types.iter().copied().map(translate).collect();
    LISTS.iter().find(|list| **list == wanted).map(Vec::as_slice)
}

fn translate(ty: wasi::ValType) -> ValType {
    match ty {
        wasi::ValType::I32 => ValType::I32,
        wasi::ValType::I64 => ValType::I64,
    }
}

/// `link.rs` puts the row's position in front of the guest's own arguments.
fn body(state: &mut HostState, memory: Memory, args: &[u64]) -> Result<u64, Stop> {
    let Some((position, args)) = args.split_first() else { return Ok(0) };
    let Some(row) = usize::try_from(*position).ok().and_then(|position| wasi::imports().get(position)) else { return Ok(0) };
    let HostState { wasi, config, session, log_line, .. } = state;
    let mut host = Host { config, session: session.as_str(), line: log_line };
    match (row.call)(wasi, &mut Checked(memory), &mut host, args) {
        Outcome::Errno(number) => Ok(number.into()),
        Outcome::Exit(code) => Err(Error::trap(Trap::Exit, format!("the guest ended itself with exit code {code}"))),
        // A sleep that was cut off is no fault of the guest's pointers.
        Outcome::Trap(problem) => Err(super::out_of_time(row.name).unwrap_or_else(|| Error::trap(Trap::BadPointer, problem))),
    }
}

struct Checked(Memory);

impl GuestMemory for Checked {
    fn read(&self, ptr: u32, buf: &mut [u8]) -> Result<(), Fault> {
        let len = u32::try_from(buf.len()).map_err(|_| Fault)?;
        buf.copy_from_slice(self.0.slice(ptr, len).ok_or(Fault)?);
        Ok(())
    }

    fn write(&mut self, ptr: u32, bytes: &[u8]) -> Result<(), Fault> {
        if self.0.write(ptr, bytes) { Ok(()) } else { Err(Fault) }
    }

    fn size(&self) -> u64 {
        self.0.pages() * PAGE_BYTES
    }
}

/// A line of the guest's standard output is logged when it ends, or at this length.
const MAX_LINE_BYTES: usize = 4 << 10;
/// How often a sleeping guest looks whether it must stop.
const NAP: Duration = Duration::from_millis(5);

struct Host<'a> {
    config: &'a NodeConfig,
    session: &'a str,
    line: &'a mut Vec<u8>,
}

impl WasiHost for Host<'_> {
    fn log(&mut self, fd: u32, bytes: &[u8]) {
        let module = self.config.name.as_str();
        let session = self.session;
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
            }
            if *byte == b'\n' || self.line.len() >= MAX_LINE_BYTES {
                let text = super::one_line(&String::from_utf8_lossy(self.line));
                if fd == 2 {
                    tracing::warn!(target: "guest", module, session, "{text}");
                } else {
                    tracing::info!(target: "guest", module, session, "{text}");
                }
                self.line.clear();
            }
        }
    }

    fn sleep(&mut self, how_long: Duration) -> bool {
        let stop = || fault::stop_requested().is_some() || fault::current_deadline().is_some_and(|deadline| Instant::now() >= deadline);
        if how_long.is_zero() {
            return !stop();
        }
        worker::blocking(|| {
            let end = Instant::now().checked_add(how_long);
            loop {
                if stop() {
                    return false;
                }
                let left = end.map_or(NAP, |end| end.saturating_duration_since(Instant::now()));
                if left.is_zero() {
                    return true;
                }
                #[expect(clippy::disallowed_methods, reason = "the guest asked to sleep; each nap is short and looks for a stop")]
                std::thread::sleep(left.min(NAP));
            }
        })
    }
}
