//! What concerns the whole process, each in a process of its own.

use crate::prelude::*;

pub static SEEN: AtomicU32 = AtomicU32::new(0);

/// Stands for V8's handler: it knows a fault as its own by the address and repairs it.
pub extern "C" fn like_node(_: i32, info: *mut libc::siginfo_t, _: *mut c_void) {
    unsafe {
        let page = PAGE.load(Relaxed) as *mut c_void;
        if (*info).si_addr() == page {
            SEEN.fetch_add(1, Relaxed);
            libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_WRITE);
        } else {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        }
    }
}

pub extern "C" fn plain(_: i32) {
    SEEN.fetch_add(100, Relaxed);
}

pub static PAGE: AtomicU64 = AtomicU64::new(0);

pub fn set_handler(signal: i32, handler: usize, flags: i32) {
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

pub fn touch_closed_page() {
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(ptr::null_mut(), 4096, libc::PROT_NONE, flags, -1, 0);
        PAGE.store(page as u64, Relaxed);
        ptr::write_volatile(page.cast::<u8>(), 1);
    }
}

pub fn tgkill_self(signal: i32) {
    unsafe { libc::raise(signal) };
}

/// Runs only in the children of the tests below.
pub fn scenarios() {
    let Ok(scenario) = std::env::var("FAULT_SCENARIO") else {
        return;
    };
    match scenario.as_str() {
        "compile" => {
            let variable = |name| std::env::var(name).unwrap();
            compile_here(&variable("FAULT_INPUT"), &variable("FAULT_OUTPUT"));
        }
        "chain" => {
            set_handler(libc::SIGSEGV, like_node as *const () as usize, libc::SA_SIGINFO);
            set_handler(libc::SIGURG, plain as *const () as usize, 0);
            guest();
            let stop = Arc::new(AtomicBool::new(false));
            let busy = stop.clone();
            let (out, done) = mpsc::channel();
            let thread = fault::spawn("busy", 1 << 20, 0, move || {
                while !busy.load(Acquire) {
                    let instance = Instance::new(guest());
                    assert_eq!(instance.call("oob", 0, None, None).0, Err(OOB));
                    assert_eq!(instance.call("loop", 0, after(1), None).1, Ended::Deadline);
                }
                out.send(()).unwrap();
            })
            .unwrap();
            for i in 1..=200 {
                touch_closed_page();
                assert_eq!(SEEN.load(Relaxed), i, "the handler from before did not get our fault");
            }
            stop.store(true, Release);
            done.recv().unwrap();
            thread.join();
            tgkill_self(libc::SIGURG);
            assert_eq!(SEEN.load(Relaxed), 300);
            assert!(fault::handlers_intact());
            set_handler(libc::SIGSEGV, like_node as *const () as usize, libc::SA_SIGINFO);
            assert!(!fault::handlers_intact());
        }
        "crash" => {
            install();
            unsafe { ptr::write_volatile(8 as *mut u8, 1) };
        }
        "crash-on-guest-thread" => {
            guest();
            on_guest_thread(|| unsafe { ptr::write_volatile(8 as *mut u8, 1) });
        }
        "sigtrap" => {
            install();
            tgkill_self(libc::SIGTRAP);
        }
        "sigurg-default" => {
            install();
            tgkill_self(libc::SIGURG);
        }
        "external-segv" => {
            set_handler(libc::SIGSEGV, libc::SIG_DFL, 0);
            install();
            tgkill_self(libc::SIGSEGV);
        }
        "stop-all" | "exit-while-running" => {
            for name in ["loop", "copyloop", "hostloop", "growloop", "fib", "waiting"] {
                for module in [guest(), guest_interpreted()] {
                    let (started, has_started) = mpsc::channel();
                    let thread = fault::spawn("stuck", 1 << 20, 0, move || {
                        // Made once and never dropped: what is outside of calls is `engine/exit.rs`'s to stop, not this layer's.
                        let instance = std::mem::ManuallyDrop::new(Instance::new(module));
                        let _ = started.send(());
                        loop {
                            let _ = instance.call(name, 60, None, None);
                        }
                    });
                    drop(thread.unwrap());
                    has_started.recv().unwrap();
                }
            }
            let at = Instant::now();
            let all = fault::stop_all(Duration::from_secs(5));
            println!("stop_all: {all} after {:?}", at.elapsed());
            assert!(all);
            if scenario == "exit-while-running" {
                std::process::exit(7);
            }
            assert!(fault::stop_all(Duration::ZERO));
        }
        "two-copies" => two_copies(),
        other => panic!("no scenario {other}"),
    }
}

