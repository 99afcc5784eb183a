//! What can be asked of, and changed about, an open descriptor.
//!
//! Problem: the same questions go to directories, files and streams, and each kind has its own answers.
//!
//! Answer: one function per question, a match over the kinds in each.
//!
//! What it does not do: reserve space (`fd_allocate` is ENOTSUP, as in other current runtimes: a file that is merely longer is not
//! the promise it makes), change APPEND or SYNC of an open file (ENOTSUP: the operating system holds them, set when it was opened),
//! or act on `fd_advise`.

use super::call::{Call, Done, Stop};
use super::errno::Errno;
use super::paths::{set_times, times};
use super::table::{Entry, Rights};
use super::types::{fdflags, filestat, filestat_of_kind, filetype, put, rights};
use cap_std::fs::Metadata;
use std::fs::FileTimes;

/// What a stream can be told to do; no seeking, by which a guest's libc knows a terminal and prints line by line.
const STDIN: Rights = Rights { base: rights::FD_READ | rights::FD_FILESTAT_GET | rights::POLL_FD_READWRITE, inheriting: 0 };
const LOG: Rights = Rights { base: rights::FD_WRITE | rights::FD_FILESTAT_GET | rights::POLL_FD_READWRITE, inheriting: 0 };

pub(super) fn fd_advise(c: &mut Call<'_>) -> Done {
    c.wasi.table.file(c.u32(0), rights::FD_ADVISE, Errno::SPIPE)?;
    // Six kinds of advice exist.
    if c.u32(3) > 5 {
        return Err(Errno::INVAL.into());
    }
    Ok(())
}

pub(super) fn fd_allocate(c: &mut Call<'_>) -> Done {
    c.wasi.table.file(c.u32(0), rights::FD_ALLOCATE, Errno::SPIPE)?;
    Err(Errno::NOTSUP.into())
}

pub(super) fn fd_close(c: &mut Call<'_>) -> Done {
    Ok(c.wasi.table.close(c.u32(0))?)
}

pub(super) fn fd_renumber(c: &mut Call<'_>) -> Done {
    Ok(c.wasi.table.renumber(c.u32(0), c.u32(1))?)
}

pub(super) fn fd_datasync(c: &mut Call<'_>) -> Done {
    if sync_dir(c, rights::FD_DATASYNC)? {
        return Ok(());
    }
    let file = c.wasi.table.file(c.u32(0), rights::FD_DATASYNC, Errno::INVAL)?;
    Ok(file.file.sync_data()?)
}

pub(super) fn fd_sync(c: &mut Call<'_>) -> Done {
    if sync_dir(c, rights::FD_SYNC)? {
        return Ok(());
    }
    let file = c.wasi.table.file(c.u32(0), rights::FD_SYNC, Errno::INVAL)?;
    Ok(file.file.sync_all()?)
}

/// Makes a directory's entries durable; false if the descriptor is none. Windows has no such operation and needs none.
fn sync_dir(c: &Call<'_>, needed: u64) -> Result<bool, Stop> {
    if !matches!(c.wasi.table.get(c.u32(0))?, Entry::Dir(_)) {
        return Ok(false);
    }
    let dir = &c.wasi.table.dir(c.u32(0), needed)?.dir;
    if cfg!(unix) {
        // The descriptor held is one for paths only, which cannot be synced.
        dir.open(".")?.sync_all()?;
    }
    Ok(true)
}

pub(super) fn fd_fdstat_get(c: &mut Call<'_>) -> Done {
    let (kind, flags, rights) = match c.wasi.table.get(c.u32(0))? {
        // A terminal in the guest's eyes, so that a libc sends each line when it is finished instead of at exit, which a module
        // that stays loaded never reaches.
        Entry::Stdin => (filetype::CHARACTER_DEVICE, 0, STDIN),
        Entry::Log(_) => (filetype::CHARACTER_DEVICE, fdflags::APPEND, LOG),
        Entry::Dir(dir) => (filetype::DIRECTORY, 0, dir.rights),
        Entry::File(file) => (filetype::REGULAR_FILE, file.flags, file.rights),
        Entry::Closed => return Err(Errno::BADF.into()),
    };
    let mut record = [0; 24];
    put(&mut record, 0, &[kind]);
    put(&mut record, 2, &flags.to_le_bytes());
    put(&mut record, 8, &rights.base.to_le_bytes());
    put(&mut record, 16, &rights.inheriting.to_le_bytes());
    Ok(c.memory.write(c.u32(1), &record)?)
}

