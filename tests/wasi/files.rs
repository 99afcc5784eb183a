//! A granted directory: real files, there and back.

use crate::guest::{APPEND, CREAT, DATA, DIRECTORY, EXCL, IOVEC, OK, OUT, READ, TRUNC, WRITE, errno, granted};
use remotemedia_wasmedge::engine::host::wasi::{Errno, MAX_FDS, MAX_IO, Outcome};
use std::fs;
use std::time::{Duration, UNIX_EPOCH};

#[test]
fn a_granted_directory_is_announced() {
    let (_dir, mut guest) = granted();
    assert_eq!(guest.call("fd_prestat_get", &[3, 0]), OK);
    assert_eq!(guest.bytes(0, 8), [0, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(guest.call("fd_prestat_dir_name", &[3, 0, 4]), errno(Errno::NAMETOOLONG));
    assert_eq!(guest.call("fd_prestat_dir_name", &[3, 0, 5]), OK);
    assert_eq!(guest.bytes(0, 6), *b"/data\0");
    assert_eq!(guest.call("fd_prestat_get", &[4, 0]), errno(Errno::BADF));
    assert_eq!(guest.call("fd_fdstat_get", &[3, 0]), OK);
    assert_eq!(guest.bytes(0, 1), [3]);
}

#[test]
fn write_seek_read() {
    let (dir, mut guest) = granted();
    assert_eq!(guest.open("f", 0, READ, 0), Err(errno(Errno::NOENT)));
    let fd = guest.open("f", CREAT | EXCL, READ | WRITE, 0).unwrap();
    assert_eq!(fd, 4);
    assert_eq!(guest.open("f", CREAT | EXCL, READ | WRITE, 0), Err(errno(Errno::EXIST)));
    assert_eq!(guest.write(fd, "hello world"), Ok(11));
    assert_eq!(guest.seek(fd, -5, 1), Ok(6));
    assert_eq!(guest.read(fd, 100), Ok(b"world".to_vec()));
    assert_eq!(guest.read(fd, 100), Ok(vec![]));
    assert_eq!(guest.seek(fd, -11, 2), Ok(0));
    assert_eq!(guest.seek(fd, -1, 1), Err(errno(Errno::INVAL)));
    assert_eq!(guest.seek(fd, i64::MIN, 0), Err(errno(Errno::INVAL)));
    assert_eq!(guest.seek(fd, 0, 3), Err(errno(Errno::INVAL)));
    assert_eq!(guest.call("fd_tell", &[fd, 0]), OK);
    assert_eq!(guest.u64(0), 0);
    // At an offset, leaving the position alone.
    guest.put(DATA, "WORLD");
    guest.put(IOVEC, [0, 64, 0, 0, 5, 0, 0, 0]);
    assert_eq!(guest.call("fd_pwrite", &[fd, u64::from(IOVEC), 1, 6, 0]), OK);
    guest.put(DATA, [0; 5]);
    assert_eq!(guest.call("fd_pread", &[fd, u64::from(IOVEC), 1, 4, 0]), OK);
    assert_eq!((guest.u32(0), guest.bytes(DATA, 5)), (5, b"o WOR".to_vec()));
    let beyond = [fd, u64::from(IOVEC), 1, u64::MAX, 0];
    assert_eq!(guest.call("fd_pread", &beyond), errno(Errno::INVAL));
    assert_eq!(guest.call("fd_pwrite", &beyond), errno(Errno::INVAL));
    assert_eq!(guest.read(fd, 100), Ok(b"hello WORLD".to_vec()));
    for name in ["fd_sync", "fd_datasync"] {
        assert_eq!(guest.call(name, &[fd]), OK);
        assert_eq!(guest.call(name, &[3]), OK);
        assert_eq!(guest.call(name, &[1]), errno(Errno::INVAL));
    }
    assert_eq!(guest.call("fd_filestat_set_size", &[fd, 4]), OK);
    assert_eq!(guest.call("fd_filestat_set_size", &[fd, u64::MAX]), errno(Errno::FBIG));
    assert_eq!(guest.call("fd_allocate", &[fd, 0, 1 << 40]), errno(Errno::NOTSUP));
    assert_eq!(guest.call("fd_advise", &[fd, 0, 0, 5]), OK);
    assert_eq!(guest.call("fd_close", &[fd]), OK);
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"hell");
    assert_eq!(guest.read(fd, 1), Err(errno(Errno::BADF)));
}

#[test]
fn what_a_file_was_opened_for_is_what_it_can_do() {
    let (dir, mut guest) = granted();
    fs::write(dir.path().join("f"), "text").unwrap();
    let reads = guest.open("f", 0, READ, 0).unwrap();
    let writes = guest.open("f", 0, WRITE, APPEND).unwrap();
    assert_eq!(guest.write(reads, "x"), Err(errno(Errno::BADF)));
    assert_eq!(guest.read(writes, 1), Err(errno(Errno::BADF)));
    assert_eq!(guest.call("fd_filestat_set_size", &[reads, 0]), errno(Errno::NOTCAPABLE));
    assert_eq!(guest.write(writes, "+1"), Ok(2));
    assert_eq!(guest.seek(writes, 0, 0), Ok(0));
    assert_eq!(guest.write(writes, "+2"), Ok(2));
    assert_eq!(guest.read(reads, 99), Ok(b"text+1+2".to_vec()));
    // Flags: named as they are or not blocking, nothing else.
    assert_eq!(guest.call("fd_fdstat_get", &[writes, 0]), OK);
    assert_eq!(guest.bytes(0, 4), [4, 0, 1, 0]);
    assert_eq!(guest.call("fd_fdstat_set_flags", &[writes, 5]), OK);
    assert_eq!(guest.call("fd_fdstat_set_flags", &[writes, 0]), errno(Errno::NOTSUP));
    assert_eq!(guest.call("fd_fdstat_set_flags", &[writes, 32]), errno(Errno::INVAL));
    // Rights are given up, never gained.
    assert_eq!(guest.call("fd_fdstat_set_rights", &[writes, READ, 0]), errno(Errno::NOTCAPABLE));
    assert_eq!(guest.call("fd_fdstat_set_rights", &[writes, 0, 0]), OK);
    assert_eq!(guest.write(writes, "x"), Err(errno(Errno::BADF)));
    assert_eq!(guest.call("fd_tell", &[writes, 0]), errno(Errno::NOTCAPABLE));
    assert_eq!(guest.call("fd_fdstat_set_rights", &[3, 1 << 13, READ]), OK);
    assert_eq!(guest.path("path_unlink_file", &[3], "f", &[]), errno(Errno::NOTCAPABLE));
    let fd = guest.open("f", 0, READ | WRITE, 0).unwrap();
    assert_eq!(guest.write(fd, "x"), Err(errno(Errno::BADF)));
    assert_eq!(guest.open("new", CREAT, WRITE, 0), Err(errno(Errno::NOTCAPABLE)));
    assert_eq!(guest.open("f", TRUNC, WRITE, 0), Err(errno(Errno::NOTCAPABLE)));
}

#[test]
fn opening_to_create_and_to_truncate() {
    let (dir, mut guest) = granted();
    // Created without the right to write, as POSIX allows.
    let fd = guest.open("made", CREAT, READ, 0).unwrap();
    assert_eq!(guest.write(fd, "x"), Err(errno(Errno::BADF)));
    fs::write(dir.path().join("f"), "text").unwrap();
    let fd = guest.open("f", CREAT | TRUNC, WRITE, APPEND).unwrap();
    assert_eq!(guest.write(fd, "new"), Ok(3));
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"new");
    fs::create_dir(dir.path().join("d")).unwrap();
    assert_eq!(guest.open("d", 0, WRITE, 0), Err(errno(Errno::ISDIR)));
    assert_eq!(guest.open("d", CREAT, READ, 0), Err(errno(Errno::ISDIR)));
    assert_eq!(guest.open("d", DIRECTORY | CREAT, READ, 0), Err(errno(Errno::INVAL)));
    assert_eq!(guest.open("f", DIRECTORY, READ, 0), Err(errno(Errno::NOTDIR)));
    assert!(guest.open("f/", 0, READ, 0).is_err());
    assert_eq!(guest.open("f", 16, READ, 0), Err(errno(Errno::INVAL)));
    assert_eq!(guest.open("f", 0, READ, 32), Err(errno(Errno::INVAL)));
    assert_eq!(guest.open_at(3, 2, "f", 0, READ, 0), Err(errno(Errno::INVAL)));
    // All rights there are, as older libraries ask for.
    let sub = guest.open("d", DIRECTORY, u64::MAX, 0).unwrap();
    let fd = guest.open_at(sub, 1, "inside", CREAT, READ | WRITE, 16).unwrap();
    assert_eq!(guest.write(fd, "x"), Ok(1));
    assert_eq!(fs::read(dir.path().join("d/inside")).unwrap(), b"x");
    assert_eq!(guest.read(sub, 1), Err(errno(Errno::BADF)));
    assert_eq!(guest.seek(sub, 0, 0), Err(errno(Errno::BADF)));
    assert_eq!(guest.call("fd_prestat_get", &[sub, 0]), errno(Errno::BADF));
}

