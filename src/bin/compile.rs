//! The compiler's process for tests and benchmarks, which have no Node to run themselves with.

fn main() {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    std::process::exit(remotemedia_wasmedge::engine::child_main(&args));
}
