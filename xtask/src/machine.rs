//! Facts about this machine that decide speed and whether something fits: processor, threads, memory, GPU.

use std::fs;
use std::process::{Command, Stdio};

/// The processor's name, its physical cores where they are known, and the threads this process may use.
pub(crate) fn processor() -> String {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo_value(&info, "model name").map(str::to_owned).or_else(|| sysctl("machdep.cpu.brand_string"));
    let cores = physical_cores(&info).map_or_else(String::new, |cores| format!("{cores} cores, "));
    format!("{}, {cores}{threads} threads usable", name.unwrap_or_else(|| std::env::consts::ARCH.to_owned()))
}

/// The processor features that the kernels of ONNX Runtime and libtorch choose by, with whether they are there.
pub(crate) fn processor_features() -> Vec<(&'static str, bool)> {
    #[cfg(target_arch = "x86_64")]
    let features = vec![
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512_vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512_bf16", is_x86_feature_detected!("avx512bf16")),
        ("amx_bf16", listed_in_cpuinfo("amx_bf16")),
        ("amx_int8", listed_in_cpuinfo("amx_int8")),
    ];
    #[cfg(target_arch = "aarch64")]
    let features = vec![
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("bf16", std::arch::is_aarch64_feature_detected!("bf16")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let features = Vec::new();
    features
}

/// Total and available memory in bytes; the latter where the system tells.
pub(crate) fn memory() -> Option<(u64, Option<u64>)> {
    if let Ok(info) = fs::read_to_string("/proc/meminfo") {
        return Some((meminfo_bytes(&info, "MemTotal")?, meminfo_bytes(&info, "MemAvailable")));
    }
    Some((sysctl("hw.memsize")?.parse().ok()?, None))
}

/// The GPUs that the NVIDIA driver reports, one a line.
pub(crate) fn gpus() -> Vec<String> {
    let query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"];
    output_of("nvidia-smi", &query).map_or_else(Vec::new, |text| text.lines().map(str::to_owned).collect())
}

/// The first line that a program prints, if it runs and succeeds.
pub(crate) fn first_line_of(program: &str, arguments: &[&str]) -> Option<String> {
    output_of(program, arguments)?.lines().next().map(str::to_owned)
}

fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn sysctl(name: &str) -> Option<String> {
    first_line_of("sysctl", &["-n", name])
}

fn cpuinfo_value<'a>(info: &'a str, key: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':').map(str::trim))
}

#[cfg(target_arch = "x86_64")]
fn listed_in_cpuinfo(flag: &str) -> bool {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpuinfo_value(&info, "flags").is_some_and(|flags| flags.split(' ').any(|found| found == flag))
}

fn physical_cores(info: &str) -> Option<usize> {
    let cores: std::collections::BTreeSet<_> = info
        .split("\n\n")
        .filter_map(|block| Some((cpuinfo_value(block, "physical id")?, cpuinfo_value(block, "core id")?)))
        .collect();
    (!cores.is_empty()).then_some(cores.len())
}

fn meminfo_bytes(info: &str, key: &str) -> Option<u64> {
    let kibibytes: u64 = cpuinfo_value(info, key)?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyper_threads_are_not_counted_as_cores() {
        let block = |physical: u32, core: u32| {
            format!("model name\t: Some CPU\nphysical id\t: {physical}\ncore id\t\t: {core}\nflags\t\t: fpu avx2\n\n")
        };
        let info: String = [block(0, 0), block(0, 0), block(0, 1), block(1, 0)].concat();
        assert_eq!(physical_cores(&info), Some(3));
        assert_eq!(cpuinfo_value(&info, "model name"), Some("Some CPU"));
        assert_eq!(physical_cores(""), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let info = "MemTotal:       24607432 kB\nMemFree:        20 kB\nMemAvailable:   1024 kB\n";
        assert_eq!(meminfo_bytes(info, "MemTotal"), Some(24_607_432 * 1024));
        assert_eq!(meminfo_bytes(info, "MemAvailable"), Some(1 << 20));
        assert_eq!(meminfo_bytes(info, "SwapTotal"), None);
    }
}