#[cfg(unix)]
#[test]
fn a_read_only_file_can_be_read_with_any_rights_but_writing() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, mut guest) = granted();
    let path = dir.path().join("f");
    fs::write(&path, "text").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let fd = guest.open("f", 0, !WRITE, 0).unwrap();
    assert_eq!(guest.read(fd, 9), Ok(b"text".to_vec()));
    assert_eq!(guest.write(fd, "x"), Err(errno(Errno::BADF)));
}

#[test]
fn large_transfers_are_short() {
    let (_dir, mut guest) = granted();
    guest.ram.0.resize(4 << 20, 7);
    let fd = guest.open("f", CREAT, READ | WRITE, 0).unwrap();
    guest.put(IOVEC, [0, 0, 0, 0, 0, 0, 0x40, 0]);
    let args = [fd, u64::from(IOVEC), 1, u64::from(OUT)];
    for call in ["fd_write", "fd_write", "fd_write"] {
        assert_eq!(guest.call(call, &args), OK);
        assert_eq!(guest.u32(OUT) as usize, MAX_IO);
    }
    guest.put(IOVEC, [0, 0, 0, 0, 0, 0, 0x40, 0]);
    assert_eq!(guest.call("fd_pread", &[fd, u64::from(IOVEC), 1, 0, u64::from(OUT)]), OK);
    assert_eq!(guest.u32(OUT) as usize, MAX_IO);
}

