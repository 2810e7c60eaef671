//! Published weights by any name: a file here, a short name of the registry, or `owner/name/file` on the hub.
//! Owns finding the file and what is known about it, and keeping imports in the cache; leaves the hub to `hub` and what
//! the tensors say to the modules beside it.

use std::fs;
use std::path::{Path, PathBuf};

use hub::registry::{self, PublishedModel};
use hub::{FetchError, FileReference, Hub, HubError};
use serde_json::{Map, Value};

use super::{Hints, ImportError, Inference, ReferenceConfig, infer, write_imported};
use crate::checkpoint::{MANIFEST_FILE, WeightFile, WeightsKind};
use crate::{Checkpoint, Manifest, ModelError};

/// The config that the reference leaves beside its checkpoints.
const CONFIG_FILE: &str = "all_config.yaml";

/// Why weights did not become a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The hub did not give the file.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The file is none, or does not fit.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Nothing is called so.
    #[error(
        "{name}: there is no such file here, no such short name ({}), and it is not an owner/name/file of the hub",
        registry::MODELS.iter().map(|model| model.name).collect::<Vec<_>>().join(", ")
    )]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The target is taken.
    #[error("{}: {problem}", path.display())]
    Target {
        /// Where the checkpoint should have gone.
        path: PathBuf,
        /// What is there, and what to do.
        problem: &'static str,
    },
}

impl From<ModelError> for WeightsError {
    fn from(error: ModelError) -> Self {
        Self::Import(error.into())
    }
}

/// What the user adds to a file.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Fields of the architecture, `name`, `seq_len` and `task`, by the user's word.
    pub settings: Map<String, Value>,
    /// A config to read instead of the one beside the weights.
    pub config: Option<PathBuf>,
    /// Whether configs are left alone.
    pub no_config: bool,
    /// Which state dict of a file with several.
    pub state_dict: Option<String>,
    /// Whether tensors may be left out that the model has no use for.
    pub drop_left_over: bool,
    /// Whether a checkpoint that is there may be replaced.
    pub overwrite: bool,
}

/// Weights that were found, and all that is known about them.
#[derive(Debug)]
pub struct PublishedWeights {
    /// The file.
    pub file: WeightFile,
    /// File, or file and revision on the hub.
    pub source: String,
    /// A name for the checkpoint.
    pub name: String,
    /// What is known besides the tensors.
    pub hints: Hints,
    kind: WeightsKind,
    dataset: String,
}

/// A checkpoint that was written.
#[derive(Debug)]
pub struct ImportedCheckpoint {
    /// Its folder.
    pub directory: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// Where each setting came from.
    pub inference: Inference,
}

/// Finds the weights called `name`: a file on disk, a short name, or `owner/name/file[@revision]`. `progress` receives
/// the bytes that are here and their total if that is known.
///
/// # Errors
/// [`WeightsError`] when nothing has this name, the hub cannot provide it, or the file does not hold weights.
pub fn find(
    name: &str,
    options: &ImportOptions,
    hub: &Hub,
    mut progress: impl FnMut(u64, Option<u64>),
) -> Result<PublishedWeights, WeightsError> {
    let path = Path::new(name);
    let entry = registry::model(name);
    let (path, source, entry, config) = if path.is_file() || (path.is_dir() && entry.is_none()) {
        (path.to_owned(), name.to_owned(), None, beside(path))
    } else {
        let reference = match entry {
            Some(entry) => entry.reference()?,
            None if name.starts_with(['/', '.']) || name.split('/').count() < 3 => {
                return Err(WeightsError::Unknown { name: name.to_owned() });
            }
            None => name.parse::<FileReference>()?,
        };
        let entry = entry.or_else(|| registry::model_of(&reference));
        let path = hub.file(&reference, &mut progress)?;
        let config = if options.no_config { None } else { config_on_hub(hub, &reference, entry)? };
        (path, reference.to_string(), entry, config)
    };
    let config = options.config.clone().or(config.filter(|_| !options.no_config));
    let config = config.map(|path| read_config(&path)).transpose()?;
    if let Some(config) = config.as_ref().filter(|_| options.config.is_some()) {
        config.check_settings()?;
    }

    let (ema, dataset) = config.as_ref().map_or((None, None), |config| (config.ema, config.dataset.clone()));
    // Published files are what the reference's recipes save, and those keep a moving average.
    let kind = if ema.unwrap_or(entry.is_some()) { WeightsKind::Ema } else { WeightsKind::Raw };
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(PublishedWeights {
        file: WeightFile::open_state_dict(&path, options.state_dict.as_deref())?,
        source,
        name: entry.map_or(stem, |entry| entry.name.to_owned()),
        hints: Hints { flags: options.settings.clone(), config, registry: entry.map(known) },
        kind,
        dataset: dataset.unwrap_or_default(),
    })
}

/// Writes `weights` as the checkpoint folder `directory`.
///
/// # Errors
/// When the tensors do not make a whole model, the folder is taken, or the disk refuses. Nothing is written then.
pub fn write(
    weights: &PublishedWeights,
    options: &ImportOptions,
    directory: &Path,
) -> Result<ImportedCheckpoint, WeightsError> {
    check_target(directory, options.overwrite)?;
    write_as(infer(&weights.file, &weights.hints)?, weights, options.drop_left_over, directory)
}

