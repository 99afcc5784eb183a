//! Nothing granted, nothing there.

use crate::guest::{DATA, Guest, IOVEC, OK, OUT, errno};
use remotemedia_wasmedge::engine::host::wasi::{Errno, Import, MAX_LOG, Outcome, ValType, Wasi, WasiGrants, imports};
use std::collections::HashSet;

fn nobody() -> Guest {
    Guest::new(&WasiGrants::default())
}

#[test]
fn the_table_is_complete() {
    let names: HashSet<_> = imports().iter().map(|i| i.name).collect();
    assert_eq!((names.len(), imports().len()), (46, 46));
    let no_result: Vec<_> = imports().iter().filter(|i| !i.has_result).map(|i| i.name).collect();
    assert_eq!(no_result, ["proc_exit"]);
    let signature = |name: &str| imports().iter().find(|i| i.name == name).unwrap().params;
    use ValType::{I32, I64};
    assert_eq!(signature("path_open"), [I32, I32, I32, I32, I32, I64, I64, I32, I32]);
    assert_eq!(signature("fd_seek"), [I32, I64, I32, I32]);
    assert_eq!(signature("sched_yield"), []);
}

#[test]
fn an_instance_without_grants_is_small() {
    assert!(size_of::<Wasi>() <= 256, "{}", size_of::<Wasi>());
    assert_eq!(nobody().wasi.open_fds(), 3);
}

#[test]
fn clocks_and_random_are_not_capable() {
    let mut guest = nobody();
    let denied = errno(Errno::NOTCAPABLE);
    for clock in 0..5 {
        assert_eq!(guest.call("clock_time_get", &[clock, 0, 0]), denied);
        assert_eq!(guest.call("clock_res_get", &[clock, 0]), denied);
    }
    assert_eq!(guest.call("random_get", &[0, 16]), denied);
    // A subscription of all zeros waits for the clock.
    assert_eq!(guest.call("poll_oneoff", &[0, 1024, 1, 4096]), denied);
    assert_eq!(guest.bytes(0, 64), [0; 64]);
    assert!(guest.host.slept.is_empty());
}

#[test]
fn no_arguments_no_environment() {
    let mut guest = nobody();
    for name in ["args", "environ"] {
        guest.put(OUT, [0xff; 8]);
        assert_eq!(guest.call(&format!("{name}_sizes_get"), &[0, 4]), OK);
        assert_eq!((guest.u32(0), guest.u32(4)), (0, 0));
        assert_eq!(guest.call(&format!("{name}_get"), &[0, 4]), OK);
    }
}

#[test]
fn no_directories_and_no_sockets() {
    let mut guest = nobody();
    for fd in 0..10 {
        assert_eq!(guest.call("fd_prestat_get", &[fd, 0]), errno(Errno::BADF));
        assert_eq!(guest.call("fd_prestat_dir_name", &[fd, 0, 64]), errno(Errno::BADF));
    }
    for fd in [0, 1, 2] {
        assert_eq!(guest.open_at(fd, 0, "x", 0, 2, 0), Err(errno(Errno::NOTDIR)));
        assert_eq!(guest.call("sock_shutdown", &[fd, 0]), errno(Errno::NOTSOCK));
        assert_eq!(guest.call("sock_accept", &[fd, 0, 0]), errno(Errno::NOTSOCK));
    }
    assert_eq!(guest.open("x", 0, 2, 0), Err(errno(Errno::BADF)));
    assert_eq!(guest.call("sock_recv", &[3, 0, 0, 0, 0, 0]), errno(Errno::BADF));
    assert_eq!(guest.call("proc_raise", &[6]), errno(Errno::NOTSUP));
}

#[test]
fn output_goes_to_the_log_and_input_is_at_its_end() {
    let mut guest = nobody();
    assert_eq!(guest.write(1, "hello\n"), Ok(6));
    assert_eq!(guest.write(2, b"\xff\0half a li"), Ok(11));
    assert_eq!(guest.write(1, ""), Ok(0));
    let expected = vec![(1, b"hello\n".to_vec()), (2, b"\xff\0half a li".to_vec())];
    assert_eq!(guest.host.logged, expected);
    assert_eq!(guest.read(0, 10), Ok(vec![]));
    assert_eq!(guest.write(0, "x"), Err(errno(Errno::BADF)));
    assert_eq!(guest.read(1, 10), Err(errno(Errno::BADF)));
    assert_eq!(guest.seek(1, 0, 0), Err(errno(Errno::SPIPE)));
    // A terminal, so that a libc flushes each line.
    assert_eq!(guest.call("fd_fdstat_get", &[1, 0]), OK);
    assert_eq!(guest.bytes(0, 1), [2]);
    assert_eq!(guest.call("fd_filestat_get", &[1, 0]), OK);
    assert_eq!(guest.bytes(16, 1), [2]);
    // Written elsewhere or nowhere, once closed or renumbered.
    assert_eq!(guest.call("fd_renumber", &[2, 1]), OK);
    assert_eq!(guest.write(1, "to 2"), Ok(4));
    assert_eq!(guest.host.logged.last(), Some(&(2, b"to 2".to_vec())));
    assert_eq!(guest.write(2, "x"), Err(errno(Errno::BADF)));
    assert_eq!(guest.call("fd_close", &[1]), OK);
    assert_eq!(guest.call("fd_close", &[1]), errno(Errno::BADF));
}

