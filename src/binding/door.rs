//! The one door from native threads to JavaScript.
//!
//! Problem: results come from guest threads, up to hundreds of thousands a second, and each must settle a promise on the thread of its own
//! environment, which may be gone by then; and pending work must keep the process alive, idle work must not. Answer: one queue and one
//! thread-safe function per environment. Whoever finds the queue empty wakes JavaScript; one wake-up settles all that is there. The door
//! keeps the event loop alive exactly while promises are pending. It does not know what is settled.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_queue::SegQueue;
use napi::sys;
use parking_lot::Mutex;

use super::settle::Batch;
use super::value::{Js, Kept, Thrown, Value};
use super::{hooks, nodes};
use crate::data::Packet;
use crate::error::Result;

/// Work for the JavaScript thread.
pub enum Work {
    /// The answer to the item in this slot.
    Answer(u32, Result<Vec<Packet>>),
    /// Anything else.
    Run(Box<dyn FnOnce(sys::napi_env) + Send>),
}

/// Settled in one wake-up at most, so that timers and sockets get their turn.
const BATCH: usize = 256;

/// One environment's queue; shared with native threads.
pub struct Door {
    queue: SegQueue<Work>,
    woken: AtomicBool,
    open: AtomicBool,
    function: Mutex<usize>,
}

thread_local! {
    static DOOR: RefCell<Option<Arc<Door>>> = const { RefCell::new(None) };
    static PENDING: Cell<usize> = const { Cell::new(0) };
    static CAUSES: RefCell<HashMap<u64, Kept>> = RefCell::new(HashMap::new());
}

/// The door of the running environment, opened at its first use.
pub fn here(env: sys::napi_env) -> Js<Arc<Door>> {
    if let Some(door) = DOOR.with_borrow(Clone::clone) {
        return Ok(door);
    }
    let door = Arc::new(Door { queue: SegQueue::new(), woken: AtomicBool::new(false), open: AtomicBool::new(true), function: Mutex::new(0) });
    let name = Value::string(env, "remotemedia-wasmedge")?;
    let mut function = ptr::null_mut();
    let context = Arc::into_raw(Arc::clone(&door)).cast_mut().cast::<c_void>();
    // SAFETY: the callbacks are static; the context is released by `close` below, the cleanup hook, which runs before the environment ends.
    unsafe {
        let status = sys::napi_create_threadsafe_function(
            env,
            ptr::null_mut(),
            ptr::null_mut(),
            name.raw,
            0,
            1,
            ptr::null_mut(),
            None,
            context,
            Some(settle),
            &raw mut function,
        );
        if status != sys::Status::napi_ok {
            drop(Arc::from_raw(context.cast::<Door>()));
            return Err(Thrown);
        }
        sys::napi_unref_threadsafe_function(env, function);
        sys::napi_add_env_cleanup_hook(env, Some(close), context);
    }
    *door.function.lock() = function as usize;
    DOOR.set(Some(Arc::clone(&door)));
    Ok(door)
}

unsafe extern "C" fn close(context: *mut c_void) {
    // SAFETY: the context is the reference that `here` leaked; the hook runs once.
    let door = unsafe { Arc::from_raw(context.cast::<Door>()) };
    door.open.store(false, Ordering::Release);
    // Guests whose results nobody can get any more are stopped, on all threads they run on.
    nodes::close_all();
    let function = std::mem::replace(&mut *door.function.lock(), 0);
    if function != 0 {
        // SAFETY: ours, and no thread calls it after this: they see 0 under the lock.
        unsafe { sys::napi_release_threadsafe_function(function as sys::napi_threadsafe_function, sys::ThreadsafeFunctionReleaseMode::abort) };
    }
    while door.queue.pop().is_some() {}
    DOOR.set(None);
    PENDING.set(0);
    CAUSES.with_borrow_mut(HashMap::clear);
    hooks::forget();
}

impl Door {
    /// Runs `work` on the JavaScript thread; dropped when the environment is gone.
    pub fn run(&self, work: impl FnOnce(sys::napi_env) + Send + 'static) {
        self.push(Work::Run(Box::new(work)));
    }

    /// Has `work` done on the JavaScript thread; dropped when the environment is gone.
    pub fn push(&self, work: Work) {
        if !self.is_open() {
            return;
        }
        self.queue.push(work);
        self.wake();
    }

