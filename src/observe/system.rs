//! How busy this machine is, as far as this process may use it.
//!
//! Problem: in a container the machine's own figures say little: what counts is the share of the processors and of the memory that the
//! container may use, and asking the system costs more than an item may. Answer: [`SystemLoad`] asks it at most every quarter of a second,
//! whoever needs the answer, and takes the scarcer of two views: the machine (others may have taken its processors) and the control group.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Networks, RefreshKind, System};

/// Shorter intervals measure noise: the kernel counts processor time in ticks of up to 10 ms.
const INTERVAL: Duration = Duration::from_millis(250);
/// Where the second version of control groups shows the process its own; the first version has other folders and no users left to ask.
const GROUP: &str = "/sys/fs/cgroup";

/// Shares from 0 (idle) to 1 (all that there is).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Of the processors that this process may use.
    pub cpu: f64,
    /// Of the memory that this process may use.
    pub memory: f64,
}

/// Bytes through this machine's network interfaces since it started, without those that never leave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Came in.
    pub received_bytes: u64,
    /// Went out.
    pub sent_bytes: u64,
}

impl Traffic {
    /// Reads them: a fraction of a millisecond.
    pub fn now() -> Self {
        let networks = Networks::new_with_refreshed_list();
        let outward = networks.iter().filter(|(name, _)| name.as_str() != "lo" && !name.starts_with("lo0"));
        outward.fold(Self::default(), |sum, (_, one)| Self {
            received_bytes: sum.received_bytes + one.total_received(),
            sent_bytes: sum.sent_bytes + one.total_transmitted(),
        })
    }
}

struct Sample {
    system: System,
    taken: Option<Instant>,
    /// Processor time of the group so far.
    used: Option<Duration>,
    load: Load,
}

/// Measures.
pub struct SystemLoad(Mutex<Sample>);

impl Default for SystemLoad {
    fn default() -> Self {
        let what = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing().with_cpu_usage()).with_memory(MemoryRefreshKind::nothing().with_ram());
        Self(Mutex::new(Sample { system: System::new_with_specifics(what), taken: None, used: None, load: Load::default() }))
    }
}

impl SystemLoad {
    /// The load now, at most a quarter of a second old. The first answer knows no processor load.
    pub fn now(&self, now: Instant) -> Load {
        let Some(mut sample) = self.0.try_lock() else {
            // Somebody is measuring: what was known before is as good.
            return self.0.lock().load;
        };
        let since = sample.taken.map(|taken| now.saturating_duration_since(taken));
        if since.is_some_and(|since| since < INTERVAL) {
            return sample.load;
        }
        sample.system.refresh_cpu_usage();
        sample.system.refresh_memory();
        let used = group_cpu();
        let machine_cpu = f64::from(sample.system.global_cpu_usage()) / 100.0;
        let group_cpu = match (since, used, sample.used, group_processors()) {
            (Some(since), Some(now), Some(before), Some(processors)) if !since.is_zero() => {
                now.saturating_sub(before).as_secs_f64() / since.as_secs_f64() / processors
            }
            _ => 0.0,
        };
        let cpu = if since.is_some() { machine_cpu.max(group_cpu).clamp(0.0, 1.0) } else { 0.0 };
        let memory = memory(&sample.system);
        (sample.taken, sample.used, sample.load) = (Some(now), used, Load { cpu, memory });
        sample.load
    }
}

fn memory(system: &System) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "shares")]
    let share = |used: u64, total: u64| if total == 0 { 0.0 } else { (used as f64 / total as f64).clamp(0.0, 1.0) };
    let machine = share(system.total_memory().saturating_sub(system.available_memory()), system.total_memory());
    let group = system.cgroup_limits().map_or(0.0, |limits| share(limits.total_memory.saturating_sub(limits.free_memory), limits.total_memory));
    machine.max(group)
}

fn group_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string(format!("{GROUP}/cpu.stat")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    line.trim().parse().ok().map(Duration::from_micros)
}

/// Processors that the group may use; nothing where it is not limited.
fn group_processors() -> Option<f64> {
    let text = std::fs::read_to_string(format!("{GROUP}/cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_shares_and_are_not_measured_twice_at_once() {
        let system = SystemLoad::default();
        let start = Instant::now();
        let first = system.now(start);
        assert!((0.0..=1.0).contains(&first.memory) && first.memory > 0.0, "{first:?}");
        assert_eq!(system.now(start + INTERVAL / 2), first);
        let later = system.now(start + INTERVAL * 2);
        assert!((0.0..=1.0).contains(&later.cpu), "{later:?}");
    }
}
