//! What to run so that a model learns a task that it does not know. Leaves running it to `datasets` and `trainer`.

use engine::model::ModelCard;
use models::ArchitectureConfig;
use serde_json::Value;

/// The commands, in order, for a task that was saved as `my-task/evaluation/NAME.json` in ARC's own form: a data set of
/// it and its augmentations, further training of the model's weights with a fresh table for them, and a server for the
/// result. Several tasks may lie in the folder, and are better learned together.
pub fn commands(card: &ModelCard) -> [String; 3] {
    let arch = arch_overrides(&card.arch).join(" ");
    [
        "datasets build arc --source-dir my-task --subsets evaluation --num-aug 256 --output-dir data/my-task"
            .to_owned(),
        format!(
            "trainer pretrain data_paths=\"[data/my-task]\" load_checkpoint={} {arch} max_steps=2000 \
             global_batch_size=32 lr=1e-4 lr_warmup_steps=200 puzzle_emb_lr=1e-2 ema=True \
             checkpoint_path=checkpoints/my-task",
            card.name
        ),
        "server --checkpoint checkpoints/my-task/last --arc-data data/my-task".to_owned(),
    ]
}

/// Settings of the trainer that give this architecture: its name and whatever is not the default.
fn arch_overrides(arch: &ArchitectureConfig) -> Vec<String> {
    let fields = |arch: &ArchitectureConfig| match serde_json::to_value(arch) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let default = ArchitectureConfig::default_of(arch.name()).map(|arch| fields(&arch)).unwrap_or_default();
    let mut overrides = vec![format!("arch={}", arch.name())];
    for (key, value) in fields(arch) {
        // The trainer's default follows the hidden size.
        if key != "name" && (key == "puzzle_emb_ndim" || default.get(&key) != Some(&value)) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            overrides.push(format!("arch.{key}={value}"));
        }
    }
    overrides
}