    /// Whether the environment still takes results.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    fn wake(&self) {
        if self.woken.swap(true, Ordering::SeqCst) {
            return;
        }
        let function = self.function.lock();
        if *function != 0 {
            // SAFETY: released only under this lock, which then holds 0.
            unsafe {
                let function = *function as sys::napi_threadsafe_function;
                sys::napi_call_threadsafe_function(function, ptr::null_mut(), sys::ThreadsafeFunctionCallMode::nonblocking);
            }
        }
    }

    /// Counts a promise that somebody waits for: the first keeps the event loop alive.
    pub fn expect(&self, env: sys::napi_env) {
        PENDING.set(PENDING.get() + 1);
        if PENDING.get() == 1 {
            self.hold(env, true);
        }
    }

    /// So many are settled: the last lets the event loop end.
    pub fn settled(&self, env: sys::napi_env, count: usize) {
        PENDING.set(PENDING.get().saturating_sub(count));
        if PENDING.get() == 0 && count > 0 {
            self.hold(env, false);
        }
    }

    fn hold(&self, env: sys::napi_env, alive: bool) {
        let function = self.function.lock();
        if *function != 0 {
            // SAFETY: called on the environment's own thread with its own function.
            unsafe {
                let function = *function as sys::napi_threadsafe_function;
                if alive {
                    sys::napi_ref_threadsafe_function(env, function)
                } else {
                    sys::napi_unref_threadsafe_function(env, function)
                };
            }
        }
    }
}

unsafe extern "C" fn settle(env: sys::napi_env, _function: sys::napi_value, _context: *mut c_void, _data: *mut c_void) {
    if !env.is_null() {
        drain(env);
    }
}

/// Answers what is there, up to a batch.
///
/// While there was something, the door stays awake and JavaScript comes back by itself in the next turn of its event loop, after timers
/// and sockets had theirs. Node would call us again at once, a thousand times, if guests woke it meanwhile.
pub fn drain(env: sys::napi_env) {
    let Some(door) = DOOR.with_borrow(Clone::clone) else { return };
    let Ok(mut batch) = Batch::new(env) else { return };
    let (mut answered, mut done) = (0, 0);
    while done < BATCH {
        match door.queue.pop() {
            Some(Work::Answer(ticket, result)) => {
                batch.add(ticket, result);
                answered += 1;
            }
            Some(Work::Run(work)) => {
                // What came before is answered before.
                batch.hand_over();
                work(env);
                // An exception that our own work left behind is nobody's: the next piece must not see it.
                let _ = Value::take_exception(env);
            }
            None if done > 0 => break,
            None => {
                door.woken.store(false, Ordering::SeqCst);
                // What came in this moment found the door awake and relies on a second look.
                if door.queue.is_empty() || door.woken.swap(true, Ordering::SeqCst) {
                    return;
                }
                continue;
            }
        }
        done += 1;
    }
    drop(batch);
    door.settled(env, answered);
    let mut scope = ptr::null_mut();
    // SAFETY: opened and closed in this frame.
    unsafe { sys::napi_open_handle_scope(env, &raw mut scope) };
    if hooks::call(env, hooks::Hook::Later, &[]).is_err() {
        let _ = Value::take_exception(env);
        door.woken.store(false, Ordering::SeqCst);
        door.wake();
    }
    // SAFETY: the scope just opened.
    unsafe { sys::napi_close_handle_scope(env, scope) };
}

/// A JavaScript value that caused an error. Travels with the error through native threads and is looked up again on its own.
pub struct JsCause {
    id: u64,
    door: Arc<Door>,
    text: String,
}

impl JsCause {
    /// Keeps `value`, whose text is `text`.
    pub fn keep(env: sys::napi_env, value: Value, text: String) -> Js<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let door = here(env)?;
        let kept = Kept::new(value)?;
        CAUSES.with_borrow_mut(|causes| causes.insert(id, kept));
        Ok(Self { id, door, text })
    }

    /// The value, on the thread that it came from.
    pub fn get(&self, env: sys::napi_env) -> Option<Value> {
        CAUSES.with_borrow(|causes| causes.get(&self.id).and_then(|kept| kept.get(env).ok()))
    }
}

impl Drop for JsCause {
    fn drop(&mut self) {
        let id = self.id;
        self.door.run(move |env| {
            if let Some(kept) = CAUSES.with_borrow_mut(|causes| causes.remove(&id)) {
                kept.release(env);
            }
        });
    }
}

impl fmt::Display for JsCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for JsCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for JsCause {}
