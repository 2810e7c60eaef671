//! Settings of the training run behind an adaptation: those of the model it begins with, defaults that were found to adapt
//! well, and the user's own, in this order. Owns the defaults that do not depend on the number of steps; leaves the
//! others to [`super::plan`].

use models::{ArchitectureConfig, Mixer};
use serde_json::{Value, json};

use super::AdaptRequest;
use super::base::Base;
use super::folder;
use crate::TrainError;
use crate::config::{Override, PretrainConfig};

/// Keys that an adaptation sets itself.
const OWN: [&str; 7] =
    ["data_paths", "load_checkpoint", "checkpoint_path", "max_steps", "seed", "epochs", "mean_puzzle_emb"];

/// For every model. The rates are those that were found on published weights; the batch is what a processor computes in
/// reasonable time, and a step of so few rows moves the trunk as it should at the lower of the published rates.
fn common() -> Vec<(&'static str, Value)> {
    vec![
        ("global_batch_size", json!(32)),
        ("lr", json!(1e-4)),
        ("lr_min_ratio", json!(0.1)),
        ("weight_decay", json!(0.1)),
        ("puzzle_emb_lr", json!(1e-2)),
        ("ema", json!(true)),
        ("eval_count", json!(0)),
        ("checkpoint_interval", json!(200)),
        ("log_interval", json!(10)),
    ]
}

/// For small models of local mixing.
fn local() -> Vec<(&'static str, Value)> {
    vec![
        ("arch.loss.loss_type", json!("softmax_cross_entropy")),
        ("optimizer", json!("adamw")),
        ("beta2", json!(0.98)),
        ("lr", json!(5e-4)),
        ("grad_clip", json!(1.0)),
        ("q_loss_weight", json!(0.1)),
        ("carried_batches", json!(4)),
    ]
}

/// The small model that begins with nothing.
fn scratch() -> Vec<(&'static str, Value)> {
    vec![
        ("arch.mixer", json!("local")),
        ("arch.hidden_size", json!(64)),
        ("arch.expansion", json!(3)),
        ("arch.forward_dtype", json!("float32")),
        ("arch.H_cycles", json!(1)),
        ("arch.L_cycles", json!(3)),
        ("arch.L_layers", json!(2)),
        ("arch.halt_max_steps", json!(8)),
        ("arch.puzzle_emb_ndim", json!(64)),
        ("lr", json!(1e-3)),
    ]
}

/// The run's settings but for those that follow from the number of steps.
///
/// # Errors
/// When one of the user's is unknown or impossible, or one that an adaptation sets itself.
pub(super) fn resolve(request: &AdaptRequest, base: &Base) -> Result<PretrainConfig, TrainError> {
    if let Some(own) = request.overrides.iter().find(|change| OWN.contains(&change.key.as_str())) {
        let problem = "is set by adapt itself; use --tasks, --checkpoint, --output, --steps and --seed";
        return Err(TrainError::setting(&own.key, problem));
    }
    let mut settings = common();
    let is_local = base.arch().is_none_or(|arch| arch.mixer() == Mixer::Local);
    if is_local {
        settings.extend(local());
    }
    match base.arch() {
        Some(_) => settings.extend(base.loss_type().map(|loss| ("arch.loss.loss_type", json!(loss)))),
        None => settings.extend(scratch()),
    }
    let mut overrides = base.arch().map(architecture).unwrap_or_default();
    overrides.extend(settings.into_iter().map(|(key, value)| Override { key: key.to_owned(), value }));
    let place = |path: std::path::PathBuf| json!(path);
    let mut own = vec![
        ("data_paths", json!([folder::data(&request.output)])),
        ("checkpoint_path", place(folder::run(&request.output))),
        ("seed", json!(request.seed)),
    ];
    if let Some((directory, _)) = base.identity() {
        own.extend([("load_checkpoint", json!(directory)), ("mean_puzzle_emb", json!(true))]);
    }
    overrides.extend(own.into_iter().map(|(key, value)| Override { key: key.to_owned(), value }));
    overrides.extend(request.overrides.iter().cloned());
    PretrainConfig::resolve(&[], &overrides)
}

/// Settings that give this architecture, whatever it is.
fn architecture(arch: &ArchitectureConfig) -> Vec<Override> {
    let fields = serde_json::to_value(arch).unwrap_or_default();
    let fields = fields.as_object().into_iter().flatten().filter(|(key, _)| *key != "name");
    let name = Override { key: "arch".to_owned(), value: json!(arch.name()) };
    let fields = fields.map(|(key, value)| Override { key: format!("arch.{key}"), value: value.clone() });
    std::iter::once(name).chain(fields).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_is_what_its_settings_say() {
        for name in ArchitectureConfig::NAMES {
            let default = ArchitectureConfig::default_of(name).unwrap();
            let mut changed = serde_json::to_value(&default).unwrap();
            // Whatever is a number in this architecture, but for the one that must divide another.
            for (field, value) in changed.as_object_mut().unwrap() {
                match value {
                    Value::Number(number) if field.ends_with("_cycles") || field.ends_with("_layers") => {
                        *value = json!(number.as_u64().unwrap() + 1);
                    }
                    _ if field == "hidden_size" => *value = json!(64),
                    _ if field == "puzzle_emb_ndim" => *value = json!(96),
                    _ if field == "halt_max_steps" => *value = json!(3),
                    _ if field == "rms_norm_eps" => *value = json!(1e-6),
                    _ => {}
                }
            }
            let changed: ArchitectureConfig = serde_json::from_value(changed).unwrap();
            assert_ne!(changed, default, "{name}");
            for arch in [default, changed] {
                let mut overrides = architecture(&arch);
                overrides.push("data_paths=[data]".parse().unwrap());
                assert_eq!(PretrainConfig::resolve(&[], &overrides).unwrap().arch, arch, "{name}");
            }
        }
    }
}
