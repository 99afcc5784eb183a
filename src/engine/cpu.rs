//! What this processor can do, as text: part of the cache's key and of `runtimeInfo`.
//!
//! Code compiled for one processor may not run on another that shares the home folder. It does not choose instructions: WasmEdge's
//! compiler looks at the processor itself.

use std::sync::LazyLock;

/// The processor's features, separated by spaces; on an unknown system its architecture alone.
pub fn features() -> &'static str {
    static FEATURES: LazyLock<String> = LazyLock::new(|| {
        let from_kernel = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"))?;
            let mut flags: Vec<_> = line.split_once(':')?.1.split_whitespace().collect();
            flags.sort_unstable();
            Some(flags.join(" "))
        });
        from_kernel.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
    });
    &FEATURES
}
