//! Listing directories.
//!
//! Problem: `fd_readdir` returns as much as fits, cut off in the middle of an entry, and the guest comes back with the number of the
//! next one it wants (the cookie). Starting over and skipping each time is quadratic, and goes wrong when the guest deletes what it
//! has read; a copy of the whole listing is memory that a guest controls.
//!
//! Answer: the open listing stays with the descriptor, with the one entry that did not fit. A guest that reads on, as all of them
//! do, continues there; any other cookie starts over and skips. Entries are written straight into the guest's memory, so its
//! buffer may be of any size. Both loops ask the host from time to time whether the call may go on.
//!
//! What it does not do: name entries that are not UTF-8. The guest could not open them, so they are left out.

use super::WasiHost;
use super::call::{Call, Done, Stop, sleep};
use super::memory::after;
use super::table::Directory;
use super::types::{filetype, filetype_of, put, rights};
use cap_std::fs::{Dir, DirEntry, ReadDir};
use std::io;
use std::time::Duration;

/// A `dirent` without its name.
const DIRENT: usize = 24;
/// How often the host is asked whether the call may go on.
const ASK_EVERY: u64 = 1024;

struct Item {
    name: String,
    inode: u64,
    kind: u8,
}

impl Item {
    /// The entry's record, naming the cookie of the one after it.
    fn record(&self, next: u64) -> Vec<u8> {
        let mut record = vec![0; DIRENT];
        put(&mut record, 0, &next.to_le_bytes());
        put(&mut record, 8, &self.inode.to_le_bytes());
        // File names are short on every system; one that were not is cut in both places.
        let name = self.name.as_bytes();
        let len = u32::try_from(name.len()).unwrap_or(u32::MAX);
        put(&mut record, 16, &len.to_le_bytes());
        put(&mut record, 20, &[self.kind]);
        record.extend_from_slice(name);
        record
    }
}

/// An open listing.
pub(super) struct Listing {
    entries: ReadDir,
    /// The cookie of the entry that comes next.
    next: u64,
    /// That entry, if it has been read already.
    pending: Option<Item>,
    /// The directory's own number, for its entries `.` and `..`: the parent of a granted directory is not the guest's business.
    inode: u64,
}

impl Listing {
    /// A new listing, moved on to `cookie`.
    fn at(dir: &Dir, cookie: u64, host: &mut dyn WasiHost) -> Result<Listing, Stop> {
        let entries = dir.entries()?;
        let mut listing = Listing { entries, next: 0, pending: None, inode: own_inode(dir)? };
        while listing.next < cookie && listing.peek()?.is_some() {
            listing.advance(host)?;
        }
        Ok(listing)
    }

    /// The next entry; none at the end.
    fn peek(&mut self) -> io::Result<Option<&Item>> {
        if self.pending.is_none() {
            self.pending = match self.next {
                0 => Some(Item { name: ".".into(), inode: self.inode, kind: filetype::DIRECTORY }),
                1 => Some(Item { name: "..".into(), inode: self.inode, kind: filetype::DIRECTORY }),
                _ => self.read()?,
            };
        }
        Ok(self.pending.as_ref())
    }

    fn read(&mut self) -> io::Result<Option<Item>> {
        for entry in self.entries.by_ref() {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                let kind = filetype_of(entry.file_type()?);
                return Ok(Some(Item { name, inode: inode(&entry), kind }));
            }
        }
        Ok(None)
    }

    fn advance(&mut self, host: &mut dyn WasiHost) -> Done {
        self.pending = None;
        self.next = self.next.saturating_add(1);
        if self.next.is_multiple_of(ASK_EVERY) {
            sleep(host, Duration::ZERO)?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn own_inode(dir: &Dir) -> io::Result<u64> {
    use cap_std::fs::MetadataExt;
    Ok(dir.dir_metadata()?.ino())
}

#[cfg(unix)]
fn inode(entry: &DirEntry) -> u64 {
    use std::os::unix::fs::DirEntryExt;
    entry.ino()
}

#[cfg(not(unix))]
fn own_inode(_: &Dir) -> io::Result<u64> {
    Ok(0)
}

#[cfg(not(unix))]
fn inode(_: &DirEntry) -> u64 {
    0
}

pub(super) fn fd_readdir(c: &mut Call<'_>) -> Done {
    let (fd, buffer, len, cookie, out) = (c.u32(0), c.u32(1), c.u32(2), c.u64(3), c.u32(4));
    c.memory.check(buffer, len)?;
    c.memory.check(out, 4)?;
    let Directory { dir, listing: slot, .. } = c.wasi.table.dir_mut(fd, rights::FD_READDIR)?;
    let mut listing = match slot.take() {
        Some(listing) if listing.next == cookie => listing,
        _ => Listing::at(dir, cookie, c.host)?,
    };
    let mut used = 0_usize;
    let mut ended = false;
    loop {
        let next = listing.next.saturating_add(1);
        let Some(item) = listing.peek()? else {
            ended = true;
            break;
        };
        let record = item.record(next);
        let room = (len as usize).saturating_sub(used);
        let (fits, cut) = record.split_at(record.len().min(room));
        c.memory.write(after(buffer, used)?, fits)?;
        used = used.saturating_add(fits.len());
        if !cut.is_empty() {
            break;
        }
        listing.advance(c.host)?;
    }
    if !ended {
        *slot = Some(listing);
    }
    Ok(c.memory.write_u32(out, u32::try_from(used).unwrap_or(len))?)
}
