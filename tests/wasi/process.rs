//! Grants other than directories: arguments, variables, clocks, waiting, random bytes.

use crate::guest::{Guest, OK, OUT, errno};
use remotemedia_wasmedge::engine::host::wasi::{Errno, Outcome, WasiGrants};
use std::time::Duration;

fn granted() -> Guest {
    Guest::new(&WasiGrants {
        env: vec![("LANG".into(), "C".into()), ("EMPTY".into(), String::new())],
        args: vec!["node".into(), String::new(), "grün".into()],
        clock: true,
        random: true,
        ..WasiGrants::default()
    })
}

fn strings(guest: &mut Guest, name: &str) -> Vec<String> {
    assert_eq!(guest.call(&format!("{name}_sizes_get"), &[0, 4]), OK);
    let (count, size) = (guest.u32(0), guest.u32(4));
    assert_eq!(guest.call(&format!("{name}_get"), &[64, 4096]), OK);
    let bytes = guest.bytes(4096, size);
    (0..count)
        .map(|i| {
            let start = guest.u32(64 + 4 * i) as usize - 4096;
            let text = bytes[start..].split(|b| *b == 0).next().unwrap();
            String::from_utf8(text.to_vec()).unwrap()
        })
        .collect()
}

#[test]
fn arguments_and_variables() {
    let mut guest = granted();
    assert_eq!(strings(&mut guest, "args"), ["node", "", "grün"]);
    assert_eq!(strings(&mut guest, "environ"), ["LANG=C", "EMPTY="]);
}

#[test]
fn exit_keeps_its_code() {
    let mut guest = granted();
    assert_eq!(guest.call("proc_exit", &[0]), Outcome::Exit(0));
    assert_eq!(guest.call("proc_exit", &[u64::from(u32::MAX)]), Outcome::Exit(-1));
    assert_eq!(guest.call("sched_yield", &[]), OK);
}

