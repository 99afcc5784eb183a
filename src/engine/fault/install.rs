//! Pinning WasmEdge's handlers once and putting ours in front.
//!
//! Problem: WasmEdge installs its handlers at the start of the first compiled call and resets them to
//! the default at the end of the last. Its handler's address can be seen only in between, and whatever
//! Node had installed is lost afterwards.
//!
//! Answer: WasmEdge's own calls of `sigaction` are intercepted (`intercept.rs`), so that its handler is
//! known and never in front, not even for a moment in which V8 might trap on another thread. One
//! compiled call that never ends (the park module, on a thread of its own) makes it try, and keeps it
//! from ever trying again where interception is not to be had. Ours are installed with the handlers
//! from before as the next in line.
//!
//! Another copy of this addon in the process (own statics, same libwasmedge) finds WasmEdge's handlers
//! pinned and hidden behind the first copy's. Each copy therefore publishes what it knows in a small
//! memfd mapping, which the others find by its name in `/proc/self/maps`.
//!
//! What it does not do: it does not restore anything; the handlers stay until the process ends.

use super::handler::{self, SIGNALS};
use super::{hijack, intercept, platform, ranges};
use parking_lot::Mutex;
use std::ffi::{CString, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr;
use std::sync::mpsc;
use wasmedge_sys::ffi;

const NAME: &str = "remotemedia-wasmedge-fault";
const MAGIC: u64 = 0x7265_6d6f_7465_0001;

/// What a copy of the addon tells the others; one page, written before it is mapped for reading.
#[repr(C)]
#[derive(Clone, Copy)]
struct Published {
    magic: u64,
    /// WasmEdge's handler.
    wasmedge: u64,
    /// The copy's own handler.
    dispatch: u64,
    /// Tells copies with a libwasmedge of their own apart.
    library: u64,
}

static INSTALLED: Mutex<bool> = Mutex::new(false);

/// Takes over the signals. Once per process; later calls return at once.
pub fn install(park_artifact: &Path) -> io::Result<()> {
    let mut installed = INSTALLED.lock();
    if *installed {
        return Ok(());
    }
    platform::remember_process();
    platform::prepare_barrier();
    hijack::prepare();
    let _one_copy_at_a_time = process_lock()?;
    let before = SIGNALS.map(handler::current);
    if let Err(error) = intercept::intercept() {
        tracing::debug!(target: "engine", %error, "WasmEdge's handlers are replaced only after it installed them");
    }
    park(park_artifact)?;
    let during = SIGNALS.map(handler::current);
    let library = ffi::WasmEdge_VersionGet as *const () as u64;
    let wasmedge = if let Some(noted) = intercept::noted() {
        noted
    } else if during[0].sa_sigaction == before[0].sa_sigaction {
        let others = published()?;
        let same = others.iter().find(|other| other.library == library);
        same.map(|other| other.wasmedge as usize)
            .ok_or_else(|| io::Error::other("another user of WasmEdge in this process holds its signal handlers"))?
    } else {
        during[0].sa_sigaction
    };
    handler::take_over(wasmedge, &before)?;
    publish(Published { magic: MAGIC, wasmedge: wasmedge as u64, dispatch: handler::address() as u64, library })?;
    *installed = true;
    Ok(())
}

/// The signals still lead to us, or to another copy of us that forwards.
pub fn handlers_intact() -> bool {
    if !*INSTALLED.lock() {
        return false;
    }
    let now = SIGNALS.map(|signal| handler::current(signal).sa_sigaction);
    let ours = handler::address();
    if now.iter().all(|&address| address == ours) {
        return true;
    }
    let others = published().unwrap_or_default();
    now.iter().all(|&address| address == ours || others.iter().any(|other| other.dispatch == address as u64))
}

/// Keeps two copies of the addon from installing at the same time. The lock is on this process's own
/// directory in `/proc`, the one thing that both have and no other process uses.
fn process_lock() -> io::Result<std::fs::File> {
    let directory = std::fs::File::open("/proc/self")?;
    // SAFETY: a valid descriptor; released when the file is closed.
    while unsafe { libc::flock(directory.as_raw_fd(), libc::LOCK_EX) } != 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            break; // A sandbox without locks: two copies at the same instant are unlikely enough.
        }
    }
    Ok(directory)
}