#[test]
fn descriptors_run_out_and_come_back() {
    let (dir, mut guest) = granted();
    fs::write(dir.path().join("f"), "").unwrap();
    for expected in 4..MAX_FDS as u64 {
        assert_eq!(guest.open("f", 0, READ, 0), Ok(expected));
    }
    assert_eq!(guest.open("f", 0, READ, 0), Err(errno(Errno::MFILE)));
    assert_eq!(guest.open("new", CREAT, READ, 0), Err(errno(Errno::MFILE)));
    assert!(!dir.path().join("new").exists());
    assert_eq!(guest.wasi.open_fds(), MAX_FDS);
    assert_eq!(guest.call("fd_close", &[100]), OK);
    assert_eq!(guest.open("f", 0, READ, 0), Ok(100));
    assert_eq!(guest.call("fd_renumber", &[255, 7]), OK);
    assert_eq!(guest.call("fd_renumber", &[255, 7]), errno(Errno::BADF));
    assert_eq!(guest.call("fd_renumber", &[7, 255]), errno(Errno::BADF));
    assert_eq!(guest.call("fd_renumber", &[7, 7]), OK);
    for fd in 3..255 {
        assert_eq!(guest.call("fd_close", &[fd]), OK);
    }
    assert_eq!(guest.wasi.open_fds(), 3);
}

