//! The `all_config.yaml` that the reference's training leaves beside its checkpoints, and JSON of the same content.
//! Bounded: no more is read than such a file ever has, and aliases cannot make more of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::ImportError;
use crate::ArchitectureConfig;

/// A config is two pages of text.
const MAX_BYTES: u64 = 1 << 18;

/// The part of a training config that describes the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceConfig {
    /// Name of the file, for messages.
    pub origin: String,
    /// Our name of the architecture (`trm`), if the file names one.
    pub arch: Option<String>,
    /// Fields of the architecture, and `seq_len` and `vocab_size` where the file has them.
    pub fields: Map<String, Value>,
    /// Where the run's data came from.
    pub dataset: Option<String>,
    /// Whether the run kept an exponential moving average, which is what it saves then.
    pub ema: Option<bool>,
}

/// Changes of a key that are taken for a slip of the pen.
const MAX_SLIPS: usize = 2;
/// Shorter keys are like each other by chance.
const MIN_KEY: usize = 5;

impl ReferenceConfig {
    /// Reads `path`.
    ///
    /// # Errors
    /// When the file is missing, too large, no YAML, or has no `arch`.
    pub fn read(path: &Path) -> Result<Self, ImportError> {
        let origin = path.display().to_string();
        let refused = |problem: String| ImportError::Config { origin: origin.clone(), problem };
        let mut text = String::new();
        let file = File::open(path).map_err(|e| refused(format!("cannot open: {e}")))?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| refused(format!("cannot read: {e}")))?;
        Self::parse(&origin, text.strip_prefix('\u{feff}').unwrap_or(&text))
    }

    /// Reads the text of a config that came from `origin`.
    ///
    /// # Errors
    /// When the text is too long, no YAML, or has no `arch`.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ImportError> {
        let refused = |problem: String| ImportError::Config { origin: origin.to_owned(), problem };
        if text.len() as u64 > MAX_BYTES {
            return Err(refused(format!("is larger than {MAX_BYTES} bytes; this is not a training config")));
        }
        let document: Value = serde_saphyr::from_str(text).map_err(|error| {
            let first_line = error.to_string().lines().next().unwrap_or_default().to_owned();
            refused(format!("is not YAML ({first_line}); leave it out with --no-config or give another with --config"))
        })?;
        let Value::Object(document) = document else {
            return Err(refused("is not a table of settings; give another file with --config".into()));
        };
        let mut document = unwrapped(document);
        // The reference writes the model's settings under `arch`; a bare table of them is as good.
        let mut fields = match document.remove("arch") {
            Some(Value::Object(fields)) => fields,
            Some(_) => {
                return Err(refused("`arch` is not a table of settings; give another file with --config".into()));
            }
            None => document.clone(),
        };
        let arch = fields.shift_remove("name").and_then(|name| our_name(name.as_str()?));
        for size in ["seq_len", "vocab_size"] {
            if let Some(value) = document.get(size) {
                fields.entry(size).or_insert_with(|| value.clone());
            }
        }
        let dataset = document.get("data_paths").and_then(|paths| Some(paths.get(0)?.as_str()?.to_owned()));
        let ema = document.get("ema").and_then(Value::as_bool);
        Ok(Self { origin: origin.to_owned(), arch, fields, dataset, ema })
    }

    /// Checks that the config sets something of a model and that no key is misspelled: a config that was named is meant
    /// to be used.
    ///
    /// # Errors
    /// When no key is a setting of an architecture, or a key is nearly one that the config lacks.
    pub fn check_settings(&self) -> Result<(), ImportError> {
        let known = settings();
        let is_known = |key: &str| known.contains(key);
        let slips: Vec<String> = self
            .fields
            .keys()
            .filter(|key| !is_known(key))
            .filter_map(|key| {
                let near = nearest(key, &known).filter(|near| !self.fields.contains_key(*near))?;
                Some(format!("`{key}` (did you mean `{near}`?)"))
            })
            .collect();
        let problem = match (self.fields.keys().any(|key| is_known(key)), slips.is_empty()) {
            (true, true) => return Ok(()),
            (_, false) => format!("has keys that are not settings: {}; correct them", slips.join(", ")),
            (false, true) => {
                "says nothing about a model: expected a table `arch` with settings such as H_cycles, L_cycles \
                              and num_heads; give another file, or leave it out and say them with --set"
                    .to_owned()
            }
        };
        Err(ImportError::Config { origin: self.origin.clone(), problem })
    }
}

/// The settings of all architectures, and the sizes that a config may say.
fn settings() -> BTreeSet<String> {
    let default = |name: &str| serde_json::to_value(ArchitectureConfig::default_of(name).ok()?).ok();
    let tables = ArchitectureConfig::NAMES.into_iter().filter_map(default);
    let keys = tables.filter_map(|table| Some(table.as_object()?.keys().cloned().collect::<Vec<_>>()));
    keys.flatten().filter(|key| key != "name").chain(["seq_len".to_owned(), "vocab_size".to_owned()]).collect()
}

/// The setting that a key is a slip of the pen for, if any.
fn nearest<'a>(key: &str, known: &'a BTreeSet<String>) -> Option<&'a str> {
    let slips = |setting: &&String| strsim::levenshtein(&key.to_lowercase(), &setting.to_lowercase());
    let near = known.iter().min_by_key(slips)?;
    (key.len() >= MIN_KEY && slips(&near) <= MAX_SLIPS).then_some(near)
}

