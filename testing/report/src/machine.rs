//! CPU time, memory and cores, as the kernel counts them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Cores that server and load share.
pub const CORES: usize = 2;

/// Keeps this process, and those it starts, on the first [`CORES`] cores it may use. Returns how many it got.
pub fn pin() -> Result<usize> {
    let allowed = sched_getaffinity(None).context("reading the cores of this process")?;
    let mut chosen = CpuSet::new();
    let cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).take(CORES);
    cores.for_each(|core| chosen.set(core));
    sched_setaffinity(None, &chosen).context("choosing the cores of this process")?;
    Ok(chosen.count() as usize)
}

/// CPU time of the calling thread.
pub fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// CPU time of all threads of this process.
pub fn process_cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let at = clock_gettime(clock);
    Duration::new(at.tv_sec as u64, at.tv_nsec as u32)
}

/// CPU time of process `pid` with all its threads, in steps of 10 ms.
///
/// # Errors
/// When the process is gone or the kernel's text is not as documented in proc(5).
pub fn cpu_of(pid: u32) -> Result<Duration> {
    let stat =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).context("reading a process's CPU time")?;
    // The name stands in parentheses and may hold anything; utime and stime are the 12th and 13th fields after it.
    let after_name = stat.rsplit_once(") ").context("a process status without a name")?.1;
    let mut fields = after_name.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks().context("no user time")?, ticks().context("no system time")?);
    Ok(Duration::from_millis((user + system) * 1000 / rustix::param::clock_ticks_per_second()))
}

/// Most memory process `pid` ever held, in bytes.
pub fn memory_peak_of(pid: u32) -> Result<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("reading a process's memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("VmHWM is no number")?;
    Ok(kib * 1024)
}

/// Time the machine's cores spent at work since it started, by whomever.
pub fn machine_busy() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").context("reading the machine's CPU time")?;
    let first = stat.lines().next().context("an empty /proc/stat")?;
    let fields: Vec<u64> = first.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal: all but idle and iowait.
    let busy: u64 = fields.iter().take(8).sum::<u64>() - fields[3] - fields[4];
    Ok(Duration::from_millis(busy * 1000 / rustix::param::clock_ticks_per_second()))
}

/// The middle value; 0 of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value below which `fraction` of the values lie; 0 of nothing.
pub fn percentile(values: &mut [f64], fraction: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * fraction) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let pid = std::process::id();
        assert!(memory_peak_of(pid).unwrap() > 1 << 16);
        assert!(cpu_of(pid).unwrap() <= process_cpu() + Duration::from_millis(20));
    }

    #[test]
    fn percentiles_name_a_value_of_the_list() {
        let mut values: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!((median(&mut values), percentile(&mut values, 0.99)), (50.0, 99.0));
        assert_eq!(median(&mut []), 0.0);
    }
}
