//! Opening files and directories.
//!
//! Problem: of all calls this one has the most to get wrong: a path that leads out, a pipe or device whose mere opening blocks or has
//! effects, flags that contradict each other, rights that ask for more than there is.
//!
//! Answer: `cap-std` resolves the path beneath the directory. What it names is looked at before it is opened and again afterwards,
//! on the open descriptor: only regular files and directories pass. The second look is the one that holds if something is swapped
//! in between, and `O_NONBLOCK` keeps that case from waiting for the other end of a pipe.
//!
//! What it does not do: fail for rights beyond what is possible. Current compilers ask for all of them; what is possible is given,
//! and `fd_fdstat_get` says what that was. Reading and writing are what the rights decide, as in other current runtimes.

use super::call::{Call, Done, Stop};
use super::errno::Errno;
use super::table::{Directory, Entry, RegularFile, Rights};
use super::types::{SYMLINK_FOLLOW, fdflags, oflags, rights};
use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::fs::{Dir, Metadata, OpenOptions};
use std::fs::File;
use std::io::ErrorKind;

/// The flags of one call, checked.
struct How {
    follow: bool,
    oflags: u16,
    fdflags: u16,
    /// The rights wanted, as far as the parent hands them on.
    base: u64,
    /// What the parent hands on.
    inheriting: u64,
}

impl How {
    fn wants(&self, oflag: u16) -> bool {
        self.oflags & oflag != 0
    }

    fn may(&self, right: u64) -> bool {
        self.base & right != 0
    }
}

/// Whether a lookup follows a symbolic link in the last part of its path.
pub(super) fn follows(lookupflags: u32) -> Result<bool, Errno> {
    if lookupflags & !SYMLINK_FOLLOW != 0 {
        return Err(Errno::INVAL);
    }
    Ok(lookupflags & SYMLINK_FOLLOW != 0)
}

/// Metadata beneath `dir`.
pub(super) fn look(dir: &Dir, path: &str, follow: bool) -> std::io::Result<Metadata> {
    if follow { dir.metadata(path) } else { dir.symlink_metadata(path) }
}

pub(super) fn path_open(c: &mut Call<'_>) -> Done {
    let (fd, out) = (c.u32(0), c.u32(8));
    c.memory.check(out, 4)?;
    let path = c.path(2)?;
    let parent = c.wasi.table.dir(fd, rights::PATH_OPEN)?;
    let inheriting = parent.rights.inheriting;
    let how = How { follow: follows(c.u32(1))?, oflags: c.u16(4)?, fdflags: c.u16(7)?, base: c.u64(5) & inheriting, inheriting };
    if how.oflags & !oflags::ALL != 0 || how.fdflags & !fdflags::ALL != 0 {
        return Err(Errno::INVAL.into());
    }
    if how.wants(oflags::DIRECTORY) && how.wants(oflags::CREAT | oflags::EXCL | oflags::TRUNC) {
        return Err(Errno::INVAL.into());
    }
    if how.wants(oflags::CREAT) && parent.rights.base & rights::PATH_CREATE_FILE == 0
        || how.wants(oflags::TRUNC) && parent.rights.base & rights::PATH_FILESTAT_SET_SIZE == 0
    {
        return Err(Errno::NOTCAPABLE.into());
    }
    if !c.wasi.table.has_room() {
        return Err(Errno::MFILE.into());
    }
    let entry = open(&parent.dir, &path, &how)?;
    let fd = c.wasi.table.insert(entry)?;
    Ok(c.memory.write_u32(out, fd)?)
}

fn open(dir: &Dir, path: &str, how: &How) -> Result<Entry, Stop> {
    let exclusive = how.wants(oflags::CREAT) && how.wants(oflags::EXCL);
    // An exclusive creation never follows a link in the last place: the link itself is what is in the way.
    let found = match look(dir, path, how.follow && !exclusive) {
        Ok(_) if exclusive => return Err(Errno::EXIST.into()),
        Ok(found) => Some(found),
        Err(error) if error.kind() == ErrorKind::NotFound && how.wants(oflags::CREAT) => None,
        Err(error) => return Err(error.into()),
    };
    match found {
        Some(found) if found.is_dir() => open_dir(dir, path, how),
        Some(found) if found.is_symlink() => Err(Errno::LOOP.into()),
        Some(_) if how.wants(oflags::DIRECTORY) => Err(Errno::NOTDIR.into()),
        Some(found) if !found.is_file() => Err(Errno::NOTSUP.into()),
        found => open_file(dir, path, how, found.is_none()),
    }
}

fn open_dir(dir: &Dir, path: &str, how: &How) -> Result<Entry, Stop> {
    // With O_DIRECTORY the wish to write is not meant: some libraries ask for every right there is.
    let writing = how.may(rights::FD_WRITE) && !how.wants(oflags::DIRECTORY);
    if writing || how.wants(oflags::CREAT | oflags::TRUNC) {
        return Err(Errno::ISDIR.into());
    }
    let opened = if how.follow { dir.open_dir(path)? } else { dir.open_dir_nofollow(path)? };
    Ok(Entry::Dir(Box::new(Directory {
        dir: opened,
        preopen: None,
        rights: Rights { base: rights::DIR & how.inheriting, inheriting: how.inheriting },
        listing: None,
    })))
}

fn open_file(dir: &Dir, path: &str, how: &How, create: bool) -> Result<Entry, Stop> {
    // This one right decides: some runtimes ask for the others, such as setting the size, with files they only read.
    let write = how.may(rights::FD_WRITE);
    let truncate = how.wants(oflags::TRUNC) && !create;
    let append = how.fdflags & fdflags::APPEND != 0;
    let mut options = OpenOptions::new();
    // A file is created, or cut, through a descriptor that can write, even if the guest asked for one that only reads.
    let host_write = write || create || truncate;
    options
        .read(how.may(rights::FD_READ) || !host_write)
        .write(host_write)
        .append(append && write)
        .create(create)
        .create_new(create && how.wants(oflags::EXCL))
        .follow(if how.follow { FollowSymlinks::Yes } else { FollowSymlinks::No })
        .nonblock(true)
        .sync(how.fdflags & fdflags::SYNC != 0)
        .dsync(how.fdflags & fdflags::DSYNC != 0)
        .rsync(how.fdflags & fdflags::RSYNC != 0);
    let file = open_checked(dir, path, &options)?;
    if !Metadata::from_file(&file)?.is_file() {
        return Err(Errno::NOTSUP.into());
    }
    if truncate {
        // Only now that it is known to be a regular file; the flag of the operating system also contradicts APPEND.
        file.set_len(0)?;
    }
    let mut base = rights::FILE & how.inheriting;
    if !how.may(rights::FD_READ) {
        base &= !rights::FD_READ;
    }
    if !write {
        base &= !rights::WRITING;
    }
    Ok(Entry::File(Box::new(RegularFile { file, rights: Rights { base, inheriting: 0 }, flags: how.fdflags })))
}

/// Opens beneath `dir`; what comes back is a regular file or a directory.
pub(super) fn open_checked(dir: &Dir, path: &str, options: &OpenOptions) -> Result<File, Errno> {
    let file = dir.open_with(path, options)?.into_std();
    let kind = Metadata::from_file(&file)?.file_type();
    if kind.is_file() || kind.is_dir() { Ok(file) } else { Err(Errno::NOTSUP) }
}
