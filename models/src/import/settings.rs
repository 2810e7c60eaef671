//! Every setting of a model and where it comes from: the tensors, the user, the run's config, the registry, a default.
//! Tensors are never contradicted: a flag that does is refused, a config that does is overruled and the table says so.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{Hints, ImportError, Inference, Tensors};
use crate::checkpoint::WeightFile;
use crate::{ArchitectureConfig, ModelDims};

/// One setting and its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its name in configs.
    pub field: String,
    /// Its value.
    pub value: Value,
    /// Where the value comes from.
    pub origin: SettingOrigin,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingOrigin {
    /// Names and shapes of the tensors; with what a config said instead, if it did.
    Tensors {
        /// `all_config.yaml says 4`.
        overruled: Option<String>,
    },
    /// The user.
    Flag,
    /// A training run's config.
    Config(String),
    /// The registry's entry of this name.
    Registry(String),
    /// Follows from the named other settings.
    Derived(&'static str),
    /// Nothing says it, and hardly any run differs there from the reference's default.
    Default,
    /// Nothing says it, and runs differ there: the reference's default, or what published models of this vocabulary have.
    Assumed(&'static str),
}

impl SettingOrigin {
    /// Whether nothing says it where runs differ, so that the user had better look.
    pub fn is_assumed(&self) -> bool {
        matches!(self, Self::Assumed(_))
    }
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensors { overruled: None } => f.write_str("tensors"),
            Self::Tensors { overruled: Some(other) } => write!(f, "tensors ({other})"),
            Self::Flag => f.write_str("flag"),
            Self::Config(origin) => f.write_str(origin),
            Self::Registry(name) => write!(f, "registry entry {name}"),
            Self::Derived(from) => write!(f, "follows from {from}"),
            Self::Default => f.write_str("the reference's default"),
            Self::Assumed(why) => write!(f, "assumed: {why}"),
        }
    }
}

/// Vocabulary size, sequence length and task of the published data sets and of the smaller boards.
const TASKS: [(usize, usize, &str); 6] = [
    (11, 81, "sudoku"),
    (6, 900, "maze"),
    (12, 900, "arc"),
    (6, 16, "sudoku-4x4"),
    (8, 36, "sudoku-6x6"),
    (18, 256, "sudoku-16x16"),
];

/// Fields that recipes set differently, so that a default may well be wrong.
const VARYING: [&str; 4] = ["H_cycles", "L_cycles", "halt_max_steps", "pos_encodings"];

/// Finds out what model `file` holds.
///
/// # Errors
/// When the tensors are of no known architecture, a flag is unknown or contradicts them, nothing says how long a
/// sequence is, or the result is impossible.
pub fn infer(file: &WeightFile, hints: &Hints) -> Result<Inference, ImportError> {
    let tensors = Tensors::of(file)?;
    let mut resolver = Resolver { tensors: &tensors, hints, settings: Vec::new() };
    let name = resolver.arch_name()?;
    let defaults = serde_json::to_value(ArchitectureConfig::default_of(name)?).unwrap_or_default();
    let defaults = defaults.as_object().cloned().unwrap_or_default();
    resolver.check_flags(name, &defaults)?;

    let mut fields = Map::from_iter([("name".to_owned(), json!(name))]);
    for (field, default) in &defaults {
        if field != "name" && field != "puzzle_emb_len" {
            let value = resolver.field(field, default)?;
            fields.insert(field.clone(), value);
        }
    }
    let positions = resolver.puzzle_positions(&mut fields, defaults.contains_key("puzzle_emb_len"))?;
    let dims = resolver.dims(positions)?;
    let task = resolver.task(&dims);

    let arch: ArchitectureConfig = serde_json::from_value(Value::Object(fields))
        .map_err(|error| ImportError::setting("settings", format!("{error}; correct it with --set")))?;
    arch.validate(&dims)?;
    Ok(Inference { arch, dims, task, settings: resolver.settings })
}

