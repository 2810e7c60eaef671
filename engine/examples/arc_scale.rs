//! What a full-size ARC checkpoint costs in time and memory, from the published form to an answer:
//! `cargo run --release -p engine --example arc_scale [-- --rows 876406 --folder DIR]`.
//!
//! Makes a synthetic file as `torch.save` writes it (1.8 GB, nearly all of it puzzle embeddings), imports it, copies it,
//! exports the step graph and runs two puzzles with different identifiers. Each stage is a process of its own, which
//! reports its largest resident set (mapped pages included). Everything is deleted afterwards. Linux only.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use engine::onnx::OnnxStepModel;
use engine::session_options;
use engine::{StepBatch, StepModel};
use exporter::runtime;
use exporter::{ExportOptions, Flavor, GraphKind, Precision, metadata};
use models::benchmark::peak_memory_bytes;
use models::checkpoint::{PuzzleEmbeddings, WeightFile, WeightsKind, publish};
use models::import::{Hints, infer, write_imported};
use models::{
    ArchitectureConfig, Checkpoint, ForwardDtype, Initializer, ModelDims, ParameterKind, ParameterSpec, TrmConfig,
};
use rawzip::{CompressionMethod, ZipArchiveWriter};
use serde_json::json;

/// Imports, copies, exports and runs a synthetic ARC checkpoint, and reports time and memory of each stage.
#[derive(Debug, Parser)]
struct Args {
    /// Rows of the puzzle table; ARC-AGI-1 with 1000 augmentations has the default.
    #[arg(long, default_value_t = 876_406)]
    rows: usize,
    /// Folder for some 5.5 GB of temporary files. Default: the system's.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Used by the program itself.
    #[arg(long, hide = true)]
    stage: Option<Stage>,
}

/// One process.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stage {
    Make,
    Import,
    Publish,
    Export,
    Run,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(stage) = args.stage {
        let folder = args.folder.context("a stage works in a folder")?;
        return stage.run(&folder, args.rows);
    }
    let folder = match &args.folder {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    println!("| stage | seconds | peak RSS, MiB | what |\n|---|---|---|---|");
    for stage in [Stage::Make, Stage::Import, Stage::Publish, Stage::Export, Stage::Run] {
        let name = stage.to_possible_value().context("stages have names")?;
        let status = Command::new(std::env::current_exe()?)
            .args(["--stage", name.get_name(), "--rows", &args.rows.to_string(), "--folder"])
            .arg(folder.path())
            .status()?;
        ensure!(status.success(), "stage {} failed", name.get_name());
    }
    Ok(())
}

/// The published ARC model: attention, three times four cycles.
fn arch() -> ArchitectureConfig {
    ArchitectureConfig::Trm(TrmConfig { H_cycles: 3, L_cycles: 4, ..TrmConfig::default() })
}

impl Stage {
    fn run(self, folder: &Path, rows: usize) -> Result<()> {
        let (published, imported, graph) = (folder.join("step_1"), folder.join("imported"), folder.join("step.onnx"));
        let started = Instant::now();
        let what = match self {
            Self::Make => make(&published, rows)?,
            Self::Import => import(&published, &imported)?,
            Self::Publish => {
                publish(&Checkpoint::open(&imported)?, &folder.join("published"), ForwardDtype::BFloat16)?;
                "copied as bfloat16".to_owned()
            }
            Self::Export => export(&imported, &graph)?,
            Self::Run => run(&imported, &graph)?,
        };
        let name = self.to_possible_value().context("stages have names")?;
        println!("| {} | {:.1} | {} | {what} |", name.get_name(), started.elapsed().as_secs_f64(), peak_memory()?);
        Ok(())
    }
}

/// Largest resident set of this process so far, in MiB.
fn peak_memory() -> Result<u64> {
    Ok(peak_memory_bytes().context("only Linux tells how much memory was held")? >> 20)
}

/// Writes what `torch.save(state_dict)` writes: a zip archive of a pickle and one uncompressed entry per tensor.
fn make(path: &Path, rows: usize) -> Result<String> {
    let dims = ModelDims { vocab_size: 12, seq_len: 900, num_puzzle_identifiers: rows, sizes: None };
    let specs = arch().parameter_specs(&dims)?;
    let mut zip = ZipArchiveWriter::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
    entry(&mut zip, "step_1/data.pkl", |out| out.write_all(&pickle(&specs)))?;
    entry(&mut zip, "step_1/byteorder", |out| out.write_all(b"little"))?;
    for (key, spec) in specs.iter().enumerate() {
        entry(&mut zip, &format!("step_1/data/{key}"), |out| write_values(out, spec))?;
    }
    entry(&mut zip, "step_1/version", |out| out.write_all(b"3\n"))?;
    zip.finish()?.flush()?;
    let bytes = std::fs::metadata(path)?.len();
    Ok(format!("{bytes} bytes, {} tensors, table {rows} x 512", specs.len()))
}

