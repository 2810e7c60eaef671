//! All keys of a run with their defaults, and building the settings out of a tree of them, so that a wrong value is reported
//! under its key.

use models::ArchitectureConfig;
use serde_json::{Map, Value, json};

use super::PretrainConfig;
use crate::TrainError;
use crate::generator::Generator;

/// All keys with their defaults under the architecture of `arch`: what may be set at all.
pub(super) fn defaults(arch: &ArchitectureConfig) -> Value {
    let arch = ArchitectureConfig::default_of(arch.name()).expect("the name of an architecture");
    let follows_hidden_size = arch.puzzle_emb_ndim() > 0;
    let mut defaults = PretrainConfig { arch, ..PretrainConfig::default() }.to_tree();
    if follows_hidden_size {
        defaults["arch"]["puzzle_emb_ndim"] = Value::Null;
    }
    defaults
}

/// Settings that a structured mixer has one value for, where they stand at another one's default.
pub(super) fn leave_no_choice(root: &mut Map<String, Value>) {
    let Some(arch) = root.get_mut("arch").and_then(Value::as_object_mut) else { return };
    let mixer = arch.get("mixer").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !matches!(mixer.as_str(), "units" | "local") {
        return;
    }
    arch.insert("pos_encodings".into(), json!("none"));
    arch.insert("q_head_input".into(), json!("mean"));
    // Null is the default, as wide as the model: few puzzles of these mixers have an embedding.
    if mixer == "units" || arch.get("puzzle_emb_ndim").is_none_or(Value::is_null) {
        arch.insert("puzzle_emb_ndim".into(), json!(0));
    } else {
        arch.insert("puzzle_emb_len".into(), json!(1));
    }
}

/// The settings of a tree; a wrong value is reported under its full key.
pub(super) fn from_value(root: &Value) -> Result<PretrainConfig, TrainError> {
    // Which kind of table these are stands in themselves: where it goes wrong inside is lost when they are read as a part.
    for (section, build) in [
        ("arch", check::<ArchitectureConfig> as fn(&Map<String, Value>) -> _),
        ("generator", check::<Generator> as fn(&Map<String, Value>) -> _),
    ] {
        if let Value::Object(values) = &root[section]
            && let Err((key, problem)) = build(values)
        {
            return Err(TrainError::setting(format!("{section}.{key}"), problem));
        }
    }
    serde_path_to_error::deserialize(root).map_err(|error| {
        let path = error.path().to_string();
        let key = path.split(['.', '[']).next().filter(|key| root.get(*key).is_some());
        let Some(key) = key else { return TrainError::setting("config", error.inner().to_string()) };
        TrainError::setting(key, format!("{}: {}", root[key], error.inner()))
    })
}

fn check<T: serde::de::DeserializeOwned>(values: &Map<String, Value>) -> Result<(), (String, String)> {
    let whole = match serde_json::from_value::<T>(Value::Object(values.clone())) {
        Ok(_) => return Ok(()),
        Err(error) => error.to_string(),
    };
    for key in values.keys().filter(|key| *key != "name") {
        let mut without = values.clone();
        without.remove(key);
        if serde_json::from_value::<T>(Value::Object(without)).is_ok() {
            return Err((key.clone(), format!("{}: {whole}", values[key])));
        }
    }
    Err(("name".to_owned(), whole))
}
