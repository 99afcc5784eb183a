//! The cache of compiled modules: one compilation however many ask, and nothing damaged is ever loaded.
//!
//! One test in a process of its own, for the cache is the process's.

mod support;

use std::sync::mpsc;

use remotemedia_wasmedge::data::Packet;
use remotemedia_wasmedge::engine::{Mode, ModuleSource, NodeConfig, NodeOptions, WasmNode, runtime_report};
use support::{call, set_up, stream};

fn module(constant: u32) -> ModuleSource {
    let text = format!(
        r#"(module (memory (export "memory") 1)
            (func (export "process") (param i32 i32 i32 i32) (result i32)
              (i32.store (local.get 2) (i32.const {constant})) (i32.store (local.get 3) (i32.const 4)) (i32.const 0)))"#
    );
    ModuleSource::Bytes(wat::parse_str(text).unwrap())
}

fn answer(constant: u32) -> u32 {
    let node = support::node(module(constant), NodeOptions { mode: Mode::Aot, ..NodeOptions::default() }).unwrap();
    let out = call(&stream(&node, "s"), Packet::binary(vec![1])).unwrap();
    u32::from_le_bytes(out[0].bytes.as_ref().try_into().unwrap())
}

#[test]
fn compiled_once_checked_always() {
    set_up();
    // A constant that no earlier run of this test has compiled.
    let constant = std::process::id() | 0x4000_0000;
    let (sender, receiver) = mpsc::channel();
    for _ in 0..16 {
        let options = NodeOptions { mode: Mode::Aot, ..NodeOptions::default() };
        let node = WasmNode::new(module(constant), NodeConfig::new(options, "test").unwrap()).unwrap();
        let sender = sender.clone();
        node.initialize(Box::new(move |ready| sender.send(ready).unwrap()));
    }
    for _ in 0..16 {
        receiver.recv().unwrap().unwrap();
    }
    assert_eq!(runtime_report().cache.compiled, 1, "sixteen nodes, one compilation");
    assert_eq!(answer(constant), constant);

    let folder = runtime_report().cache_folder.unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
    // A second process finds the artifact: nothing is compiled there.
    let second = |expected: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "in_another_process", "--nocapture"])
            .env("CACHE_CONSTANT", constant.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains(expected), "{expected}: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    second("compiled 0");
    // Every artifact is damaged where the loader would not notice: the hash does, and it is made anew.
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().ends_with(".aot.so") {
            let mut bytes = std::fs::read(entry.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            // A new file, for this process has the old one mapped.
            std::fs::remove_file(entry.path()).unwrap();
            std::fs::write(entry.path(), bytes).unwrap();
        }
    }
    second("compiled 1");
    second("compiled 0");
}

/// Runs only in the children of the test above.
#[test]
#[expect(clippy::print_stdout, reason = "how the child tells its parent")]
fn in_another_process() {
    let Ok(constant) = std::env::var("CACHE_CONSTANT") else { return };
    let constant = constant.parse().unwrap();
    set_up();
    assert_eq!(answer(constant), constant);
    println!("compiled {}", runtime_report().cache.compiled);
}
