//! Real Python for tests: a virtual environment with packages from PyPI, made once and kept below `target/`.
//!
//! Needs `python3` with its `venv` module. Tests in several processes share an environment; a lock on a file keeps them from making it
//! twice. The name of its folder has the packages and the interpreter's version in it, so that a change of either makes another one.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// An interpreter that has `packages`, given as pip takes them.
pub fn with_packages(packages: &[&str]) -> PathBuf {
    let (major, minor) = version();
    let name: String = packages.join("-").chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '_' }).collect();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("python{major}.{minor}-{name}"));
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("a folder for tests");
    let lock = File::create(folder.with_extension("lock")).expect("a lock file");
    lock.lock().expect("a lock");
    let python = folder.join("bin/python");
    let done = folder.join("done");
    if !done.exists() {
        // What an interrupted run left is not to be trusted.
        drop(fs::remove_dir_all(&folder));
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder), "making a virtual environment (Debian: apt-get install python3-venv)");
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
        run(Command::new(&python).args(install).args(packages), &format!("installing {packages:?} from PyPI"));
        fs::write(done, "").expect("a mark");
    }
    python
}

/// Major and minor version of `python3`.
pub fn version() -> (u32, u32) {
    let said =
        run(Command::new("python3").args(["-c", "import sys; print(sys.version_info[0], sys.version_info[1])"]), "asking python3 for its version");
    let mut numbers = said.split_whitespace().map(|number| number.parse().expect("a number"));
    (numbers.next().expect("a major version"), numbers.next().expect("a minor version"))
}

fn run(command: &mut Command, what: &str) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("these tests need python3: {what} failed: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what} failed:\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A script that answers each line of json with one line of json.
pub struct Script {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Script {
    /// Starts `script` with an interpreter.
    pub fn start(python: &Path, script: &Path) -> Self {
        // `-W error`: a spelling that a version of numpy warns about would be gone in the next.
        let child = Command::new(python).args(["-W", "error"]).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{} does not start: {error}", python.display()));
        let (input, output) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        Self { child, input, output: BufReader::new(output) }
    }

    /// Asks, and waits for the answer. Fails where Python does; its traceback is on stderr then.
    pub fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").expect("a script that reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a script that answers in UTF-8");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the script ended or answered no json: {error}: {line}"))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
