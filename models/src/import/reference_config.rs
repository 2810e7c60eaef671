//! The `all_config.yaml` that the reference's training leaves beside its checkpoints, and JSON of the same content.
//! Bounded: no more is read than such a file ever has, and aliases cannot make more of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::ImportError;

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
        Self::parse(&origin, &text)
    }

    /// Reads the text of a config that came from `origin`.
    ///
    /// # Errors
    /// When the text is too long, no YAML, or has no `arch`.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ImportError> {
        let refused = |problem: String| ImportError::Config { origin: origin.to_owned(), problem };
        if text.len() as u64 > MAX_BYTES {
            return Err(refused(format!("is larger than {MAX_BYTES} bytes; this is no training config")));
        }
        let document: Value = serde_saphyr::from_str(text).map_err(|error| {
            let first_line = error.to_string().lines().next().unwrap_or_default().to_owned();
            refused(format!("is no YAML ({first_line}); leave it out with --no-config or give another with --config"))
        })?;
        let Value::Object(mut document) = document else {
            return Err(refused("is no table of settings; give another file with --config".into()));
        };
        // The reference writes the model's settings under `arch`; a bare table of them is as good.
        let mut fields = match document.remove("arch") {
            Some(Value::Object(fields)) => fields,
            Some(_) => return Err(refused("`arch` is no table of settings; give another file with --config".into())),
            None => document.clone(),
        };
        let arch = fields.remove("name").and_then(|name| our_name(name.as_str()?));
        for size in ["seq_len", "vocab_size"] {
            if let Some(value) = document.get(size) {
                fields.entry(size).or_insert_with(|| value.clone());
            }
        }
        let dataset = document.get("data_paths").and_then(|paths| Some(paths.get(0)?.as_str()?.to_owned()));
        let ema = document.get("ema").and_then(Value::as_bool);
        Ok(Self { origin: origin.to_owned(), arch, fields, dataset, ema })
    }
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
    fn what_is_no_config_is_refused_in_a_sentence() {
        let message = |text: &str| ReferenceConfig::parse("x.yaml", text).unwrap_err().to_string();
        assert!(message("- 1\n- 2\n").contains("x.yaml: is no table of settings"));
        assert!(message("arch: trm\n").contains("`arch` is no table"));
        assert!(message("arch: [1, 2\n").contains("is no YAML"));
        assert!(message(&" ".repeat(1 << 19)).contains("larger than"));
        // Ten aliases of ten aliases, nine levels deep: a gigabyte if it were written out.
        let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..10 {
            let below = format!("*a{}", level - 1);
            laughs = format!("{laughs}a{level}: &a{level} [{}]\n", vec![below; 10].join(","));
        }
        assert!(message(&laughs).contains("is no YAML"));
    }
}
