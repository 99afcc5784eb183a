//! Ahead-of-time compilation in a process of its own.
//!
//! Problem: WasmEdge's compiler takes seconds on large modules and has crashed on valid ones, and a crash inside Node ends Node. Answer:
//! a child process compiles one module and exits; its crash, its time and its memory are its own. Which program plays the child is up to
//! whoever embeds this crate ([`set_launcher`]): Node runs itself with a script of the package, tests and benchmarks run `src/bin/compile.rs`.
//! This file neither caches nor loads what was compiled: that is `cache/mod.rs`.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::config::RunMode;
use super::sys;
use crate::error::{Code, Error, Result};

/// Longest that one compilation may take. The largest module known to us (sql.js, 655 KB) takes 30 s.
const MAX_COMPILE: Duration = Duration::from_secs(600);
/// First and longest pause between two looks at a running child.
const POLL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// How to start the child: the program and the arguments that come before ours.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// Program to run.
    pub program: PathBuf,
    /// Its first arguments.
    pub args: Vec<OsString>,
    /// Variables that it needs beside the few that every child gets.
    pub env: Vec<(OsString, OsString)>,
}

static LAUNCHER: RwLock<Option<Launcher>> = RwLock::new(None);

/// Says how to start the compiler's process. The last call counts.
pub fn set_launcher(launcher: Launcher) {
    *LAUNCHER.write() = Some(launcher);
}

/// Compiles the module at `input` to a native library at `output`. When the compiler crashes it gets a second try without
/// optimisation, where it has not been seen to.
pub fn run_child(input: &Path, output: &Path, fuel: bool) -> Result<()> {
    match attempt(input, output, fuel, false) {
        Err(Failed::Crashed(how)) => {
            tracing::warn!(target: "engine", how, "the compiler crashed, a second try without optimisation");
            attempt(input, output, fuel, true).map_err(Failed::into_error)
        }
        done => done.map_err(Failed::into_error),
    }
}

/// How a try failed.
enum Failed {
    Crashed(String),
    Other(Error),
}

impl Failed {
    fn into_error(self) -> Error {
        match self {
            Self::Other(error) => error,
            Self::Crashed(how) => refused(&format!("crashed ({how})")),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

fn refused(how: &str) -> Error {
    Error::new(Code::ModuleInvalid, format!("WasmEdge's compiler {how}; mode 'interpreter' may still run the module"))
}

fn attempt(input: &Path, output: &Path, fuel: bool, careful: bool) -> std::result::Result<(), Failed> {
    let launcher = LAUNCHER.read().clone().ok_or_else(|| Error::new(Code::Internal, "no compiler process was set up"))?;
    let mut command = Command::new(&launcher.program);
    command.args(&launcher.args).arg(input).arg(output).arg(if fuel { "fuel" } else { "plain" }).arg(if careful { "careful" } else { "full" });
    // A clean environment: NODE_OPTIONS and the like would make the child load or open what the application's own process does.
    command.env_clear().envs(launcher.env.iter().map(|(key, value)| (key, value)));
    for key in ["PATH", "HOME", "TMPDIR", "TEMP", "TMP", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SystemRoot"] {
        if let Some(value) = std::env::var_os(key) {
            command.env(key, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().map_err(|error| {
        let message = format!("cannot start the compiler process {}: {error}", launcher.program.display());
        Error::new(Code::Internal, message).because(error)
    })?;
    let status = wait(&mut child, started)?;
    let mut text = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4_096).read_to_string(&mut text);
    }
    if status.success() {
        return Ok(());
    }
    match status.code() {
        Some(code) => Err(Failed::Other(refused(&format!("failed with exit code {code}: {}", text.trim())))),
        None => Err(Failed::Crashed(status.to_string())),
    }
}

fn wait(child: &mut Child, started: Instant) -> Result<std::process::ExitStatus> {
    let mut pause = POLL.0;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if started.elapsed() > MAX_COMPILE => {
                let _ = child.kill();
                let _ = child.wait();
                let message = format!("the module did not compile within {} s", MAX_COMPILE.as_secs());
                return Err(Error::new(Code::ModuleInvalid, message));
            }
            #[expect(clippy::disallowed_methods, reason = "the system offers no wait with a bound for a child; this thread has nothing else to do")]
            Ok(None) => std::thread::sleep(pause),
            Err(error) => return Err(Error::new(Code::Internal, "cannot wait for the compiler process").because(error)),
        }
        pause = (pause * 2).min(POLL.1);
    }
}

/// The child's whole life: `args` are those that [`run_child`] appended. Returns the exit code.
pub fn child_main(args: &[OsString]) -> i32 {
    let [input, output, fuel, effort] = args else {
        eprintln!("usage: <input.wasm> <output.so> plain|fuel full|careful");
        return 64;
    };
    leave_with_parent();
    super::log::quiet();
    #[cfg(unix)]
    // SAFETY: no memory is involved. Compiling is background work and must not take time from live audio.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
    }
    let compiled = std::fs::read(input).map_err(|error| error.to_string()).and_then(|wasm| {
        let conf = sys::Configure::new(RunMode::Aot, fuel == "fuel").compiler(effort == "careful");
        sys::compile(&conf, &wasm, Path::new(output)).map_err(sys::Failure::text)
    });
    match compiled {
        Ok(()) => 0,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{problem}");
            1
        }
    }
}

/// Ends this process when the parent's end of our standard input closes: a parent that was killed must not leave compilers behind.
fn leave_with_parent() {
    let watch = || {
        let mut byte = [0];
        while !matches!(std::io::stdin().read(&mut byte), Ok(0) | Err(_)) {}
        std::process::exit(70);
    };
    // Without the thread the compilation still works; only an orphan would run to its end.
    let _ = std::thread::Builder::new().name("rm-parent".into()).spawn(watch);
}