/// Two copies of the layer, each in a library of its own, beside the one in this test.
pub fn two_copies() {
    guest();
    let example = std::env::current_exe().unwrap().parent().unwrap().join("../examples/libfault_copy.so");
    let park = CString::new(compile("park2", fault::park_wasm()).to_str().unwrap()).unwrap();
    let artifact = CString::new(scratch().join("guest.so").to_str().unwrap()).unwrap();
    let copies: Vec<usize> = (0..2)
        .map(|i| {
            let file = scratch().join(format!("copy{i}.so"));
            std::fs::copy(&example, &file).unwrap();
            let file = CString::new(file.to_str().unwrap()).unwrap();
            let library = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
            assert!(!library.is_null());
            library as usize
        })
        .collect();
    let symbol = |library: usize, name: &std::ffi::CStr| {
        let found = unsafe { libc::dlsym(library as *mut c_void, name.as_ptr()) };
        assert!(!found.is_null());
        found
    };
    type Install = unsafe extern "C" fn(*const std::ffi::c_char) -> i32;
    type Run = unsafe extern "C" fn(*const std::ffi::c_char, *mut c_void, *mut c_void, *mut c_void, *mut c_void) -> i32;
    std::thread::scope(|threads| {
        for &library in &copies {
            let install: Install = unsafe { std::mem::transmute(symbol(library, c"copy_install")) };
            let park = &park;
            threads.spawn(move || assert_eq!(unsafe { install(park.as_ptr()) }, 0));
        }
    });
    std::thread::scope(|threads| {
        for &library in &copies {
            let run: Run = unsafe { std::mem::transmute(symbol(library, c"copy_run")) };
            let artifact = &artifact;
            threads.spawn(move || {
                let instance = Instance::new(guest());
                let [oob, stuck, rec] = ["oob", "copyloop", "recg"].map(|name| instance.find(name).cast());
                let end = unsafe { run(artifact.as_ptr(), instance.executor.cast(), oob, stuck, rec) };
                assert_eq!(end, 0);
            });
        }
        on_guest_thread(|| {
            for _ in 0..200 {
                let instance = Instance::new(guest());
                assert_eq!(instance.call("oob", 0, None, None), (Err(OOB), Ended::Returned));
                assert_eq!(instance.call("loop", 0, after(1), None).1, Ended::Deadline);
                assert_eq!(instance.call("recg", 0, None, None).1, Ended::StackOverflow);
            }
        });
    });
    assert!(fault::handlers_intact());
    for &library in &copies {
        let intact: extern "C" fn() -> bool = unsafe { std::mem::transmute(symbol(library, c"copy_intact")) };
        assert!(intact());
    }
}

#[test]
fn two_copies_of_the_addon_share_the_signals() {
    let _alone = alone();
    for _ in 0..5 {
        succeeds("two-copies");
    }
}

pub fn signal_of(scenario: &str) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    in_child(scenario).status.signal()
}

pub fn succeeds(scenario: &str) {
    let out = in_child(scenario);
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{scenario}: {:?}\n{text}", out.status);
    text.lines().filter(|line| line.starts_with("stop_all")).for_each(|line| println!("{line}"));
}

#[test]
fn foreign_faults_reach_the_handler_from_before() {
    succeeds("chain");
}

#[test]
fn honest_crashes_stay_crashes() {
    let _alone = alone();
    assert_eq!(signal_of("crash"), Some(libc::SIGSEGV));
    assert_eq!(signal_of("crash-on-guest-thread"), Some(libc::SIGSEGV));
    assert_eq!(signal_of("external-segv"), Some(libc::SIGSEGV));
    assert_eq!(signal_of("sigtrap"), Some(libc::SIGTRAP));
    succeeds("sigurg-default");
}

#[test]
fn stop_all_stops_all_and_exit_is_clean() {
    let _alone = alone();
    for _ in 0..5 {
        succeeds("stop-all");
        assert_eq!(in_child("exit-while-running").status.code(), Some(7));
    }
}
