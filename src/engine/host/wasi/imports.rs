//! The table of all functions of `wasi_snapshot_preview1`.
//!
//! Problem: the engine needs names and types to build the import module, and a wrong type is an error that only shows when a guest
//! is linked.
//!
//! Answer: one line per function, beside each other, in the order of the standard.
//!
//! What it does not do: check the number of arguments; the engine does, by these types.

use super::call::{Call, Outcome, run};
use super::memory::GuestMemory;
use super::{Wasi, WasiHost};
use super::{clock, fds, open, paths, process, readdir, streams};

/// A WebAssembly value type, as far as preview 1 uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValType {
    /// A 32-bit integer.
    I32,
    /// A 64-bit integer.
    I64,
}

/// One function.
pub struct Import {
    /// Its name in the module `wasi_snapshot_preview1`.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [ValType],
    /// Whether it returns an `i32`, the error number; only `proc_exit` does not.
    pub has_result: bool,
    /// Runs it. The arguments are raw bits; of an `i32` the lower half counts.
    pub call: fn(&mut Wasi, &mut dyn GuestMemory, &mut dyn WasiHost, &[u64]) -> Outcome,
}

macro_rules! table {
    ($($name:ident($($param:ident)*) $(-> $result:ident)? = $function:path;)*) => {
        &[$(Import {
            name: stringify!($name),
            params: &[$(ValType::$param),*],
            has_result: table!(@result $($result)?),
            call: |wasi, memory, host, args| {
                run(stringify!($name), &mut Call { wasi, memory, host, args }, $function)
            },
        }),*]
    };
    (@result errno) => { true };
    (@result) => { false };
}

static IMPORTS: &[Import] = table! {
    args_get(I32 I32) -> errno = process::args_get;
    args_sizes_get(I32 I32) -> errno = process::args_sizes_get;
    environ_get(I32 I32) -> errno = process::environ_get;
    environ_sizes_get(I32 I32) -> errno = process::environ_sizes_get;
    clock_res_get(I32 I32) -> errno = clock::clock_res_get;
    clock_time_get(I32 I64 I32) -> errno = clock::clock_time_get;
    fd_advise(I32 I64 I64 I32) -> errno = fds::fd_advise;
    fd_allocate(I32 I64 I64) -> errno = fds::fd_allocate;
    fd_close(I32) -> errno = fds::fd_close;
    fd_datasync(I32) -> errno = fds::fd_datasync;
    fd_fdstat_get(I32 I32) -> errno = fds::fd_fdstat_get;
    fd_fdstat_set_flags(I32 I32) -> errno = fds::fd_fdstat_set_flags;
    fd_fdstat_set_rights(I32 I64 I64) -> errno = fds::fd_fdstat_set_rights;
    fd_filestat_get(I32 I32) -> errno = fds::fd_filestat_get;
    fd_filestat_set_size(I32 I64) -> errno = fds::fd_filestat_set_size;
    fd_filestat_set_times(I32 I64 I64 I32) -> errno = fds::fd_filestat_set_times;
    fd_pread(I32 I32 I32 I64 I32) -> errno = streams::fd_pread;
    fd_prestat_get(I32 I32) -> errno = fds::fd_prestat_get;
    fd_prestat_dir_name(I32 I32 I32) -> errno = fds::fd_prestat_dir_name;
    fd_pwrite(I32 I32 I32 I64 I32) -> errno = streams::fd_pwrite;
    fd_read(I32 I32 I32 I32) -> errno = streams::fd_read;
    fd_readdir(I32 I32 I32 I64 I32) -> errno = readdir::fd_readdir;
    fd_renumber(I32 I32) -> errno = fds::fd_renumber;
    fd_seek(I32 I64 I32 I32) -> errno = streams::fd_seek;
    fd_sync(I32) -> errno = fds::fd_sync;
    fd_tell(I32 I32) -> errno = streams::fd_tell;
    fd_write(I32 I32 I32 I32) -> errno = streams::fd_write;
    path_create_directory(I32 I32 I32) -> errno = paths::path_create_directory;
    path_filestat_get(I32 I32 I32 I32 I32) -> errno = paths::path_filestat_get;
    path_filestat_set_times(I32 I32 I32 I32 I64 I64 I32) -> errno = paths::path_filestat_set_times;
    path_link(I32 I32 I32 I32 I32 I32 I32) -> errno = paths::path_link;
    path_open(I32 I32 I32 I32 I32 I64 I64 I32 I32) -> errno = open::path_open;
    path_readlink(I32 I32 I32 I32 I32 I32) -> errno = paths::path_readlink;
    path_remove_directory(I32 I32 I32) -> errno = paths::path_remove_directory;
    path_rename(I32 I32 I32 I32 I32 I32) -> errno = paths::path_rename;
    path_symlink(I32 I32 I32 I32 I32) -> errno = paths::path_symlink;
    path_unlink_file(I32 I32 I32) -> errno = paths::path_unlink_file;
    poll_oneoff(I32 I32 I32 I32) -> errno = clock::poll_oneoff;
    proc_exit(I32) = process::proc_exit;
    proc_raise(I32) -> errno = process::proc_raise;
    random_get(I32 I32) -> errno = process::random_get;
    sched_yield() -> errno = clock::sched_yield;
    sock_accept(I32 I32 I32) -> errno = process::not_a_socket;
    sock_recv(I32 I32 I32 I32 I32 I32) -> errno = process::not_a_socket;
    sock_send(I32 I32 I32 I32 I32) -> errno = process::not_a_socket;
    sock_shutdown(I32 I32) -> errno = process::not_a_socket;
};

/// All functions of `wasi_snapshot_preview1`.
pub fn imports() -> &'static [Import] {
    IMPORTS
}
