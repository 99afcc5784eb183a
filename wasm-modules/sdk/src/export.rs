//! The two macros that turn a crate into a module.

/// Exports a [`Node`](crate::Node) under guest ABI version 1. Use it once per crate. Off wasm32 it does nothing, so
/// that the same crate can be a plain library and be tested on the host.
#[macro_export]
macro_rules! export_node {
    ($node:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            static SLOT: $crate::rt::Slot<$node> = $crate::rt::Slot::new();

            #[unsafe(no_mangle)]
            extern "C" fn rm_abi_version() -> i32 {
                1
            }
            #[unsafe(no_mangle)]
            extern "C" fn rm_alloc(len: i32) -> *mut u8 {
                $crate::rt::host_alloc(len)
            }
            // SAFETY of the rest: the host passes what the ABI says, and never nests calls.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn rm_free(ptr: *mut u8, len: i32) {
                unsafe { $crate::rt::host_free(ptr, len) }
            }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn initialize(session: *const u8) -> i32 {
                unsafe { SLOT.get().initialize(session) }
            }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn process(data: *const u8, len: i32, out: *mut u8, out_len: *mut u32) -> i32 {
                unsafe { SLOT.get().process(data, len, out, out_len) }
            }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn flush(out: *mut u8, out_len: *mut u32) -> i32 {
                unsafe { SLOT.get().flush(out, out_len) }
            }
            #[unsafe(no_mangle)]
            extern "C" fn cleanup() -> i32 {
                unsafe { SLOT.get().cleanup() }
            }
        };
    };
}

/// Allocator and panic handler for a `#![no_std]` module. A panic is logged with its place, then traps.
#[macro_export]
macro_rules! no_std_runtime {
    () => {
        #[cfg(target_arch = "wasm32")]
        #[global_allocator]
        static ALLOCATOR: $crate::rt_wasm::Allocator = $crate::rt_wasm::Allocator::new();

        #[cfg(target_arch = "wasm32")]
        #[panic_handler]
        fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::rt_wasm::panicked(info)
        }
    };
}
