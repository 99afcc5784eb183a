//! What std would bring along and a `#![no_std]` module needs in its place: an allocator and a way to panic.

use crate::{Level, log};
use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    panic::PanicInfo,
};
use dlmalloc::Dlmalloc;

/// The allocator of `no_std_runtime!`; memory grows page by page and never shrinks.
pub struct Allocator(UnsafeCell<Dlmalloc>);

// SAFETY: a wasm32-wasip1 instance has one thread.
unsafe impl Sync for Allocator {}

impl Allocator {
    /// Holds nothing yet.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Dlmalloc::new()))
    }
}

impl Default for Allocator {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: each method passes its caller's promises on to dlmalloc, which keeps those of GlobalAlloc.
#[allow(clippy::undocumented_unsafe_blocks)]
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { (*self.0.get()).free(ptr, layout.size(), layout.align()) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { (*self.0.get()).realloc(ptr, layout.size(), layout.align(), size) }
    }
}

/// Logs where and why, then traps: the host ends the instance and starts a new one for the next input.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    log(Level::Error, format_args!("{info}"));
    core::arch::wasm32::unreachable()
}

// memcmp and strlen, which the compiler calls by itself and core does not bring. Nothing else of it gets linked.
#[link(name = "c")]
unsafe extern "C" {}
