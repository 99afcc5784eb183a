//! Every hostile guest, in every run mode, ends in exactly one typed error or in the stated result, and the next session works.
//!
//! Fails when a fixture has no case here, so that no guest goes untested.

mod support;

use std::collections::BTreeSet;

use remotemedia_wasmedge::data::{Kind, Packet};
use remotemedia_wasmedge::engine::{Mode, NodeOptions};
use remotemedia_wasmedge::error::{Code, Error, Result, Trap};
use support::{MODES, call, flush, guest, guest_node, stream, wait};

/// What a guest's one item must come to.
enum Expected {
    /// Loading the node fails.
    Load(Code, &'static str),
    /// The item fails; the text is part of the message.
    Fails(Code, &'static str),
    /// The item traps.
    Traps(Trap),
    /// The item ends, with these outputs.
    Outputs(fn(&[Packet])),
    /// Either of two honest ends.
    AnyOf(&'static [Code]),
}
use Expected::{AnyOf, Fails, Load, Outputs, Traps};

/// For guests that never end by themselves.
const SHORT_MS: f64 = 300.0;
/// For all others: even interpreted by an unoptimised build on a busy machine they are done long before.
const LONG_MS: f64 = 30_000.0;

fn timeout_ms(expected: &Expected) -> f64 {
    match expected {
        Fails(Code::WasmTimeout, _) | AnyOf(_) => SHORT_MS,
        _ => LONG_MS,
    }
}

fn cases() -> Vec<(&'static str, Expected)> {
    vec![
        ("bad_alloc", Fails(Code::Abi, "rm_alloc")),
        ("bad_len_config", Traps(Trap::BadPointer)),
        ("bad_ptr_emit", Traps(Trap::BadPointer)),
        ("big_initial", Load(Code::WasmMemory, "memoryLimit")),
        ("call_host", Load(Code::ImportDenied, "rm.call_host")),
        ("cleanup_trap", Outputs(|_| {})),
        ("div_zero", Traps(Trap::DivideByZero)),
        ("emit_big", Fails(Code::OutputTooLarge, "maxOutputBytes")),
        ("emit_flood", AnyOf(&[Code::OutputTooLarge, Code::WasmTimeout])),
        ("fail_buffer", Fails(Code::Guest, "buffer says no")),
        ("fail_text", Fails(Code::Guest, "no thanks")),
        ("fill_big", Fails(Code::WasmTimeout, "time")),
        ("flush_output", Outputs(|_| {})),
        ("giant_output", Fails(Code::OutputTooLarge, "maxOutputBytes")),
        ("grow_bomb", Fails(Code::WasmMemory, "memoryLimit")),
        ("grow_quiet", Outputs(|_| {})),
        ("init_refuse", Fails(Code::Guest, "config.model: no such model")),
        ("int_overflow", Traps(Trap::IntegerOverflow)),
        (
            "keep_result",
            Outputs(|out| {
                assert_eq!(out.len(), 1);
                assert_eq!(out[0].bytes.len(), 200_000);
                assert!(out[0].bytes.iter().all(|byte| *byte == 42));
            }),
        ),
        ("leaky_state", Outputs(|out| assert_eq!(out[0].bytes.as_ref(), [1, 0, 0, 0]))),
        ("liar_output", Fails(Code::Abi, "says it wrote")),
        ("locals_bomb", Load(Code::ModuleInvalid, "locals")),
        (
            "many_emits",
            Outputs(|out| {
                assert_eq!(out.len(), 3);
                for (index, output) in out.iter().enumerate() {
                    assert_eq!(output.kind(), Kind::Binary);
                    assert_eq!(output.bytes.as_ref(), INPUT);
                    assert_eq!(output.metadata.as_ref().unwrap()["n"], index + 1);
                }
            }),
        ),
        ("needs_env", Load(Code::ImportDenied, "env.call_remote_service")),
        ("neg_len_log", Traps(Trap::BadPointer)),
        ("no_memory", Load(Code::Abi, "memory")),
        ("no_process", Load(Code::Abi, "process")),
        ("null_alloc", Fails(Code::WasmMemory, "no memory for a buffer")),
        ("oob", Traps(Trap::OutOfBounds)),
        ("recurse", Traps(Trap::StackOverflow)),
        ("recurse_grow", Traps(Trap::StackOverflow)),
        ("recurse_host", Traps(Trap::StackOverflow)),
        ("remote", Load(Code::ImportDenied, "env.call_remote_service")),
        ("spin", Fails(Code::WasmTimeout, "time")),
        ("spin_copy", Fails(Code::WasmTimeout, "time")),
        ("spin_grow", Fails(Code::WasmTimeout, "time")),
        ("spin_host", Fails(Code::WasmTimeout, "time")),
        ("spin_if", Fails(Code::WasmTimeout, "time")),
        ("spin_log", Fails(Code::WasmTimeout, "time")),
        ("start_spin", Fails(Code::WasmTimeout, "time")),
        ("start_trap", Traps(Trap::Unreachable)),
        ("status1_forever", Fails(Code::Abi, "asks for")),
        ("table_bomb", AnyOf(&[Code::WasmTimeout, Code::WasmTrap])),
        ("unknown_import", Load(Code::ImportDenied, "foo.bar")),
        ("unreachable", Traps(Trap::Unreachable)),
        ("uses_simd", Outputs(|out| assert_eq!(out[0].bytes.as_ref(), [1.0_f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).as_flattened()))),
        (
            "wasi_probe",
            Outputs(|out| {
                // clock and random are refused, arguments and environment are empty, descriptor 3 is not open, output is swallowed.
                assert_eq!(out[0].bytes.as_ref(), [76, 76, 0, 0, 8, 0]);
            }),
        ),
        ("wrong_abi", Fails(Code::Abi, "ABI 2")),
        ("wrong_sig", Load(Code::Abi, "process")),
    ]
}

/// 0.0, 1.0, 2.0, 3.0 as little-endian floats: an input that every guest accepts.
const INPUT: &[u8] = &[0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40];

fn options(mode: Mode, timeout_ms: f64) -> NodeOptions {
    NodeOptions { mode, timeout_ms: Some(timeout_ms), memory_limit: Some(f64::from(80 << 20)), max_output_bytes: Some(8e6), ..NodeOptions::default() }
}

fn run(name: &str, mode: Mode, timeout_ms: f64) -> Result<Vec<Packet>> {
    let node = guest_node(&format!("fixtures/{name}"), options(mode, timeout_ms))?;
    let stream = stream(&node, "victim");
    let result = call(&stream, Packet::binary(INPUT));
    // The session is usable or begins anew; either way a second item ends like the first, and nothing hangs.
    let again = call(&stream, Packet::binary(INPUT));
    assert_eq!(result.is_ok(), again.is_ok(), "{name} {mode:?}: {again:?}");
    wait::<()>(|done| node.cleanup(Box::new(move || done(()))));
    assert_eq!(node.metrics()["instancesLive"], 0, "{name} {mode:?} keeps an instance");
    result
}

fn check(name: &str, mode: Mode, expected: &Expected) {
    let result = run(name, mode, timeout_ms(expected));
    let context = format!("{name} in {mode:?}: {result:?}");
    let error = |result: &Result<Vec<Packet>>| -> Error { result.clone().err().unwrap_or_else(|| panic!("{context}")) };
    match expected {
        Load(code, text) | Fails(code, text) => {
            let error = error(&result);
            assert_eq!(error.code(), *code, "{context}");
            assert!(error.message().contains(text), "{context}");
        }
        Traps(trap) => {
            let error = error(&result);
            assert_eq!((error.code(), error.trap_kind()), (Code::WasmTrap, Some(*trap)), "{context}");
        }
        Outputs(look) => look(&result.unwrap_or_else(|error| panic!("{context}: {error:?}"))),
        AnyOf(codes) => {
            let error = error(&result);
            assert!(codes.contains(&error.code()), "{context}");
        }
    }
}

fn check_all(mode: Mode) {
    let failed: Vec<_> = cases()
        .into_iter()
        .filter(|(name, expected)| std::panic::catch_unwind(|| check(name, mode, expected)).is_err())
        .map(|(name, _)| name)
        .collect();
    assert!(failed.is_empty(), "{mode:?}: {failed:?}");
}

#[test]
fn hostile_guests_interpreted() {
    check_all(Mode::Interpreter);
}

#[test]
fn hostile_guests_compiled_ahead() {
    check_all(Mode::Aot);
}

#[test]
fn hostile_guests_compiled_in_memory() {
    check_all(Mode::Jit);
}

#[test]
fn every_fixture_has_a_case() {
    let folder = guest("fixtures/x");
    let built: BTreeSet<_> = std::fs::read_dir(folder.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    // Over a megabyte, so it is not committed; `engine_module.rs` makes its own.
    let cases: BTreeSet<_> = cases().into_iter().map(|(name, _)| name.to_owned()).chain(["huge_function".into()]).collect();
    let untested: Vec<_> = built.difference(&cases).collect();
    assert!(untested.is_empty(), "fixtures without a case: {untested:?}");
    assert!(built.len() > 40, "the fixtures are not built: {built:?}");
}

#[test]
fn a_lost_instance_costs_no_other_session_anything() {
    for mode in MODES {
        let node = guest_node("fixtures/leaky_state", options(mode, LONG_MS)).unwrap();
        let spinner = guest_node("fixtures/spin", options(mode, SHORT_MS)).unwrap();
        let (one, two, victim) = (stream(&node, "one"), stream(&node, "two"), stream(&spinner, "victim"));
        for round in 1..=3_u32 {
            assert!(call(&victim, Packet::binary(INPUT)).is_err());
            for stream in [&one, &two] {
                assert_eq!(call(stream, Packet::binary(INPUT)).unwrap()[0].bytes.as_ref(), round.to_le_bytes(), "{mode:?}");
            }
        }
        assert_eq!(spinner.metrics()["instancesLost"], 3);
        assert_eq!(node.metrics()["instancesLost"], 0);
    }
}

#[test]
fn errors_name_node_and_session_and_say_that_state_was_lost() {
    let node = guest_node("fixtures/unreachable", options(Mode::Interpreter, LONG_MS)).unwrap();
    let error = call(&stream(&node, "alice"), Packet::binary(INPUT)).unwrap_err();
    assert_eq!((error.node(), error.session(), error.is_state_lost()), (Some("test"), Some("alice"), true));
    let node = guest_node("fixtures/fail_text", options(Mode::Interpreter, LONG_MS)).unwrap();
    let error = call(&stream(&node, "alice"), Packet::binary(INPUT)).unwrap_err();
    assert!(!error.is_state_lost(), "a refusal leaves the session usable");
}

#[test]
fn flush_comes_after_the_last_item() {
    let node = guest_node("fixtures/flush_output", options(Mode::Interpreter, LONG_MS)).unwrap();
    let stream = stream(&node, "s");
    for _ in 0..3 {
        call(&stream, Packet::binary(INPUT)).unwrap();
    }
    let out = flush(&stream).unwrap();
    assert_eq!(out[0].bytes.as_ref(), b"flushed:3");
    assert_eq!(out[0].sequence, 3);
}
