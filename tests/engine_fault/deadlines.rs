//! Calls out of time stop soon, wherever they are.

use crate::prelude::*;

pub const STUCK: [(&str, i32, u64); 9] = [
    ("loop", 0, 10),
    ("fib", 60, 10),
    ("memloop", 0, 10),
    ("hostloop", 0, 10),
    ("rawloop", 0, 10),
    ("waiting", 0, 10),
    ("growloop", 0, 10),
    ("copyloop", 0, 200),
    ("fillloop", 0, 200),
];

pub fn rounds(default: usize) -> usize {
    std::env::var("FAULT_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

pub fn latencies(name: &str, module: &'static Module, argument: i32, rounds: usize) -> Vec<Duration> {
    let name = name.to_owned();
    on_guest_thread(move || {
        let mut late: Vec<_> = (0..rounds)
            .map(|round| {
                let instance = Instance::new(module);
                let deadline = Instant::now() + Duration::from_micros(3000 + 37 * round as u64);
                let (result, ended) = instance.call(&name, argument, Some(deadline), None);
                let late = deadline.elapsed();
                assert!(result.is_err(), "{name}");
                assert_eq!(ended, Ended::Deadline, "{name}");
                let instance = Instance::new(module);
                assert_eq!(instance.call("add", 1, after(1000), None), (Ok(2), Ended::Returned));
                late
            })
            .collect();
        late.sort();
        late
    })
}

/// Prints latencies and holds nine in ten of them to ten times the contract: the worst ones measure how
/// busy the machine is.
pub fn report(what: &str, late: &[Duration], limit_ms: u64) {
    let at = |percent: usize| late[(late.len() - 1) * percent / 100];
    println!("{what:28} median {:>8.1?}  p90 {:>8.1?}  max {:>8.1?}", at(50), at(90), at(100));
    assert!(at(90) < Duration::from_millis(limit_ms * 10), "{what}: {:?}", at(90));
}

#[test]
fn deadlines_stop_compiled_guests() {
    let _alone = alone();
    for (name, argument, limit) in STUCK {
        report(&format!("deadline aot {name}"), &latencies(name, guest(), argument, rounds(100)), limit);
    }
}

#[test]
fn deadlines_stop_interpreted_guests() {
    let _alone = alone();
    for (name, argument, limit) in STUCK {
        let late = latencies(name, guest_interpreted(), argument, 30);
        report(&format!("deadline interpreter {name}"), &late, limit);
    }
}

#[test]
fn a_deadline_in_the_past_stops_at_once() {
    guest();
    on_guest_thread(|| {
        let past = Instant::now().checked_sub(Duration::from_secs(1));
        for _ in 0..50 {
            let instance = Instance::new(guest());
            assert_eq!(instance.call("loop", 0, past, None).1, Ended::Deadline);
            let instance = Instance::new(guest());
            assert_eq!(instance.call("loop", 0, Some(Instant::now()), None).1, Ended::Deadline);
        }
    });
}
