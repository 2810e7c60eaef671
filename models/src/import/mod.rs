//! Checkpoints from the reference's weights: finds out what model a file of tensors holds and writes it as ours.
//! Owns what names and shapes say ([`Tensors`]), where every other setting comes from ([`Setting`]), and the check that
//! nothing is missing, wrong or left over; leaves the formats to `checkpoint`, and where files come from to [`published`].

mod error;
pub mod published;
mod reference_config;
mod settings;
mod tensors;
mod write;

use serde_json::{Map, Value};

pub use error::{ImportError, NamedTensor, WrongTensor};
pub use reference_config::ReferenceConfig;
pub use settings::{Setting, SettingOrigin, infer};
pub use tensors::Tensors;
pub use write::write_imported;

use crate::{ArchitectureConfig, ModelDims};

/// What is known about a file besides its tensors; each field is asked in this order, after the tensors themselves.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// What the user said: fields of the architecture, `name`, `seq_len` and `task`. Wrong fields are refused.
    pub flags: Map<String, Value>,
    /// The training run's own config.
    pub config: Option<ReferenceConfig>,
    /// What is known about a published file: its name in the registry, and fields as in `flags`.
    pub registry: Option<(String, Map<String, Value>)>,
}

/// A model, and where each part of its description comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// Name and config of the architecture.
    pub arch: ArchitectureConfig,
    /// Sizes that come from the data.
    pub dims: ModelDims,
    /// What the tokens mean; `unknown` where nothing says it.
    pub task: String,
    /// Every setting, in the order in which a table shows them.
    pub settings: Vec<Setting>,
}
