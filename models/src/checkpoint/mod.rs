//! A checkpoint is a folder: `model.safetensors` (the weights to use) and `manifest.json` (what they are).
//! Owns reading and writing that folder whole or not at all; leaves the training state that may lie beside the two
//! files to the trainer.

mod host_tensor;
mod inference;
mod layout;
mod manifest;
mod numbers;
mod publish;
mod puzzle_table;
mod safetensors_file;
mod stream;
mod weights;
mod write;

use std::path::{Path, PathBuf};

pub use safetensors::Dtype;

pub use host_tensor::HostTensor;
pub use inference::{InferenceDefaults, Measured, MeasuredInt8, NoiseTarget};
pub use layout::TensorLayout;
pub use manifest::{ImportRecord, Manifest, WeightsKind};
pub use publish::{REFERENCE_PREFIX, publish, publish_with, write_state_dict};
pub use puzzle_table::{PuzzleEmbeddings, TableResize};
pub use stream::{PlannedTensor, TensorSink, stream_tensors};
pub use weights::{RawTensor, WeightFile, WeightFormat};
pub use write::{write, write_folder, write_tensors};

use crate::{ModelError, ParameterSpec};

/// File name of the weights inside a checkpoint.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// File name of the manifest inside a checkpoint.
pub const MANIFEST_FILE: &str = "manifest.json";

/// An opened checkpoint: the manifest in memory, the weights mapped.
#[derive(Debug)]
pub struct Checkpoint {
    /// What the weights are.
    pub manifest: Manifest,
    weights: WeightFile,
    /// Every tensor of the architecture.
    specs: Vec<ParameterSpec>,
    directory: PathBuf,
}

impl Checkpoint {
    /// Opens the folder `directory` and checks that every tensor of the architecture is there in the right shape.
    ///
    /// # Errors
    /// When a file is missing, malformed, or does not fit the manifest's architecture.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, ModelError> {
        let directory = directory.as_ref();
        let manifest = Manifest::read(&directory.join(MANIFEST_FILE))?;
        Self::from_parts(manifest, WeightFile::open(&directory.join(WEIGHTS_FILE))?, directory)
    }

    /// Joins a manifest with weights that lie anywhere, such as a published safetensors file.
    ///
    /// # Errors
    /// When a tensor of the manifest's architecture is missing or has another shape.
    pub fn from_parts(
        manifest: Manifest,
        weights: WeightFile,
        directory: impl Into<PathBuf>,
    ) -> Result<Self, ModelError> {
        let specs = manifest.arch.parameter_specs(&manifest.dims)?;
        specs.iter().try_for_each(|spec| weights.check(spec))?;
        Ok(Self { manifest, weights, specs, directory: directory.into() })
    }

    /// Name, shape and kind of every tensor of the architecture.
    pub fn parameter_specs(&self) -> &[ParameterSpec] {
        &self.specs
    }

    /// The folder it was opened from.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Row-major float32 values of a parameter, whatever type they are stored in.
    ///
    /// # Errors
    /// When the tensor is missing, of another shape, or of a type that is not a float.
    pub fn values(&self, spec: &ParameterSpec) -> Result<Vec<f32>, ModelError> {
        self.weights.check(spec)?;
        self.weights.values(&spec.name)
    }

    /// Hands the values of parameter `name` to `take` in pieces of whole rows, about a megabyte each.
    ///
    /// # Errors
    /// When the tensor is missing, of a type that is not a float, the disk fails, or `take` does.
    pub fn for_each_piece(
        &self,
        name: &str,
        take: impl FnMut(&[f32]) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        self.weights.for_each_piece(name, take)
    }

    /// Hex sha256 of the weight file.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sha256(&self) -> Result<String, ModelError> {
        self.weights.sha256()
    }
}
