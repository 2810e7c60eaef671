//! Prints how long ONNX Runtime takes to open unrolled graphs of the published Sudoku models (random weights):
//! `cargo run --release -p exporter --example load_time [-- STEPS...]` (default: 1 4 16).
//! CPU seconds are the machine's speed, elapsed ones what it gave beside other work.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use exporter::runtime::{self, Optimization, SessionOptions};
use exporter::{ExportOptions, Flavor, GraphKind, Precision, export};
use models::checkpoint::{self, HostTensor};
use models::{ArchitectureConfig, Checkpoint, Initializer, Manifest, ModelDims, PosEncodings, TrmConfig};

fn main() -> Result<()> {
    let mut steps: Vec<usize> =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>().context("STEPS must be numbers")?;
    if steps.is_empty() {
        steps = vec![1, 4, 16];
    }
    println!("{}", runtime::load()?.build);
    println!(
        "{:<10} {:<9} {:>5} {:>7} {:>9} {:<9} {:>6} {:>6}",
        "model", "flavor", "steps", "nodes", "bytes", "rewriting", "cpu s", "s"
    );
    let folder = tempfile::tempdir()?;
    for (name, mlp_t, pos_encodings) in [("mlp_t", true, PosEncodings::None), ("attention", false, PosEncodings::Rope)]
    {
        let config = TrmConfig { mlp_t, pos_encodings, ..TrmConfig::default() };
        let checkpoint = random_checkpoint(&folder.path().join(name), config)?;
        for flavor in [Flavor::Fused, Flavor::Portable] {
            for &halt_steps in &steps {
                let options = ExportOptions {
                    graph: GraphKind::Unrolled { halt_steps },
                    flavor,
                    precision: Precision::Float32,
                    logits: false,
                };
                let exported = export(&checkpoint, &options)?;
                for (rewriting, optimization) in [("none", Optimization::None), ("all", Optimization::All)] {
                    let (cpu, elapsed) = (cpu_seconds()?, Instant::now());
                    let options = SessionOptions { threads: 1, optimization, ..SessionOptions::default() };
                    let session = runtime::open_bytes(&exported.bytes, &options)?;
                    println!(
                        "{name:<10} {:<9} {halt_steps:>5} {:>7} {:>9} {rewriting:<9} {:>6.2} {:>6.2}",
                        flavor.name(),
                        exported.summary.nodes,
                        exported.summary.bytes,
                        cpu_seconds()? - cpu,
                        elapsed.elapsed().as_secs_f64()
                    );
                    drop(session);
                }
            }
        }
    }
    Ok(())
}

/// What this process has computed so far, from Linux' 100 Hz clocks.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("/proc is read for the CPU time")?;
    // The program's name may hold spaces; user and system time are the 12th and 13th field after it.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    Ok(fields.map(str::parse::<f64>).sum::<Result<f64, _>>()? / 100.0)
}

fn random_checkpoint(folder: &Path, config: TrmConfig) -> Result<Checkpoint> {
    let dims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 1, sizes: None };
    let arch = ArchitectureConfig::Trm(config);
    let initializer = Initializer::new(0);
    let tensors = arch
        .parameter_specs(&dims)?
        .iter()
        .map(|spec| (spec.name.clone(), HostTensor::float32(&spec.shape, &initializer.draw(spec))))
        .collect();
    checkpoint::write(folder, &Manifest::new(arch, dims, "sudoku"), &tensors, |_| Ok(()))?;
    Ok(Checkpoint::open(folder)?)
}
