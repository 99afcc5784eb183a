//! Ways out of a granted directory, all of them closed.

use crate::guest::{CREAT, DATA, Guest, OK, OUT, READ, TRUNC, WRITE, errno};
use remotemedia_wasmedge::engine::host::wasi::{Errno, Outcome};
use std::fs;
use std::path::PathBuf;

/// `box` is granted; `secret` and `other/` lie beside it.
fn beside() -> (tempfile::TempDir, PathBuf, Guest) {
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("box");
    fs::create_dir_all(inner.join("sub/deep")).unwrap();
    fs::create_dir(outer.path().join("other")).unwrap();
    fs::write(outer.path().join("secret"), "secret").unwrap();
    fs::write(inner.join("f"), "mine").unwrap();
    let guest = Guest::with_dir(&inner);
    (outer, inner, guest)
}

fn untouched(outer: &tempfile::TempDir) {
    let mut names: Vec<_> = fs::read_dir(outer.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["box", "other", "secret"]);
    assert_eq!(fs::read(outer.path().join("secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(outer.path().join("other")).unwrap().count(), 0);
}

/// Every function that takes a path, on a path that leads out: an error, and nothing happens.
fn all_refused(guest: &mut Guest, out: &str) {
    let mut outcomes = Vec::new();
    for follow in [0, 1] {
        for (oflags, rights) in [(0, READ), (CREAT, WRITE), (TRUNC, WRITE), (2, READ)] {
            outcomes.push(guest.open_at(3, follow, out, oflags, rights, 0).err().unwrap_or(OK));
        }
        outcomes.push(guest.path("path_filestat_get", &[3, follow], out, &[0]));
        outcomes.push(guest.path("path_filestat_set_times", &[3, follow], out, &[0, 0, 15 & 5]));
    }
    outcomes.push(guest.path("path_create_directory", &[3], out, &[]));
    outcomes.push(guest.path("path_remove_directory", &[3], out, &[]));
    outcomes.push(guest.path("path_unlink_file", &[3], out, &[]));
    outcomes.push(guest.path("path_readlink", &[3], out, &[u64::from(DATA), 100, u64::from(OUT)]));
    for name in ["path_rename", "path_link"] {
        outcomes.push(guest.two_paths(name, "f", out));
        outcomes.push(guest.two_paths(name, out, "stolen"));
    }
    outcomes.push(guest.two_paths("path_symlink", "f", out));
    for outcome in outcomes {
        assert!(matches!(outcome, Outcome::Errno(e) if e != 0), "{out}: {outcome:?}");
    }
    assert_eq!(guest.wasi.open_fds(), 4);
}

#[test]
fn dots_and_absolute_paths() {
    let (outer, inner, mut guest) = beside();
    let absolute = outer.path().join("secret").to_str().unwrap().to_string();
    let inside = inner.join("f").to_str().unwrap().to_string();
    for out in [
        "../secret",
        "..",
        "../",
        "sub/../../secret",
        "sub/deep/../../../secret",
        "./../box/f",
        "../box/f",
        "/",
        "/etc/passwd",
        "//etc/passwd",
        "sub//../..//secret",
        "../other/new",
        &absolute,
        &inside,
    ] {
        all_refused(&mut guest, out);
    }
    assert_eq!(guest.open("../secret", 0, READ, 0), Err(errno(Errno::PERM)));
    assert_eq!(guest.open(&absolute, 0, READ, 0), Err(errno(Errno::PERM)));
    // From a directory below, the granted one is out of reach too.
    let sub = guest.open("sub", 2, READ, 0).unwrap();
    assert_eq!(guest.open_at(sub, 1, "../f", 0, READ, 0), Err(errno(Errno::PERM)));
    assert!(guest.open("sub/../f", 0, READ, 0).is_ok());
    untouched(&outer);
}

#[test]
fn malformed_paths() {
    let (outer, _, mut guest) = beside();
    let stat = |guest: &mut Guest, path: &[u8]| guest.path("path_filestat_get", &[3, 0], path, &[0]);
    assert_eq!(stat(&mut guest, b""), errno(Errno::NOENT));
    assert_eq!(stat(&mut guest, b"f\0"), errno(Errno::INVAL));
    assert_eq!(stat(&mut guest, b"\xff"), errno(Errno::ILSEQ));
    assert_eq!(stat(&mut guest, &[b'x'; 4097]), errno(Errno::NAMETOOLONG));
    assert_eq!(stat(&mut guest, &[b'x'; 300]), errno(Errno::NAMETOOLONG));
    assert_eq!(stat(&mut guest, "./".repeat(2000).as_bytes()), OK);
    if cfg!(windows) {
        assert_eq!(stat(&mut guest, b"..\\secret"), errno(Errno::INVAL));
        assert_eq!(stat(&mut guest, b"f:stream"), errno(Errno::INVAL));
    }
    untouched(&outer);
}

#[cfg(unix)]
#[test]
fn symbolic_links_of_the_host_that_lead_out() {
    use std::os::unix::fs::symlink;
    let (outer, inner, mut guest) = beside();
    symlink("../secret", inner.join("up")).unwrap();
    symlink(outer.path().join("secret"), inner.join("abs")).unwrap();
    symlink("../other", inner.join("dir")).unwrap();
    symlink("dir", inner.join("chain")).unwrap();
    symlink("loop", inner.join("loop")).unwrap();
    for out in ["up", "abs", "dir", "chain", "loop"] {
        for (oflags, rights) in [(0, READ), (CREAT, WRITE), (TRUNC, WRITE), (2, READ)] {
            assert!(guest.open(out, oflags, rights, 0).is_err(), "{out}");
        }
        assert!(guest.path("path_filestat_get", &[3, 1], out, &[0]) != OK, "{out}");
        assert!(guest.path("path_filestat_set_times", &[3, 1], out, &[0, 0, 5]) != OK, "{out}");
        // The link itself is there and may be looked at.
        assert_eq!(guest.open_at(3, 0, out, 0, READ, 0), Err(errno(Errno::LOOP)));
        assert_eq!(guest.path("path_filestat_get", &[3, 0], out, &[0]), OK);
        assert_eq!(guest.bytes(16, 1), [7]);
        assert_eq!(guest.path("path_filestat_set_times", &[3, 0], out, &[0, 0, 5]), OK);
    }
    for out in ["dir/new", "chain/new", "dir/../secret"] {
        all_refused(&mut guest, out);
    }
    // What an absolute link says is the host's business; what a relative one says is not a secret.
    let read = [u64::from(DATA), 4, u64::from(OUT)];
    assert_eq!(guest.path("path_readlink", &[3], "abs", &read), errno(Errno::PERM));
    assert_eq!(guest.path("path_readlink", &[3], "up", &read), OK);
    assert_eq!((guest.u32(OUT), guest.bytes(DATA, 4)), (4, b"../s".to_vec()));
    // A hard link to a link is one more link, not one to its target.
    assert_eq!(guest.two_paths("path_link", "up", "up2"), OK);
    assert!(guest.open("up2", 0, READ, 0).is_err());
    let (from, to) = (guest.put(1024, "up"), guest.put(6144, "up3"));
    assert_eq!(guest.call("path_link", &[3, 1, from[0], from[1], 3, to[0], to[1]]), errno(Errno::INVAL));
    untouched(&outer);
}

#[cfg(unix)]
#[test]
fn symbolic_links_of_the_guest_point_downwards_only() {
    let (outer, inner, mut guest) = beside();
    for text in ["../secret", "/etc/passwd", "sub/../../secret", "sub/..", "..", "./../x"] {
        assert_eq!(guest.two_paths("path_symlink", text, "link"), errno(Errno::PERM), "{text}");
    }
    assert_eq!(guest.two_paths("path_symlink", "sub/deep", "link"), OK);
    assert_eq!(guest.two_paths("path_symlink", "f", "link"), errno(Errno::EXIST));
    let fd = guest.open("link/new", CREAT, WRITE, 0).unwrap();
    assert_eq!(guest.write(fd, "x"), Ok(1));
    assert!(inner.join("sub/deep/new").exists());
    assert_eq!(guest.path("path_unlink_file", &[3], "link", &[]), OK);
    untouched(&outer);
}

#[test]
fn a_directory_swapped_on_the_host_does_not_change_what_is_held() {
    let (outer, inner, mut guest) = beside();
    if cfg!(windows) {
        return; // An open directory cannot be renamed there.
    }
    fs::rename(&inner, outer.path().join("moved")).unwrap();
    fs::rename(outer.path().join("other"), &inner).unwrap();
    let fd = guest.open("f", 0, READ, 0).unwrap();
    assert_eq!(guest.read(fd, 9), Ok(b"mine".to_vec()));
}

#[cfg(unix)]
#[test]
fn pipes_sockets_and_devices_are_refused_without_waiting() {
    use std::os::unix::net::UnixListener;
    let (_outer, inner, mut guest) = beside();
    let fifo = inner.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = UnixListener::bind(inner.join("sock")).unwrap();
    for name in ["fifo", "sock"] {
        for (oflags, rights) in [(0, READ), (0, WRITE), (0, READ | WRITE), (CREAT, WRITE), (TRUNC, WRITE)] {
            assert_eq!(guest.open(name, oflags, rights, 0), Err(errno(Errno::NOTSUP)));
        }
        assert_eq!(guest.open(name, 2, READ, 0), Err(errno(Errno::NOTDIR)));
        assert_eq!(guest.path("path_filestat_set_times", &[3, 1], name, &[0, 0, 5]), errno(Errno::NOTSUP));
        assert_eq!(guest.path("path_filestat_get", &[3, 1], name, &[0]), OK);
        assert_eq!(guest.two_paths("path_link", name, "again"), OK);
        assert_eq!(guest.path("path_unlink_file", &[3], "again", &[]), OK);
    }
    let mut devices = Guest::with_dir(std::path::Path::new("/dev"));
    for name in ["null", "zero", "tty", "full"] {
        assert_eq!(devices.open(name, 0, READ | WRITE, 0), Err(errno(Errno::NOTSUP)), "{name}");
    }
}
