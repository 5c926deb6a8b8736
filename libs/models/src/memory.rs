//! The memory of the machine.

use std::path::Path;

/// Bytes of main memory that a process may use: the machine's, or the share that its container or job is given. `None` where
/// the system does not say.
#[must_use]
pub fn machine_bytes() -> Option<u64> {
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = limits.iter().filter_map(|path| std::fs::read_to_string(Path::new(path)).ok()?.trim().parse().ok());
    limits.chain(total(&std::fs::read_to_string("/proc/meminfo").ok()?)).min()
}

/// A number of bytes as messages give it.
#[must_use]
pub fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// The line `MemTotal` of /proc/meminfo, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_in_bytes() {
        assert_eq!(total("MemTotal:       24628164 kB\nMemFree: 1 kB\n"), Some(24_628_164 * 1024));
        assert_eq!(total("nothing"), None);
    }
}