fn publish(page: Published) -> io::Result<()> {
    let name = CString::new(NAME).map_err(io::Error::other)?;
    // SAFETY: creates, fills and maps a file of our own; the mapping stays for good.
    unsafe {
        let fd = libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = OwnedFd::from_raw_fd(fd);
        let size = size_of::<Published>();
        if libc::write(fd.as_raw_fd(), (&raw const page).cast(), size) != size as isize {
            return Err(io::Error::last_os_error());
        }
        let flags = libc::MAP_SHARED;
        let at = libc::mmap(ptr::null_mut(), size, libc::PROT_READ, flags, fd.as_raw_fd(), 0);
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// What the copies of the addon in this process have published.
fn published() -> io::Result<Vec<Published>> {
    let wanted = format!("/memfd:{NAME}");
    let found = ranges::mappings()?.into_iter().filter_map(|(_, mapping)| {
        if !mapping.path.starts_with(wanted.as_bytes()) {
            return None;
        }
        // SAFETY: a readable page of this layout, mapped for the life of the process.
        let page = unsafe { *(mapping.low as *const Published) };
        (page.magic == MAGIC).then_some(page)
    });
    Ok(found.collect())
}

/// Starts the call that never ends; returns once it is inside WasmEdge.
fn park(artifact: &Path) -> io::Result<()> {
    let path = artifact.canonicalize()?;
    let (parked, is_parked) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("wasm-park".into()).stack_size(256 * 1024).spawn(move || {
        platform::block_signals();
        let failed = run_park(&path, &parked);
        let _ = parked.send(failed);
    })?;
    is_parked.recv().map_err(io::Error::other)?
}

type Parked = mpsc::SyncSender<io::Result<()>>;

unsafe extern "C" fn park_here(
    parked: *mut c_void,
    _: *const ffi::WasmEdge_CallingFrameContext,
    _: *const ffi::WasmEdge_Value,
    _: *mut ffi::WasmEdge_Value,
) -> ffi::WasmEdge_Result {
    // SAFETY: `run_park` passes a sender that lives as long as this call, which is for ever.
    let parked = unsafe { &*parked.cast::<Parked>() };
    let _ = parked.send(Ok(()));
    loop {
        std::thread::park();
    }
}

fn check(what: &str, result: ffi::WasmEdge_Result) -> io::Result<()> {
    // SAFETY: reads the value passed.
    if unsafe { ffi::WasmEdge_ResultOK(result) } {
        return Ok(());
    }
    Err(io::Error::other(format!("park module: {what} failed ({:#x})", result.Code)))
}

/// Loads and runs the park module. Returns only when something failed; what it made by then is
/// leaked, which happens once in the life of a process that cannot run compiled guests.
fn run_park(path: &Path, parked: &Parked) -> io::Result<()> {
    let file = CString::new(path.as_os_str().as_encoded_bytes()).map_err(io::Error::other)?;
    // SAFETY: the C API in its documented order; every object outlives its use.
    unsafe {
        let conf = ffi::WasmEdge_ConfigureCreate();
        ffi::WasmEdge_ConfigureSetRunMode(conf, ffi::WasmEdge_RunMode_AOT);
        let loader = ffi::WasmEdge_LoaderCreate(conf);
        let mut ast = ptr::null_mut();
        check("load", ffi::WasmEdge_LoaderParseFromFile(loader, &mut ast, file.as_ptr()))?;
        let validator = ffi::WasmEdge_ValidatorCreate(conf);
        check("validate", ffi::WasmEdge_ValidatorValidate(validator, ast))?;
        // Interpreted, it would not pin anything.
        std::mem::forget(ranges::register_artifact(path)?);

        let i32_type = [ffi::WasmEdge_ValTypeGenI32()];
        let ty = ffi::WasmEdge_FunctionTypeCreate(i32_type.as_ptr(), 1, i32_type.as_ptr(), 1);
        let data = (parked as *const Parked).cast_mut().cast();
        let function = ffi::WasmEdge_FunctionInstanceCreate(ty, Some(park_here), data, 0);
        let module = ffi::WasmEdge_ModuleInstanceCreate(ffi::WasmEdge_StringWrap(c"env".as_ptr(), 3));
        let name = ffi::WasmEdge_StringWrap(c"park".as_ptr(), 4);
        ffi::WasmEdge_ModuleInstanceAddFunction(module, name, function);

        let executor = ffi::WasmEdge_ExecutorCreate(conf, ptr::null_mut());
        let store = ffi::WasmEdge_StoreCreate();
        check("import", ffi::WasmEdge_ExecutorRegisterImport(executor, store, module))?;
        let mut instance = ptr::null_mut();
        let made = ffi::WasmEdge_ExecutorInstantiate(executor, &mut instance, store, ast);
        check("instantiate", made)?;
        let run = ffi::WasmEdge_StringWrap(c"run".as_ptr(), 3);
        let run = ffi::WasmEdge_ModuleInstanceFindFunction(instance, run);
        if run.is_null() {
            return Err(io::Error::other("park module: not the one from park_wasm()"));
        }
        let argument = [ffi::WasmEdge_ValueGenI32(0)];
        let mut result = [ffi::WasmEdge_ValueGenI32(0)];
        let end = ffi::WasmEdge_ExecutorInvoke(executor, run, argument.as_ptr(), 1, result.as_mut_ptr(), 1);
        check("run", end)?;
    }
    Err(io::Error::other("park module: returned"))
}
