//! Settings in YAML, as the peers' files have them: Hydra's config groups, its own table, and interpolation.

use std::path::Path;

use serde_json::{Map, Value};

use crate::TrainError;

/// A config of half a megabyte is none.
const MAX_BYTES: usize = 1 << 19;

/// The table of settings in the YAML text of `path`: without `hydra`, with the architecture of `defaults` as `arch.name`,
/// and null for values that follow from another setting.
pub(super) fn read(path: &Path, text: &str) -> Result<Value, TrainError> {
    if text.len() > MAX_BYTES {
        return Err(TrainError::state(path, format!("exceeds the {MAX_BYTES} bytes that settings may have")));
    }
    let document: Value = serde_saphyr::from_str(text).map_err(|error| {
        let first_line = error.to_string().lines().next().unwrap_or_default().to_owned();
        TrainError::state(path, format!("is not YAML ({first_line})"))
    })?;
    let Value::Object(mut table) = document else {
        return Err(TrainError::state(path, "is not a table of settings; write `key: value` lines"));
    };
    table.shift_remove("hydra");
    let group = table.shift_remove("defaults").as_ref().and_then(architecture_of_group).map(str::to_owned);
    if let Some(name) = group {
        match table.entry("arch").or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(arch) => _ = arch.entry("name").or_insert(Value::String(name)),
            _ => return Err(TrainError::state(path, "`arch` is not a table of settings, and `defaults` chooses one")),
        }
    }
    let mut table = Value::Object(table);
    clear_references(&mut table);
    Ok(table)
}

/// `- arch: trm` in Hydra's list of groups.
fn architecture_of_group(defaults: &Value) -> Option<&str> {
    defaults.as_array()?.iter().find_map(|group| group.get("arch")?.as_str())
}

/// `puzzle_emb_ndim: ${.hidden_size}`: what follows from another setting is not set.
fn clear_references(value: &mut Value) {
    match value {
        Value::Object(table) => table.values_mut().for_each(clear_references),
        Value::String(text) if text.starts_with("${") => *value = Value::Null,
        _ => {}
    }
}
