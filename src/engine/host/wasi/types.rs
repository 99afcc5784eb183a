//! Constants and layouts of preview 1, and the bounds of this implementation.
//!
//! What it does not do: define anything of its own beyond the bounds. Names and values follow `wasi_snapshot_preview1`.

use cap_std::fs::{FileType, Metadata};
use std::time::{SystemTime, UNIX_EPOCH};

/// Descriptors per instance, the three standard streams included.
pub const MAX_FDS: usize = 256;
/// Bytes moved by one read or write of a file. More is answered with a short count, which preview 1 permits.
pub const MAX_IO: usize = 1 << 20;
/// Bytes taken by one write to the log.
pub const MAX_LOG: usize = 64 << 10;
/// Buffers in one read or write, as in other systems (`IOV_MAX`).
pub const MAX_IOVECS: u32 = 1024;
/// Bytes in a path.
pub const MAX_PATH: u32 = 4096;
/// Subscriptions of one `poll_oneoff`.
pub const MAX_SUBSCRIPTIONS: u32 = 1024;

/// Kinds of files.
pub(super) mod filetype {
    pub const UNKNOWN: u8 = 0;
    #[cfg(unix)]
    pub const BLOCK_DEVICE: u8 = 1;
    pub const CHARACTER_DEVICE: u8 = 2;
    pub const DIRECTORY: u8 = 3;
    pub const REGULAR_FILE: u8 = 4;
    #[cfg(unix)]
    pub const SOCKET_STREAM: u8 = 6;
    pub const SYMBOLIC_LINK: u8 = 7;
}

/// `fdflags`.
pub(super) mod fdflags {
    pub const APPEND: u16 = 1;
    pub const DSYNC: u16 = 2;
    pub const NONBLOCK: u16 = 4;
    pub const RSYNC: u16 = 8;
    pub const SYNC: u16 = 16;
    pub const ALL: u16 = 31;
}

/// `oflags`.
pub(super) mod oflags {
    pub const CREAT: u16 = 1;
    pub const DIRECTORY: u16 = 2;
    pub const EXCL: u16 = 4;
    pub const TRUNC: u16 = 8;
    pub const ALL: u16 = 15;
}

/// `lookupflags`: follow a symbolic link in the last part of the path.
pub(super) const SYMLINK_FOLLOW: u32 = 1;

/// `rights`.
pub(super) mod rights {
    pub const FD_DATASYNC: u64 = 1;
    pub const FD_READ: u64 = 1 << 1;
    pub const FD_SEEK: u64 = 1 << 2;
    pub const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub const FD_SYNC: u64 = 1 << 4;
    pub const FD_TELL: u64 = 1 << 5;
    pub const FD_WRITE: u64 = 1 << 6;
    pub const FD_ADVISE: u64 = 1 << 7;
    pub const FD_ALLOCATE: u64 = 1 << 8;
    pub const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
    pub const PATH_CREATE_FILE: u64 = 1 << 10;
    pub const PATH_LINK_SOURCE: u64 = 1 << 11;
    pub const PATH_LINK_TARGET: u64 = 1 << 12;
    pub const PATH_OPEN: u64 = 1 << 13;
    pub const FD_READDIR: u64 = 1 << 14;
    pub const PATH_READLINK: u64 = 1 << 15;
    pub const PATH_RENAME_SOURCE: u64 = 1 << 16;
    pub const PATH_RENAME_TARGET: u64 = 1 << 17;
    pub const PATH_FILESTAT_GET: u64 = 1 << 18;
    pub const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
    pub const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
    pub const FD_FILESTAT_GET: u64 = 1 << 21;
    pub const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
    pub const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
    pub const PATH_SYMLINK: u64 = 1 << 24;
    pub const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
    pub const PATH_UNLINK_FILE: u64 = 1 << 26;
    pub const POLL_FD_READWRITE: u64 = 1 << 27;

    /// What changes a file's bytes.
    pub const WRITING: u64 = FD_WRITE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE;
    /// All that can be done with an open regular file.
    pub const FILE: u64 = WRITING
        | FD_DATASYNC
        | FD_READ
        | FD_SEEK
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_TELL
        | FD_ADVISE
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | POLL_FD_READWRITE;
    /// All that can be done with an open directory.
    pub const DIR: u64 = FD_DATASYNC
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | PATH_CREATE_DIRECTORY
        | PATH_CREATE_FILE
        | PATH_LINK_SOURCE
        | PATH_LINK_TARGET
        | PATH_OPEN
        | FD_READDIR
        | PATH_READLINK
        | PATH_RENAME_SOURCE
        | PATH_RENAME_TARGET
        | PATH_FILESTAT_GET
        | PATH_FILESTAT_SET_SIZE
        | PATH_FILESTAT_SET_TIMES
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | PATH_SYMLINK
        | PATH_REMOVE_DIRECTORY
        | PATH_UNLINK_FILE;
}

/// Places `bytes` at `at` in a fixed record; a record's layout is constant, so what does not fit is dropped rather than a panic.
pub(super) fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in record.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// The preview 1 kind of a host file.
pub(super) fn filetype_of(kind: FileType) -> u8 {
    if kind.is_dir() {
        return filetype::DIRECTORY;
    }
    if kind.is_file() {
        return filetype::REGULAR_FILE;
    }
    if kind.is_symlink() {
        return filetype::SYMBOLIC_LINK;
    }
    #[cfg(unix)]
    {
        use cap_std::fs::FileTypeExt;
        if kind.is_block_device() {
            return filetype::BLOCK_DEVICE;
        }
        if kind.is_char_device() {
            return filetype::CHARACTER_DEVICE;
        }
        if kind.is_socket() {
            return filetype::SOCKET_STREAM;
        }
    }
    filetype::UNKNOWN
}

/// Nanoseconds since 1970; before it is 0, after the year 2554 the largest value.
pub(super) fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The size of a `filestat` record.
pub(super) const FILESTAT: usize = 64;

/// A `filestat` record that says no more than what kind of descriptor it is.
pub(super) fn filestat_of_kind(kind: u8) -> [u8; FILESTAT] {
    let mut record = [0; FILESTAT];
    put(&mut record, 16, &[kind]);
    put(&mut record, 24, &1_u64.to_le_bytes());
    record
}

/// The `filestat` record of a file.
pub(super) fn filestat(meta: &Metadata) -> [u8; FILESTAT] {
    let mut record = filestat_of_kind(filetype_of(meta.file_type()));
    let time = |time: std::io::Result<cap_std::time::SystemTime>| time.map_or(0, |time| nanos(time.into_std())).to_le_bytes();
    put(&mut record, 32, &meta.len().to_le_bytes());
    put(&mut record, 40, &time(meta.accessed()));
    put(&mut record, 48, &time(meta.modified()));
    #[cfg(unix)]
    {
        use cap_std::fs::MetadataExt;
        let changed =
            u64::try_from(meta.ctime()).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(u64::try_from(meta.ctime_nsec()).unwrap_or(0));
        put(&mut record, 0, &meta.dev().to_le_bytes());
        put(&mut record, 8, &meta.ino().to_le_bytes());
        put(&mut record, 24, &meta.nlink().to_le_bytes());
        put(&mut record, 56, &changed.to_le_bytes());
    }
    // Windows knows no time of the last status change; device and file numbers stay 0 there, because the accessors for them
    // panic on records that came without.
    #[cfg(not(unix))]
    put(&mut record, 56, &time(meta.modified()));
    record
}
