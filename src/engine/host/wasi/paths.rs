//! Everything else that takes a path: metadata, directories, links, renaming, removing.
//!
//! Problem: paths are where sandboxes leak, through `..`, absolute paths, symbolic links, and links that are harmless until something
//! is moved.
//!
//! Answer: every path goes to `cap-std` beneath a directory the guest holds, both paths of a rename or link too. A symbolic link that
//! a guest makes may only point downwards: its text must be relative and without `..`. No guest can then leave a link behind that
//! leads another program of the host out of the granted directory, wherever the link is moved to.
//!
//! What it does not do: follow a symbolic link to make a hard link to its target (EINVAL, as preview 1 permits).

use super::call::{Call, Done, Stop};
use super::errno::Errno;
use super::fds::file_times;
use super::open::{follows, look, open_checked};
use super::types::{filestat, rights};
use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt, SystemTimeSpec};
use cap_std::fs::{Dir, OpenOptions};
use std::path::{Component, Path};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) fn path_create_directory(c: &mut Call<'_>) -> Done {
    let path = c.path(1)?;
    Ok(c.wasi.table.dir(c.u32(0), rights::PATH_CREATE_DIRECTORY)?.dir.create_dir(path)?)
}

pub(super) fn path_remove_directory(c: &mut Call<'_>) -> Done {
    let path = c.path(1)?;
    Ok(c.wasi.table.dir(c.u32(0), rights::PATH_REMOVE_DIRECTORY)?.dir.remove_dir(path)?)
}

pub(super) fn path_unlink_file(c: &mut Call<'_>) -> Done {
    let path = c.path(1)?;
    let dir = &c.wasi.table.dir(c.u32(0), rights::PATH_UNLINK_FILE)?.dir;
    Ok(dir.remove_file_or_symlink(path)?)
}

pub(super) fn path_filestat_get(c: &mut Call<'_>) -> Done {
    let path = c.path(2)?;
    let dir = c.wasi.table.dir(c.u32(0), rights::PATH_FILESTAT_GET)?;
    let meta = look(&dir.dir, &path, follows(c.u32(1))?)?;
    Ok(c.memory.write(c.u32(4), &filestat(&meta))?)
}

pub(super) fn path_filestat_set_times(c: &mut Call<'_>) -> Done {
    let path = c.path(2)?;
    let (accessed, modified) = times(c.u64(4), c.u64(5), c.u16(6)?)?;
    let dir = c.wasi.table.dir(c.u32(0), rights::PATH_FILESTAT_SET_TIMES)?;
    Ok(set_times(&dir.dir, &path, follows(c.u32(1))?, accessed, modified)?)
}

pub(super) fn path_link(c: &mut Call<'_>) -> Done {
    let (from, to) = (c.path(2)?, c.path(5)?);
    if follows(c.u32(1))? {
        return Err(Errno::INVAL.into());
    }
    let source = c.wasi.table.dir(c.u32(0), rights::PATH_LINK_SOURCE)?;
    let target = c.wasi.table.dir(c.u32(4), rights::PATH_LINK_TARGET)?;
    Ok(source.dir.hard_link(from, &target.dir, to)?)
}

pub(super) fn path_rename(c: &mut Call<'_>) -> Done {
    let (from, to) = (c.path(1)?, c.path(4)?);
    let source = c.wasi.table.dir(c.u32(0), rights::PATH_RENAME_SOURCE)?;
    let target = c.wasi.table.dir(c.u32(3), rights::PATH_RENAME_TARGET)?;
    Ok(source.dir.rename(from, &target.dir, to)?)
}

pub(super) fn path_symlink(c: &mut Call<'_>) -> Done {
    let (text, path) = (c.path(0)?, c.path(3)?);
    let downwards = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(&text).components().all(downwards) {
        return Err(Errno::PERM.into());
    }
    let dir = &c.wasi.table.dir(c.u32(2), rights::PATH_SYMLINK)?.dir;
    Ok(DirExt::symlink(dir, text, path)?)
}

/// The text of a link, cut to the guest's buffer as preview 1 says. An absolute one tells about the host and is refused.
pub(super) fn path_readlink(c: &mut Call<'_>) -> Done {
    let path = c.path(1)?;
    let (buffer, len, out) = (c.u32(3), c.u32(4), c.u32(5));
    c.memory.check(out, 4)?;
    let text = c.wasi.table.dir(c.u32(0), rights::PATH_READLINK)?.dir.read_link(path)?;
    let mut text = text.into_os_string().into_string().map_err(|_| Errno::ILSEQ)?.into_bytes();
    if cfg!(windows) {
        text.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    }
    text.truncate(len as usize);
    c.memory.write(buffer, &text)?;
    let wrote = u32::try_from(text.len()).map_err(|_| Errno::NAMETOOLONG)?;
    Ok(c.memory.write_u32(out, wrote)?)
}

/// Access and modification time from a call's arguments; none means that it stays as it is.
pub(super) fn times(accessed: u64, modified: u64, fstflags: u16) -> Result<(Option<SystemTime>, Option<SystemTime>), Stop> {
    let time = |given: bool, now: bool, nanos: u64| match (given, now) {
        (false, false) => Ok(None),
        (false, true) => Ok(Some(SystemTime::now())),
        (true, false) => UNIX_EPOCH.checked_add(Duration::from_nanos(nanos)).map(Some).ok_or(Errno::INVAL),
        (true, true) => Err(Errno::INVAL),
    };
    let flag = |bit: u16| fstflags & bit != 0;
    if fstflags > 15 {
        return Err(Errno::INVAL.into());
    }
    Ok((time(flag(1), flag(2), accessed)?, time(flag(4), flag(8), modified)?))
}

/// Sets times beneath `dir`. Only a descriptor can be trusted to still be what it was, so the file is opened for it, with the same
/// care as in `path_open`: `cap-std`'s own function would wait for the other end of a pipe.
pub(super) fn set_times(dir: &Dir, path: &str, follow: bool, accessed: Option<SystemTime>, modified: Option<SystemTime>) -> Result<(), Errno> {
    let meta = look(dir, path, follow)?;
    let spec = |time: Option<SystemTime>| time.map(|time| SystemTimeSpec::Absolute(cap_std::time::SystemTime::from_std(time)));
    if meta.is_symlink() {
        return Ok(dir.set_symlink_times(path, spec(accessed), spec(modified))?);
    }
    if !meta.is_file() && !meta.is_dir() {
        return Err(Errno::NOTSUP);
    }
    if cfg!(windows) {
        // There, times need a right of their own, and nothing has to be waited for.
        return Ok(dir.set_times(path, spec(accessed), spec(modified))?);
    }
    let mut options = OpenOptions::new();
    options.read(true).follow(if follow { FollowSymlinks::Yes } else { FollowSymlinks::No }).nonblock(true);
    let file = match open_checked(dir, path, &options) {
        // Its owner may set the times of a file that may only be written.
        Err(Errno::ACCES) => open_checked(dir, path, options.read(false).write(true))?,
        file => file?,
    };
    Ok(file.set_times(file_times(accessed, modified))?)
}
