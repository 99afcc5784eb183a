//! The runtime behind [`crate::export_node!`]: turns ABI calls into calls of a [`Node`]. Generic, not a macro, so
//! that it can be tested on the host. Nothing here is for nodes to call.

use crate::{Config, Error, Input, Node, Output, sys};
use alloc::{
    alloc::{Layout, alloc, dealloc},
    string::String,
    vec::Vec,
};
use core::{cell::UnsafeCell, ffi::CStr, slice};

const DONE: i32 = 0;
const TOO_SMALL: i32 = 1;
const FAILED: i32 = -1;
/// `data_len` of a call that asks for the kept result.
const KEPT: i32 = -1;

#[derive(Clone, Copy, PartialEq)]
enum KeptBy {
    Nobody,
    Process,
    Flush,
}

/// State of the one node that an instance holds.
pub struct Runtime<N> {
    node: Option<N>,
    kept: Vec<u8>,
    kept_by: KeptBy,
}

impl<N: Node> Default for Runtime<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Node> Runtime<N> {
    /// Before `initialize`.
    pub const fn new() -> Self {
        Self { node: None, kept: Vec::new(), kept_by: KeptBy::Nobody }
    }

    /// # Safety
    /// `session` is null or points to a NUL-terminated string.
    pub unsafe fn initialize(&mut self, session: *const u8) -> i32 {
        let id = if session.is_null() {
            String::new()
        } else {
            // SAFETY: the caller's promise.
            let id = unsafe { CStr::from_ptr(session.cast()) };
            String::from_utf8_lossy(id.to_bytes()).into_owned()
        };
        report(N::initialize(&id, &Config(())).map(|node| self.node = Some(node)))
    }

    /// # Safety
    /// `data` is readable for `data_len` bytes if that is positive, `result` writable for `*result_len` bytes, and
    /// nothing else touches either during the call.
    pub unsafe fn process(&mut self, data: *const u8, data_len: i32, result: *mut u8, result_len: *mut u32) -> i32 {
        // SAFETY: the caller's promise.
        let (buffer, written) = unsafe { result_buffer(result, result_len) };
        if data_len == KEPT {
            return self.hand_over(buffer, written);
        }
        if data_len < 0 {
            *written = 0;
            return report(Err("negative input length".into()));
        }
        // SAFETY: the caller's promise; the length was checked.
        let data = unsafe { bytes(data, data_len as usize) };
        self.run(KeptBy::Process, buffer, written, |node, out| node.process(&Input::new(data), out))
    }

    /// # Safety
    /// `result` is writable for `*result_len` bytes and nothing else touches it during the call.
    pub unsafe fn flush(&mut self, result: *mut u8, result_len: *mut u32) -> i32 {
        // SAFETY: the caller's promise.
        let (buffer, written) = unsafe { result_buffer(result, result_len) };
        // There is no data_len to say so: a second flush while a result of flush is kept asks for that result.
        if self.kept_by == KeptBy::Flush {
            return self.hand_over(buffer, written);
        }
        if self.node.is_none() {
            *written = 0;
            return DONE;
        }
        self.run(KeptBy::Flush, buffer, written, |node, out| node.flush(out))
    }

    /// Ends the session and drops the node.
    pub fn cleanup(&mut self) -> i32 {
        report(self.node.take().map_or(Ok(()), |mut node| node.cleanup()))
    }

    fn run(
        &mut self,
        caller: KeptBy,
        buffer: &mut [u8],
        written: &mut u32,
        call: impl FnOnce(&mut N, &mut Output<'_>) -> Result<(), Error>,
    ) -> i32 {
        // A host that never came for a kept result has given it up.
        self.kept_by = KeptBy::Nobody;
        *written = 0;
        if self.node.is_none() {
            // `initialize` is the host's duty; one that skips it gets a node without a session id.
            match N::initialize("", &Config(())) {
                Ok(node) => self.node = Some(node),
                Err(error) => return report(Err(error)),
            }
        }
        let Some(node) = self.node.as_mut() else {
            return FAILED;
        };
        let mut out = Output::new(buffer, &mut self.kept);
        if let Err(error) = call(node, &mut out) {
            return report(Err(error));
        }
        let (len, too_large) = out.finish();
        *written = len as u32;
        if too_large {
            self.kept_by = caller;
            return TOO_SMALL;
        }
        DONE
    }

    fn hand_over(&mut self, buffer: &mut [u8], written: &mut u32) -> i32 {
        if self.kept_by == KeptBy::Nobody {
            *written = 0;
            return report(Err("no result is kept".into()));
        }
        *written = self.kept.len() as u32;
        match buffer.get_mut(..self.kept.len()) {
            Some(place) => {
                place.copy_from_slice(&self.kept);
                // Given back, not cleared: one large answer must not fill the instance for ever.
                self.kept = Vec::new();
                self.kept_by = KeptBy::Nobody;
                DONE
            }
            None => TOO_SMALL,
        }
    }
}

fn report(result: Result<(), Error>) -> i32 {
    match result {
        Ok(()) => DONE,
        Err(error) => {
            let text = error.message();
            // SAFETY: `text` outlives the call.
            unsafe { sys::fail(text.as_ptr(), text.len()) };
            FAILED
        }
    }
}

/// # Safety
/// As for [`Runtime::process`].
unsafe fn result_buffer<'a>(result: *mut u8, len: *mut u32) -> (&'a mut [u8], &'a mut u32) {
    // SAFETY: the caller's promise.
    unsafe {
        let written = &mut *len;
        let buffer = match *written {
            0 => &mut [],
            capacity => slice::from_raw_parts_mut(result, capacity as usize),
        };
        (buffer, written)
    }
}

/// # Safety
/// `data` is readable for `len` bytes.
unsafe fn bytes<'a>(data: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        // The host may pass any pointer with no bytes, null among them, which a slice must not be made of.
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(data, len) }
}

/// `rm_alloc`: `len` bytes aligned to 8, or null.
pub fn host_alloc(len: i32) -> *mut u8 {
    match layout(len) {
        // SAFETY: the layout has at least one byte.
        Some(layout) => unsafe { alloc(layout) },
        None => core::ptr::null_mut(),
    }
}

/// `rm_free`.
///
/// # Safety
/// `ptr` is null or came from [`host_alloc`] with the same `len`.
pub unsafe fn host_free(ptr: *mut u8, len: i32) {
    if let (false, Some(layout)) = (ptr.is_null(), layout(len)) {
        // SAFETY: the caller's promise.
        unsafe { dealloc(ptr, layout) }
    }
}

fn layout(len: i32) -> Option<Layout> {
    let len = usize::try_from(len).ok()?;
    Layout::from_size_align(len.max(1), 8).ok()
}

/// Static storage for the runtime of a module.
pub struct Slot<N>(UnsafeCell<Runtime<N>>);

// SAFETY: a wasm32-wasip1 instance has one thread, and the host makes one call at a time.
unsafe impl<N> Sync for Slot<N> {}

impl<N: Node> Default for Slot<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Node> Slot<N> {
    /// Before `initialize`.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Runtime::new()))
    }

    /// The runtime.
    ///
    /// # Safety
    /// No other reference to it is alive: true for exports, which the host never nests.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn get(&self) -> &mut Runtime<N> {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.0.get() }
    }
}

#[cfg(test)]
#[path = "rt_tests.rs"]
mod tests;
