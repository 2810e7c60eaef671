//! The recursion study's own YAML (`model`, `training`, `experiments`) as a study of ours. Owns the names of its keys.

use serde_json::{Map, Value, json};

use crate::config::Override;

/// Optimizer steps that stand for one of its epochs where puzzles are generated, which have none.
const STEPS_OF_AN_EPOCH: u64 = 100;

/// Whether a file is of that form.
pub(super) fn is_one(root: &Map<String, Value>) -> bool {
    ["model", "training"].iter().any(|key| root.get(*key).is_some_and(Value::is_object))
}

/// The same study with our keys. Without data, it trains on generated 4×4 Sudoku; `notes` say so, and name keys that mean
/// nothing here.
pub(super) fn translate(
    root: &Map<String, Value>,
    overrides: &[Override],
    notes: &mut Vec<String>,
) -> Result<Map<String, Value>, String> {
    let names_data = |key: &str| ["data_paths", "generator"].iter().any(|data| key.split('.').next() == Some(data));
    let has_data = root.keys().any(|key| names_data(key)) || overrides.iter().any(|change| names_data(&change.key));
    let folders = root.contains_key("data_paths") || overrides.iter().any(|change| change.key == "data_paths");
    let mut shared = Translated::new(!folders);
    // Its models have no embedding of single puzzles.
    shared.settings.insert("arch.puzzle_emb_ndim".into(), json!(0));
    let mut study = Map::new();
    let mut experiments = None;
    for (key, value) in root {
        match (key.as_str(), value) {
            ("model" | "training", Value::Object(table)) => {
                table.iter().for_each(|(key, value)| shared.take(key, value, notes));
            }
            ("experiments", Value::Array(list)) => experiments = Some(list),
            ("name" | "seeds" | "data_paths" | "generator", value) => _ = study.insert(key.clone(), value.clone()),
            ("seed", value) => _ = study.insert("seeds".into(), json!([value])),
            _ => notes.push(format!("`{key}` means nothing here and is left out")),
        }
    }
    if !has_data {
        notes.push(format!(
            "names no data: trains on generated 4x4 Sudoku, an epoch being {STEPS_OF_AN_EPOCH} steps; set data_paths=[FOLDER] for other data"
        ));
        study.insert("generator".into(), json!({"size": 4, "extra_clues": [0, 8]}));
    }
    let list = experiments.ok_or("has no list of experiments")?;
    let listed: Result<Vec<Value>, String> = list.iter().map(|entry| experiment(entry, !folders, notes)).collect();
    study.insert("experiments".into(), Value::Array(listed?));
    study.extend(shared.finish());
    Ok(study)
}

/// One experiment: a name, and keys of model and training beside it or in tables of these names.
fn experiment(entry: &Value, generated: bool, notes: &mut Vec<String>) -> Result<Value, String> {
    let table = entry.as_object().ok_or_else(|| format!("{entry} is not an experiment"))?;
    let mut translated = Translated::new(generated);
    for (key, value) in table {
        match (key.as_str(), value) {
            ("name", value) => _ = translated.settings.insert("name".into(), value.clone()),
            ("model" | "training", Value::Object(table)) => {
                table.iter().for_each(|(key, value)| translated.take(key, value, notes));
            }
            _ => translated.take(key, value, notes),
        }
    }
    Ok(Value::Object(translated.finish()))
}

struct Translated {
    settings: Map<String, Value>,
    epochs: Option<u64>,
    /// Whether puzzles are generated, so that epochs are counted in steps.
    generated: bool,
}

impl Translated {
    fn new(generated: bool) -> Self {
        Self { settings: Map::new(), epochs: None, generated }
    }

