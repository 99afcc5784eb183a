//! Arguments, environment, exit, random bytes and the functions that are refused as a whole.
//!
//! Problem: these have little in common but that none of them touches a descriptor's data.
//!
//! Answer: strings are laid out once, when the instance starts, in the form the guest copies; refusals are one line each.
//!
//! What it does not do: signals (`proc_raise`) and sockets, ever.

use super::call::{Call, Done, Stop, sleep};
use super::errno::Errno;
use super::memory::after;
use std::time::Duration;

/// Strings as the guest receives them: joined with a NUL after each, and where each one begins.
#[derive(Default)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Strings {
    /// Each item is a string in three parts. An empty list allocates nothing.
    pub fn new<'a>(items: impl Iterator<Item = [&'a str; 3]>) -> Strings {
        let mut strings = Strings::default();
        for parts in items {
            strings.starts.push(strings.bytes.len());
            for part in parts {
                strings.bytes.extend_from_slice(part.as_bytes());
            }
            strings.bytes.push(0);
        }
        strings
    }
}

fn sizes(c: &mut Call<'_>, strings: fn(&Call<'_>) -> (usize, usize)) -> Done {
    let (count, bytes) = strings(c);
    let fits = |n: usize| u32::try_from(n).map_err(|_| Errno::NOMEM);
    let (count, bytes) = (fits(count)?, fits(bytes)?);
    c.memory.write_u32(c.u32(0), count)?;
    c.memory.write_u32(c.u32(1), bytes)?;
    Ok(())
}

fn copy(c: &mut Call<'_>, environ: bool) -> Done {
    let (pointers, bytes) = (c.u32(0), c.u32(1));
    let strings = if environ { &c.wasi.environ } else { &c.wasi.args };
    c.memory.write(bytes, &strings.bytes)?;
    for (index, start) in strings.starts.iter().enumerate() {
        let slot = after(pointers, index.saturating_mul(4))?;
        c.memory.write_u32(slot, after(bytes, *start)?)?;
    }
    Ok(())
}

pub(super) fn args_get(c: &mut Call<'_>) -> Done {
    copy(c, false)
}

pub(super) fn args_sizes_get(c: &mut Call<'_>) -> Done {
    sizes(c, |c| (c.wasi.args.starts.len(), c.wasi.args.bytes.len()))
}

pub(super) fn environ_get(c: &mut Call<'_>) -> Done {
    copy(c, true)
}

pub(super) fn environ_sizes_get(c: &mut Call<'_>) -> Done {
    sizes(c, |c| (c.wasi.environ.starts.len(), c.wasi.environ.bytes.len()))
}

/// Ends the guest. The code keeps its bits: a guest's `exit(-1)` arrives as -1.
pub(super) fn proc_exit(c: &mut Call<'_>) -> Done {
    Err(Stop::Exit(c.u32(0).cast_signed()))
}

pub(super) fn proc_raise(_: &mut Call<'_>) -> Done {
    Err(Errno::NOTSUP.into())
}

/// Fills a buffer with random bytes. There is no short count here, so a large buffer is filled piece by piece, and the host may end
/// the call between two pieces.
pub(super) fn random_get(c: &mut Call<'_>) -> Done {
    const PIECE: usize = 64 << 10;
    if !c.wasi.random {
        return Err(Errno::NOTCAPABLE.into());
    }
    let (mut ptr, mut left) = (c.u32(0), c.u32(1) as usize);
    c.memory.check(ptr, c.u32(1))?;
    let mut piece = vec![0; left.min(PIECE)];
    while left > 0 {
        piece.truncate(left);
        getrandom::fill(&mut piece).map_err(|_| Errno::IO)?;
        c.memory.write(ptr, &piece)?;
        left = left.saturating_sub(piece.len());
        if left > 0 {
            ptr = after(ptr, piece.len())?;
            sleep(c.host, Duration::ZERO)?;
        }
    }
    Ok(())
}

/// There are no sockets, so an open descriptor is never one.
pub(super) fn not_a_socket(c: &mut Call<'_>) -> Done {
    c.wasi.table.get(c.u32(0))?;
    Err(Errno::NOTSOCK.into())
}
