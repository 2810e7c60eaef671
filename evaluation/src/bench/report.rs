//! What `server bench` found: figures for programs, a table for people.

use std::fmt;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use exporter::Precision;
use models::benchmark::{MemoryPeak, Roofline, Spread, StepCost};
use serde::Serialize;

use super::measure::StepTiming;
use crate::report::{Machine, Runtime};

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct BenchReport {
    /// Where.
    pub machine: Machine,
    /// What computed.
    pub runtime: Runtime,
    /// How fast memory is.
    pub memory: MemoryPeak,
    /// One for each model, precision and batch size.
    pub steps: Vec<StepRow>,
}

/// Supervision steps of one model in one precision, so many puzzles at a time.
#[derive(Debug, Clone, Serialize)]
pub struct StepRow {
    /// Name of the configuration or of the checkpoint's folder.
    pub config: String,
    /// What products were computed in.
    pub precision: Precision,
    /// Puzzles solved together.
    pub batch_size: usize,
    /// Trained weights.
    pub parameters: usize,
    /// Floating point operations of a step of the batch, counted.
    pub flops: u64,
    /// Bytes that its operations read and write, counted.
    pub bytes: u64,
    /// Seconds of a turn of the engine.
    pub seconds: Spread,
    /// Share of it outside ONNX Runtime.
    pub outside_model: f64,
    /// Steps of single puzzles a second.
    pub puzzle_steps_per_second: f64,
    /// Achieved operations a second.
    pub flops_per_second: f64,
    /// Achieved operations a second as a share of the fastest product's.
    pub utilisation: f64,
    /// Seconds that products take which each run as fast as alone.
    pub product_seconds: f64,
    /// Seconds below which neither the fastest product's rate nor memory lets the step fall.
    pub least_seconds: f64,
    /// Largest resident set of the process.
    pub peak_memory_bytes: Option<u64>,
    /// What the machine can do at these shapes.
    pub roofline: Roofline,
}

impl StepRow {
    pub(super) fn new(
        config: String,
        precision: Precision,
        cost: &StepCost,
        roofline: Roofline,
        memory: &MemoryPeak,
        timing: &StepTiming,
        peak_memory_bytes: Option<u64>,
    ) -> Self {
        let weight_bytes = match precision {
            Precision::Float32 => 4,
            Precision::Int8 => 1,
        };
        let work = cost.forward();
        let (flops, bytes) = (work.flops, work.bytes(weight_bytes, 4));
        let flops_per_second = flops as f64 / timing.turn.median;
        let mixed = roofline.mixed_flops_per_second;
        Self {
            config,
            precision,
            batch_size: cost.batch_size,
            parameters: cost.parameters,
            flops,
            bytes,
            seconds: timing.turn,
            outside_model: timing.outside_model,
            puzzle_steps_per_second: cost.batch_size as f64 / timing.turn.median,
            flops_per_second,
            utilisation: roofline.utilisation(flops_per_second),
            product_seconds: if mixed > 0.0 { flops as f64 / mixed } else { 0.0 },
            least_seconds: roofline.least_seconds(flops, bytes, memory),
            peak_memory_bytes,
            roofline,
        }
    }
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processor = self.machine.processor.as_deref().unwrap_or("unknown processor");
        let threads = match self.runtime.threads {
            0 => "a thread per physical core".to_owned(),
            1 => "1 thread".to_owned(),
            threads => format!("{threads} threads"),
        };
        writeln!(f, "{processor}, {}, {}, {threads}", self.runtime.library, self.runtime.execution_provider)?;
        writeln!(f, "memory {:.1} GB/s (two arrays read, one written)\n", self.memory.bytes_per_second.median / 1e9)?;
        writeln!(f, "{}", self.table())?;
        writeln!(
            f,
            "\nms: median of a step, quarters below and above. products: the same products alone, at their shapes. peak: the\n\
             fastest of these. MFU: GFLOP/s as a share of it. outside: share of the step outside ONNX Runtime."
        )
    }
}

impl BenchReport {
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header([
            "model",
            "type",
            "batch",
            "GFLOP",
            "ms",
            "ms low-high",
            "ms/puzzle",
            "GFLOP/s",
            "peak",
            "MFU",
            "products ms",
            "outside",
            "peak MB",
        ]);
        for row in &self.steps {
            let milliseconds = |seconds: f64| format!("{:.2}", 1e3 * seconds);
            table.add_row([
                row.config.clone(),
                row.precision.name().to_owned(),
                row.batch_size.to_string(),
                format!("{:.3}", row.flops as f64 / 1e9),
                milliseconds(row.seconds.median),
                format!("{}-{}", milliseconds(row.seconds.lower), milliseconds(row.seconds.upper)),
                milliseconds(row.seconds.median / row.batch_size as f64),
                format!("{:.0}", row.flops_per_second / 1e9),
                format!("{:.0}", row.roofline.peak_flops_per_second / 1e9),
                format!("{:.0} %", 100.0 * row.utilisation),
                milliseconds(row.product_seconds),
                format!("{:.2} %", 100.0 * row.outside_model),
                row.peak_memory_bytes.map_or_else(|| "-".to_owned(), |bytes| (bytes >> 20).to_string()),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use models::benchmark::{BenchmarkConfig, step_cost};

    use super::*;

    fn report() -> BenchReport {
        let config = BenchmarkConfig::named("small").unwrap();
        let cost = step_cost(&config.arch, &config.dims, 2).unwrap();
        let rates = vec![Spread::of(&[400e9]).unwrap(); cost.products.len()];
        let roofline = Roofline::new("int8", &cost, &rates);
        let memory = MemoryPeak { array_bytes: 64, bytes_per_second: Spread::of(&[20e9]).unwrap() };
        let turn = Spread::of(&[cost.forward().flops as f64 / 200e9]).unwrap();
        let timing = StepTiming { turn, outside_model: 0.0012 };
        let row = StepRow::new("small".into(), Precision::Int8, &cost, roofline, &memory, &timing, Some(100 << 20));
        let runtime = Runtime {
            library: "libonnxruntime.so".into(),
            build: String::new(),
            execution_provider: "CPUExecutionProvider".into(),
            threads: 1,
        };
        BenchReport { machine: Machine::here(), runtime, memory, steps: vec![row] }
    }

    #[test]
    fn utilisation_is_the_share_of_the_fastest_product() {
        let row = &report().steps[0];
        assert!((row.utilisation - 0.5).abs() < 1e-9 && (row.flops_per_second - 200e9).abs() < 1.0, "{row:?}");
        assert!((row.product_seconds - row.seconds.median / 2.0).abs() < 1e-9);
        assert!(row.least_seconds >= row.product_seconds * 0.999);
        assert!((row.puzzle_steps_per_second * row.seconds.median - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_table_and_the_file_say_the_same() {
        let report = report();
        let text = report.to_string();
        for part in ["| small | int8 |     2 |", "| 50 % |", " 0.12 % |", "memory 20.0 GB/s", "1 thread", "|     100 |"]
        {
            assert!(text.contains(part), "`{part}` is missing in {text}");
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["steps"][0]["precision"], "int8");
        assert_eq!(json["steps"][0]["flops"], report.steps[0].flops);
        assert_eq!(json["steps"][0]["roofline"]["products"][0]["kind"], "linear");
    }
}