struct Resolver<'a> {
    tensors: &'a Tensors,
    hints: &'a Hints,
    settings: Vec<Setting>,
}

impl Resolver<'_> {
    fn arch_name(&mut self) -> Result<&'static str, ImportError> {
        let found = self.tensors.arch;
        if let Some(asked) = self.hints.flags.get("name")
            && asked != found
        {
            let problem = format!("--arch says {asked}, but names and shapes are those of `{found}`; leave --arch out");
            return Err(ImportError::setting("arch", problem));
        }
        let config = self.hints.config.as_ref();
        let other =
            config.and_then(|config| Some((config, config.arch.as_deref()?))).filter(|(_, arch)| *arch != found);
        let overruled = other.map(|(config, arch)| format!("{} says {arch}", config.origin));
        self.note("arch", json!(found), SettingOrigin::Tensors { overruled });
        Ok(found)
    }

    fn check_flags(&self, name: &str, defaults: &Map<String, Value>) -> Result<(), ImportError> {
        let known = |flag: &str| flag == "seq_len" || flag == "task" || defaults.contains_key(flag);
        match self.hints.flags.keys().find(|flag| !known(flag)) {
            None => Ok(()),
            Some(flag) => {
                let fields: Vec<_> = defaults.keys().map(String::as_str).filter(|field| *field != "name").collect();
                let problem = format!("is not a setting of `{name}`; there are seq_len, task, {}", fields.join(", "));
                Err(ImportError::setting(flag, problem))
            }
        }
    }

    /// A field of the architecture's config.
    fn field(&mut self, field: &str, default: &Value) -> Result<Value, ImportError> {
        if field == "expansion" {
            return self.expansion(default);
        }
        if field == "num_heads" && !self.tensors.fields.contains_key(field) {
            return self.num_heads(default);
        }
        let (value, origin) = match self.tensors.fields.get(field) {
            Some(found) => (found.clone(), self.settled(field, found)?),
            None => self.asked(field).unwrap_or_else(|| {
                let origin = if VARYING.contains(&field) {
                    SettingOrigin::Assumed("the reference's default, nothing says otherwise")
                } else {
                    SettingOrigin::Default
                };
                (default.clone(), origin)
            }),
        };
        self.note(field, value.clone(), origin);
        Ok(value)
    }

    /// The origin of what the tensors settle: no flag may contradict them, a config is overruled.
    fn settled(&self, field: &str, found: &Value) -> Result<SettingOrigin, ImportError> {
        let Some((said, origin)) = self.asked(field).filter(|(said, _)| !same(said, found)) else {
            return Ok(SettingOrigin::Tensors { overruled: None });
        };
        if origin == SettingOrigin::Flag && field != "forward_dtype" && field != "pos_encodings" {
            return Err(ImportError::setting(
                field,
                format!("--set says {said}, but the tensors say {found}; leave it out"),
            ));
        }
        Ok(SettingOrigin::Tensors { overruled: Some(format!("{origin} says {}", plain(&said))) })
    }

    /// Widths do not say how many heads there are, only which numbers are possible.
    fn num_heads(&mut self, default: &Value) -> Result<Value, ImportError> {
        let fits = |value: &Value| value.as_u64().is_some_and(|heads| self.tensors.fits_heads(heads as usize));
        let (value, origin) = match self.asked("num_heads") {
            Some((said, origin)) if fits(&said) => (said, origin),
            Some((said, origin)) => {
                let problem = format!(
                    "{origin} says {}, which does not go with the widths of the tensors (hidden_size {}); give another with --set num_heads=N",
                    plain(&said),
                    self.tensors.hidden_size
                );
                return Err(ImportError::setting("num_heads", problem));
            }
            None => {
                let likely = [8, 4, 16, 2, 1].map(|heads| json!(heads));
                let value =
                    std::iter::once(default).chain(&likely).find(|value| fits(value)).unwrap_or(default).clone();
                (value, SettingOrigin::Assumed("the reference's default or what the widths allow"))
            }
        };
        self.note("num_heads", value.clone(), origin);
        Ok(value)
    }

    /// Inner widths are rounded up, so that they settle the expansion only roughly: a given one that fits is right.
    fn expansion(&mut self, default: &Value) -> Result<Value, ImportError> {
        let said = self.asked("expansion");
        let (value, origin) = match said {
            Some((said, origin)) if said.as_f64().is_some_and(|said| self.tensors.fits_expansion(said)) => {
                (said, origin)
            }
            Some((said, SettingOrigin::Flag)) => {
                let problem =
                    format!("--set says {said}, which gives other widths than the tensors have; leave it out");
                return Err(ImportError::setting("expansion", problem));
            }
            said => {
                let fitting = self.tensors.expansion().map_or_else(|| default.clone(), |value| json!(value));
                let overruled = said.map(|(said, origin)| format!("{origin} says {}", plain(&said)));
                (fitting, SettingOrigin::Tensors { overruled })
            }
        };
        self.note("expansion", value.clone(), origin);
        Ok(value)
    }

    /// Positions that the puzzle embedding takes; sets the field where the architecture has one.
    fn puzzle_positions(&mut self, fields: &mut Map<String, Value>, has_field: bool) -> Result<usize, ImportError> {
        let ndim = fields.get("puzzle_emb_ndim").and_then(Value::as_u64).unwrap_or(0) as usize;
        let filled = ndim.div_ceil(self.tensors.hidden_size.max(1));
        if !has_field {
            return Ok(filled);
        }
        let said = self.asked("puzzle_emb_len");
        let spare = |seq_len: usize| self.tensors.tokens?.checked_sub(seq_len).filter(|&positions| positions >= filled);
        let length = self.asked("seq_len").and_then(|(length, _)| length.as_u64());
        let task = self.task_of_tokens(filled);
        let (positions, origin) = if ndim == 0 {
            (0, SettingOrigin::Derived("puzzle_emb_ndim"))
        } else if let Some((said, origin)) = said {
            let Some(said) = said.as_u64() else {
                return Err(ImportError::setting("puzzle_emb_len", format!("is {said}, expected a whole number")));
            };
            (said as usize, origin)
        } else if let Some(positions) = length.and_then(|length| spare(length as usize)) {
            (positions, SettingOrigin::Derived("seq_len and the tensors"))
        } else if let Some(positions) = task.and_then(|(_, seq_len, _)| spare(seq_len)) {
            (positions, SettingOrigin::Derived("vocab_size and the tensors"))
        } else if filled <= 16 && self.tensors.tokens.is_none_or(|tokens| tokens > 16) {
            (16, SettingOrigin::Assumed("the reference's default, nothing says otherwise"))
        } else {
            (0, SettingOrigin::Assumed("as many as the puzzle embedding fills"))
        };
        fields.insert("puzzle_emb_len".into(), json!(positions));
        self.note("puzzle_emb_len", json!(positions), origin);
        Ok(if positions == 0 { filled } else { positions })
    }

    fn dims(&mut self, positions: usize) -> Result<ModelDims, ImportError> {
        let vocab_size = self.tensors.vocab_size;
        self.note("vocab_size", json!(vocab_size), SettingOrigin::Tensors { overruled: None });
        let num_puzzle_identifiers = self.tensors.num_puzzle_identifiers.unwrap_or(1);
        let origin = match self.tensors.num_puzzle_identifiers {
            Some(_) => SettingOrigin::Tensors { overruled: None },
            None => SettingOrigin::Derived("there being no puzzle table"),
        };
        self.note("num_puzzle_identifiers", json!(num_puzzle_identifiers), origin);
        let said = self.asked("seq_len");
        let (seq_len, origin) = match (self.tensors.tokens, said) {
            (Some(tokens), said) => {
                let Some(seq_len) = tokens.checked_sub(positions).filter(|&seq_len| seq_len > 0) else {
                    let problem = format!(
                        "the tensors have {tokens} positions, of which the puzzle embedding takes {positions}; say how many with --set puzzle_emb_len=N"
                    );
                    return Err(ImportError::setting("seq_len", problem));
                };
                match said {
                    Some((said, SettingOrigin::Flag)) if !same(&said, &json!(seq_len)) => {
                        let problem = format!(
                            "--set says {said}, but the tensors have {tokens} positions and the puzzle embedding takes {positions}; say --set puzzle_emb_len=N too, or leave it out"
                        );
                        return Err(ImportError::setting("seq_len", problem));
                    }
                    _ => (seq_len, SettingOrigin::Tensors { overruled: None }),
                }
            }
            (None, Some((said, origin))) => match said.as_u64() {
                Some(said) => (said as usize, origin),
                None => return Err(ImportError::setting("seq_len", format!("is {said}, expected a whole number"))),
            },
            (None, None) => {
                let Some(&(_, seq_len, _)) = TASKS.iter().find(|(vocab, ..)| *vocab == vocab_size) else {
                    let problem = format!(
                        "nothing says how many tokens an example has (vocab_size is {vocab_size}); say it with --set seq_len=N"
                    );
                    return Err(ImportError::setting("seq_len", problem));
                };
                (seq_len, SettingOrigin::Assumed("published models of this vocab_size have it"))
            }
        };
        self.note("seq_len", json!(seq_len), origin);
        Ok(ModelDims { vocab_size, seq_len, num_puzzle_identifiers, sizes: None })
    }

    fn task(&mut self, dims: &ModelDims) -> String {
        let known = TASKS.iter().find(|(vocab, length, _)| (*vocab, *length) == (dims.vocab_size, dims.seq_len));
        let (task, origin) = match (self.asked("task"), known) {
            (Some((Value::String(task), origin)), _) => (task, origin),
            (_, Some((.., task))) => ((*task).to_owned(), SettingOrigin::Derived("vocab_size and seq_len")),
            (_, None) => ("unknown".to_owned(), SettingOrigin::Assumed("no data set of ours has these sizes")),
        };
        self.note("task", json!(task), origin);
        task
    }

    /// The task whose examples, with at least `filled` positions before them, are as long as the tensors say.
    fn task_of_tokens(&self, filled: usize) -> Option<(usize, usize, &'static str)> {
        let tokens = self.tensors.tokens?;
        let fits =
            |length: usize| tokens.checked_sub(length).is_some_and(|left| (filled..=filled.max(64)).contains(&left));
        TASKS.iter().copied().find(|&(vocab, length, _)| vocab == self.tensors.vocab_size && fits(length))
    }

    /// What flags, config and registry say about a field, the first of them that does.
    fn asked(&self, field: &str) -> Option<(Value, SettingOrigin)> {
        let flag = self.hints.flags.get(field).map(|value| (value.clone(), SettingOrigin::Flag));
        flag.or_else(|| {
            let config = self.hints.config.as_ref()?;
            Some((config.fields.get(field)?.clone(), SettingOrigin::Config(config.origin.clone())))
        })
        .or_else(|| {
            let (name, fields) = self.hints.registry.as_ref()?;
            Some((fields.get(field)?.clone(), SettingOrigin::Registry(name.clone())))
        })
    }

    fn note(&mut self, field: &str, value: Value, origin: SettingOrigin) {
        self.settings.push(Setting { field: field.to_owned(), value, origin });
    }
}

/// Equality of settings: YAML does not tell 4 from 4.0.
fn same(left: &Value, right: &Value) -> bool {
    left == right || left.as_f64().is_some_and(|left| right.as_f64() == Some(left))
}

/// A value as a person writes it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
