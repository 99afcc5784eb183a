//! The descriptor table of one instance.
//!
//! Problem: a guest opens, closes and renumbers descriptors as it likes, and each open one holds a descriptor of the process.
//!
//! Answer: at most [`MAX_FDS`] slots, the lowest free one first. The three standard streams have places of their own, so that an
//! instance without directories owns no table at all. Rights are what preview 1 says they are on paper, a set that only shrinks,
//! kept per descriptor; nobody depends on them for safety here, since the grants and `cap-std` decide what can be reached.
//!
//! What it does not do: share descriptors between instances.

use super::errno::Errno;
use super::readdir::Listing;
use super::types::{MAX_FDS, rights};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// What may be done with a descriptor, and with what is opened through it.
#[derive(Clone, Copy)]
pub(super) struct Rights {
    pub base: u64,
    pub inheriting: u64,
}

/// An open directory.
pub(super) struct Directory {
    pub dir: Dir,
    /// The guest's path, if this is a granted directory rather than one opened below it.
    pub preopen: Option<String>,
    pub rights: Rights,
    /// How far `fd_readdir` got.
    pub listing: Option<Listing>,
}

/// An open regular file, and never anything else: see `open`.
pub(super) struct RegularFile {
    pub file: File,
    pub rights: Rights,
    pub flags: u16,
}

/// One slot. The large kinds are boxed: most slots are empty or a stream.
pub(super) enum Entry {
    Closed,
    /// Standard input, which is always at its end.
    Stdin,
    /// Standard output (1) or error (2).
    Log(u32),
    Dir(Box<Directory>),
    File(Box<RegularFile>),
}

pub(super) struct Table {
    streams: [Entry; 3],
    /// Descriptors from 3 on.
    rest: Vec<Entry>,
}

impl Table {
    /// The streams, and the granted directories from 3 on in their order.
    pub fn new(preopens: &[(String, PathBuf)]) -> io::Result<Table> {
        let mut table = Table { streams: [Entry::Stdin, Entry::Log(1), Entry::Log(2)], rest: Vec::new() };
        for (guest, host) in preopens {
            let directory = Directory {
                dir: Dir::open_ambient_dir(host, ambient_authority())?,
                preopen: Some(guest.clone()),
                rights: Rights { base: rights::DIR, inheriting: rights::DIR | rights::FILE },
                listing: None,
            };
            table.insert(Entry::Dir(Box::new(directory))).map_err(|_| io::Error::other("too many granted directories"))?;
        }
        Ok(table)
    }

    /// Whether another descriptor may be opened. Asked before opening, so that a full table costs no file operation.
    pub fn has_room(&self) -> bool {
        self.len() < MAX_FDS
    }

    /// The number of open descriptors.
    pub fn len(&self) -> usize {
        let open = |entry: &&Entry| !matches!(entry, Entry::Closed);
        let streams = self.streams.iter().filter(open).count();
        streams.saturating_add(self.rest.iter().filter(open).count())
    }

    /// Puts an entry into the lowest free slot after the streams. A closed stream's number is not given to a file: what the guest
    /// prints afterwards must not end up in one.
    pub fn insert(&mut self, entry: Entry) -> Result<u32, Errno> {
        if !self.has_room() {
            return Err(Errno::MFILE);
        }
        let free = self.rest.iter().position(|e| matches!(e, Entry::Closed));
        let index = free.unwrap_or(self.rest.len());
        let fd = u32::try_from(index.saturating_add(self.streams.len())).map_err(|_| Errno::MFILE)?;
        match self.rest.get_mut(index) {
            Some(slot) => *slot = entry,
            None => self.rest.push(entry),
        }
        Ok(fd)
    }

    fn slot(&self, fd: u32) -> Option<&Entry> {
        let index = usize::try_from(fd).ok()?;
        match index.checked_sub(self.streams.len()) {
            Some(index) => self.rest.get(index),
            None => self.streams.get(index),
        }
    }

    fn slot_mut(&mut self, fd: u32) -> Option<&mut Entry> {
        let index = usize::try_from(fd).ok()?;
        match index.checked_sub(self.streams.len()) {
            Some(index) => self.rest.get_mut(index),
            None => self.streams.get_mut(index),
        }
    }

    /// An open descriptor.
    pub fn get(&self, fd: u32) -> Result<&Entry, Errno> {
        match self.slot(fd) {
            None | Some(Entry::Closed) => Err(Errno::BADF),
            Some(entry) => Ok(entry),
        }
    }

    /// An open descriptor, to be changed.
    pub fn get_mut(&mut self, fd: u32) -> Result<&mut Entry, Errno> {
        match self.slot_mut(fd) {
            None | Some(Entry::Closed) => Err(Errno::BADF),
            Some(entry) => Ok(entry),
        }
    }

    /// A directory, if it still has `needed`.
    pub fn dir(&self, fd: u32, needed: u64) -> Result<&Directory, Errno> {
        match self.get(fd)? {
            Entry::Dir(dir) if dir.rights.base & needed == needed => Ok(dir),
            Entry::Dir(_) => Err(Errno::NOTCAPABLE),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// The same, to be changed.
    pub fn dir_mut(&mut self, fd: u32, needed: u64) -> Result<&mut Directory, Errno> {
        self.dir(fd, needed)?;
        match self.get_mut(fd)? {
            Entry::Dir(dir) => Ok(dir),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// A regular file, if it still has `needed`. A stream is answered with `stream`, which differs by call.
    pub fn file(&self, fd: u32, needed: u64, stream: Errno) -> Result<&RegularFile, Errno> {
        match self.get(fd)? {
            Entry::File(file) => {
                let missing = needed & !file.rights.base;
                if missing == 0 {
                    Ok(file)
                } else if missing & (rights::FD_READ | rights::FD_WRITE) != 0 {
                    // As everywhere: a file not opened for reading is the wrong descriptor to read from.
                    Err(Errno::BADF)
                } else {
                    Err(Errno::NOTCAPABLE)
                }
            }
            Entry::Stdin | Entry::Log(_) => Err(stream),
            Entry::Dir(_) | Entry::Closed => Err(Errno::BADF),
        }
    }

    /// Closes a descriptor.
    pub fn close(&mut self, fd: u32) -> Result<(), Errno> {
        *self.get_mut(fd)? = Entry::Closed;
        self.trim();
        Ok(())
    }

    /// Moves `from` to the number `to`, closing what was there; both must be open.
    pub fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(to)?;
        let source = self.get_mut(from)?;
        if from == to {
            return Ok(());
        }
        let entry = std::mem::replace(source, Entry::Closed);
        *self.get_mut(to)? = entry;
        self.trim();
        Ok(())
    }

    /// Drops closed slots at the end, so that the table shrinks again.
    fn trim(&mut self) {
        while matches!(self.rest.last(), Some(Entry::Closed)) {
            self.rest.pop();
        }
    }
}
