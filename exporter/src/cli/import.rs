//! `exporter import`: weights of the reference or a fork of it in, a checkpoint folder out, and a table that says where
//! every setting came from.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use files::progress::download_bar;
use hub::Hub;
use models::import::Setting;
use models::import::published::{self, ImportOptions, ImportedCheckpoint, PublishedWeights};
use serde_json::Value;

/// What to import, what is known about it, and where to.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// File of torch.save or safetensors, short name of a published one (see `exporter registry`), or
    /// owner/name/file[@revision] on the hub.
    #[arg(long, value_name = "FILE|NAME|OWNER/NAME/FILE")]
    weights: String,

    /// Folder to write. Default: checkpoints/ and the name of the weights.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Insist on this architecture; otherwise the tensors' names say it.
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,

    /// A setting that the file does not hold, such as `L_cycles=4`, `num_heads=8`, `seq_len=81`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,

    /// The training run's config, instead of the `all_config.yaml` beside the weights.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Leave the config beside the weights alone.
    #[arg(long, conflicts_with = "config")]
    no_config: bool,

    /// Which state dict of a file that holds several.
    #[arg(long, value_name = "KEY")]
    state_dict: Option<String>,

    /// Leave out tensors that the model has no use for, instead of refusing the file.
    #[arg(long)]
    drop_left_over: bool,

    /// Replace the checkpoint at --out.
    #[arg(long)]
    overwrite: bool,
}

/// Finds, checks and writes the weights, and prints the table.
pub(crate) fn run(arguments: &ImportArguments) -> Result<()> {
    let options = options(arguments)?;
    let hub = Hub::from_env()?;
    let (bar, on_bytes) = download_bar(&format!("fetching {}", arguments.weights));
    let weights = published::find(&arguments.weights, &options, &hub, on_bytes)?;
    bar.finish_and_clear();
    let directory = arguments.out.clone().unwrap_or_else(|| PathBuf::from("checkpoints").join(&weights.name));
    if !weights.file.opaque().is_empty() {
        let classes = weights.file.opaque().join(", ");
        eprintln!("warning: the file also names {classes} in Python; nothing of that is read or executed");
    }
    let imported = published::write(&weights, &options, &directory)?;
    print!("{}", report(&weights, &imported));
    Ok(())
}

fn options(arguments: &ImportArguments) -> Result<ImportOptions> {
    let mut options = ImportOptions {
        config: arguments.config.clone(),
        no_config: arguments.no_config,
        state_dict: arguments.state_dict.clone(),
        drop_left_over: arguments.drop_left_over,
        overwrite: arguments.overwrite,
        ..ImportOptions::default()
    };
    for setting in &arguments.settings {
        let (key, value) = setting.split_once('=').with_context(|| format!("--set {setting}: expected KEY=VALUE"))?;
        if key == "name" {
            bail!("--set {setting}: the architecture is chosen with --arch");
        }
        if options.settings.insert(key.trim().to_owned(), parsed(value.trim())).is_some() {
            bail!("--set {setting}: {key} is set twice");
        }
    }
    if let Some(arch) = &arguments.arch {
        options.settings.insert("name".into(), Value::String(arch.clone()));
    }
    Ok(options)
}

/// A value as YAML and Python write it.
fn parsed(text: &str) -> Value {
    match text {
        "True" => Value::Bool(true),
        "False" => Value::Bool(false),
        _ => match serde_json::from_str(text) {
            Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
            _ => Value::String(text.to_owned()),
        },
    }
}

fn report(weights: &PublishedWeights, imported: &ImportedCheckpoint) -> String {
    let settings = &imported.inference.settings;
    let shown = |setting: &Setting| setting.value.as_str().map_or_else(|| setting.value.to_string(), str::to_owned);
    let field_width = settings.iter().map(|setting| setting.field.len()).max().unwrap_or(0);
    let value_width = settings.iter().map(|setting| shown(setting).len()).max().unwrap_or(0);
    let mut lines = vec![format!("wrote {}", imported.directory.display()), format!("  source  {}", weights.source)];
    if let Some(import) = &imported.manifest.import {
        lines.push(format!("  sha256  {}", import.sha256));
    }
    lines.push(String::new());
    lines.extend(settings.iter().map(|setting| {
        format!("  {:field_width$}  {:value_width$}  {}", setting.field, shown(setting), setting.origin)
    }));
    let assumed: Vec<&str> =
        settings.iter().filter(|setting| setting.origin.is_assumed()).map(|setting| setting.field.as_str()).collect();
    if !assumed.is_empty() {
        lines.push(format!("\nwarning: nothing says {}; if they differ, say so with --set", assumed.join(", ")));
    }
    lines.join("\n") + "\n"
}
