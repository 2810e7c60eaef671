//! Subcommands that take more than a few lines.

pub(crate) mod eval;
pub(crate) mod hpo;
pub(crate) mod launch;
pub(crate) mod study;

use trainer::forward::Precision;

/// A type to compute in, by its name.
pub(crate) fn parse_precision(text: &str) -> Result<Precision, String> {
    match text {
        "float64" => Ok(Precision::Float64),
        "float32" => Ok(Precision::Float32),
        "bfloat16" => Ok(Precision::BFloat16),
        _ => Err(format!("`{text}` is none of float64, float32, bfloat16")),
    }
}
