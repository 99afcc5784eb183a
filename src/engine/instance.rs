//! One running guest: its memory, its functions, and what it takes to call them.
//!
//! Problem: a guest may be interpreted, compiled ahead of time or compiled just now, and each call of it may end in a result, a refusal, a
//! trap, a limit or silence. Answer: [`Instance`] is made from [`Compiled`] code in one way for all modes, makes every call under a
//! deadline and names each ending as one typed error. After an error that [`Instance::is_dead`] confirms, the guest's memory can no longer
//! be trusted and the instance is thrown away. How bytes travel is `abi.rs`; who owns an instance and when is `session/` and `pool.rs`.

#![allow(clippy::unnecessary_cast, reason = "C enumerations are signed on some systems and unsigned on others")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::abi::Buffers;
use super::cache::Native;
use super::config::{NodeConfig, RunMode};
use super::fault::{self, CancelToken, Ended};
use super::host::{HostState, Import, link};
use super::module::Module;
use super::outcome::{link_error, stack_overflow, trap_kind};
use super::rewrite::{self, INTERPRETER_STACK_BYTES};
use super::sys::{self, Failure, Function, Global, InstanceView, Memory, ffi};
use crate::data::SessionId;
use crate::error::{Code, Error, Result};

/// A module in the form that one run mode needs. Shared by all instances in that mode.
#[derive(Clone)]
pub enum Compiled {
    /// Parsed, to be interpreted.
    Interpreter(Arc<sys::Ast>, Arc<Module>),
    /// Loaded native code.
    Aot(Arc<Native>, Arc<Module>),
    /// Bytes that each instance compiles for itself.
    Jit(Arc<Module>),
}

impl Compiled {
    /// Parses the module for the interpreter.
    pub fn interpreter(module: &Arc<Module>) -> Result<Self> {
        super::log::install();
        let conf = sys::Configure::new(RunMode::Interpreter, false);
        let refused = |failure: Failure| Error::new(Code::ModuleInvalid, format!("WasmEdge refuses the module: {}", failure.text()));
        let ast = sys::Ast::from_bytes(&conf, module.for_interpreter()?).map_err(refused)?;
        Ok(Self::Interpreter(Arc::new(ast), Arc::clone(module)))
    }

    /// How instances of it run.
    pub fn mode(&self) -> RunMode {
        match self {
            Self::Interpreter(..) => RunMode::Interpreter,
            Self::Aot(..) => RunMode::Aot,
            Self::Jit(..) => RunMode::Jit,
        }
    }

    fn module(&self) -> &Module {
        match self {
            Self::Interpreter(_, module) | Self::Aot(_, module) | Self::Jit(module) => module,
        }
    }
}

/// What a node gives to each of its instances.
pub struct Blueprint {
    /// The node's options.
    pub config: Arc<NodeConfig>,
    /// The imports that the module gets.
    pub imports: Vec<Import>,
}

/// Limits of one call.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// When it is out of time.
    pub deadline: Instant,
    /// How long that was from its start.
    pub timeout: Duration,
    /// Whoever may stop it earlier.
    pub cancel: Option<&'a CancelToken>,
}

impl<'a> Limits<'a> {
    /// Limits of a call that begins now.
    pub fn within(timeout: Duration, cancel: Option<&'a CancelToken>) -> Self {
        Self { deadline: Instant::now() + timeout, timeout, cancel }
    }
}

/// The guest's functions. The names are the node's, so their absence is known before an instance is made.
struct Functions {
    process: Function,
    initialize: Option<Function>,
    flush: Option<Function>,
    cleanup: Option<Function>,
    alloc: Option<Function>,
    free: Option<Function>,
}

/// Keeps the engine's objects in the order in which they must go: users before what they use.
struct Objects {
    view: InstanceView,
    executor: *mut ffi::WasmEdge_ExecutorContext,
    _module: Option<sys::ModuleInstance>,
    _vm: Option<sys::Vm>,
    _executor: Option<sys::Executor>,
    _store: Option<sys::Store>,
    statistics: Option<sys::Statistics>,
    vm_statistics: Option<*mut ffi::WasmEdge_StatisticsContext>,
    _imports: link::Linked,
}

