//! Subcommands that take more than a few lines.

pub(crate) mod eval;
pub(crate) mod hpo;
pub(crate) mod launch;
pub(crate) mod study;
