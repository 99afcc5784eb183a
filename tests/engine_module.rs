//! What is no module, or too much of one, is refused with a reason before the engine sees it.

mod support;

use remotemedia_wasmedge::data::Packet;
use remotemedia_wasmedge::engine::{Module, ModuleSource, NodeOptions, WasiGrants};
use remotemedia_wasmedge::error::{Code, Error};
use support::{call, guest, guest_node, node, stream, text_node};

fn refusal(bytes: &[u8]) -> Error {
    Module::from_bytes(bytes.to_vec()).err().expect("a refusal")
}

#[test]
fn other_files_are_told_apart() {
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"#!/bin/sh\n", "magic"),
        (b"\x7fELF\x02\x01\x01", "compiled artifacts"),
        (b"MZ\x90\0", "compiled artifacts"),
        (b"(module)", "text"),
        (b"\0asm\x0d\0\x01\0", "component"),
        (b"\0asm\x01\0\0\0\xff", "WebAssembly module"),
    ] {
        let error = refusal(bytes);
        assert_eq!(error.code(), Code::ModuleInvalid, "{error:?}");
        assert!(error.message().contains(word), "{error:?}");
    }
}

#[test]
fn missing_files_and_folders_are_not_found() {
    for path in ["/nowhere/at/all.wasm", env!("CARGO_MANIFEST_DIR")] {
        let error = Module::from_path(path.as_ref()).err().expect("a refusal");
        assert_eq!(error.code(), Code::ModuleNotFound, "{error:?}");
        assert!(error.message().contains(path), "{error:?}");
    }
}

#[test]
fn artifacts_hidden_in_a_module_are_refused() {
    let mut wasm = std::fs::read(guest("echo")).unwrap();
    // A custom section named `wasmedge`, as WasmEdge's universal format has one.
    wasm.extend_from_slice(b"\0\x0a\x08wasmedgeX");
    let error = refusal(&wasm);
    assert!(error.message().contains("compiled artifacts"), "{error:?}");
}

#[test]
fn a_function_too_large_for_the_guard_is_refused() {
    let body = "(drop (i32.const 0))".repeat(400_000);
    let wasm = wat::parse_str(format!("(module (memory (export \"memory\") 1) (func {body}))")).unwrap();
    let error = refusal(&wasm);
    assert!(error.message().contains("a function of"), "{error:?}");
}

#[test]
fn truncated_and_mutated_modules_give_one_error_or_load() {
    let wasm = std::fs::read(guest("gain")).unwrap();
    for cut in (0..wasm.len()).step_by(wasm.len() / 97) {
        let error = refusal(&wasm[..cut]);
        assert_eq!(error.code(), Code::ModuleInvalid, "cut at {cut}: {error:?}");
    }
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let (mut loaded, mut refused) = (0, 0);
    for _ in 0..200 {
        let mut mutated = wasm.clone();
        for _ in 0..3 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = usize::try_from(seed % mutated.len() as u64).unwrap();
            mutated[at] ^= 1 << (seed >> 40 & 7);
        }
        let options = NodeOptions { mode: remotemedia_wasmedge::engine::Mode::Interpreter, timeout_ms: Some(200.0), ..NodeOptions::default() };
        match node(ModuleSource::Bytes(mutated), options) {
            Ok(node) => {
                loaded += 1;
                // Whatever it became, it ends: in a result or in one typed error.
                let _ = call(&stream(&node, "s"), Packet::audio(&[0.5; 64], 16_000.0, 1));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(loaded > 0 && refused > 0, "{loaded} loaded, {refused} refused: the mutations are too weak or too strong");
}

#[test]
fn a_module_may_not_take_the_names_that_the_engine_adds() {
    let error = text_node(
        r#"(module (memory (export "memory") 1) (global (export "rm:grow-refused") (mut i32) (i32.const 0))
            (func (export "process") (param i32 i32 i32 i32) (result i32) (i32.const 0)))"#,
        NodeOptions::default(),
    )
    .err()
    .expect("a refusal");
    assert_eq!(error.code(), Code::ModuleInvalid, "{error:?}");
}

#[test]
fn declarations_are_told() {
    let module = Module::from_path(&guest("fixtures/call_host")).unwrap();
    let import = &module.declared().imports[0];
    assert_eq!((import.module.as_str(), import.name.as_str()), ("rm", "call_host"));
    assert_eq!(module.declared().function("process").unwrap().to_string(), "(i32, i32, i32, i32) -> i32");
}

#[test]
fn a_missing_preopen_is_a_wrong_option() {
    let wasi = WasiGrants { preopens: vec![("/data".into(), "/nowhere/at/all".into())], ..WasiGrants::default() };
    let error = guest_node("echo", NodeOptions { wasi, ..NodeOptions::default() }).err().expect("a refusal");
    assert_eq!((error.code(), error.path()), (Code::Config, Some("wasi.preopens./data")), "{error:?}");
}