/// Writes `weights` as the model of `inference`, over whatever checkpoint is there.
fn write_as(
    inference: Inference,
    weights: &PublishedWeights,
    drop_left_over: bool,
    directory: &Path,
) -> Result<ImportedCheckpoint, WeightsError> {
    let description = (weights.kind, weights.dataset.as_str(), step_of(&weights.source));
    let manifest = write_imported(&weights.file, &inference, &weights.source, description, drop_left_over, directory)?;
    Ok(ImportedCheckpoint { directory: directory.to_owned(), manifest, inference })
}

/// The checkpoint folder of `weights` inside the hub's cache, written there if it is not there yet: the same file with
/// the same settings is imported once.
///
/// # Errors
/// As [`write()`].
pub fn in_cache(weights: &PublishedWeights, hub: &Hub) -> Result<PathBuf, WeightsError> {
    let sha256 = weights.file.sha256()?;
    let inference = infer(&weights.file, &weights.hints)?;
    let directory = hub.cache().join("imported").join(format!("{}-{}", weights.name, &sha256[..16]));
    let same = |checkpoint: &Checkpoint| {
        let manifest = &checkpoint.manifest;
        manifest.import.as_ref().is_some_and(|import| import.sha256 == sha256)
            && (&manifest.arch, &manifest.dims, &manifest.task) == (&inference.arch, &inference.dims, &inference.task)
    };
    if !Checkpoint::open(&directory).is_ok_and(|checkpoint| same(&checkpoint)) {
        check_target(&directory, true)?;
        write_as(inference, weights, false, &directory)?;
    }
    Ok(directory)
}

/// A config beside a local file: the reference's, or one of the same name.
fn beside(weights: &Path) -> Option<PathBuf> {
    [weights.with_file_name(CONFIG_FILE), weights.with_extension("yaml")].into_iter().find(|path| path.is_file())
}

/// The config in the repository: the one that the registry knows, else the reference's beside the file, if it is there.
fn config_on_hub(
    hub: &Hub,
    weights: &FileReference,
    entry: Option<&PublishedModel>,
) -> Result<Option<PathBuf>, WeightsError> {
    let file = match (entry, entry.and_then(|entry| entry.config)) {
        (_, Some(config)) => return Ok(Some(hub.file(&weights.sibling(config)?, |_, _| ())?)),
        (Some(_), None) => return Ok(None),
        (None, None) => weights
            .file()
            .rsplit_once('/')
            .map_or_else(|| CONFIG_FILE.to_owned(), |(folder, _)| format!("{folder}/{CONFIG_FILE}")),
    };
    match hub.file(&weights.sibling(&file)?, |_, _| ()) {
        Ok(path) => Ok(Some(path)),
        // The weights may have come out of the cache: then no config is better than none of both.
        Err(HubError::Fetch { reason, .. })
            if matches!(
                *reason,
                FetchError::NoFile { .. } | FetchError::Offline { .. } | FetchError::NoConnection { .. }
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn read_config(path: &Path) -> Result<ReferenceConfig, ImportError> {
    let config = ReferenceConfig::read(path)?;
    // In the cache the path says little, and in a table it takes much room.
    let origin = path.file_name().map_or(config.origin.clone(), |name| name.to_string_lossy().into_owned());
    Ok(ReferenceConfig { origin, ..config })
}

/// What the registry knows, in the form of hints.
fn known(entry: &PublishedModel) -> (String, Map<String, Value>) {
    let mut fields: Map<String, Value> = entry
        .settings
        .iter()
        .map(|(field, value)| match value {
            registry::Setting::Number(number) => ((*field).to_owned(), (*number).into()),
            registry::Setting::Word(word) => ((*field).to_owned(), (*word).into()),
        })
        .collect();
    fields.insert("task".into(), entry.task.into());
    (entry.name.to_owned(), fields)
}

/// The training step in a name like `step_32550_sudoku@main`; 0 where there is none.
fn step_of(source: &str) -> u64 {
    let digits = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|step| step.parse().ok());
    source.rsplit('/').next().and_then(|name| name.split_once("step_")).and_then(|(_, rest)| digits(rest)).unwrap_or(0)
}

fn check_target(directory: &Path, overwrite: bool) -> Result<(), WeightsError> {
    let refused = |problem| Err(WeightsError::Target { path: directory.to_owned(), problem });
    let occupied = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => directory.exists(),
    };
    match (occupied, directory.join(MANIFEST_FILE).is_file()) {
        (false, _) => Ok(()),
        (true, true) if overwrite => Ok(()),
        (true, true) => refused("there is a checkpoint already; choose another --out, or replace it with --overwrite"),
        (true, false) => refused("is there already and no checkpoint; choose another --out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_out_of_names() {
        assert_eq!(step_of("alphaXiv/trm-model-maze/maze_hard_step_32550@main"), 32_550);
        assert_eq!(step_of("/data/step_7"), 7);
        assert_eq!(step_of("step_x/model.pt"), 0);
    }
}
