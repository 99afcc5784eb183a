//! Compiled modules: in memory, on disk, and being made.
//!
//! Problem: compiling takes 25 ms to 30 s, many nodes and processes want the same module at once, and loading a damaged artifact ends the
//! process. Answer: [`Cache::native`] answers each asker once, from memory (least recently used, bounded by bytes), from disk, or after
//! one compilation however many asked. On disk an artifact is one file named after its key and the hash of its own bytes, in a folder that
//! only this user can enter: it appears by an atomic rename and is hashed again before it is loaded. It does not know how to compile
//! (`compile.rs`) nor who asks.

mod disk;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, mpsc};
use std::time::Instant;

use lru::LruCache;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

pub use disk::Folder;

use super::config::RunMode;
use super::fault;
use super::module::{Module, hex};
use super::{compile, exit, rewrite, sys};
use crate::error::{Code, Error, Result};
use crate::observe::{ProcessCounter, register_counters};

/// Bytes of artifacts that stay loaded without a user.
const MEMORY_BYTES: u64 = 256 << 20;
/// Compilers at once: they are background work, and each takes a processor and up to a gigabyte.
const COMPILERS: usize = 1;

/// A module as loaded native code. The code is gone when the last instance and the cache let go of it.
pub struct Native {
    // Declared first, so dropped first: the ranges must be forgotten before the code is unmapped.
    _code: fault::CodeRange,
    ast: sys::Ast,
    /// Size of the artifact.
    pub bytes: u64,
    /// Whether it was found rather than compiled now.
    pub from_disk: bool,
    /// Milliseconds that compiling it took.
    pub compile_ms: f64,
}

impl Native {
    /// The module to instantiate.
    pub fn ast(&self) -> &sys::Ast {
        &self.ast
    }
}

/// Tells one asker.
type Waiter = Box<dyn FnOnce(Result<Arc<Native>>) + Send>;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key(String);

/// Counters that `runtimeInfo` and metrics show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Answers from memory.
    pub memory_hits: u64,
    /// Answers from disk.
    pub disk_hits: u64,
    /// Compilations.
    pub compiled: u64,
    /// Compilations that failed.
    pub failed: u64,
}

struct State {
    loaded: LruCache<Key, Arc<Native>>,
    loaded_bytes: u64,
    wanted: HashMap<Key, Vec<Waiter>>,
    counts: CacheCounts,
    queue: Option<mpsc::Sender<(Key, Arc<Module>, bool)>>,
}

/// The process's compiled modules.
pub struct Cache {
    state: Mutex<State>,
    folder: Mutex<Option<Arc<Folder>>>,
}

/// The one cache of this process.
pub fn global() -> &'static Cache {
    static CACHE: LazyLock<Cache> = LazyLock::new(|| {
        register_counters(figures);
        let state = State { loaded: LruCache::unbounded(), loaded_bytes: 0, wanted: HashMap::new(), counts: CacheCounts::default(), queue: None };
        Cache { state: Mutex::new(state), folder: Mutex::new(None) }
    });
    &CACHE
}

fn figures() -> Vec<ProcessCounter> {
    let CacheCounts { memory_hits, disk_hits, compiled, failed } = global().counts();
    vec![
        ("remotemedia_cache_hits_total", Some(("from", "memory")), memory_hits),
        ("remotemedia_cache_hits_total", Some(("from", "disk")), disk_hits),
        ("remotemedia_cache_compiled_total", None, compiled),
        ("remotemedia_cache_failed_total", None, failed),
    ]
}

impl Cache {
    /// Tells `waiter`, now or later and on any thread, the compiled form of `module`.
    pub fn native(&'static self, module: &Arc<Module>, fuel: bool, waiter: Waiter) {
        let key = key(module, fuel);
        let mut state = self.state.lock();
        if let Some(native) = state.loaded.get(&key).cloned() {
            state.counts.memory_hits += 1;
            drop(state);
            return waiter(Ok(native));
        }
        if let Some(others) = state.wanted.get_mut(&key) {
            others.push(waiter);
            return;
        }
        state.wanted.insert(key.clone(), vec![waiter]);
        let queue = match &state.queue {
            Some(queue) => queue.clone(),
            None => match self.start_compilers() {
                Ok(queue) => state.queue.insert(queue).clone(),
                Err(error) => {
                    drop(state);
                    return self.answer(&key, Err(error));
                }
            },
        };
        drop(state);
        // The compilers live as long as the process, so the queue is never closed.
        let _ = queue.send((key, Arc::clone(module), fuel));
    }

    /// The compiled form if it is loaded already, or on disk and hence loaded at once. Never compiles.
    pub fn ready(&self, module: &Module, fuel: bool) -> Option<Arc<Native>> {
        let key = key(module, fuel);
        {
            let mut state = self.state.lock();
            if let Some(native) = state.loaded.get(&key).cloned() {
                state.counts.memory_hits += 1;
                return Some(native);
            }
        }
        let path = self.folder().ok()?.find(&key.0)?;
        let native = load(&path, true, 0.0).ok()?;
        Some(self.keep(&key, native))
    }

