//! Just-in-time code is isolated and stopped like other compiled code.

use crate::prelude::*;

pub struct Jit {
    pub vm: *mut WasmEdge_VMContext,
    pub env: *mut WasmEdge_ModuleInstanceContext,
}

impl Jit {
    pub fn new(wasm: &[u8]) -> Self {
        let conf = configure(WasmEdge_RunMode_JIT);
        unsafe {
            let vm = WasmEdge_VMCreate(conf, ptr::null_mut());
            let env = environment();
            assert!(WasmEdge_ResultOK(WasmEdge_VMRegisterModuleFromImport(vm, env)));
            let bytes = WasmEdge_BytesWrap(wasm.as_ptr(), wasm.len() as u32);
            assert!(WasmEdge_ResultOK(WasmEdge_VMLoadWasmFromBytes(vm, bytes)));
            assert!(WasmEdge_ResultOK(WasmEdge_VMValidate(vm)));
            assert!(WasmEdge_ResultOK(WasmEdge_VMInstantiate(vm)));
            WasmEdge_ConfigureDelete(conf);
            fault::rescan_native_ranges().unwrap();
            Self { vm, env }
        }
    }

    pub fn call(&self, name: &str, argument: i32, deadline: Option<Instant>) -> (Result<i32, u32>, Ended) {
        let call = Call { mode: Mode::Jit, deadline, cancel: None, interpreter: None };
        fault::scope(&call, || unsafe {
            let argument = [WasmEdge_ValueGenI32(argument)];
            let mut result = [WasmEdge_ValueGenI32(0)];
            let name = WasmEdge_StringWrap(name.as_ptr().cast(), name.len() as u32);
            let end = WasmEdge_VMExecute(self.vm, name, argument.as_ptr(), 1, result.as_mut_ptr(), 1);
            if WasmEdge_ResultOK(end) { Ok(WasmEdge_ValueGetI32(result[0])) } else { Err(end.Code & 0xffffff) }
        })
    }
}

impl Drop for Jit {
    fn drop(&mut self) {
        unsafe {
            WasmEdge_VMDelete(self.vm);
            WasmEdge_ModuleInstanceDelete(self.env);
        }
    }
}

#[test]
fn jit_guests_are_isolated_and_stopped() {
    let _alone = alone();
    install();
    let wasm = wat::parse_str(GUEST).unwrap();
    on_guest_thread(move || {
        let started = Instant::now();
        let jit = Jit::new(&wasm);
        println!("jit load {:?}", started.elapsed());
        for _ in 0..30 {
            assert_eq!(jit.call("add", 1, None), (Ok(2), Ended::Returned));
            assert_eq!(jit.call("oob", 1, None), (Err(OOB), Ended::Returned));
            assert_eq!(jit.call("div0", 1, None), (Err(DIV0), Ended::Returned));
            assert_eq!(jit.call("trap", 1, None), (Err(UNREACHABLE), Ended::Returned));
            for name in ["rec", "recg", "rech"] {
                let (result, ended) = jit.call(name, 1, None);
                assert!(result.is_err());
                assert_eq!(ended, Ended::StackOverflow, "{name}");
            }
        }
        for (name, argument, limit) in STUCK {
            let mut late: Vec<_> = (0..30)
                .map(|_| {
                    let deadline = Instant::now() + Duration::from_millis(3);
                    let (result, ended) = jit.call(name, argument, Some(deadline));
                    let late = deadline.elapsed();
                    assert!(result.is_err());
                    assert_eq!(ended, Ended::Deadline);
                    assert_eq!(jit.call("add", 1, None), (Ok(2), Ended::Returned));
                    late
                })
                .collect();
            late.sort();
            report(&format!("deadline jit {name}"), &late, limit);
        }
    });
}
