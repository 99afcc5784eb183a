//! Listing a directory, in pages that end in the middle of an entry.

use crate::guest::{DATA, Guest, OK, OUT, granted};
use remotemedia_wasmedge::engine::host::wasi::Outcome;
use std::collections::BTreeSet;
use std::fs;

/// One page: the bytes used, and the entries that are complete in it as name and next cookie.
fn page(guest: &mut Guest, fd: u64, len: u32, cookie: u64) -> (u32, Vec<(String, u64)>) {
    let args = [fd, u64::from(DATA), u64::from(len), cookie, u64::from(OUT)];
    assert_eq!(guest.call("fd_readdir", &args), OK);
    let used = guest.u32(OUT);
    let (mut at, mut entries) = (0, Vec::new());
    while at + 24 <= used {
        let name = guest.u32(DATA + at + 16);
        if at + 24 + name > used {
            break;
        }
        let text = String::from_utf8(guest.bytes(DATA + at + 24, name)).unwrap();
        entries.push((text, guest.u64(DATA + at)));
        at += 24 + name;
    }
    (used, entries)
}

/// The whole directory, page by page, calling `each` with every page.
fn list(guest: &mut Guest, fd: u64, len: u32, mut each: impl FnMut(&mut Guest, &[(String, u64)])) -> Vec<String> {
    let (mut names, mut cookie) = (Vec::new(), 0);
    loop {
        let (used, entries) = page(guest, fd, len, cookie);
        each(guest, &entries);
        cookie = entries.last().map_or(cookie, |(_, next)| *next);
        names.extend(entries.into_iter().map(|(name, _)| name));
        if used < len {
            return names;
        }
    }
}

#[test]
fn listing_in_pages_of_any_size() {
    let (dir, mut guest) = granted();
    let mut expected = BTreeSet::from([".".to_string(), "..".to_string()]);
    for i in 0..300 {
        let name = format!("file-{i}-{}", "x".repeat(i % 40));
        fs::write(dir.path().join(&name), "").unwrap();
        expected.insert(name);
    }
    // The smallest page holds one entry and a part of the next.
    for len in [80, 100, 511, 4096, 40_000] {
        let names = list(&mut guest, 3, len, |_, _| {});
        assert_eq!(names.len(), 302);
        assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), expected);
    }
    // Back to the middle, to a cookie that never was, and into buffers too small for anything.
    let (_, all) = page(&mut guest, 3, 40_000, 0);
    let (_, rest) = page(&mut guest, 3, 40_000, 100);
    assert_eq!(all[100..], rest);
    // The same while a listing is kept in the middle, where reading on would be somewhere else.
    let (_, start) = page(&mut guest, 3, 200, 0);
    assert_eq!(page(&mut guest, 3, 200, 0).1, start);
    assert_eq!(page(&mut guest, 3, 40_000, 100).1, rest);
    assert_eq!(page(&mut guest, 3, 4096, u64::MAX), (0, vec![]));
    assert_eq!(page(&mut guest, 3, 0, 0), (0, vec![]));
    assert_eq!(page(&mut guest, 3, 10, 0), (10, vec![]));
    // A guest that deletes what it reads misses nothing.
    let names = list(&mut guest, 3, 200, |guest, entries| {
        for (name, _) in entries.iter().filter(|(name, _)| name.starts_with("file")) {
            assert_eq!(guest.path("path_unlink_file", &[3], name, &[]), OK);
        }
    });
    assert_eq!(names.len(), 302);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_long_listing_ends_when_the_host_says_so() {
    let (dir, mut guest) = granted();
    for i in 0..1100 {
        fs::write(dir.path().join(i.to_string()), "").unwrap();
    }
    guest.host.stopped = true;
    let args = [3, u64::from(DATA), 48_000, 5000, u64::from(OUT)];
    assert!(matches!(guest.call("fd_readdir", &args), Outcome::Trap(_)));
}