#[test]
fn buffers_are_joined_in_order_and_bounded() {
    let mut guest = nobody();
    guest.put(DATA, "abcdef");
    for (i, (ptr, len)) in [(DATA + 3, 3), (u32::MAX, 0), (DATA, 3)].into_iter().enumerate() {
        guest.put(IOVEC + 8 * i as u32, [u32::to_le_bytes(ptr), u32::to_le_bytes(len)].concat());
    }
    let (list, out) = (u64::from(IOVEC), u64::from(OUT));
    assert_eq!(guest.call("fd_write", &[1, list, 3, out]), OK);
    assert_eq!(guest.call("fd_pwrite", &[1, list, 3, 99, out]), OK);
    assert_eq!(guest.host.logged, vec![(1, b"defabc".to_vec()); 2]);

    // The whole memory three times over is cut to what one call takes.
    for i in 0..3 {
        guest.put(IOVEC + 8 * i, [0, 0, 0, 0, 0, 0, 1, 0]);
    }
    assert_eq!(guest.call("fd_write", &[1, list, 3, out]), OK);
    assert_eq!(guest.u32(OUT) as usize, MAX_LOG);
    assert_eq!(guest.host.logged.last().unwrap().1.len(), MAX_LOG);
    assert_eq!(guest.call("fd_write", &[1, 0, 1025, out]), errno(Errno::INVAL));
}

#[test]
fn every_bad_pointer_is_a_trap() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "x").unwrap();
    let grants = WasiGrants {
        env: vec![("A".into(), "b".into())],
        args: vec!["a".into()],
        preopens: vec![("/data".into(), dir.path().to_path_buf())],
        clock: true,
        random: true,
    };
    // Without a link to read, the address of its text is never used.
    const READLINK: &[usize] = if cfg!(unix) { &[1, 3, 5] } else { &[1, 5] };
    #[cfg(unix)]
    std::os::unix::fs::symlink("f", dir.path().join("l")).unwrap();
    // For each function, arguments that work, and which of them are addresses (`1024` is a path, `12288` a list of buffers).
    let table: &[(&str, &[u64], &[usize])] = &[
        ("args_get", &[0, 64], &[0, 1]),
        ("args_sizes_get", &[0, 64], &[0, 1]),
        ("environ_get", &[0, 64], &[0, 1]),
        ("environ_sizes_get", &[0, 64], &[0, 1]),
        ("clock_res_get", &[1, 0], &[1]),
        ("clock_time_get", &[1, 0, 0], &[2]),
        ("fd_fdstat_get", &[3, 0], &[1]),
        ("fd_filestat_get", &[3, 0], &[1]),
        ("fd_pread", &[4, 12288, 1, 0, 0], &[1, 4]),
        ("fd_prestat_get", &[3, 0], &[1]),
        ("fd_prestat_dir_name", &[3, 0, 64], &[1]),
        ("fd_pwrite", &[4, 12288, 1, 0, 0], &[1, 4]),
        ("fd_read", &[4, 12288, 1, 0], &[1, 3]),
        ("fd_readdir", &[3, 4096, 100, 0, 0], &[1, 4]),
        ("fd_seek", &[4, 0, 0, 0], &[3]),
        ("fd_tell", &[4, 0], &[1]),
        ("fd_write", &[4, 12288, 1, 0], &[1, 3]),
        ("path_create_directory", &[3, 1024, 1], &[1]),
        ("path_filestat_get", &[3, 0, 1024, 1, 0], &[2, 4]),
        ("path_filestat_set_times", &[3, 0, 1024, 1, 0, 0, 0], &[2]),
        ("path_link", &[3, 0, 1024, 1, 3, 1024, 1], &[2, 5]),
        ("path_open", &[3, 0, 1024, 1, 0, 2, 2, 0, 0], &[2, 8]),
        ("path_readlink", &[3, 1026, 1, 0, 64, 128], READLINK),
        ("path_remove_directory", &[3, 1024, 1], &[1]),
        ("path_rename", &[3, 1024, 1, 3, 1024, 1], &[1, 4]),
        ("path_symlink", &[1024, 1, 3, 1024, 1], &[0, 3]),
        ("path_unlink_file", &[3, 1024, 1], &[1]),
        ("poll_oneoff", &[20480, 4096, 1, 0], &[0, 1, 3]),
        ("random_get", &[0, 64], &[0]),
    ];
    for (name, args, addresses) in table {
        for address in *addresses {
            for bad in [65536, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u64::MAX] {
                let mut guest = Guest::new(&grants);
                assert_eq!(guest.open("f", 0, 66, 0), Ok(4));
                guest.put(1024, "f\0l");
                guest.put(12288, [0, 64, 0, 0, 1, 0, 0, 0]);
                let mut args = args.to_vec();
                args[*address] = bad;
                let outcome = guest.call(name, &args);
                assert!(matches!(outcome, Outcome::Trap(_)), "{name} {args:?}: {outcome:?}");
            }
        }
    }
    // A buffer inside the list that lies outside.
    for name in ["fd_read", "fd_write"] {
        let mut guest = Guest::new(&grants);
        guest.open("f", 0, 66, 0).unwrap();
        guest.put(12288, [0, 0xff, 0, 0, 1, 1, 0, 0]);
        assert!(matches!(guest.call(name, &[4, 12288, 1, 0]), Outcome::Trap(_)));
    }
    // And no function of the table is one that the list above forgot an address of.
    let plain = [
        "fd_advise",
        "fd_allocate",
        "fd_close",
        "fd_datasync",
        "fd_fdstat_set_flags",
        "fd_fdstat_set_rights",
        "fd_filestat_set_size",
        "fd_filestat_set_times",
        "fd_renumber",
        "fd_sync",
        "proc_exit",
        "proc_raise",
        "sched_yield",
        "sock_accept",
        "sock_recv",
        "sock_send",
        "sock_shutdown",
    ];
    let covered = |i: &&Import| !plain.contains(&i.name) && !table.iter().any(|(name, ..)| *name == i.name);
    assert_eq!(imports().iter().find(covered).map(|i| i.name), None);
}
