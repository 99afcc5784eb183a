//! What an instance consists of: functions, memory, globals. Plain handles, valid as long as the instance that they belong to.

use std::ptr;

use super::{Failure, PAGE_BYTES, check, ffi, string};

/// An exported function; valid as long as its instance.
#[derive(Clone, Copy)]
pub struct Function(pub(super) *mut ffi::WasmEdge_FunctionInstanceContext);

/// A guest's linear memory; valid as long as its instance.
#[derive(Clone, Copy)]
pub struct Memory(pub(super) *mut ffi::WasmEdge_MemoryInstanceContext);

/// A mutable global; valid as long as its instance.
#[derive(Clone, Copy)]
pub struct Global(pub(super) *mut ffi::WasmEdge_GlobalInstanceContext);

impl Global {
    /// The value as an `i32`.
    pub fn get_i32(self) -> i32 {
        // SAFETY: the instance is live.
        unsafe { ffi::WasmEdge_ValueGetI32(ffi::WasmEdge_GlobalInstanceGetValue(self.0)) }
    }

    /// Sets an `i32`.
    pub fn set_i32(self, value: i32) {
        // SAFETY: the instance is live.
        unsafe { ffi::WasmEdge_GlobalInstanceSetValue(self.0, ffi::WasmEdge_ValueGenI32(value)) };
    }

    /// Copies the value of the same global of another instance of the same module.
    pub fn copy_from(self, other: Self) -> Result<(), Failure> {
        // SAFETY: both instances are live and neither runs.
        check(unsafe { ffi::WasmEdge_GlobalInstanceSetValue(self.0, ffi::WasmEdge_GlobalInstanceGetValue(other.0)) })
    }
}

impl Memory {
    /// Wraps the memory that a calling frame shows a host function.
    pub fn from_raw(raw: *mut ffi::WasmEdge_MemoryInstanceContext) -> Option<Self> {
        (!raw.is_null()).then_some(Self(raw))
    }

    /// Size in pages.
    pub fn pages(self) -> u64 {
        // SAFETY: the instance is live.
        unsafe { ffi::WasmEdge_MemoryInstanceGetPageSize(self.0) }
    }

    /// Grows by `pages`; returns the old size in pages.
    pub fn grow(self, pages: u64) -> Result<u64, Failure> {
        let old = self.pages();
        // SAFETY: the instance is live and does not run.
        check(unsafe { ffi::WasmEdge_MemoryInstanceGrowPage(self.0, pages) })?;
        Ok(old)
    }

    /// Copies all of another memory into this one, which is at least as large; false when it is not.
    #[must_use]
    pub fn copy_from(self, other: Self) -> bool {
        let bytes = other.pages() * PAGE_BYTES;
        // SAFETY: WasmEdge checked both ranges; they are memories of two instances, and neither runs.
        unsafe {
            let source = ffi::WasmEdge_MemoryInstanceGetPointerConst(other.0, 0, bytes);
            let target = ffi::WasmEdge_MemoryInstanceGetPointer(self.0, 0, bytes);
            if source.is_null() || target.is_null() {
                return bytes == 0;
            }
            ptr::copy_nonoverlapping(source, target, usize::try_from(bytes).unwrap_or_default());
        }
        true
    }

    /// `len` bytes at `at`, or nothing when they are not all inside the memory.
    pub fn slice<'a>(self, at: u32, len: u32) -> Option<&'a [u8]> {
        if len == 0 {
            // Guests pass dangling pointers for empty slices.
            return Some(&[]);
        }
        // SAFETY: WasmEdge checked the range. The guest does not run while the slice is used: callers copy out before they return to it.
        unsafe {
            let data = ffi::WasmEdge_MemoryInstanceGetPointerConst(self.0, at.into(), len.into());
            (!data.is_null()).then(|| std::slice::from_raw_parts(data, len as usize))
        }
    }

    /// Writes `data` at `at`; false when it does not fit in the memory.
    #[must_use]
    pub fn write(self, at: u32, data: &[u8]) -> bool {
        if data.is_empty() {
            return true;
        }
        // SAFETY: WasmEdge checked the range; source and destination cannot overlap, for the source is Rust's own.
        unsafe {
            let target = ffi::WasmEdge_MemoryInstanceGetPointer(self.0, at.into(), data.len() as u64);
            if target.is_null() {
                return false;
            }
            ptr::copy_nonoverlapping(data.as_ptr(), target, data.len());
        }
        true
    }
}

/// A look at a module instance that somebody else owns.
#[derive(Clone, Copy)]
pub struct InstanceView(pub(super) *const ffi::WasmEdge_ModuleInstanceContext);

impl InstanceView {
    /// The exported function of this name.
    pub fn function(self, name: &str) -> Option<Function> {
        // SAFETY: the instance is live; the name outlives the call.
        let raw = unsafe { ffi::WasmEdge_ModuleInstanceFindFunction(self.0, string(name)) };
        (!raw.is_null()).then_some(Function(raw))
    }

    /// The exported memory of this name.
    pub fn memory(self, name: &str) -> Option<Memory> {
        // SAFETY: as above.
        let raw = unsafe { ffi::WasmEdge_ModuleInstanceFindMemory(self.0, string(name)) };
        (!raw.is_null()).then_some(Memory(raw))
    }

    /// The exported global of this name.
    pub fn global(self, name: &str) -> Option<Global> {
        // SAFETY: as above.
        let raw = unsafe { ffi::WasmEdge_ModuleInstanceFindGlobal(self.0, string(name)) };
        (!raw.is_null()).then_some(Global(raw))
    }
}
