//! What `trainer bench` found: figures for programs, tables for people.

use std::fmt;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use models::benchmark::{MemoryPeak, Roofline, Spread, StepCost};
use serde::Serialize;
use tch::Kind;

use super::measure::StepTiming;
use crate::phases::Phase;

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct BenchReport {
    /// Name of the processor, if the system tells.
    pub processor: Option<String>,
    /// Where was computed.
    pub device: String,
    /// Threads of libtorch's operators.
    pub threads: usize,
    /// How fast memory is.
    pub memory: MemoryPeak,
    /// One for each configuration.
    pub steps: Vec<TrainRow>,
}

/// Training steps of one configuration.
#[derive(Debug, Clone, Serialize)]
pub struct TrainRow {
    /// Name of the configuration or folder of the checkpoint.
    pub config: String,
    /// Rows of a batch.
    pub batch_size: usize,
    /// Trained weights.
    pub parameters: usize,
    /// Floating point operations of a step, counted: forward and backward.
    pub flops: u64,
    /// Bytes that its operations and the update of the weights read and write, counted.
    pub bytes: u64,
    /// Seconds of a step.
    pub seconds: Spread,
    /// Rows a second.
    pub samples_per_second: f64,
    /// Achieved operations a second.
    pub flops_per_second: f64,
    /// Achieved operations a second as a share of the fastest product's in the forward type.
    pub utilisation: f64,
    /// Seconds that products take which each run as fast as the forward pass's run alone.
    pub product_seconds: f64,
    /// Seconds below which neither the fastest product's rate nor memory lets the step fall.
    pub least_seconds: f64,
    /// Where the time goes.
    pub phases: Vec<PhaseShare>,
    /// How often the host waits for values of the device in a step.
    pub host_syncs: f64,
    /// How often libtorch says that it waited for a GPU in a step; on a GPU alone.
    pub gpu_waits: Option<u64>,
    /// Largest resident set of the process.
    pub peak_memory_bytes: Option<u64>,
    /// What the machine can do at these shapes: in the forward type, then in float32.
    pub rooflines: Vec<Roofline>,
}

/// What a phase takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseShare {
    /// Which.
    pub phase: &'static str,
    /// Seconds of a step, on average.
    pub seconds: f64,
    /// Share of all phases.
    pub share: f64,
}

impl TrainRow {
    pub(super) fn new(
        config: String,
        cost: &StepCost,
        value_bytes: usize,
        rooflines: Vec<Roofline>,
        memory: &MemoryPeak,
        timing: &StepTiming,
        peak_memory_bytes: Option<u64>,
    ) -> Self {
        let work = cost.training();
        let (flops, bytes) = (work.flops, work.bytes(value_bytes, value_bytes) + cost.update_bytes());
        let flops_per_second = flops as f64 / timing.seconds.median;
        let forward = &rooflines[0];
        let mixed = forward.mixed_flops_per_second;
        let total: f64 = timing.phases.iter().map(std::time::Duration::as_secs_f64).sum();
        let share = |(phase, time): (&Phase, &std::time::Duration)| PhaseShare {
            phase: phase.name(),
            seconds: time.as_secs_f64() / timing.seconds.count as f64,
            share: if total > 0.0 { time.as_secs_f64() / total } else { 0.0 },
        };
        Self {
            config,
            batch_size: cost.batch_size,
            parameters: cost.parameters,
            flops,
            bytes,
            seconds: timing.seconds,
            samples_per_second: cost.batch_size as f64 / timing.seconds.median,
            flops_per_second,
            utilisation: forward.utilisation(flops_per_second),
            product_seconds: if mixed > 0.0 { flops as f64 / mixed } else { 0.0 },
            least_seconds: forward.least_seconds(flops, bytes, memory),
            phases: Phase::ALL.iter().zip(&timing.phases).map(share).collect(),
            host_syncs: timing.host_syncs as f64 / timing.seconds.count as f64,
            gpu_waits: timing.gpu_waits,
            peak_memory_bytes,
            rooflines,
        }
    }
}

/// As reports call a type.
pub(super) fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::BFloat16 => "bfloat16",
        _ => "float32",
    }
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processor = self.processor.as_deref().unwrap_or("unknown processor");
        writeln!(f, "{processor}, libtorch on {}, threads: {}", self.device, self.threads)?;
        writeln!(f, "memory {:.1} GB/s (two arrays read, one written)\n", self.memory.bytes_per_second.median / 1e9)?;
        writeln!(f, "{}\n\n{}", self.steps_table(), self.phases_table())?;
        writeln!(
            f,
            "\nms: median of a step, quarters below and above. products: the step's operations at the speed of the forward\n\
             products alone, at their shapes. peak: the fastest of these, and of the same in float32. MFU: GFLOP/s as a share\n\
             of the peak. host syncs: how often a step brings values to the host, which waits for a GPU then."
        )
    }
}

