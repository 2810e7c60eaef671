//! ARC as the engine sees it: nothing can be checked without the label, and augmentations have puzzle embeddings of
//! their own, so that they are requests of their own, whose votes their caller counts.

use crate::Rules;

/// A task whose answers cannot be checked.
#[derive(Debug, Clone, Copy)]
pub struct Unchecked;

impl Rules for Unchecked {
    fn obeyed(&self, _: &[i64], _: &[i64]) -> bool {
        false
    }
}
