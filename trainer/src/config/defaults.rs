//! All keys of a run with their defaults, and building the settings out of a tree of them, so that a wrong value is reported
//! under its key.

use models::ArchitectureConfig;
use serde_json::{Map, Value, json};

use super::PretrainConfig;
use crate::TrainError;
use crate::generator::Generator;
use crate::losses::{MOVE_LOSS_WEIGHT, Q_LOSS_WEIGHT};

/// All keys with their defaults under the architecture of `arch`: what may be set at all.
pub(super) fn defaults(arch: &ArchitectureConfig) -> Value {
    let default = ArchitectureConfig::default_of(arch.name()).expect("the name of an architecture");
    let follows_hidden_size = default.puzzle_emb_ndim() > 0;
    let mut arch = serde_json::to_value(default).expect("plain JSON types");
    if follows_hidden_size {
        arch["puzzle_emb_ndim"] = Value::Null;
    }
    arch["loss"] = json!({"name": "losses@ACTLossHead", "loss_type": "stablemax_cross_entropy"});
    let mut generator = Generator::defaults();
    generator.insert("weights".into(), json!([]));
    let mut defaults = json!({
        "arch": arch,
        "data_paths": [],
        "data_paths_test": [],
        "data_weights": [],
        "generator": generator,
        "global_batch_size": 768,
        "micro_batch_size": null,
        "carried_batches": 1,
        "epochs": 100_000,
        "max_steps": null,
        "q_loss_weight": Q_LOSS_WEIGHT,
        "move_loss_weight": MOVE_LOSS_WEIGHT,
        "lr": 1e-4,
        "lr_min_ratio": 1.0,
        "lr_warmup_steps": 2000,
        "optimizer": "adam_atan2",
        "weight_decay": 0.1,
        "beta1": 0.9,
        "beta2": 0.95,
        "grad_clip": null,
        "puzzle_emb_lr": 1e-2,
        "puzzle_emb_weight_decay": 0.1,
        "ema": false,
        "ema_rate": 0.999,
        "freeze_weights": false,
        "freeze_weights_steps": 0,
        "mean_puzzle_emb": false,
        "seed": 0,
        "project_name": null,
        "run_name": null,
        "use_wandb": false,
        "checkpoint_path": null,
        "load_checkpoint": null,
        "device": "cpu",
        "cuda_graphs": false,
        "threads": 0,
        "collective_timeout": 600,
    });
    let table = defaults.as_object_mut().expect("the defaults are a table");
    table.extend(evaluation_defaults());
    defaults
}

/// What a run measures, writes and keeps, and when.
fn evaluation_defaults() -> Map<String, Value> {
    let defaults = json!({
        "evaluators": [],
        "eval_interval": 10_000,
        "min_eval_interval": 0,
        "eval_interval_steps": null,
        "eval_count": null,
        "eval_save_outputs": [],
        "log_recursion": false,
        "log_latent_stats": false,
        "log_principal_components": false,
        "probe_depth": 32,
        "probe_rows": 64,
        "checkpoint_every_eval": true,
        "checkpoint_interval": 500,
        "log_interval": 50,
    });
    defaults.as_object().cloned().unwrap_or_default()
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

/// Deserialises table by table, so that a wrong value is reported under its full key.
pub(super) fn serde_path(root: &Value) -> Result<PretrainConfig, TrainError> {
    let table = root.as_object().expect("the root is a table");
    for (section, build) in [
        ("arch", check::<ArchitectureConfig> as fn(&Map<String, Value>) -> _),
        ("generator", check::<Generator> as fn(&Map<String, Value>) -> _),
    ] {
        if let Some(Value::Object(values)) = table.get(section)
            && let Err((key, problem)) = build(values)
        {
            return Err(TrainError::setting(format!("{section}.{key}"), problem));
        }
    }
    serde_json::from_value(root.clone()).map_err(|whole| {
        // Name the first key that is at fault on its own: replace the others by their defaults, one at a time.
        let defaults = defaults(&ArchitectureConfig::Trm(models::TrmConfig::default()));
        for (key, value) in table {
            let mut single = root.clone();
            single[key] = defaults[key].clone();
            if key != "arch" && key != "generator" && serde_json::from_value::<PretrainConfig>(single).is_ok() {
                return TrainError::setting(key, format!("{value}: {whole}"));
            }
        }
        TrainError::setting("config", whole.to_string())
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
