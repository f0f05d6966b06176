//! Processes of a server: the first one and its children.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// Ids of a process and of its children, the parent first.
pub fn family(parent: u32) -> Vec<u32> {
    let mut all = vec![parent];
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if stat_field(id, 4) == Some(u64::from(parent)) {
            all.push(id);
        }
    }
    all
}

/// A field of `/proc/ID/stat`, counted from 1 as in proc(5).
fn stat_field(id: u32, field: usize) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in brackets, may hold blanks.
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(field - 3)?.parse().ok()
}

pub fn is_alive(id: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    text.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub fn signal(signal: &str, ids: &[u32]) {
    let ids = ids.iter().map(u32::to_string);
    // A child may be gone by now, which is no failure.
    let _ = Command::new("kill").arg("-s").arg(signal).args(ids).output();
}

/// Processor time that each process has used so far.
pub fn cpu_times(ids: &[u32]) -> BTreeMap<u32, Duration> {
    let nanos = |id: &u32| -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{id}/schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    ids.iter().filter_map(|id| nanos(id).map(|nanos| (*id, Duration::from_nanos(nanos)))).collect()
}