/// The settings of W&B's `config.yaml`, in which each is a table of `desc` and `value`.
fn unwrapped(document: Map<String, Value>) -> Map<String, Value> {
    let is_wrapper = |value: &Value| {
        let keys = value.as_object().map(|table| table.keys().all(|key| key == "desc" || key == "value"));
        keys == Some(true) && value.get("value").is_some()
    };
    // The file's own notes stand beside the settings.
    let is_note = |key: &str| key.starts_with("_wandb") || key == "wandb_version";
    let mut settings = document.iter().filter(|(key, _)| !is_note(key)).peekable();
    if settings.peek().is_none() || !settings.all(|(_, value)| is_wrapper(value)) {
        return document;
    }
    let value = |(key, mut wrapper): (String, Value)| (key, wrapper["value"].take());
    let table: Map<String, Value> = document.into_iter().filter(|(key, _)| !is_note(key)).map(value).collect();
    nested(table)
}

/// Tables of keys with dots or slashes in them, `arch.H_cycles` or `arch/H_cycles`, as W&B's sweeps write them.
fn nested(table: Map<String, Value>) -> Map<String, Value> {
    let mut nested = Map::new();
    for (key, value) in table {
        match key.split_once(['.', '/']) {
            Some(("arch", field)) => {
                let arch = nested.entry("arch").or_insert_with(|| Value::Object(Map::new()));
                if let Some(arch) = arch.as_object_mut() {
                    arch.insert(field.to_owned(), value);
                }
            }
            _ => _ = nested.insert(key, value),
        }
    }
    nested
}

/// `recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1` → `trm`. HRM's first release says `hrm.hrm_act_v1@…`.
fn our_name(class: &str) -> Option<String> {
    let module = class.split('@').next()?.rsplit('.').next()?;
    Some(if module.starts_with("hrm") { "hrm".to_owned() } else { module.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "arch:\n  H_cycles: 3\n  L_cycles: 4\n  expansion: 4\n  forward_dtype: bfloat16\n  \
        loss:\n    loss_type: stablemax_cross_entropy\n    name: losses@ACTLossHead\n  mlp_t: false\n  \
        name: recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1\n  num_heads: 8\n  pos_encodings: rope\n\
        data_paths:\n- data/arc1concept-aug-1000\nema: true\nlr: 0.0001\nseed: 0\n";

    #[test]
    fn the_reference_s_file_is_read() {
        let config = ReferenceConfig::parse("all_config.yaml", PUBLISHED).unwrap();
        assert_eq!(config.arch.as_deref(), Some("trm"));
        assert_eq!((&config.fields["L_cycles"], &config.fields["pos_encodings"]), (&4.into(), &"rope".into()));
        assert_eq!((config.dataset.as_deref(), config.ema), (Some("data/arc1concept-aug-1000"), Some(true)));
    }

    #[test]
    fn the_form_of_weights_and_biases_is_read() {
        let text = "_wandb:\n  value:\n    cli_version: 0.22.2\narch:\n  desc: null\n  value:\n    H_cycles: 2\n    name: \
            recursive_reasoning.trm@X\ndata_paths:\n  desc: null\n  value:\n  - data/sudoku\nema:\n  value: true\n";
        let config = ReferenceConfig::parse("config.yaml", text).unwrap();
        assert_eq!((config.arch.as_deref(), &config.fields["H_cycles"]), (Some("trm"), &2.into()));
        assert_eq!((config.dataset.as_deref(), config.ema), (Some("data/sudoku"), Some(true)));
        let dotted = "wandb_version: 1\narch.H_cycles:\n  desc: null\n  value: 2\narch/L_cycles:\n  value: 6\nlr:\n  value: 1.0\n";
        let config = ReferenceConfig::parse("config.yaml", dotted).unwrap();
        assert_eq!((&config.fields["H_cycles"], &config.fields["L_cycles"]), (&2.into(), &6.into()));
    }

    #[test]
    fn a_config_that_sets_nothing_names_the_nearest_keys() {
        let message =
            |text: &str| ReferenceConfig::parse("x.yaml", text).unwrap().check_settings().map_err(|e| e.to_string());
        assert_eq!(message(PUBLISHED), Ok(()));
        let typos = message("arch:\n  name: recursive_reasoning.trm@X\n  H_cycle: 2\n  l_cycles: 3\n").unwrap_err();
        let expected = "x.yaml: has keys that are not settings: `H_cycle` (did you mean `H_cycles`?), `l_cycles` (did you mean \
                        `L_cycles`?); correct them";
        assert_eq!(typos, expected);
        assert!(
            message("arch:\n  H_cycles: 2\n  num_head: 3\n")
                .unwrap_err()
                .contains("`num_head` (did you mean `num_heads`?)")
        );
        for text in ["{}", "lr: 0.1\nseed: 0\n", "arch:\n  name: trm@X\n", "version: 1\nservices:\n  web: {}\n"] {
            assert!(message(text).unwrap_err().contains("x.yaml: says nothing about a model"), "{text}");
        }
    }

    #[test]
    fn what_is_no_config_is_refused_in_a_sentence() {
        let message = |text: &str| ReferenceConfig::parse("x.yaml", text).unwrap_err().to_string();
        assert!(message("- 1\n- 2\n").contains("x.yaml: is not a table of settings"));
        assert!(message("arch: trm\n").contains("`arch` is not a table"));
        assert!(message("arch: [1, 2\n").contains("is not YAML"));
        assert!(message(&" ".repeat(1 << 19)).contains("larger than"));
        // Ten aliases of ten aliases, nine levels deep: a gigabyte if it were written out.
        let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..10 {
            let below = format!("*a{}", level - 1);
            laughs = format!("{laughs}a{level}: &a{level} [{}]\n", vec![below; 10].join(","));
        }
        assert!(message(&laughs).contains("is not YAML"));
    }
}