/// A running guest. Used by one guest thread at a time.
pub struct Instance {
    objects: Objects,
    /// Owned; a raw pointer because the imports' callbacks hold it as well.
    state: *mut HostState,
    functions: Functions,
    memory: Memory,
    grow_refused: Option<Global>,
    stack_bytes: Option<Global>,
    globals: Vec<Global>,
    movable: bool,
    blueprint: Arc<Blueprint>,
    mode: RunMode,
    dead: bool,
    /// Where bytes pass to and from the guest.
    pub(super) buffers: Buffers,
    /// Last: the code must outlive all that runs it.
    _code: Compiled,
}

// SAFETY: nothing in it is bound to a thread; pool and session hand it to one guest thread at a time.
unsafe impl Send for Instance {}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`; the callbacks that hold it run only during a call, and there is none.
        drop(unsafe { Box::from_raw(self.state) });
    }
}

impl Instance {
    /// A new guest that has run its start functions and agreed on the ABI.
    pub fn new(code: &Compiled, blueprint: &Arc<Blueprint>, limits: Limits<'_>) -> Result<Self> {
        let mut instance = Self::link(code, blueprint)?;
        if code.module().facts().has_start {
            instance.call(Self::find(instance.objects.view, rewrite::START)?, &[], false, limits)?;
        }
        if let Some(start) = instance.objects.view.function("_initialize") {
            instance.call(start, &[], false, limits)?;
        }
        if let Some(version) = instance.objects.view.function("rm_abi_version") {
            let version = instance.call(version, &[], true, limits)?;
            if version != 1 {
                return Err(Error::new(Code::Abi, format!("the module speaks guest ABI {version}, this engine speaks 1")));
            }
        }
        Ok(instance)
    }

    fn find(view: InstanceView, name: &str) -> Result<Function> {
        view.function(name).ok_or_else(|| Error::new(Code::Abi, format!("the module exports no function '{name}'")))
    }

    /// Makes the instance without running any of the guest's code.
    fn link(code: &Compiled, blueprint: &Arc<Blueprint>) -> Result<Self> {
        let config = &blueprint.config;
        let mode = code.mode();
        let conf = sys::Configure::new(mode, config.fuel.is_some()).max_pages(config.memory_limit / sys::PAGE_BYTES);
        let state = Box::into_raw(Box::new(HostState::new(Arc::clone(config))?));
        // From here on the state is freed on every way out.
        let owned = StateGuard(state);
        let imports = link::modules(&blueprint.imports, state);
        let failed = |failure: Failure| link_error(failure, config);
        let objects = match code {
            Compiled::Jit(module) => {
                let wasm = module.for_native()?;
                let (vm, fell_back) = super::log::watch_fallback(|| sys::Vm::instantiate(&conf, &imports.modules, wasm));
                let vm = vm.map_err(failed)?;
                if fell_back {
                    return Err(Error::new(Code::ModuleInvalid, "WasmEdge cannot compile this module in memory; mode 'interpreter' may run it"));
                }
                fault::rescan_native_ranges()
                    .map_err(|error| Error::new(Code::Internal, "cannot find the compiled code in memory").because(error))?;
                Objects {
                    view: vm.view(),
                    executor: vm.executor(),
                    vm_statistics: config.fuel.map(|_| vm.statistics()),
                    _module: None,
                    _vm: Some(vm),
                    _executor: None,
                    _store: None,
                    statistics: None,
                    _imports: imports,
                }
            }
            Compiled::Aot(..) | Compiled::Interpreter(..) => {
                let ast = match code {
                    Compiled::Aot(native, _) => native.ast(),
                    Compiled::Interpreter(ast, _) => ast,
                    Compiled::Jit(_) => return Err(Error::new(Code::Internal, "unreachable run mode")),
                };
                let statistics = config.fuel.map(|_| sys::Statistics::new());
                let executor = sys::Executor::new(&conf, statistics.as_ref());
                let store = sys::Store::new();
                for import in &imports.modules {
                    executor.register(&store, import).map_err(failed)?;
                }
                let module = executor.instantiate(&store, ast).map_err(failed)?;
                Objects {
                    view: module.view(),
                    executor: executor.raw(),
                    _module: Some(module),
                    _vm: None,
                    _executor: Some(executor),
                    _store: Some(store),
                    statistics,
                    vm_statistics: None,
                    _imports: imports,
                }
            }
        };
        let view = objects.view;
        let memory = view.memory("memory").ok_or_else(|| Error::new(Code::Abi, "the module exports no memory 'memory'"))?;
        if memory.pages() == 0 {
            // Out of address space the engine still succeeds, with no memory at all, and compiled code would then address the process.
            return Err(Error::new(Code::PoolExhausted, "the process has no address space left for another guest's memory"));
        }
        let names = &config.exports;
        let functions = Functions {
            process: Self::find(view, &names.process)?,
            initialize: view.function(&names.initialize),
            flush: view.function(&names.flush),
            cleanup: view.function(&names.cleanup),
            alloc: view.function("rm_alloc"),
            free: view.function("rm_free"),
        };
        let facts = code.module().facts();
        let globals = facts.mutable_globals.iter().filter_map(|index| view.global(&rewrite::global_name(*index))).collect::<Vec<_>>();
        let movable = facts.movable && globals.len() == facts.mutable_globals.len();
        std::mem::forget(owned);
        Ok(Self {
            grow_refused: view.global(rewrite::GROW_REFUSED),
            stack_bytes: if mode == RunMode::Interpreter { view.global(rewrite::STACK_BYTES) } else { None },
            objects,
            state,
            functions,
            memory,
            globals,
            movable,
            blueprint: Arc::clone(blueprint),
            mode,
            dead: false,
            buffers: Buffers::default(),
            _code: code.clone(),
        })
    }

    /// Continues this guest in other code: the new instance has its memory, globals and descriptors. `None` when the guest's state is more
    /// than that, or does not fit; the guest then stays where it is.
    pub fn moved_to(&mut self, code: &Compiled) -> Option<Self> {
        if !self.movable || self.dead || self.mode == code.mode() {
            return None;
        }
        let mut other = Self::link(code, &self.blueprint).ok()?;
        let missing = self.memory.pages().saturating_sub(other.memory.pages());
        if missing > 0 {
            other.memory.grow(missing).ok()?;
        }
        if other.globals.len() != self.globals.len() || !other.memory.copy_from(self.memory) {
            return None;
        }
        for (target, source) in other.globals.iter().zip(&self.globals) {
            target.copy_from(*source).ok()?;
        }
        other.buffers = std::mem::take(&mut self.buffers);
        let (own, new) = (self.state, other.state);
        // SAFETY: two different live states, and neither guest runs.
        unsafe { (*new).adopt(&mut *own) };
        Some(other)
    }

    /// How it runs.
    pub fn mode(&self) -> RunMode {
        self.mode
    }

    /// Whether its memory can no longer be trusted.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    pub(super) fn memory(&self) -> Memory {
        self.memory
    }

    pub(super) fn config(&self) -> &NodeConfig {
        &self.blueprint.config
    }

    pub(super) fn state(&mut self) -> &mut HostState {
        // SAFETY: live as long as the instance, and the guest does not run while `self` is borrowed here.
        unsafe { &mut *self.state }
    }

    pub(super) fn process_function(&self) -> Function {
        self.functions.process
    }

    pub(super) fn flush_function(&self) -> Option<Function> {
        self.functions.flush
    }

    pub(super) fn alloc_functions(&self) -> (Option<Function>, Option<Function>) {
        (self.functions.alloc, self.functions.free)
    }

    pub(super) fn initialize_function(&self) -> Option<Function> {
        self.functions.initialize
    }

    /// Ends the guest's session. Its status is only worth a log line.
    pub fn cleanup(&mut self, limits: Limits<'_>) {
        let Some(cleanup) = self.functions.cleanup.filter(|_| !self.dead) else { return };
        self.refuel();
        let session = self.state().session().clone();
        match self.call(cleanup, &[], true, limits) {
            Ok(0) => {}
            Ok(status) => tracing::warn!(target: "engine", node = self.config().name, %session, status, "cleanup failed"),
            Err(error) => tracing::warn!(target: "engine", node = self.config().name, %session, %error, "cleanup failed"),
        }
    }

    /// Gives the guest the fuel of one item.
    pub(super) fn refuel(&mut self) {
        if let Some(fuel) = self.config().fuel {
            let statistics = self.objects.statistics.as_ref().map(sys::Statistics::raw).or(self.objects.vm_statistics);
            if let Some(statistics) = statistics {
                sys::refuel(statistics, fuel);
            }
        }
    }

    /// Declares the guest lost: it broke the ABI in a way that leaves its memory in doubt.
    pub(super) fn condemn(&mut self, error: Error) -> Error {
        self.dead = true;
        error
    }

    /// Calls one function of the guest under the limits. Any error but a refusal of the engine itself kills the instance.
    pub(super) fn call(&mut self, function: Function, params: &[i32], result: bool, limits: Limits<'_>) -> Result<i32> {
        let mode = match self.mode {
            RunMode::Aot => fault::Mode::Aot,
            RunMode::Jit => fault::Mode::Jit,
            RunMode::Interpreter => fault::Mode::Interpreter,
        };
        let executor = self.objects.executor;
        let interpreter = (self.mode == RunMode::Interpreter).then_some(executor);
        let call = fault::Call { mode, deadline: Some(limits.deadline), cancel: limits.cancel, interpreter };
        let (done, ended) = fault::scope(&call, || sys::invoke(executor, function, params, result));
        if ended != Ended::Returned {
            // Even if the guest finished in the last moment, a stop was on its way and the instance may still carry it.
            self.dead = true;
        }
        match done {
            Ok(value) => Ok(value),
            Err(failure) => {
                self.dead = true;
                Err(self.explain(failure, ended, limits.timeout))
            }
        }
    }

    fn explain(&mut self, failure: Failure, ended: Ended, timeout: Duration) -> Error {
        match ended {
            Ended::Deadline => return Error::new(Code::WasmTimeout, format!("the guest ran past its time ({} ms)", timeout.as_millis())),
            Ended::Cancelled => return Error::new(Code::Aborted, "the call was aborted"),
            Ended::StackOverflow => return stack_overflow(),
            Ended::Returned => {}
        }
        if let Some(stopped) = self.state().take_stopped() {
            return stopped;
        }
        if self.stack_bytes.is_some_and(|bytes| bytes.get_i32() > INTERPRETER_STACK_BYTES) {
            return stack_overflow();
        }
        if failure.category == 0 && failure.code as ffi::WasmEdge_ErrCode == ffi::WasmEdge_ErrCode_CostLimitExceeded {
            return Error::new(Code::WasmFuel, "the guest used up its fuel");
        }
        let kind = trap_kind(failure);
        if self.grow_refused.is_some_and(|flag| flag.get_i32() != 0) {
            let limit = self.config().memory_limit;
            let message = format!("the guest wanted more memory than memoryLimit ({limit} bytes) and gave up: {}", failure.text());
            return Error::new(Code::WasmMemory, message);
        }
        Error::trap(kind, format!("the guest trapped: {}", failure.text()))
    }

    /// Forgets an earlier refusal of memory, which the guest has survived.
    pub(super) fn forget_refused_memory(&mut self) {
        if let Some(flag) = self.grow_refused {
            flag.set_i32(0);
        }
    }

    /// Names the session that the instance works for.
    pub(super) fn set_session(&mut self, session: &SessionId) {
        self.state().set_session(session);
    }
}

struct StateGuard(*mut HostState);

impl Drop for StateGuard {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw` just before, and not yet given to an instance.
        drop(unsafe { Box::from_raw(self.0) });
    }
}
