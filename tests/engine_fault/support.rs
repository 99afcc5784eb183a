//! What the tests share.

use crate::prelude::*;

/// Runs `f` on a guest thread of its own.
pub fn on_guest_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (out, result) = mpsc::channel();
    let thread = fault::spawn("test-guest", 1 << 20, 0, move || out.send(f()).unwrap()).unwrap();
    let result = result.recv().expect("the guest thread panicked");
    thread.join();
    result
}

pub fn after(ms: u64) -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(ms))
}

/// Tests that measure time run one at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Runs one scenario of this binary in a process of its own.
pub fn in_child(scenario: &str) -> std::process::Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "scenarios", "--nocapture", "--include-ignored"])
        .env("FAULT_SCENARIO", scenario)
        .output()
        .unwrap()
}

pub struct Random(pub u64);
impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

pub const OOB: u32 = 0x408;
pub const DIV0: u32 = 0x404;
pub const UNREACHABLE: u32 = 0x40a;
