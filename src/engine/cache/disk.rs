//! The folder of compiled artifacts.
//!
//! Problem: what lies there is loaded as native code, several processes write to it, and it must not grow for ever. Answer: a folder of
//! mode 0700 that this user owns, refused otherwise; files named `<key>.<sha256 of the file>.aot.so`, so that one rename publishes an
//! artifact with its hash; the oldest go when the folder grows past its bound. It does not protect against this user: whoever may write
//! here may as well change the application.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::super::module::hex;
use crate::error::{Code, Error, Result};

/// Bytes of artifacts on disk: about a thousand media modules.
const DISK_BYTES: u64 = 1 << 30;
/// What the locks of artifacts in the making end with.
const LOCK_SUFFIX: &str = ".lock";
/// Older than any compilation can be.
const LEFTOVER_AGE: Duration = Duration::from_secs(3_600);
/// What our artifacts end with.
const SUFFIX: &str = ".aot.so";

/// A folder that holds artifacts.
pub struct Folder {
    path: PathBuf,
}

/// A file that goes away when it is dropped.
pub struct Scratch {
    /// Where it is.
    pub path: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Folder {
    /// Opens the user's folder: `RM_WASMEDGE_CACHE_DIR`, else the platform's cache folder, else one of the temporary folder.
    pub fn open() -> Result<Self> {
        if let Some(path) = std::env::var_os("RM_WASMEDGE_CACHE_DIR") {
            return Self::at(PathBuf::from(path));
        }
        let mut refused = None;
        for path in candidates() {
            match Self::at(path) {
                Ok(folder) => return Ok(folder),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| Error::new(Code::Internal, "no cache folder")))
    }

    /// Opens this folder, making it when it is not there.
    pub fn at(path: PathBuf) -> Result<Self> {
        let shown = path.display().to_string();
        let refused = |problem: String| Error::new(Code::Internal, format!("the cache folder {shown} {problem}"));
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|error| refused(format!("cannot be made: {error}")).because(error))?;
        // The link itself is looked at, not what it points to: a link that others own must not lead us anywhere.
        let facts = fs::symlink_metadata(&path).map_err(|error| refused(format!("cannot be read: {error}")).because(error))?;
        if !facts.is_dir() {
            return Err(refused("is not a folder".into()));
        }
        check_owner(&path, &facts).map_err(refused)?;
        Ok(Self { path })
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The artifact of this key, its bytes checked against its name. A damaged one is removed.
    pub fn find(&self, key: &str) -> Option<PathBuf> {
        for entry in fs::read_dir(&self.path).ok()?.flatten() {
            let name = entry.file_name();
            let Some(hash) = name.to_str().and_then(|name| name.strip_prefix(key)?.strip_prefix('.')?.strip_suffix(SUFFIX)) else {
                continue;
            };
            let path = entry.path();
            match hash_file(&path) {
                Ok(found) if found == hash => {
                    // Its use counts for eviction; if that fails, it is only evicted earlier.
                    let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                    return Some(path);
                }
                _ => {
                    tracing::warn!(target: "engine", path = %path.display(), "removed a damaged artifact");
                    let _ = fs::remove_file(&path);
                }
            }
        }
        None
    }

    /// Gives a compiled file its name. The scratch file is gone afterwards.
    pub fn publish(&self, key: &str, made: &Scratch) -> Result<PathBuf> {
        let failed = |error: std::io::Error| Error::new(Code::Internal, format!("cannot keep a compiled module: {error}")).because(error);
        let hash = hash_file(&made.path).map_err(failed)?;
        let path = self.path.join(format!("{key}.{hash}{SUFFIX}"));
        fs::rename(&made.path, &path).map_err(failed)?;
        self.evict(&path);
        Ok(path)
    }

    /// A name in the folder that nobody else uses.
    pub fn scratch(&self, extension: &str) -> Scratch {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("making-{}-{}.{extension}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Scratch { path: self.path.join(name) }
    }

    /// Waits until no other process makes the same artifact. Where locks do not work, two make it and the second rename wins.
    pub fn lock(&self, key: &str) -> Option<Lock> {
        let path = self.path.join(format!("{key}{LOCK_SUFFIX}"));
        let file = File::options().create(true).truncate(false).write(true).open(&path).ok()?;
        file.lock().ok()?;
        Some(Lock { _file: file, path })
    }

    /// Removes what processes left behind that were killed while they compiled.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let left = entry.file_name().to_str().is_some_and(|name| name.starts_with("making-") || name.ends_with(LOCK_SUFFIX));
            let age = entry.metadata().and_then(|facts| facts.modified()).ok().and_then(|time| time.elapsed().ok());
            if left && age.is_some_and(|age| age > LEFTOVER_AGE) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn evict(&self, keep: &Path) {
        self.sweep();
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        let mut artifacts: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.ends_with(SUFFIX)))
            .filter_map(|entry| entry.metadata().ok().map(|facts| (facts.modified().unwrap_or(SystemTime::UNIX_EPOCH), facts.len(), entry.path())))
            .collect();
        artifacts.sort();
        let mut total: u64 = artifacts.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in artifacts {
            if total <= DISK_BYTES {
                return;
            }
            if path != keep && fs::remove_file(&path).is_ok() {
                total -= bytes;
            }
        }
    }
}

/// Held while one process makes an artifact.
pub struct Lock {
    _file: File,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever still waits on the removed file gets its turn and then finds the artifact.
        let _ = fs::remove_file(&self.path);
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let home = || std::env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        found.extend(std::env::var_os("LOCALAPPDATA").map(PathBuf::from));
    } else if cfg!(target_os = "macos") {
        found.extend(home().map(|home| home.join("Library/Caches")));
    } else {
        let xdg = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        found.extend(xdg.or_else(|| home().map(|home| home.join(".cache"))));
    }
    let mut found: Vec<_> = found.into_iter().map(|path| path.join("remotemedia-wasmedge")).collect();
    #[cfg(unix)]
    // SAFETY: no arguments, cannot fail.
    let user = unsafe { libc::geteuid() }.to_string();
    #[cfg(not(unix))]
    let user = std::env::var("USERNAME").unwrap_or_default();
    found.push(std::env::temp_dir().join(format!("remotemedia-wasmedge-{user}")));
    found
}

#[cfg(unix)]
fn check_owner(path: &Path, facts: &fs::Metadata) -> std::result::Result<(), String> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    // SAFETY: no arguments, cannot fail.
    if facts.uid() != unsafe { libc::geteuid() } {
        return Err("belongs to another user".into());
    }
    if facts.permissions().mode() & 0o077 != 0 {
        // Ours but too open: what others could have written there is not trusted, so it starts empty.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|error| format!("cannot be closed to others: {error}"))?;
        for entry in fs::read_dir(path).map_err(|error| format!("cannot be read: {error}"))?.flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.ends_with(SUFFIX)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner(_path: &Path, _facts: &fs::Metadata) -> std::result::Result<(), String> {
    // The user's own profile folder: its access list keeps others out.
    Ok(())
}

fn hash_file(path: &Path) -> std::io::Result<String> {
    Ok(hex(&Sha256::digest(fs::read(path)?)))
}
