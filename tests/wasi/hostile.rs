//! Every function with arguments nobody would pass, many thousand times, from a fixed seed: no panic, no wait, no lasting cost.

use crate::guest::{Guest, SIZE};
use remotemedia_wasmedge::engine::host::wasi::{Import, MAX_FDS, Outcome, WasiGrants, imports};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// xorshift64*: the same numbers everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.next() as usize % all.len()]
    }
}

const EDGES: [u64; 22] = [
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    24,
    48,
    255,
    1024,
    4096,
    65535,
    65536,
    65532,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

const PATHS: [&str; 12] = ["f", "d", "d/g", "..", ".", "/", "../x", "d/../f", "l", "new", "\u{e9}", "x/y/z"];

fn granted(dir: &std::path::Path) -> WasiGrants {
    WasiGrants {
        env: vec![("A".into(), "b".into())],
        args: vec!["a".into()],
        preopens: vec![("/data".into(), dir.into()), ("/more".into(), dir.join("d"))],
        clock: true,
        random: true,
    }
}

/// One guest whose memory holds paths, buffer lists and a wait at known places among noise.
fn guest(grants: &WasiGrants, numbers: &mut Numbers) -> Guest {
    let mut guest = Guest::new(grants);
    for chunk in guest.ram.0.chunks_mut(8) {
        let noise = numbers.next().to_le_bytes();
        chunk.copy_from_slice(&noise[..chunk.len()]);
    }
    for (i, path) in PATHS.iter().enumerate() {
        guest.put(path_at(i) as u32, path);
    }
    for i in 0..64 {
        let sane = !numbers.next().is_multiple_of(4);
        let (ptr, len) = (numbers.of(&EDGES) as u32, numbers.of(&EDGES) as u32);
        let pair = if sane { [8192 + 16 * i, 16 + i] } else { [ptr, len] };
        guest.put(IOVECS as u32 + 8 * i, [pair[0].to_le_bytes(), pair[1].to_le_bytes()].concat());
    }
    // The monotonic clock, in no time, twice.
    for i in 0..2 {
        guest.put(POLL as u32 + 48 * i, [0; 48]);
        guest.put(POLL as u32 + 48 * i + 16, [1]);
    }
    guest
}

const IOVECS: u64 = 4096;
const POLL: u64 = 30_000;

fn path_at(index: usize) -> u64 {
    1024 + 64 * index as u64
}

/// What each argument of a function means, a letter for each: `f` descriptor, `p` path and `l` its length, `v` list of buffers, `n`
/// a small count, `o` result, `b` buffer, `s` its size, `w` flags, `q` a large number, `c` subscriptions.
fn meaning(name: &str) -> &'static str {
    match name {
        "fd_advise" => "fqqw",
        "fd_filestat_set_times" => "fqqw",
        "fd_pread" | "fd_pwrite" => "fvnqo",
        "fd_prestat_dir_name" => "fbs",
        "fd_read" | "fd_write" => "fvno",
        "fd_readdir" => "fbsno",
        "fd_renumber" | "sock_accept" => "ffo",
        "fd_seek" => "fqwo",
        "path_create_directory" | "path_remove_directory" | "path_unlink_file" => "fpl",
        "path_filestat_get" => "fwplo",
        "path_filestat_set_times" => "fwplqqw",
        "path_link" => "fwplfpl",
        "path_open" => "fwplwrrwo",
        "path_readlink" => "fplbso",
        "path_rename" => "fplfpl",
        "path_symlink" => "plfpl",
        "poll_oneoff" => "cbno",
        "random_get" => "bs",
        "clock_time_get" => "wqo",
        "clock_res_get" => "wo",
        "fd_fdstat_set_rights" => "frr",
        "fd_fdstat_set_flags" => "fw",
        "fd_filestat_set_size" | "fd_allocate" => "fqq",
        _ if name.starts_with("fd_") => "fo",
        _ => "oooooo",
    }
}

