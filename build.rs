//! Linker settings of a Node addon; nothing is fetched or generated here.

fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
}