    fn take(&mut self, key: &str, value: &Value, notes: &mut Vec<String>) {
        let ours = match key {
            "hidden_size" => "arch.hidden_size",
            "num_heads" => "arch.num_heads",
            "num_layers" => "arch.L_layers",
            "n_recursions" => "arch.L_cycles",
            "T_cycles" => "arch.H_cycles",
            "batch_size" => "global_batch_size",
            "learning_rate" => "lr",
            "n_supervision" => "arch.halt_max_steps",
            "warmup_steps" => "lr_warmup_steps",
            "weight_decay" | "grad_clip" | "seed" => key,
            "use_attention" => {
                let uses = value.as_bool().unwrap_or(true);
                self.settings.insert("arch.mlp_t".into(), json!(!uses));
                self.settings.insert("arch.pos_encodings".into(), json!(if uses { "rope" } else { "none" }));
                return;
            }
            "ema_decay" => {
                self.settings.insert("ema".into(), json!(true));
                "ema_rate"
            }
            "num_epochs" => {
                self.epochs = value.as_u64();
                return;
            }
            // Sizes follow from the data, and words change nothing.
            "vocab_size" | "seq_len" | "max_seq_len" | "description" => return,
            _ => {
                notes.push(format!("`{key}` means nothing here and is left out"));
                return;
            }
        };
        self.settings.insert(ours.into(), value.clone());
    }

    /// All settings; an epoch ends with an evaluation.
    fn finish(mut self) -> Map<String, Value> {
        let Some(epochs) = self.epochs else { return self.settings };
        let (length, value, interval, steps) = if self.generated {
            ("max_steps", epochs.saturating_mul(STEPS_OF_AN_EPOCH), "eval_interval_steps", STEPS_OF_AN_EPOCH)
        } else {
            ("epochs", epochs, "eval_interval", 1)
        };
        self.settings.insert(length.into(), json!(value));
        self.settings.insert(interval.into(), json!(steps));
        self.settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_keys_become_ours() {
        let root = json!({
            "model": {"hidden_size": 64, "num_layers": 2, "n_recursions": 6, "T_cycles": 3, "use_attention": false},
            "training": {"batch_size": 32, "learning_rate": 1e-3, "weight_decay": 0.1, "n_supervision": 4,
                         "num_epochs": 5, "grad_clip": 1.0, "ema_decay": 0.99},
            "experiments": [{"name": "deep", "num_layers": 4, "num_epochs": 7}],
            "output_dir": "results"
        });
        let root = root.as_object().unwrap();
        assert!(is_one(root));
        let mut notes = Vec::new();
        let study = translate(root, &[], &mut notes).unwrap();
        for (key, value) in [
            ("arch.hidden_size", json!(64)),
            ("arch.L_layers", json!(2)),
            ("arch.L_cycles", json!(6)),
            ("arch.H_cycles", json!(3)),
            ("arch.mlp_t", json!(true)),
            ("arch.pos_encodings", json!("none")),
            ("global_batch_size", json!(32)),
            ("lr", json!(1e-3)),
            ("weight_decay", json!(0.1)),
            ("arch.halt_max_steps", json!(4)),
            ("grad_clip", json!(1.0)),
            ("ema", json!(true)),
            ("ema_rate", json!(0.99)),
            ("max_steps", json!(500)),
            ("eval_interval_steps", json!(100)),
        ] {
            assert_eq!(study[key], value, "{key}");
        }
        let expected = json!({"name": "deep", "arch.L_layers": 4, "max_steps": 700, "eval_interval_steps": 100});
        assert_eq!(study["experiments"][0], expected);
        assert!(
            notes[0].contains("`output_dir` means nothing here") && notes[1].contains("generated 4x4 Sudoku"),
            "{notes:?}"
        );
        // With data of its own, an epoch is a pass over it.
        let data = ["data_paths=[toy]".parse().unwrap()];
        let study = translate(root, &data, &mut Vec::new()).unwrap();
        assert_eq!((&study["epochs"], &study["eval_interval"]), (&json!(5), &json!(1)));
        assert!(!study.contains_key("generator") && !study.contains_key("max_steps"));
    }
}
