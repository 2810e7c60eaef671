//! `manifest.json`: what a checkpoint's weights are and where they come from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::InferenceDefaults;
use crate::{ArchitectureConfig, ModelDims, ModelError};

/// Version of the manifest's layout that this code writes and reads.
const FORMAT_VERSION: u32 = 1;
/// A manifest is a page of text; whatever is larger is none.
const MAX_BYTES: u64 = 1 << 20;

/// Which of the trainer's two sets of weights a checkpoint holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightsKind {
    /// Exponential moving average over the training steps.
    Ema,
    /// As the optimizer left them.
    Raw,
}

/// What a checkpoint's weights are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout of this file.
    pub format_version: u32,
    /// Name and config of the architecture.
    pub arch: ArchitectureConfig,
    /// Sizes that come from the data.
    #[serde(flatten)]
    pub dims: ModelDims,
    /// What the tokens mean: `sudoku` (9×9), `sudoku-4x4` and so on, `maze` or `arc`.
    pub task: String,
    /// The data it was trained on, in words or as the training config named it.
    pub dataset: String,
    /// Optimizer steps taken.
    pub step: u64,
    /// EMA or raw weights.
    pub weights: WeightsKind,
    /// Commit of the code that trained it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// Results of the last evaluation, by metric name.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// Where the weights come from, if they were not trained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportRecord>,
    /// The inference policy that was measured for these weights; `None` where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<InferenceDefaults>,
}

/// The file that imported weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRecord {
    /// File, or repository, file and revision.
    pub source: String,
    /// Hex sha256 of that file.
    pub sha256: String,
    /// For each setting, where its value comes from.
    pub settings: BTreeMap<String, String>,
}

impl Manifest {
    /// A manifest of the current format without metrics.
    pub fn new(arch: ArchitectureConfig, dims: ModelDims, task: impl Into<String>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            arch,
            dims,
            task: task.into(),
            dataset: String::new(),
            step: 0,
            weights: WeightsKind::Raw,
            git_commit: None,
            metrics: BTreeMap::new(),
            import: None,
            inference: None,
        }
    }

    /// Reads and validates `path`.
    ///
    /// # Errors
    /// When the file is missing, too large, no manifest, of a newer format, or describes an impossible model.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let mut text = String::new();
        File::open(path)
            .map_err(ModelError::io(
                path,
                "cannot open; a checkpoint is a folder with manifest.json and model.safetensors",
            ))?
            .take(MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(ModelError::io(path, "cannot read"))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(ModelError::format(path, format!("is larger than {MAX_BYTES} bytes; this is not a manifest")));
        }
        let version = serde_json::from_str::<Versioned>(&text).map_err(|e| ModelError::format(path, e.to_string()))?;
        if version.format_version != FORMAT_VERSION {
            return Err(ModelError::format(
                path,
                format!(
                    "format_version is {}, this program reads {FORMAT_VERSION}; use the release that wrote it",
                    version.format_version
                ),
            ));
        }
        let manifest: Self = serde_json::from_str(&text).map_err(|e| ModelError::format(path, e.to_string()))?;
        manifest.arch.validate(&manifest.dims).map_err(|e| ModelError::format(path, e.to_string()))?;
        if let Some(problem) = manifest.inference.as_ref().and_then(InferenceDefaults::problem) {
            return Err(ModelError::format(path, problem));
        }
        Ok(manifest)
    }

    /// The file's content: indented JSON, fields in the order of this struct.
    ///
    /// # Panics
    /// Never: a manifest holds only what JSON can say.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a manifest holds only strings, numbers and maps");
        text.push('\n');
        text
    }
}

#[derive(Deserialize)]
struct Versioned {
    format_version: u32,
}
