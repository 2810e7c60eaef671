//! Prints milliseconds per ACT step of the step graph, with random weights, for the published Sudoku model and for the
//! small one: `cargo run --release -p exporter --example step_latency [-- THREADS [FLAVOR]]` (default: 2 fused).
//! The minimum over the runs is the machine's speed, the median what it gave beside other work.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use exporter::runtime::{self, SessionOptions};
use exporter::{ExportOptions, Flavor, GraphKind, GraphMetadata, Precision, export, metadata, names};
use models::checkpoint::{self, HostTensor};
use models::{ArchitectureConfig, Checkpoint, Initializer, Manifest, ModelDims, PosEncodings, QHeadInput, TrmConfig};
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

const BATCHES: [usize; 3] = [1, 8, 64];
/// Time spent on each measurement.
const BUDGET: Duration = Duration::from_secs(4);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().map_or(Ok(2), |text| text.parse()).context("THREADS must be a number")?;
    let flavor = match arguments.next().as_deref() {
        None | Some("fused") => Flavor::Fused,
        Some("portable") => Flavor::Portable,
        Some(other) => anyhow::bail!("FLAVOR is `{other}`, expected `fused` or `portable`"),
    };
    println!("{}\n{threads} threads, {}", runtime::load()?.build, flavor.name());
    println!("{:<40} {:>6} {:>10} {:>10}", "model", "batch", "min ms", "median ms");
    for (name, config) in models_to_measure() {
        let folder = tempfile::tempdir()?;
        let checkpoint = random_checkpoint(folder.path(), config)?;
        let exported = export(
            &checkpoint,
            &ExportOptions { graph: GraphKind::Step, flavor, precision: Precision::Float32, logits: false },
        )?;
        let mut session =
            runtime::open_bytes(&exported.bytes, &SessionOptions { threads, ..SessionOptions::default() })?;
        let metadata = metadata::read(&session)?;
        for batch in BATCHES {
            let (fastest, median) = measure(&mut session, &metadata, batch)?;
            println!(
                "{name:<40} {batch:>6} {:>10.2} {:>10.2}",
                fastest.as_secs_f64() * 1e3,
                median.as_secs_f64() * 1e3
            );
        }
    }
    Ok(())
}

fn models_to_measure() -> [(&'static str, TrmConfig); 3] {
    let published = TrmConfig { mlp_t: true, pos_encodings: PosEncodings::None, ..TrmConfig::default() };
    let attention = TrmConfig::default();
    let small = TrmConfig {
        hidden_size: 128,
        H_cycles: 2,
        L_cycles: 3,
        puzzle_emb_ndim: 0,
        puzzle_emb_len: 0,
        q_head_input: QHeadInput::Mean,
        ..published.clone()
    };
    [
        ("sudoku mlp_t hidden 512 H3 L6 (published)", published),
        ("sudoku attention hidden 512 H3 L6", attention),
        ("sudoku mlp_t hidden 128 H2 L3 (small)", small),
    ]
}

fn random_checkpoint(folder: &std::path::Path, config: TrmConfig) -> Result<Checkpoint> {
    let dims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 1, sizes: None };
    let arch = ArchitectureConfig::Trm(config);
    let initializer = Initializer::new(0);
    let tensors: BTreeMap<String, HostTensor> = arch
        .parameter_specs(&dims)?
        .iter()
        .map(|spec| (spec.name.clone(), HostTensor::float32(&spec.shape, &initializer.draw(spec))))
        .collect();
    let folder = folder.join("checkpoint");
    checkpoint::write(&folder, &Manifest::new(arch, dims, "sudoku"), &tensors, |_| Ok(()))?;
    Ok(Checkpoint::open(&folder)?)
}

/// Fastest and median time of a step.
fn measure(session: &mut Session, metadata: &GraphMetadata, batch: usize) -> Result<(Duration, Duration)> {
    let mut times = Vec::new();
    let begin = Instant::now();
    while times.len() < 2 || begin.elapsed() < BUDGET {
        let inputs = inputs(metadata, batch)?;
        let start = Instant::now();
        session.run(inputs)?;
        times.push(start.elapsed());
    }
    // The first run allocates.
    times.remove(0);
    times.sort_unstable();
    Ok((times[0], times[times.len() / 2]))
}

fn inputs(metadata: &GraphMetadata, batch: usize) -> Result<Vec<(String, SessionInputValue<'static>)>> {
    let tensor = |info: exporter::TensorInfo| {
        let shape: Vec<usize> = std::iter::once(batch).chain(info.row_shape).collect();
        let count = shape.iter().product();
        let value: SessionInputValue<'static> = match info.name.as_str() {
            names::INPUTS => {
                Tensor::from_array((shape, (0..count).map(|i| (i % 10 + 1) as i64).collect::<Vec<_>>()))?.into()
            }
            names::RESET => Tensor::from_array((shape, vec![true; count]))?.into(),
            _ => Tensor::from_array((shape, vec![0.0_f32; count]))?.into(),
        };
        Ok((info.name, value))
    };
    metadata.inputs().into_iter().map(tensor).collect()
}
