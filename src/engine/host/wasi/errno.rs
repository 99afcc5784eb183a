//! Error numbers of preview 1, and how the errors of the operating system map to them.
//!
//! What it does not do: keep the text of an error. The guest sees a number, so nothing about host paths leaks through messages.

use std::io::{self, ErrorKind};

/// An error number as `wasi_snapshot_preview1` defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u16);

macro_rules! errnos {
    ($($name:ident = $value:literal, $meaning:literal;)*) => {
        impl Errno { $(#[doc = $meaning] pub const $name: Errno = Errno($value);)* }
    };
}

errnos! {
    SUCCESS = 0, "No error.";
    ACCES = 2, "The host refuses access.";
    AGAIN = 6, "Try again.";
    BADF = 8, "No such descriptor, or not open for this.";
    BUSY = 10, "In use.";
    DQUOT = 19, "Over quota.";
    EXIST = 20, "Exists already.";
    FBIG = 22, "The file would be too large.";
    ILSEQ = 25, "Not UTF-8.";
    INTR = 27, "Interrupted.";
    INVAL = 28, "Invalid argument.";
    IO = 29, "The device failed.";
    ISDIR = 31, "Is a directory.";
    LOOP = 32, "A symbolic link where none is followed, or too many of them.";
    MFILE = 33, "Too many descriptors of this instance.";
    MLINK = 34, "Too many links.";
    NAMETOOLONG = 37, "The path or name is too long.";
    NFILE = 41, "Too many descriptors of the host.";
    NOENT = 44, "No such file or directory.";
    NOMEM = 48, "Out of memory.";
    NOSPC = 51, "The device is full.";
    NOSYS = 52, "Not implemented.";
    NOTDIR = 54, "Not a directory.";
    NOTEMPTY = 55, "The directory is not empty.";
    NOTSOCK = 57, "Not a socket.";
    NOTSUP = 58, "Not supported here.";
    PERM = 63, "Not permitted; also any path that leads out of its directory.";
    PIPE = 64, "The other end is closed.";
    ROFS = 69, "The file system is read-only.";
    SPIPE = 70, "Not seekable.";
    STALE = 72, "The file is gone from its server.";
    TXTBSY = 74, "The program is running.";
    XDEV = 75, "Across devices.";
    NOTCAPABLE = 76, "Not granted.";
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Errno {
        if let Some(errno) = error.raw_os_error().and_then(from_raw) {
            return errno;
        }
        match error.kind() {
            ErrorKind::NotFound => Errno::NOENT,
            // Without an OS error behind it, this is cap-std refusing a path that leads out.
            ErrorKind::PermissionDenied if error.raw_os_error().is_none() => Errno::PERM,
            ErrorKind::PermissionDenied => Errno::ACCES,
            ErrorKind::AlreadyExists => Errno::EXIST,
            ErrorKind::NotADirectory => Errno::NOTDIR,
            ErrorKind::IsADirectory => Errno::ISDIR,
            ErrorKind::DirectoryNotEmpty => Errno::NOTEMPTY,
            ErrorKind::ReadOnlyFilesystem => Errno::ROFS,
            ErrorKind::StorageFull => Errno::NOSPC,
            ErrorKind::QuotaExceeded => Errno::DQUOT,
            ErrorKind::FileTooLarge => Errno::FBIG,
            ErrorKind::ResourceBusy => Errno::BUSY,
            ErrorKind::ExecutableFileBusy => Errno::TXTBSY,
            ErrorKind::CrossesDevices => Errno::XDEV,
            ErrorKind::TooManyLinks => Errno::MLINK,
            ErrorKind::InvalidFilename => Errno::NAMETOOLONG,
            ErrorKind::InvalidInput | ErrorKind::InvalidData => Errno::INVAL,
            ErrorKind::Interrupted => Errno::INTR,
            ErrorKind::WouldBlock => Errno::AGAIN,
            ErrorKind::NotSeekable => Errno::SPIPE,
            ErrorKind::StaleNetworkFileHandle => Errno::STALE,
            ErrorKind::BrokenPipe => Errno::PIPE,
            ErrorKind::OutOfMemory => Errno::NOMEM,
            ErrorKind::Unsupported => Errno::NOTSUP,
            _ => Errno::IO,
        }
    }
}

/// The few numbers that [`ErrorKind`] does not tell apart.
#[cfg(unix)]
fn from_raw(raw: i32) -> Option<Errno> {
    Some(match raw {
        libc::EPERM => Errno::PERM,
        libc::ELOOP => Errno::LOOP,
        libc::EMFILE | libc::ENFILE => Errno::NFILE,
        libc::ENXIO | libc::ENODEV => Errno::NOTSUP,
        _ => return None,
    })
}

#[cfg(not(unix))]
fn from_raw(_: i32) -> Option<Errno> {
    None
}
