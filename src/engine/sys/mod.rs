//! Owned handles over WasmEdge's C API.
//!
//! Problem: the C API hands out raw pointers with ownership rules in prose, and the Rust SDK hides the pointers that interruption needs
//! and changes the signal mask around each host call. Answer: this folder and `fault/` are the only ones that name `wasmedge_sys`
//! (`host/link.rs`, `instance.rs`, `outcome.rs` and `log.rs` use its types through here); each C object is a type here that deletes itself. It does not decide anything: limits, modes and the order of calls
//! belong to the files that use it.

#![allow(clippy::unnecessary_cast, reason = "C enumerations are signed on some systems and unsigned on others")]

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr;

pub use wasmedge_sys::ffi;

mod parts;

use super::config::RunMode;
pub use parts::{Function, Global, InstanceView, Memory};

/// WebAssembly page in bytes.
pub const PAGE_BYTES: u64 = 65_536;

/// What WasmEdge answered when it was not success: category 0 is the engine's own table, 1 is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// 0: one of `WasmEdge_ErrCode`; 1: a host function of ours.
    pub category: u32,
    /// The code in that category.
    pub code: u32,
}

impl Failure {
    /// WasmEdge's own sentence for it.
    pub fn text(self) -> String {
        // SAFETY: both calls are pure functions of the value; the text is static.
        unsafe {
            let result = ffi::WasmEdge_ResultGen(self.category as ffi::WasmEdge_ErrCategory, self.code);
            CStr::from_ptr(ffi::WasmEdge_ResultGetMessage(result)).to_string_lossy().into_owned()
        }
    }
}

fn check(result: ffi::WasmEdge_Result) -> Result<(), Failure> {
    // SAFETY: pure functions of the value.
    unsafe {
        if ffi::WasmEdge_ResultOK(result) && ffi::WasmEdge_ResultGetCode(result) == 0 {
            return Ok(());
        }
        Err(Failure { category: ffi::WasmEdge_ResultGetCategory(result) as u32, code: ffi::WasmEdge_ResultGetCode(result) })
    }
}

macro_rules! owned {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $delete:ident) => {
        $(#[$doc])*
        pub struct $name(*mut ffi::$raw);

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: we own the object and nothing uses it after this.
                unsafe { ffi::$delete(self.0) }
            }
        }

        // SAFETY: the objects have no thread affinity; each is used by one thread at a time, which the owners in this crate ensure.
        unsafe impl Send for $name {}
    };
}

owned!(
    /// Options of a loader, compiler, executor or VM.
    Configure, WasmEdge_ConfigureContext, WasmEdge_ConfigureDelete
);
owned!(
    /// A parsed and validated module; shared by all its instances.
    Ast, WasmEdge_ASTModuleContext, WasmEdge_ASTModuleDelete
);
owned!(
    /// Links imports to a module while it is instantiated.
    Store, WasmEdge_StoreContext, WasmEdge_StoreDelete
);
owned!(
    /// Runs functions; holds the stop token that interrupts the interpreter.
    Executor, WasmEdge_ExecutorContext, WasmEdge_ExecutorDelete
);
owned!(
    /// Counts fuel.
    Statistics, WasmEdge_StatisticsContext, WasmEdge_StatisticsDelete
);
owned!(
    /// A module instance: memory, globals, functions; or a set of host functions.
    ModuleInstance, WasmEdge_ModuleInstanceContext, WasmEdge_ModuleInstanceDelete
);
owned!(
    /// WasmEdge's all-in-one machine; the only way to its just-in-time compiler.
    Vm, WasmEdge_VMContext, WasmEdge_VMDelete
);

impl Executor {
    /// The pointer, valid as long as `self`.
    pub fn raw(&self) -> *mut ffi::WasmEdge_ExecutorContext {
        self.0
    }
}

impl Statistics {
    /// The pointer, valid as long as `self`.
    pub fn raw(&self) -> *mut ffi::WasmEdge_StatisticsContext {
        self.0
    }
}

impl ModuleInstance {
    /// The pointer, valid as long as `self`.
    pub fn raw(&self) -> *mut ffi::WasmEdge_ModuleInstanceContext {
        self.0
    }
}

// SAFETY: instantiating from one AST on several threads at once was proven; nothing writes to it after validation.
unsafe impl Sync for Ast {}

impl Configure {
    /// Standard WebAssembly 2.0 with what [`super::module::features`] accepts, nothing else; the given run mode.
    pub fn new(mode: RunMode, fuel: bool) -> Self {
        // SAFETY: a fresh object, set up before anything else sees it.
        unsafe {
            let conf = ffi::WasmEdge_ConfigureCreate();
            ffi::WasmEdge_ConfigureSetWASMStandard(conf, ffi::WasmEdge_Standard_WASM_2);
            for proposal in [ffi::WasmEdge_Proposal_TailCall, ffi::WasmEdge_Proposal_ExtendedConst] {
                ffi::WasmEdge_ConfigureAddProposal(conf, proposal);
            }
            let mode = match mode {
                RunMode::Aot => ffi::WasmEdge_RunMode_AOT,
                RunMode::Jit => ffi::WasmEdge_RunMode_JIT,
                RunMode::Interpreter => ffi::WasmEdge_RunMode_Interpreter,
            };
            ffi::WasmEdge_ConfigureSetRunMode(conf, mode);
            ffi::WasmEdge_ConfigureStatisticsSetCostMeasuring(conf, fuel);
            Self(conf)
        }
    }

