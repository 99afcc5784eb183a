//! Clocks and waiting.
//!
//! Problem: the time is a grant (it is what timing attacks and fingerprints are made of), and a guest that waits must not hold its
//! thread beyond the deadline of its call.
//!
//! Answer: both clocks and every wait answer ENOTCAPABLE without the grant. A wait is the shortest of its subscriptions, and is done
//! by the host, which knows the deadline.
//!
//! What it does not do: the clocks for CPU time (ENOTSUP: the thread that runs a guest is shared, so its CPU time says nothing about
//! the guest), and waiting for descriptors (each such subscription is answered at once with ENOTSUP: files never block, and there
//! is nothing else to wait for).

use super::Wasi;
use super::call::{Call, Done, Stop, sleep};
use super::errno::Errno;
use super::memory::after;
use super::types::{MAX_SUBSCRIPTIONS, nanos, put};
use std::time::{Duration, Instant, SystemTime};

const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;
const CPUTIME: std::ops::RangeInclusive<u32> = 2..=3;

/// What the system's clocks really resolve.
const RESOLUTION: u64 = if cfg!(windows) { 100 } else { 1 };

/// The monotonic clock starts at one second: some runtimes take a zero for "not set" and give up.
const MONOTONIC_START: Duration = Duration::from_secs(1);

const SUBSCRIPTION: usize = 48;
const EVENT: usize = 32;

fn now(wasi: &Wasi, clock: u32) -> Result<u64, Errno> {
    match clock {
        REALTIME => Ok(nanos(SystemTime::now())),
        MONOTONIC => {
            let since = wasi.started.elapsed().saturating_add(MONOTONIC_START);
            Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
        }
        clock if CPUTIME.contains(&clock) => Err(Errno::NOTSUP),
        _ => Err(Errno::INVAL),
    }
}

fn granted(c: &Call<'_>) -> Done {
    if c.wasi.clock { Ok(()) } else { Err(Errno::NOTCAPABLE.into()) }
}

pub(super) fn clock_res_get(c: &mut Call<'_>) -> Done {
    granted(c)?;
    now(c.wasi, c.u32(0))?;
    Ok(c.memory.write_u64(c.u32(1), RESOLUTION)?)
}

/// The wanted precision, the second argument, is a permission to be less exact; it is not used.
pub(super) fn clock_time_get(c: &mut Call<'_>) -> Done {
    granted(c)?;
    let time = now(c.wasi, c.u32(0))?;
    Ok(c.memory.write_u64(c.u32(2), time)?)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of every call")]
pub(super) fn sched_yield(_: &mut Call<'_>) -> Done {
    std::thread::yield_now();
    Ok(())
}

/// What a subscription waits for: a time from now, or nothing because it is answered with an error at once.
struct Subscription {
    userdata: [u8; 8],
    kind: u8,
    wait: Result<Duration, Errno>,
}

fn field<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(record.iter().skip(at)) {
        *to = *from;
    }
    bytes
}

fn subscription(c: &mut Call<'_>, record: &[u8]) -> Result<Subscription, Stop> {
    let [kind] = field::<1>(record, 8);
    let id = u32::from_le_bytes(field(record, 16));
    let wait = match kind {
        0 => {
            granted(c)?;
            let timeout = u64::from_le_bytes(field(record, 24));
            let absolute = match u16::from_le_bytes(field(record, 40)) {
                0 => false,
                1 => true,
                _ => return Err(Errno::INVAL.into()),
            };
            now(c.wasi, id).map(|now| Duration::from_nanos(if absolute { timeout.saturating_sub(now) } else { timeout }))
        }
        1 | 2 => Err(c.wasi.table.get(id).err().unwrap_or(Errno::NOTSUP)),
        _ => return Err(Errno::INVAL.into()),
    };
    Ok(Subscription { userdata: field(record, 0), kind, wait })
}

/// Waits for the earliest of the subscriptions and reports all that are due by then.
pub(super) fn poll_oneoff(c: &mut Call<'_>) -> Done {
    let (input, output, count, out) = (c.u32(0), c.u32(1), c.u32(2), c.u32(3));
    if count == 0 || count > MAX_SUBSCRIPTIONS {
        return Err(Errno::INVAL.into());
    }
    let count = count as usize;
    let mut records = vec![0; count.saturating_mul(SUBSCRIPTION)];
    c.memory.read(input, &mut records)?;
    c.memory.check(output, u32::try_from(count.saturating_mul(EVENT)).unwrap_or(u32::MAX))?;
    c.memory.check(out, 4)?;
    let subscriptions = records.chunks_exact(SUBSCRIPTION).map(|record| subscription(c, record)).collect::<Result<Vec<_>, _>>()?;

    // An error is an answer, and one that is there already.
    let shortest = subscriptions.iter().map(|s| s.wait.unwrap_or(Duration::ZERO)).min().unwrap_or(Duration::ZERO);
    let before = Instant::now();
    sleep(c.host, shortest)?;
    let passed = before.elapsed().max(shortest);

    let mut events = 0_usize;
    for s in &subscriptions {
        let errno = match s.wait {
            Ok(wait) if wait > passed => continue,
            Ok(_) => Errno::SUCCESS,
            Err(errno) => errno,
        };
        let mut event = [0; EVENT];
        put(&mut event, 0, &s.userdata);
        put(&mut event, 8, &errno.0.to_le_bytes());
        put(&mut event, 10, &[s.kind]);
        c.memory.write(after(output, events.saturating_mul(EVENT))?, &event)?;
        events = events.saturating_add(1);
    }
    let events = u32::try_from(events).map_err(|_| Errno::INVAL)?;
    Ok(c.memory.write_u32(out, events)?)
}
