//! What the engine can tell without running a node: its versions, a module's face, a compilation's result.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::{self, CacheCounts};
use super::host;
use super::module::{Declared, Module};
use super::node::ModuleSource;
use super::{cpu, exit, fault, sys, worker};
use crate::error::Result;

/// What `runtimeInfo()` shows.
pub struct RuntimeReport {
    /// Version of this package.
    pub version: &'static str,
    /// Version of the WasmEdge library.
    pub wasmedge: String,
    /// Whether compiled guest code may run on this system.
    pub native: bool,
    /// Whether the signal handlers are still ours; `None` before compiled code ran.
    pub handlers_intact: Option<bool>,
    /// Features of this processor.
    pub cpu_features: Vec<&'static str>,
    /// Guests that run at once.
    pub parallelism: usize,
    /// Guest threads that exist now.
    pub threads: usize,
    /// Folder of compiled modules; `None` when none can be used.
    pub cache_folder: Option<PathBuf>,
    /// What the cache did so far.
    pub cache: CacheCounts,
}

/// Tells about this process and machine.
pub fn runtime_report() -> RuntimeReport {
    let cache = cache::global();
    RuntimeReport {
        version: env!("CARGO_PKG_VERSION"),
        wasmedge: sys::version(),
        native: fault::native_supported(),
        handlers_intact: cache::is_prepared().then(fault::handlers_intact),
        cpu_features: cpu::features().split(' ').collect(),
        parallelism: worker::parallelism(),
        threads: worker::threads(),
        cache_folder: cache.folder().ok().map(|folder| folder.path().to_path_buf()),
        cache: cache.counts(),
    }
}

/// What `inspectModule()` shows.
pub struct ModuleReport {
    /// SHA-256 of the bytes.
    pub sha256: String,
    /// Size of the bytes.
    pub bytes: usize,
    /// Imports, exports, memory.
    pub declared: Declared,
    /// Whether each import is one of ours, in the order of the imports; what a node must be granted for it.
    pub grants: Vec<Option<&'static str>>,
}

fn read(source: ModuleSource) -> Result<Module> {
    match source {
        ModuleSource::Path(path) => Module::from_path(&path),
        ModuleSource::Bytes(bytes) => Module::from_bytes(bytes),
    }
}

/// Reads and checks a module; `done` runs on a guest thread.
pub fn inspect_module(source: ModuleSource, done: impl FnOnce(Result<ModuleReport>) + Send + 'static) {
    worker::once(move || {
        done(read(source).map(|module| ModuleReport {
            sha256: module.hash_text(),
            bytes: module.size_bytes(),
            grants: module.declared().imports.iter().map(host::grant_of).collect(),
            declared: module.declared().clone(),
        }));
    });
}

/// What `compileModule()` shows.
pub struct CompileReport {
    /// SHA-256 of the module.
    pub sha256: String,
    /// Whether it was found in the cache.
    pub cached: bool,
    /// Milliseconds from the call to the loaded code.
    pub total_ms: f64,
    /// Size of the compiled artifact.
    pub artifact_bytes: u64,
}

/// Compiles a module into the cache ahead of its first use.
pub fn compile_module(source: ModuleSource, fuel: bool, done: impl FnOnce(Result<CompileReport>) + Send + 'static) {
    let started = Instant::now();
    worker::once(move || {
        let module = match read(source) {
            Ok(module) => Arc::new(module),
            Err(error) => return done(Err(error)),
        };
        let sha256 = module.hash_text();
        let before = cache::global().counts().compiled;
        cache::global().native(
            &module,
            fuel,
            Box::new(move |native| {
                let cached = cache::global().counts().compiled == before;
                done(native.map(|native| CompileReport {
                    sha256,
                    cached: native.from_disk || cached,
                    total_ms: started.elapsed().as_secs_f64() * 1_000.0,
                    artifact_bytes: native.bytes,
                }));
            }),
        );
    });
}

/// Stops all work in the engine for good, for the end of the process. False when some goes on: then no destructor may run.
pub fn stop_all(grace: Duration) -> bool {
    exit::stop(grace)
}