    /// Most pages that a memory may have.
    pub fn max_pages(self, pages: u64) -> Self {
        // SAFETY: we own the object.
        unsafe { ffi::WasmEdge_ConfigureSetMaxMemoryPage(self.0, pages) }
        self
    }

    /// Sets up the ahead-of-time compiler: native `.so`, no interruption checks (signals do that for nothing), full
    /// optimisation or, `careful`, none: that leaves out the passes that have been seen to crash, at the price of slower code.
    pub fn compiler(self, careful: bool) -> Self {
        // SAFETY: we own the object.
        unsafe {
            let level = if careful { ffi::WasmEdge_CompilerOptimizationLevel_O0 } else { ffi::WasmEdge_CompilerOptimizationLevel_O3 };
            ffi::WasmEdge_ConfigureCompilerSetOptimizationLevel(self.0, level);
            ffi::WasmEdge_ConfigureCompilerSetOutputFormat(self.0, ffi::WasmEdge_CompilerOutputFormat_Native);
            ffi::WasmEdge_ConfigureCompilerSetInterruptible(self.0, false);
        }
        self
    }
}

fn bytes(data: &[u8]) -> Result<ffi::WasmEdge_Bytes, Failure> {
    let length = u32::try_from(data.len()).map_err(|_| Failure { category: 0, code: ffi::WasmEdge_ErrCode_LengthOutOfBounds as u32 })?;
    Ok(ffi::WasmEdge_Bytes { Length: length, Buf: data.as_ptr() })
}

/// WasmEdge's view of a Rust string; valid as long as the string.
pub fn string(text: &str) -> ffi::WasmEdge_String {
    #[expect(clippy::cast_possible_truncation, reason = "names are bounded by the module's size limit")]
    ffi::WasmEdge_String { Length: text.len() as u32, Buf: text.as_ptr().cast() }
}

fn path_text(path: &Path) -> Result<CString, Failure> {
    let illegal = Failure { category: 0, code: ffi::WasmEdge_ErrCode_IllegalPath as u32 };
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| illegal)
}

impl Ast {
    fn load(
        conf: &Configure,
        parse: impl FnOnce(*mut ffi::WasmEdge_LoaderContext, *mut *mut ffi::WasmEdge_ASTModuleContext) -> ffi::WasmEdge_Result,
    ) -> Result<Self, Failure> {
        // SAFETY: loader and validator live for this block; the AST is owned by the returned value from the moment it exists.
        unsafe {
            let loader = ffi::WasmEdge_LoaderCreate(conf.0);
            let mut raw = ptr::null_mut();
            let parsed = check(parse(loader, &raw mut raw));
            ffi::WasmEdge_LoaderDelete(loader);
            parsed?;
            let ast = Self(raw);
            let validator = ffi::WasmEdge_ValidatorCreate(conf.0);
            let validated = check(ffi::WasmEdge_ValidatorValidate(validator, ast.0));
            ffi::WasmEdge_ValidatorDelete(validator);
            validated.map(|()| ast)
        }
    }

    /// Parses and validates a module.
    pub fn from_bytes(conf: &Configure, wasm: &[u8]) -> Result<Self, Failure> {
        let view = bytes(wasm)?;
        // SAFETY: the view lives as long as `wasm`, past the call.
        Self::load(conf, |loader, out| unsafe { ffi::WasmEdge_LoaderParseFromBytes(loader, out, view) })
    }

    /// Loads an artifact of our own compiler. The caller has checked its hash: a damaged one ends the process in the dynamic loader.
    pub fn from_artifact(conf: &Configure, path: &Path) -> Result<Self, Failure> {
        let text = path_text(path)?;
        // SAFETY: the text lives past the call.
        Self::load(conf, |loader, out| unsafe { ffi::WasmEdge_LoaderParseFromFile(loader, out, text.as_ptr()) })
    }
}

/// Compiles `wasm` to a native library at `output`. May crash or take seconds: only ever called in a process of its own.
pub fn compile(conf: &Configure, wasm: &[u8], output: &Path) -> Result<(), Failure> {
    let view = bytes(wasm)?;
    let text = path_text(output)?;
    // SAFETY: all arguments outlive the call; the compiler is deleted before returning.
    unsafe {
        let compiler = ffi::WasmEdge_CompilerCreate(conf.0);
        if compiler.is_null() {
            return Err(Failure { category: 0, code: ffi::WasmEdge_ErrCode_AOTDisabled as u32 });
        }
        let result = check(ffi::WasmEdge_CompilerCompileFromBytes(compiler, view, text.as_ptr()));
        ffi::WasmEdge_CompilerDelete(compiler);
        result
    }
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        // SAFETY: no arguments.
        Self(unsafe { ffi::WasmEdge_StoreCreate() })
    }
}

