//! From a source of bytes to a node that is ready, in the run mode that was asked for.
//!
//! Nothing here waits: what takes long (reading, compiling) goes on elsewhere and comes back through a callback.

use std::sync::Arc;

use super::{Loaded, ModuleSource, Phase, WasmNode};
use crate::data::SessionId;
use crate::engine::config::{Mode, NodeConfig};
use crate::engine::instance::{Blueprint, Compiled};
use crate::engine::module::{Declared, Module, Signature};
use crate::engine::pool::Pool;
use crate::engine::session::Session;
use crate::engine::{cache, fault, host, housekeeping, sys, worker};
use crate::error::{Code, Error, Result};

impl WasmNode {
    /// Reads and checks the module, then waits for its code if the mode needs that first.
    pub(super) fn load(self: Arc<Self>, source: ModuleSource) {
        let checked = self.check(source);
        let (module, blueprint) = match checked {
            Ok(checked) => checked,
            Err(error) => return self.finish(Err(error)),
        };
        let fuel = self.config.fuel.is_some();
        match self.config.mode {
            Mode::Interpreter => self.finish(Compiled::interpreter(&module).map(|code| (code, blueprint, module))),
            Mode::Aot | Mode::Jit => {
                let wants_jit = self.config.mode == Mode::Jit;
                let (node, kept) = (Arc::clone(&self), Arc::clone(&module));
                cache::global().native(
                    &module,
                    fuel,
                    Box::new(move |native| {
                        let code = native.map(|native| {
                            node.note_compile(&native);
                            // For the compiler in memory the artifact is the proof that this module does not crash the compiler.
                            if wants_jit { Compiled::Jit(Arc::clone(&kept)) } else { Compiled::Aot(native, Arc::clone(&kept)) }
                        });
                        // Not on the compiler's thread: the next module waits for it.
                        worker::once(move || node.finish(code.map(|code| (code, blueprint, kept))));
                    }),
                );
            }
            Mode::Auto => {
                if fault::native_supported()
                    && let Some(native) = cache::global().ready(&module, fuel)
                {
                    return self.finish(Ok((Compiled::Aot(native, Arc::clone(&module)), blueprint, module)));
                }
                let code = Compiled::interpreter(&module);
                let interpreted = code.is_ok();
                self.finish(code.map(|code| (code, blueprint, Arc::clone(&module))));
                if interpreted && fault::native_supported() {
                    self.compile_behind(&module, fuel);
                }
            }
        }
    }

    fn note_compile(&self, native: &cache::Native) {
        if !native.from_disk {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds of a compilation")]
            self.metrics.compile_us.set((native.compile_ms * 1_000.0) as u64);
        }
    }

    /// Compiles while the interpreter already works, and switches when done.
    fn compile_behind(self: &Arc<Self>, module: &Arc<Module>, fuel: bool) {
        let (node, kept) = (Arc::downgrade(self), Arc::clone(module));
        cache::global().native(
            module,
            fuel,
            Box::new(move |native| {
                let Some(node) = node.upgrade() else { return };
                let code = native.map(|native| {
                    node.note_compile(&native);
                    Compiled::Aot(native, Arc::clone(&kept))
                });
                match code {
                    Ok(code) => {
                        if let Phase::Ready(loaded) = &*node.phase.lock() {
                            let pool = Arc::clone(&loaded.pool);
                            worker::once(move || pool.set_code(code));
                        }
                    }
                    Err(error) => tracing::warn!(target: "engine", node = node.config.name, %error, "stays interpreted"),
                }
            }),
        );
    }

    fn check(&self, source: ModuleSource) -> Result<(Arc<Module>, Arc<Blueprint>)> {
        let module = match source {
            ModuleSource::Path(path) => Module::from_path(&path)?,
            ModuleSource::Bytes(bytes) => Module::from_bytes(bytes)?,
        };
        check_abi(module.declared(), &self.config)?;
        let imports = host::resolve(module.declared(), &self.config)?;
        let blueprint = Arc::new(Blueprint { config: Arc::clone(&self.config), imports });
        Ok((Arc::new(module), blueprint))
    }