#[test]
fn metadata_and_times() {
    let (dir, mut guest) = granted();
    fs::write(dir.path().join("f"), "12345").unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    assert_eq!(guest.path("path_filestat_get", &[3, 0], "f", &[0]), OK);
    assert_eq!((guest.bytes(16, 1)[0], guest.u64(24), guest.u64(32)), (4, 1, 5));
    let by_path = guest.bytes(0, 64);
    let fd = guest.open("f", 0, READ, 0).unwrap();
    assert_eq!(guest.call("fd_filestat_get", &[fd, 0]), OK);
    assert_eq!(guest.bytes(0, 64), by_path);
    assert_eq!(guest.path("path_filestat_get", &[3, 1], "d", &[0]), OK);
    assert_eq!(guest.bytes(16, 1), [3]);

    let day = 86_400_000_000_000;
    let modified = |name: &str| fs::metadata(dir.path().join(name)).unwrap().modified().unwrap();
    for name in ["f", "d"] {
        assert_eq!(guest.path("path_filestat_set_times", &[3, 1], name, &[0, day, 4]), OK);
        assert_eq!(modified(name), UNIX_EPOCH + Duration::from_secs(86_400));
        assert_eq!(guest.path("path_filestat_set_times", &[3, 0], name, &[day, 0, 1]), OK);
        assert_eq!(modified(name), UNIX_EPOCH + Duration::from_secs(86_400));
    }
    if cfg!(unix) {
        assert_eq!(guest.call("fd_filestat_set_times", &[fd, 0, 2 * day, 4]), OK);
        assert_eq!(modified("f"), UNIX_EPOCH + Duration::from_secs(2 * 86_400));
        assert_eq!(guest.call("fd_filestat_set_times", &[3, 0, 2 * day, 4]), OK);
        assert_eq!(modified(""), UNIX_EPOCH + Duration::from_secs(2 * 86_400));
        assert_eq!(guest.call("fd_filestat_set_times", &[fd, 0, 0, 10]), OK);
        assert!(modified("f").elapsed().unwrap() < Duration::from_secs(60));
    }
    for bad in [3, 12, 16] {
        assert_eq!(guest.call("fd_filestat_set_times", &[fd, 0, 0, bad]), errno(Errno::INVAL));
    }
}

#[test]
fn directories_links_and_renaming() {
    let (dir, mut guest) = granted();
    assert_eq!(guest.path("path_create_directory", &[3], "d", &[]), OK);
    assert_eq!(guest.path("path_create_directory", &[3], "d", &[]), errno(Errno::EXIST));
    let fd = guest.open("d/f", CREAT, WRITE, 0).unwrap();
    assert_eq!(guest.write(fd, "x"), Ok(1));
    assert_eq!(guest.path("path_remove_directory", &[3], "d", &[]), errno(Errno::NOTEMPTY));
    assert_eq!(guest.two_paths("path_rename", "d/f", "g"), OK);
    assert_eq!(fs::read(dir.path().join("g")).unwrap(), b"x");
    assert_eq!(guest.two_paths("path_link", "g", "d/h"), OK);
    assert_eq!(guest.path("path_filestat_get", &[3, 0], "d/h", &[0]), OK);
    if cfg!(unix) {
        assert_eq!(guest.u64(24), 2);
    }
    assert_eq!(guest.path("path_unlink_file", &[3], "g", &[]), OK);
    assert_eq!(guest.path("path_unlink_file", &[3], "d/h", &[]), OK);
    assert!(matches!(guest.path("path_unlink_file", &[3], "d", &[]), Outcome::Errno(e) if e != 0));
    assert_eq!(guest.path("path_remove_directory", &[3], "d", &[]), OK);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