impl Statistics {
    /// A fuel counter with nothing used.
    pub fn new() -> Self {
        // SAFETY: no arguments.
        Self(unsafe { ffi::WasmEdge_StatisticsCreate() })
    }
}

/// Forgets the fuel used so far and sets a new limit. `statistics` belongs to a live executor or VM.
pub fn refuel(statistics: *mut ffi::WasmEdge_StatisticsContext, fuel: u64) {
    // SAFETY: the caller's executor keeps the object alive and is not running.
    unsafe {
        ffi::WasmEdge_StatisticsClear(statistics);
        ffi::WasmEdge_StatisticsSetCostLimit(statistics, fuel);
    }
}

impl Executor {
    /// An executor that counts into `statistics`, which must outlive it.
    pub fn new(conf: &Configure, statistics: Option<&Statistics>) -> Self {
        // SAFETY: both outlive the executor, by the field order of their owner.
        Self(unsafe { ffi::WasmEdge_ExecutorCreate(conf.0, statistics.map_or(ptr::null_mut(), Statistics::raw)) })
    }

    /// Makes host functions known to the store.
    pub fn register(&self, store: &Store, imports: &ModuleInstance) -> Result<(), Failure> {
        // SAFETY: the imports outlive the store's use, by the field order of their owner.
        check(unsafe { ffi::WasmEdge_ExecutorRegisterImport(self.0, store.0, imports.0) })
    }

    /// Instantiates a module. Runs no guest code: its start function was made an export.
    pub fn instantiate(&self, store: &Store, ast: &Ast) -> Result<ModuleInstance, Failure> {
        let mut raw = ptr::null_mut();
        // SAFETY: all are live; the instance is owned by the returned value.
        check(unsafe { ffi::WasmEdge_ExecutorInstantiate(self.0, &raw mut raw, store.0, ast.0) })?;
        Ok(ModuleInstance(raw))
    }
}

/// Calls a function with `i32` parameters and at most one `i32` result. Only inside `fault::scope`.
pub fn invoke(executor: *mut ffi::WasmEdge_ExecutorContext, function: Function, params: &[i32], result: bool) -> Result<i32, Failure> {
    // SAFETY: constructors of plain values; the executor and the function belong to the same live instance.
    unsafe {
        let mut values = [ffi::WasmEdge_ValueGenI32(0); 4];
        for (value, param) in values.iter_mut().zip(params) {
            *value = ffi::WasmEdge_ValueGenI32(*param);
        }
        let mut out = ffi::WasmEdge_ValueGenI32(0);
        #[expect(clippy::cast_possible_truncation, reason = "at most four parameters")]
        let count = params.len() as u32;
        check(ffi::WasmEdge_ExecutorInvoke(executor, function.0, values.as_ptr(), count, &raw mut out, u32::from(result)))?;
        Ok(if result { ffi::WasmEdge_ValueGetI32(out) } else { 0 })
    }
}

impl ModuleInstance {
    /// An empty module that host functions are added to.
    pub fn host(name: &str) -> Self {
        // SAFETY: the name is copied.
        Self(unsafe { ffi::WasmEdge_ModuleInstanceCreate(string(name)) })
    }

    /// A look at the exports.
    pub fn view(&self) -> InstanceView {
        InstanceView(self.0)
    }
}

impl Vm {
    /// A machine in the configuration's run mode, with `imports` known to it, running `wasm`.
    pub fn instantiate(conf: &Configure, imports: &[ModuleInstance], wasm: &[u8]) -> Result<Self, Failure> {
        let view = bytes(wasm)?;
        // SAFETY: the imports outlive the VM, by the field order of their owner; `wasm` outlives the call.
        unsafe {
            let vm = Self(ffi::WasmEdge_VMCreate(conf.0, ptr::null_mut()));
            for import in imports {
                check(ffi::WasmEdge_VMRegisterModuleFromImport(vm.0, import.0))?;
            }
            check(ffi::WasmEdge_VMLoadWasmFromBytes(vm.0, view))?;
            check(ffi::WasmEdge_VMValidate(vm.0))?;
            check(ffi::WasmEdge_VMInstantiate(vm.0))?;
            Ok(vm)
        }
    }

    /// A look at the instance.
    pub fn view(&self) -> InstanceView {
        // SAFETY: the VM is live and has an active module.
        InstanceView(unsafe { ffi::WasmEdge_VMGetActiveModule(self.0) })
    }

    /// The VM's own executor.
    pub fn executor(&self) -> *mut ffi::WasmEdge_ExecutorContext {
        // SAFETY: the VM is live.
        unsafe { ffi::WasmEdge_VMGetExecutorContext(self.0) }
    }

    /// The VM's own fuel counter.
    pub fn statistics(&self) -> *mut ffi::WasmEdge_StatisticsContext {
        // SAFETY: the VM is live.
        unsafe { ffi::WasmEdge_VMGetStatisticsContext(self.0) }
    }
}

/// The library's version, such as `0.17.1`.
pub fn version() -> String {
    // SAFETY: a static text.
    unsafe { CStr::from_ptr(ffi::WasmEdge_VersionGet()).to_string_lossy().into_owned() }
}
