//! Reading, writing and seeking.
//!
//! Problem: a guest names up to four billion buffers of up to four gigabytes each, and the bytes have to pass through memory of the
//! host because the guest's own may not be lent out.
//!
//! Answer: the list of buffers is bounded and checked as a whole before any byte moves; then one piece of at most [`MAX_IO`] bytes
//! ([`MAX_LOG`] for output to the log) is moved and its size returned. Short counts are part of preview 1, every libc loops.
//!
//! What it does not do: buffer lines; bytes for the log are passed on as they come.

use super::call::{Call, Done, Stop};
use super::errno::Errno;
use super::table::Entry;
use super::types::{MAX_IO, MAX_IOVECS, MAX_LOG, rights};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// The buffers of one call: where they are, and how much of them is used.
struct Buffers {
    list: Vec<(u32, u32)>,
    total: usize,
}

impl Buffers {
    fn read(c: &Call<'_>, list: u32, count: u32, limit: usize) -> Result<Buffers, Stop> {
        if count > MAX_IOVECS {
            return Err(Errno::INVAL.into());
        }
        let mut raw = vec![0; (count as usize).saturating_mul(8)];
        c.memory.read(list, &mut raw)?;
        let mut buffers = Buffers { list: Vec::with_capacity(count as usize), total: 0 };
        for pair in raw.chunks_exact(8) {
            if let [a, b, c0, d, e, f, g, h] = *pair {
                let (ptr, len) = (u32::from_le_bytes([a, b, c0, d]), u32::from_le_bytes([e, f, g, h]));
                c.memory.check(ptr, len)?;
                buffers.total = buffers.total.saturating_add(len as usize).min(limit);
                buffers.list.push((ptr, len));
            }
        }
        Ok(buffers)
    }

    /// The guest's bytes, joined.
    fn gather(&self, c: &Call<'_>) -> Result<Vec<u8>, Stop> {
        let mut bytes = vec![0; self.total];
        let mut rest = bytes.as_mut_slice();
        for (ptr, len) in &self.list {
            let (piece, more) = rest.split_at_mut(rest.len().min(*len as usize));
            c.memory.read(*ptr, piece)?;
            rest = more;
        }
        Ok(bytes)
    }

    /// Hands bytes out over the buffers in their order.
    fn scatter(&self, c: &mut Call<'_>, bytes: &[u8]) -> Done {
        let mut rest = bytes;
        for (ptr, len) in &self.list {
            let (piece, more) = rest.split_at(rest.len().min(*len as usize));
            c.memory.write(*ptr, piece)?;
            rest = more;
        }
        Ok(())
    }
}

fn count(bytes: usize) -> Result<u32, Stop> {
    u32::try_from(bytes).map_err(|_| Errno::INVAL.into())
}

/// A file position that the host can express.
fn position(offset: u64) -> Result<u64, Errno> {
    if i64::try_from(offset).is_ok() { Ok(offset) } else { Err(Errno::INVAL) }
}

fn read(c: &mut Call<'_>, offset: Option<u64>, out: u32) -> Done {
    c.memory.check(out, 4)?;
    let buffers = Buffers::read(c, c.u32(1), c.u32(2), MAX_IO)?;
    let mut bytes = Vec::new();
    match c.wasi.table.get(c.u32(0))? {
        Entry::Stdin if offset.is_none() => {}
        Entry::Stdin => return Err(Errno::SPIPE.into()),
        _ => {
            let needed = rights::FD_READ | if offset.is_some() { rights::FD_SEEK } else { 0 };
            let file = &c.wasi.table.file(c.u32(0), needed, Errno::BADF)?.file;
            bytes.resize(buffers.total, 0);
            let got = match offset {
                Some(offset) => read_at(file, &mut bytes, position(offset)?)?,
                None => (&*file).read(&mut bytes)?,
            };
            bytes.truncate(got);
        }
    }
    buffers.scatter(c, &bytes)?;
    Ok(c.memory.write_u32(out, count(bytes.len())?)?)
}

fn write(c: &mut Call<'_>, offset: Option<u64>, out: u32) -> Done {
    c.memory.check(out, 4)?;
    let stream = match c.wasi.table.get(c.u32(0))? {
        Entry::Log(fd) => Some(*fd),
        _ => None,
    };
    let limit = if stream.is_some() { MAX_LOG } else { MAX_IO };
    let buffers = Buffers::read(c, c.u32(1), c.u32(2), limit)?;
    let wrote = if let Some(fd) = stream {
        // A stream has no positions; an offset for it is ignored, so that nothing a guest says gets lost.
        let bytes = buffers.gather(c)?;
        if !bytes.is_empty() {
            c.host.log(fd, &bytes);
        }
        bytes.len()
    } else {
        let needed = rights::FD_WRITE | if offset.is_some() { rights::FD_SEEK } else { 0 };
        let file = &c.wasi.table.file(c.u32(0), needed, Errno::BADF)?.file;
        let bytes = buffers.gather(c)?;
        match offset {
            Some(offset) => write_at(file, &bytes, position(offset)?)?,
            None => (&*file).write(&bytes)?,
        }
    };
    Ok(c.memory.write_u32(out, count(wrote)?)?)
}

pub(super) fn fd_read(c: &mut Call<'_>) -> Done {
    read(c, None, c.u32(3))
}

pub(super) fn fd_pread(c: &mut Call<'_>) -> Done {
    read(c, Some(c.u64(3)), c.u32(4))
}

pub(super) fn fd_write(c: &mut Call<'_>) -> Done {
    write(c, None, c.u32(3))
}

pub(super) fn fd_pwrite(c: &mut Call<'_>) -> Done {
    write(c, Some(c.u64(3)), c.u32(4))
}

pub(super) fn fd_seek(c: &mut Call<'_>) -> Done {
    let (offset, out) = (c.u64(1).cast_signed(), c.u32(3));
    c.memory.check(out, 8)?;
    let to = match c.u32(2) {
        0 => SeekFrom::Start(position(c.u64(1))?),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        _ => return Err(Errno::INVAL.into()),
    };
    let mut file = &c.wasi.table.file(c.u32(0), rights::FD_SEEK, Errno::SPIPE)?.file;
    let at = file.seek(to)?;
    Ok(c.memory.write_u64(out, at)?)
}

pub(super) fn fd_tell(c: &mut Call<'_>) -> Done {
    let mut file = &c.wasi.table.file(c.u32(0), rights::FD_TELL, Errno::SPIPE)?.file;
    let at = file.stream_position()?;
    Ok(c.memory.write_u64(c.u32(1), at)?)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

// Windows moves the file's own position with these two; it is put back, since the guest's next plain read counts on it.

#[cfg(windows)]
fn read_at(mut file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let before = file.stream_position()?;
    let got = std::os::windows::fs::FileExt::seek_read(file, bytes, offset);
    file.seek(SeekFrom::Start(before))?;
    got
}

#[cfg(windows)]
fn write_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    let before = file.stream_position()?;
    let wrote = std::os::windows::fs::FileExt::seek_write(file, bytes, offset);
    file.seek(SeekFrom::Start(before))?;
    wrote
}
