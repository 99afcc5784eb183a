//! Other threads stop calls.

use crate::prelude::*;

#[test]
fn cancel_stops_from_another_thread() {
    let _alone = alone();
    for module in [guest(), guest_interpreted()] {
        for name in ["loop", "copyloop", "hostloop", "waiting"] {
            let mut late: Vec<_> = (0..60)
                .map(|_| {
                    let token = CancelToken::new();
                    let theirs = token.clone();
                    let (started, has_started) = mpsc::channel();
                    let (out, ended) = mpsc::channel();
                    let thread = fault::spawn("cancelled", 1 << 20, 5, move || {
                        let instance = Instance::new(module);
                        started.send(()).unwrap();
                        let end = instance.call(name, 0, None, Some(&theirs));
                        out.send((end, Instant::now())).unwrap();
                        // A cancelled token stops every later call, too.
                        let instance = Instance::new(module);
                        let end = instance.call("loop", 0, None, Some(&theirs));
                        assert_eq!(end.1, Ended::Cancelled);
                    })
                    .unwrap();
                    has_started.recv().unwrap();
                    let at = Instant::now();
                    token.cancel();
                    let ((result, why), when) = ended.recv().unwrap();
                    assert!(result.is_err());
                    assert_eq!(why, Ended::Cancelled);
                    thread.join();
                    when.saturating_duration_since(at)
                })
                .collect();
            late.sort();
            report(&format!("cancel {:?} {name}", module.mode), &late, 200);
        }
    }
}

#[test]
fn a_token_is_reused_and_hits_only_its_own_call() {
    guest();
    on_guest_thread(|| {
        let instance = Instance::new(guest());
        let (mine, other) = (CancelToken::new(), CancelToken::new());
        for i in 0..1000 {
            assert_eq!(instance.call("add", i, after(5000), Some(&mine)), (Ok(i + 1), Ended::Returned));
        }
        other.cancel();
        assert_eq!(instance.call("add", 1, None, Some(&mine)), (Ok(2), Ended::Returned));
        mine.cancel();
        assert_eq!(instance.call("loop", 1, None, Some(&mine)).1, Ended::Cancelled);
        let instance = Instance::new(guest());
        assert_eq!(instance.call("add", 1, None, None), (Ok(2), Ended::Returned));
    });
}