#[test]
fn two_clocks_tell_the_time() {
    let mut guest = granted();
    let mut read = |clock| {
        assert_eq!(guest.call("clock_time_get", &[clock, 0, 0]), OK);
        guest.u64(0)
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(read(0).abs_diff(now.as_nanos() as u64) < 10_000_000_000);
    let (a, b) = (read(1), read(1));
    // Never zero, which some runtimes take for "no clock", and nothing about the machine.
    assert!((1_000_000_000..60_000_000_000).contains(&a) && b >= a);
    assert_eq!(guest.call("clock_res_get", &[1, 0]), OK);
    assert!((1..=1000).contains(&guest.u64(0)));
    for cpu in [2, 3] {
        assert_eq!(guest.call("clock_time_get", &[cpu, 0, 0]), errno(Errno::NOTSUP));
    }
    assert_eq!(guest.call("clock_time_get", &[4, 0, 0]), errno(Errno::INVAL));
}

#[test]
fn random_bytes_fill_the_whole_buffer() {
    let mut guest = granted();
    assert_eq!(guest.call("random_get", &[0, 65536]), OK);
    let zeros = guest.ram.0.iter().filter(|b| **b == 0).count();
    assert!((100..500).contains(&zeros), "{zeros}");
    guest.ram.0.resize(1 << 20, 0);
    assert_eq!(guest.call("random_get", &[0, 1 << 20]), OK);
    assert!(guest.ram.0[(1 << 20) - 64..].iter().any(|b| *b != 0));
    // The host may end it on the way.
    guest.host.stopped = true;
    assert!(matches!(guest.call("random_get", &[0, 1 << 20]), Outcome::Trap(_)));
}

/// Places a subscription for the monotonic clock.
fn wait(guest: &mut Guest, index: u32, userdata: u64, nanos: u64, absolute: u8) {
    let mut record = [0; 48];
    record[..8].copy_from_slice(&userdata.to_le_bytes());
    record[16] = 1;
    record[24..32].copy_from_slice(&nanos.to_le_bytes());
    record[40] = absolute;
    guest.put(4096 + 48 * index, record);
}

#[test]
fn waiting_is_done_by_the_host_for_the_shortest_subscription() {
    let mut guest = granted();
    wait(&mut guest, 0, 7, 5_000_000_000, 0);
    wait(&mut guest, 1, 8, 2_000_000_000, 0);
    assert_eq!(guest.call("poll_oneoff", &[4096, 8192, 2, u64::from(OUT)]), OK);
    assert_eq!(guest.host.slept, [Duration::from_secs(2)]);
    assert_eq!((guest.u32(OUT), guest.u64(8192), guest.u64(8200)), (1, 8, 0));

    // An absolute time that has passed, and one that is as far away as can be said.
    wait(&mut guest, 0, 7, 1, 1);
    wait(&mut guest, 1, 8, u64::MAX, 1);
    assert_eq!(guest.call("poll_oneoff", &[4096, 8192, 2, u64::from(OUT)]), OK);
    assert_eq!(guest.host.slept.last(), Some(&Duration::ZERO));
    assert_eq!((guest.u32(OUT), guest.u64(8192)), (1, 7));

    wait(&mut guest, 0, 7, u64::MAX, 0);
    guest.host.stopped = true;
    let outcome = guest.call("poll_oneoff", &[4096, 8192, 1, u64::from(OUT)]);
    assert_eq!(outcome, Outcome::Trap("poll_oneoff was stopped by the host".into()));
}

#[test]
fn descriptors_are_not_waited_for() {
    let mut guest = granted();
    for (index, fd) in [(0, 1), (1, 99)] {
        let mut record = [0; 48];
        (record[0], record[8], record[16]) = (fd, 2, fd);
        guest.put(4096 + 48 * index, record);
    }
    wait(&mut guest, 2, 5, 1_000_000_000, 0);
    assert_eq!(guest.call("poll_oneoff", &[4096, 8192, 3, u64::from(OUT)]), OK);
    assert_eq!(guest.u32(OUT), 2);
    let event = |at| (guest.bytes(at, 1)[0], guest.bytes(at + 8, 1)[0], guest.bytes(at + 10, 1)[0]);
    assert_eq!(event(8192), (1, 58, 2));
    assert_eq!(event(8224), (99, 8, 2));
    for count in [0, 1025, u64::from(u32::MAX)] {
        assert_eq!(guest.call("poll_oneoff", &[0, 0, count, 0]), errno(Errno::INVAL));
    }
}

#[test]
fn grants_are_checked_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let good = WasiGrants {
        env: vec![("A".into(), "=b".into())],
        args: vec![String::new()],
        preopens: vec![("/data".into(), dir.path().into()), (".".into(), dir.path().into())],
        ..WasiGrants::default()
    };
    assert_eq!(good.check(), Ok(()));
    let bad = WasiGrants {
        env: vec![("A=B".into(), String::new()), (String::new(), String::new()), ("C".into(), "\0".into()), ("C".into(), String::new())],
        args: vec!["ok".into(), "\0".into()],
        preopens: vec![
            ("/missing".into(), dir.path().join("missing")),
            ("/file".into(), dir.path().join("file")),
            (String::new(), dir.path().into()),
            (String::new(), dir.path().into()),
        ],
        ..WasiGrants::default()
    };
    let errors = bad.check().unwrap_err();
    let paths: Vec<_> = errors.iter().map(|(path, _)| path.as_str()).collect();
    let expected = [
        "wasi.env.A=B",
        "wasi.env.",
        "wasi.env.C",
        "wasi.env.C",
        "wasi.args.1",
        "wasi.preopens./missing",
        "wasi.preopens./file",
        "wasi.preopens.",
        "wasi.preopens.",
        "wasi.preopens.",
    ];
    assert_eq!(paths, expected);
    let long = WasiGrants { args: vec!["x".repeat(1 << 20)], ..WasiGrants::default() };
    assert_eq!(long.check().unwrap_err()[0].0, "wasi.args");
}
