//! What Linux tells about this machine and this process: the processor's name, the most memory that was held.

/// Name of the processor, if the system tells.
pub fn processor_name() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = info.lines().find_map(|line| line.strip_prefix("model name"))?;
    name.split_once(':').map(|(_, name)| name.trim().to_owned())
}

/// Bytes of the largest resident set since the start or [`forget_peak_memory`]; `None` where the system does not tell.
pub fn peak_memory_bytes() -> Option<u64> {
    peak_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Lets the peak begin anew at what is held now, where the system can; memory that an allocator keeps still counts.
pub fn forget_peak_memory() {
    // Documented in proc(5): 5 resets the high-water mark. Without it the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_in(status: &str) -> Option<u64> {
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    kilobytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(peak_in("Name:\tserver\nVmPeak:\t  900 kB\nVmHWM:\t   1536 kB\nVmRSS:\t 3 kB\n"), Some(1536 * 1024));
        assert_eq!(peak_in("VmHWM: many\n"), None);
        assert_eq!(peak_in(""), None);
    }
}
