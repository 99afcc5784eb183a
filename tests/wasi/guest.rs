//! A guest without an engine: 64 KiB of memory, a host that writes down what it is told, and calls by name.

use remotemedia_wasmedge::engine::host::wasi::{Errno, Fault, GuestMemory, Outcome, Wasi, WasiGrants, WasiHost, imports};
use std::path::Path;
use std::time::Duration;

pub const OK: Outcome = Outcome::Errno(0);
pub const SIZE: usize = 65536;

/// Where the tests place things: results, paths (two of them), buffers.
pub const OUT: u32 = 0;
pub const PATH: u32 = 1024;
pub const PATH2: u32 = 6144;
pub const IOVEC: u32 = 12288;
pub const DATA: u32 = 16384;

pub const CREAT: u64 = 1;
pub const DIRECTORY: u64 = 2;
pub const EXCL: u64 = 4;
pub const TRUNC: u64 = 8;
pub const APPEND: u64 = 1;
pub const READ: u64 = 1 << 1;
pub const WRITE: u64 = 1 << 6;

pub struct Ram(pub Vec<u8>);

impl Ram {
    fn range(&self, ptr: u32, len: usize) -> Result<std::ops::Range<usize>, Fault> {
        let start = ptr as usize;
        let end = start.checked_add(len).ok_or(Fault)?;
        if end > self.0.len() {
            return Err(Fault);
        }
        Ok(start..end)
    }
}

impl GuestMemory for Ram {
    fn read(&self, ptr: u32, buf: &mut [u8]) -> Result<(), Fault> {
        if !buf.is_empty() {
            buf.copy_from_slice(&self.0[self.range(ptr, buf.len())?]);
        }
        Ok(())
    }

    fn write(&mut self, ptr: u32, bytes: &[u8]) -> Result<(), Fault> {
        if !bytes.is_empty() {
            let range = self.range(ptr, bytes.len())?;
            self.0[range].copy_from_slice(bytes);
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

#[derive(Default)]
pub struct Host {
    pub logged: Vec<(u32, Vec<u8>)>,
    pub slept: Vec<Duration>,
    /// Answers false to every wait.
    pub stopped: bool,
}

impl WasiHost for Host {
    fn log(&mut self, fd: u32, bytes: &[u8]) {
        self.logged.push((fd, bytes.to_vec()));
    }

    fn sleep(&mut self, how_long: Duration) -> bool {
        self.slept.push(how_long);
        !self.stopped
    }
}

pub struct Guest {
    pub wasi: Wasi,
    pub ram: Ram,
    pub host: Host,
}

pub fn errno(errno: Errno) -> Outcome {
    Outcome::Errno(errno.0)
}

impl Guest {
    pub fn new(grants: &WasiGrants) -> Guest {
        Guest { wasi: Wasi::new(grants).unwrap(), ram: Ram(vec![0; SIZE]), host: Host::default() }
    }

    /// A guest with one directory, which is descriptor 3.
    pub fn with_dir(dir: &Path) -> Guest {
        Guest::new(&WasiGrants { preopens: vec![("/data".into(), dir.to_path_buf())], ..WasiGrants::default() })
    }

    pub fn call(&mut self, name: &str, args: &[u64]) -> Outcome {
        let import = imports().iter().find(|i| i.name == name).expect(name);
        assert_eq!(import.params.len(), args.len(), "{name}");
        (import.call)(&mut self.wasi, &mut self.ram, &mut self.host, args)
    }

    pub fn u32(&self, at: u32) -> u32 {
        self.ram.read_u32(at).unwrap()
    }

    pub fn u64(&self, at: u32) -> u64 {
        u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32
    }

    pub fn bytes(&self, at: u32, len: u32) -> Vec<u8> {
        self.ram.0[at as usize..(at + len) as usize].to_vec()
    }

    /// Places bytes and gives address and length as arguments.
    pub fn put(&mut self, at: u32, bytes: impl AsRef<[u8]>) -> [u64; 2] {
        self.ram.write(at, bytes.as_ref()).unwrap();
        [u64::from(at), bytes.as_ref().len() as u64]
    }

    /// A call on a path below a directory: `before` the path, `after` it.
    pub fn path(&mut self, name: &str, before: &[u64], path: impl AsRef<[u8]>, after: &[u64]) -> Outcome {
        let path = self.put(PATH, path);
        self.call(name, &[before, &path, after].concat())
    }

    pub fn open(&mut self, path: &str, oflags: u64, rights: u64, fdflags: u64) -> Result<u64, Outcome> {
        self.open_at(3, 1, path, oflags, rights, fdflags)
    }

    pub fn open_at(&mut self, fd: u64, follow: u64, path: &str, oflags: u64, rights: u64, fdflags: u64) -> Result<u64, Outcome> {
        let after = [oflags, rights, u64::MAX, fdflags, u64::from(OUT)];
        match self.path("path_open", &[fd, follow], path, &after) {
            OK => Ok(u64::from(self.u32(OUT))),
            other => Err(other),
        }
    }

    /// One buffer at `DATA`.
    fn buffer(&mut self, len: u32) {
        self.ram.write_u32(IOVEC, DATA).unwrap();
        self.ram.write_u32(IOVEC + 4, len).unwrap();
    }

    pub fn write(&mut self, fd: u64, bytes: impl AsRef<[u8]>) -> Result<u32, Outcome> {
        let [_, len] = self.put(DATA, bytes);
        self.buffer(len as u32);
        match self.call("fd_write", &[fd, u64::from(IOVEC), 1, u64::from(OUT)]) {
            OK => Ok(self.u32(OUT)),
            other => Err(other),
        }
    }

    pub fn read(&mut self, fd: u64, len: u32) -> Result<Vec<u8>, Outcome> {
        self.buffer(len);
        match self.call("fd_read", &[fd, u64::from(IOVEC), 1, u64::from(OUT)]) {
            OK => Ok(self.bytes(DATA, self.u32(OUT))),
            other => Err(other),
        }
    }

    pub fn seek(&mut self, fd: u64, offset: i64, whence: u64) -> Result<u64, Outcome> {
        match self.call("fd_seek", &[fd, offset as u64, whence, u64::from(OUT)]) {
            OK => Ok(self.u64(OUT)),
            other => Err(other),
        }
    }

    pub fn two_paths(&mut self, name: &str, from: &str, to: &str) -> Outcome {
        let from = self.put(PATH, from);
        let to = self.put(PATH2, to);
        match name {
            "path_link" => self.call(name, &[3, 0, from[0], from[1], 3, to[0], to[1]]),
            "path_symlink" => self.call(name, &[from[0], from[1], 3, to[0], to[1]]),
            _ => self.call(name, &[3, from[0], from[1], 3, to[0], to[1]]),
        }
    }
}

/// A fresh directory and a guest that holds it; it is gone with the first of the two.
pub fn granted() -> (tempfile::TempDir, Guest) {
    let dir = tempfile::tempdir().unwrap();
    let guest = Guest::with_dir(dir.path());
    (dir, guest)
}
