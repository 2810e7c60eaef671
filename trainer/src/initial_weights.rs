//! Weights that a run begins with (`load_checkpoint`): a checkpoint folder, a file of `torch.save` or safetensors, a short
//! name of a published file, or `owner/name/file` of the hub. Owns finding and fitting them; leaves formats to `models`.

use std::path::Path;

use hub::registry::{self, MODELS};
use hub::{FileReference, Hub, HubError};
use models::checkpoint::{MANIFEST_FILE, TableResize, WeightFile};
use models::{
    ArchitectureConfig, Checkpoint, Initializer, MOVE_HEAD, ModelDims, ModelError, ParameterKind, ParameterSpec,
};
use tch::Device;

use crate::TrainError;
use crate::parameters::Parameters;

const KEY: &str = "load_checkpoint";
/// Tensors without a place that a warning lists.
const SHOWN_NAMES: usize = 5;

/// Weights that were found.
#[derive(Debug)]
pub struct InitialWeights {
    weights: Weights,
    name: String,
    /// Whether the puzzle table becomes the mean of its rows even where it would fit.
    mean_table: bool,
}

#[derive(Debug)]
enum Weights {
    Checkpoint(Box<Checkpoint>),
    File(WeightFile),
}

impl InitialWeights {
    /// Finds what `name` names, on disk first; a file of the hub is downloaded into its cache.
    ///
    /// # Errors
    /// When nothing has this name, the hub cannot provide it, or the file does not hold weights.
    pub fn open(name: &Path) -> Result<Self, TrainError> {
        let weights = if name.join(MANIFEST_FILE).is_file() {
            Weights::Checkpoint(Box::new(Checkpoint::open(name)?))
        } else if name.is_file() {
            Weights::File(WeightFile::open(name)?)
        } else if name.is_dir() {
            let problem = "is a folder without manifest.json; name a checkpoint (checkpoints/RUN/last) or the file of weights in it";
            return Err(TrainError::state(name, problem));
        } else {
            Weights::File(WeightFile::open(&from_hub(name)?)?)
        };
        Ok(Self { weights, name: name.display().to_string(), mean_table: false })
    }

    /// The same, with the mean of the old rows in each row of the puzzle table, also where there are as many.
    #[must_use]
    pub fn with_mean_puzzle_table(self, mean_table: bool) -> Self {
        Self { mean_table, ..self }
    }

    /// The tensors of `arch` for data of `dims`. As in the reference, a puzzle table for another number of puzzles begins
    /// with the mean of the old one, and a head for moves that the source lacks is drawn from `seed`; everything else must
    /// fit. `warn` receives what changes.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn parameters(
        &self,
        arch: &ArchitectureConfig,
        dims: &ModelDims,
        device: Device,
        seed: u64,
        mut warn: impl FnMut(&str),
    ) -> Result<Parameters, TrainError> {
        let specs = arch.parameter_specs(dims)?;
        let table = specs.iter().find(|spec| spec.kind == ParameterKind::PuzzleTable);
        let resize = table.map(|table| self.resize(table, dims)).transpose()?.flatten();
        if let Some(resize) = &resize {
            warn(&format!("{}: {resize}", self.name));
        }
        let left_over = self.left_over(&specs);
        if !left_over.is_empty() {
            let names = left_over.iter().take(SHOWN_NAMES).copied().collect::<Vec<_>>().join(", ");
            let count = left_over.len();
            warn(&format!(
                "{}: the model has no place for {count} of its tensors ({names}); they are left out",
                self.name
            ));
        }
        let initializer = Initializer::new(seed);
        let draws_move_head = !self.has_move_head();
        Ok(Parameters::new(arch, dims, device, |spec| match (spec.kind, &resize) {
            (ParameterKind::PuzzleTable, Some(resize)) => Ok(resize.table()),
            _ if draws_move_head && spec.name.starts_with(MOVE_HEAD) => {
                warn(&format!("{}: has no head for moves; it begins with values drawn from the seed", self.name));
                Ok(initializer.draw(spec))
            }
            _ => self.values(spec),
        })?)
    }

    fn has_move_head(&self) -> bool {
        match &self.weights {
            Weights::Checkpoint(checkpoint) => checkpoint.manifest.arch.has_move_head(),
            Weights::File(file) => file.tensors().any(|(name, _)| name.starts_with(MOVE_HEAD)),
        }
    }

    fn values(&self, spec: &ParameterSpec) -> Result<Vec<f32>, ModelError> {
        match &self.weights {
            Weights::Checkpoint(checkpoint) => checkpoint.values(spec),
            Weights::File(file) => {
                file.check(spec)?;
                file.values(&spec.name)
            }
        }
    }

    fn resize(&self, table: &ParameterSpec, dims: &ModelDims) -> Result<Option<TableResize>, ModelError> {
        let rows = dims.num_puzzle_identifiers;
        match &self.weights {
            Weights::Checkpoint(checkpoint) if !self.mean_table => checkpoint.resize_puzzle_table(rows),
            Weights::File(file) if !self.mean_table => file.resize_puzzle_table(&table.name, rows),
            Weights::Checkpoint(checkpoint) => checkpoint.mean_puzzle_table(rows),
            Weights::File(file) => file.mean_puzzle_table(&table.name, rows).map(Some),
        }
    }

    /// Names of a file's tensors that are none of `specs`, without tables of angles that every model makes for itself.
    fn left_over(&self, specs: &[ParameterSpec]) -> Vec<&str> {
        let Weights::File(file) = &self.weights else { return Vec::new() };
        let has_place = |name: &str| specs.iter().any(|spec| spec.name == name) || name.contains("rotary_emb.");
        file.tensors().map(|(name, _)| name).filter(|name| !has_place(name)).collect()
    }
}

fn from_hub(name: &Path) -> Result<std::path::PathBuf, TrainError> {
    let text = name.to_string_lossy();
    let refused = |error: HubError| TrainError::setting(KEY, error.to_string());
    let reference = match registry::model(&text) {
        Some(entry) => entry.reference().map_err(refused)?,
        None if text.starts_with(['/', '.']) || text.split('/').count() < 3 => {
            let known = MODELS.iter().map(|model| model.name).collect::<Vec<_>>().join(", ");
            let problem = format!(
                "{text} is neither a checkpoint folder nor a file of weights, no short name of a published one ({known}), and no owner/name/file of the hub"
            );
            return Err(TrainError::setting(KEY, problem));
        }
        None => text.parse::<FileReference>().map_err(refused)?,
    };
    let hub = Hub::from_env().map_err(refused)?;
    hub.file(&reference, |_, _| ()).map_err(refused)
}
