//! Keeping WasmEdge's hands off the process's signals.
//!
//! Problem: at its first compiled call WasmEdge puts its handlers over V8's with `sigaction`, and for the moment until ours are in front a
//! trap of V8's own WebAssembly on any thread of the process would land in WasmEdge's handler and abort. Answer: the entries of
//! libwasmedge's own jump table for `sigaction` and `signal` lead here. For the three fault signals the handler's address is noted and
//! nothing is installed; everything else goes on to libc.
//!
//! What it does not do: it changes no other library's calls, and where the table cannot be found (a static build) it says so, and `install`
//! falls back to taking the signals over after the fact.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::*};

use wasmedge_sys::ffi;

/// WasmEdge's handler, once it tried to install it.
static NOTED: AtomicUsize = AtomicUsize::new(0);

/// The handler that WasmEdge wanted to install, if it did so since [`intercept`].
pub(super) fn noted() -> Option<usize> {
    match NOTED.load(Acquire) {
        0 => None,
        address => Some(address),
    }
}

fn is_fault(signal: c_int) -> bool {
    matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE)
}

unsafe extern "C" fn sigaction(signal: c_int, action: *const libc::sigaction, old: *mut libc::sigaction) -> c_int {
    if !is_fault(signal) || action.is_null() {
        // SAFETY: the caller's own arguments.
        return unsafe { libc::sigaction(signal, action, old) };
    }
    // SAFETY: the caller passes a valid action, as it would to libc.
    NOTED.store(unsafe { (*action).sa_sigaction }, Release);
    0
}

unsafe extern "C" fn signal(signal: c_int, handler: libc::sighandler_t) -> libc::sighandler_t {
    if is_fault(signal) {
        return libc::SIG_DFL;
    }
    // SAFETY: the caller's own arguments.
    unsafe { libc::signal(signal, handler) }
}

/// Leads libwasmedge's calls here. Once per process, before its first compiled call.
pub(super) fn intercept() -> io::Result<()> {
    let mut slots = Slots { inside: ffi::WasmEdge_VersionGet as *const () as usize, found: Vec::new() };
    // SAFETY: the callback reads the loader's own tables of loaded objects while the loader holds its lock, and `slots` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut slots).cast()) };
    if !slots.found.iter().any(|(_, target)| *target == sigaction as *const () as usize) {
        return Err(io::Error::other("libwasmedge's jump table was not found"));
    }
    slots.found.into_iter().try_for_each(|(slot, target)| replace(slot, target))
}

struct Slots {
    /// An address inside the library.
    inside: usize,
    /// Address of an entry, and what to put there.
    found: Vec<(usize, usize)>,
}

unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _size: libc::size_t, slots: *mut c_void) -> c_int {
    // SAFETY: the loader passes a live description; `slots` is ours.
    let (info, slots) = unsafe { (&*info, &mut *slots.cast::<Slots>()) };
    let base = info.dlpi_addr as usize;
    // SAFETY: the loader's own table of this object's segments.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let holds = |header: &libc::Elf64_Phdr| {
        let low = base + header.p_vaddr as usize;
        header.p_type == libc::PT_LOAD && (low..low + header.p_memsz as usize).contains(&slots.inside)
    };
    if !headers.iter().any(holds) {
        return 0;
    }
    if let Some(dynamic) = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC) {
        // SAFETY: the dynamic section of a loaded object, ended by a zero tag.
        unsafe { read_dynamic(base, (base + dynamic.p_vaddr as usize) as *const [u64; 2], &mut slots.found) };
    }
    1
}

const DT_NULL: u64 = 0;
const DT_PLTRELSZ: u64 = 2;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_JMPREL: u64 = 23;

/// # Safety
/// `entry` is the dynamic section of the object loaded at `base`.
unsafe fn read_dynamic(base: usize, mut entry: *const [u64; 2], found: &mut Vec<(usize, usize)>) {
    let mut table = [0_usize; 24];
    // SAFETY: the caller's promise; the loader has made the addresses in it absolute, as glibc does on every system that this is built for.
    unsafe {
        while (*entry)[0] != DT_NULL {
            if let Some(place) = table.get_mut((*entry)[0] as usize) {
                *place = (*entry)[1] as usize;
            }
            entry = entry.add(1);
        }
        let of = |tag: u64| table[tag as usize];
        let (symbols, strings) = (of(DT_SYMTAB) as *const libc::Elf64_Sym, of(DT_STRTAB) as *const c_char);
        if symbols.is_null() || strings.is_null() {
            return;
        }
        for (start, bytes) in [(of(DT_JMPREL), of(DT_PLTRELSZ)), (of(DT_RELA), of(DT_RELASZ))] {
            for index in 0..bytes / size_of::<libc::Elf64_Rela>() {
                let relocation = &*(start as *const libc::Elf64_Rela).add(index);
                let symbol = (relocation.r_info >> 32) as usize;
                if symbol == 0 {
                    continue;
                }
                let name = CStr::from_ptr(strings.add((*symbols.add(symbol)).st_name as usize));
                let target = match name.to_bytes() {
                    b"sigaction" => sigaction as *const () as usize,
                    b"signal" => signal as *const () as usize,
                    _ => continue,
                };
                found.push((base + relocation.r_offset as usize, target));
            }
        }
    }
}

fn replace(slot: usize, target: usize) -> io::Result<()> {
    // SAFETY: no arguments that could be wrong.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let page = slot & !(page_bytes - 1);
    let was_writable = writable(slot)?;
    // SAFETY: the page holds an entry of the library's jump table, which is one aligned word; other threads that read it meanwhile see
    // either function, and both do what the caller wants.
    unsafe {
        if !was_writable && libc::mprotect(page as *mut c_void, page_bytes, libc::PROT_READ | libc::PROT_WRITE) != 0 {
            return Err(io::Error::last_os_error());
        }
        (*(slot as *const AtomicUsize)).store(target, Release);
        if !was_writable {
            libc::mprotect(page as *mut c_void, page_bytes, libc::PROT_READ);
        }
    }
    Ok(())
}

/// Whether the mapping at `address` may be written: the loader closes the tables of libraries that were bound at once.
fn writable(address: usize) -> io::Result<bool> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let permissions = maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (low, high) = range.split_once('-')?;
        let (low, high) = (usize::from_str_radix(low, 16).ok()?, usize::from_str_radix(high, 16).ok()?);
        (low..high).contains(&address).then(|| rest.as_bytes().get(1) == Some(&b'w'))
    });
    permissions.ok_or_else(|| io::Error::other("libwasmedge's jump table is not mapped"))
}
