use thiserror::Error;

/// Weights that do not fit the kernels or each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}: expected {expected}, found {found}")]
pub struct ShapeError {
    /// The size in question.
    pub what: &'static str,
    /// What it may be.
    pub expected: String,
    /// What it is.
    pub found: usize,
}

impl ShapeError {
    pub(crate) fn check(what: &'static str, expected: usize, found: usize) -> Result<(), Self> {
        if expected == found { Ok(()) } else { Err(Self { what, expected: expected.to_string(), found }) }
    }

    pub(crate) fn check_multiple(what: &'static str, of: usize, found: usize) -> Result<(), Self> {
        if found > 0 && found.is_multiple_of(of) {
            return Ok(());
        }
        Err(Self { what, expected: format!("a multiple of {of}"), found })
    }
}
