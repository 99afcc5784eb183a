//! What a node's `wasi` option grants, and whether that can work.
//!
//! Problem: a typo in a granted directory should be an error of the configuration that names the option, not an odd error number
//! inside the guest an hour later.
//!
//! Answer: [`WasiGrants::check`] looks at everything once, before any instance exists.
//!
//! What it does not do: promise that a directory is still there when an instance starts; `Wasi::new` reports that.

use super::types::MAX_PATH;
use std::collections::HashSet;
use std::path::PathBuf;

/// Directories one node may be granted: each costs every instance a descriptor.
const MAX_PREOPENS: usize = 64;
/// Bytes of all arguments, or of all variables: both are copied into each instance's state and into the guest's memory.
const MAX_STRINGS: usize = 1 << 20;

/// What a module may see of the host. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WasiGrants {
    /// Environment variables, in this order.
    pub env: Vec<(String, String)>,
    /// Arguments, the program's name first by custom.
    pub args: Vec<String>,
    /// Directories: the path the guest sees, and the one on the host.
    pub preopens: Vec<(String, PathBuf)>,
    /// Whether the guest may read the time and wait.
    pub clock: bool,
    /// Whether the guest may draw random bytes.
    pub random: bool,
}

impl WasiGrants {
    /// Everything wrong with these grants, each as the option's dotted path and a message.
    pub fn check(&self) -> Result<(), Vec<(String, String)>> {
        let mut errors = Vec::new();
        self.check_env(&mut errors);
        self.check_args(&mut errors);
        self.check_preopens(&mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_env(&self, errors: &mut Vec<(String, String)>) {
        let mut seen = HashSet::new();
        let mut total = 0_usize;
        for (key, value) in &self.env {
            total = total.saturating_add(key.len().saturating_add(value.len()).saturating_add(2));
            let path = || format!("wasi.env.{}", printable(key));
            if key.is_empty() || key.contains(['=', '\0']) {
                errors.push((path(), "a variable's name must not be empty or contain \"=\" or NUL".into()));
            }
            if value.contains('\0') {
                errors.push((path(), "a variable's value must not contain NUL".into()));
            }
            if !seen.insert(key) {
                errors.push((path(), "the variable is given twice".into()));
            }
        }
        if total > MAX_STRINGS {
            errors.push(("wasi.env".into(), format!("the variables take more than {MAX_STRINGS} bytes")));
        }
    }

    fn check_args(&self, errors: &mut Vec<(String, String)>) {
        let mut total = 0_usize;
        for (index, arg) in self.args.iter().enumerate() {
            total = total.saturating_add(arg.len().saturating_add(1));
            if arg.contains('\0') {
                errors.push((format!("wasi.args.{index}"), "an argument must not contain NUL".into()));
            }
        }
        if total > MAX_STRINGS {
            errors.push(("wasi.args".into(), format!("the arguments take more than {MAX_STRINGS} bytes")));
        }
    }

    fn check_preopens(&self, errors: &mut Vec<(String, String)>) {
        if self.preopens.len() > MAX_PREOPENS {
            let message = format!("no more than {MAX_PREOPENS} directories can be granted");
            errors.push(("wasi.preopens".into(), message));
            return;
        }
        let mut seen = HashSet::new();
        for (guest, host) in &self.preopens {
            let mut wrong = |message: String| errors.push((format!("wasi.preopens.{}", printable(guest)), message));
            if guest.is_empty() || guest.contains('\0') || guest.len() > MAX_PATH as usize {
                wrong(format!("the guest's path must have 1 to {MAX_PATH} bytes and no NUL"));
            }
            if !seen.insert(guest) {
                wrong("the guest's path is given twice".into());
            }
            // Reading it, not only its metadata: a directory that may not be read is of no use to a guest.
            if let Err(error) = std::fs::read_dir(host) {
                wrong(format!("cannot read the directory {}: {error}", host.display()));
            }
        }
    }
}

/// A name fit for a message: no control characters, and short.
fn printable(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}
