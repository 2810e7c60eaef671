//! A table of known keys that files and overrides may change but not extend.

use std::path::{Path, PathBuf};

use models::ArchitectureConfig;
use serde_json::Value;

use super::yaml;
use crate::TrainError;

/// Largest share of letters that may differ for a key to be suggested.
const SUGGESTION_SIMILARITY: f64 = 0.75;

/// The tree of all settings.
#[derive(Debug)]
pub(super) struct ConfigTree {
    root: Value,
}

impl ConfigTree {
    pub(super) fn new(root: Value) -> Self {
        Self { root }
    }

    pub(super) fn into_value(self) -> Value {
        self.root
    }

    /// Sets every key of a file.
    pub(super) fn merge_file(&mut self, file: &ConfigFile) -> Result<(), TrainError> {
        self.merge("", &file.content).map_err(|error| match error {
            TrainError::Setting { key, problem } => TrainError::state(&file.path, format!("{key}: {problem}")),
            other => other,
        })
    }

    /// Sets `key` (`arch.mlp_t`) to `value`.
    pub(super) fn set(&mut self, key: &str, value: Value) -> Result<(), TrainError> {
        if architecture_name(key, &value).is_some() {
            // The tree was made for the architecture that the last of these settings chooses.
            return Ok(());
        }
        let known = self.keys();
        let mut slot = &mut self.root;
        for part in key.split('.') {
            slot = match slot.as_object_mut().and_then(|table| table.get_mut(part)) {
                Some(next) => next,
                None => return Err(unknown(key, &known)),
            };
        }
        if slot.is_object() {
            return Err(TrainError::setting(key, "is a group of keys; set its members (arch.hidden_size=128)"));
        }
        *slot = value;
        Ok(())
    }

    fn merge(&mut self, prefix: &str, value: &Value) -> Result<(), TrainError> {
        let Some(table) = value.as_object() else { return self.set(prefix, value.clone()) };
        for (key, value) in table {
            let full = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            self.merge(&full, value)?;
        }
        Ok(())
    }

    fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        collect_keys("", &self.root, &mut keys);
        keys
    }
}

/// A TOML or YAML file of settings.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    content: Value,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self, TrainError> {
        Ok(Self { path: path.to_owned(), content: read_settings(path)? })
    }

    pub(super) fn architecture_name(&self) -> Option<&str> {
        let content = &self.content;
        let arch = content.get("arch");
        let name = content.get("arch.name").or_else(|| arch?.get("name"));
        architecture_name("arch", arch.unwrap_or(&Value::Null)).or_else(|| architecture_name("arch.name", name?))
    }
}

/// The settings in a file of TOML, or of YAML or JSON by its extension.
///
/// # Errors
/// When it cannot be read or is malformed.
pub fn read_settings(path: &Path) -> Result<Value, TrainError> {
    let text = std::fs::read_to_string(path).map_err(TrainError::io(path))?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    if matches!(extension, Some("yaml" | "yml" | "json")) {
        return yaml::read(path, &text);
    }
    let table: toml::Table = toml::from_str(&text).map_err(|e| TrainError::state(path, e.to_string()))?;
    serde_json::to_value(table).map_err(|e| TrainError::state(path, e.to_string()))
}

/// The architecture that a setting chooses: `arch=hrm` (Hydra's config group `config/arch/hrm.yaml`), or
/// `arch.name=recursive_reasoning.hrm@HierarchicalReasoningModel_ACTV1` as the reference's files have it.
pub(super) fn architecture_name<'v>(key: &str, value: &'v Value) -> Option<&'v str> {
    match key {
        "arch" => value.as_str(),
        "arch.name" => {
            let module = value.as_str()?.split('@').next()?;
            module.rsplit('.').next()
        }
        _ => None,
    }
}

/// Settings of a variant of an architecture, by their keys.
pub(super) type VariantSettings = Vec<(&'static str, Value)>;

/// A name that stands for an architecture and some of its settings: `trm_mlp` is TRM that mixes positions with an MLP.
pub(super) fn variant_of(name: &str) -> Option<(&'static str, VariantSettings)> {
    (name == "trm_mlp").then(|| ("trm", vec![("arch.mlp_t", true.into()), ("arch.pos_encodings", "none".into())]))
}

pub(super) fn no_architecture(name: &str) -> TrainError {
    TrainError::setting(
        "arch",
        format!("unknown architecture `{name}`; expected one of {}", ArchitectureConfig::NAMES.join(", ")),
    )
}

fn collect_keys(prefix: &str, value: &Value, keys: &mut Vec<String>) {
    match value.as_object() {
        Some(table) => {
            for (key, value) in table {
                let full = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                collect_keys(&full, value, keys);
            }
        }
        None => keys.push(prefix.to_owned()),
    }
}

fn unknown(key: &str, known: &[String]) -> TrainError {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(key, candidate), candidate))
        .chain(known.iter().filter_map(|candidate| {
            // `mlp_t` for `arch.mlp_t`: the group was forgotten.
            let (_, last) = candidate.rsplit_once('.')?;
            Some((strsim::jaro_winkler(key, last), candidate))
        }))
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match nearest {
        Some((similarity, candidate)) if similarity >= SUGGESTION_SIMILARITY => {
            TrainError::setting(key, format!("unknown key; did you mean `{candidate}`?"))
        }
        _ => TrainError::setting(key, "unknown key; `trainer pretrain --show-config` lists them"),
    }
}