impl BenchReport {
    fn steps_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header([
            "model",
            "type",
            "batch",
            "GFLOP",
            "GB",
            "ms",
            "ms low-high",
            "samples/s",
            "GFLOP/s",
            "peak",
            "MFU",
            "products ms",
            "float32 peak",
            "host syncs",
            "peak MB",
        ]);
        for row in &self.steps {
            let milliseconds = |seconds: f64| format!("{:.1}", 1e3 * seconds);
            let gigaflops = |roofline: &Roofline| format!("{:.0}", roofline.peak_flops_per_second / 1e9);
            let float32 = row.rooflines.iter().find(|roofline| roofline.dtype == name_of(Kind::Float));
            table.add_row([
                row.config.clone(),
                row.rooflines[0].dtype.clone(),
                row.batch_size.to_string(),
                format!("{:.1}", row.flops as f64 / 1e9),
                format!("{:.2}", row.bytes as f64 / 1e9),
                milliseconds(row.seconds.median),
                format!("{}-{}", milliseconds(row.seconds.lower), milliseconds(row.seconds.upper)),
                format!("{:.1}", row.samples_per_second),
                format!("{:.0}", row.flops_per_second / 1e9),
                gigaflops(&row.rooflines[0]),
                format!("{:.0} %", 100.0 * row.utilisation),
                milliseconds(row.product_seconds),
                float32.map_or_else(|| "-".to_owned(), gigaflops),
                row.gpu_waits.map_or_else(
                    || row.host_syncs.to_string(),
                    |waits| format!("{}, libtorch: {waits}", row.host_syncs),
                ),
                row.peak_memory_bytes.map_or_else(|| "-".to_owned(), |bytes| (bytes >> 20).to_string()),
            ]);
        }
        right_aligned(table, 2)
    }

    fn phases_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let names = Phase::ALL.iter().map(|phase| format!("{} ms", phase.name()));
        table.set_header(std::iter::once("model".to_owned()).chain(names));
        for row in &self.steps {
            let phase = |phase: &PhaseShare| format!("{:.1} ({:.0} %)", 1e3 * phase.seconds, 100.0 * phase.share);
            table.add_row(std::iter::once(row.config.clone()).chain(row.phases.iter().map(phase)));
        }
        right_aligned(table, 1)
    }
}

fn right_aligned(mut table: Table, first: usize) -> Table {
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use models::benchmark::{BenchmarkConfig, step_cost};

    use super::*;

    fn report() -> BenchReport {
        let config = BenchmarkConfig::named("small").unwrap();
        let cost = step_cost(&config.arch, &config.dims, 64).unwrap();
        let roofline =
            |name, rate: f64| Roofline::new(name, &cost, &vec![Spread::of(&[rate]).unwrap(); cost.products.len()]);
        let memory = MemoryPeak { array_bytes: 64, bytes_per_second: Spread::of(&[20e9]).unwrap() };
        let phases = [0, 40, 30, 20, 8, 2].map(|share| Duration::from_millis(4 * share));
        let timing = StepTiming { seconds: Spread::of(&[0.4, 0.4]).unwrap(), phases, host_syncs: 4, gpu_waits: None };
        let rooflines = vec![roofline("bfloat16", 900e9), roofline("float32", 200e9)];
        let row = TrainRow::new("small".into(), &cost, 2, rooflines, &memory, &timing, None);
        BenchReport { processor: None, device: "Cpu".into(), threads: 2, memory, steps: vec![row] }
    }

    #[test]
    fn a_step_is_compared_with_the_peak_of_its_type() {
        let report = report();
        let row = &report.steps[0];
        // 64 · 3.35 GFLOP in 0.4 s.
        assert!((row.flops_per_second - 535.6e9).abs() < 1e9, "{row:?}");
        assert!((row.utilisation - row.flops_per_second / 900e9).abs() < 1e-9);
        assert!((row.samples_per_second - 160.0).abs() < 1e-9);
        assert!((row.host_syncs - 2.0).abs() < 1e-12, "four in two steps");
        assert_eq!(row.phases[1].phase, "forward without gradient");
        // 160 of 400 ms, divided as binary fractions.
        assert!((row.phases[1].share - 0.4).abs() < 1e-12);
        assert!((row.phases[1].seconds - 0.08).abs() < 1e-12, "two steps share the time");
    }

    #[test]
    fn the_tables_and_the_file_say_the_same() {
        let report = report();
        let text = report.to_string();
        for part in ["| small | bfloat16 |    64 | 214.", " 160.0 |", "| 59 % |", "80.0 (40 %)", "unknown processor"] {
            assert!(text.contains(part), "`{part}` is missing in {text}");
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["steps"][0]["rooflines"][1]["dtype"], "float32");
        assert_eq!(json["steps"][0]["flops"], report.steps[0].flops);
    }
}
