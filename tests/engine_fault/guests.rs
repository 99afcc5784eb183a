//! The guests, their module and the host functions that they call.

use crate::prelude::*;

pub const GUEST: &str = r#"
(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (import "env" "raw" (func $raw (param i32) (result i32)))
  (import "env" "again" (func $again (param i32) (result i32)))
  (import "env" "wait" (func $wait (param i32) (result i32)))
  (import "env" "deep" (func $deep (param i32) (result i32)))
  (memory (export "memory") 4 64)
  (func (export "add") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "oob") (param i32) (result i32) (i32.load (i32.const 0x7ffffff0)))
  (func (export "div0") (param i32) (result i32) (i32.div_s (i32.const 7) (i32.and (local.get 0) (i32.const 0))))
  (func (export "trap") (param i32) (result i32) unreachable)
  (func $rec (export "rec") (param i32) (result i32)
    (i32.store (i32.and (local.get 0) (i32.const 0xfffc)) (local.get 0))
    (local.set 0 (i32.add (call $rec (i32.add (local.get 0) (i32.const 4))) (i32.const 1)))
    (i32.store (i32.and (local.get 0) (i32.const 0xfffc)) (local.get 0))
    (local.get 0))
  (func $recg (export "recg") (param i32) (result i32)
    (i32.store (i32.and (local.get 0) (i32.const 0xfffc)) (memory.grow (i32.const 0)))
    (local.set 0 (i32.add (call $recg (i32.add (local.get 0) (i32.const 4))) (i32.const 1)))
    (i32.store (i32.and (local.get 0) (i32.const 0xfffc)) (local.get 0))
    (local.get 0))
  (func $rech (export "rech") (param i32) (result i32)
    (local.set 0 (i32.add (call $host (local.get 0)) (i32.const 1)))
    (local.set 0 (i32.add (call $rech (local.get 0)) (i32.const 1)))
    (i32.store (i32.and (local.get 0) (i32.const 0xfffc)) (local.get 0))
    (local.get 0))
  (func $recr (export "recr") (param i32) (result i32)
    (local.set 0 (i32.add (call $raw (local.get 0)) (i32.const 1)))
    (local.set 0 (i32.add (call $recr (local.get 0)) (i32.const 1)))
    (i32.store (i32.and (local.get 0) (i32.const 0xfffc)) (local.get 0))
    (local.get 0))
  (func $recd (export "recd") (param i32) (result i32)
    (local.set 0 (i32.add (call $deep (local.get 0)) (i32.const 1)))
    (local.set 0 (i32.add (call $recd (local.get 0)) (i32.const 1)))
    (i32.store (i32.and (local.get 0) (i32.const 0xfffc)) (local.get 0))
    (local.get 0))
  (func (export "loop") (param i32) (result i32) (loop (br 0)) (i32.const 0))
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "memloop") (param i32) (result i32)
    (loop (i32.store (i32.and (local.get 0) (i32.const 0xfffc)) (local.get 0))
      (local.set 0 (i32.add (local.get 0) (i32.const 4))) (br 0)) (i32.const 0))
  (func (export "growloop") (param i32) (result i32)
    (loop (i32.store (i32.const 0) (memory.grow (i32.const 0))) (br 0)) (i32.const 0))
  (func (export "copyloop") (param i32) (result i32)
    (loop (memory.copy (i32.const 65536) (i32.const 0) (i32.const 65536)) (br 0)) (i32.const 0))
  (func (export "fillloop") (param i32) (result i32)
    (loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 262144)) (br 0)) (i32.const 0))
  (func (export "hostloop") (param i32) (result i32)
    (loop (drop (call $host (i32.const 1))) (br 0)) (i32.const 0))
  (func (export "rawloop") (param i32) (result i32)
    (loop (drop (call $raw (i32.const 1))) (br 0)) (i32.const 0))
  (func (export "waiting") (param i32) (result i32) (call $wait (local.get 0)))
  (func (export "nest") (param i32) (result i32) (i32.add (call $again (local.get 0)) (i32.const 1000)))
)"#;