fn entry<W: Write>(
    zip: &mut ZipArchiveWriter<W>,
    name: &str,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let (mut entry, config) = zip.new_file(name).compression_method(CompressionMethod::STORE).start()?;
    let mut writer = config.wrap(&mut entry);
    fill(&mut writer)?;
    let (_, descriptor) = writer.finish()?;
    entry.finish(descriptor)?;
    Ok(())
}

/// Row by row: each row of the table is another, the rest is drawn as for training.
fn write_values(out: &mut dyn Write, spec: &ParameterSpec) -> std::io::Result<()> {
    if spec.kind != ParameterKind::PuzzleTable {
        let values = Initializer::new(1).draw(spec).into_iter();
        // Initial states are stored in the type that the model computes in: the upper half of a float32.
        let skipped = if spec.kind == ParameterKind::Buffer { 2 } else { 0 };
        let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes().into_iter().skip(skipped)).collect();
        return out.write_all(&bytes);
    }
    let mut state = 1_u64;
    let mut row = Vec::with_capacity(spec.shape[1] * 4);
    for _ in 0..spec.shape[0] {
        row.clear();
        for _ in 0..spec.shape[1] {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            row.extend(((state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0).to_le_bytes());
        }
        out.write_all(&row)?;
    }
    Ok(())
}

/// An `OrderedDict` of contiguous tensors under the reference's names, in pickle's protocol 2.
fn pickle(specs: &[ParameterSpec]) -> Vec<u8> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(b'X');
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.bytes());
    };
    let integer = |out: &mut Vec<u8>, value: usize| {
        out.push(b'J');
        out.extend((value as i32).to_le_bytes());
    };
    for (key, spec) in specs.iter().enumerate() {
        text(&mut out, &format!("_orig_mod.model.{}", spec.name));
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        let is_buffer = spec.kind == ParameterKind::Buffer;
        out.extend(if is_buffer { &b"ctorch\nBFloat16Storage\n"[..] } else { b"ctorch\nFloatStorage\n" });
        text(&mut out, &key.to_string());
        text(&mut out, "cpu");
        integer(&mut out, spec.element_count());
        out.extend(b"tQ");
        integer(&mut out, 0);
        let strides = (0..spec.shape.len()).map(|dimension| spec.shape[dimension + 1..].iter().product());
        for sizes in [spec.shape.clone(), strides.collect()] {
            out.push(b'(');
            for size in sizes {
                integer(&mut out, size);
            }
            out.push(b't');
        }
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u.");
    out
}

fn import(published: &Path, imported: &Path) -> Result<String> {
    let file = WeightFile::open(published)?;
    let flags = json!({"H_cycles": 3, "L_cycles": 4}).as_object().cloned().unwrap_or_default();
    let inference = infer(&file, &Hints { flags, ..Hints::default() })?;
    let manifest = write_imported(&file, &inference, "synthetic", (WeightsKind::Ema, "none", 1), false, imported)?;
    ensure!(manifest.arch == arch(), "imported as {:?}", manifest.arch);
    Ok(format!("task {}, hashed, checked and written as safetensors", manifest.task))
}

fn export(imported: &Path, graph: &Path) -> Result<String> {
    let options =
        ExportOptions { graph: GraphKind::Step, flavor: Flavor::Fused, precision: Precision::Float32, logits: false };
    let exported = exporter::export(&Checkpoint::open(imported)?, &options)?;
    std::fs::write(graph, &exported.bytes)?;
    Ok(format!("step graph of {} bytes", exported.bytes.len()))
}

/// Two puzzles with the same grid and different identifiers, one step.
fn run(imported: &Path, graph: &Path) -> Result<String> {
    let session = runtime::open(graph, &session_options(0, None))?;
    let metadata = metadata::read(&session)?;
    let embeddings = PuzzleEmbeddings::of(Arc::new(Checkpoint::open(imported)?));
    let mut model = OnnxStepModel::new(session, &metadata, embeddings);
    let grid: Vec<i64> = (0..model.seq_len() as i64).map(|cell| 2 + cell % 10).collect();
    let identifiers = [0, model.num_puzzle_identifiers() - 1];
    let batch =
        StepBatch { tokens: &grid.repeat(2), carried: &[None; 2], puzzle_identifiers: &identifiers, noise: &[] };
    let stepping = Instant::now();
    let outcome = model.step(&batch)?;
    let differing = (0..grid.len()).filter(|&cell| outcome.answers[cell] != outcome.answers[grid.len() + cell]).count();
    ensure!(differing > 0, "the puzzle embedding has no effect");
    Ok(format!(
        "a step of two rows in {:.2} s; {differing} of 900 predictions differ between identifiers {identifiers:?}",
        stepping.elapsed().as_secs_f64()
    ))
}
