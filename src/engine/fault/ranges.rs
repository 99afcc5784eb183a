//! Where guest code lies in memory.
//!
//! Problem: the handler may jump out only when the interrupted instruction is the guest's, and it must
//! decide that without locks, in a signal handler, while modules come and go.
//!
//! Answer: a static table with one atomic word per executable mapping of a compiled artifact (first
//! page and number of pages together, so that no reader ever sees half an entry). For JIT code, which
//! lies in anonymous memory, the opposite: everything outside the file-backed executable mappings.
//!
//! What it does not do: it does not notice libraries loaded later; [`rescan_native_ranges`] does, and
//! is to be called after each JIT load.

use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::*};

const CAPACITY: usize = 4096;
const PAGE: usize = 4096;
/// Low bits of an entry: number of pages.
const LENGTH_BITS: u32 = 19;

static GUEST: [AtomicU64; CAPACITY] = [const { AtomicU64::new(0) }; CAPACITY];
static USED: AtomicUsize = AtomicUsize::new(0);
/// Serialises writers; readers take no lock.
static WRITE: Mutex<()> = Mutex::new(());
/// Sorted; replaced as a whole and never freed, because a handler may be reading it.
static NATIVE: AtomicPtr<Vec<(usize, usize)>> = AtomicPtr::new(ptr::null_mut());

fn contains(entry: u64, pc: usize) -> bool {
    let low = (entry >> LENGTH_BITS) as usize;
    let pages = (entry & ((1 << LENGTH_BITS) - 1)) as usize;
    let page = pc / PAGE;
    page >= low && page - low < pages
}

/// `pc` lies in a registered artifact.
fn is_compiled(pc: usize) -> bool {
    GUEST[..USED.load(Acquire)].iter().any(|entry| contains(entry.load(Relaxed), pc))
}

/// `pc` is guest code. Async-signal-safe.
pub(super) fn is_guest(pc: usize, jit: bool) -> bool {
    is_compiled(pc) || (jit && is_anonymous(pc))
}

fn is_anonymous(pc: usize) -> bool {
    // SAFETY: tables are leaked on purpose, so the pointer stays valid.
    let Some(native) = (unsafe { NATIVE.load(Acquire).as_ref() }) else {
        return false;
    };
    let after = native.partition_point(|&(low, _)| low <= pc);
    pc >= PAGE && !(after > 0 && pc < native[after - 1].1)
}

/// The ranges of one loaded artifact; dropped before its AST is deleted.
#[derive(Debug)]
pub struct CodeRange {
    entries: Vec<usize>,
}

impl Drop for CodeRange {
    fn drop(&mut self) {
        let _writer = WRITE.lock();
        for &index in &self.entries {
            GUEST[index].store(0, Release);
        }
    }
}

/// Finds the executable mappings of exactly this file. An error means that the module is not running
/// compiled, whatever WasmEdge says.
pub fn register_artifact(path: &Path) -> io::Result<CodeRange> {
    let path = path.canonicalize()?;
    let wanted = path.as_os_str().as_encoded_bytes();
    let found: Vec<_> = executable_mappings()?.into_iter().filter(|mapping| mapping.path == wanted).collect();
    if found.is_empty() {
        let message = format!("{} is not mapped executable: not running compiled", path.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    let writer = WRITE.lock();
    let mut range = CodeRange { entries: Vec::with_capacity(found.len()) };
    for mapping in found {
        let pages = (mapping.high - mapping.low) / PAGE;
        let free = GUEST.iter().position(|entry| entry.load(Relaxed) == 0);
        let (Some(index), true) = (free, pages < 1 << LENGTH_BITS) else {
            drop(writer);
            return Err(io::Error::other("no room for the code ranges of another module"));
        };
        let entry = ((mapping.low / PAGE) as u64) << LENGTH_BITS | pages as u64;
        GUEST[index].store(entry, Release);
        USED.fetch_max(index + 1, AcqRel);
        range.entries.push(index);
    }
    Ok(range)
}

/// Notes the file-backed executable mappings of the process: JIT code is what lies outside of them.
pub fn rescan_native_ranges() -> io::Result<()> {
    let _writer = WRITE.lock();
    let mut native: Vec<_> = executable_mappings()?
        .into_iter()
        .filter(|mapping| matches!(mapping.path.first(), Some(b'/' | b'[')))
        .map(|mapping| (mapping.low, mapping.high))
        .collect();
    native.sort_unstable();
    // SAFETY: as in `is_anonymous`.
    let unchanged = unsafe { NATIVE.load(Acquire).as_ref() } == Some(&native);
    if !unchanged {
        NATIVE.store(Box::into_raw(Box::new(native)), Release);
    }
    Ok(())
}

pub(super) struct Mapping {
    pub low: usize,
    pub high: usize,
    pub path: Vec<u8>,
}

/// Executable mappings from `/proc/self/maps`.
fn executable_mappings() -> io::Result<Vec<Mapping>> {
    Ok(mappings()?.into_iter().filter_map(|(exec, mapping)| exec.then_some(mapping)).collect())
}

/// All mappings with their permission to execute.
pub(super) fn mappings() -> io::Result<Vec<(bool, Mapping)>> {
    let maps = std::fs::read("/proc/self/maps")?;
    Ok(maps.split(|&byte| byte == b'\n').filter_map(parse).collect())
}

/// `low-high perms offset device inode   path`; the path may contain spaces.
fn parse(line: &[u8]) -> Option<(bool, Mapping)> {
    let mut rest = line;
    let mut field = || {
        let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
        let (head, tail) = rest.split_at(end);
        rest = tail.trim_ascii_start();
        head
    };
    let addresses = std::str::from_utf8(field()).ok()?;
    let executable = field().get(2) == Some(&b'x');
    for _ in 0..3 {
        field();
    }
    let path = rest.to_vec();
    let (low, high) = addresses.split_once('-')?;
    let low = usize::from_str_radix(low, 16).ok()?;
    let high = usize::from_str_radix(high, 16).ok()?;
    Some((executable, Mapping { low, high, path }))
}