    fn finish(self: &Arc<Self>, result: Result<(Compiled, Arc<Blueprint>, Arc<Module>)>) {
        match result {
            Ok((code, blueprint, module)) => {
                let pool = Pool::new(code, blueprint, Arc::clone(&self.metrics));
                let lanes = if self.config.stateless { self.make_lanes(&pool) } else { Vec::new() };
                let loaded = Loaded { pool: Arc::clone(&pool), module, lanes: Arc::new(lanes) };
                self.tell_in_order(&loaded);
                pool.refill();
                housekeeping::watch(self);
            }
            Err(error) => {
                let error = error.in_node(&self.config.name);
                let waiting = match &mut *self.phase.lock() {
                    phase @ Phase::Loading(..) => match std::mem::replace(phase, Phase::Failed(error.clone())) {
                        Phase::Loading(waiting, _) => waiting,
                        _ => return,
                    },
                    _ => return,
                };
                for ready in waiting {
                    ready(Err(error.clone()));
                }
            }
        }
    }

    /// Tells all that wait, in the order in which they came, and then lets everybody in: whoever comes meanwhile must not overtake.
    fn tell_in_order(&self, loaded: &Loaded) {
        loop {
            let waiting = {
                let mut phase = self.phase.lock();
                let Phase::Loading(waiting, early) = &mut *phase else { return };
                if waiting.is_empty() {
                    *phase = Phase::Ready(loaded.clone());
                    return;
                }
                *early = Some(loaded.clone());
                std::mem::take(waiting)
            };
            for ready in waiting {
                ready(Ok(()));
            }
        }
    }

    /// A stateless node's sessions are lanes: one per processor, each with an instance of its own, shared by all streams.
    fn make_lanes(&self, pool: &Arc<Pool>) -> Vec<Arc<Session>> {
        let count = worker::parallelism().min(self.config.pool_max);
        (0..count)
            .filter_map(|lane| SessionId::new(&format!("lane-{lane}")).ok())
            .map(|id| Session::new(id, Arc::clone(&self.config), Arc::clone(pool), Arc::clone(&self.metrics)))
            .collect()
    }
}

/// What the ABI demands of a module's exports, and the limits on its memory, before anything runs.
fn check_abi(declared: &Declared, config: &NodeConfig) -> Result<()> {
    let abi = |problem: String| Error::new(Code::Abi, problem);
    if !declared.exports.iter().any(|export| export.name == "memory" && export.kind == "memory") {
        return Err(abi("the module exports no memory 'memory'".into()));
    }
    let pages = config.memory_limit / sys::PAGE_BYTES;
    if declared.memory_pages > pages {
        let wants = declared.memory_pages * sys::PAGE_BYTES;
        let message = format!("the module starts with {wants} bytes of memory, memoryLimit is {}", config.memory_limit);
        return Err(Error::new(Code::WasmMemory, message));
    }
    let names = &config.exports;
    let wanted: [(&str, usize, usize, bool); 8] = [
        (&names.process, 4, 1, true),
        (&names.initialize, 1, 1, false),
        (&names.flush, 2, 1, false),
        (&names.cleanup, 0, 1, false),
        ("rm_alloc", 1, 1, false),
        ("rm_free", 2, 0, false),
        ("rm_abi_version", 0, 1, false),
        ("_initialize", 0, 0, false),
    ];
    for (name, params, results, required) in wanted {
        let expected = Signature::i32s(params, results);
        match declared.function(name) {
            Some(found) if *found != expected => return Err(abi(format!("the module exports '{name}' as {found}, the ABI wants {expected}"))),
            None if required => return Err(abi(format!("the module exports no function '{name}'"))),
            _ => {}
        }
    }
    Ok(())
}
