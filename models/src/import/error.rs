//! Why weights cannot be imported. Tensors that do not fit are all listed, with shapes: one round of repair suffices.

use std::fmt;

use crate::ModelError;

/// A tensor by name and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTensor {
    /// Name without the wrappers' prefixes.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// A tensor that is there but not as the architecture needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongTensor {
    /// Name without the wrappers' prefixes.
    pub name: String,
    /// Type and shape in the file.
    pub found: String,
    /// Shape that the architecture asks for.
    pub expected: Vec<usize>,
}

/// What can go wrong with an import.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read, or the model that it describes is impossible.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tensors are those of no architecture that we know.
    #[error("{origin}: {problem}")]
    Unrecognised {
        /// The file.
        origin: String,
        /// What was looked for and what is there instead.
        problem: String,
    },
    /// The tensors do not fit the architecture that their own names and shapes, or the settings, ask for.
    #[error("{origin}: the tensors do not make a whole `{arch}`:{}", listed(.missing, .wrong, .left_over))]
    Tensors {
        /// The file.
        origin: String,
        /// Architecture they were held against.
        arch: &'static str,
        /// Needed and absent.
        missing: Vec<NamedTensor>,
        /// Of another shape or type.
        wrong: Vec<WrongTensor>,
        /// Present and not needed.
        left_over: Vec<NamedTensor>,
    },
    /// A setting that the tensors contradict, or that nothing says.
    #[error("{field}: {problem}")]
    Setting {
        /// Name of the setting.
        field: String,
        /// What was found and what to do.
        problem: String,
    },
    /// The config file beside the weights is malformed.
    #[error("{origin}: {problem}")]
    Config {
        /// The file.
        origin: String,
        /// What is wrong.
        problem: String,
    },
}

impl ImportError {
    pub(super) fn setting(field: &str, problem: impl Into<String>) -> Self {
        Self::Setting { field: field.to_owned(), problem: problem.into() }
    }
}

impl fmt::Display for NamedTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.shape)
    }
}

impl fmt::Display for WrongTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, expected {:?}", self.name, self.found, self.expected)
    }
}

fn listed(missing: &[NamedTensor], wrong: &[WrongTensor], left_over: &[NamedTensor]) -> String {
    let line = |kind: &str, tensor: &dyn fmt::Display| format!("\n  {kind:10}{tensor}");
    let mut text: String = missing.iter().map(|tensor| line("missing", tensor)).collect();
    text.extend(wrong.iter().map(|tensor| line("wrong", tensor)));
    text.extend(left_over.iter().map(|tensor| line("left over", tensor)));
    text
}
