//! Traps and stack overflows end as errors.

use crate::prelude::*;

#[test]
fn traps_are_errors() {
    let _alone = alone();
    guest();
    on_guest_thread(|| {
        let instance = Instance::new(guest());
        for _ in 0..200 {
            let call = |name| instance.call(name, 5, None, None);
            assert_eq!(call("add"), (Ok(6), Ended::Returned));
            assert_eq!(call("oob"), (Err(OOB), Ended::Returned));
            assert_eq!(call("div0"), (Err(DIV0), Ended::Returned));
            assert_eq!(call("trap"), (Err(UNREACHABLE), Ended::Returned));
        }
    });
    assert!(fault::handlers_intact());
}

#[test]
fn overflow_is_an_error() {
    let _alone = alone();
    guest();
    on_guest_thread(|| {
        for round in 0..60 {
            for name in ["rec", "recg", "rech", "recr", "recd"] {
                let instance = Instance::new(guest());
                let started = Instant::now();
                let (result, ended) = instance.call(name, 0, None, None);
                assert!(result.is_err(), "{name}");
                assert_eq!(ended, Ended::StackOverflow, "{name}");
                if round == 0 {
                    println!("overflow {name:8} {:>9.1?} code {:#x}", started.elapsed(), result.unwrap_err());
                }
                assert_eq!(instance.call("add", 1, None, None), (Ok(2), Ended::Returned));
            }
        }
    });
}

#[test]
fn large_frames_do_not_jump_the_guard() {
    let _alone = alone();
    let module = Box::leak(Box::new(Module::compiled("big", &big_frame_wat())));
    on_guest_thread(|| {
        for _ in 0..20 {
            let instance = Instance::new(module);
            let (result, ended) = instance.call("big", 0, None, None);
            assert_eq!((result, ended), (Err(OOB), Ended::StackOverflow));
        }
    });
}

#[test]
fn nested_calls_end_separately() {
    let _alone = alone();
    guest();
    on_guest_thread(|| {
        let instance = Instance::new(guest());
        let nest = |what, inner: Option<u64>, outer: Option<u64>| {
            loop {
                AGAIN.set(Some((what, inner.map(Duration::from_millis))));
                let out = instance.call("nest", 1, outer.and_then(after), None);
                match NESTED.take() {
                    Some(nested) => return (out, nested),
                    // On a busy machine the outer call's time may be over before its inner call begins.
                    None => assert!(outer.is_some() && out.1 == Ended::Deadline, "{out:?}"),
                }
            }
        };
        let fine = (Ok(999), Ended::Returned);
        for _ in 0..50 {
            assert_eq!(nest("add", None, None), ((Ok(1002), Ended::Returned), (Ok(2), Ended::Returned)));
            assert_eq!(nest("oob", None, None), (fine, (Err(OOB), Ended::Returned)));
            assert_eq!(nest("rec", None, None), (fine, (Err(OOB), Ended::StackOverflow)));
            let (outer, inner) = nest("recg", None, None);
            assert_eq!((outer, inner.1), (fine, Ended::StackOverflow));
            let (outer, inner) = nest("loop", Some(2), None);
            assert_eq!((outer, inner.1), (fine, Ended::Deadline));
            let (outer, inner) = nest("loop", None, Some(2));
            assert_eq!((outer.1, inner.1), (Ended::Deadline, Ended::Deadline));
            assert!(outer.0.is_err());
            let (outer, inner) = nest("copyloop", Some(50), Some(2));
            assert_eq!((outer.1, inner.1), (Ended::Deadline, Ended::Deadline));
            // After the nested call the outer one is guest code again in every respect.
            AGAIN.set(Some(("add", None)));
            assert_eq!(instance.call("oob", 0, None, None).0, Err(OOB));
        }
    });
}

#[test]
fn a_panic_in_the_scope_ends_it() {
    guest();
    on_guest_thread(|| {
        let instance = Instance::new(guest());
        let call = Call { mode: Mode::Aot, deadline: None, cancel: None, interpreter: None };
        let panicked = std::panic::catch_unwind(|| fault::scope(&call, || panic!("expected")));
        assert!(panicked.is_err());
        assert_eq!(fault::current_deadline(), None);
        assert_eq!(instance.call("oob", 0, None, None).0, Err(OOB));
    });
}