/// NONBLOCK may change, as it says nothing about a regular file; the others may be named as they are.
pub(super) fn fd_fdstat_set_flags(c: &mut Call<'_>) -> Done {
    let flags = c.u16(1)?;
    if flags & !fdflags::ALL != 0 {
        return Err(Errno::INVAL.into());
    }
    match c.wasi.table.get_mut(c.u32(0))? {
        Entry::Stdin | Entry::Log(_) => Ok(()),
        Entry::File(file) if file.rights.base & rights::FD_FDSTAT_SET_FLAGS == 0 => Err(Errno::NOTCAPABLE.into()),
        Entry::File(file) if (file.flags ^ flags) & !fdflags::NONBLOCK == 0 => {
            file.flags = flags;
            Ok(())
        }
        Entry::File(_) => Err(Errno::NOTSUP.into()),
        Entry::Dir(_) | Entry::Closed => Err(Errno::BADF.into()),
    }
}

/// Rights can be given up, never gained.
pub(super) fn fd_fdstat_set_rights(c: &mut Call<'_>) -> Done {
    let wanted = Rights { base: c.u64(1), inheriting: c.u64(2) };
    let rights = match c.wasi.table.get_mut(c.u32(0))? {
        Entry::Dir(dir) => &mut dir.rights,
        Entry::File(file) => &mut file.rights,
        _ => return Err(Errno::NOTSUP.into()),
    };
    if wanted.base & !rights.base != 0 || wanted.inheriting & !rights.inheriting != 0 {
        return Err(Errno::NOTCAPABLE.into());
    }
    *rights = wanted;
    Ok(())
}

pub(super) fn fd_filestat_get(c: &mut Call<'_>) -> Done {
    let record = match c.wasi.table.get(c.u32(0))? {
        Entry::Dir(_) => filestat(&c.wasi.table.dir(c.u32(0), rights::FD_FILESTAT_GET)?.dir.dir_metadata()?),
        Entry::File(_) => {
            let file = c.wasi.table.file(c.u32(0), rights::FD_FILESTAT_GET, Errno::BADF)?;
            filestat(&Metadata::from_file(&file.file)?)
        }
        _ => filestat_of_kind(filetype::CHARACTER_DEVICE),
    };
    Ok(c.memory.write(c.u32(1), &record)?)
}

pub(super) fn fd_filestat_set_size(c: &mut Call<'_>) -> Done {
    let file = c.wasi.table.file(c.u32(0), rights::FD_FILESTAT_SET_SIZE, Errno::INVAL)?;
    let size = c.u64(1);
    if i64::try_from(size).is_err() {
        return Err(Errno::FBIG.into());
    }
    Ok(file.file.set_len(size)?)
}

pub(super) fn fd_filestat_set_times(c: &mut Call<'_>) -> Done {
    let (accessed, modified) = times(c.u64(1), c.u64(2), c.u16(3)?)?;
    match c.wasi.table.get(c.u32(0))? {
        Entry::Dir(_) => {
            let dir = c.wasi.table.dir(c.u32(0), rights::FD_FILESTAT_SET_TIMES)?;
            Ok(set_times(&dir.dir, ".", true, accessed, modified)?)
        }
        _ => {
            let file = c.wasi.table.file(c.u32(0), rights::FD_FILESTAT_SET_TIMES, Errno::INVAL)?;
            Ok(file.file.set_times(file_times(accessed, modified))?)
        }
    }
}

/// The times in the form that an open file takes; one that is not given stays as it is.
pub(super) fn file_times(accessed: Option<std::time::SystemTime>, modified: Option<std::time::SystemTime>) -> FileTimes {
    let mut times = FileTimes::new();
    if let Some(accessed) = accessed {
        times = times.set_accessed(accessed);
    }
    if let Some(modified) = modified {
        times = times.set_modified(modified);
    }
    times
}

fn preopen<'a>(c: &'a Call<'_>) -> Result<&'a str, Stop> {
    match c.wasi.table.get(c.u32(0))? {
        Entry::Dir(dir) => dir.preopen.as_deref().ok_or(Errno::BADF.into()),
        _ => Err(Errno::BADF.into()),
    }
}

pub(super) fn fd_prestat_get(c: &mut Call<'_>) -> Done {
    let len = u32::try_from(preopen(c)?.len()).map_err(|_| Errno::NAMETOOLONG)?;
    let mut record = [0; 8];
    put(&mut record, 4, &len.to_le_bytes());
    Ok(c.memory.write(c.u32(1), &record)?)
}

pub(super) fn fd_prestat_dir_name(c: &mut Call<'_>) -> Done {
    let name = preopen(c)?.to_owned();
    if name.len() > c.u32(2) as usize {
        return Err(Errno::NAMETOOLONG.into());
    }
    Ok(c.memory.write(c.u32(1), name.as_bytes())?)
}