/// Arguments that could be meant, with one in eight replaced by an edge case.
fn arguments(import: &Import, numbers: &mut Numbers) -> Vec<u64> {
    let path = |numbers: &mut Numbers| numbers.next() as usize % PATHS.len();
    let mut last = 0;
    let sane = meaning(import.name).chars().take(import.params.len()).map(|letter| {
        let value = match letter {
            'f' => numbers.of(&[1, 3, 3, 3, 3, 4, 4, 5, 5, 6, 7]),
            'p' => {
                last = path(numbers);
                path_at(last)
            }
            'l' => PATHS[last].len() as u64,
            'v' => IOVECS + 8 * (numbers.next() % 32),
            'n' => numbers.next() % 4,
            'w' => numbers.of(&[0, 0, 0, 1, 1, 2, 4, 8, 9]),
            'r' => numbers.of(&[u64::MAX, u64::MAX, 66, 2, 0]),
            's' => numbers.next() % 4096,
            'q' => numbers.next() % 100_000,
            'c' => POLL,
            _ => 40_960 + numbers.next() % 8192,
        };
        if numbers.next().is_multiple_of(8) { numbers.of(&[numbers.0, EDGES[numbers.0 as usize % EDGES.len()]]) } else { value }
    });
    sane.collect()
}

/// How often each function succeeded.
fn storm(grants: &WasiGrants, seed: u64, rounds: usize) -> HashMap<&'static str, usize> {
    let mut numbers = Numbers(seed);
    let mut succeeded = HashMap::new();
    let started = Instant::now();
    for _ in 0..rounds {
        let mut guest = guest(grants, &mut numbers);
        for _ in 0..500 {
            let import = &imports()[numbers.next() as usize % imports().len()];
            // Closed and renumbered seldom, or nothing would be open.
            if ["fd_close", "fd_renumber"].contains(&import.name) && !numbers.next().is_multiple_of(8) {
                continue;
            }
            let args = arguments(import, &mut numbers);
            let outcome = (import.call)(&mut guest.wasi, &mut guest.ram, &mut guest.host, &args);
            let exits = matches!(outcome, Outcome::Exit(_));
            assert_eq!(exits, import.name == "proc_exit", "{} {args:?}", import.name);
            if let Outcome::Errno(errno) = outcome {
                assert!(errno <= 76, "{} {args:?}", import.name);
                *succeeded.entry(import.name).or_default() += usize::from(errno == 0);
            }
        }
        assert!(guest.wasi.open_fds() <= MAX_FDS);
        assert_eq!(guest.ram.0.len(), SIZE);
    }
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
    succeeded
}

#[test]
fn with_nothing_granted() {
    let succeeded = storm(&WasiGrants::default(), 1, 200);
    assert!(succeeded["fd_write"] > 0);
    assert_eq!((succeeded["clock_time_get"], succeeded["path_open"]), (0, 0));
}

#[test]
fn with_everything_granted() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("box");
    let mut succeeded: HashMap<&str, usize> = HashMap::new();
    for seed in 2..202 {
        // Put back what the last storm has deleted or replaced.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("d")).unwrap();
        std::fs::write(dir.join("f"), "some text").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("../..", dir.join("l")).unwrap();
        for (name, times) in storm(&granted(&dir), seed, 1) {
            *succeeded.entry(name).or_default() += times;
        }
        let left = std::fs::read_dir(outer.path()).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["box"]);
    }
    // The storm is worth something only if it gets past the first check: what can succeed did.
    let never = ["fd_allocate", "proc_raise", "sock_accept", "sock_recv", "sock_send", "sock_shutdown"];
    for import in imports().iter().filter(|i| i.has_result && !never.contains(&i.name)) {
        let windows = cfg!(windows) && ["path_symlink", "path_readlink"].contains(&import.name);
        let times = succeeded.get(import.name).copied().unwrap_or(0);
        assert!(times > 0 || windows, "{} succeeded {times} times", import.name);
    }
}

/// The same value in every place, and too few arguments: the table's types are the engine's promise, not something to panic over.
#[test]
fn uniform_and_missing_arguments() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    let mut numbers = Numbers(99);
    for value in EDGES {
        let mut guest = guest(&granted(dir.path()), &mut numbers);
        for import in imports() {
            for count in 0..=import.params.len() {
                (import.call)(&mut guest.wasi, &mut guest.ram, &mut guest.host, &vec![value; count]);
            }
        }
    }
}
