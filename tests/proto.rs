//! The Rust code in `src/remote/pb` is what `proto/` says.
//!
//! Generated code is kept in git so that building the package needs no protobuf compiler. This test compiles the files again and compares;
//! `make proto` runs it with `RM_WRITE_PROTO=1`, which writes instead.

use std::fs;
use std::path::{Path, PathBuf};

const FILES: [&str; 5] = [
    "remotemedia/execution/types.proto",
    "remotemedia/execution/execution.proto",
    "remotemedia/v1/common.proto",
    "remotemedia/v1/execution.proto",
    "remotemedia/v1/streaming.proto",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Generates into `folder`; the file descriptors, which server reflection answers with, come along.
fn generate(folder: &Path) {
    let protos = protox::compile(FILES, [root().join("proto")]).expect("proto/ compiles");
    let descriptors = folder.join("descriptors.bin");
    tonic_prost_build::configure()
        .out_dir(folder)
        .bytes(".")
        .btree_map(".")
        .emit_rerun_if_changed(false)
        .disable_comments(["."])
        .file_descriptor_set_path(&descriptors)
        .skip_protoc_run()
        .compile_fds(protos.clone())
        .expect("generated code");
    use prost::Message as _;
    fs::write(descriptors, protos.encode_to_vec()).expect("descriptors");
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(folder).expect("a folder").map(|entry| PathBuf::from(entry.expect("an entry").file_name())).collect();
    names.retain(|name| name.as_os_str() != "mod.rs");
    names.sort();
    names
}

#[test]
fn generated_code_is_up_to_date() {
    let committed = root().join("src/remote/pb");
    if std::env::var_os("RM_WRITE_PROTO").is_some() {
        generate(&committed);
        return;
    }
    let fresh = tempfile::tempdir().expect("a folder");
    generate(fresh.path());
    assert_eq!(listing(&committed), listing(fresh.path()), "run 'make proto'");
    for name in listing(fresh.path()) {
        let same = fs::read(committed.join(&name)).expect("committed") == fs::read(fresh.path().join(&name)).expect("generated");
        assert!(same, "src/remote/pb/{} is not what proto/ says: run 'make proto'", name.display());
    }
}