/// A function whose frame is larger than a page or two, so that it jumps ordinary guard pages.
pub fn big_frame_wat() -> String {
    let n = 3000;
    let mut wat = String::from("(module (memory 4)\n(func $big (export \"big\") (param i32) (result i32)");
    wat.push_str(&format!("(local {})", "i64 ".repeat(n)));
    for i in 1..=n {
        wat.push_str(&format!("(local.set {i} (i64.load (i32.const {})))", i * 8));
    }
    wat.push_str("(i64.store (i32.const 8) (i64.extend_i32_s (call $big (local.get 0))))");
    for i in 1..=n {
        wat.push_str(&format!("(i64.store (i32.const {}) (local.get {i}))", i * 8));
    }
    wat.push_str("(local.get 0)))");
    wat
}

pub fn scratch() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("fault-test-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    })
}

/// Compiles in a process of its own, as the product does: LLVM's code generator installs signal
/// handlers that, once they see a fault, put back whatever they found, over everybody else's.
pub fn compile(name: &str, wasm: &[u8]) -> PathBuf {
    let (input, output) = (scratch().join(format!("{name}.wasm")), scratch().join(format!("{name}.so")));
    std::fs::write(&input, wasm).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "scenarios"])
        .env("FAULT_SCENARIO", "compile")
        .env("FAULT_INPUT", &input)
        .env("FAULT_OUTPUT", &output)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success(), "compile {name}");
    output
}

pub fn compile_here(input: &str, output: &str) {
    let (wasm, out) = (std::fs::read(input).unwrap(), CString::new(output).unwrap());
    unsafe {
        WasmEdge_LogOff();
        let conf = WasmEdge_ConfigureCreate();
        WasmEdge_ConfigureCompilerSetOptimizationLevel(conf, WasmEdge_CompilerOptimizationLevel_O2);
        WasmEdge_ConfigureCompilerSetOutputFormat(conf, WasmEdge_CompilerOutputFormat_Native);
        let compiler = WasmEdge_CompilerCreate(conf);
        let bytes = WasmEdge_BytesWrap(wasm.as_ptr(), wasm.len() as u32);
        let result = WasmEdge_CompilerCompileFromBytes(compiler, bytes, out.as_ptr());
        assert!(WasmEdge_ResultOK(result), "compile: {:#x}", result.Code);
    }
}

pub fn install() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| fault::install(&compile("park", fault::park_wasm())).unwrap());
}

pub struct Module {
    pub ast: *mut WasmEdge_ASTModuleContext,
    pub mode: Mode,
    pub _code: Option<fault::CodeRange>,
}

unsafe impl Send for Module {}
unsafe impl Sync for Module {}

impl Module {
    pub fn compiled(name: &str, wat: &str) -> Self {
        install();
        let path = compile(name, &wat::parse_str(wat).unwrap());
        let file = CString::new(path.to_str().unwrap()).unwrap();
        let ast = load(|loader, ast| unsafe { WasmEdge_LoaderParseFromFile(loader, ast, file.as_ptr()) });
        let code = fault::register_artifact(&path).unwrap();
        Self { ast, mode: Mode::Aot, _code: Some(code) }
    }

    pub fn interpreted(wat: &str) -> Self {
        let wasm = wat::parse_str(wat).unwrap();
        let ast = load(|loader, ast| unsafe {
            let bytes = WasmEdge_BytesWrap(wasm.as_ptr(), wasm.len() as u32);
            WasmEdge_LoaderParseFromBytes(loader, ast, bytes)
        });
        Self { ast, mode: Mode::Interpreter, _code: None }
    }
}

pub fn configure(mode: WasmEdge_RunMode) -> *mut WasmEdge_ConfigureContext {
    unsafe {
        WasmEdge_LogOff();
        let conf = WasmEdge_ConfigureCreate();
        WasmEdge_ConfigureSetRunMode(conf, mode);
        conf
    }
}

