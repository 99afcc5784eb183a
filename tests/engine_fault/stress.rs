//! Thousands of stops, and a clean call after each.

use crate::prelude::*;

#[test]
fn random_kills_leave_a_clean_thread() {
    let _alone = alone();
    guest();
    let kills: u64 = std::env::var("FAULT_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(4000);
    let threads: Vec<_> = (0..3)
        .map(|seed| {
            let (out, done) = mpsc::channel();
            let thread = fault::spawn("random", 1 << 20, 0, move || {
                let mut random = Random(0x9e37_79b9 + seed);
                let names = ["loop", "fib", "growloop", "copyloop", "hostloop", "rawloop", "rec", "recg", "recd"];
                let mut ends = [0u32; 4];
                for _ in 0..kills / 3 {
                    let instance = Instance::new(guest());
                    let name = names[random.next() as usize % names.len()];
                    let deadline = Instant::now() + Duration::from_nanos(random.next() % 400_000);
                    let (result, ended) = instance.call(name, 60, Some(deadline), None);
                    assert!(result.is_err(), "{name}: {result:?} {ended:?}");
                    assert_ne!(ended, Ended::Returned, "{name}: {result:?}");
                    ends[ended as usize] += 1;
                    let instance = Instance::new(guest());
                    assert_eq!(instance.call("add", 41, None, None), (Ok(42), Ended::Returned));
                    assert_eq!(instance.call("fib", 15, None, None), (Ok(610), Ended::Returned));
                }
                out.send(ends).unwrap();
            });
            (thread.unwrap(), done)
        })
        .collect();
    for (thread, done) in threads {
        println!("returned, overflow, deadline, cancelled: {:?}", done.recv().expect("panicked"));
        thread.join();
    }
    assert!(fault::handlers_intact());
}

#[test]
fn kills_at_the_end_of_a_call_give_no_wrong_results() {
    let _alone = alone();
    guest();
    on_guest_thread(|| {
        let mut random = Random(77);
        let (mut hit, mut whole) = (0, 0);
        let mut instance = Instance::new(guest());
        for i in 0..30_000 {
            let deadline = Instant::now() + Duration::from_nanos(random.next() % 60_000);
            let argument = (random.next() % 17) as i32;
            let expected = [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987][argument as usize];
            let (result, ended) = instance.call("fib", argument, Some(deadline), None);
            match (result, ended) {
                (Ok(value), _) => {
                    assert_eq!(value, expected, "round {i}");
                    whole += 1;
                }
                (Err(_), Ended::Deadline) => hit += 1,
                other => panic!("round {i}: {other:?}"),
            }
            if ended != Ended::Returned {
                instance = Instance::new(guest());
            }
        }
        println!("racing kills: {hit} stopped, {whole} whole");
    });
}

#[test]
fn racing_cancels_of_interpreters_touch_no_dead_executor() {
    let _alone = alone();
    guest();
    let current: &'static Mutex<CancelToken> = Box::leak(Box::new(Mutex::new(CancelToken::new())));
    let done: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let canceller = std::thread::spawn(move || {
        while !done.load(Acquire) {
            let token = current.lock().unwrap().clone();
            token.cancel();
        }
    });
    let (cancelled, returned) = on_guest_thread(move || {
        let mut counts = (0, 0);
        for _ in 0..2000 {
            let token = CancelToken::new();
            *current.lock().unwrap() = token.clone();
            let instance = Instance::new(guest_interpreted());
            match instance.call("fib", 8, None, Some(&token)) {
                (Ok(value), ended) => {
                    assert_eq!(value, 21);
                    if ended == Ended::Returned { counts.1 += 1 } else { counts.0 += 1 }
                }
                (Err(_), Ended::Cancelled) => counts.0 += 1,
                other => panic!("{other:?}"),
            }
        }
        counts
    });
    done.store(true, Release);
    canceller.join().unwrap();
    println!("interpreter cancels: {cancelled} cancelled, {returned} returned");
}

#[test]
fn slots_and_stacks_are_reused() {
    let _alone = alone();
    guest();
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    on_guest_thread(|| ());
    let before = maps();
    for i in 0..600 {
        let seen = on_guest_thread(move || Instance::new(guest()).call("add", i, after(1000), None));
        assert_eq!(seen, (Ok(i + 1), Ended::Returned));
    }
    let many: Vec<_> = (0..200).map(|_| fault::spawn("idle", 1 << 20, 0, || {}).unwrap()).collect();
    drop(many);
    while maps() > before + 40 {
        drop(fault::spawn("reaper", 1 << 20, 0, || {}).unwrap());
    }
    println!("mappings before {before}, after {}", maps());
}
