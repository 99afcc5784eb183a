//! Looks at a registry's file once a second.
//!
//! Looking costs a system call and works on every file system, for replaced files and for symlinks that are pointed elsewhere; the notifications
//! of the kernel do not.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use super::{Inner, RegistryOptions, read};
use crate::error::Result;
use crate::remote::runtime;

/// How stale names may be.
const EVERY: Duration = Duration::from_secs(1);

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Device and inode.
    identity: (u64, u64),
}

impl Stamp {
    /// Of the file that the path leads to; nothing where there is none.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let identity = (0, 0);
        Some(Self { modified: metadata.modified().ok(), length: metadata.len(), identity })
    }
}

/// Starts to look; ends with the registry.
pub fn start(registry: &Arc<Inner>, options: RegistryOptions, seen: Option<Stamp>) -> Result<()> {
    let (closed, registry) = (registry.closed.clone(), Arc::downgrade(registry));
    runtime::spawn(async move {
        let mut seen = seen;
        loop {
            tokio::select! {
                () = closed.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let weak = Weak::clone(&registry);
            // Files may lie on a network of their own.
            let looked = tokio::task::spawn_blocking(move || look(&weak, options, seen)).await;
            match looked {
                Ok(Look::At(now)) => seen = now,
                Ok(Look::Gone) | Err(_) => return,
            }
        }
    })
    .map(drop)
}

/// What one look saw.
enum Look {
    /// The file, or that there is none.
    At(Option<Stamp>),
    /// The registry itself is gone.
    Gone,
}

fn look(registry: &Weak<Inner>, options: RegistryOptions, seen: Option<Stamp>) -> Look {
    let Some(registry) = registry.upgrade() else { return Look::Gone };
    let Some(path) = &registry.file else { return Look::Gone };
    let now = Stamp::of(path);
    if now != seen {
        registry.renew(read::file(path, options));
    }
    Look::At(now)
}
