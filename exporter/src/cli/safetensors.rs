//! `exporter safetensors`: a checkpoint's weights under the reference's names, for `load_state_dict` in Python.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use models::Checkpoint;
use models::checkpoint::{REFERENCE_PREFIX, write_state_dict};

/// What to write, and where to.
#[derive(Debug, Args)]
pub(crate) struct SafetensorsArguments {
    /// Folder with manifest.json and model.safetensors.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,

    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// What stands before each name: `_orig_mod.model.` for the reference's compiled model, `model.` without
    /// torch.compile, nothing (`--prefix ""`) for the architecture alone.
    #[arg(long, default_value = REFERENCE_PREFIX)]
    prefix: String,

    /// Rows of the puzzle table, for fine-tuning on other data. Where they are not the checkpoint's, every row becomes
    /// the mean of the old ones, as in the reference.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    num_puzzle_identifiers: Option<u32>,
}

/// Writes the file and says what is in it.
pub(crate) fn run(arguments: &SafetensorsArguments) -> Result<()> {
    let checkpoint = Checkpoint::open(&arguments.checkpoint)?;
    let rows = arguments.num_puzzle_identifiers.map(|rows| rows as usize);
    if let Some(resize) = write_state_dict(&checkpoint, &arguments.out, &arguments.prefix, rows)? {
        eprintln!("warning: {resize}");
    }
    let tensors = checkpoint.parameter_specs().len();
    println!("wrote {}: {tensors} tensors, named {}inner.…", arguments.out.display(), arguments.prefix);
    Ok(())
}