pub fn load(
    parse: impl FnOnce(*mut WasmEdge_LoaderContext, *mut *mut WasmEdge_ASTModuleContext) -> WasmEdge_Result,
) -> *mut WasmEdge_ASTModuleContext {
    let conf = configure(WasmEdge_RunMode_AOT);
    let mut ast = ptr::null_mut();
    unsafe {
        let loader = WasmEdge_LoaderCreate(conf);
        assert!(WasmEdge_ResultOK(parse(loader, &mut ast)));
        let validator = WasmEdge_ValidatorCreate(conf);
        assert!(WasmEdge_ResultOK(WasmEdge_ValidatorValidate(validator, ast)));
        WasmEdge_ValidatorDelete(validator);
        WasmEdge_LoaderDelete(loader);
        WasmEdge_ConfigureDelete(conf);
    }
    ast
}

pub fn guest() -> &'static Module {
    static GUEST_MODULE: OnceLock<Module> = OnceLock::new();
    GUEST_MODULE.get_or_init(|| Module::compiled("guest", GUEST))
}

pub fn guest_interpreted() -> &'static Module {
    static GUEST_MODULE: OnceLock<Module> = OnceLock::new();
    GUEST_MODULE.get_or_init(|| Module::interpreted(GUEST))
}

thread_local! {
    /// What the host function "again" calls, and how that ended.
    pub static AGAIN: Cell<Option<(&'static str, Option<Duration>)>> = const { Cell::new(None) };
    pub static NESTED: Cell<Option<(Result<i32, u32>, Ended)>> = const { Cell::new(None) };
    pub static CURRENT: Cell<*const Instance> = const { Cell::new(ptr::null()) };
}
pub static HOST_CALLS: AtomicU64 = AtomicU64::new(0);

pub type Values = *const WasmEdge_Value;
pub type Frame = *const WasmEdge_CallingFrameContext;
pub const OK: WasmEdge_Result = WasmEdge_Result { Code: 0 };

pub fn stopped() -> WasmEdge_Result {
    unsafe { WasmEdge_ResultGen(WasmEdge_ErrCategory_UserLevelError, 77) }
}

pub unsafe extern "C" fn host(_: *mut c_void, _: Frame, a: Values, r: *mut WasmEdge_Value) -> WasmEdge_Result {
    let guard = HostGuard::enter();
    if guard.stop().is_some() {
        return stopped();
    }
    HOST_CALLS.fetch_add(1, Relaxed);
    unsafe { *r = WasmEdge_ValueGenI32(WasmEdge_ValueGetI32(*a)) };
    OK
}

pub unsafe extern "C" fn raw(_: *mut c_void, _: Frame, a: Values, r: *mut WasmEdge_Value) -> WasmEdge_Result {
    unsafe { *r = WasmEdge_ValueGenI32(WasmEdge_ValueGetI32(*a)) };
    OK
}

/// Ignores what the guard says and uses more stack than the guard promises.
pub unsafe extern "C" fn deep(_: *mut c_void, _: Frame, a: Values, r: *mut WasmEdge_Value) -> WasmEdge_Result {
    let _guard = HostGuard::enter();
    let mut big = [0u8; 200 * 1024];
    for i in (0..big.len()).rev().step_by(512) {
        unsafe { ptr::write_volatile(&mut big[i], i as u8) };
    }
    unsafe { *r = WasmEdge_ValueGenI32(WasmEdge_ValueGetI32(*a) + i32::from(big[100])) };
    OK
}

pub unsafe extern "C" fn again(_: *mut c_void, _: Frame, a: Values, r: *mut WasmEdge_Value) -> WasmEdge_Result {
    let guard = HostGuard::enter();
    if guard.stop().is_some() {
        return stopped();
    }
    let (what, limit) = AGAIN.get().unwrap();
    let instance = unsafe { &*CURRENT.get() };
    let argument = unsafe { WasmEdge_ValueGetI32(*a) };
    let nested = instance.call(what, argument, limit.map(|limit| Instant::now() + limit), None);
    NESTED.set(Some(nested));
    if guard.stop().is_some() {
        return stopped();
    }
    unsafe { *r = WasmEdge_ValueGenI32(nested.0.unwrap_or(-1)) };
    OK
}

/// Blocks until it is told to stop.
pub unsafe extern "C" fn wait(_: *mut c_void, _: Frame, _: Values, _: *mut WasmEdge_Value) -> WasmEdge_Result {
    let guard = HostGuard::enter();
    while guard.stop().is_none() {
        std::thread::yield_now();
    }
    stopped()
}

pub struct Instance {
    pub executor: *mut WasmEdge_ExecutorContext,
    pub store: *mut WasmEdge_StoreContext,
    pub env: *mut WasmEdge_ModuleInstanceContext,
    pub module: *mut WasmEdge_ModuleInstanceContext,
    pub mode: Mode,
}

impl Instance {
    pub fn new(module: &Module) -> Self {
        let conf = configure(if module.mode == Mode::Aot { WasmEdge_RunMode_AOT } else { WasmEdge_RunMode_Interpreter });
        unsafe {
            let executor = WasmEdge_ExecutorCreate(conf, ptr::null_mut());
            WasmEdge_ConfigureDelete(conf);
            let store = WasmEdge_StoreCreate();
            let env = environment();
            assert!(WasmEdge_ResultOK(WasmEdge_ExecutorRegisterImport(executor, store, env)));
            let mut instance = ptr::null_mut();
            let made = WasmEdge_ExecutorInstantiate(executor, &mut instance, store, module.ast);
            assert!(WasmEdge_ResultOK(made), "{:#x}", made.Code);
            Self { executor, store, env, module: instance, mode: module.mode }
        }
    }

    pub fn find(&self, name: &str) -> *mut WasmEdge_FunctionInstanceContext {
        unsafe {
            let name = WasmEdge_StringWrap(name.as_ptr().cast(), name.len() as u32);
            let function = WasmEdge_ModuleInstanceFindFunction(self.module, name);
            assert!(!function.is_null());
            function
        }
    }

    /// The bare invocation, for measuring.
    pub fn invoke(&self, function: *const WasmEdge_FunctionInstanceContext, argument: i32) -> Result<i32, u32> {
        unsafe {
            let argument = [WasmEdge_ValueGenI32(argument)];
            let mut result = [WasmEdge_ValueGenI32(0)];
            let end = WasmEdge_ExecutorInvoke(self.executor, function, argument.as_ptr(), 1, result.as_mut_ptr(), 1);
            if WasmEdge_ResultOK(end) { Ok(WasmEdge_ValueGetI32(result[0])) } else { Err(end.Code & 0xffffff) }
        }
    }

    pub fn call(&self, name: &str, argument: i32, deadline: Option<Instant>, cancel: Option<&CancelToken>) -> (Result<i32, u32>, Ended) {
        let function = self.find(name);
        let before = CURRENT.replace(self);
        let interpreter = (self.mode == Mode::Interpreter).then_some(self.executor);
        let call = Call { mode: self.mode, deadline, cancel, interpreter };
        let out = fault::scope(&call, || self.invoke(function, argument));
        CURRENT.set(before);
        out
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        unsafe {
            WasmEdge_ModuleInstanceDelete(self.module);
            WasmEdge_ModuleInstanceDelete(self.env);
            WasmEdge_StoreDelete(self.store);
            WasmEdge_ExecutorDelete(self.executor);
        }
    }
}

pub type HostFn = unsafe extern "C" fn(*mut c_void, Frame, Values, *mut WasmEdge_Value) -> WasmEdge_Result;

pub fn environment() -> *mut WasmEdge_ModuleInstanceContext {
    let functions: [(&str, HostFn); 5] = [("host", host), ("raw", raw), ("again", again), ("wait", wait), ("deep", deep)];
    unsafe {
        let env = WasmEdge_ModuleInstanceCreate(WasmEdge_StringWrap(c"env".as_ptr(), 3));
        let ty = [WasmEdge_ValTypeGenI32()];
        let ty = WasmEdge_FunctionTypeCreate(ty.as_ptr(), 1, ty.as_ptr(), 1);
        for (name, function) in functions {
            let function = WasmEdge_FunctionInstanceCreate(ty, Some(function), ptr::null_mut(), 0);
            let name = WasmEdge_StringWrap(name.as_ptr().cast(), name.len() as u32);
            WasmEdge_ModuleInstanceAddFunction(env, name, function);
        }
        WasmEdge_FunctionTypeDelete(ty);
        env
    }
}
