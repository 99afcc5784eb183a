//! The imports of guest ABI version 1, one `extern` declaration each so that the linker drops the unused ones.
//! Off wasm32 the same names are served by [`crate::testing`], which is what lets nodes be tested on the host.

#[cfg(target_arch = "wasm32")]
mod imports {
    #[link(wasm_import_module = "rm")]
    unsafe extern "C" {
        pub fn emit(kind: i32, data: *const u8, len: usize, meta: *const u8, meta_len: usize) -> i32;
        pub fn input_meta(out: *mut u8, len: *mut u32) -> i32;
        pub fn config(out: *mut u8, len: *mut u32) -> i32;
        pub fn log(level: i32, text: *const u8, len: usize);
        pub fn fail(text: *const u8, len: usize);
        pub fn last_error(out: *mut u8, len: *mut u32) -> i32;
        pub fn now_ms() -> i64;
        pub fn remote_format(kind: i32, meta: *const u8, meta_len: usize) -> i32;
        pub fn call_host(
            name: *const u8,
            name_len: usize,
            data: *const u8,
            len: usize,
            result: *mut u8,
            result_len: *mut u32,
        ) -> i32;
    }

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn call_remote_service(
            name: *const u8,
            name_len: usize,
            data: *const u8,
            len: usize,
            result: *mut u8,
            result_len: *mut u32,
        ) -> i32;
        pub fn stream_to_remote(name: *const u8, name_len: usize, data: *const u8, len: usize) -> i32;
        pub fn get_remote_session(id: *const u8, id_len: usize, out: *mut u8, len: *mut u32) -> i32;
    }
}

#[cfg(target_arch = "wasm32")]
pub use imports::*;

#[cfg(not(target_arch = "wasm32"))]
pub use crate::testing::imports::*;