    /// The folder of artifacts.
    pub fn folder(&self) -> Result<Arc<Folder>> {
        let mut folder = self.folder.lock();
        if let Some(folder) = &*folder {
            return Ok(Arc::clone(folder));
        }
        let opened = Arc::new(Folder::open()?);
        *folder = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// What happened so far.
    pub fn counts(&self) -> CacheCounts {
        self.state.lock().counts
    }

    fn start_compilers(&'static self) -> Result<mpsc::Sender<(Key, Arc<Module>, bool)>> {
        let (sender, receiver) = mpsc::channel::<(Key, Arc<Module>, bool)>();
        let receiver = Arc::new(Mutex::new(receiver));
        for index in 0..COMPILERS {
            let receiver = Arc::clone(&receiver);
            let work = move || {
                loop {
                    let Ok((key, module, fuel)) = receiver.lock().recv() else { return };
                    let made = self.make(&key, &module, fuel);
                    self.answer(&key, made);
                }
            };
            let spawned = std::thread::Builder::new().name(format!("rm-compile-{index}")).spawn(work);
            spawned.map_err(|error| Error::new(Code::Internal, "cannot start the compiler thread").because(error))?;
        }
        Ok(sender)
    }

    fn answer(&self, key: &Key, made: Result<Native>) {
        let made = made.map(|native| self.keep(key, native));
        let waiters = {
            let mut state = self.state.lock();
            if made.is_err() {
                state.counts.failed += 1;
            }
            state.wanted.remove(key).unwrap_or_default()
        };
        for waiter in waiters {
            waiter(made.clone());
        }
    }

    fn keep(&self, key: &Key, native: Native) -> Arc<Native> {
        let mut state = self.state.lock();
        if native.from_disk {
            state.counts.disk_hits += 1;
        } else {
            state.counts.compiled += 1;
        }
        if let Some(other) = state.loaded.get(key) {
            return Arc::clone(other);
        }
        let native = Arc::new(native);
        state.loaded_bytes += native.bytes;
        state.loaded.put(key.clone(), Arc::clone(&native));
        let mut evicted = Vec::new();
        while state.loaded_bytes > MEMORY_BYTES && state.loaded.len() > 1 {
            let Some((_, old)) = state.loaded.pop_lru() else { break };
            state.loaded_bytes = state.loaded_bytes.saturating_sub(old.bytes);
            evicted.push(old);
        }
        drop(state);
        drop(evicted);
        native
    }

    fn make(&self, key: &Key, module: &Module, fuel: bool) -> Result<Native> {
        let folder = self.folder()?;
        // Another process may be compiling the same module: the second waits and then finds it.
        let _only_one = folder.lock(&key.0);
        if let Some(path) = folder.find(&key.0)
            && let Ok(native) = load(&path, true, 0.0)
        {
            return Ok(native);
        }
        let started = Instant::now();
        let (input, output) = (folder.scratch("wasm"), folder.scratch("so"));
        std::fs::write(&input.path, module.for_native()?)
            .map_err(|error| Error::new(Code::Internal, "cannot write to the cache folder").because(error))?;
        compile::run_child(&input.path, &output.path, fuel)?;
        let path = folder.publish(&key.0, &output)?;
        load(&path, false, started.elapsed().as_secs_f64() * 1_000.0)
    }
}

/// Loads an artifact whose hash was checked, and proves that it is what will run.
fn load(path: &PathBuf, from_disk: bool, compile_ms: f64) -> Result<Native> {
    let failed = |problem: String| Error::new(Code::ModuleInvalid, format!("the compiled module cannot be loaded: {problem}"));
    super::log::install();
    install_fault_isolation()?;
    let _inside = exit::enter();
    let conf = sys::Configure::new(RunMode::Aot, false);
    let ast = sys::Ast::from_artifact(&conf, path).map_err(|failure| failed(failure.text()))?;
    let code = fault::register_artifact(path).map_err(|error| failed(error.to_string()))?;
    let bytes = std::fs::metadata(path).map(|facts| facts.len()).unwrap_or_default();
    Ok(Native { _code: code, ast, bytes, from_disk, compile_ms })
}

static INSTALLED: Mutex<bool> = Mutex::new(false);

/// Whether compiled code has been made ready for in this process.
pub fn is_prepared() -> bool {
    *INSTALLED.lock()
}

/// Takes over the signals before the first native guest code runs. Needs one tiny compiled module, cached like any other.
fn install_fault_isolation() -> Result<()> {
    let mut installed = INSTALLED.lock();
    if *installed {
        return Ok(());
    }
    let cache = global();
    let folder = cache.folder()?;
    let key = digest(&[b"park", fault::park_wasm()], false);
    let path = match folder.find(&key) {
        Some(path) => path,
        None => {
            let (input, output) = (folder.scratch("wasm"), folder.scratch("so"));
            std::fs::write(&input.path, fault::park_wasm())
                .map_err(|error| Error::new(Code::Internal, "cannot write to the cache folder").because(error))?;
            compile::run_child(&input.path, &output.path, false)?;
            folder.publish(&key, &output)?
        }
    };
    fault::install(&path).map_err(|error| Error::new(Code::Internal, "cannot isolate the guests' faults").because(error))?;
    *installed = true;
    Ok(())
}

fn key(module: &Module, fuel: bool) -> Key {
    Key(digest(&[module.hash()], fuel))
}

/// Everything that the bytes of an artifact depend on.
fn digest(parts: &[&[u8]], fuel: bool) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.update(rewrite::VERSION.to_le_bytes());
    hash.update([u8::from(fuel)]);
    hash.update(sys::version());
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(std::env::consts::ARCH);
    hash.update(std::env::consts::OS);
    hash.update(super::cpu::features());
    hex(&hash.finalize())
}
